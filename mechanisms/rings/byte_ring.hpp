// A ring of bytes in shared memory, for a single producer and a single consumer: where the messages
// of variable length lie. When they are handed over is told in ring_indices.hpp.
//
// In the ring: each message is its length, its payload, and padding to the next multiple of 8. The
// payload of a long message begins on a line of its own, or each of the wide stores that fill it
// would touch two lines. The ring is mapped twice in a row. A message that runs over the end runs
// on into the second copy, and is contiguous without a gap, a marker or a case of its own.
//
// On the line: a message of up to 48 bytes in a conversation. Its payload goes onto the very line
// that it is published on, its length into the word that publishes it, so a single line carries
// payload and flag. The other way, a reader that waits for the index, and then for the payload, has
// two lines to wait for, one after the other.
//   One of the sides has the line: at first the initiator, then whoever was last handed a message
// on it, and has released that. It may put its next message there, and does if it is not in the
// middle of a stream. So an answer goes on the line and so does the next question. In a stream,
// which is never answered, only the first message does, and the line stays with the reader.
//   In the ring, such a message takes eight bytes, where its length is only written when a message
// in the ring follows: the reader may then no longer find it in the word of the publication.
#pragma once

#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/stores.hpp"
#include "mechanisms/rings/ring_indices.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <optional>

namespace ipclab {

namespace ring_record {
using Length = std::uint64_t;
/// From here on, a payload begins on a line of its own.
constexpr std::size_t long_bytes = 512;
constexpr std::size_t payload_max(std::size_t capacity) { return capacity - cache_line_bytes; }

/// From the beginning of a record, at `position`, to its payload.
constexpr std::size_t offset(std::uint64_t position, std::size_t payload) {
    return payload < long_bytes ? sizeof(Length) : cache_line_bytes - position % cache_line_bytes;
}
constexpr std::size_t bytes(std::size_t offset, std::size_t payload) {
    return offset + round_up(payload, sizeof(Length));
}
constexpr std::size_t short_bytes(std::size_t payload) { return bytes(sizeof(Length), payload); }
constexpr std::size_t bytes_max(std::size_t payload) { return bytes(cache_line_bytes, payload); }

/// Of a message on the line: what stands in the ring in its place, with the length in its lower
/// half ("line", and more than any ring holds).
constexpr Length on_the_line = Length{0x6C696E65} << 32;
constexpr bool is_on_the_line(Length length) { return length >> 32 == on_the_line >> 32; }
constexpr std::size_t bytes_on_the_line = short_bytes(0);
/// In the word that publishes it: 0 where the latest message lies in the ring.
constexpr std::uint64_t tag_of(std::size_t payload) { return payload + 1; }
}  // namespace ring_record

/// Whether this process has the line; private, since a peer's word for it would not do. The thread
/// that receives gives it to the one that sends.
template <class Atomics>
using LineTurn = typename Atomics::template Atomic<std::uint32_t>;

/// When a producer hands over, and how it is to store.
struct RingTuning {
    std::size_t publish_bytes = 0;   ///< hands over as many at once; 0: each message
    std::size_t batch_messages = 0;  ///< not 0: hands over as many messages at once instead
    std::optional<Stores> stores{};  ///< nothing: by the distance, as measured
};

/// Chooses between the two kinds of stores by how long the consumer's line takes to come.
///
/// Why that, and not a probe before the first message: attaching does not wait for the peer, so
/// there may be nobody to play ping-pong with; and a virtual machine's CPUs are moved while it
/// runs. The producer has to fetch the consumer's line now and then anyway (once an eighth of the
/// ring); two looks at the clock around it tell what the distance is now: about 50 ns where the two
/// share an L3, 150 and more where they do not. A single figure may have been an interruption, so
/// three more of one kind than of the other decide.
class StoresByDistance {
  public:
    static constexpr std::int64_t far_ns = 100;  // with the clock itself, some 25 ns
    static constexpr int certain = 3;
    /// Smaller messages lie in lines of which others have a part, and cost more by a fence.
    static constexpr std::size_t worth_it_bytes = 4096;

