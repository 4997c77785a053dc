// Waiting by looking for a while, then sleeping in the kernel.
//
// A waiter that finds nothing says so in a word of shared memory (the bell is armed), looks once
// more, and sleeps on that word. Who publishes looks at the word after: armed, it is disarmed and
// the sleeper woken. No system call is made while both are awake.
//
// The danger is the lost wake-up: the waiter sees no message, the sender sees no armed bell, and
// the waiter sleeps for ever. Each side stores one word and then loads the other; if all four are
// sequentially consistent, one of the two sees the other's store (Dekker's argument). Acquire and
// release are not enough, since they let a load overtake an earlier store of another word. The
// price is a locked instruction (XCHG) per message, where a plain store would do for who spins.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/patience.hpp"

#include <atomic>
#include <cstdint>

namespace ipclab {

template <class Atomics>
class SpinThenFutex {
  public:
    static constexpr Waiting kind = Waiting::spins_then_sleeps;
    static constexpr SystemCalls wake_calls{0, 1};
    static constexpr SystemCalls wait_calls{0, 1};
    static constexpr std::string_view name = "futex";
    static constexpr std::memory_order store_before_ring = std::memory_order::seq_cst;

    struct Bell {
        typename Atomics::template Atomic<std::uint32_t> armed{0};
    };

    static void wait_until(Bell& bell, auto&& ready, auto&& glance) {
        for (int turn = 0; turn < Atomics::turns_before_sleep; ++turn) {
            if (ready(std::memory_order::acquire)) return;
            Atomics::relax();
        }
        sleep_until(bell, ready, glance);
    }
    static void ring(Bell& bell) {
        if (bell.armed.load(std::memory_order::seq_cst) == 0) return;
        bell.armed.store(0, std::memory_order::relaxed);
        Atomics::futex_wake(bell.armed);
    }

  protected:
    static void sleep_until(Bell& bell, auto&& ready, auto&& glance) {
        while (!ready(std::memory_order::acquire)) {
            bell.armed.store(1, std::memory_order::seq_cst);
            if (ready(std::memory_order::seq_cst)) {
                bell.armed.store(0, std::memory_order::relaxed);
                return;
            }
            Atomics::futex_wait(bell.armed, 1, glance_interval);
            if (!ready(std::memory_order::acquire)) glance();
        }
    }
};

/// Goes to sleep at once.
template <class Atomics>
class SleepInFutex : public SpinThenFutex<Atomics> {
  public:
    static constexpr Waiting kind = Waiting::sleeps;
    static constexpr std::string_view name = "futex-pure";
    using typename SpinThenFutex<Atomics>::Bell;

    static void wait_until(Bell& bell, auto&& ready, auto&& glance) {
        SpinThenFutex<Atomics>::sleep_until(bell, ready, glance);
    }
};

}  // namespace ipclab
