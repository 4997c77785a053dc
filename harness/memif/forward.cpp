#include "harness/memif/forward.hpp"

#include "harness/memif/port.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fmt/format.h>
#include <string>
#include <vector>

namespace ipclab {
namespace {

/// From one port to the other, queue by queue.
class Direction {
  public:
    Direction(Port& from, Port& to, std::uint16_t queues, WhenFull when_full)
        : from_(from), to_(to), when_full_(when_full), held_(queues) {}

    /// Moves a burst of each queue; returns whether anything moved.
    bool move() {
        bool any = false;
        const auto queues = static_cast<std::uint16_t>(held_.size());
        for (std::uint16_t queue = 0; queue < queues; ++queue) {
            if (!held_[queue].empty()) {
                if (!deliver(queue, held_[queue])) continue;
                held_[queue].clear();
                any = true;
            }
            any |= move_burst(queue);
        }
        if (any) to_.flush();
        return any;
    }
    [[nodiscard]] bool holds() const {
        for (const auto& packet : held_)
            if (!packet.empty()) return true;
        return false;
    }
    [[nodiscard]] std::string totals() const {
        return fmt::format("{} -> {}: {} packets, {} bytes; {} dropped", from_.socket(),
                           to_.socket(), packets_, bytes_, dropped_);
    }

  private:
    bool move_burst(std::uint16_t queue) {
        return from_.receive_burst(queue, [&](Bytes packet) {
            if (deliver(queue, packet)) return true;
            held_[queue].assign(packet.begin(), packet.end());
            return false;
        });
    }
    /// Sends or drops; false: the packet is to be held.
    bool deliver(std::uint16_t queue, View packet) {
        if (to_.send(queue, packet)) {
            ++packets_;
            bytes_ += packet.size();
            return true;
        }
        if (when_full_ == WhenFull::hold && to_.connected()) return false;
        ++dropped_;
        return true;
    }

    Port& from_;
    Port& to_;
    WhenFull when_full_;
    std::vector<std::vector<std::byte>> held_;  ///< at most one packet of each queue
    std::uint64_t packets_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t dropped_ = 0;
};

}  // namespace

int run_forwarder(const memif::Options& a, const memif::Options& b, memif::Mode mode,
                  WhenFull when_full) {
    Port left(a, mode);
    Port right(b, mode);
    PortLoop loop({&left, &right});
    Direction rightward(left, right, a.queues, when_full);
    Direction leftward(right, left, b.queues, when_full);
    fmt::print(stderr, "forwarding; Ctrl-C ends\n");

    // Nobody signals that a ring has room again.
    constexpr std::chrono::microseconds full_ring_pause{100};
    bool any = false;
    while (loop.wait(any ? std::chrono::nanoseconds{}
                     : rightward.holds() || leftward.holds()
                         ? std::chrono::nanoseconds(full_ring_pause)
                         : PortLoop::forever)) {
        any = rightward.move();
        any |= leftward.move();
    }
    fmt::print("{}\n{}\n", rightward.totals(), leftward.totals());
    return 0;
}

}  // namespace ipclab
