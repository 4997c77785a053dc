// A queue that can be waited for: the bounded queue (queue.hpp) and a way to wait.
//
// The way is a property of the queue. Its creator chooses it, it lies in the memory that all see,
// and who opens the queue does as it says there; the two directions of a conversation can differ.
// A push never waits, whatever the way: it is lock-free first, and rings after.
#pragma once

#include "mechanisms/rings/villas/bells.hpp"
#include "mechanisms/rings/villas/queue.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <string_view>

namespace ipclab::villas {

enum class Mode : std::uint32_t { polling = 1, pthread = 2, futex = 3 };

constexpr bool is_mode(std::uint32_t word) { return word >= 1 && word <= 3; }

template <class Atomics>
class SignalledQueue {
  public:
    using Queue = BoundedQueue<Atomics>;
    using Cell = typename Queue::Cell;

    struct State {
        typename Queue::State queue;
        alignas(64) FutexBell<Atomics> futex;
        CondvarBell condvar;
    };

    /// Done once, in memory of zero bytes.
    static void initialise(State& state, Cell* cells, std::uint64_t count, Mode mode) {
        Queue::initialise(state.queue, cells, count);
        if (mode == Mode::pthread) state.condvar.initialise();
    }

    /// `count` and `mode` are told, and not read from the memory: see BoundedQueue.
    SignalledQueue(State& state, Cell* cells, std::uint64_t count, Mode mode)
        : state_(&state), queue_(state.queue, cells, count), mode_(mode) {}

    /// Others can pull it from now on. Those who sleep learn of it by `ring`, one for any number of
    /// pushes.
    Outcome push(const std::byte* item) {
        return queue_.push(item, mode_ == Mode::futex ? FutexBell<Atomics>::publish
                                                      : CondvarBell::publish);
    }
    void ring() {
        if (mode_ == Mode::futex) state_->futex.ring();
        if (mode_ == Mode::pthread) state_->condvar.ring();
    }
    Outcome pull(std::byte*& item) { return queue_.pull(item); }

    /// Waits for an item; `glance` is called now and then, and throws when it is time to give up.
    /// Done, or closed. Throws Refused when the queue is broken.
    Outcome await(std::byte*& item, auto&& glance) {
        Outcome outcome = Outcome::empty;
        const auto ready = [&](std::memory_order order) {
            outcome = queue_.pull(item, order);
            return outcome != Outcome::empty;
        };
        wait_until(ready, glance);
        if (outcome == Outcome::broken)
            throw Refused("queue", "a peer has tampered with the queue's counters");
        return outcome;
    }

    Queue& queue() { return queue_; }
    [[nodiscard]] const Queue& queue() const { return queue_; }

  private:
    void wait_until(auto&& ready, auto&& glance) {
        if (ready(std::memory_order::acquire)) return;
        switch (mode_) {
        case Mode::polling: {
            typename Spin<Atomics>::Bell none;
            Spin<Atomics>::wait_until(none, ready, glance);
            break;
        }
        case Mode::pthread:
            state_->condvar.sleep_until(ready, glance);
            break;
        case Mode::futex:
            for (int turn = 0; turn < Atomics::turns_before_sleep; ++turn) {
                Atomics::relax();
                if (ready(std::memory_order::acquire)) return;
            }
            state_->futex.sleep_until(ready, glance);
            break;
        }
    }

    State* state_;
    Queue queue_;
    Mode mode_;
};

}  // namespace ipclab::villas
