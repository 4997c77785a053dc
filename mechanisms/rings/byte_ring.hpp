// A ring of bytes in shared memory, for a single producer and a single consumer.
//
// Two counters only ever grow: `published`, how many bytes the producer has ever handed over, and
// `released`, how many the consumer has given back. What lies between them is unread. Each counter
// is written by one side and read by the other, so no operation has to be a locked one: a message
// crosses by a release store that an acquire load sees.
//
// What such a ring costs is cache lines that travel between cores, some 50 ns each time. Hence:
//   - `published` and `released` live on lines of their own; otherwise every publication would take
//     away the line that the consumer is writing to.
//   - Each side keeps its own position, and the last value that it saw of the other's counter, in
//     its private memory. It reads the shared counter only when that value no longer suffices, so
//     a producer with room left never touches the consumer's line (Lamport 1977 for the two
//     counters; Lee, Bu and Chandranmenon 2009, "MCRingBuffer", for the cached copies).
//   - The ring is mapped twice in a row. A message that runs over the end runs on into the second
//     copy, and is contiguous without a gap, a marker or a case of its own.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/mapping.hpp"

#include <atomic>
#include <cstdint>

namespace ipclab {

// ---------------------------------------------------------------------------------------------
// The synchronisation, without a byte of payload. Both sides count bytes since the beginning of
// time; the counters wrap at 2^64 and only their differences mean anything.

template <class Atomics, template <class> class WaitStrategy>
struct RingCounters {
    using Strategy = WaitStrategy<Atomics>;
    using Counter = typename Atomics::template Atomic<std::uint64_t>;

    alignas(64) Counter published;
    typename Strategy::Bell message_came;  // rung by who writes this line anyway
    alignas(64) Counter released;
    typename Strategy::Bell room_came;

    explicit RingCounters(std::uint64_t start = 0) : published(start), released(start) {}
};

/// The producer's side. `capacity` is in bytes, as are all positions.
template <class Atomics, template <class> class WaitStrategy>
class RingProducer {
    using Strategy = WaitStrategy<Atomics>;

  public:
    RingProducer(RingCounters<Atomics, WaitStrategy>& counters, std::uint64_t capacity,
                 std::uint64_t start = 0)
        : counters_(counters), capacity_(capacity), position_(start), released_seen_(start) {}

    /// Waits until `bytes` are free and returns the position where they begin.
    std::uint64_t reserve(std::uint64_t bytes, auto&& glance) {
        if (free_bytes() < bytes)
            Strategy::wait_until(
                counters_.room_came,
                [&](std::memory_order order) {
                    released_seen_ = counters_.released.load(order);
                    return free_bytes() >= bytes;
                },
                glance);
        return position_;
    }
    /// Hands the first `bytes` of what was reserved to the consumer.
    void publish(std::uint64_t bytes) {
        position_ += bytes;
        counters_.published.store(position_, Strategy::store_before_ring);
        Strategy::ring(counters_.message_came);
    }

  private:
    [[nodiscard]] std::uint64_t free_bytes() const {
        // A consumer that claims to have released more than there was gets no room for it.
        const std::uint64_t unread = position_ - released_seen_;
        return unread <= capacity_ ? capacity_ - unread : 0;
    }

    RingCounters<Atomics, WaitStrategy>& counters_;
    const std::uint64_t capacity_;
    std::uint64_t position_;
    std::uint64_t released_seen_;
};

/// The consumer's side.
template <class Atomics, template <class> class WaitStrategy>
class RingConsumer {
    using Strategy = WaitStrategy<Atomics>;

  public:
    explicit RingConsumer(RingCounters<Atomics, WaitStrategy>& counters, std::uint64_t start = 0)
        : counters_(counters), position_(start), published_seen_(start) {}

    /// Waits until there is something unread and returns the position where it begins.
    std::uint64_t await(auto&& glance) {
        if (unread_bytes() == 0)
            Strategy::wait_until(
                counters_.message_came,
                [&](std::memory_order order) {
                    published_seen_ = counters_.published.load(order);
                    return unread_bytes() != 0;
                },
                glance);
        return position_;
    }
    /// As far as this side has looked.
    [[nodiscard]] std::uint64_t unread_bytes() const { return published_seen_ - position_; }

    /// Gives the first `bytes` of what is unread back to the producer.
    void release(std::uint64_t bytes) {
        position_ += bytes;
        counters_.released.store(position_, Strategy::store_before_ring);
        Strategy::ring(counters_.room_came);
    }

  private:
    RingCounters<Atomics, WaitStrategy>& counters_;
    std::uint64_t position_;
    std::uint64_t published_seen_;
};

// ---------------------------------------------------------------------------------------------
// The bytes: each message is its length, its payload, and padding to the next multiple of 8.

namespace ring_record {
using Length = std::uint64_t;
constexpr std::size_t bytes(std::size_t payload) {
    return sizeof(Length) + round_up(payload, sizeof(Length));
}
constexpr std::size_t payload_max(std::size_t capacity) { return capacity - sizeof(Length); }
}  // namespace ring_record

template <class Atomics, template <class> class WaitStrategy>
class RingSender {
  public:
    /// `ring` is the first of the two copies; `start`, as of RingReceiver, a multiple of 8.
    RingSender(RingCounters<Atomics, WaitStrategy>& counters, std::byte* ring, std::size_t capacity,
               std::uint64_t start = 0)
        : producer_(counters, capacity, start), ring_(ring), capacity_(capacity) {}

    Bytes loan(std::size_t n, auto&& glance) {
        if (n > ring_record::payload_max(capacity_))
            throw Refused("loan",
                          fmt::format("the ring holds messages of up to {} bytes",
                                      ring_record::payload_max(capacity_)),
                          EMSGSIZE);
        record_ = ring_ + (producer_.reserve(ring_record::bytes(n), glance) & (capacity_ - 1));
        return {record_ + sizeof(ring_record::Length), n};
    }
    void publish(std::size_t n) {
        const ring_record::Length length = n;
        std::memcpy(record_, &length, sizeof length);
        producer_.publish(ring_record::bytes(n));
    }

  private:
    RingProducer<Atomics, WaitStrategy> producer_;
    std::byte* ring_;
    std::size_t capacity_;
    std::byte* record_ = nullptr;
};

template <class Atomics, template <class> class WaitStrategy>
class RingReceiver {
  public:
    RingReceiver(RingCounters<Atomics, WaitStrategy>& counters, const std::byte* ring,
                 std::size_t capacity, std::uint64_t start = 0)
        : consumer_(counters, start), ring_(ring), capacity_(capacity) {}

    View take(auto&& glance) {
        const std::byte* record = ring_ + (consumer_.await(glance) & (capacity_ - 1));
        // The one look at what the peer wrote. Volatile, or the compiler may fetch it again after
        // the check, and the peer have changed it.
        const auto length = *reinterpret_cast<const volatile ring_record::Length*>(record);
        // A record must lie within what the peer has published.
        const std::uint64_t unread = consumer_.unread_bytes();
        if (unread > capacity_ || unread < sizeof length || length > unread - sizeof length)
            throw Refused("take", "the peer has written a record that leaves the ring");
        taken_ = length;
        return {record + sizeof length, length};
    }
    void release() { consumer_.release(ring_record::bytes(taken_)); }

  private:
    RingConsumer<Atomics, WaitStrategy> consumer_;
    const std::byte* ring_;
    std::size_t capacity_;
    std::size_t taken_ = 0;
};

}  // namespace ipclab
