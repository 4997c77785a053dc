// interlink: the link that took the place of inter-proc in Snabb, as it was in 2017, with the
// payback in the slot itself.
//
// The ring is full of packets from the beginning: empty ones. The transmitter exchanges the empty
// packet that it finds in a slot for a full one; the receiver exchanges the full one for an empty
// one. One array serves both ways, each side gets a buffer for each that it gives, and a slot's
// line crosses with something on it in both directions.
//
// Nothing is handed over until it is said: `push` publishes what was inserted, `pull` what was
// extracted. The layout is that of the paper behind it (Lee, Bu, Chandranmenon, "MCRingBuffer",
// 2009): the published indices share one line, which moves once a batch; each side works with its
// own index and a stale copy of the other's, on a line that the other never touches.
//
// Those working lines lie in shared memory as well. A process that takes over from a dead one goes
// on from the dead one's own index: what was inserted and not pushed is pushed, what was extracted
// is not extracted again. For this each exchange is done in an order that may be broken off
// anywhere:
//   - insert: first the slot, then the index. Without the second, the slot holds a packet that was
//     never published, which is as good as an empty one.
//   - extract: first the index, then the slot. Without the second, the slot holds the packet that
//     was just read, which is as good as an empty one.
// The packet that is then in neither place bears the dead one's mark (packets.hpp).
#pragma once

#include "mechanisms/rings/snabb/packets.hpp"

namespace ipclab::snabb {

/// The first 192 bytes; the slots follow. Packed by hand, as the original is.
template <class Atomics>
struct InterlinkRing {
    using Slot = typename Atomics::template Atomic<PacketNumber>;
    using Word = typename Atomics::template Atomic<std::uint32_t>;

    alignas(64) Word read{0};  // the published indices, and what is said once
    Word write{0};
    Word size{0};
    Word state{0};
    alignas(64) Word lwrite{0};  // the receiver's working line
    Word nread{0};
    Word rmask{0};
    alignas(64) Word lread{0};  // the transmitter's working line
    Word nwrite{0};
    Word wmask{0};
};

/// The stores before and after may not change places, or a kill between them would find the second
/// done and not the first. A processor that is interrupted has done what comes first; the compiler
/// has to be told.
inline void in_this_order_for_who_comes_after_a_kill() {
    std::atomic_signal_fence(std::memory_order::seq_cst);
}

/// Which packets are in the ring: one in each slot, always. The other end may go on meanwhile.
template <class Slot, class PacketsOfLink>
NumberSet in_slots(const Slot* slots, std::uint32_t size, const PacketsOfLink& packets) {
    NumberSet found(packets.count() + 1);
    for (std::uint32_t index = 0; index < size; ++index) {
        // Acquire: whoever has replaced a packet here had marked it.
        const PacketNumber number = slots[index].load(std::memory_order::acquire);
        if (number < found.size()) found[number] = 1;
    }
    return found;
}

template <class Atomics, class PacketsOfLink>
class InterlinkTransmitter {
    using Ring = InterlinkRing<Atomics>;
    using Slot = typename Ring::Slot;

  public:
    /// `size` is a power of two. Pushes what the last transmitter had inserted.
    InterlinkTransmitter(Ring& ring, Slot* slots, std::uint32_t size, const PacketsOfLink& packets)
        : ring_(ring),
          slots_(slots),
          mask_(size - 1),
          packets_(packets),
          lread_(ring.lread.load(std::memory_order::relaxed) & mask_),
          nwrite_(ring.nwrite.load(std::memory_order::relaxed) & mask_),
          free_(recovered(packets, End::transmitter, in_slots(slots, size, packets))) {
        push();
    }

    FreeList& free_list() { return free_; }

    [[nodiscard]] bool full() {
        const std::uint32_t next = (nwrite_ + 1) & mask_;
        if (next != lread_) return false;
        // Acquire: the receiver has read the packets, and put the empty ones there.
        lread_ = ring_.read.load(std::memory_order::acquire) & mask_;
        ring_.lread.store(lread_, std::memory_order::relaxed);
        return next == lread_;
    }
    /// Must not be called when full().
    void insert(PacketNumber packet) {
        const PacketNumber empty =
            checked(slots_[nwrite_].load(std::memory_order::relaxed), packets_.count());
        packets_.owner(empty).store(static_cast<std::uint32_t>(End::transmitter),
                                    std::memory_order::relaxed);
        // Release: for a receiver that takes stock just now (in_slots), the mark comes first.
        slots_[nwrite_].store(packet, std::memory_order::release);
        in_this_order_for_who_comes_after_a_kill();
        nwrite_ = (nwrite_ + 1) & mask_;
        ring_.nwrite.store(nwrite_, std::memory_order::relaxed);
        free_.free(empty);
    }
    /// Makes all that was inserted visible.
    void push() { ring_.write.store(nwrite_, std::memory_order::release); }

  private:
    Ring& ring_;
    Slot* slots_;
    const std::uint32_t mask_;
    const PacketsOfLink& packets_;
    std::uint32_t lread_;
    std::uint32_t nwrite_;
    FreeList free_;
};

template <class Atomics, class PacketsOfLink>
class InterlinkReceiver {
    using Ring = InterlinkRing<Atomics>;
    using Slot = typename Ring::Slot;

  public:
    /// Pulls what the last receiver had extracted.
    InterlinkReceiver(Ring& ring, Slot* slots, std::uint32_t size, const PacketsOfLink& packets)
        : ring_(ring),
          slots_(slots),
          mask_(size - 1),
          packets_(packets),
          lwrite_(ring.lwrite.load(std::memory_order::relaxed) & mask_),
          nread_(ring.nread.load(std::memory_order::relaxed) & mask_),
          free_(recovered(packets, End::receiver, in_slots(slots, size, packets))) {
        pull();
    }

    FreeList& free_list() { return free_; }

    [[nodiscard]] bool empty() {
        if (nread_ != lwrite_) return false;
        // Acquire: the transmitter has written the packets, and put them there.
        lwrite_ = ring_.write.load(std::memory_order::acquire) & mask_;
        ring_.lwrite.store(lwrite_, std::memory_order::relaxed);
        return nread_ == lwrite_;
    }
    /// The oldest packet. Must not be called when empty(); nor must extract().
    [[nodiscard]] PacketNumber front() const {
        return checked(slots_[nread_].load(std::memory_order::relaxed), packets_.count());
    }
    /// Frees the oldest packet, which is `packet`, and leaves an empty one for it.
    void extract(PacketNumber packet) {
        const PacketNumber empty = free_.allocate();
        packets_.owner(packet).store(static_cast<std::uint32_t>(End::receiver),
                                     std::memory_order::relaxed);
        Slot& slot = slots_[nread_];
        nread_ = (nread_ + 1) & mask_;
        ring_.nread.store(nread_, std::memory_order::relaxed);
        in_this_order_for_who_comes_after_a_kill();
        // Release: as in insert().
        slot.store(empty, std::memory_order::release);
        free_.free(packet);
    }
    /// Gives the slots of all that was extracted back.
    void pull() { ring_.read.store(nread_, std::memory_order::release); }

  private:
    Ring& ring_;
    Slot* slots_;
    const std::uint32_t mask_;
    const PacketsOfLink& packets_;
    std::uint32_t lwrite_;
    std::uint32_t nread_;
    FreeList free_;
};

}  // namespace ipclab::snabb
