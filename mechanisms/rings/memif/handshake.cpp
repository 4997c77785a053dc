#include "mechanisms/rings/memif/handshake.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ipclab::memif {
namespace {

Step ack() { return {.reply = Outgoing{encoded(Ack{})}}; }

/// What must hold of every packet before its type is looked at.
const char* why_malformed(const Packet& packet) {
    if (packet.size != message_bytes) return "invalid message size";
    if (packet.cut) return "more descriptors than one";
    return nullptr;
}

Message message_of(const Packet& packet) {
    Message message{};
    std::copy_n(packet.bytes.begin(), message.size(), message.begin());
    return message;
}

std::size_t descriptors_of(MessageType type) {
    return type == MessageType::add_region || type == MessageType::add_ring ? 1 : 0;
}

Step ended(const Message& message) {
    return {.next = Step::Next::end,
            .reason = fmt::format("the peer has disconnected: {}",
                                  body_of<Disconnect>(message).text.printable())};
}

/// As long for a wrong secret as for the right one, however much of it is right.
bool same_secret(std::string_view mine, std::string_view theirs) {
    unsigned different = mine.size() == theirs.size() ? 0 : 1;
    for (std::size_t i = 0; i < mine.size(); ++i) {
        const char their = i < theirs.size() ? theirs[i] : '\0';
        different |= static_cast<unsigned>(static_cast<unsigned char>(mine[i] ^ their));
    }
    return different == 0;
}

}  // namespace

Step refusal(std::string_view reason, bool violation) {
    return {.next = Step::Next::refuse,
            .reply = Outgoing{encoded(Disconnect{.code = 0, .text = Text<96>(reason)})},
            .reason = std::string(reason),
            .violation = violation};
}

Step step_while_up(const Packet& packet) {
    if (const char* const why = why_malformed(packet)) return refusal(why, true);
    const Message message = message_of(packet);
    if (type_of(message) == MessageType::disconnect) return ended(message);
    return refusal("unexpected message", true);
}

// ---------------------------------------------------------------------------------------------

Outgoing ServerHandshake::hello() const {
    const auto last_queue = static_cast<std::uint16_t>(limits_.queues - 1);
    return {encoded(Hello{.name = Text<32>(limits_.name),
                          .max_region = regions_max - 1,
                          .max_m2s_ring = last_queue,
                          .max_s2m_ring = last_queue,
                          .max_log2_ring_size = log2_ring_size_max})};
}

Outgoing ServerHandshake::connected() const {
    return {encoded(Connected{.name = Text<32>(limits_.name)})};
}

Step ServerHandshake::next(Packet packet, bool busy) {
    if (const char* const why = why_malformed(packet)) return refusal(why, true);
    const Message message = message_of(packet);
    const MessageType type = type_of(message);
    if (type == MessageType::disconnect) return ended(message);
    const bool expected = state_ == State::awaits_init ? type == MessageType::init
                          : state_ == State::is_configured
                              ? type == MessageType::add_region || type == MessageType::add_ring ||
                                    type == MessageType::connect
                              : false;
    if (!expected) return refusal("unexpected message", true);
    if (packet.descriptors.size() != descriptors_of(type))
        return refusal(packet.descriptors.empty() ? "missing descriptor" : "unexpected descriptor",
                       true);
    switch (type) {
    case MessageType::init:
        return init(body_of<Init>(message), busy);
    case MessageType::add_region:
        return add_region(body_of<AddRegion>(message), packet.descriptors);
    case MessageType::add_ring:
        return add_ring(body_of<AddRing>(message), packet.descriptors);
    default:
        return connect(body_of<Connect>(message));
    }
}

Step ServerHandshake::init(const Init& said, bool busy) {
    if (said.version != protocol_version) return refusal("incompatible version", false);
    if (said.id != limits_.id) return refusal("id not found", false);
    if (busy) return refusal("already connected", false);
    if (said.mode != 0) return refusal("only ethernet mode is supported", false);
    if (!limits_.secret.empty() && !same_secret(limits_.secret, said.secret.raw()))
        return refusal("incorrect secret", false);
    state_ = State::is_configured;
    offer_.peer_name = said.name.printable();
    return ack();
}

Step ServerHandshake::add_region(const AddRegion& said, std::vector<Fd>& descriptors) {
    if (said.index != offer_.regions.size() || said.index >= regions_max)
        return refusal("invalid region index", true);
    std::uint64_t free_bytes = limits_.region_bytes_max;
    for (const OfferedRegion& region : offer_.regions) free_bytes -= region.bytes;
    if (said.bytes == 0) return refusal("empty region", true);
    if (said.bytes > free_bytes) return refusal("regions too large", true);
    offer_.regions.push_back({std::move(descriptors.front()), said.bytes});
    return ack();
}

