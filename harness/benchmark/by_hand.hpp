// By hand: what somebody would write who has only a pipe to measure, or only this ring, or this
// queue. The payload's kernels and the buffers are the harness's own; all else is spelled out.
#pragma once

#include "harness/cell.hpp"
#include "harness/payload.hpp"
#include "mechanisms/mechanism.hpp"

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <cstring>
#include <memory>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

namespace ipclab::by_hand {

// ---- streams: pipes and stream sockets ----

struct StreamByHand {
    int input;
    int output;
    Bytes out;
    Bytes in;
    bool framed;
    std::uint64_t mismatches = 0;
};

/// Drops the first `n` bytes of what two parts describe.
inline void drop(iovec (&parts)[2], std::size_t n) {
    const std::size_t first = std::min(n, parts[0].iov_len);
    parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + first;
    parts[0].iov_len -= first;
    parts[1].iov_base = static_cast<char*>(parts[1].iov_base) + (n - first);
    parts[1].iov_len -= n - first;
}

inline void write_framed(int fd, void* message, std::size_t bytes) {
    std::uint64_t length = bytes;
    iovec parts[2] = {{&length, sizeof length}, {message, bytes}};
    for (std::size_t left = sizeof length + bytes; left > 0;) {
        const ssize_t n = ::writev(fd, parts, 2);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("writev", errno);
        left -= static_cast<std::size_t>(n);
        if (left > 0) drop(parts, static_cast<std::size_t>(n));
    }
}

/// The buffer is as large as the messages, so what comes after stays in the stream.
inline std::size_t read_framed(int fd, void* message, std::size_t bytes) {
    std::uint64_t length = 0;
    iovec parts[2] = {{&length, sizeof length}, {message, bytes}};
    for (std::size_t got = 0; got < sizeof length || got < sizeof length + length;) {
        const ssize_t n = ::readv(fd, parts, 2);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("readv", errno);
        if (n == 0) throw Closed("readv");
        got += static_cast<std::size_t>(n);
        drop(parts, static_cast<std::size_t>(n));
    }
    return length;
}

inline void write_unframed(int fd, const std::byte* message, std::size_t bytes) {
    while (bytes > 0) {
        const ssize_t n = ::write(fd, message, bytes);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("write", errno);
        message += n;
        bytes -= static_cast<std::size_t>(n);
    }
}

inline std::size_t read_unframed(int fd, std::byte* message, std::size_t bytes) {
    for (std::size_t left = bytes; left > 0;) {
        const ssize_t n = ::read(fd, message, left);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("read", errno);
        if (n == 0) throw Closed("read");
        message += n;
        left -= static_cast<std::size_t>(n);
    }
    return bytes;
}

inline void say(StreamByHand& stream, std::uint64_t sequence) {
    payload::fill(stream.out, sequence);
    if (stream.framed)
        write_framed(stream.output, stream.out.data(), stream.out.size());
    else
        write_unframed(stream.output, stream.out.data(), stream.out.size());
}

inline void hear(StreamByHand& stream, std::uint64_t sequence) {
    const std::size_t length =
        stream.framed ? read_framed(stream.input, stream.in.data(), stream.in.size())
                      : read_unframed(stream.input, stream.in.data(), stream.in.size());
    if (length != stream.in.size() || !payload::check(stream.in, sequence)) ++stream.mismatches;
}

// ---- message queues: whole, or in pieces of which the first begins with the length ----

/// How many bytes a message that travels in pieces begins with.
using TotalLength = std::uint64_t;

struct PosixMqByHand {
    mqd_t input;
    mqd_t output;
    Bytes out;
    Bytes in;
    std::size_t piece_bytes;       ///< the queue's largest message
    std::vector<std::byte> piece;  ///< room for one
    std::uint64_t mismatches = 0;

    void send(const std::byte* bytes, std::size_t n) const {
        while (::mq_send(output, reinterpret_cast<const char*>(bytes), n, 0) == -1)
            if (errno != EINTR) throw SystemError("mq_send", errno);
    }
    std::size_t receive(std::byte* bytes) const {
        for (;;) {
            const ssize_t got =
                ::mq_receive(input, reinterpret_cast<char*>(bytes), piece_bytes, nullptr);
            if (got != -1) return static_cast<std::size_t>(got);
            if (errno != EINTR) throw SystemError("mq_receive", errno);
        }
    }
};

struct SysvMqByHand {
    struct Text {
        long type = 0;
        std::byte bytes[8192];
    };
    int id;
    long to_peer;
    long to_me;
    Bytes out;
    Bytes in;
    std::size_t piece_bytes;
    std::vector<std::byte> piece;
    std::unique_ptr<Text> text = std::make_unique<Text>();
    std::uint64_t mismatches = 0;

