// Waiting by looking, again and again.
//
// The fastest way to learn of a message is to watch the line it will appear on: no system call on
// either side, and no wake-up. The price is a whole CPU while nothing comes. On a CPU that waiter
// and peer share, a pure spinner uses up its time slice while the peer could work; there it has to
// yield after each look.
//
// A wait strategy has two sides, which share a Bell: `wait_until` returns when `ready` says so,
// `ring` is called by who made it so.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <atomic>
#include <cstdint>

namespace ipclab {

/// In a spin loop the clock and the peer are looked at every so many turns (about 0.1 ms).
constexpr int turns_between_glances = 4096;
/// A yield may last as long as another program's time slice, some 3 ms.
constexpr int yields_between_glances = 16;

template <class Atomics>
class Spin {
  public:
    static constexpr Waiting kind = Waiting::spins;
    static constexpr SystemCalls wake_calls{0, 0};
    static constexpr SystemCalls wait_calls{0, 0};
    static constexpr std::string_view name = "spin";
    /// With which order an index must be stored before `ring`, so that neither side misses the
    /// other.
    static constexpr std::memory_order store_before_ring = std::memory_order::release;

    struct Bell {};

    static void wait_until(Bell&, auto&& ready, auto&& glance) {
        while (!ready(std::memory_order::acquire)) {
            for (int turn = 0; turn < turns_between_glances; ++turn) {
                Atomics::relax();
                if (ready(std::memory_order::acquire)) return;
            }
            glance();
        }
    }
    static void ring(Bell&) {}
};

template <class Atomics>
class SpinYield : public Spin<Atomics> {
  public:
    static constexpr Waiting kind = Waiting::spins_yielding;
    static constexpr std::string_view name = "spin-yield";
    using typename Spin<Atomics>::Bell;

    static void wait_until(Bell&, auto&& ready, auto&& glance) {
        while (!ready(std::memory_order::acquire)) {
            for (int turn = 0; turn < yields_between_glances; ++turn) {
                Atomics::yield();
                if (ready(std::memory_order::acquire)) return;
            }
            glance();
        }
    }
};

}  // namespace ipclab
