// Process-shared POSIX semaphores: what POSIX has for this, ready made.
//
// sem_init(3) with its second argument 1 makes a semaphore in memory that processes share; it needs
// no name, no descriptor and no removal. Inside glibc it is a futex: a count, and a count of
// waiters. So sem_post(3) enters the kernel only to wake somebody, and sem_wait(3) only to sleep.
//
// The state is the C library's: a peer that scribbles over it can make the library abort this
// process, so semaphores are shared with whom one trusts. A semaphore has no owner either: if a
// process dies between its wait and its post, nobody is told; that takes os/presence.hpp.
#pragma once

#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"

#include <semaphore.h>

namespace ipclab {

class PosixSemaphores {
    struct alignas(64) Line {
        sem_t semaphore;
    };

  public:
    struct State {
        Line lines[semaphores_of_a_conversation];
    };
    struct Objects {};

    static Objects create(State& state) {
        for (int i = 0; i < semaphores_of_a_conversation; ++i)
            must(::sem_init(&state.lines[i].semaphore, 1, posted_at_first(i) ? 1 : 0), "sem_init");
        return {};
    }
    PosixSemaphores(State& state, const Objects&) : state_(&state) {}

    void wait(int index, auto&& glance) {
        sem_t& semaphore = state_->lines[index].semaphore;
        GlanceTime& until = glance_times_[index];
        while (::sem_clockwait(&semaphore, CLOCK_MONOTONIC, until.get()) == -1) {
            if (errno != ETIMEDOUT && errno != EINTR) throw SystemError("sem_clockwait", errno);
            glance();
            until.renew();
        }
    }
    void post(int index) { must(::sem_post(&state_->lines[index].semaphore), "sem_post"); }

    static constexpr std::string_view name = "semaphore";
    static constexpr Waiting kind = Waiting::sleeps;
    static constexpr SystemCalls post_calls{0, 1};
    static constexpr SystemCalls wait_calls{0, 1};
    static constexpr AfterAKill after_a_kill = AfterAKill::survivor_is_told;
    static constexpr bool by_address = true;
    static constexpr std::string_view lesson =
        "Memory is shared for nothing; what costs is telling the other that it has changed.";

  private:
    State* state_;
    GlanceTime glance_times_[semaphores_of_a_conversation]{
        GlanceTime{CLOCK_MONOTONIC}, GlanceTime{CLOCK_MONOTONIC}, GlanceTime{CLOCK_MONOTONIC},
        GlanceTime{CLOCK_MONOTONIC}};
};

static_assert(SemaphoreSet<PosixSemaphores>);

}  // namespace ipclab