Step ServerHandshake::add_ring(const AddRing& said, std::vector<Fd>& descriptors) {
    if (said.flags > AddRing::flag_s2m) return refusal("unknown ring flags", true);
    auto& rings = said.flags == AddRing::flag_s2m ? offer_.s2m : offer_.m2s;
    if (said.index != rings.size() || said.index >= limits_.queues)
        return refusal("invalid ring index", true);
    if (said.log2_ring_size < 1 || said.log2_ring_size > log2_ring_size_max)
        return refusal("invalid ring size", true);
    if (said.private_header_bytes != 0) return refusal("private headers not supported", true);
    rings.push_back(
        {std::move(descriptors.front()), said.region, said.offset, said.log2_ring_size});
    return ack();
}

Step ServerHandshake::connect(const Connect& said) {
    if (offer_.s2m.empty() || offer_.m2s.empty()) return refusal("missing ring", true);
    if (const char* const why = why_rings_are_misplaced()) return refusal(why, true);
    state_ = State::has_connected;
    if (!said.name.raw().empty()) offer_.peer_name = said.name.printable();
    return {.next = Step::Next::connect};
}

const char* ServerHandshake::why_rings_are_misplaced() const {
    struct Span {
        std::uint16_t region;
        std::uint64_t from;
        std::uint64_t to;
    };
    std::vector<Span> spans;
    spans.reserve(offer_.s2m.size() + offer_.m2s.size());
    for (const auto* rings : {&offer_.s2m, &offer_.m2s})
        for (const OfferedRing& ring : *rings) {
            if (ring.region >= offer_.regions.size()) return "ring of no region";
            const std::uint64_t bytes = ring_bytes(ring.log2_ring_size);
            const std::uint64_t region_bytes = offer_.regions[ring.region].bytes;
            if (bytes > region_bytes || ring.offset > region_bytes - bytes)
                return "ring out of its region";
            // Where the first ring starts at 0, all others start at multiples of 16.
            if (ring.offset % alignof(SharedDescriptor) != 0) return "ring misaligned";
            spans.push_back({ring.region, ring.offset, ring.offset + bytes});
        }
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
        return a.region != b.region ? a.region < b.region : a.from < b.from;
    });
    for (std::size_t i = 1; i < spans.size(); ++i)
        if (spans[i].region == spans[i - 1].region && spans[i].from < spans[i - 1].to)
            return "rings overlap";
    return nullptr;
}

// ---------------------------------------------------------------------------------------------

Step ClientHandshake::next(const Packet& packet) {
    if (const char* const why = why_malformed(packet)) return refusal(why, true);
    if (!packet.descriptors.empty()) return refusal("unexpected descriptor", true);
    const Message message = message_of(packet);
    const MessageType type = type_of(message);
    if (type == MessageType::disconnect) return ended(message);
    const bool all_sent = sent_ == script_.size();
    if (state_ == State::awaits_hello && type == MessageType::hello)
        return hello(body_of<Hello>(message));
    if (state_ == State::awaits_answers && type == MessageType::ack && !all_sent)
        return {.reply = script_[sent_++]};
    if (state_ == State::awaits_answers && type == MessageType::connected && all_sent) {
        state_ = State::is_up;
        const std::string name = body_of<Connected>(message).name.printable();
        if (!name.empty()) peer_name_ = name;
        return {.next = Step::Next::up};
    }
    return refusal("unexpected message", true);
}

Step ClientHandshake::hello(const Hello& said) {
    if (said.min_version > protocol_version || said.max_version < protocol_version)
        return refusal("incompatible version", false);
    peer_name_ = said.name.printable();
    const std::uint32_t rings = std::min<std::uint32_t>(said.max_m2s_ring, said.max_s2m_ring) + 1U;
    terms_.queues = static_cast<std::uint16_t>(std::min<std::uint32_t>(rings, terms_.queues));
    terms_.log2_ring_size = std::min<unsigned>(said.max_log2_ring_size, terms_.log2_ring_size);
    if (terms_.log2_ring_size == 0) return refusal("rings of one slot not supported", false);
    state_ = State::has_hello;
    return {.next = Step::Next::make_memory};
}

Outgoing ClientHandshake::start(std::vector<Outgoing> script) {
    script_ = std::move(script);
    state_ = State::awaits_answers;
    sent_ = 1;
    return script_.front();
}

}  // namespace ipclab::memif
