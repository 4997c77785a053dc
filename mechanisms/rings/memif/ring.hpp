// A memif ring: slots that go round between two processes, and the two indices that say whose each
// slot is.
//
// The client makes the ring and moves its head, the server moves its tail, whichever way packets
// go (S2M: from the client, "slave", to the server, "master"; M2S: back). Slots from tail to head
// are the server's, the others the client's:
//
//             client moves head               server moves tail
//   S2M       "these slots hold packets"      "these are read, take them back"
//   M2S       "these slots are empty, fill"   "these hold packets"
//
// Both indices count up modulo 65536, and at all times tail <= head <= tail + slots. What breaks
// this is a peer that is broken or hostile. A sender signals by an eventfd unless the receiver has
// set the ring's mask flag.
//
// This file is the layout (memif 2.0, as VPP's memif.h, libmemif and DPDK's net_memif have it) and
// the synchronisation; data_path.hpp puts packets into the slots.
#pragma once

#include "mechanisms/os/atomics.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ipclab::memif {

enum class SocketRole { server, client };

// ---------------------------------------------------------------------------------------------
// Layout.

constexpr std::uint32_t ring_cookie = 0x03E31F20;
constexpr unsigned log2_ring_size_max = 14;

/// In front of the descriptors. Its two halves lie on lines of their own where these have 64 bytes,
/// but a ring of two slots puts the next one at 160: nothing here may be aligned to more than 16.
template <class Atomics>
struct RingHeader {
    using Index = typename Atomics::template Atomic<std::uint16_t>;

    std::uint32_t cookie = ring_cookie;
    Index flags{0};  ///< the packet receiver's
    Index head{0};   ///< the client's
    std::array<std::byte, 56> unused{};
    Index tail{0};  ///< the server's
    std::array<std::byte, 62> unused_too{};
};
static_assert(sizeof(RingHeader<SystemAtomics>) == 128 && alignof(RingHeader<SystemAtomics>) == 4);
static_assert(offsetof(RingHeader<SystemAtomics>, flags) == 4);
static_assert(offsetof(RingHeader<SystemAtomics>, head) == 6);
static_assert(offsetof(RingHeader<SystemAtomics>, tail) == 64);
static_assert(std::atomic<std::uint16_t>::is_always_lock_free);

constexpr std::uint16_t flag_mask_interrupt = 1;

/// One slot: which buffer, and how much of it.
struct Descriptor {
    std::uint16_t flags;
    std::uint16_t region;
    std::uint32_t length;  ///< of the data; of an empty buffer that was posted: its capacity
    std::uint32_t offset;
    std::uint32_t metadata;
};
static_assert(sizeof(Descriptor) == 16 && offsetof(Descriptor, region) == 2 &&
              offsetof(Descriptor, length) == 4 && offsetof(Descriptor, offset) == 8 &&
              offsetof(Descriptor, metadata) == 12);

/// The packet goes on in the next slot.
constexpr std::uint16_t flag_next = 1;

constexpr std::size_t ring_bytes(unsigned log2_ring_size) {
    return sizeof(RingHeader<SystemAtomics>) + (sizeof(Descriptor) << log2_ring_size);
}

/// A slot as it lies in shared memory. The peer may write it at any time, so it is read in one go
/// into a private copy, of which then nothing changes between check and use.
class alignas(8) SharedDescriptor {
    using Halves = std::array<std::uint64_t, 2>;

  public:
    [[nodiscard]] Descriptor load() const {
        return std::bit_cast<Descriptor>(Halves{__atomic_load_n(&halves_[0], __ATOMIC_RELAXED),
                                                __atomic_load_n(&halves_[1], __ATOMIC_RELAXED)});
    }
    void store(const Descriptor& descriptor) {
        const auto halves = std::bit_cast<Halves>(descriptor);
        __atomic_store_n(&halves_[0], halves[0], __ATOMIC_RELAXED);
        __atomic_store_n(&halves_[1], halves[1], __ATOMIC_RELAXED);
    }

  private:
    std::uint64_t halves_[2];
};
static_assert(sizeof(SharedDescriptor) == sizeof(Descriptor));

// ---------------------------------------------------------------------------------------------
// Synchronisation.

/// One side's view of the two indices. Its own index and the last that it saw of the peer's are
/// private: shared memory is asked for the peer's, and checked, and for nothing else.
template <class Atomics>
class RingIndices {
  public:
    RingIndices(RingHeader<Atomics>& ring, unsigned log2_ring_size, SocketRole mine,
                std::uint16_t start = 0)
        : ring_(&ring),
          slots_(static_cast<std::uint16_t>(1U << log2_ring_size)),
          mine_(mine),
          own_(start),
          peers_(start) {}

    [[nodiscard]] std::uint16_t slots() const { return slots_; }
    /// Whether the peer has moved its index to where it may not be; after that it is not looked at
    /// again.
    [[nodiscard]] bool violated() const { return violated_; }

  protected:
    static constexpr std::uint16_t difference(unsigned a, unsigned b) {
        return static_cast<std::uint16_t>(a - b);
    }
    [[nodiscard]] bool is_client() const { return mine_ == SocketRole::client; }
    [[nodiscard]] auto& own_word() { return is_client() ? ring_->head : ring_->tail; }
    [[nodiscard]] auto& peers_word() { return is_client() ? ring_->tail : ring_->head; }