    void learn(std::int64_t fetch_ns) {
        votes_ = std::clamp(votes_ + (fetch_ns > far_ns ? 1 : -1), -certain, certain);
        if (votes_ == certain) far_ = true;
        if (votes_ == -certain) far_ = false;
    }
    [[nodiscard]] bool far() const { return far_; }

  private:
    int votes_ = 0;
    bool far_ = false;
};

template <class Atomics, template <class> class WaitStrategy>
class RingSender {
    using Indices = RingIndices<Atomics, WaitStrategy>;

  public:
    /// `ring` is the first of the two copies; `start`, as of RingReceiver, a multiple of 8.
    RingSender(Indices& indices, Side mine, LineTurn<Atomics>& turn, std::byte* ring,
               std::size_t capacity, const RingTuning& tuning, std::uint64_t start = 0)
        : producer_(indices, mine, capacity, start),
          line_(indices.line),
          turn_(turn),
          ring_(ring),
          capacity_(capacity),
          tuning_(tuning) {}

    [[gnu::always_inline]] Bytes loan(std::size_t n, auto begin_wait) {
        if (n < ring_record::long_bytes && is_within_run(n)) [[likely]]
            return {next_record_within_run() + sizeof(ring_record::Length), n};
        if (is_long_again(n)) return {next_record() + offset_, n};
        long_again_ = false;
        producer_.end_run();
        if (!may_use_line(n)) return loan_in_ring(n, begin_wait);
        producer_.reserve(ring_record::bytes_on_the_line, begin_wait);
        on_line_ = true;
        stores_ = Stores::plain;
        return {line_, n};
    }
    [[nodiscard]] Stores stores() const { return stores_; }

    [[gnu::always_inline]] void publish(std::size_t n) {
        if (is_within_run(n)) [[likely]]
            publish_within_run(n);
        else if (long_again_ && n >= ring_record::long_bytes)
            publish_long_again(n);
        else if (on_line_)
            publish_on_line(n);
        else
            publish_in_ring(n);
    }
    void flush() {
        producer_.end_run();
        if (producer_.owes_hand_over()) hand_over_rest();
    }
    [[nodiscard]] std::size_t publish_every(std::size_t message_bytes) const {
        if (tuning_.batch_messages != 0) return tuning_.batch_messages;
        const std::size_t record = message_bytes < ring_record::long_bytes
                                       ? ring_record::short_bytes(message_bytes)
                                       : ring_record::bytes_max(message_bytes);
        return std::max<std::size_t>(1, (tuning_.publish_bytes + record - 1) / record);
    }

  private:
    [[gnu::noinline]] Bytes loan_in_ring(std::size_t n, auto begin_wait) {
        on_line_ = false;
        if (n > ring_record::payload_max(capacity_)) refuse_size();
        if (unwritten_ != nullptr) write_what_lies_on_the_line();
        offset_ = ring_record::offset(producer_.position(), n);
        producer_.reserve(ring_record::bytes(offset_, n), begin_wait);
        if (n >= StoresByDistance::worth_it_bytes)
            choose_stores();
        else
            stores_ = tuning_.stores.value_or(Stores::plain);
        return {next_record() + offset_, n};
    }
    [[gnu::noinline]] void publish_in_ring(std::size_t n) {
        std::byte* record = next_record();
        const std::size_t offset = ring_record::offset(producer_.position(), n);
        if (offset != offset_) [[unlikely]]  // less than was lent, and no longer a long message
            std::memmove(record + offset, record + offset_, n);
        write_length(record, n);
        if (stores_ == Stores::non_temporal) Atomics::order_non_temporal_stores();
        stores_ = Stores::plain;
        if (producer_.held_back_bytes() == 0) batch_left_ = batch_;  // there was no room for more
        append(ring_record::bytes(offset, n));
        long_again_ = n >= ring_record::long_bytes && may_store_plainly();
        if (long_again_) return;
        offset_ = sizeof(ring_record::Length);
        if (tuning_.stores != Stores::non_temporal) begin_run();
    }
    [[gnu::always_inline]] void append(std::size_t record_bytes) {
        producer_.append(record_bytes);
        if (completes_batch() || producer_.held_back_bytes() >= publish_bytes_) hand_over_batch();
    }

