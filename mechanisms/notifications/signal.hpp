// Signal: a number that is sent to a process.
//
// sigqueue(3) names the process itself, by its pid, where every other mechanism names an object in
// between: direct communication. The kernel checks that the sender is of the same user (kill(2)).
// A real-time signal is queued, in order, with an int or a pointer's worth of value; an ordinary
// one is a bit that is set once, however often it is sent. Of several pending, the one with the
// lowest number comes first. A queue holds what RLIMIT_SIGPENDING admits, and then the sender is
// refused: it cannot wait for room. The signal tells who sent it, and as the C library looks that
// up anew, sigqueue(3) makes three system calls: getpid(2), getuid(2) and the one that counts.
//
// A handler may interrupt the program anywhere, and may call next to nothing (signal-safety(7)).
// Who has blocked the signal can wait for it in order instead, with sigtimedwait(2). It must be
// blocked in every thread before the first one can come, since an unblocked one ends the process.
// And a pid is only lent: after its process has ended and been waited for, another may have it
// (pidfd_send_signal(2) names a process for good).
//
//   create    pthread_sigmask(3) to block the signal; socketpair(2)
//   attach    send(2) and recv(2) through it: the two learn each other's pid
//   exchange  sigqueue(3), sigtimedwait(2)
//   detach    close(2)
//   destroy   nothing to do: what is pending is gone with the process that it was sent to
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/lifeline.hpp"
#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/patience.hpp"

#include <csignal>
#include <sys/socket.h>
#include <unistd.h>

namespace ipclab {

/// A process can have one such conversation at a time: a signal is for the whole process.
class Signal {
  public:
    /// Whose numbers differ from one C library to the next: SIGRTMIN is no constant.
    static int number() { return SIGRTMIN; }

    class Endpoint {
      public:
        /// `peer` is the process on the other end of `lifeline`.
        Endpoint(pid_t peer, Lifeline lifeline, std::chrono::milliseconds timeout)
            : peer_(peer), lifeline_(std::move(lifeline)), timeout_(timeout) {}

        /// Never waits. Throws PeerGone, and LimitReached when too many signals are pending.
        void notify(int value = 0) const {
            if (::sigqueue(peer_, number(), sigval{.sival_int = value}) == 0) return;
            if (errno == ESRCH) throw PeerGone("sigqueue", errno);
            if (errno == EAGAIN) throw limits::queued_signals().reached("sigqueue", errno);
            throw SystemError("sigqueue", errno);
        }
        /// Returns the value that the notification carries. Throws Closed, PeerGone, TimedOut.
        int wait() const {  // NOLINT(modernize-use-nodiscard): most wait for the notification only
            const sigset_t awaited = awaited_signal();
            const timespec interval{0, std::chrono::nanoseconds(glance_interval).count()};
            for (Wait wait("sigtimedwait", timeout_, &lifeline_);;) {
                siginfo_t told{};
                if (::sigtimedwait(&awaited, &told, &interval) == -1) {
                    if (errno != EAGAIN && errno != EINTR) throw SystemError("sigtimedwait", errno);
                    wait.glance();
                } else if (told.si_pid == peer_) {  // any process of this user may send it
                    return told.si_value.sival_int;
                }
            }
        }

      private:
        pid_t peer_;
        Lifeline lifeline_;
        std::chrono::milliseconds timeout_;
    };

    static Signal create(const Needs& needs) {
        block();
        Signal made;
        made.timeout_ = needs.timeout;
        std::tie(made.ends_[0], made.ends_[1]) = lifeline_ends();
        return made;
    }

    /// Waits for the peer to attach, too.
    Endpoint attach(Role role) {
        Fd mine = std::move(ends_[role.side == Side::initiator ? 0 : 1]);
        stand_aside();
        block();
        const pid_t peer = exchange_pids(mine);
        return {peer, Lifeline(std::move(mine)), timeout_};
    }
    void stand_aside() {
        for (Fd& end : ends_) end.reset();
    }

    static constexpr Facts facts{
        .name = "signal",
        .family = "notifications",
        .sender = Dialect::notifies,
        .receiver = Dialect::notifies,
        .copies = 0,
        .send_calls = {3, 3},
        .receive_calls = {1, 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::inherited,
        .naming = Naming::direct,
        .connects = Connects::related_processes,
        .guard = Guard::peer_credentials,
        .lifetime = Lifetime::process,
        .message_bytes_max = "no payload but a value",
        .capacity = "as many signals as ulimit -i admits",
        .priorities = true,
        .senders = std::numeric_limits<int>::max(),
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "A queued signal names a process, carries a value and is never merged; nothing "
                  "but a number distinguishes it from a stranger's.",
    };

  private:
    /// In this thread, and in those and the children that it will start. For good, since what came
    /// late would end the process.
    static void block() {
        const sigset_t awaited = awaited_signal();
        if (const int error = ::pthread_sigmask(SIG_BLOCK, &awaited, nullptr); error != 0)
            throw SystemError("pthread_sigmask", error);
    }
    static sigset_t awaited_signal() {
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, number());
        return set;
    }

    [[nodiscard]] pid_t exchange_pids(const Fd& peer) const {
        const pid_t own = ::getpid();
        if (::send(peer.get(), &own, sizeof own, MSG_NOSIGNAL) == -1) throw PeerGone("send", errno);
        const timeval interval{0, std::chrono::microseconds(glance_interval).count()};
        must(::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &interval, sizeof interval),
             "setsockopt");
        pid_t theirs = 0;
        for (Wait wait("recv", timeout_);;) {
            const ssize_t got = ::recv(peer.get(), &theirs, sizeof theirs, MSG_WAITALL);
            if (got == sizeof theirs) return theirs;
            if (got >= 0 || errno == ECONNRESET) throw PeerGone("recv");
            if (errno != EAGAIN && errno != EINTR) throw SystemError("recv", errno);
            wait.glance();
        }
    }

    Fd ends_[2];  // the initiator's, the responder's
    std::chrono::milliseconds timeout_{};
};

static_assert(Mechanism<Signal>);

}  // namespace ipclab
