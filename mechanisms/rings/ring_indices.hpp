// The synchronisation of a ring in shared memory with one producer and one consumer, without a byte
// of payload: what the two sides write, on which cache lines, and when.
//
// What a ring costs is decided by the lines that travel between cores: some 25 to 50 ns each time
// where they share an L3, 200 and more where they do not. Each decision here, but the last, saves
// one.
//
//   Where the indices live. `published`, how far the producer has handed over, and `released`, how
//   far the consumer has given back, are each written by one side, so a message crosses by a
//   release store that an acquire load sees; no operation has to be a locked one (Lamport 1977).
//   They lie far enough apart that a release does not take away the line that is published on.
//
//   Where their copies live. Each side keeps its own position, and the last value that it saw of
//   the other's index, in private memory. A producer with room left never touches the consumer's
//   line (Lee, Bu and Chandranmenon 2009, "MCRingBuffer").
//
//   When to publish. Each publication is a line that the consumer fetches, and that the producer
//   then has to take back; and a consumer that is told too soon reads from the very lines that the
//   producer is writing to. A stream of short messages therefore publishes once for many of them.
//   What is held back is handed over by flush(), and by a producer that has to wait for room.
//
//   When to make sure. A consumer may be about to sleep just as a message is published; to be sure
//   that it does not sleep through that, the store must be an ordered one (waiting/futex.hpp),
//   which waits until all earlier stores have left the core: a stream of eight bytes was held up
//   for a tenth of its time where they go to a busy cache. Who goes on with the stream need not be
//   sure yet. It will publish again, and does make sure before it stops: in flush(), or before it
//   waits.
//
//   When it must not wait. Who has just read a message and answers it knows that its reader waits:
//   that message is handed over at once (see the line, byte_ring.hpp).
//
//   When to give back. In steps of an eighth of the ring, and always before waiting: a producer
//   looks at `released` once a step, and a consumer that sleeps owes it nothing.
//
//   Both directions' `published` lie on one line, with the payload of a short message. In a
//   conversation the side that has just been handed this line has it in its own L1 already, and
//   answers on it: one line to and fro, and no other, is the least that a round trip can cost.
//   In a stream one way, only one side writes it.
//
//   What then is left is code: a message of eight bytes has time for some twenty instructions on
//   each side. So each side works out now and then how far it can go with nothing to decide: a run,
//   in which a message changes a single word of its own. A consumer takes the messages of a run to
//   be as long as the last one until it finds otherwise (byte_ring.hpp). These paths are always
//   inlined, and laid out as the likely ones: left to the compiler, some were calls or jumps to and
//   fro, and a stream of eight bytes took twice as long.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ipclab {

constexpr std::size_t cache_line_bytes = 64;
/// Who fetches a line may be given its neighbour too: processors fetch pairs (Intel 64 and IA-32
/// Optimization Reference Manual, "spatial prefetcher"; AMD's do likewise). What must not travel
/// together lies this far apart.
constexpr std::size_t line_pair_bytes = 2 * cache_line_bytes;

/// A word of `published`: the position, in bytes since the beginning of time, shifted by three, and
/// six low bits free for a tag, since positions are multiples of eight. It wraps at 2^64.
namespace published_word {
constexpr std::uint64_t tag_mask = 63;
constexpr std::uint64_t of(std::uint64_t position, std::uint64_t tag = 0) {
    return (position << 3) | tag;
}
constexpr std::uint64_t tag_of(std::uint64_t word) { return word & tag_mask; }
/// The bytes from `position` to what the word says.
constexpr std::uint64_t bytes_since(std::uint64_t position, std::uint64_t word) {
    return ((word & ~tag_mask) - (position << 3)) >> 3;
}
}  // namespace published_word

/// What both processes see, for both directions.
template <class Atomics, template <class> class WaitStrategy>
struct RingIndices {
    using Strategy = WaitStrategy<Atomics>;
    using Index = typename Atomics::template Atomic<std::uint64_t>;

    /// What the consumer of a direction writes, and the producer looks at when it has to.
    struct alignas(line_pair_bytes) Back {
        explicit Back(std::uint64_t start) : released(start) {}
        Index released;
        typename Strategy::Bell message_came;  // the consumer arms it
        typename Strategy::Bell room_came;     // the producer arms it, when it has no room
    };
    static constexpr std::size_t line_bytes = cache_line_bytes - 2 * sizeof(std::uint64_t);

