// TCP over loopback: the network's stream of bytes, from a machine to itself.
//
// What is written is copied into segments, which walk through the whole protocol, are numbered and
// acknowledged, and end in the receiving socket's queue without ever meeting a device; the receiver
// copies them out: two copies, two system calls, and many more instructions than a Unix socket
// takes. A sender waits when its own buffer is full, which empties as the receiver's has room.
//
// Nagle's algorithm (RFC 896) holds a small segment back while another is under way. Paired with a
// receiver that delays its acknowledgement, that costs a message written in two parts some 40 ms
// (docs/examples/nagle.cpp). TCP_NODELAY switches it off; here length and payload are written in
// one call as well. By default both buffers grow as the conversation goes; here they are set, so
// that the capacity is what it says.
//
//   create    socket(2), bind(2) to a port of 127.0.0.1, listen(2)
//   attach    the initiator connect(2)s, the responder accept(2)s
//   exchange  writev(2), readv(2): length and payload in one call
//   detach    close(2): the peer finds end of file, or ECONNRESET
//   destroy   nothing to do: the port is free when the last socket is closed
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/framed_stream.hpp"
#include "mechanisms/sockets/loopback.hpp"

#include <csignal>
#include <netinet/tcp.h>

namespace ipclab {

class Tcp {
  public:
    class Endpoint {
      public:
        Endpoint(Fd socket, std::chrono::milliseconds timeout)
            : socket_(std::move(socket)), stream_(socket_.get(), socket_.get(), timeout) {
            ::signal(SIGPIPE, SIG_IGN);
        }

        void send(View out) { stream_.send(out); }
        std::size_t receive(Bytes in) { return stream_.receive(in); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return FramedStream::message_bytes_max();
        }
        /// At least; up to twice as much where segments happen to fall well. The book-keeping of
        /// what waits in the two buffers takes no more than one of them.
        [[nodiscard]] std::size_t capacity_bytes() const {
            return sockets::buffer_bytes(socket_.get(), sockets::Buffer::send) -
                   sizeof(FramedStream::Length);
        }
        [[nodiscard]] const FramedStream& stream() const { return stream_; }

      private:
        Fd socket_;
        FramedStream stream_;
    };

    static Tcp create(const Needs& needs) {
        Tcp made(needs);
        made.listener_ = made.socket();
        // Else the port is taken for a minute after its last connection (TIME_WAIT).
        sockets::set_option(made.listener_.get(), SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt");
        made.port_ =
            sockets::bind_to_port(made.listener_.get(), needs.address.name, ObjectKind::tcp_port);
        must(::listen(made.listener_.get(), 1), "listen");
        made.where_ = {made.port_.name()};
        return made;
    }
    static Tcp open(const Address& where, const Needs& needs) {
        Tcp opened(needs);
        opened.where_ = where;
        return opened;
    }
    [[nodiscard]] Address address() const { return where_; }

    /// The responder waits here for the initiator. Throws TimedOut when it does not come.
    Endpoint attach(Role role) {
        Fd connection = role.side == Side::initiator ? connect() : accept();
        stand_aside();
        return {std::move(connection), needs_.timeout};
    }
    void stand_aside() { listener_.reset(); }

    static constexpr Facts facts{
        .name = "tcp",
        .family = "sockets",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = true,
        .addressing = Addressing::port,
        .connects = Connects::any_process,
        .guard = Guard::nothing_but_the_port,
        .lifetime = Lifetime::process,
        .message_bytes_max = "any",
        .capacity = "208 KiB - 8 B, or somewhat more",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "The same program would run across a network, and pays for a network's protocol "
                  "on one machine; nothing guards it but the port, which any user may connect to.",
    };

  private:
    explicit Tcp(const Needs& needs) : needs_(needs) {}

    /// The window that a connection agrees upon depends on the buffers, so they are set before;
    /// accepted sockets have their listener's.
    [[nodiscard]] Fd socket() const {
        Fd made(must(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
        for (const auto which : {sockets::Buffer::send, sockets::Buffer::receive})
            if (needs_.capacity_bytes > 0)
                sockets::ask_for_buffer(made.get(), which,
                                        needs_.capacity_bytes + sizeof(FramedStream::Length));
            else
                sockets::try_buffer(made.get(), which, default_buffer_bytes);
        return connected(std::move(made));
    }
    static Fd connected(Fd socket) {
        sockets::set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1, "setsockopt(TCP_NODELAY)");
        sockets::limit_calls_to_a_glance(socket.get());
        return socket;
    }

    [[nodiscard]] Fd connect() const {
        Fd mine = socket();
        const sockaddr_in where = sockets::loopback(where_.name);
        Wait wait("connect", needs_.timeout);
        while (::connect(mine.get(), sockets::pointer_to(where), sizeof where) == -1) {
            if (errno == EISCONN) break;
            if (errno != EAGAIN && errno != EINTR && errno != EINPROGRESS && errno != EALREADY)
                throw_system_error("connect", errno);
            wait.glance();
        }
        return mine;
    }
    Fd accept() {
        if (!listener_) throw Refused("attach", "who opens a port is the initiator");
        Wait wait("accept", needs_.timeout);
        for (;;) {
            Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (accepted) return connected(std::move(accepted));
            if (errno != EAGAIN && errno != EINTR) throw_system_error("accept4", errno);
            wait.glance();
        }
    }

    static constexpr std::size_t default_buffer_bytes = 212'992;  // as other sockets have

    Needs needs_;
    Address where_;
    NamedObject port_;
    Fd listener_;
};

static_assert(Addressed<Tcp>);

}  // namespace ipclab
