// The atomics that shared memory is synchronised with, and the two calls that sleep on one.
//
// Rings and waits take them as a template parameter, so that a model checker can put its own in
// their place and check the source that ships.
#pragma once

#include "mechanisms/os/error.hpp"

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ipclab {

struct SystemAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
                      std::atomic<std::uint64_t>::is_always_lock_free,
                  "a lock would live in one process only");

    /// Non-temporal stores before it are seen before any store after it (SFENCE).
    static void order_non_temporal_stores() { __builtin_ia32_sfence(); }
    static std::int64_t now_ns() {
        return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
    }

    static void fence(std::memory_order order) { std::atomic_thread_fence(order); }

    /// One turn of a spin loop: lets the core leave the line alone for some 10 ns (PAUSE).
    static void relax() { __builtin_ia32_pause(); }
    static void yield() { ::sched_yield(); }
    /// So many turns take about 10 µs: less than the 20 µs and more that a sleep and a wake-up
    /// cost.
    static constexpr int turns_before_sleep = 400;

    /// Sleeps while `word` holds `expected`, at most for `timeout`; may wake for no reason
    /// (futex(2)).
    static void futex_wait(Atomic<std::uint32_t>& word, std::uint32_t expected,
                           std::chrono::nanoseconds timeout) {
        const timespec limit{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000};
        if (::syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0) == -1 &&
            errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT)
            throw SystemError("futex(FUTEX_WAIT)", errno);
    }
    static void futex_wake(Atomic<std::uint32_t>& word) {
        must(::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0), "futex(FUTEX_WAKE)");
    }
    static void futex_wake_all(Atomic<std::uint32_t>& word) {
        must(::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0),
             "futex(FUTEX_WAKE)");
    }
};

}  // namespace ipclab
