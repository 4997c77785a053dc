// The loops that are timed. Nothing in them but the mechanism and the payload's kernels; one
// template serves every mechanism, so what differs between two rows is what differs between two
// mechanisms. Each loop is a function by itself with put, get and the kernels' callers inside: left
// to the compiler, what is a call and what is not would differ from mechanism to mechanism.
#pragma once

#include "harness/payload.hpp"
#include "mechanisms/mechanism.hpp"

#include <chrono>
#include <cstdint>
#include <span>

namespace ipclab {

inline std::int64_t now_ns() {
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

/// What one process does in a leg of a pattern: `messages` of them each way, from sequence number
/// `first` on.
struct Leg {
    std::uint64_t messages = 0;  ///< a multiple of `batch`
    std::uint64_t first = 0;
    std::uint64_t stride = 1;  ///< exchanges between two looks at the clock
    Touch touch = Touch::all;
    std::uint64_t batch = 1;  ///< messages of an exchange: so many there, then so many back

    [[nodiscard]] std::uint64_t exchanges() const { return messages / batch; }
};

/// For exchanges that take this long. Each is stamped where it takes a microsecond or more; else
/// the stamps, some 20 ns each, are two microseconds apart and cost one per cent.
constexpr std::uint64_t stride_for(double exchange_ns) {
    constexpr double stamped_each_ns = 1000;
    constexpr double stamp_interval_ns = 2000;
    if (exchange_ns >= stamped_each_ns) return 1;
    return 1 + static_cast<std::uint64_t>(stamp_interval_ns / std::max(exchange_ns, 1.0));
}

/// An endpoint and private memory for a message out and a message in, both of the row's size.
template <class E>
struct Talker {
    E& endpoint;
    Bytes out;
    Bytes in;
    Touch touch = Touch::all;
    std::uint64_t mismatches = 0;

    [[gnu::always_inline]] void say(std::uint64_t sequence) {
        if constexpr (Notifying<E>)
            endpoint.notify();
        else
            put(endpoint, out, [&](Bytes message, Stores stores) {
                payload::fill(touched(message), sequence, stores);
            });
    }
    [[gnu::always_inline]] void hear(std::uint64_t sequence) {
        if constexpr (Notifying<E>) {
            endpoint.wait();
        } else {
            const bool good = get(endpoint, in, [&](View message) {
                return message.size() == in.size() && payload::check(touched(message), sequence);
            });
            mismatches += good ? 0 : 1;
        }
    }

    template <class Span>
    Span touched(Span message) const {
        return touch == Touch::all ? message
                                   : message.first(std::min(message.size(), payload::word_bytes));
    }
};

/// Stamps every `stride` exchanges into `samples_ns` (the mean over the stride would be lost in it:
/// a sample is the time of the whole stride). Returns how many samples it wrote.
template <class E>
[[gnu::noinline]] std::size_t ping_pong_initiator(Talker<E>& talker, Leg leg,
                                                  std::span<std::int64_t> samples_ns) {
    std::size_t samples = 0;
    std::int64_t then_ns = now_ns();
    for (std::uint64_t done = 0; done < leg.messages;) {
        const std::uint64_t stop = std::min(leg.messages, done + leg.stride * leg.batch);
        while (done < stop) {
            const std::uint64_t end = done + leg.batch;
            for (std::uint64_t i = done; i < end; ++i) talker.say(leg.first + i);
            flush(talker.endpoint);
            for (; done < end; ++done) talker.hear(leg.first + done);
        }
        const std::int64_t this_ns = now_ns();
        samples_ns[samples++] = this_ns - then_ns;
        then_ns = this_ns;
    }
    return samples;
}

template <class E>
[[gnu::noinline]] void ping_pong_responder(Talker<E>& talker, Leg leg) {
    for (std::uint64_t done = 0; done < leg.messages;) {
        const std::uint64_t end = done + leg.batch;
        for (std::uint64_t i = done; i < end; ++i) talker.hear(leg.first + i);
        for (; done < end; ++done) talker.say(leg.first + done);
        flush(talker.endpoint);
    }
}

template <class E>
[[gnu::noinline]] void stream_initiator(Talker<E>& talker, Leg leg) {
    for (std::uint64_t i = 0; i < leg.messages; ++i) talker.say(leg.first + i);
    flush(talker.endpoint);
}

template <class E>
[[gnu::noinline]] void stream_responder(Talker<E>& talker, Leg leg) {
    for (std::uint64_t i = 0; i < leg.messages; ++i) talker.hear(leg.first + i);
}

}  // namespace ipclab
