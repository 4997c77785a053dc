// Unix stream socket: a two-way stream of bytes between processes of one machine.
//
// The sender's bytes are copied into kernel buffers that are hung on the receiver's queue, and
// copied out again by the receiver: two copies, two system calls, no protocol in between. The
// sender is charged for what lies unread, buffers' overhead included, and sleeps when that reaches
// SO_SNDBUF; the receiver sleeps on an empty queue and is woken by the next send. One socket serves
// both directions. It is found by a path in the file system, whose mode says who may connect, or by
// an abstract name, where nothing does but the question for the peer's credentials (SO_PEERCRED).
//
//   create    socket(2), bind(2) to a path or to an abstract name, listen(2)
//   attach    the initiator connect(2)s, the responder accept(2)s; both ask who the other is
//   exchange  writev(2), readv(2): length and payload in one call
//   detach    close(2): the peer finds end of file, or EPIPE
//   destroy   unlink(2) the path, which the socket would outlive; an abstract name ends by itself
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/framed_stream.hpp"
#include "mechanisms/sockets/unix_address.hpp"

#include <csignal>
#include <vector>

namespace ipclab {

/// Where a Unix socket has its name by default.
enum class UnixName { path, abstract };

template <UnixName Name>
class UnixStreamBy {
  public:
    class Endpoint {
      public:
        Endpoint(Fd socket, const Needs& needs)
            : socket_(std::move(socket)),
              stream_(socket_.get(), socket_.get(), needs.timeout),
              needs_(needs) {
            ::signal(SIGPIPE, SIG_IGN);
        }

        void send(View out) { stream_.send(out); }
        std::size_t receive(Bytes in) { return stream_.receive(in); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return FramedStream::message_bytes_max();
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return capacity_bytes_.get([&] { return capacity_by_trying(needs_); });
        }
        [[nodiscard]] const FramedStream& stream() const { return stream_; }

      private:
        Fd socket_;
        FramedStream stream_;
        Needs needs_;
        sockets::OnDemand<std::size_t> capacity_bytes_;
    };

    static UnixStreamBy create(const Needs& needs) {
        constexpr bool abstract = Name == UnixName::abstract;
        sockets::UnixAddress address = sockets::address_or_fresh(needs, "unix-stream", abstract);
        if (abstract && !address.is_abstract())
            throw Refused("bind", "an abstract name begins with @");
        return sockets::UnixMeetingPoint::create(SOCK_STREAM, needs, std::move(address));
    }
    static UnixStreamBy open(const Address& where, const Needs& needs) {
        return sockets::UnixMeetingPoint::open(SOCK_STREAM, needs,
                                               sockets::UnixAddress(where.name));
    }
    [[nodiscard]] Address address() const { return {point_.address().text()}; }

    Endpoint attach(Role role) { return {point_.attach(role.side), point_.needs()}; }
    void stand_aside() { point_.stand_aside(); }

    static constexpr Facts facts{
        .name = Name == UnixName::path ? "unix-stream" : "unix-stream/abstract",
        .family = "sockets",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = true,
        .addressing = Name == UnixName::path ? Addressing::file_name : Addressing::abstract_name,
        .connects = Connects::any_process,
        .guard = Name == UnixName::path ? Guard::mode_0600 : Guard::peer_credentials,
        .lifetime = Name == UnixName::path ? Lifetime::file_system : Lifetime::process,
        .message_bytes_max = "any",
        .capacity = "what SO_SNDBUF admits",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = Name == UnixName::path
                      ? "A pipe that goes both ways and has an address; the book-keeping of its "
                        "buffers costs short messages most."
                      : "A name that ends with its process leaves nothing behind and keeps nobody "
                        "out: the server has to ask who came.",
    };

  private:
    // NOLINTNEXTLINE(google-explicit-constructor): what create and open return
    UnixStreamBy(sockets::UnixMeetingPoint point) : point_(std::move(point)) {}

    /// How much one send may run ahead of the reader. SO_SNDBUF counts buffers with their overhead,
    /// so no call tells; a send that must not block shows it.
    static std::size_t capacity_by_trying(const Needs& needs) {
        const sockets::UnixPair pair(SOCK_STREAM, needs);
        const int writer = pair.writer.get();
        const std::vector<std::byte> plenty(
            2 * sockets::buffer_bytes(writer, sockets::Buffer::send) + (std::size_t{1} << 16));
        const ssize_t accepted =
            must(::send(writer, plenty.data(), plenty.size(), MSG_DONTWAIT), "send");
        return static_cast<std::size_t>(accepted) - sizeof(FramedStream::Length);
    }

    sockets::UnixMeetingPoint point_;
};

using UnixStream = UnixStreamBy<UnixName::path>;
using UnixStreamAbstract = UnixStreamBy<UnixName::abstract>;
static_assert(Addressed<UnixStream> && Addressed<UnixStreamAbstract>);

}  // namespace ipclab
