// Semaphores made of a word of shared memory and two system calls.
//
// A futex is no object: it is any word that both have mapped. FUTEX_WAIT puts the caller to sleep
// if the word still holds the value that the caller has seen, FUTEX_WAKE wakes who sleeps on it;
// the kernel compares and falls asleep in one step, so that no wake-up is lost in between (Franke,
// Russell and Kirkwood 2002, "Fuss, Futexes and Furwocks"; futex(7)).
//
// The word has three values. A waiter that finds `empty` makes it `slept_on` and sleeps; who posts
// swaps `posted` in, and makes the system call only if it swapped `slept_on` out (Drepper 2011,
// "Futexes Are Tricky"). As one word tells both, whether there is a post and whether somebody
// sleeps, a locked instruction on each side settles who was first. (The rings tell it by two words,
// and need more care: waiting/futex.hpp.)
//
// `futex` looks for about 10 µs before it sleeps, `futex-pure` goes to sleep at once.
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"

namespace ipclab {

template <int looks_before_sleep>
class FutexSemaphores {
    enum Value : std::uint32_t { empty, posted, slept_on };
    struct alignas(64) Word {
        std::atomic<std::uint32_t> value;
    };

  public:
    struct State {
        Word words[semaphores_of_a_conversation];
    };
    struct Objects {};

    static Objects create(State& state) {
        for (int i = 0; i < semaphores_of_a_conversation; ++i)
            state.words[i].value = posted_at_first(i) ? posted : empty;
        return {};
    }
    FutexSemaphores(State& state, const Objects&) : state_(&state) {}

    void wait(int index, auto&& glance) {
        std::atomic<std::uint32_t>& word = state_->words[index].value;
        for (int look = 0; look < looks_before_sleep; ++look) {
            if (word.load(std::memory_order_acquire) == posted) break;
            SystemAtomics::relax();
        }
        for (;;) {
            std::uint32_t seen = word.load(std::memory_order_acquire);
            if (seen == posted) break;
            if (seen == empty &&
                !word.compare_exchange_strong(seen, slept_on, std::memory_order_relaxed))
                continue;  // it has just been posted
            SystemAtomics::futex_wait(word, slept_on, glance_interval);
            if (word.load(std::memory_order_relaxed) != posted) glance();
        }
        word.store(empty, std::memory_order_relaxed);  // nobody else writes to a posted one
    }
    void post(int index) {
        std::atomic<std::uint32_t>& word = state_->words[index].value;
        if (word.exchange(posted, std::memory_order_release) == slept_on)
            SystemAtomics::futex_wake(word);
    }

    static constexpr bool spins = looks_before_sleep > 0;
    static constexpr std::string_view name = spins ? "futex" : "futex-pure";
    static constexpr Waiting kind = spins ? Waiting::spins_then_sleeps : Waiting::sleeps;
    static constexpr SystemCalls post_calls{0, 1};
    static constexpr SystemCalls wait_calls{0, 1};
    static constexpr AfterAKill after_a_kill = AfterAKill::survivor_is_told;
    static constexpr bool by_address = true;
    static constexpr std::string_view lesson =
        spins ? "A short look before the sleep saves both system calls whenever the answer comes "
                "soon."
              : "A word says whether anybody sleeps, so the kernel is only called to sleep and to "
                "wake.";

  private:
    State* state_;
};

using SpinThenFutexSemaphores = FutexSemaphores<SystemAtomics::turns_before_sleep>;
using PureFutexSemaphores = FutexSemaphores<0>;

static_assert(SemaphoreSet<SpinThenFutexSemaphores> && SemaphoreSet<PureFutexSemaphores>);

}  // namespace ipclab