    alignas(line_pair_bytes) Index published_by_initiator;
    Index published_by_responder;
    std::byte line[line_bytes];
    Back back_to_initiator;
    Back back_to_responder;

    explicit RingIndices(std::uint64_t start = 0)
        : published_by_initiator(published_word::of(start)),
          published_by_responder(published_word::of(start)),
          line{},
          back_to_initiator(start),
          back_to_responder(start) {}

    Index& published_by(Side producer) {
        return producer == Side::initiator ? published_by_initiator : published_by_responder;
    }
    Back& back_to(Side producer) {
        return producer == Side::initiator ? back_to_initiator : back_to_responder;
    }
};

/// The producer's side. `capacity` is in bytes, as are all positions.
template <class Atomics, template <class> class WaitStrategy>
class RingProducer {
    using Indices = RingIndices<Atomics, WaitStrategy>;
    using Strategy = WaitStrategy<Atomics>;

  public:
    RingProducer(Indices& indices, Side mine, std::uint64_t capacity, std::uint64_t start = 0)
        : published_(indices.published_by(mine)),
          back_(indices.back_to(mine)),
          capacity_(capacity),
          position_(start),
          handed_over_(start),
          certain_(start),
          released_seen_(start),
          room_end_(start + capacity) {}

    /// Waits until `bytes` are free and returns the position where they begin. `begin_wait` returns
    /// what has a glance(); it is called only if need be.
    std::uint64_t reserve(std::uint64_t bytes, auto begin_wait) {
        if (!has_room(bytes)) [[unlikely]]
            wait_for_room(bytes, begin_wait);
        return position_;
    }
    /// As far as this side has looked.
    [[nodiscard]] bool has_room(std::uint64_t bytes) const {
        return room_end_ - position_ >= bytes;
    }
    [[nodiscard]] std::uint64_t position() const { return position_; }
    /// The first `bytes` of what was reserved are a message, that waits to be handed over.
    void append(std::uint64_t bytes) { position_ += bytes; }
    [[nodiscard]] std::uint64_t held_back_bytes() const { return position_ - handed_over_; }

    /// Within a run there is nothing to decide: there is room, and it is known whether what is
    /// appended is held back. A stream of short messages is made of such runs. So that a message
    /// costs one word, the position is meanwhile where the run will end. Only hand over before
    /// end_run().
    [[nodiscard]] std::uint64_t run_bytes() const { return run_bytes_; }
    void append_within_run(std::uint64_t bytes) { run_bytes_ -= bytes; }
    /// Until `held_back_bytes_max` are held back.
    void begin_run(std::uint64_t held_back_bytes_max) {
        const std::uint64_t more = held_back_bytes_max - held_back_bytes();
        run_bytes_ = std::min(more, room_end_ - position_);
        position_ += run_bytes_;
    }
    void end_run() {
        if (run_bytes_ == 0) return;
        position_ -= run_bytes_;
        run_bytes_ = 0;
    }

    /// What the consumer waits for comes first, and the bookkeeping while it travels.
    void hand_over(std::uint64_t tag = 0) {
        const std::uint64_t reached = position_ - run_bytes_;
        published_.store(published_word::of(reached, tag), Strategy::store_before_ring);
        handed_over_ = certain_ = reached;
        Strategy::ring(back_.message_came);
    }
    /// For who calls hand_over() later: a consumer that is about to sleep may miss this one.
    void hand_over_and_go_on() {
        if constexpr (Strategy::store_before_ring == std::memory_order::release)
            return hand_over();  // it misses none
        const std::uint64_t reached = position_ - run_bytes_;
        published_.store(published_word::of(reached), std::memory_order::release);
        handed_over_ = reached;
        Strategy::ring(back_.message_came);
    }
    /// Whether the consumer may sleep although not all is read.
    [[nodiscard]] bool owes_hand_over() const { return position_ != certain_; }

    /// How long it took to fetch the consumer's line when it had changed, in ns: how far away it
    /// was then. 0: not fetched yet.
    [[nodiscard]] std::int64_t fetch_ns() const { return fetch_ns_; }
    /// How often it was fetched.
    [[nodiscard]] std::uint32_t fetches() const { return fetches_; }