    // One long message after the other. What a core has stored waits in a queue until its line has
    // come from the L3, and the core goes on until the queue is full: it holds 64 stores (Zen 4),
    // which is 4 KiB of lines. A word of bookkeeping takes the place of a line there. So a message
    // has two of them, its length and the position, and a stream of 4 KiB is a tenth faster for it.

    [[nodiscard]] bool is_long_again(std::size_t n) const {
        return long_again_ && n >= ring_record::long_bytes &&
               n <= ring_record::payload_max(capacity_) &&
               ring_record::offset(producer_.position(), n) == offset_ &&
               producer_.has_room(ring_record::bytes(offset_, n));
    }
    [[gnu::always_inline]] void publish_long_again(std::size_t n) {
        write_length(next_record(), n);
        append(ring_record::bytes(offset_, n));
    }
    [[nodiscard]] bool is_within_run(std::size_t n) const {
        return ring_record::short_bytes(n) < producer_.run_bytes();
    }
    [[gnu::always_inline]] void publish_within_run(std::size_t n) {
        write_length(next_record_within_run(), n);
        producer_.append_within_run(ring_record::short_bytes(n));
        if (completes_batch()) hand_over_batch();
    }
    /// Asked once after each message.
    bool completes_batch() { return batch_left_ != unlimited && --batch_left_ == 0; }
    [[gnu::noinline]] void hand_over_batch() {
        if (batch_ == 1)
            producer_.hand_over();
        else
            producer_.hand_over_and_go_on();
        batch_left_ = batch_;
    }
    [[gnu::noinline]] void hand_over_rest() {
        producer_.hand_over();
        batch_left_ = batch_;
    }
    /// Unless the next message may go on the line. A run lasts until flush(), or until there is no
    /// room: should the peer give the line back meanwhile, that can wait.
    void begin_run() {
        if (may_use_line(0)) return;
        std::byte* begin = next_record();
        producer_.begin_run(batch_ == unlimited ? publish_bytes_ : capacity_);
        run_end_ = begin + producer_.run_bytes();
    }
    [[nodiscard]] bool may_use_line(std::size_t n) const {
        return n <= line_bytes_max_ && producer_.held_back_bytes() == 0 &&
               turn_.load(std::memory_order::acquire) != 0;
    }
    [[gnu::noinline]] void publish_on_line(std::size_t n) {
        std::byte* record = next_record();
        turn_.store(0, std::memory_order::relaxed);  // the peer gives it back
        producer_.append(ring_record::bytes_on_the_line);
        producer_.hand_over(ring_record::tag_of(n));
        unwritten_ = record;
        unwritten_length_ = n;
        on_line_ = false;
    }
    [[noreturn, gnu::cold, gnu::noinline]] void refuse_size() const {
        throw Refused("loan",
                      fmt::format("the ring holds messages of up to {} bytes",
                                  ring_record::payload_max(capacity_)),
                      EMSGSIZE);
    }
    [[gnu::noinline]] void write_what_lies_on_the_line() {
        write_length(unwritten_, ring_record::on_the_line | unwritten_length_);
        unwritten_ = nullptr;
    }
    [[gnu::noinline]] void choose_stores() {
        if (producer_.fetches() != fetches_learnt_) {
            fetches_learnt_ = producer_.fetches();
            distance_.learn(producer_.fetch_ns());
        }
        stores_ = may_store_plainly() ? Stores::plain : Stores::non_temporal;
    }
    [[nodiscard]] bool may_store_plainly() const {
        return tuning_.stores.value_or(distance_.far() ? Stores::non_temporal : Stores::plain) ==
               Stores::plain;
    }
    [[nodiscard]] std::byte* next_record() const {
        return ring_ + (producer_.position() & (capacity_ - 1));
    }
    [[nodiscard]] std::byte* next_record_within_run() const {
        return run_end_ - producer_.run_bytes();
    }
    static void write_length(std::byte* record, ring_record::Length length) {
        std::memcpy(record, &length, sizeof length);
    }