    /// Tail may follow up to head, head may run ahead up to all slots; neither goes back.
    void accept(std::uint16_t seen) {
        const std::uint16_t may_advance =
            is_client() ? difference(own_, peers_) : difference(slots_, difference(peers_, own_));
        if (difference(seen, peers_) > may_advance)
            violated_ = true;
        else
            peers_ = seen;
    }

    RingHeader<Atomics>* ring_;
    std::uint16_t slots_;
    SocketRole mine_;
    bool violated_ = false;
    std::uint16_t own_;    ///< as published
    std::uint16_t peers_;  ///< as last seen
};

/// Of who sends packets on a ring.
template <class Atomics>
class SenderIndices : public RingIndices<Atomics> {
    using Base = RingIndices<Atomics>;

  public:
    SenderIndices(RingHeader<Atomics>& ring, unsigned log2_ring_size, SocketRole mine,
                  std::uint16_t start = 0)
        : Base(ring, log2_ring_size, mine, start), next_(start) {}

    /// The slot to fill next is this one modulo slots().
    [[nodiscard]] std::uint16_t next() const { return next_; }

    /// How many may be filled. Looks at the peer's index only if fewer than `wanted` were known of.
    std::uint16_t room(std::uint16_t wanted) {
        if (known_room() < wanted && !this->violated_)
            // Acquire: what the receiver read there, or posted there, came before.
            this->accept(this->peers_word().load(std::memory_order::acquire));
        return this->violated_ ? std::uint16_t{0} : known_room();
    }
    void fill(std::uint16_t slots) { next_ = static_cast<std::uint16_t>(next_ + slots); }
    [[nodiscard]] bool has_unpublished() const { return next_ != this->own_; }

    /// Shows the receiver what was filled; returns whether it asks to be signalled.
    bool publish() {
        this->own_ = next_;
        this->own_word().store(this->own_, std::memory_order::release);
        // A receiver that goes to sleep clears its flag and looks at the index; here the index is
        // stored and the flag looked at. Without a full fence on both sides each could miss the
        // other's store: a lost wake-up.
        Atomics::fence(std::memory_order::seq_cst);
        return (this->ring_->flags.load(std::memory_order::relaxed) & flag_mask_interrupt) == 0;
    }

  private:
    [[nodiscard]] std::uint16_t known_room() const {
        return this->is_client()
                   ? this->difference(this->slots_, this->difference(next_, this->peers_))
                   : this->difference(this->peers_, next_);
    }

    std::uint16_t next_;
};

/// Of who receives packets on a ring.
template <class Atomics>
class ReceiverIndices : public RingIndices<Atomics> {
    using Base = RingIndices<Atomics>;

  public:
    ReceiverIndices(RingHeader<Atomics>& ring, unsigned log2_ring_size, SocketRole mine,
                    std::uint16_t start = 0)
        : Base(ring, log2_ring_size, mine, start), next_(start) {}

    /// The slot to read next is this one modulo slots().
    [[nodiscard]] std::uint16_t next() const { return next_; }

    /// How many hold packets. Looks at the peer's index only if fewer than `wanted` were known of.
    std::uint16_t available(std::uint16_t wanted) {
        if (known() < wanted && !this->violated_)
            // Acquire: the packets came before.
            this->accept(this->peers_word().load(std::memory_order::acquire));
        return this->violated_ ? std::uint16_t{0} : known();
    }
    void consume(std::uint16_t slots) { next_ = static_cast<std::uint16_t>(next_ + slots); }

    /// A server gives back what it has read; a client posts every slot that does not wait to be
    /// read, which at first are all.
    [[nodiscard]] std::uint16_t unreleased() const {
        return this->difference(release_to(), this->own_);
    }
    /// The first of those.
    [[nodiscard]] std::uint16_t released() const { return this->own_; }
    /// Whether who gives back in batches should do so now. Each release() is a cache line that the
    /// sender has to fetch. But all that was seen may be all that there was: then the sender is
    /// owed the whole ring.
    [[nodiscard]] bool has_batch() const {
        constexpr unsigned largest_batch = 32;
        return unreleased() >= std::clamp(this->slots_ / 8U, 1U, largest_batch) || known() == 0;
    }
    void release() {
        this->own_ = release_to();
        // Release: the reads of the slots, and the descriptors posted, come before.
        this->own_word().store(this->own_, std::memory_order::release);
    }

    /// After asking for signals, look once more before you sleep.
    void ask_for_signals(bool please) {
        const std::uint16_t flags = please ? std::uint16_t{0} : flag_mask_interrupt;
        this->ring_->flags.store(flags, std::memory_order::relaxed);
        // The other side of the fence in publish().
        if (please) Atomics::fence(std::memory_order::seq_cst);
    }

  private:
    [[nodiscard]] std::uint16_t known() const { return this->difference(this->peers_, next_); }
    [[nodiscard]] std::uint16_t release_to() const {
        return static_cast<std::uint16_t>(next_ + (this->is_client() ? this->slots_ : 0));
    }

    std::uint16_t next_;
};

}  // namespace ipclab::memif
