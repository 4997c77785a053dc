// The memif data path: packets into slots and out of them, on memory that the peer can write.
//
// A slot describes a buffer in one of the shared regions. As a client, which made the memory, we
// know where each slot's buffer is, and ask the slot only how much lies there. As a server we have
// to follow it: to packets that the client sends, and to empty buffers that it has posted. A packet
// longer than a buffer is a chain of slots, all but the last with the flag `next`.
//
// Everything here works on plain memory, without sockets or system calls, and none of it throws.
// What a slot says is copied once and then checked; a slot that lies stops the ring for good
// (violation()). A payload may still change while it is read: who parses it takes a copy first.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/rings/memif/ring.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace ipclab::memif {

/// Memory that both sides have mapped, as this side sees it.
struct Region {
    std::byte* start = nullptr;
    std::uint64_t bytes = 0;
};

/// A slot's buffer holds at least one byte, and what 16 bits can count: VPP and DPDK keep no more.
constexpr std::uint32_t slot_bytes_max = 65'535;
/// No packet is longer; a chain that goes on beyond that is a violation.
constexpr std::size_t packet_bytes_max = std::size_t{16} << 20;

/// The buffers that a client has assigned to its ring's slots, one each, in a row.
struct ClientBuffers {
    std::uint16_t region = 0;
    std::uint32_t offset = 0;  ///< of the first
    std::uint32_t bytes = 0;   ///< of each
};

/// One ring and what its slots may point to; the memory must outlive whoever uses it.
template <class Atomics>
struct RingPlace {
    RingHeader<Atomics>* header;
    SharedDescriptor* descriptors;
    unsigned log2_ring_size;
    SocketRole mine;
    std::span<const Region> regions;
    ClientBuffers buffers;    ///< of a client
    std::uint16_t start = 0;  ///< of both indices
};

/// What the two ends of a ring have in common: slots, and the way from there to memory.
template <class Atomics, class Indices>
class RingEnd {
  public:
    /// What the peer did that it may not do; nullptr while it has behaved.
    [[nodiscard]] const char* violation() const {
        if (indices_.violated()) return "ring index out of bounds";
        return violation_;
    }
    [[nodiscard]] std::uint16_t slots() const { return indices_.slots(); }

  protected:
    explicit RingEnd(const RingPlace<Atomics>& place)
        : indices_(*place.header, place.log2_ring_size, place.mine, place.start), place_(place) {}

    [[nodiscard]] bool is_client() const { return place_.mine == SocketRole::client; }
    [[nodiscard]] SharedDescriptor& slot(unsigned position) const {
        return place_.descriptors[position & (indices_.slots() - 1U)];
    }
    /// A client's own buffer for the slot, and all of it.
    [[nodiscard]] Descriptor own_buffer(unsigned position) const {
        const std::uint32_t index = position & (indices_.slots() - 1U);
        return {.flags = 0,
                .region = place_.buffers.region,
                .length = place_.buffers.bytes,
                .offset = place_.buffers.offset + index * place_.buffers.bytes,
                .metadata = 0};
    }
    /// The slot with its buffer, which is there: the private one of a client, else the one that the
    /// peer named, if it lies within its region. Nothing: a violation.
    std::optional<Descriptor> checked(unsigned position) {
        Descriptor said = slot(position).load();
        if (said.length == 0) return violated("descriptor without data");
        if (is_client()) {
            const Descriptor mine = own_buffer(position);
            if (said.length > mine.length) return violated("descriptor longer than its buffer");
            said.region = mine.region;
            said.offset = mine.offset;
            return said;
        }
        if (said.length > slot_bytes_max) return violated("descriptor too long");
        if (said.region >= place_.regions.size()) return violated("descriptor of no region");
        const std::uint64_t bytes = place_.regions[said.region].bytes;
        if (said.length > bytes || said.offset > bytes - said.length)
            return violated("descriptor out of its region");
        return said;
    }
    /// Where a checked descriptor's buffer starts.
    [[nodiscard]] std::byte* start_of(const Descriptor& checked) const {
        return place_.regions[checked.region].start + checked.offset;
    }
    std::nullopt_t violated(const char* how) {
        violation_ = how;
        return std::nullopt;
    }

    Indices indices_;
    RingPlace<Atomics> place_;
    const char* violation_ = nullptr;
};

// ---------------------------------------------------------------------------------------------

template <class Atomics>
class RingSender : public RingEnd<Atomics, SenderIndices<Atomics>> {
    using Base = RingEnd<Atomics, SenderIndices<Atomics>>;

  public:
    /// The indices must both be `place.start`.
    explicit RingSender(const RingPlace<Atomics>& place) : Base(place) {}

    /// The whole packet, over as many slots as it takes, or nothing (false).
    bool send(View packet) {
        const std::optional<std::uint16_t> slots = slots_for(packet.size());
        if (!slots) return false;
        for (std::uint16_t i = 0; i < *slots; ++i) {
            const auto buffer = empty_buffer(this->indices_.next() + i);
            if (!buffer) return false;
            const std::size_t bytes = std::min<std::size_t>(packet.size(), buffer->length);
            std::memcpy(this->start_of(*buffer), packet.data(), bytes);
            packet = packet.subspan(bytes);
            const bool last = i + 1 == *slots;
            // Between two looks at a slot its buffer has shrunk.
            if (last != packet.empty()) {
                this->violated("posted descriptor changed");
                return false;
            }
            write(this->indices_.next() + i, *buffer, bytes, last ? std::uint16_t{0} : flag_next);
        }
        this->indices_.fill(*slots);
        return true;
    }

