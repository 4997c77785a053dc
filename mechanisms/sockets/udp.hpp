// UDP over loopback: the network's datagrams, and what becomes of them when nobody waits.
//
// A datagram is copied into a kernel buffer, walks through the protocol and is put on the receiving
// socket's queue, if that has room (SO_RCVBUF, book-keeping included); the receiver copies it out:
// two copies, two system calls. If it has no room the datagram is dropped, and the sender, which
// never waits, is not told. The receiver's kernel counts what it dropped, and says so along with
// the next datagram (SO_RXQ_OVFL): `receive` then throws Lost, with the number, and gives that
// datagram at the next call. A conversation that must not lose anything needs flow control above
// this: see "udp/credit" (udp_credit.hpp).
//
// Both sockets are connected, and the kernel turns away datagrams from elsewhere. There is no end
// of file; a datagram to a port that nobody has comes back as ECONNREFUSED.
//
//   create    socket(2), bind(2) to a port of 127.0.0.1
//   attach    connect(2) to the port, and to where the first word comes from (greeting.hpp)
//   exchange  sendmsg(2), recvmsg(2)
//   detach    close(2), of which the peer learns nothing
//   destroy   nothing to do: the port is free when the socket is closed
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/sockets/greeting.hpp"
#include "mechanisms/sockets/loopback.hpp"

#include <optional>
#include <sys/uio.h>
#include <vector>

namespace ipclab {

class Udp {
  public:
    /// IPv4's 65,535 bytes less the headers of IP (20) and UDP (8).
    static constexpr std::size_t datagram_bytes_max = 65'507;

    /// What the kernel charges to a receive buffer for a datagram, at most: a power of two, or
    /// whole pages, and its own structures.
    static constexpr std::size_t charge(std::size_t datagram_bytes) {
        return datagram_bytes + std::min<std::size_t>(datagram_bytes, 16'384) + 1024;
    }

    class Endpoint {
      public:
        /// `dropped`: as counted when the socket was connected.
        Endpoint(Fd socket, std::uint32_t dropped, std::chrono::milliseconds timeout)
            : socket_(std::move(socket)), timeout_(timeout), dropped_(dropped) {}

        void send(View out) { send({}, out); }
        /// Throws Lost before the message that was sent after those that were dropped.
        std::size_t receive(Bytes in) {
            const std::size_t size = receive({}, in);
            if (size > in.size()) throw Refused::too_small("recvmsg", size, in.size());
            return size;
        }

        /// The same in two parts, for a protocol with a header of its own. `receive` returns the
        /// size of the second part, which may be more than found room in `body`.
        void send(View head, View body) {
            iovec parts[] = {{const_cast<std::byte*>(head.data()), head.size()},
                             {const_cast<std::byte*>(body.data()), body.size()}};
            msghdr message{};
            message.msg_iov = parts;
            message.msg_iovlen = 2;
            Wait wait("send", timeout_);
            while (::sendmsg(socket_.get(), &message, 0) == -1) {
                if (errno == ECONNREFUSED) throw PeerGone("sendmsg", errno);
                if (errno == EMSGSIZE)
                    throw Refused("sendmsg", "a datagram has to fit one packet of IP", errno);
                if (errno != EAGAIN && errno != EINTR) throw_system_error("sendmsg", errno);
                wait.glance();
            }
        }
        std::size_t receive(Bytes head, Bytes body) {
            if (kept_) return give_kept(head, body);
            iovec parts[] = {{head.data(), head.size()}, {body.data(), body.size()}};
            alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof(std::uint32_t))];
            msghdr message{};
            message.msg_iov = parts;
            message.msg_iovlen = 2;
            message.msg_control = control;
            Wait wait("receive", timeout_);
            bool is_gone = false;
            ssize_t got = 0;
            // MSG_TRUNC: returns the datagram's size, even if the kernel had to cut it off.
            while (message.msg_controllen = sizeof control,
                   (got = ::recvmsg(socket_.get(), &message, MSG_TRUNC)) == -1)
                look_around(wait, is_gone);
            const auto size = static_cast<std::size_t>(got);
            if (size < head.size()) throw Refused("recvmsg", "a datagram without a header");
            if (const std::uint32_t dropped = dropped_before(message); is_news(dropped)) {
                keep(head, body.first(std::min(body.size(), size - head.size())), size);
                throw_lost(dropped);
            }
            return size - head.size();
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return datagram_bytes_max; }
        /// At least.
        [[nodiscard]] std::size_t capacity_bytes() const {
            const std::size_t buffer =
                sockets::buffer_bytes(socket_.get(), sockets::Buffer::receive);
            return std::max<std::size_t>(1, buffer / charge(datagram_bytes_max)) *
                   datagram_bytes_max;
        }

