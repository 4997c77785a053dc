// Semaphores that are looked at, again and again: a flag each.
//
// To post is to store 1, to wait is to look until it is there and to store 0. No system call, and
// nobody to wake; what a message costs is the line of the flag, which travels between the cores.
// How the waiter looks (waiting/spin.hpp) is the parameter.
//
// A flag is written by both sides, but never at the same time: who posts does so only after the
// other has taken the post before. So plain stores do, where several waiters would need a locked
// instruction.
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"
#include "mechanisms/waiting/spin.hpp"

namespace ipclab {

template <template <class> class WaitStrategy>
class FlagSemaphores {
    using Strategy = WaitStrategy<SystemAtomics>;
    struct alignas(64) Flag {
        std::atomic<std::uint32_t> posted;
        typename Strategy::Bell bell;
    };

  public:
    struct State {
        Flag flags[semaphores_of_a_conversation];
    };
    struct Objects {};

    static Objects create(State& state) {
        for (int i = 0; i < semaphores_of_a_conversation; ++i)
            state.flags[i].posted = posted_at_first(i) ? 1 : 0;
        return {};
    }
    FlagSemaphores(State& state, const Objects&) : state_(&state) {}

    void wait(int index, auto&& glance) {
        Flag& flag = state_->flags[index];
        const auto is_posted = [&](std::memory_order order) {
            return flag.posted.load(order) != 0;
        };
        Strategy::wait_until(flag.bell, is_posted, glance);
        flag.posted.store(0, std::memory_order_relaxed);
    }
    void post(int index) {
        Flag& flag = state_->flags[index];
        flag.posted.store(1, Strategy::store_before_ring);
        Strategy::ring(flag.bell);
    }

    static constexpr std::string_view name = Strategy::name;
    static constexpr Waiting kind = Strategy::kind;
    static constexpr SystemCalls post_calls = Strategy::wake_calls;
    static constexpr SystemCalls wait_calls = Strategy::wait_calls;
    static constexpr AfterAKill after_a_kill = AfterAKill::survivor_is_told;
    static constexpr bool by_address = true;
    static constexpr std::string_view lesson =
        kind == Waiting::spins
            ? "Who never looks away learns of a message first, and keeps a CPU busy for it."
            : "Who yields between two looks can share its CPU with the peer; each yield is a "
              "system "
              "call all the same.";

  private:
    State* state_;
};

static_assert(SemaphoreSet<FlagSemaphores<Spin>> && SemaphoreSet<FlagSemaphores<SpinYield>>);

}  // namespace ipclab
