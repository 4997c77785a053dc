// The messages of memif's control channel: 128 bytes each, whatever they say.
//
// Type first, then a packed body, then zeroes; all numbers in the machine's byte order, for both
// ends are on one machine. Pure functions between bytes and values; handshake.hpp says when which
// message comes. memif 2.0, as VPP's memif.h, libmemif and DPDK's net_memif have it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace ipclab::memif {

constexpr std::size_t message_bytes = 128;
using Message = std::array<std::byte, message_bytes>;

constexpr std::uint16_t protocol_version = 0x0200;

enum class MessageType : std::uint16_t {
    none,
    ack,
    hello,
    init,
    add_region,
    add_ring,
    connect,
    connected,
    disconnect,
};

/// Text in a field of fixed size that ends with a zero byte.
template <std::size_t Size>
struct [[gnu::packed]] Text {
    std::array<char, Size> characters{};

    Text() = default;
    /// Cuts off what does not fit.
    explicit Text(std::string_view text) { text.copy(characters.data(), Size - 1); }

    /// As a stranger wrote it: up to the first zero byte, if there is one.
    [[nodiscard]] std::string_view raw() const {
        return {characters.data(), ::strnlen(characters.data(), Size)};
    }
    /// Fit to be printed.
    [[nodiscard]] std::string printable() const {
        std::string text(raw());
        for (char& c : text)
            if (c < ' ' || c > '~') c = '?';
        return text;
    }
};

// ---------------------------------------------------------------------------------------------
// The bodies, as they lie in a message from offset 2.

struct [[gnu::packed]] Ack {
    static constexpr MessageType type = MessageType::ack;
};
struct [[gnu::packed]] Hello {
    static constexpr MessageType type = MessageType::hello;
    Text<32> name;
    std::uint16_t min_version = protocol_version;
    std::uint16_t max_version = protocol_version;
    std::uint16_t max_region;  ///< the highest index that is accepted, as are the next two
    std::uint16_t max_m2s_ring;
    std::uint16_t max_s2m_ring;
    std::uint8_t max_log2_ring_size;
};
struct [[gnu::packed]] Init {
    static constexpr MessageType type = MessageType::init;
    std::uint16_t version = protocol_version;
    std::uint32_t id;
    std::uint8_t mode = 0;  ///< Ethernet frames; the library does not look at them
    Text<24> secret;
    Text<32> name;
};
struct [[gnu::packed]] AddRegion {  // with the region's descriptor
    static constexpr MessageType type = MessageType::add_region;
    std::uint16_t index;
    std::uint64_t bytes;
};
struct [[gnu::packed]] AddRing {  // with the ring's eventfd
    static constexpr MessageType type = MessageType::add_ring;
    static constexpr std::uint16_t flag_s2m = 1;
    std::uint16_t flags;
    std::uint16_t index;
    std::uint16_t region;
    std::uint32_t offset;
    std::uint8_t log2_ring_size;
    std::uint16_t private_header_bytes = 0;
};
struct [[gnu::packed]] Connect {
    static constexpr MessageType type = MessageType::connect;
    Text<32> name;
};
struct [[gnu::packed]] Connected {
    static constexpr MessageType type = MessageType::connected;
    Text<32> name;
};
struct [[gnu::packed]] Disconnect {
    static constexpr MessageType type = MessageType::disconnect;
    std::uint32_t code = 0;
    Text<96> text;
};

// Offsets in the message are two more.
static_assert(sizeof(Hello) == 43 && offsetof(Hello, min_version) == 32 &&
              offsetof(Hello, max_version) == 34 && offsetof(Hello, max_region) == 36 &&
              offsetof(Hello, max_m2s_ring) == 38 && offsetof(Hello, max_s2m_ring) == 40 &&
              offsetof(Hello, max_log2_ring_size) == 42);
static_assert(sizeof(Init) == 63 && offsetof(Init, id) == 2 && offsetof(Init, mode) == 6 &&
              offsetof(Init, secret) == 7 && offsetof(Init, name) == 31);
static_assert(sizeof(AddRegion) == 10 && offsetof(AddRegion, bytes) == 2);
static_assert(sizeof(AddRing) == 13 && offsetof(AddRing, index) == 2 &&
              offsetof(AddRing, region) == 4 && offsetof(AddRing, offset) == 6 &&
              offsetof(AddRing, log2_ring_size) == 10 &&
              offsetof(AddRing, private_header_bytes) == 11);
static_assert(sizeof(Connect) == 32 && sizeof(Connected) == 32);
static_assert(sizeof(Disconnect) == 100 && offsetof(Disconnect, text) == 4);

// ---------------------------------------------------------------------------------------------

/// Whatever is not said is zero.
template <class Body>
Message encoded(const Body& body) {
    static_assert(std::is_trivially_copyable_v<Body> && sizeof(Body) <= message_bytes - 2);
    Message message{};
    std::memcpy(message.data(), &Body::type, sizeof Body::type);
    if constexpr (!std::is_empty_v<Body>)
        std::memcpy(message.data() + sizeof Body::type, &body, sizeof body);
    return message;
}

inline MessageType type_of(const Message& message) {
    std::uint16_t type = 0;
    std::memcpy(&type, message.data(), sizeof type);
    return static_cast<MessageType>(type);
}

/// The message must be of this type; then any bytes are a body.
template <class Body>
Body body_of(const Message& message) {
    static_assert(std::is_trivially_copyable_v<Body>);
    Body body{};
    std::memcpy(&body, message.data() + sizeof(MessageType), sizeof body);
    return body;
}

}  // namespace ipclab::memif