      private:
        /// Nothing came for an interval. Whether the peer is still there can be seen by its port:
        /// bind(2) succeeds when it is free. Then there is one more look at the queue.
        void look_around(Wait& wait, bool& is_gone) {
            const int error = errno;
            if (error != EAGAIN && error != EINTR && error != ECONNREFUSED)
                throw_system_error("recvmsg", error);
            if (is_gone) throw PeerGone("recvmsg", error == ECONNREFUSED ? error : 0);
            if (const auto dropped = sockets::dropped_so_far(socket_.get()); is_news(dropped))
                throw_lost(dropped);
            is_gone = error == ECONNREFUSED || sockets::peers_udp_port_is_free(socket_.get());
            wait.glance();
        }
        /// As the kernel noted it when it queued the datagram; it says nothing while that is 0.
        [[nodiscard]] std::uint32_t dropped_before(const msghdr& message) const {
            const cmsghdr* note = CMSG_FIRSTHDR(&message);
            if (note == nullptr || note->cmsg_type != SO_RXQ_OVFL) return dropped_;
            std::uint32_t dropped = 0;
            std::memcpy(&dropped, CMSG_DATA(note), sizeof dropped);
            return dropped;
        }
        /// The count turns over; and what was queued while we looked may carry an older one.
        [[nodiscard]] bool is_news(std::uint32_t dropped) const {
            return static_cast<std::int32_t>(dropped - dropped_) > 0;
        }
        [[noreturn]] void throw_lost(std::uint32_t dropped) {
            throw Lost("recvmsg", dropped - std::exchange(dropped_, dropped));
        }

        /// A datagram that came with bad news.
        struct Kept {
            std::vector<std::byte> head;
            std::vector<std::byte> body;
            std::size_t bytes;
        };
        void keep(View head, View body, std::size_t bytes) {
            kept_ = Kept{{head.begin(), head.end()}, {body.begin(), body.end()}, bytes};
        }
        std::size_t give_kept(Bytes head, Bytes body) {
            const Kept kept = *std::exchange(kept_, std::nullopt);
            std::copy(kept.head.begin(), kept.head.end(), head.begin());
            std::copy_n(kept.body.begin(), std::min(kept.body.size(), body.size()), body.begin());
            return kept.bytes - kept.head.size();
        }

        Fd socket_;
        std::chrono::milliseconds timeout_;
        std::uint32_t dropped_;
        std::optional<Kept> kept_;
    };

    static Udp create(const Needs& needs) {
        Udp made(needs);
        made.socket_ = made.socket();
        made.port_ =
            sockets::bind_to_port(made.socket_.get(), needs.address.name, ObjectKind::udp_port);
        made.where_ = {made.port_.name()};
        return made;
    }
    static Udp open(const Address& where, const Needs& needs) {
        Udp opened(needs);
        opened.where_ = where;
        return opened;
    }
    [[nodiscard]] Address address() const { return where_; }

    /// Each side waits for the other. Throws TimedOut when it does not come.
    Endpoint attach(Role role) {
        if (role.side == Side::responder && !socket_)
            throw Refused("attach", "who opens a port is the initiator");
        Fd mine = role.side == Side::initiator ? socket() : std::move(socket_);
        stand_aside();
        Wait wait("attach", needs_.timeout);
        sockets::Greeting greeting(mine.get(), wait, !port_.name().empty());
        if (role.side == Side::initiator) {
            const sockaddr_in where = sockets::loopback(where_.name);
            must(::connect(mine.get(), sockets::pointer_to(where), sizeof where), "connect");
        } else {
            greeting.await_the_initiator();
        }
        // What was dropped before came from anybody.
        const std::uint32_t dropped = sockets::dropped_so_far(mine.get());
        if (role.side == Side::initiator)
            greeting.as_initiator();
        else
            greeting.welcome_the_initiator();
        return {std::move(mine), dropped, needs_.timeout};
    }
    void stand_aside() { socket_.reset(); }

    static constexpr Facts facts{
        .name = "udp",
        .family = "sockets",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::port,
        .naming = Naming::direct,
        .connects = Connects::any_process,
        .guard = Guard::nothing_but_the_port,
        .lifetime = Lifetime::process,
        .message_bytes_max = "65507 B",
        .capacity = "what SO_RCVBUF admits",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .delivery = Delivery::may_lose,
        .lesson = "A sender that never waits loses what the receiver has no room for, even on one "
                  "machine; nothing guards it but the port.",
    };

  private:
    explicit Udp(const Needs& needs) : needs_(needs) {}

    [[nodiscard]] Fd socket() const {
        Fd made(must(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
        if (const std::size_t wanted = needs_.capacity_bytes; wanted > 0) {
            const std::size_t datagram = std::min(wanted, datagram_bytes_max);
            sockets::ask_for_buffer(made.get(), sockets::Buffer::receive,
                                    (wanted + datagram - 1) / datagram * charge(datagram));
        }
        sockets::set_option(made.get(), SOL_SOCKET, SO_RXQ_OVFL, 1, "setsockopt(SO_RXQ_OVFL)");
        // A message in rounds is lost unless there is room for all of it: as far as the limit
        // admits.
        if (const std::size_t message = needs_.message_bytes_max; message > datagram_bytes_max) {
            const std::size_t room =
                (message / datagram_bytes_max + 1) * charge(datagram_bytes_max);
            if (room > sockets::buffer_bytes(made.get(), sockets::Buffer::receive))
                sockets::try_buffer(made.get(), sockets::Buffer::receive, room);
        }
        sockets::limit_calls_to_a_glance(made.get());
        return made;
    }
    Needs needs_;
    Address where_;
    NamedObject port_;
    Fd socket_;
};

static_assert(Addressed<Udp>);

}  // namespace ipclab
