// One side of a stream over several memif queues: the initiator is memif's client and sends, the
// responder is the server and receives.
//
// Each queue numbers its own packets, and its number is part of what fills a packet: one that is
// lost, out of order or on the wrong queue is found out.
#pragma once

#include "harness/message_buffer.hpp"
#include "harness/multi_queue/cell.hpp"
#include "harness/pair.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/rings/memif/interface.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace ipclab {

/// How long a side goes on without a packet.
inline constexpr std::chrono::seconds queue_patience{10};

/// What payload::fill takes for a queue's packet of this number.
constexpr std::uint64_t sequence_on(std::size_t queue, std::uint64_t number) {
    return (std::uint64_t{queue} << 48) | number;
}

memif::Options queue_options(const QueueCell& cell, Side side, const std::string& socket);

/// Returns when both ends are there with all queues. Throws TimedOut, Refused.
void await_connection(memif::Interface& interface, const QueueCell& cell);

/// A queue as its side sees it; one thread's.
struct Lane {
    std::uint16_t queue = 0;
    std::uint64_t number = 0;   ///< of the next packet; goes on from leg to leg
    std::uint64_t packets = 0;  ///< sent or received in this leg
    std::uint64_t in_hand = 0;  ///< of the leg's packets, those that this queue is to send
    bool is_filled = false;     ///< the packet in `packet` waits for room
    std::uint64_t mismatches = 0;
    MessageBuffer packet{};
};

class QueueSide {
  public:
    /// Connected. Both must outlive it.
    QueueSide(memif::Interface& interface, const QueueCell& cell, Side side);

    /// Sends or receives `leg.messages` packets, over whichever queues have room or packets.
    void play(Player& player, const Leg& leg);

  private:
    using Work = void (QueueSide::*)(std::span<Lane> lanes);

    void in_threads(Player& player, Work work);
    void send(std::span<Lane> lanes);
    bool send_burst(Lane& lane);
    void receive(std::span<Lane> lanes);
    bool receive_burst(Lane& lane);
    void sleep(std::span<Lane> lanes);

    memif::Interface& interface_;
    const QueueCell& cell_;
    std::vector<Lane> lanes_;
    std::atomic<std::uint64_t> left_{
        0};            ///< packets of the leg that nobody has in hand or received
    Fd all_received_;  ///< an eventfd(2) that ends every thread's sleep
};

}  // namespace ipclab
