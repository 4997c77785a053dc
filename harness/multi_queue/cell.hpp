// What the experiment multi-queue measures: a stream of packets over several queues of one memif
// interface.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

namespace ipclab {

/// Who serves the queues of a side. The process is pinned: all its threads share one CPU.
enum class QueueThreads {
    one,        ///< one thread looks at all queues in turn
    per_queue,  ///< each queue has a thread
};
inline constexpr std::array all_queue_threads{QueueThreads::one, QueueThreads::per_queue};
constexpr std::string_view name_of(QueueThreads threads) {
    return threads == QueueThreads::one ? "one" : "per_queue";
}

/// How the receiver learns of packets.
enum class QueueMode {
    polling,    ///< it looks again and again
    interrupt,  ///< it sleeps in poll(2) on the queues' eventfds
};
inline constexpr std::array all_queue_modes{QueueMode::polling, QueueMode::interrupt};
constexpr std::string_view name_of(QueueMode mode) {
    return mode == QueueMode::polling ? "polling" : "interrupt";
}

inline constexpr std::size_t queues_limit = 16;
inline constexpr std::size_t burst_limit = 1024;

struct QueueCell {
    std::size_t queues = 1;
    QueueThreads threads = QueueThreads::one;
    QueueMode mode = QueueMode::polling;
    std::size_t size_bytes = 64;  ///< of a packet
    std::size_t burst = 1;        ///< packets sent to a queue before they are published together

    bool operator==(const QueueCell&) const = default;
};

/// What is combined with what, and with a scenario's sizes.
struct QueueGrid {
    std::vector<std::size_t> queues;
    std::vector<QueueThreads> threads;
    std::vector<QueueMode> modes;
    std::vector<std::size_t> bursts;
};

}  // namespace ipclab
