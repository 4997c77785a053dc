// Semaphores out of a mutex and a condition variable: what a textbook's monitor takes.
//
// The mutex guards a flag; who waits for the flag gives the mutex back and falls asleep in one step
// (pthread_cond_wait(3)), who sets it wakes the sleeper (pthread_cond_signal(3)). All of it lies in
// memory that both have mapped (PTHREAD_PROCESS_SHARED) and is a futex inside; while nobody sleeps,
// no system call is made.
//
// A mutex has an owner, and the owner may die. A robust one says so to whoever locks it next
// (EOWNERDEAD), who may repair what it guards. Here nothing is repaired: the mutex is given back as
// it is, and thereby unusable for ever (ENOTRECOVERABLE). The channel is dead, and the peer gone.
//
// A condition variable has no owner, and nothing in it is robust. glibc counts its sleepers in it,
// and one that was killed stays counted. Seen with glibc 2.36: the next signal is spent on the
// dead; the one after waits inside pthread_cond_signal for the dead to leave, for ever, and with it
// hang all who wait then or later, whatever their deadline. In a conversation of two the survivor
// gets away with it: it signals a dead reader once, and finds no room after that. But who comes in
// the dead one's place hangs, and so does a waiter whose peer was killed inside
// pthread_cond_signal.
#pragma once

#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"

#include <pthread.h>

namespace ipclab {

class CondvarSemaphores {
  public:
    struct alignas(64) Monitor {
        pthread_mutex_t mutex;
        pthread_cond_t condition;
        std::uint32_t posted;
    };
    struct State {
        Monitor monitors[semaphores_of_a_conversation];
    };
    struct Objects {};

    static Objects create(State& state) {
        pthread_mutexattr_t of_mutex;
        pthread_condattr_t of_condition;
        check(::pthread_mutexattr_init(&of_mutex), "pthread_mutexattr_init");
        check(::pthread_condattr_init(&of_condition), "pthread_condattr_init");
        check(::pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED),
              "pthread_mutexattr_setpshared");
        check(::pthread_mutexattr_setrobust(&of_mutex, PTHREAD_MUTEX_ROBUST),
              "pthread_mutexattr_setrobust");
        check(::pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED),
              "pthread_condattr_setpshared");
        check(::pthread_condattr_setclock(&of_condition, CLOCK_MONOTONIC),
              "pthread_condattr_setclock");
        for (int i = 0; i < semaphores_of_a_conversation; ++i) {
            Monitor& monitor = state.monitors[i];
            check(::pthread_mutex_init(&monitor.mutex, &of_mutex), "pthread_mutex_init");
            check(::pthread_cond_init(&monitor.condition, &of_condition), "pthread_cond_init");
            monitor.posted = posted_at_first(i) ? 1 : 0;
        }
        return {};
    }
    CondvarSemaphores(State& state, const Objects&) : state_(&state) {}

    void wait(int index, auto&& glance) {
        Monitor& monitor = state_->monitors[index];
        GlanceTime& until = glance_times_[index];
        const Lock lock(monitor.mutex);
        while (monitor.posted == 0) {
            const int error =
                ::pthread_cond_timedwait(&monitor.condition, &monitor.mutex, until.get());
            if (error == 0) continue;
            if (error != ETIMEDOUT) check(error, "pthread_cond_timedwait");
            glance();
            until.renew();
        }
        monitor.posted = 0;
    }
    void post(int index) {
        Monitor& monitor = state_->monitors[index];
        {
            const Lock lock(monitor.mutex);
            monitor.posted = 1;
        }
        // After the mutex is free: else who is woken would have to sleep again, for the mutex.
        check(::pthread_cond_signal(&monitor.condition), "pthread_cond_signal");
    }

    static constexpr std::string_view name = "condvar";
    static constexpr Waiting kind = Waiting::sleeps;
    static constexpr SystemCalls post_calls{0, 1};
    /// To sleep; and, since glibc takes it for granted that others wait for a mutex that a woken
    /// waiter has locked, to wake nobody when it is unlocked.
    static constexpr SystemCalls wait_calls{0, 2};
    static constexpr AfterAKill after_a_kill = AfterAKill::survivor_may_hang;
    static constexpr bool by_address = true;
    static constexpr std::string_view lesson =
        "A robust mutex survives its owner; a condition variable does not survive a waiter that is "
        "killed, and who signals it next may hang.";

  private:
    static void check(int error, const char* call) {
        if (error == EOWNERDEAD || error == ENOTRECOVERABLE) throw PeerGone(call, error);
        if (error != 0) throw SystemError(call, error);
    }

    class Lock {
      public:
        explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) {
            const int error = ::pthread_mutex_lock(&mutex_);
            // Given back without pthread_mutex_consistent(3).
            if (error == EOWNERDEAD) ::pthread_mutex_unlock(&mutex_);
            check(error, "pthread_mutex_lock");
        }
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;
        ~Lock() { ::pthread_mutex_unlock(&mutex_); }

      private:
        pthread_mutex_t& mutex_;
    };

    State* state_;
    GlanceTime glance_times_[semaphores_of_a_conversation]{
        GlanceTime{CLOCK_MONOTONIC}, GlanceTime{CLOCK_MONOTONIC}, GlanceTime{CLOCK_MONOTONIC},
        GlanceTime{CLOCK_MONOTONIC}};
};

static_assert(SemaphoreSet<CondvarSemaphores>);

}  // namespace ipclab
