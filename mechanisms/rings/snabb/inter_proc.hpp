// inter-proc: a link between two Snabb processes, with payback (Javier Guerra, Snabb pull request
// 601, 2015).
//
// A ring of packet numbers, and beside it a second one for the way back. The transmitter puts a
// packet into slot i; the receiver takes it, and leaves an empty packet of its own in slot i of the
// other array: one buffer back for one that came. When the transmitter gets to slot i again, it
// finds its pay there. No packet is ever copied, no list is ever shared, and neither side runs out.
//
// The two indices lie on one cache line, which therefore travels at every publication. That is why
// the sides hand over in batches: what is not more than 128 packets, stays where it is. The rule
// makes the false sharing cheap, and has a price: there is no time limit, so a lone packet never
// arrives, and two processes that answer each other wait for ever. `flush` is an addition of ours:
// it pushes what there is, and counts up a word that lets the receiver take less than a batch.
//
// Between the application and the ring each side has a link of its own: what was published and not
// pushed (input), and what was pulled and not taken (output). With a killed process these are lost;
// their buffers are not.
#pragma once

#include "mechanisms/rings/snabb/packets.hpp"

#include <algorithm>
#include <array>

namespace ipclab::snabb {

/// `slots`, of which one is always empty, is a power of two.
template <class Atomics, std::uint32_t slots = 256>
struct InterProcRing {
    using Slot = typename Atomics::template Atomic<PacketNumber>;
    using Index = typename Atomics::template Atomic<std::uint32_t>;
    static constexpr std::uint32_t size = slots;
    static constexpr std::uint32_t capacity = slots - 1;
    static constexpr std::uint32_t mask = slots - 1;

    std::array<Slot, slots> packets{};
    std::array<Slot, slots> ret_pks{};
    Index write{0};
    Index read{0};

    static constexpr std::uint32_t next(std::uint32_t index) { return (index + 1) & mask; }
    /// How many steps from one index to another.
    static constexpr std::uint32_t distance(std::uint32_t from, std::uint32_t to) {
        return (to - from) & mask;
    }

    /// Which packets are in the ring: those on the way between `read` and `write`, and paybacks in
    /// all other slots. What else is written there is what the last lap left.
    template <class PacketsOfLink>
    [[nodiscard]] NumberSet in_slots(const PacketsOfLink& link_packets) const {
        NumberSet found(link_packets.count() + 1);
        // One of the two is the caller's own. The other's owner may go on, with what it has marked.
        const std::uint32_t from = read.load(std::memory_order::acquire) & mask;
        const std::uint32_t to = write.load(std::memory_order::acquire) & mask;
        for (std::uint32_t index = 0; index < slots; ++index) {
            const bool on_the_way = distance(from, index) < distance(from, to);
            const PacketNumber number =
                (on_the_way ? packets : ret_pks)[index].load(std::memory_order::relaxed);
            if (number < found.size()) found[number] = 1;
        }
        return found;
    }
};

/// How many packets are worth a publication: the fewest that one side hands to the other unasked.
constexpr std::uint32_t worth_a_publication = 129;

template <class Ring, class PacketsOfLink, class Flushes>
class InterProcTransmitter {
  public:
    /// `flushes` is counted up by each flush. `batch` is the fewest packets that are pushed
    /// unasked.
    InterProcTransmitter(Ring& ring, const PacketsOfLink& packets, Flushes& flushes,
                         std::uint32_t batch)
        : ring_(ring),
          packets_(packets),
          flushes_(flushes),
          batch_(batch),
          write_(ring.write.load(std::memory_order::relaxed) & Ring::mask),
          free_(recovered(packets, End::transmitter, ring.in_slots(packets))) {}

    [[nodiscard]] bool input_is_full() const { return input_count_ == Ring::capacity; }
    [[nodiscard]] std::uint32_t input_count() const { return input_count_; }
    FreeList& free_list() { return free_; }

    /// Puts a packet on the input side, where there must be room.
    void insert(PacketNumber packet) { input_[input_count_++] = packet; }