  private:
    [[gnu::noinline]] void wait_for_room(std::uint64_t bytes, auto begin_wait) {
        if (look(bytes, std::memory_order::acquire)) return;
        // A consumer that knows of nothing, or sleeps, gives nothing back.
        if (owes_hand_over()) hand_over();
        auto&& wait = begin_wait();
        Strategy::wait_until(
            back_.room_came, [&](std::memory_order order) { return look(bytes, order); },
            [&] { wait.glance(); });
    }
    bool look(std::uint64_t bytes, std::memory_order order) {
        const std::uint64_t seen_before = released_seen_;
        const std::int64_t start_ns = Atomics::now_ns();
        released_seen_ = back_.released.load(order);
        const std::int64_t end_ns = Atomics::now_ns();
        if (released_seen_ != seen_before) {
            fetch_ns_ = end_ns - start_ns;
            ++fetches_;
        }
        // A consumer that claims to have released more than there was gets no room for it.
        const bool possible = position_ - released_seen_ <= capacity_;
        room_end_ = possible ? released_seen_ + capacity_ : position_;
        return has_room(bytes);
    }

    typename Indices::Index& published_;
    typename Indices::Back& back_;
    const std::uint64_t capacity_;
    std::uint64_t position_;
    std::uint64_t run_bytes_ = 0;
    std::uint64_t handed_over_;
    std::uint64_t certain_;  // so far the consumer cannot have missed it
    std::uint64_t released_seen_;
    std::uint64_t room_end_;
    std::int64_t fetch_ns_ = 0;
    std::uint32_t fetches_ = 0;
};

/// The consumer's side.
template <class Atomics, template <class> class WaitStrategy>
class RingConsumer {
    using Indices = RingIndices<Atomics, WaitStrategy>;
    using Strategy = WaitStrategy<Atomics>;

  public:
    RingConsumer(Indices& indices, Side peer, std::uint64_t capacity, std::uint64_t start = 0)
        : published_(indices.published_by(peer)),
          back_(indices.back_to(peer)),
          capacity_(capacity),
          step_(capacity / 8),
          position_(start),
          given_back_(start),
          end_(start) {}

    /// Waits until there is something unread and returns the position where it begins. `begin_wait`
    /// as of RingProducer::reserve.
    std::uint64_t await(auto begin_wait) {
        if (unread_bytes() == 0 && !look(std::memory_order::acquire)) [[unlikely]]
            wait_for_message(begin_wait);
        return position_;
    }
    [[nodiscard]] std::uint64_t position() const { return position_; }
    /// As far as this side has looked.
    [[nodiscard]] std::uint64_t unread_bytes() const { return end_ - position_; }
    /// The tag of the latest publication that it has seen.
    [[nodiscard]] std::uint64_t tag() const { return tag_; }

    /// The first `bytes` of what is unread are read, and are given back with the step that they
    /// complete.
    void release(std::uint64_t bytes) {
        position_ += bytes;
        if (position_ - given_back_ >= step_) give_back();
    }

    /// A run as of RingProducer: all of it is unread, and it completes no step.
    [[nodiscard]] std::uint64_t run_bytes() const { return run_bytes_; }
    void release_within_run(std::uint64_t bytes) { run_bytes_ -= bytes; }
    void begin_run() {
        run_bytes_ = std::min(end_ - position_, given_back_ + step_ - position_);
        position_ += run_bytes_;
    }
    void end_run() {
        if (run_bytes_ == 0) return;
        position_ -= run_bytes_;
        run_bytes_ = 0;
    }

  private:
    void wait_for_message(auto begin_wait) {
        if (position_ != given_back_) give_back();
        auto&& wait = begin_wait();
        Strategy::wait_until(
            back_.message_came, [&](std::memory_order order) { return look(order); },
            [&] { wait.glance(); });
    }
    bool look(std::memory_order order) {
        const std::uint64_t word = published_.load(order);
        const std::uint64_t unread = published_word::bytes_since(position_, word);
        if (unread > capacity_) [[unlikely]]
            refuse();
        end_ = position_ + unread;
        tag_ = published_word::tag_of(word);
        return unread_bytes() != 0;
    }
    [[noreturn, gnu::cold, gnu::noinline]] static void refuse() {
        throw Refused("take", "the peer has published more than the ring holds");
    }
    [[gnu::noinline]] void give_back() {
        given_back_ = position_;
        back_.released.store(given_back_, Strategy::store_before_ring);
        Strategy::ring(back_.room_came);
    }

    typename Indices::Index& published_;
    typename Indices::Back& back_;
    const std::uint64_t capacity_;
    const std::uint64_t step_;
    std::uint64_t position_;
    std::uint64_t run_bytes_ = 0;
    std::uint64_t given_back_;
    std::uint64_t end_;  // of what it has seen published
    std::uint64_t tag_ = 0;
};

}  // namespace ipclab
