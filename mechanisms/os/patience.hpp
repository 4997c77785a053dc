// How long to wait, and when to ask whether the peer still lives.
//
// Nobody reads a clock on the way to a message that is there. A blocking call is given up after
// `glance_interval` without a message; only then does the wait look at the clock and at the peer,
// and goes on. A deadline is therefore kept to within one interval.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/presence.hpp"

#include <chrono>
#include <ctime>

namespace ipclab {

constexpr std::chrono::milliseconds glance_interval{50};

/// One wait. Costs nothing unless it lasts. `peer` tells its state, as Presence::peer() and
/// Lifeline::peer() do; it may be null where the kernel itself tells that the peer is gone.
class Wait {
  public:
    template <class Peer = Presence>
    Wait(std::string_view what, std::chrono::milliseconds timeout, const Peer* peer = nullptr)
        : what_(what), timeout_(timeout), peer_(peer), state_of_([](const void* watched) {
              return static_cast<const Peer*>(watched)->peer();
          }) {}

    /// To be called when a glance_interval, or some thousand turns of a spin loop, brought nothing.
    /// Throws Closed or PeerGone when the peer is no more, TimedOut at the deadline. A peer that
    /// went may have left a last message: it is given one more glance before the throw.
    void glance() {
        const auto now = Clock::now();
        if (started_ == Clock::time_point{}) started_ = next_look_ = now;
        if (now < next_look_) return;
        next_look_ = now + glance_interval;
        if (last_look_ == PeerState::left) throw Closed(what_);
        if (last_look_ == PeerState::died) throw PeerGone(what_);
        if (peer_ != nullptr) last_look_ = state_of_(peer_);
        if (now - started_ >= timeout_) throw TimedOut(what_);
    }

  private:
    using Clock = std::chrono::steady_clock;

    std::string_view what_;
    std::chrono::milliseconds timeout_;
    const void* peer_;
    PeerState (*state_of_)(const void* peer);
    Clock::time_point started_{};
    Clock::time_point next_look_{};
    PeerState last_look_ = PeerState::not_here_yet;
};

/// The absolute time that calls such as sem_clockwait(3) and mq_timedreceive(3) are given. It is
/// computed again only after it has passed, so that a message costs no look at the clock; a call
/// that starts late in the interval comes back early, and its wait glances and calls again.
class GlanceTime {
  public:
    explicit GlanceTime(clockid_t clock) : clock_(clock) { renew(); }
    const timespec* get() const { return &at_; }
    void renew() {
        ::clock_gettime(clock_, &at_);
        at_.tv_nsec += std::chrono::nanoseconds(glance_interval).count();
        if (at_.tv_nsec >= 1'000'000'000) {
            at_.tv_nsec -= 1'000'000'000;
            ++at_.tv_sec;
        }
    }

  private:
    clockid_t clock_;
    timespec at_{};
};

}  // namespace ipclab