    /// One buffer with room for `n` bytes, the caller's until publish(); empty if there is none.
    Bytes loan(std::size_t n) {
        loan_.reset();
        if (n == 0 || this->violation_ != nullptr || this->indices_.room(1) == 0) return {};
        const auto buffer = empty_buffer(this->indices_.next());
        if (!buffer || buffer->length < n) return {};
        loan_ = buffer;
        return {this->start_of(*buffer), n};
    }
    /// The first `n` bytes of the loan, at least one, are a packet.
    void fill(std::size_t n) {
        if (!loan_ || n == 0 || n > loan_->length) return;
        write(this->indices_.next(), *loan_, n, 0);
        this->indices_.fill(1);
        loan_.reset();
    }

    /// Of the next buffer; 0 if there is none now.
    [[nodiscard]] std::size_t buffer_bytes() {
        if (this->violation_ != nullptr || this->indices_.room(1) == 0) return 0;
        const auto buffer = empty_buffer(this->indices_.next());
        return buffer ? buffer->length : 0;
    }
    /// Whether a packet is so long that it would not even fit an empty ring.
    [[nodiscard]] bool never_fits(std::size_t bytes) {
        if (this->is_client())
            return bytes > std::size_t{this->slots()} * this->place_.buffers.bytes;
        return this->indices_.room(this->slots()) == this->slots() && !slots_for(bytes);
    }

    [[nodiscard]] bool has_unpublished() const { return this->indices_.has_unpublished(); }
    /// Shows the packets to the receiver; returns whether it asks for a signal.
    bool publish() { return this->indices_.publish(); }

  private:
    std::optional<Descriptor> empty_buffer(unsigned position) {
        return this->is_client() ? this->own_buffer(position) : this->checked(position);
    }
    /// How many slots a packet takes; nothing if it does not fit now.
    std::optional<std::uint16_t> slots_for(std::size_t bytes) {
        if (bytes == 0 || this->violation_ != nullptr) return std::nullopt;
        std::uint16_t slots = 0;
        for (std::size_t room_bytes = 0; room_bytes < bytes; ++slots) {
            if (slots == this->slots() ||
                this->indices_.room(static_cast<std::uint16_t>(slots + 1)) <= slots)
                return std::nullopt;
            const auto buffer = empty_buffer(this->indices_.next() + slots);
            if (!buffer) return std::nullopt;
            room_bytes += buffer->length;
        }
        return slots;
    }
    /// All of a slot, its flags too: one that once was part of a chain would else still say so.
    void write(unsigned position, Descriptor buffer, std::size_t bytes, std::uint16_t flags) {
        buffer.flags = flags;
        buffer.length = static_cast<std::uint32_t>(bytes);
        buffer.metadata = 0;
        this->slot(position).store(buffer);
    }

    std::optional<Descriptor> loan_;
};

// ---------------------------------------------------------------------------------------------

template <class Atomics>
class RingReceiver : public RingEnd<Atomics, ReceiverIndices<Atomics>> {
    using Base = RingEnd<Atomics, ReceiverIndices<Atomics>>;

  public:
    /// The indices must both be `place.start`. A client posts its buffers by its first release().
    explicit RingReceiver(const RingPlace<Atomics>& place) : Base(place) {}

    /// The next whole packet, where it lies, or in a private copy if it is a chain; it stays until
    /// release(), the private copy until the next call. Nothing: there is none, or a violation.
    std::optional<View> next() {
        if (this->violation_ != nullptr || this->indices_.available(1) == 0) return std::nullopt;
        const auto first = this->checked(this->indices_.next());
        if (!first) return std::nullopt;
        if ((first->flags & flag_next) != 0) return gather(*first);
        this->indices_.consume(1);
        return View(this->start_of(*first), first->length);
    }

    /// Slots that were consumed and not given back yet; of a client also those never posted.
    [[nodiscard]] std::uint16_t unreleased() const { return this->indices_.unreleased(); }
    void release() {
        const std::uint16_t slots = this->indices_.unreleased();
        if (slots == 0) return;
        if (this->is_client())
            for (unsigned i = 0; i < slots; ++i) {
                const unsigned position = this->indices_.released() + i;
                this->slot(position).store(this->own_buffer(position));
            }
        this->indices_.release();
    }
    /// The same for who calls it after each packet: several go back together.
    void release_in_batches() {
        if (this->indices_.has_batch()) release();
    }

    void ask_for_signals(bool please) { this->indices_.ask_for_signals(please); }

  private:
    /// A chain, if all of it is there.
    std::optional<View> gather(const Descriptor& first) {
        gathered_.clear();
        std::uint16_t slots = 0;
        for (std::optional<Descriptor> part = first;;) {
            if (gathered_.size() + part->length > packet_bytes_max)
                return this->violated("chain too long");
            const std::byte* const start = this->start_of(*part);
            gathered_.insert(gathered_.end(), start, start + part->length);
            ++slots;
            if ((part->flags & flag_next) == 0) break;
            if (slots == this->slots()) return this->violated("chain without an end");
            // Some senders publish a chain before it is complete.
            if (this->indices_.available(static_cast<std::uint16_t>(slots + 1)) <= slots)
                return std::nullopt;
            part = this->checked(this->indices_.next() + slots);
            if (!part) return std::nullopt;
        }
        forget_chain(slots);
        this->indices_.consume(slots);
        return View(gathered_);
    }
    /// DPDK before 26.03 does not clear the flag when it writes a packet into a slot that was part
    /// of a chain; so whoever consumes it has to.
    void forget_chain(std::uint16_t slots) {
        for (unsigned i = 0; i < slots; ++i) {
            SharedDescriptor& shared = this->slot(this->indices_.next() + i);
            Descriptor descriptor = shared.load();
            descriptor.flags = 0;
            shared.store(descriptor);
        }
    }

    std::vector<std::byte> gathered_;
};

}  // namespace ipclab::memif