    RingProducer<Atomics, WaitStrategy> producer_;
    std::byte* line_;
    LineTurn<Atomics>& turn_;
    std::byte* ring_;
    std::size_t capacity_;
    RingTuning tuning_;
    std::byte* run_end_ = nullptr;
    static constexpr std::size_t unlimited = SIZE_MAX;
    // Hands over so many messages at once, or so many bytes; one of the two is without limit.
    const std::size_t batch_ = tuning_.batch_messages != 0  ? tuning_.batch_messages
                               : tuning_.publish_bytes == 0 ? 1
                                                            : unlimited;
    const std::size_t publish_bytes_ = batch_ == unlimited ? tuning_.publish_bytes : unlimited;
    std::size_t batch_left_ = batch_;
    // The longest messages that go on the line. A batch of several stays together, in the ring.
    const std::size_t line_bytes_max_ =
        batch_ == 1 || batch_ == unlimited ? Indices::line_bytes : 0;
    bool long_again_ = false;  // the last message was long, and the next may be like it
    // Of the message that is lent:
    bool on_line_ = false;
    std::size_t offset_ = sizeof(ring_record::Length);
    Stores stores_ = Stores::plain;
    std::byte* unwritten_ = nullptr;  // where the latest message on the line is missing in the ring
    std::size_t unwritten_length_ = 0;
    StoresByDistance distance_;
    std::uint32_t fetches_learnt_ = 0;
};

template <class Atomics, template <class> class WaitStrategy>
class RingReceiver {
    using Indices = RingIndices<Atomics, WaitStrategy>;

  public:
    RingReceiver(Indices& indices, Side peer, LineTurn<Atomics>& turn, const std::byte* ring,
                 std::size_t capacity, const RingTuning& tuning, std::uint64_t start = 0)
        : consumer_(indices, peer, capacity, start),
          line_(indices.line),
          turn_(turn),
          ring_(ring),
          capacity_(capacity),
          near_bytes_(tuning.publish_bytes < l2_bytes ? l2_bytes : 0) {}

    [[gnu::always_inline]] View take(auto begin_wait) {
        // Where the next record begins follows from the length of this one, so one message would
        // have to wait for the other's length to arrive from the cache. But most messages of a
        // stream are as long as the last one. The processor predicts that this comparison will say
        // so, and goes on: short messages are three times as fast for it.
        if (foreseen_bytes_ < consumer_.run_bytes()) [[likely]] {
            const std::byte* record = run_end_ - consumer_.run_bytes();
            if (length_of(record) == length_) [[likely]]
                return {record + offset_, length_};
        }
        return take_unforeseen(begin_wait);
    }
    [[gnu::always_inline]] void release() {
        if (!unforeseen_) [[likely]]
            return consumer_.release_within_run(taken_);
        unforeseen_ = false;
        if (on_line_) return release_line();
        consumer_.release(taken_);
        begin_run();
    }

