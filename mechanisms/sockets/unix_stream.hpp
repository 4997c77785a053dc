// Unix stream socket: a two-way stream of bytes between processes of one machine.
//
// The sender's bytes are copied into kernel buffers that are hung on the receiver's queue, and
// copied out again by the receiver: two copies, two system calls, no protocol in between. The
// sender is charged for what lies unread, buffers' overhead included, and sleeps when that reaches
// SO_SNDBUF; the receiver sleeps on an empty queue and is woken by the next send. One socket serves
// both directions. It is found by a path in the file system, so the processes need not be related.
//
//   create    socket(2), bind(2) to a path, listen(2)
//   attach    the initiator connect(2)s to the path, the responder accept(2)s
//   exchange  writev(2), readv(2): length and payload in one call
//   detach    close(2): the peer finds end of file, or EPIPE
//   destroy   unlink(2) the path, which the socket would outlive
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/framed_stream.hpp"
#include "mechanisms/os/named_object.hpp"

#include <csignal>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

namespace ipclab {

class UnixStream {
  public:
    class Endpoint {
      public:
        Endpoint(Fd socket, std::chrono::milliseconds timeout, std::size_t capacity_bytes)
            : socket_(std::move(socket)),
              stream_(socket_.get(), socket_.get(), timeout),
              capacity_bytes_(capacity_bytes) {
            ::signal(SIGPIPE, SIG_IGN);
        }

        void send(View out) { stream_.send(out); }
        std::size_t receive(Bytes in) { return stream_.receive(in); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return FramedStream::message_bytes_max();
        }
        [[nodiscard]] std::size_t capacity_bytes() const { return capacity_bytes_; }
        [[nodiscard]] const FramedStream& stream() const { return stream_; }

      private:
        Fd socket_;
        FramedStream stream_;
        std::size_t capacity_bytes_;
    };

    static UnixStream create(const Needs& needs) {
        UnixStream made(needs);
        made.path_ = NamedObject(ObjectKind::file,
                                 fmt::format("{}/{}", runtime_folder(), fresh_name("unix-stream")));
        made.listener_ = socket();
        const sockaddr_un where = address_of(made.path_.name());
        const mode_t umask = ::umask(0177);  // bind makes the file: 0600 from the first moment
        const int bound =
            ::bind(made.listener_.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where);
        ::umask(umask);
        must(bound, "bind");
        must(::listen(made.listener_.get(), 1), "listen");
        made.where_ = {made.path_.name()};
        return made;
    }

    static UnixStream open(const Address& where, const Needs& needs) {
        UnixStream opened(needs);
        opened.where_ = where;
        return opened;
    }
    [[nodiscard]] Address address() const { return where_; }

    /// The responder waits here for the initiator. Throws TimedOut when it does not come.
    Endpoint attach(Role role) {
        Fd connection = role.side == Side::initiator ? connect() : accept();
        stand_aside();
        return {std::move(connection), needs_.timeout, capacity_by_trying(needs_)};
    }

    void stand_aside() { listener_.reset(); }

    static constexpr Facts facts{
        .name = "unix-stream",
        .family = "sockets",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = true,
        .addressing = Addressing::file_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,
        .message_bytes_max = "any",
        .capacity = "what SO_SNDBUF admits",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "A pipe that goes both ways and has an address; the book-keeping of its buffers "
                  "costs short messages most.",
    };

  private:
    explicit UnixStream(const Needs& needs) : needs_(needs) {}

    static Fd socket() {
        return Fd(must(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    }

    /// With the buffer that was asked for: an accepted socket does not take over its listener's. A
    /// blocked call comes back with EAGAIN after an interval, and its wait looks at the clock.
    static Fd tuned(Fd socket, const Needs& needs) {
        if (needs.capacity_bytes > 0) {
            const auto bytes = static_cast<int>(needs.capacity_bytes / 2);  // the kernel doubles it
            must(::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes),
                 "setsockopt(SO_SNDBUF)");
        }
        const auto interval = std::chrono::microseconds(glance_interval).count();
        const timeval limit{.tv_sec = 0, .tv_usec = interval};
        for (const int direction : {SO_RCVTIMEO, SO_SNDTIMEO})
            must(::setsockopt(socket.get(), SOL_SOCKET, direction, &limit, sizeof limit),
                 "setsockopt");
        return socket;
    }

    [[nodiscard]] Fd connect() const {
        Fd mine = tuned(socket(), needs_);
        const sockaddr_un where = address_of(where_.name);
        must(::connect(mine.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where),
             "connect");
        return mine;
    }

    Fd accept() {
        if (!listener_) throw Refused("attach", "who opens a socket by its path is the initiator");
        listener_ = tuned(std::move(listener_), needs_);
        Wait wait("accept", needs_.timeout);
        for (;;) {
            Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (accepted) return tuned(std::move(accepted), needs_);
            if (errno != EAGAIN && errno != EINTR) throw SystemError("accept4", errno);
            wait.glance();
        }
    }

    static sockaddr_un address_of(const std::string& path) {
        sockaddr_un where{};
        where.sun_family = AF_UNIX;
        if (path.size() >= sizeof where.sun_path)
            throw Refused("bind", fmt::format("the path {} is longer than {} bytes", path,
                                              sizeof where.sun_path - 1));
        path.copy(where.sun_path, path.size());
        return where;
    }

    /// How much one send may run ahead of the reader. SO_SNDBUF counts buffers with their overhead,
    /// so no call tells; a send that must not block shows it.
    static std::size_t capacity_by_trying(const Needs& needs) {
        int ends[2];
        must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
        const Fd writer = tuned(Fd(ends[0]), needs);
        const Fd reader(ends[1]);
        const std::vector<std::byte> plenty(needs.capacity_bytes * 2 + (std::size_t{4} << 20));
        const ssize_t accepted =
            must(::send(writer.get(), plenty.data(), plenty.size(), MSG_DONTWAIT), "send");
        return static_cast<std::size_t>(accepted) - sizeof(FramedStream::Length);
    }

    Needs needs_;
    NamedObject path_;
    Address where_;
    Fd listener_;
};

static_assert(Addressed<UnixStream>);

}  // namespace ipclab
