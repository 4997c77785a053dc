// Samples, and the pool that they come from and go back to.
//
// A sample is what is passed: a header and room for so many values of 8 bytes (VILLASnode's are
// time-stamped vectors of measurements). Samples are made once, all of one size. The pool's list of
// free ones is a queue like the one they travel in (queue.hpp): a sample is always in one of the
// two, or in somebody's hands. As there are never more of them than either queue has cells, neither
// can overflow. Back-pressure is the pool: who has none left waits until a reader is done.
//
// A sample has a count of references. Who takes one out of the pool has the first; a push hands it
// over to who pulls; whoever wants a sample to be read in two places adds one. The last to let go
// puts it back, in whichever process that is: so the receiver refills the sender's pool, through
// shared memory, without a word to the sender. (In the original a sample also says where its pool
// is, since a program has many. Here the direction that it came from knows, and nothing has to be
// believed.)
//
// The free list is first in, first out: each sample is used in turn, and a pool that is larger than
// a cache goes through it once a lap, even if one sample is on its way at a time. A stack would use
// the same, warm one again.
//
// To let go once too often is the classic fault of counted references: the sample is free while
// somebody still reads it, or is in the free list twice. The original counts below zero and says
// nothing. Here a reference names the sample and the use of it: each time that a sample comes back,
// its generation grows, in the same word as the count. A reference to a use that is over is
// refused.
//
// Who dies with a sample in hand takes it along: the pool is one smaller for ever, and a pool that
// is empty stops the sender. So a sample tells who holds it, and when the holder is known to be
// dead, anybody may give it back in its name (reclaim). There remain the few instructions between
// a pull and that mark: what is lost there, only who is alone with the object can find, by looking
// at what is left (DirectionView::rebuild).
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/rings/villas/signalled_queue.hpp"

#include <new>
#include <optional>

namespace ipclab::villas {

// ---------------------------------------------------------------------------------------------
// The count, for itself.

enum class Dropped { some_remain, last, none_was_held };

template <class Atomics>
class References {
  public:
    /// Of a sample that nobody else sees. Its generation remains.
    void begin() { word_.store(next_one(word_.load(relaxed)), relaxed); }

    /// By who holds one already.
    void add() { word_.fetch_add(1, relaxed); }

    /// Release: what this holder has read and written comes before whatever the last does with it.
    /// Acquire: for the last, what all others have done is over.
    Dropped drop(std::uint32_t generation) {
        std::uint64_t word = word_.load(relaxed);
        for (;;) {
            if (generation_of(word) != generation || count_of(word) == 0)
                return Dropped::none_was_held;
            const bool last = count_of(word) == 1;
            const std::uint64_t less = last ? next_generation(word) : word - 1;
            if (word_.compare_exchange_weak(word, less, std::memory_order::acq_rel, relaxed))
                return last ? Dropped::last : Dropped::some_remain;
        }
    }
    /// By who is alone with the sample.
    void end() { word_.store(next_generation(word_.load(relaxed)), relaxed); }

    [[nodiscard]] std::uint32_t generation() const { return generation_of(word_.load(relaxed)); }
    [[nodiscard]] std::uint32_t count() const { return count_of(word_.load(relaxed)); }

  private:
    static constexpr auto relaxed = std::memory_order::relaxed;
    static std::uint32_t count_of(std::uint64_t word) { return static_cast<std::uint32_t>(word); }
    static std::uint32_t generation_of(std::uint64_t word) {
        return static_cast<std::uint32_t>(word >> 32);
    }
    static std::uint64_t next_generation(std::uint64_t word) {
        return std::uint64_t{generation_of(word) + 1} << 32;
    }
    static std::uint64_t next_one(std::uint64_t word) { return (word >> 32 << 32) | 1; }

