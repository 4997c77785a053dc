// A deadline for calls that know none.
//
// read(2) on a pipe blocks until something comes; no argument limits the wait. A signal does: the
// call returns EINTR, and its loop can look at the clock. A single alarm could arrive just before
// the call and be lost, so this one ticks: every glance_interval, for the thread that asked for it
// (timer_create(2), SIGEV_THREAD_ID). At 20 ticks a second it costs less than one part in 10,000.
#pragma once

#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/patience.hpp"

#include <csignal>
#include <ctime>
#include <optional>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ipclab {

/// A timer that interrupts the blocking calls of the thread that made it.
class Tick {
  public:
    Tick() {
        struct sigaction action {};
        action.sa_handler = [](int) {};
        action.sa_flags = 0;  // not SA_RESTART: the calls are meant to be interrupted
        must(::sigaction(SIGRTMAX, &action, nullptr), "sigaction");
        sigevent event{};
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = SIGRTMAX;
        event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
        timer_t timer{};
        if (::timer_create(CLOCK_MONOTONIC, &event, &timer) == -1) {
            // Each timer has a signal allotted.
            if (errno == EAGAIN) throw limits::queued_signals().reached("timer_create", errno);
            throw SystemError("timer_create", errno);
        }
        timer_ = timer;
        const timespec interval{0, std::chrono::nanoseconds(glance_interval).count()};
        const itimerspec often{interval, interval};
        must(::timer_settime(timer, 0, &often, nullptr), "timer_settime");
    }
    Tick(const Tick&) = delete;
    Tick& operator=(const Tick&) = delete;
    ~Tick() {
        if (timer_) ::timer_delete(*timer_);
    }

    void forget() { timer_.reset(); }

  private:
    std::optional<timer_t> timer_;
};

/// What tick_this_thread looks at: a plain word, which costs no call to look at.
inline constinit thread_local bool this_thread_ticks = false;

/// What tick_this_thread does, once a thread.
[[gnu::noinline]] inline void start_to_tick() {
    thread_local std::optional<Tick> tick;
    // A child inherits this thread's variables, but not its timers (timer_create(2)).
    static const int for_children = ::pthread_atfork(nullptr, nullptr, [] {
        if (tick) tick->forget();
        tick.reset();
        this_thread_ticks = false;
    });
    (void)for_children;
    tick.emplace();
    this_thread_ticks = true;
}

/// Makes blocking calls of this thread return EINTR now and then, until the thread ends. Asks for
/// the timer once a thread; after that it costs a nanosecond. Uses the last real-time signal,
/// SIGRTMAX.
inline void tick_this_thread() {
    if (!this_thread_ticks) [[unlikely]]
        start_to_tick();
}

}  // namespace ipclab
