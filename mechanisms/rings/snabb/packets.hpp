// Packets: the buffers that a Snabb link passes from hand to hand.
//
// A packet never moves. What crosses a link is its number, and with the number goes the right to
// read, write and free it: whoever got it last owns it. An owner keeps the packets that are free in
// a list of its own, which nobody else sees and no lock guards, and takes from it what it freed
// last (LIFO), since that is still in its cache.
//
// Snabb (snabbco/snabb, core/packet.lua) stores pointers, and maps the packets' huge pages at the
// same address in all its processes. Here both sides map a link wherever it falls, and number its
// packets; number 0 is no packet, as the null pointer is none.
//
// An addition of ours is the owner's mark: it says which end of the link held the packet last
// outside of the ring. Whoever takes a packet out of a slot marks it before anything else can be
// seen in that slot. So a packet that is in no slot is held by the end whose mark it bears, and
// after a kill the end's next process finds all that the dead one held.
#pragma once

#include "mechanisms/os/error.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ipclab::snabb {

/// The two ends of a link.
enum class End : std::uint32_t { transmitter, receiver };

constexpr End other(End end) { return end == End::transmitter ? End::receiver : End::transmitter; }
constexpr std::string_view name_of(End end) {
    return end == End::transmitter ? "transmitter" : "receiver";
}

/// Counts from 1; 0 is none. As wide as the pointer that it stands for.
using PacketNumber = std::uint64_t;
constexpr PacketNumber no_packet = 0;

/// For each number from 0 to the last, whether it is in the set.
using NumberSet = std::vector<std::uint8_t>;

/// In shared memory, in the shape of 2015: the data before their length, rounded up to 128 bytes.
struct alignas(128) Packet {
    static constexpr std::size_t data_bytes_max = 10'240;

    std::byte data[data_bytes_max];
    std::atomic<std::uint16_t> length;
    std::atomic<std::uint32_t> owner;  ///< an End
};
static_assert(offsetof(Packet, length) == 10'240 && offsetof(Packet, owner) == 10'244);
static_assert(sizeof(Packet) == 10'368);

/// All packets of a link as one process sees them. Does not own the memory.
class Packets {
  public:
    Packets() = default;
    Packets(void* memory, PacketNumber count)
        : first_(static_cast<Packet*>(memory)), count_(count) {}

    [[nodiscard]] PacketNumber count() const { return count_; }
    [[nodiscard]] Packet& operator[](PacketNumber number) const { return first_[number - 1]; }
    [[nodiscard]] std::atomic<std::uint32_t>& owner(PacketNumber number) const {
        return (*this)[number].owner;
    }

  private:
    Packet* first_ = nullptr;
    PacketNumber count_ = 0;
};

/// What the peer wrote into a slot: it may be anything.
inline PacketNumber checked(PacketNumber number, PacketNumber count) {
    if (number == no_packet || number > count)
        throw Refused("link", "the peer has passed a packet that does not exist");
    return number;
}

/// One end's free packets, in memory of its own.
class FreeList {
  public:
    explicit FreeList(PacketNumber count) { stack_.reserve(count); }

    [[nodiscard]] bool empty() const { return stack_.empty(); }
    [[nodiscard]] std::size_t size() const { return stack_.size(); }

    PacketNumber allocate() {
        // An honest peer gives one back for each that it gets.
        if (stack_.empty()) throw Refused("link", "the peer keeps packets that it ought to return");
        const PacketNumber number = stack_.back();
        stack_.pop_back();
        return number;
    }
    void free(PacketNumber number) {
        // A peer that passes one packet twice must not make the list grow for ever.
        if (stack_.size() == stack_.capacity())
            throw Refused("link", "the peer has passed more packets than there are");
        stack_.push_back(number);
    }

  private:
    std::vector<PacketNumber> stack_;
};

/// What `mine` held when it was last attached, however it left: every packet with its mark that is
/// in no slot. `in_slots[n]` tells of number n; it must have been looked up before this is called,
/// and each slot's content with acquire order, or, where an index told which slots count, that
/// index. Then the other end may go on meanwhile: a packet that it took out of a slot too early for
/// the look, it had marked before.
template <class PacketsOfLink>
FreeList recovered(const PacketsOfLink& packets, End mine, const NumberSet& in_slots) {
    FreeList list(packets.count());
    for (PacketNumber number = packets.count(); number >= 1; --number)
        if (in_slots[number] == 0 && packets.owner(number).load(std::memory_order::relaxed) ==
                                         static_cast<std::uint32_t>(mine))
            list.free(number);
    return list;
}

}  // namespace ipclab::snabb
