// Eventfd: a counter in the kernel that one can sleep on.
//
// write(2) adds to the counter, read(2) takes all of it and sets it to zero; at zero the reader
// sleeps, and the write wakes it. So three notifications that nobody has waited for are one, with
// the number 3 in it: an eventfd says that something has happened, and how often, but not what.
// (With EFD_SEMAPHORE, each read takes 1.)
//
// No payload moves, and yet a round trip takes almost as long as through a pipe. What is left is
// where the latency of every short message comes from: two system calls, and above all the wake-up,
// which puts the sleeper on a CPU's queue, interrupts that CPU if it is idle, and changes context.
//
//   create    eventfd(2), twice: what the initiator has to say, what the responder has
//   attach    nothing to do: the descriptors are inherited
//   exchange  write(2) adds 1, read(2) waits and takes all
//   detach    close(2)
//   destroy   nothing to do: the counter is gone with its last descriptor
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/lifeline.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/tick.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

namespace ipclab {

class EventFd {
  public:
    class Endpoint {
      public:
        Endpoint(Fd input, Fd output, Lifeline peer, std::chrono::milliseconds timeout)
            : input_(std::move(input)),
              output_(std::move(output)),
              peer_(std::move(peer)),
              timeout_(timeout) {}

        /// Waits only where the counter is at its end, 2^64 - 2.
        void notify() {
            tick_this_thread();
            const std::uint64_t one = 1;
            Wait wait("write", timeout_, &peer_);
            while (::write(output_.get(), &one, sizeof one) == -1) look_around("write", wait);
        }
        /// Returns how many notifications there were. Throws Closed, PeerGone, TimedOut.
        std::uint64_t wait() {
            tick_this_thread();
            std::uint64_t notifications = 0;
            Wait wait("read", timeout_, &peer_);
            while (::read(input_.get(), &notifications, sizeof notifications) == -1)
                look_around("read", wait);
            return notifications;
        }

      private:
        static void look_around(const char* call, Wait& wait) {
            if (errno != EINTR) throw SystemError(call, errno);
            wait.glance();
        }

        Fd input_;
        Fd output_;
        Lifeline peer_;  // an eventfd has no end of file
        std::chrono::milliseconds timeout_;
    };

    static EventFd create(const Needs& needs) {
        EventFd made;
        made.timeout_ = needs.timeout;
        for (Fd& counter : made.counters_) counter = Fd(must(::eventfd(0, EFD_CLOEXEC), "eventfd"));
        std::tie(made.lifelines_[0], made.lifelines_[1]) = lifeline_ends();
        return made;
    }
    Endpoint attach(Role role) {
        const std::size_t mine = role.side == Side::initiator ? 0 : 1;
        Endpoint endpoint(std::move(counters_[1 - mine]), std::move(counters_[mine]),
                          Lifeline(std::move(lifelines_[mine])), timeout_);
        stand_aside();
        return endpoint;
    }
    void stand_aside() {
        for (Fd& counter : counters_) counter.reset();
        for (Fd& end : lifelines_) end.reset();
    }

    static constexpr Facts facts{
        .name = "eventfd",
        .family = "notifications",
        .sender = Dialect::notifies,
        .receiver = Dialect::notifies,
        .copies = 0,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = false,
        .addressing = Addressing::inherited,
        .connects = Connects::related_processes,
        .guard = Guard::inheritance,
        .lifetime = Lifetime::process,
        .message_bytes_max = "no payload",
        .capacity = "2^64 - 2 notifications, as one",
        .priorities = false,
        .senders = std::numeric_limits<int>::max(),
        .receivers = std::numeric_limits<int>::max(),
        .waiting = Waiting::sleeps,
        .lesson = "Take the payload away, and the wake-up is still there: it, not the copy, is "
                  "what a short message costs.",
    };

  private:
    Fd counters_[2];   // of what the initiator says, of what the responder says
    Fd lifelines_[2];  // the initiator's end, the responder's
    std::chrono::milliseconds timeout_{};
};

static_assert(Mechanism<EventFd>);

}  // namespace ipclab