    /// Moves all packets of the input side, if they are a batch and find room. Returns how many.
    std::uint32_t push() {
        if (input_count_ < batch_ || room() < input_count_) return 0;
        return move(input_count_);
    }
    /// Moves as many as find room, and asks the receiver to take them. Returns how many are left.
    std::uint32_t flush() {
        if (const std::uint32_t count = std::min(input_count_, room()); count > 0) {
            move(count);
            flushes_.store(flushes_.load(std::memory_order::relaxed) + 1,
                           std::memory_order::release);
        }
        return input_count_;
    }

  private:
    [[nodiscard]] std::uint32_t room() const {
        // Acquire: the paybacks that the receiver wrote before it moved on.
        const std::uint32_t read = ring_.read.load(std::memory_order::acquire) & Ring::mask;
        return Ring::distance(write_, (read - 1) & Ring::mask);
    }
    std::uint32_t move(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            // Not cleared: it is not looked at again before the receiver has put another there.
            const PacketNumber pay = ring_.ret_pks[write_].load(std::memory_order::relaxed);
            if (pay != no_packet) {
                packets_.owner(checked(pay, packets_.count()))
                    .store(static_cast<std::uint32_t>(End::transmitter),
                           std::memory_order::relaxed);
                free_.free(pay);
            }
            ring_.packets[write_].store(input_[i], std::memory_order::relaxed);
            write_ = Ring::next(write_);
        }
        ring_.write.store(write_, std::memory_order::release);
        input_count_ -= count;
        std::copy_n(input_.begin() + count, input_count_, input_.begin());
        return count;
    }

    Ring& ring_;
    const PacketsOfLink& packets_;
    Flushes& flushes_;
    const std::uint32_t batch_;
    std::uint32_t write_;
    FreeList free_;
    std::array<PacketNumber, Ring::capacity> input_{};
    std::uint32_t input_count_ = 0;
};

template <class Ring, class PacketsOfLink, class Flushes>
class InterProcReceiver {
  public:
    InterProcReceiver(Ring& ring, const PacketsOfLink& packets, const Flushes& flushes,
                      std::uint32_t batch)
        : ring_(ring),
          packets_(packets),
          flushes_(flushes),
          batch_(batch),
          read_(ring.read.load(std::memory_order::relaxed) & Ring::mask),
          // As if a flush had been asked for: the last process may have died before it obeyed.
          flushes_seen_(flushes.load(std::memory_order::relaxed) - 1),
          free_(recovered(packets, End::receiver, ring.in_slots(packets))) {}

    FreeList& free_list() { return free_; }
    [[nodiscard]] std::uint32_t output_count() const { return output_count_ - taken_; }
    /// The oldest packet on the output side, where there must be one.
    [[nodiscard]] PacketNumber front() const { return output_[taken_]; }
    void free_front() { free_.free(output_[taken_++]); }

    /// When the output side is empty, moves all packets in the ring to it, if they are a batch or a
    /// flush has been asked for, and pays for each. Returns how many.
    std::uint32_t pull() {
        if (output_count() > 0) return 0;
        // In this order: what was pushed before a flush is seen by who has seen the flush.
        const std::uint32_t flushes = flushes_.load(std::memory_order::acquire);
        const std::uint32_t write = ring_.write.load(std::memory_order::acquire) & Ring::mask;
        const std::uint32_t count = Ring::distance(read_, write);
        if (count == 0 || (count < batch_ && flushes == flushes_seen_)) return 0;
        flushes_seen_ = flushes;
        taken_ = 0;
        for (output_count_ = 0; output_count_ < count; ++output_count_) {
            const PacketNumber packet =
                checked(ring_.packets[read_].load(std::memory_order::relaxed), packets_.count());
            packets_.owner(packet).store(static_cast<std::uint32_t>(End::receiver),
                                         std::memory_order::relaxed);
            output_[output_count_] = packet;
            ring_.ret_pks[read_].store(free_.allocate(), std::memory_order::relaxed);
            read_ = Ring::next(read_);
        }
        ring_.read.store(read_, std::memory_order::release);
        return count;
    }

  private:
    Ring& ring_;
    const PacketsOfLink& packets_;
    const Flushes& flushes_;
    const std::uint32_t batch_;
    std::uint32_t read_;
    std::uint32_t flushes_seen_;
    FreeList free_;
    std::array<PacketNumber, Ring::capacity> output_{};
    std::uint32_t output_count_ = 0;
    std::uint32_t taken_ = 0;
};

}  // namespace ipclab::snabb