    typename Atomics::template Atomic<std::uint64_t> word_{0};
};

// ---------------------------------------------------------------------------------------------

constexpr std::size_t value_bytes = 8;
/// Who holds a sample: numbers that the participants have agreed on. 0 is nobody.
using Holder = std::uint32_t;
constexpr Holder nobody = 0;

template <class Atomics>
struct SampleHeader {
    References<Atomics> references;
    typename Atomics::template Atomic<Holder> holder{nobody};
    std::uint32_t reserved = 0;
    std::uint64_t sequence = 0;  ///< the sender's count
    std::uint64_t bytes = 0;     ///< of the message, from the start of the values

    std::byte* values() { return reinterpret_cast<std::byte*>(this + 1); }
};
static_assert(sizeof(SampleHeader<SystemAtomics>) == 32 &&
                  std::is_trivially_destructible_v<SampleHeader<SystemAtomics>>,
              "a short sample and its header share a cache line");

/// A reference to a sample, which its holder drops once. (A process's own; never shared.)
template <class Atomics>
struct Reference {
    SampleHeader<Atomics>* sample = nullptr;
    std::uint32_t generation = 0;
};

template <class Atomics>
class Pool {
  public:
    using Sample = SampleHeader<Atomics>;
    using Ref = Reference<Atomics>;
    using FreeList = SignalledQueue<Atomics>;

    /// From one sample to the next, whole cache lines.
    static constexpr std::size_t stride_of(std::size_t samplelen) {
        return round_up(sizeof(Sample) + samplelen * value_bytes, 64);
    }

    /// What `me` sees of it. `first` is the first of `count` samples, each with room for
    /// `samplelen` values; told, and not read from the memory.
    Pool(FreeList free, std::byte* first, std::uint64_t count, std::uint64_t samplelen, Holder me)
        : free_(std::move(free)), first_(first), count_(count), samplelen_(samplelen), me_(me) {}

    /// Done once, with an initialised free list: all samples are free.
    void initialise() {
        for (std::uint64_t i = 0; i < count_; ++i) {
            new (first_ + i * stride_of(samplelen_)) Sample;
            free_.push(address_of(i));
        }
    }

    [[nodiscard]] std::uint64_t size() const { return count_; }
    [[nodiscard]] std::size_t sample_bytes() const { return samplelen_ * value_bytes; }
    [[nodiscard]] std::uint64_t free() const { return free_.queue().size(); }
    /// Samples that say that somebody holds them.
    [[nodiscard]] std::uint64_t held() const {
        std::uint64_t found = 0;
        for (std::uint64_t i = 0; i < count_; ++i)
            found += sample(i).holder.load(relaxed) != nobody ? 1 : 0;
        return found;
    }

    /// A sample that the caller has to itself, with one reference. Its content is what the last
    /// user left. Nothing when all are in use.
    std::optional<Ref> try_get() {
        std::byte* item = nullptr;
        if (free_.pull(item) != Outcome::done) return std::nullopt;
        return begin(item);
    }
    /// Waits for one; `glance` as SignalledQueue::await has it.
    Ref get(auto&& glance) {
        std::byte* item = nullptr;
        if (free_.await(item, glance) != Outcome::done)
            throw Refused("loan", "the pool has been closed");
        return begin(item);
    }

    /// Before the reference is handed over, by a push.
    static void let_pass(const Ref& ref) { ref.sample->holder.store(nobody, relaxed); }

    /// After a pull: takes over the reference that was handed over. Throws Refused for a place
    /// where no sample is, or one that nobody had a reference to.
    Ref admit(const std::byte* item) {
        const auto index = index_of(item);
        if (!index) throw Refused("take", "the peer names a sample that the pool does not have");
        Sample& came = sample(*index);
        if (came.references.count() == 0)
            throw Refused("take", "the peer has handed over a sample that is free");
        came.holder.store(me_, relaxed);
        return {&came, came.references.generation()};
    }

    static Ref share(const Ref& ref) {
        ref.sample->references.add();
        return ref;
    }

    enum class Ring { yes, no };

