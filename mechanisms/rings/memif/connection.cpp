#include "mechanisms/rings/memif/connection.hpp"

#include <limits>
#include <new>
#include <sys/eventfd.h>

namespace ipclab::memif {
namespace {

Fd make_event() {
    return above_standard_descriptors(
        Fd(must(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")));
}

}  // namespace

/// One region: all S2M rings, all M2S rings, then the buffers, one for each slot, in the same
/// order.
Connection::Connection(const ClientHandshake::Terms& terms, std::uint16_t buffer_bytes) {
    const std::size_t stride = ring_bytes(terms.log2_ring_size);
    const std::size_t rings = std::size_t{2} * terms.queues;
    const std::uint64_t ring_buffers_bytes = std::uint64_t{buffer_bytes} << terms.log2_ring_size;
    const std::uint64_t buffers_offset = round_up(rings * stride, page_bytes());
    const std::uint64_t bytes = buffers_offset + rings * ring_buffers_bytes;
    if (bytes > std::numeric_limits<std::uint32_t>::max())
        throw Refused("region", "rings and buffers must lie within 4 GiB");
    memory_.push_back(MappedRegion::create(bytes));
    regions_.push_back(memory_.front().region());
    messages_.reserve(1 + rings);
    messages_.push_back(
        {encoded(AddRegion{.index = 0, .bytes = bytes}), memory_.front().descriptor()});

    transmit.reserve(terms.queues);
    receive.reserve(terms.queues);
    for (std::size_t i = 0; i < rings; ++i) {
        const bool s2m = i < terms.queues;
        OfferedRing ring{make_event(), 0, static_cast<std::uint32_t>(i * stride),
                         terms.log2_ring_size};
        new (regions_.front().start + ring.offset) RingHeader<SystemAtomics>;
        messages_.push_back(
            {encoded(AddRing{.flags = s2m ? AddRing::flag_s2m : std::uint16_t{0},
                             .index = static_cast<std::uint16_t>(s2m ? i : i - terms.queues),
                             .region = 0,
                             .offset = ring.offset,
                             .log2_ring_size = static_cast<std::uint8_t>(ring.log2_ring_size)}),
             ring.event.get()});
        const auto first_buffer =
            static_cast<std::uint32_t>(buffers_offset + i * ring_buffers_bytes);
        add(std::move(ring), s2m, SocketRole::client, {0, first_buffer, buffer_bytes});
    }
}

Connection::Connection(Offer offer, bool admit_unsealed_regions, int alarm)
    : peer_name(std::move(offer.peer_name)) {
    memory_.reserve(offer.regions.size());
    regions_.reserve(offer.regions.size());
    for (const OfferedRegion& region : offer.regions) {
        memory_.push_back(
            MappedRegion::map(region.memory, region.bytes, admit_unsealed_regions, alarm));
        regions_.push_back(memory_.back().region());
    }
    transmit.reserve(offer.m2s.size());
    receive.reserve(offer.s2m.size());
    for (OfferedRing& ring : offer.s2m) add(std::move(ring), true, SocketRole::server);
    for (OfferedRing& ring : offer.m2s) add(std::move(ring), false, SocketRole::server);
}

void Connection::add(OfferedRing ring, bool s2m, SocketRole mine, const ClientBuffers& buffers) {
    std::byte* const start = regions_[ring.region].start + ring.offset;
    auto* const header = std::launder(reinterpret_cast<RingHeader<SystemAtomics>*>(start));
    if (header->cookie != ring_cookie) throw Refused("ring", "wrong cookie");
    const RingPlace<SystemAtomics> place{
        .header = header,
        .descriptors = std::launder(reinterpret_cast<SharedDescriptor*>(start + sizeof *header)),
        .log2_ring_size = ring.log2_ring_size,
        .mine = mine,
        .regions = regions_,
        .buffers = buffers};
    if (s2m == (mine == SocketRole::client))
        transmit.push_back({RingSender(place), std::move(ring.event)});
    else
        receive.push_back({RingReceiver(place), std::move(ring.event)});
}

void Connection::post_buffers() {
    for (Receive& queue : receive) queue.ring.release();
}

bool Connection::is_memory_lost() const {
    return std::any_of(memory_.begin(), memory_.end(),
                       [](const MappedRegion& region) { return region.is_lost(); });
}

// ---------------------------------------------------------------------------------------------

Lobby::Lobby(bool admits)
    : admits_strangers(admits), alarm(must(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")) {}

void Lobby::change(Condition to, std::shared_ptr<Connection> now) {
    {
        const std::lock_guard lock(mutex);
        condition = to;
        violation = nullptr;
        std::swap(connection, now);
    }
    connected = to == Condition::stands;
    epoch.fetch_add(1, std::memory_order::release);
}

void Lobby::report(const Connection& of, const char* how) {
    const std::lock_guard lock(mutex);
    if (connection.get() != &of || condition != Condition::stands) return;
    connected = false;
    violation = how;
    ::eventfd_write(alarm.get(), 1);
}

}  // namespace ipclab::memif
