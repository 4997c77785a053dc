// Waiting by looking, and sleeping a little longer each time that nothing was there.
//
// A packet engine that spins takes a whole CPU while no packet comes; one that sleeps in the kernel
// has to be woken, which costs the sender a system call. This is the way between, as Snabb's engine
// goes it: the sender does nothing, and the receiver sleeps for a time that grows by 1 µs with each
// look in vain, up to 100 µs, and is halved by each look that finds something. A busy link is
// looked at all the time; an idle one some 7000 times a second, at the price of a late first
// packet.
//
// The kernel adds its own: it wakes a sleeper up to 50 µs late, so that it can wake several at once
// (prctl(2), PR_SET_TIMERSLACK).
#pragma once

#include "mechanisms/mechanism.hpp"

#include <algorithm>
#include <atomic>
#include <ctime>

namespace ipclab {

/// Some milliseconds.
constexpr int naps_between_glances = 16;
constexpr int nap_us_max = 100;

template <class Atomics>
class AdaptiveSleep {
  public:
    static constexpr Waiting kind = Waiting::polls_sleeping;
    static constexpr SystemCalls wake_calls{0, 0};
    /// A message costs none. The naps (nanosleep(2)) are as many as time permits.
    static constexpr SystemCalls wait_calls{0, 0};
    static constexpr std::string_view name = "adaptive-sleep";
    static constexpr std::memory_order store_before_ring = std::memory_order::release;

    struct Bell {};

    static void wait_until(Bell&, auto&& ready, auto&& glance) {
        for (int looks = 1; !ready(std::memory_order::acquire); ++looks) {
            threads_nap_us = std::min(threads_nap_us + 1, nap_us_max);
            const timespec nap{0, threads_nap_us * 1000L};
            ::nanosleep(&nap, nullptr);  // cut short by a signal, it is a shorter nap
            if (looks % naps_between_glances == 0) glance();
        }
        threads_nap_us /= 2;
    }
    static void ring(Bell&) {}

    /// How long this thread slept last, for a person and for tests.
    static int nap_us() { return threads_nap_us; }

  private:
    // Of a thread, as it is of an engine: what was busy a moment ago is likely to be so again.
    static constinit inline thread_local int threads_nap_us = 0;
};

}  // namespace ipclab
