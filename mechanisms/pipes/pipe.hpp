// Pipe: a buffer in the kernel with a way in and a way out.
//
// A pipe is a ring of pages, 16 by default, that belongs to the kernel. write(2) copies the bytes
// from the sender into those pages, read(2) copies them out to the receiver: two copies, two system
// calls. A reader that finds the pipe empty sleeps, and the write that brings the first byte wakes
// it; a writer that finds it full sleeps until a read has made room. Bytes have no boundaries: what
// was written in two calls may be read in one. And bytes flow one way, so a conversation takes two
// pipes.
//
// An end with O_NONBLOCK does not sleep: a read that finds nothing, or a write that finds no room,
// fails with EAGAIN. `pipe/spin` then asks again, at once. That spares the sleep and the wake-up,
// the dearest part of a short message between two CPUs, and costs a CPU while nothing comes; each
// look is a system call, where a ring in shared memory is watched for nothing.
//
//   create    pipe2(2), twice; fcntl(2) with F_SETPIPE_SZ
//   attach    close(2) the two ends that are the peer's
//   exchange  writev(2), readv(2): length and payload in one call
//   detach    close(2): the reader then finds end of file, the writer EPIPE
//   destroy   nothing to do: the pipe is gone with its last descriptor
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/framed_stream.hpp"
#include "mechanisms/os/tick.hpp"
#include "mechanisms/pipes/pipe_capacity.hpp"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

namespace ipclab {

/// `waiting` is Waiting::sleeps or Waiting::spins.
template <Waiting waiting>
class AnyPipe {
    static constexpr bool polls = waiting == Waiting::spins;

  public:
    class Endpoint {
      public:
        Endpoint(Fd input, Fd output, std::chrono::milliseconds timeout)
            : input_(std::move(input)),
              output_(std::move(output)),
              stream_(input_.get(), output_.get(), timeout, polls ? polls_between_glances : 1) {
            // A write to a pipe that nobody can read kills the writer, unless it says that it minds
            // the return value instead.
            ::signal(SIGPIPE, SIG_IGN);
        }

        void send(View out) {
            if constexpr (!polls) tick_this_thread();
            stream_.send(out);
        }
        std::size_t receive(Bytes in) {
            if constexpr (!polls) tick_this_thread();
            return stream_.receive(in);
        }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return FramedStream::message_bytes_max();
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return pipe_bytes(output_.get()) - sizeof(FramedStream::Length);
        }
        /// For an event loop, or for a program that speaks to the kernel by itself.
        [[nodiscard]] const FramedStream& stream() const { return stream_; }

      private:
        Fd input_;
        Fd output_;
        FramedStream stream_;
    };

    static AnyPipe create(const Needs& needs) {
        AnyPipe pipe;
        pipe.timeout_ = needs.timeout;
        for (OneWay& way : pipe.ways_) {
            int ends[2];
            must(::pipe2(ends, O_CLOEXEC | (polls ? O_NONBLOCK : 0)), "pipe2");
            way = {Fd(ends[0]), Fd(ends[1])};
            if (needs.capacity_bytes > 0)
                set_pipe_bytes(way.in.get(), needs.capacity_bytes + sizeof(FramedStream::Length));
        }
        return pipe;
    }

    /// Takes this side's two ends and closes the peer's: as long as anybody keeps a writing end
    /// open, the reader waits for more instead of finding end of file. So one process can attach
    /// one side.
    Endpoint attach(Role role) {
        OneWay& mine = ways_[role.side == Side::initiator ? 0 : 1];
        OneWay& theirs = ways_[role.side == Side::initiator ? 1 : 0];
        Endpoint endpoint(std::move(theirs.out), std::move(mine.in), timeout_);
        stand_aside();
        return endpoint;
    }

    void stand_aside() {
        for (OneWay& way : ways_) way = {};
    }

    static constexpr Facts facts{
        .name = polls ? "pipe/spin" : "pipe",
        .family = "pipes",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = false,
        .addressing = Addressing::inherited,
        .connects = Connects::related_processes,
        .guard = Guard::inheritance,
        .lifetime = Lifetime::process,
        .message_bytes_max = "any",
        .capacity = "64 KiB - 8 B",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = waiting,
        .lesson = polls ? "Polling a pipe trades the wake-up for a whole CPU, and still enters the "
                          "kernel at every look."
                        : "Two copies and two system calls buy a conversation in which the kernel "
                          "does all the waiting.",
    };

  private:
    /// A look that finds nothing takes 100 ns and more: the clock is read every 0.1 ms or so.
    static constexpr int polls_between_glances = 1000;

    struct OneWay {
        Fd out;
        Fd in;
    };
    std::array<OneWay, 2> ways_;  // of what the initiator writes, of what the responder writes
    std::chrono::milliseconds timeout_{};
};

using Pipe = AnyPipe<Waiting::sleeps>;
using SpinningPipe = AnyPipe<Waiting::spins>;
static_assert(Mechanism<Pipe> && Mechanism<SpinningPipe>);

}  // namespace ipclab