    void send(const std::byte* bytes, std::size_t n) {
        text->type = to_peer;
        std::memcpy(text->bytes, bytes, n);
        while (::msgsnd(id, text.get(), n, 0) == -1)
            if (errno != EINTR) throw SystemError("msgsnd", errno);
    }
    std::size_t receive(std::byte* bytes) {
        for (;;) {
            const ssize_t got = ::msgrcv(id, text.get(), piece_bytes, to_me, 0);
            if (got == -1 && errno == EINTR) continue;
            if (got == -1) throw SystemError("msgrcv", errno);
            std::memcpy(bytes, text->bytes, static_cast<std::size_t>(got));
            return static_cast<std::size_t>(got);
        }
    }
};

template <class Queue>
concept QueueByHand = std::same_as<Queue, PosixMqByHand> || std::same_as<Queue, SysvMqByHand>;

template <QueueByHand Queue>
void say(Queue& queue, std::uint64_t sequence) {
    payload::fill(queue.out, sequence);
    if (queue.out.size() <= queue.piece_bytes)
        return queue.send(queue.out.data(), queue.out.size());
    const TotalLength length = queue.out.size();
    std::size_t done = queue.piece_bytes - sizeof length;
    std::memcpy(queue.piece.data(), &length, sizeof length);
    std::memcpy(queue.piece.data() + sizeof length, queue.out.data(), done);
    queue.send(queue.piece.data(), queue.piece_bytes);
    for (; done < queue.out.size(); done += std::min(queue.piece_bytes, queue.out.size() - done))
        queue.send(queue.out.data() + done, std::min(queue.piece_bytes, queue.out.size() - done));
}

template <QueueByHand Queue>
std::size_t receive_message(Queue& queue) {
    if (queue.in.size() <= queue.piece_bytes) return queue.receive(queue.in.data());
    TotalLength length = 0;
    std::size_t done = queue.receive(queue.piece.data()) - sizeof length;
    std::memcpy(&length, queue.piece.data(), sizeof length);
    std::memcpy(queue.in.data(), queue.piece.data() + sizeof length, done);
    while (done < length) {
        const bool fits = queue.in.size() - done >= queue.piece_bytes;
        const std::size_t got = queue.receive(fits ? queue.in.data() + done : queue.piece.data());
        if (!fits) std::memcpy(queue.in.data() + done, queue.piece.data(), got);
        done += got;
    }
    return length;
}

template <QueueByHand Queue>
void hear(Queue& queue, std::uint64_t sequence) {
    if (receive_message(queue) != queue.in.size() || !payload::check(queue.in, sequence))
        ++queue.mismatches;
}

// ---- the four loops ----

template <class ByHand>
void converse_by_hand(ByHand& talk, Pattern pattern, Side side, std::uint64_t first,
                      std::uint64_t end) {
    if (pattern == Pattern::ping_pong && side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) {
            say(talk, i);
            hear(talk, i);
        }
    else if (pattern == Pattern::ping_pong)
        for (std::uint64_t i = first; i < end; ++i) {
            hear(talk, i);
            say(talk, i);
        }
    else if (side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) say(talk, i);
    else
        for (std::uint64_t i = first; i < end; ++i) hear(talk, i);
}

// ---- rings: as they are, but without put and get ----

template <class Endpoint>
struct RingByHand {
    Endpoint& ring;
    std::size_t bytes;
    std::uint64_t mismatches = 0;
};

template <class Endpoint>
void converse_by_hand(RingByHand<Endpoint>& talk, Pattern pattern, Side side, std::uint64_t first,
                      std::uint64_t end) {
    Endpoint& ring = talk.ring;
    const std::size_t bytes = talk.bytes;
    std::uint64_t mismatches = 0;
    if (pattern == Pattern::ping_pong && side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) {
            const Bytes room = ring.loan(bytes);
            payload::fill(room, i, ring.stores());
            ring.publish(bytes);
            ring.flush();
            const View message = ring.take();
            if (message.size() != bytes || !payload::check(message, i)) ++mismatches;
            ring.release();
        }
    else if (pattern == Pattern::ping_pong)
        for (std::uint64_t i = first; i < end; ++i) {
            const View message = ring.take();
            if (message.size() != bytes || !payload::check(message, i)) ++mismatches;
            ring.release();
            const Bytes room = ring.loan(bytes);
            payload::fill(room, i, ring.stores());
            ring.publish(bytes);
            ring.flush();
        }
    else if (side == Side::initiator) {
        for (std::uint64_t i = first; i < end; ++i) {
            const Bytes room = ring.loan(bytes);
            payload::fill(room, i, ring.stores());
            ring.publish(bytes);
        }
        ring.flush();
    } else
        for (std::uint64_t i = first; i < end; ++i) {
            const View message = ring.take();
            if (message.size() != bytes || !payload::check(message, i)) ++mismatches;
            ring.release();
        }
    talk.mismatches = mismatches;
}

}  // namespace ipclab::by_hand
