// Two ways to sleep until a queue has an item, for any number of sleepers.
//
// A bell belongs to a queue whose operations need no lock. Who has pushed rings it; who finds the
// queue empty sleeps on it. Both promise the same: if the push comes before the last look, the look
// finds the item; if it comes after, the sleeper is woken. And in both a waiter that was killed may
// take no wake-up with it into its grave that another one needed, so both wake all. For the
// condition variable that is not enough, as its lesson tells.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/patience.hpp"

#include <atomic>
#include <cstdint>
#include <pthread.h>
#include <time.h>

namespace ipclab::villas {

// ---------------------------------------------------------------------------------------------
// A futex.

/// One word: its lowest bit says that somebody sleeps, or is about to; the others count how often
/// the bell has been rung for that. A sleeper sleeps on the very value that it made or found when
/// it set the bit. Whoever rings changes it, and so no wake-up can slip in between the last look
/// and the sleep (futex(2) compares).
///
/// What is left is Dekker's argument (waiting/futex.hpp): the sleeper sets the bit and then looks
/// at the queue, the ringer pushes and then looks at the bit; all four sequentially consistent, one
/// of them sees the other.
template <class Atomics>
struct FutexBell {
    typename Atomics::template Atomic<std::uint32_t> word{0};

    /// With which order an item must be published before `ring`.
    static constexpr std::memory_order publish = std::memory_order::seq_cst;

    void sleep_until(auto&& ready, auto&& glance) {
        for (;;) {
            std::uint32_t seen = word.load(std::memory_order::relaxed);
            while (!word.compare_exchange_weak(seen, seen | armed, std::memory_order::seq_cst,
                                               std::memory_order::relaxed)) {
            }
            // If it is ready, the bit stays: another sleeper may have relied on it.
            if (ready(std::memory_order::seq_cst)) return;
            Atomics::futex_wait(word, seen | armed, glance_interval);
            if (ready(std::memory_order::acquire)) return;
            glance();
        }
    }
    void ring() {
        std::uint32_t seen = word.load(std::memory_order::seq_cst);
        if ((seen & armed) == 0) return;
        // If this fails, somebody else has rung, after our item was there for all to see.
        if (word.compare_exchange_strong(seen, (seen & ~armed) + next, std::memory_order::relaxed,
                                         std::memory_order::relaxed))
            Atomics::futex_wake_all(word);
    }

  private:
    static constexpr std::uint32_t armed = 1;
    static constexpr std::uint32_t next = 2;
};

// ---------------------------------------------------------------------------------------------
// A mutex and a condition variable, as VILLASnode has them.

/// The mutex guards nothing but the moment of falling asleep: it is held from the last look to
/// pthread_cond_wait(3), and taken and given back by who has pushed. So a holder that was killed
/// leaves nothing broken behind. The original's mutex is not robust, and blocks the survivor for
/// ever; this one is, and is used on (pthread_mutex_consistent(3)).
///
/// There is no such cure for the condition variable. glibc counts its sleepers in it; one that was
/// killed stays counted. Seen with glibc 2.36: the next broadcast wakes the dead; the one after,
/// once somebody sleeps again, waits inside pthread_cond_broadcast for the dead to leave, for ever,
/// whatever its deadline, and all who come to sleep or to ring wait behind it.
struct CondvarBell {
    pthread_mutex_t mutex;
    pthread_cond_t condition;

    static constexpr std::memory_order publish = std::memory_order::release;

    /// Done once, in memory of zero bytes.
    void initialise() {
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
        check(::pthread_mutex_init(&mutex, &of_mutex), "pthread_mutex_init");
        check(::pthread_cond_init(&condition, &of_condition), "pthread_cond_init");
    }

    void sleep_until(auto&& ready, auto&& glance) {
        GlanceTime until(CLOCK_MONOTONIC);
        Lock lock(mutex);
        while (!ready(std::memory_order::acquire)) {
            const int error = ::pthread_cond_timedwait(&condition, &mutex, until.get());
            if (error == EOWNERDEAD) {
                check(::pthread_mutex_consistent(&mutex), "pthread_mutex_consistent");
            } else if (error == ETIMEDOUT) {
                if (ready(std::memory_order::acquire)) return;
                glance();
                until.renew();
            } else {
                check(error, "pthread_cond_timedwait");
            }
        }
    }
    /// Broadcasts with the mutex free again: else who is woken would have to sleep once more.
    void ring() {
        { const Lock lock(mutex); }
        check(::pthread_cond_broadcast(&condition), "pthread_cond_broadcast");
    }

  private:
    static void check(int error, const char* call) {
        if (error != 0) throw SystemError(call, error);
    }

    /// Whoever holds it holds it for a moment, but may have been stopped in it.
    class Lock {
      public:
        explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) {
            int error = ::pthread_mutex_trylock(&mutex_);
            if (error == EBUSY) {
                constexpr int patience_s = 1;
                timespec end{};
                ::clock_gettime(CLOCK_REALTIME, &end);  // as the call below has it
                end.tv_sec += patience_s;
                error = ::pthread_mutex_timedlock(&mutex_, &end);
            }
            if (error == ETIMEDOUT) throw TimedOut("pthread_mutex_timedlock");
            if (error == EOWNERDEAD) error = ::pthread_mutex_consistent(&mutex_);
            check(error, "pthread_mutex_timedlock");
        }
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;
        ~Lock() { ::pthread_mutex_unlock(&mutex_); }

      private:
        pthread_mutex_t& mutex_;
    };
};

}  // namespace ipclab::villas
