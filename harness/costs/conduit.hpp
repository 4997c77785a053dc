// What a message passes through in the kernel, used so that nobody ever waits in it.
//
// A pipe, a socket or a queue holds so much and no more. Here a message crosses in rounds: as much
// as the object holds goes in, and all of it comes out again before the next round. Whoever keeps
// to that, one process or two by turns, never finds the object full or empty, never sleeps and
// wakes nobody: what is left are the calls and their copies. Each call is made as the mechanism of
// that name makes it.
//
// A conduit has a way for each side's messages:
//
//   Conduit(n)            before the pair is forked; n is the size of the messages
//   attach(side)          in a process that plays one side; in one that plays both, once for each
//   from(side)            the way of the messages that this side sends
//   way.begin(View)       what is to be sent; .send_round(): whether all of it has gone in
//   way.expect(Bytes)     where it is to be put; .receive_round(): whether all of it has come
#pragma once

#include "mechanisms/message_queues/posix_mq.hpp"
#include "mechanisms/message_queues/sysv_mq.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/sockets/tcp.hpp"
#include "mechanisms/sockets/unix_stream.hpp"

#include <array>
#include <optional>

namespace ipclab {

/// One way through a stream of bytes, over descriptors that do not block and that somebody else
/// owns; framed as FramedStream does it.
class StreamWay {
    using Length = FramedStream::Length;

  public:
    StreamWay() = default;
    /// One of the two descriptors may be -1, where another process uses the other end.
    StreamWay(int writer, int reader, std::size_t round_bytes)
        : writer_(writer), reader_(reader), round_bytes_(round_bytes) {}

    void begin(View message) {
        message_ = message;
        length_out_ = message.size();
        sent_ = 0;
    }
    bool send_round() {
        const std::size_t whole = sizeof(Length) + message_.size();
        const std::size_t goal = std::min(sent_ + round_bytes_, whole);
        Wait wait("writev", std::chrono::seconds(10));
        while (sent_ < goal) {
            iovec parts[2];
            split(&length_out_, const_cast<std::byte*>(message_.data()), sent_, goal, parts);
            sent_ += moved("writev", ::writev(writer_, parts, 2), wait);
        }
        return sent_ == whole;
    }

    void expect(Bytes in) {
        in_ = in;
        received_ = 0;
    }
    bool receive_round() {
        const std::size_t whole = sizeof(Length) + in_.size();
        const std::size_t goal = std::min(received_ + round_bytes_, whole);
        Wait wait("readv", std::chrono::seconds(10));
        while (received_ < goal) {
            iovec parts[2];
            split(&length_in_, in_.data(), received_, whole, parts);
            const bool header_is_in = parts[0].iov_len == 0;
            received_ +=
                moved("readv", ::readv(reader_, parts + header_is_in, header_is_in ? 1 : 2), wait);
        }
        if (received_ == whole && length_in_ != in_.size())
            throw Refused("readv", "a message of another length than was sent");
        return received_ == whole;
    }

  private:
    /// What is to be moved next of length and payload, when `done` bytes of both have been.
    static void split(Length* length, std::byte* payload, std::size_t done, std::size_t goal,
                      iovec (&parts)[2]) {
        const std::size_t of_header = std::min(done, sizeof *length);
        parts[0] = {reinterpret_cast<std::byte*>(length) + of_header, sizeof *length - of_header};
        const std::size_t of_payload = done - of_header;
        parts[1] = {payload + of_payload,
                    goal > sizeof *length ? goal - sizeof *length - of_payload : 0};
    }
    /// What a protocol has under way may take a moment more to arrive, or to be acknowledged.
    static std::size_t moved(const char* call, ssize_t bytes, Wait& wait) {
        if (bytes > 0) return static_cast<std::size_t>(bytes);
        if (bytes == 0) throw PeerGone(call);
        if (errno != EAGAIN && errno != EINTR) throw SystemError(call, errno);
        wait.glance();
        return 0;
    }

    int writer_ = -1;
    int reader_ = -1;
    std::size_t round_bytes_ = 0;
    View message_;
    Length length_out_ = 0;
    std::size_t sent_ = 0;
    Bytes in_;
    Length length_in_ = 0;
    std::size_t received_ = 0;
};

/// A pipe for each direction. All ends stay open in both processes: nobody waits for end of file.
class PipeConduit {
  public:
    explicit PipeConduit(std::size_t /*message_bytes*/) {
        for (std::size_t i = 0; i < 2; ++i) {
            int ends[2];
            must(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), "pipe2");
            ends_[2 * i] = Fd(ends[0]);
            ends_[2 * i + 1] = Fd(ends[1]);
            ways_[i] = {ends[1], ends[0], pipe_bytes(ends[0])};
        }
    }
    void attach(Side /*side*/) {}
    StreamWay& from(Side sender) { return ways_[static_cast<std::size_t>(sender)]; }

  private:
    std::array<Fd, 4> ends_;
    std::array<StreamWay, 2> ways_;
};

/// The connected sockets of a mechanism, made not to block.
template <Addressed M>
class SocketConduit {
  public:
    explicit SocketConduit(std::size_t message_bytes)
        : needs_{.message_bytes_max = message_bytes}, mechanism_(M::create(needs_)) {}