  private:
    [[gnu::noinline]] View take_unforeseen(auto begin_wait) {
        consumer_.end_run();
        unforeseen_ = true;
        const std::uint64_t position = consumer_.await(begin_wait);
        const std::uint64_t unread = consumer_.unread_bytes();
        if (consumer_.tag() != 0 && unread == ring_record::bytes_on_the_line)
            return take_from_line(consumer_.tag() - 1);
        const std::byte* record = next_record();
        const ring_record::Length length = length_of(record);
        // A record must lie within what the peer has published: eight bytes at least.
        if (length > unread - sizeof length) {
            if (!ring_record::is_on_the_line(length)) refuse();
            return take_from_line(length - ring_record::on_the_line);
        }
        const std::size_t offset = ring_record::offset(position, length);
        if (offset > unread - length) refuse();
        taken_ = ring_record::bytes(offset, length);
        length_ = length;
        offset_ = offset;
        foreseen_bytes_ = lies_alike_again() ? taken_ : nothing_foreseen;
        if (unread < near_bytes_) fetch_ahead(record + taken_, std::min(unread - taken_, length));
        return {record + offset, length};
    }
    /// If the next message is as long as this one. Where the writer may be near, a long message
    /// asks ahead, which take() does not.
    [[nodiscard]] bool lies_alike_again() const {
        if (length_ < ring_record::long_bytes) return true;
        return near_bytes_ == 0 && taken_ % cache_line_bytes == 0;
    }
    /// Asks for the beginning of the message that follows, while the caller is busy with this one.
    /// A reader that is less than an L2 behind the writer takes each line out of that, and waits
    /// for it. The processor's own prefetcher shortens the wait, but begins anew in each page
    /// (messages of 4 KiB take a quarter longer without this). From further behind, the lines come
    /// from the L3 as fast as they are read, and to ask for them would only be in the way of the
    /// writer, who needs it too.
    static void fetch_ahead(const std::byte* from, std::size_t bytes) {
        const std::byte* end = from + std::min(bytes, fetch_ahead_bytes_max);
        for (; from < end; from += cache_line_bytes) __builtin_prefetch(from);
    }
    void begin_run() {
        const std::byte* begin = next_record();
        consumer_.begin_run();
        run_end_ = begin + consumer_.run_bytes();
    }
    View take_from_line(std::uint64_t length) {
        if (length > Indices::line_bytes) refuse();
        on_line_ = true;
        foreseen_bytes_ = nothing_foreseen;
        taken_ = ring_record::bytes_on_the_line;
        return {line_, length};
    }
    void release_line() {
        turn_.store(1, std::memory_order::release);  // first: the sender may be about to answer
        on_line_ = false;
        consumer_.release(taken_);
    }
    [[noreturn, gnu::cold, gnu::noinline]] static void refuse() {
        throw Refused("take", "the peer has written a record that leaves the ring");
    }

    [[nodiscard]] const std::byte* next_record() const {
        return ring_ + (consumer_.position() & (capacity_ - 1));
    }
    /// The one look at what the peer wrote. Volatile, or the compiler may fetch it again after the
    /// check, and the peer have changed it.
    static ring_record::Length length_of(const std::byte* record) {
        return *reinterpret_cast<const volatile ring_record::Length*>(record);
    }

    static constexpr std::size_t nothing_foreseen = SIZE_MAX;
    static constexpr std::size_t fetch_ahead_bytes_max = 4096;
    static constexpr std::size_t l2_bytes = std::size_t{1} << 20;

    RingConsumer<Atomics, WaitStrategy> consumer_;
    const std::byte* line_;
    LineTurn<Atomics>& turn_;
    const std::byte* ring_;
    std::size_t capacity_;
    const std::size_t near_bytes_;  // with less unread than this, the writer is near
    const std::byte* run_end_ = nullptr;
    std::size_t taken_ = 0;
    // Of the last message, if the next may be taken alike: what its record took, its length, and
    // where in the record it began.
    std::size_t foreseen_bytes_ = nothing_foreseen;
    ring_record::Length length_ = 0;
    std::size_t offset_ = sizeof(ring_record::Length);
    // Of the message that is taken:
    bool unforeseen_ = false;
    bool on_line_ = false;
};

}  // namespace ipclab
