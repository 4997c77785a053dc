// Unix datagram socket: messages without a connection, and none of them lost.
//
// Each datagram is copied into a kernel buffer that is hung on the receiver's queue, and copied out
// whole: two copies, two system calls. The kernel lets the sender wait where a network would drop:
// until what lies unread, overhead included, is less than SO_SNDBUF. There is a second limit: at
// most net.unix.max_dgram_qlen (10) datagrams wait at a socket that is not connected back to the
// sender. So both sides connect to each other; that also turns away strangers' datagrams, since the
// kernel then takes none but the peer's.
//
// A datagram may be empty, and there is no end of file. Whoever waits learns of a peer's end from
// the peer's presence (os/presence.hpp), whoever sends from ECONNREFUSED, and a send that fails in
// this way throws away what lies unread here.
//
//   create    socket(2) of type SOCK_DGRAM, bind(2) to a path or to "@name"
//   attach    connect(2) to the path; an automatic name, to which the responder connect(2)s back
//   exchange  send(2), recv(2)
//   detach    close(2), of which the peer learns nothing
//   destroy   unlink(2) the path
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/presence.hpp"
#include "mechanisms/sockets/greeting.hpp"
#include "mechanisms/sockets/unix_address.hpp"

namespace ipclab {

class UnixDgram {
  public:
    class Endpoint {
      public:
        Endpoint(Fd socket, Presence peer, const Needs& needs)
            : socket_(std::move(socket)), peer_(std::move(peer)), needs_(needs) {}

        void send(View out) {
            Wait wait("send", needs_.timeout, &peer_);
            while (::send(socket_.get(), out.data(), out.size(), 0) == -1) {
                if (errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN)
                    throw_gone(errno);
                if (errno == EMSGSIZE)
                    throw Refused("send", "a datagram has to fit the send buffer", errno);
                look_around("send", wait);
            }
        }

        std::size_t receive(Bytes in) {
            Wait wait("receive", needs_.timeout, &peer_);
            ssize_t got = 0;
            // MSG_TRUNC: returns the datagram's size, even if the kernel had to cut it off.
            while ((got = ::recv(socket_.get(), in.data(), in.size(), MSG_TRUNC)) == -1)
                if (errno != ECONNRESET) look_around("recv", wait);
            const auto size = static_cast<std::size_t>(got);
            if (size > in.size()) throw Refused::too_small("recv", size, in.size());
            return size;
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return room().packet_bytes; }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return room().packets * room().packet_bytes;
        }

      private:
        [[noreturn]] void throw_gone(int error) const {
            if (peer_.peer() == PeerState::left) throw Closed("send");
            throw PeerGone("send", error);
        }
        static void look_around(const char* call, Wait& wait) {
            if (errno != EAGAIN && errno != EINTR) throw_system_error(call, errno);
            wait.glance();
        }
        [[nodiscard]] const sockets::PacketRoom& room() const {
            return room_.get([&] { return sockets::PacketRoom::by_trying(SOCK_DGRAM, needs_); });
        }

        Fd socket_;
        Presence peer_;  // destroyed first: says goodbye while the socket is still there
        Needs needs_;
        sockets::OnDemand<sockets::PacketRoom> room_;
    };

    static UnixDgram create(const Needs& needs) {
        UnixDgram made(needs, sockets::address_or_fresh(needs, "unix-dgram"));
        made.socket_ = made.socket();
        made.name_ = made.address_.bind(made.socket_.get());
        made.presence_ = Presence::create(made.address_.text());
        return made;
    }
    static UnixDgram open(const Address& where, const Needs& needs) {
        return {needs, sockets::UnixAddress(where.name)};
    }
    [[nodiscard]] Address address() const { return {address_.text()}; }

    /// Each side waits for the other. Throws TimedOut when it does not come.
    Endpoint attach(Role role) {
        Presence peer(address_.text(), role.side);
        Wait wait("attach", needs_.timeout, &peer);
        Fd mine = role.side == Side::initiator ? call(wait) : answer(wait);
        stand_aside();
        return {std::move(mine), std::move(peer), needs_};
    }
    void stand_aside() { socket_.reset(); }

    static constexpr Facts facts{
        .name = "unix-dgram",
        .family = "sockets",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::file_name,
        .naming = Naming::direct,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,
        .message_bytes_max = "SO_SNDBUF - 32 B (208 KiB)",
        .capacity = "one of the largest, more of smaller ones",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson =
            "Datagrams need not get lost: within one machine the kernel lets the sender wait; "
            "but nobody is told when the other hangs up.",
    };

  private:
    UnixDgram(const Needs& needs, sockets::UnixAddress address)
        : needs_(needs), address_(std::move(address)) {}

    [[nodiscard]] Fd socket() const {
        Fd made(must(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
        sockets::ask_for_room(made.get(), needs_);
        sockets::limit_calls_to_a_glance(made.get());
        return made;
    }
    [[nodiscard]] Fd call(Wait& wait) const {
        Fd mine = socket();
        address_.connect(mine.get(), wait);
        // Only now a name, which the kernel chooses: nobody but the responder can use it.
        const sa_family_t automatic = AF_UNIX;
        must(::bind(mine.get(), reinterpret_cast<const sockaddr*>(&automatic), sizeof automatic),
             "bind");
        sockets::Greeting(mine.get(), wait).as_initiator();
        return mine;
    }
    [[nodiscard]] Fd answer(Wait& wait) {
        if (!socket_) throw Refused("attach", "who opens a socket by its name is the initiator");
        sockets::Greeting greeting(socket_.get(), wait);
        greeting.await_the_initiator();
        greeting.welcome_the_initiator();
        return std::move(socket_);
    }

    Needs needs_;
    sockets::UnixAddress address_;
    NamedObject name_;
    NamedObject presence_;
    Fd socket_;
};

static_assert(Addressed<UnixDgram>);

}  // namespace ipclab