    /// Where one process plays both sides: the initiator first.
    void attach(Side side) {
        std::optional<EndpointOf<M>>& mine = endpoints_[static_cast<std::size_t>(side)];
        if (side == Side::initiator)
            mine.emplace(M::open(mechanism_.address(), needs_).attach({.side = side}));
        else
            mine.emplace(mechanism_.attach({.side = side}));
        must(::fcntl(socket(side), F_SETFL, O_NONBLOCK), "fcntl(O_NONBLOCK)");
        for (const Side sender : {Side::initiator, Side::responder})
            ways_[static_cast<std::size_t>(sender)] = {socket(sender), socket(other(sender)),
                                                       mine->capacity_bytes() +
                                                           sizeof(FramedStream::Length)};
    }
    StreamWay& from(Side sender) { return ways_[static_cast<std::size_t>(sender)]; }

  private:
    [[nodiscard]] int socket(Side side) const {
        const auto& endpoint = endpoints_[static_cast<std::size_t>(side)];
        return endpoint ? endpoint->stream().output() : -1;
    }

    Needs needs_;
    M mechanism_;
    std::array<std::optional<EndpointOf<M>>, 2> endpoints_;
    std::array<StreamWay, 2> ways_;
};

/// One way through a queue of messages, by the endpoints of the mechanism; what is too large for
/// one message is cut as Rounds cuts it.
template <class E>
class QueueWay {
    using Length = std::uint64_t;

  public:
    QueueWay() = default;
    /// One of them may be null, where another process has it.
    QueueWay(E* sender, E* receiver) : sender_(sender), receiver_(receiver) {
        const E& endpoint = sender != nullptr ? *sender : *receiver;
        fragment_bytes_ = endpoint.message_bytes_max();
        fragments_of_a_round_ = endpoint.capacity_bytes() / fragment_bytes_;
        out_.resize(fragment_bytes_);
        staged_in_.resize(fragment_bytes_);
    }

    void begin(View message) {
        message_ = message;
        sent_ = 0;
    }
    bool send_round() {
        if (message_.size() <= fragment_bytes_) {
            sender_->send(message_);
            return true;
        }
        for (std::size_t i = 0; i < fragments_of_a_round_ && sent_ < message_.size(); ++i) {
            const std::size_t header_bytes = sent_ == 0 ? sizeof(Length) : 0;
            const View body = message_.subspan(
                sent_, std::min(message_.size() - sent_, fragment_bytes_ - header_bytes));
            if (header_bytes == 0) {
                sender_->send(body);
            } else {
                const Length length = message_.size();
                std::memcpy(out_.data(), &length, sizeof length);
                std::memcpy(out_.data() + sizeof length, body.data(), body.size());
                sender_->send(View(out_).first(sizeof length + body.size()));
            }
            sent_ += body.size();
        }
        return sent_ == message_.size();
    }

    void expect(Bytes in) {
        in_ = in;
        received_ = 0;
    }
    bool receive_round() {
        if (in_.size() <= fragment_bytes_) {
            receiver_->receive(in_);
            return true;
        }
        for (std::size_t i = 0; i < fragments_of_a_round_ && received_ < in_.size(); ++i) {
            const Bytes rest = in_.subspan(received_);
            if (received_ > 0 && rest.size() >= fragment_bytes_) {
                received_ += receiver_->receive(rest.first(fragment_bytes_));
                continue;
            }
            View body = View(staged_in_).first(receiver_->receive(staged_in_));
            if (received_ == 0) body = body.subspan(sizeof(Length));
            std::memcpy(rest.data(), body.data(), std::min(body.size(), rest.size()));
            received_ += body.size();
        }
        return received_ == in_.size();
    }

  private:
    E* sender_ = nullptr;
    E* receiver_ = nullptr;
    std::size_t fragment_bytes_ = 0;
    std::size_t fragments_of_a_round_ = 0;
    View message_;
    std::size_t sent_ = 0;
    Bytes in_;
    std::size_t received_ = 0;
    std::vector<std::byte> out_;
    std::vector<std::byte> staged_in_;
};

template <Addressed M>
class QueueConduit {
    using E = EndpointOf<M>;

  public:
    explicit QueueConduit(std::size_t message_bytes)
        : mechanism_(M::create({.message_bytes_max = message_bytes})) {}

    void attach(Side side) {
        endpoints_[static_cast<std::size_t>(side)].emplace(mechanism_.attach({.side = side}));
        for (const Side sender : {Side::initiator, Side::responder})
            ways_[static_cast<std::size_t>(sender)] = {endpoint(sender), endpoint(other(sender))};
    }
    QueueWay<E>& from(Side sender) { return ways_[static_cast<std::size_t>(sender)]; }

  private:
    E* endpoint(Side side) {
        auto& mine = endpoints_[static_cast<std::size_t>(side)];
        return mine ? &*mine : nullptr;
    }

    M mechanism_;
    std::array<std::optional<E>, 2> endpoints_;
    std::array<QueueWay<E>, 2> ways_;
};

using UnixStreamConduit = SocketConduit<UnixStream>;
using TcpConduit = SocketConduit<Tcp>;
using SysvMqConduit = QueueConduit<SysvMq>;
using PosixMqConduit = QueueConduit<PosixMq>;

}  // namespace ipclab
