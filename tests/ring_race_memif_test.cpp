// Two threads at the two ends of one memif ring, on one mapping, for ThreadSanitizer to watch:
// every byte that crosses without its order being said is reported. Without it, this checks what
// comes out.
#include "mechanisms/rings/memif/data_path.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <thread>

#if defined(__SANITIZE_THREAD__)
#define IPCLAB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPCLAB_TSAN 1
#endif
#endif

namespace ipclab::memif {
namespace {

/// g++ 12 does not compile a fence under ThreadSanitizer. A locked instruction on a word of nobody
/// else's stands in for it: on this machine it is as full a fence, and it orders nothing for
/// ThreadSanitizer between the two threads.
struct WithoutFences : SystemAtomics {
    static void fence(std::memory_order /*order*/) {
        thread_local std::atomic<int> nobodys{0};
        nobodys.fetch_add(1, std::memory_order::seq_cst);
    }
};

enum class Forgets { nothing, to_release, to_acquire };

template <Forgets what>
struct Forgetful : WithoutFences {
    template <class T>
    struct Atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        T load(std::memory_order order) const {
            return std::atomic<T>::load(what == Forgets::to_acquire ? std::memory_order::relaxed
                                                                    : order);
        }
        void store(T value, std::memory_order order) {
            std::atomic<T>::store(value,
                                  what == Forgets::to_release ? std::memory_order::relaxed : order);
        }
    };
};

constexpr unsigned log2_ring_size = 5;  // a batch is more than one slot
constexpr std::uint32_t buffer_bytes = 64;

/// Ring and buffers, and both ends.
template <class Atomics>
class RingInOneProcess {
  public:
    RingInOneProcess(SocketRole sends, std::uint16_t start)
        : header_(std::make_unique<RingHeader<Atomics>>()),
          region_{buffers_.data(), buffers_.size()},
          sender(place(sends, start)),
          receiver(
              place(sends == SocketRole::client ? SocketRole::server : SocketRole::client, start)) {
        header_->head.store(start, std::memory_order::relaxed);
        header_->tail.store(start, std::memory_order::relaxed);
    }

  private:
    RingPlace<Atomics> place(SocketRole mine, std::uint16_t start) {
        return {.header = header_.get(),
                .descriptors = slots_.data(),
                .log2_ring_size = log2_ring_size,
                .mine = mine,
                .regions = {&region_, 1},
                .buffers = {0, 0, buffer_bytes},
                .start = start};
    }

    std::unique_ptr<RingHeader<Atomics>> header_;
    std::array<SharedDescriptor, 1 << log2_ring_size> slots_{};
    std::array<std::byte, buffer_bytes << log2_ring_size> buffers_{};
    Region region_;

  public:
    alignas(64) RingSender<Atomics> sender;
    alignas(64) RingReceiver<Atomics> receiver;
};

/// The sizes and contents of a conversation, the same each time: both sides ask it.
class Script {
  public:
    std::size_t next_size() {
        value_ = static_cast<unsigned char>(random_());
        const std::size_t largest = random_() % 4 == 0 ? 4 * buffer_bytes : buffer_bytes;
        return 1 + random_() % largest;
    }
    [[nodiscard]] std::byte at(std::size_t i) const { return static_cast<std::byte>(value_ + i); }

  private:
    std::mt19937 random_{20260721};
    unsigned char value_ = 0;
};

/// Sends packets from one thread to another; returns how many did not come out as they went in.
template <Forgets what>
int wrong_after(int packets, SocketRole sends, std::uint16_t start) {
    RingInOneProcess<Forgetful<what>> ring(sends, start);
    std::thread sending([&] {
        Script script;
        for (int i = 0; i < packets; ++i) {
            std::vector<std::byte> packet(script.next_size());
            for (std::size_t at = 0; at < packet.size(); ++at) packet[at] = script.at(at);
            while (!ring.sender.send(packet)) std::this_thread::yield();
            ring.sender.publish();
        }
    });
    Script script;
    int wrong = 0;
    ring.receiver.ask_for_signals(false);
    ring.receiver.release();
    for (int i = 0; i < packets; ++i) {
        std::optional<View> packet;
        while (!(packet = ring.receiver.next())) {
            ring.receiver.release();
            std::this_thread::yield();
        }
        bool right = packet->size() == script.next_size();
        for (std::size_t at = 0; at < packet->size(); ++at)
            right = (*packet)[at] == script.at(at) && right;
        wrong += right ? 0 : 1;
        ring.receiver.release_in_batches();
    }
    sending.join();
    const bool violated =
        ring.sender.violation() != nullptr || ring.receiver.violation() != nullptr;
    return violated ? packets : wrong;
}

struct Case {
    const char* name;
    SocketRole sends;
    std::uint16_t start = 0;
    int (*wrong_after)(int packets, SocketRole sends,
                       std::uint16_t start) = memif::wrong_after<Forgets::nothing>;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class RingRaceMemif : public testing::TestWithParam<Case> {};

TEST_P(RingRaceMemif, EveryPacketComesOutAsItWentIn) {
    EXPECT_EQ(GetParam().wrong_after(2000, GetParam().sends, GetParam().start), 0);
}

INSTANTIATE_TEST_SUITE_P(, RingRaceMemif,
                         testing::Values(Case{"ClientSends", SocketRole::client},
                                         Case{"ClientSendsBelow2To16", SocketRole::client, 65'500},
                                         Case{"ServerSends", SocketRole::server},
                                         Case{"ServerSendsBelow2To16", SocketRole::server, 65'500}),
                         [](const auto& about) { return about.param.name; });

// The tests above can fail: with atomics that say no order, ThreadSanitizer reports the payload.

class RingRaceMemifDeathTest : public testing::TestWithParam<Case> {
  protected:
    RingRaceMemifDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(RingRaceMemifDeathTest, IsReported) {
#ifdef IPCLAB_TSAN
    EXPECT_EXIT(
        {
            GetParam().wrong_after(2000, GetParam().sends, GetParam().start);
            std::exit(0);  // ThreadSanitizer makes it 66 where it has reported something
        },
        testing::ExitedWithCode(66), "WARNING: ThreadSanitizer: data race");
#else
    GTEST_SKIP() << "only ThreadSanitizer can report it: build the preset tsan";
#endif
}

INSTANTIATE_TEST_SUITE_P(
    , RingRaceMemifDeathTest,
    testing::Values(
        Case{"ClientWithoutRelease", SocketRole::client, 0, wrong_after<Forgets::to_release>},
        Case{"ClientWithoutAcquire", SocketRole::client, 0, wrong_after<Forgets::to_acquire>},
        Case{"ServerWithoutRelease", SocketRole::server, 0, wrong_after<Forgets::to_release>},
        Case{"ServerWithoutAcquire", SocketRole::server, 0, wrong_after<Forgets::to_acquire>}),
    [](const auto& about) { return about.param.name; });

}  // namespace
}  // namespace ipclab::memif
