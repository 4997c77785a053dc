// Unix seqpacket socket: a connection that carries packets.
//
// Like a stream socket it is connected, reliable and ends in end of file; unlike one it keeps
// boundaries: what one call sends, one call receives, whole. Each packet is copied into a kernel
// buffer of its own and copied out again: two copies, two system calls. A packet has to fit
// SO_SNDBUF in one piece, and a sender sleeps when what lies unread, overhead included, reaches
// that size.
//
// One trap: recv(2) returns 0 for an empty packet as for end of file. So a length goes in front of
// every packet, in the same call: an empty message is then eight bytes long, and a message that did
// not fit the receiver's buffer (the kernel cuts it off) is known for what it was.
//
//   create    socket(2) of type SOCK_SEQPACKET, bind(2) to a path or to "@name", listen(2)
//   attach    the initiator connect(2)s, the responder accept(2)s; both ask who the other is
//   exchange  writev(2), readv(2): length and payload in one packet
//   detach    close(2): the peer finds end of file, or EPIPE
//   destroy   unlink(2) the path
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/sockets/unix_address.hpp"

#include <csignal>
#include <sys/uio.h>

namespace ipclab {

class UnixSeqpacket {
    using Length = std::uint64_t;

  public:
    class Endpoint {
      public:
        Endpoint(Fd socket, const Needs& needs) : socket_(std::move(socket)), needs_(needs) {
            ::signal(SIGPIPE, SIG_IGN);
        }

        void send(View out) {
            Length length = out.size();
            const iovec parts[] = {{&length, sizeof length},
                                   {const_cast<std::byte*>(out.data()), out.size()}};
            Wait wait("send", needs_.timeout);
            while (::writev(socket_.get(), parts, 2) == -1) {
                if (errno == EPIPE || errno == ECONNRESET) throw PeerGone("writev", errno);
                if (errno == EMSGSIZE)
                    throw Refused("writev", "a packet has to fit the send buffer", errno);
                look_around("writev", wait);
            }
        }

        std::size_t receive(Bytes in) {
            Length length = 0;
            const iovec parts[] = {{&length, sizeof length}, {in.data(), in.size()}};
            Wait wait("receive", needs_.timeout);
            ssize_t got = 0;
            while ((got = ::readv(socket_.get(), parts, 2)) == -1)
                // The peer left something of ours unread. What it had said is still to come.
                if (errno == ECONNRESET)
                    was_reset_ = true;
                else
                    look_around("readv", wait);
            if (got == 0 && was_reset_) throw PeerGone("readv", ECONNRESET);
            if (got == 0) throw Closed("readv");
            const auto packet_bytes = static_cast<std::size_t>(got);
            if (packet_bytes >= sizeof length && length > in.size())
                throw Refused::too_small("readv", length, in.size());
            if (packet_bytes != sizeof length + length)
                throw Refused("readv", "a packet that is not as long as it says");
            return length;
        }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return room().packet_bytes - sizeof(Length);
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return room().packets * message_bytes_max();
        }

      private:
        static void look_around(const char* call, Wait& wait) {
            if (errno != EAGAIN && errno != EINTR) throw_system_error(call, errno);
            wait.glance();
        }
        [[nodiscard]] const sockets::PacketRoom& room() const {
            return room_.get(
                [&] { return sockets::PacketRoom::by_trying(SOCK_SEQPACKET, needs_); });
        }

        Fd socket_;
        Needs needs_;
        bool was_reset_ = false;
        sockets::OnDemand<sockets::PacketRoom> room_;
    };

    static UnixSeqpacket create(const Needs& needs) {
        return sockets::UnixMeetingPoint::create(
            SOCK_SEQPACKET, needs, sockets::address_or_fresh(needs, "unix-seqpacket"));
    }
    static UnixSeqpacket open(const Address& where, const Needs& needs) {
        return sockets::UnixMeetingPoint::open(SOCK_SEQPACKET, needs,
                                               sockets::UnixAddress(where.name));
    }
    [[nodiscard]] Address address() const { return {point_.address().text()}; }

    Endpoint attach(Role role) { return {point_.attach(role.side), point_.needs()}; }
    void stand_aside() { point_.stand_aside(); }

    static constexpr Facts facts{
        .name = "unix-seqpacket",
        .family = "sockets",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::file_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,
        .message_bytes_max = "SO_SNDBUF - 40 B (208 KiB)",
        .capacity = "one of the largest, more of smaller ones",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "A connection can keep boundaries; the price is a largest message, and an empty "
                  "one that looks like the end.",
    };

  private:
    // NOLINTNEXTLINE(google-explicit-constructor): what create and open return
    UnixSeqpacket(sockets::UnixMeetingPoint point) : point_(std::move(point)) {}

    sockets::UnixMeetingPoint point_;
};

static_assert(Addressed<UnixSeqpacket>);

}  // namespace ipclab
