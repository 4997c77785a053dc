// Pipe with vmsplice: pages that are given to a pipe instead of bytes.
//
// A pipe is a ring of slots that point to pages. write(2) copies into pages of the kernel's own;
// vmsplice(2) lets the slots point to the sender's pages. The one copy that is left is read(2)'s,
// straight from the sender's memory to the receiver's. The price: a slot is a page, however little
// of it is used, and the call must look every page up; short messages gain nothing.
//
// The pages are lent, not copied: until the reader has read them, whatever the sender writes there
// is what the reader will read. No call tells when that is over, and to reuse a buffer as soon as
// vmsplice(2) has returned is the classic mistake. But a pipe is a queue with a fixed number of
// slots: once as many pages as there are slots have followed a page into the pipe, that page has
// left it, and as this receiver copies before it frees the slot, it may be written again. (One that
// passed it on, with splice(2) or tee(2), would hold it longer.) So messages are made in a ring of
// pages that is larger than the pipe by the largest message: what loan() hands out has been
// followed by as many pages as the pipe has slots.
//
//   create    pipe2(2), twice; fcntl(2) with F_SETPIPE_SZ
//   attach    memfd_create(2), mmap(2): the sender's ring of pages
//   exchange  vmsplice(2) of length and payload, readv(2)
//   detach    munmap(2), close(2): pages that are still in the pipe live on until they are read
//   destroy   nothing to do
#pragma once

#include "mechanisms/os/mapping.hpp"
#include "mechanisms/pipes/pipe.hpp"

namespace ipclab {

class PipeVmsplice {
    using Length = FramedStream::Length;

  public:
    class Endpoint {
      public:
        /// `pipe` for both directions; it is only written to through vmsplice(2).
        Endpoint(Pipe::Endpoint pipe, std::size_t message_bytes_max,
                 std::chrono::milliseconds timeout)
            : pipe_(std::move(pipe)),
              message_pages_max_(std::max(pages(message_bytes_max), pipe_pages())),
              ring_(make_ring((pipe_pages() + message_pages_max_) * page_bytes())),
              timeout_(timeout) {}

        /// Does not wait: publish() does.
        Bytes loan(std::size_t n) {
            if (n > message_bytes_max())
                throw Refused("loan",
                              fmt::format("the sender has pages for messages of up to {} bytes",
                                          message_bytes_max()),
                              EMSGSIZE);
            return {ring_.data() + next_ + sizeof(Length), n};
        }
        /// Throws PeerGone; TimedOut, after which the conversation is over.
        void publish(std::size_t n) {
            tick_this_thread();
            const Length length = n;
            std::memcpy(ring_.data() + next_, &length, sizeof length);
            for (iovec rest{ring_.data() + next_, sizeof length + n}; rest.iov_len > 0;) {
                const std::size_t given = give(rest);
                rest = {static_cast<std::byte*>(rest.iov_base) + given, rest.iov_len - given};
            }
            // The next message begins on another page: this one is in the pipe.
            next_ = (next_ + pages(n) * page_bytes()) % (ring_.size() / 2);
        }
        std::size_t receive(Bytes in) { return pipe_.receive(in); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return message_pages_max_ * page_bytes() - sizeof(Length);
        }
        [[nodiscard]] std::size_t capacity_bytes() const { return pipe_.capacity_bytes(); }
        [[nodiscard]] const FramedStream& stream() const { return pipe_.stream(); }

      private:
        static std::size_t pages(std::size_t payload_bytes) {
            return round_up(sizeof(Length) + payload_bytes, page_bytes()) / page_bytes();
        }
        [[nodiscard]] std::size_t pipe_pages() const { return pages(pipe_.capacity_bytes()); }

        /// Mapped twice in a row, so that a message may run over the end. Shared, since a private
        /// page is replaced when its owner writes to it after a fork(2).
        static Mapping make_ring(std::size_t bytes) {
            const Fd memory(must(::memfd_create("ipclab-vmsplice", MFD_CLOEXEC), "memfd_create"));
            must(::ftruncate(memory.get(), static_cast<off_t>(bytes)), "ftruncate");
            return Mapping::mirrored(memory.get(), bytes, 0);
        }

        /// As much as finds room; waits until some does.
        [[nodiscard]] std::size_t give(const iovec& part) const {
            for (Wait wait("publish", timeout_);;) {
                const ssize_t given = ::vmsplice(stream().output(), &part, 1, 0);
                if (given != -1) return static_cast<std::size_t>(given);
                if (errno == EPIPE) throw PeerGone("vmsplice", errno);
                if (errno != EINTR) throw SystemError("vmsplice", errno);
                wait.glance();
            }
        }

        Pipe::Endpoint pipe_;
        std::size_t message_pages_max_;
        Mapping ring_;
        std::size_t next_ = 0;  // where in the ring the next message begins
        std::chrono::milliseconds timeout_;
    };

    static PipeVmsplice create(const Needs& needs) {
        PipeVmsplice made;
        made.pipe_ = Pipe::create(needs);
        made.needs_ = needs;
        return made;
    }
    Endpoint attach(Role role) {
        return {pipe_.attach(role), needs_.message_bytes_max, needs_.timeout};
    }
    void stand_aside() { pipe_.stand_aside(); }

    static constexpr Facts facts{
        .name = "pipe-vmsplice",
        .family = "pipes",
        .sender = Dialect::lends,
        .receiver = Dialect::copies,
        .copies = 1,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = false,
        .addressing = Addressing::inherited,
        .connects = Connects::related_processes,
        .guard = Guard::inheritance,
        .lifetime = Lifetime::process,
        .message_bytes_max = "64 KiB - 8 B, or as asked",
        .capacity = "16 pages",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "A page that was given is read later: saving the sender's copy means to leave "
                  "the page alone until the reader is done.",
    };

  private:
    Pipe pipe_;
    Needs needs_;
};

static_assert(Mechanism<PipeVmsplice>);

}  // namespace ipclab