    /// Lets go; the last one puts the sample back and, as a rule, rings. Throws Refused, and
    /// changes nothing, when this use of the sample is over: somebody has let go twice.
    Dropped drop(const Ref& ref, Ring ring = Ring::yes) {
        // Who has it alone stays its holder until it is on its way back. Else the mark goes first:
        // it would have the reference of another dropped in our name.
        References<Atomics>& references = ref.sample->references;
        Holder holder = me_;
        if (references.generation() == ref.generation && references.count() > 1)
            ref.sample->holder.compare_exchange_strong(holder, nobody, relaxed, relaxed);
        const Dropped outcome = references.drop(ref.generation);
        if (outcome == Dropped::none_was_held)
            throw Refused("release", "a sample that has been released already");
        if (outcome == Dropped::last) put_back(*ref.sample, ring);
        return outcome;
    }

    /// Gives back what `dead` held, who will not touch it any more, while all others go on. Returns
    /// how many samples.
    std::uint64_t reclaim(Holder dead) {
        std::uint64_t found = 0;
        for (std::uint64_t i = 0; i < count_; ++i) {
            Sample& left = sample(i);
            Holder holder = dead;
            // By exchange: of two who clean up, one gets it.
            if (!left.holder.compare_exchange_strong(holder, me_, relaxed, relaxed)) continue;
            const bool died_while_putting_back = left.references.count() == 0;
            if (died_while_putting_back)
                put_back(left, Ring::yes);
            else
                drop({&left, left.references.generation()});
            ++found;
        }
        return found;
    }

    /// What an earlier process left that was what this one is now.
    std::uint64_t reclaim_own() { return reclaim(me_); }

    /// For who is alone: mends the free list, and puts every sample into it but those to `keep`, by
    /// index. Returns how many of them had been lost.
    std::uint64_t rebuild(const std::vector<bool>& keep) {
        std::uint64_t lost = count_;
        std::vector<bool> accounted_for = keep;
        for (const std::byte* item : free_.queue().rebuild())
            if (const auto index = index_of(item)) accounted_for[*index] = true;
        for (std::uint64_t i = 0; i < count_; ++i) {
            if (accounted_for[i]) --lost;
            if (keep[i]) continue;
            sample(i).references.end();
            sample(i).holder.store(nobody, relaxed);
            free_.push(address_of(i));
        }
        return lost;
    }

    [[nodiscard]] std::optional<std::uint64_t> index_of(const std::byte* item) const {
        const std::uint64_t stride = stride_of(samplelen_);
        // Unsigned: what lies before the first is far behind the last.
        const auto offset = static_cast<std::uint64_t>(item - first_);
        if (offset % stride != 0 || offset / stride >= count_) return std::nullopt;
        return offset / stride;
    }
    [[nodiscard]] std::byte* address_of(std::uint64_t index) const {
        return first_ + index * stride_of(samplelen_);
    }
    [[nodiscard]] Sample& sample(std::uint64_t index) const {
        return *std::launder(reinterpret_cast<Sample*>(address_of(index)));
    }
    FreeList& free_list() { return free_; }

  private:
    static constexpr auto relaxed = std::memory_order::relaxed;

    Ref begin(const std::byte* item) {
        const auto index = index_of(item);
        if (!index) throw Refused("loan", "the free list names a sample that the pool has not");
        Sample& mine = sample(*index);
        mine.holder.store(me_, relaxed);
        mine.references.begin();
        return {&mine, mine.references.generation()};
    }
    void put_back(Sample& returned, Ring ring) {
        returned.holder.store(nobody, relaxed);
        free_.push(reinterpret_cast<const std::byte*>(&returned));
        if (ring == Ring::yes) free_.ring();
    }

    FreeList free_;
    std::byte* first_;
    std::uint64_t count_;
    std::uint64_t samplelen_;
    Holder me_;
};

}  // namespace ipclab::villas
