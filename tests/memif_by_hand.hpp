// The other end of a memif connection, made by hand: it says and writes what it likes.
//
// Neither end waits, so both live in one thread; whoever expects something gives the interface
// under test a turn (turn) until it is there.
#pragma once

#include "mechanisms/rings/memif/channel.hpp"
#include "mechanisms/rings/memif/interface.hpp"
#include "tests/support/process.hpp"

#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <thread>

namespace ipclab::memif {

inline std::string fresh_socket(const std::string& word) {
    return fmt::format("@{}", fresh_name(word));
}

/// Once made, a process keeps its file of the registry open.
inline void open_the_registry() {
    const Listener any = Listener::listen(sockets::UnixAddress(fresh_socket("memif-registry")));
}
inline std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Gives the interface turns until something holds.
inline void turn_until(Interface& interface, const std::function<bool()>& holds,
                       std::string_view what) {
    test::wait_until(
        [&] {
            interface.service();
            return holds();
        },
        what);
}

/// One end's view of a ring of two or more slots in memory of its own.
struct RingByHand {
    RingHeader<SystemAtomics>* header = nullptr;
    Descriptor* slots = nullptr;

    static RingByHand at(std::byte* start) {
        return {reinterpret_cast<RingHeader<SystemAtomics>*>(start),
                reinterpret_cast<Descriptor*>(start + sizeof(RingHeader<SystemAtomics>))};
    }
};

inline Fd memory(std::size_t bytes, int seals) {
    Fd made(must(::memfd_create("by-hand", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
    must(::ftruncate(made.get(), static_cast<off_t>(bytes)), "ftruncate");
    if (seals != 0) must(::fcntl(made.get(), F_ADD_SEALS, seals), "F_ADD_SEALS");
    return made;
}

inline Fd event() { return Fd(must(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")); }

/// A client of an interface under test. Its region has an S2M ring at 0, an M2S ring at 4096 and
/// buffers from 8192, each of `slot_count` slots.
class ClientByHand {
  public:
    static constexpr std::uint32_t m2s_offset = 4096;
    static constexpr std::uint32_t buffers_offset = 8192;
    static constexpr std::uint64_t region_bytes = 64 << 10;
    static constexpr unsigned log2_ring_size = 3;
    static constexpr std::uint16_t slot_count = 1 << log2_ring_size;
    static constexpr std::uint32_t buffer_bytes = 1024;

    explicit ClientByHand(Interface& server, const std::string& socket, int seals = F_SEAL_SHRINK)
        : server_(server),
          socket_(connect(sockets::UnixAddress(socket))),
          region(memory(region_bytes, seals)),
          memory_(region.get(), region_bytes),
          s2m(RingByHand::at(memory_.data())),
          m2s(RingByHand::at(memory_.data() + m2s_offset)) {
        new (s2m.header) RingHeader<SystemAtomics>;
        new (m2s.header) RingHeader<SystemAtomics>;
    }

    // The messages of an honest client.
    static Outgoing init(std::uint32_t id = 0, std::string_view secret = "") {
        return {encoded(Init{.id = id, .secret = Text<24>(secret), .name = Text<32>("by hand")})};
    }
    [[nodiscard]] Outgoing add_region(std::uint16_t index = 0,
                                      std::uint64_t bytes = region_bytes) const {
        return {encoded(AddRegion{.index = index, .bytes = bytes}), region.get()};
    }
    [[nodiscard]] Outgoing add_ring(AddRing ring) const { return {encoded(ring), event_.get()}; }
    static AddRing s2m_ring() { return {1, 0, 0, 0, log2_ring_size}; }
    static AddRing m2s_ring() { return {0, 0, 0, m2s_offset, log2_ring_size}; }
    static Outgoing connect_message() { return {encoded(Connect{.name = Text<32>("by hand")})}; }

    void say(const Outgoing& message) { send(socket_, message); }
    /// What the server says next; nothing: it has closed.
    std::optional<Message> answer() {
        std::optional<Packet> packet;
        turn_until(
            server_, [&] { return (packet = memif::receive(socket_)).has_value(); }, "an answer");
        if (packet->size == 0) return std::nullopt;
        Message message{};
        std::copy_n(packet->bytes.begin(), message.size(), message.begin());
        return message;
    }
    MessageType answer_type() {
        const auto message = answer();
        return message ? type_of(*message) : MessageType::none;
    }
    /// Says it and expects to be let on.
    void get_through(const Outgoing& message, MessageType with = MessageType::ack) {
        say(message);
        ASSERT_EQ(answer_type(), with);
    }
    void get_as_far_as_init() {
        ASSERT_EQ(answer_type(), MessageType::hello);
        get_through(init());
    }
    void get_as_far_as_rings() {
        get_as_far_as_init();
        get_through(add_region());
    }
    void get_connected() {
        get_as_far_as_rings();
        get_through(add_ring(s2m_ring()));
        get_through(add_ring(m2s_ring()));
        get_through(connect_message(), MessageType::connected);
        turn_until(
            server_, [&] { return server_.connected(); }, "a connection");
    }
    /// Expects a DISCONNECT with a text, then the end.
    std::string text_of_refusal() {
        const auto message = answer();
        if (!message || type_of(*message) != MessageType::disconnect) return "no DISCONNECT";
        if (answer()) return "something after DISCONNECT";
        return body_of<Disconnect>(*message).text.printable();
    }

    /// Puts a packet into an S2M slot, with this descriptor.
    void put(const Descriptor& descriptor) {
        const std::uint16_t head = s2m.header->head;
        s2m.slots[head % slot_count] = descriptor;
        s2m.header->head = static_cast<std::uint16_t>(head + 1);
    }
    static Descriptor honest(std::uint32_t slot, std::uint32_t length = 100) {
        return {0, 0, length, buffers_offset + slot * buffer_bytes, 0};
    }
    /// Posts all M2S slots.
    void post() {
        for (std::uint32_t slot = 0; slot < slot_count; ++slot)
            m2s.slots[slot] = honest(slot_count + slot, buffer_bytes);
        m2s.header->head = slot_count;
    }

  private:
    Interface& server_;
    Fd socket_;
    Fd event_ = event();

  public:
    Fd region;

  private:
    Mapping memory_;

  public:
    RingByHand s2m;
    RingByHand m2s;
    [[nodiscard]] std::byte* start() const { return memory_.data(); }
    [[nodiscard]] const Fd& socket() const { return socket_; }
    [[nodiscard]] const Fd& event_of_rings() const { return event_; }
};

/// A server for an interface under test, which is the client.
class ServerByHand {
  public:
    explicit ServerByHand(const std::string& socket)
        : listener_(Listener::listen(sockets::UnixAddress(socket))) {}

    void accept_from(Interface& client) {
        turn_until(
            client,
            [&] {
                auto accepted = accept(listener_.socket);
                if (accepted) socket_ = std::move(*accepted);
                return accepted.has_value();
            },
            "a client");
    }
    void say(const Message& message) { send(socket_, {message}); }
    Packet hear(Interface& client) {
        std::optional<Packet> packet;
        turn_until(
            client, [&] { return (packet = memif::receive(socket_)).has_value(); }, "a packet");
        return std::move(*packet);
    }
    static Message hello(std::uint16_t max_ring = 0, std::uint8_t max_log2 = 14) {
        return encoded(Hello{.name = Text<32>("by hand"),
                             .max_region = 255,
                             .max_m2s_ring = max_ring,
                             .max_s2m_ring = max_ring,
                             .max_log2_ring_size = max_log2});
    }
    /// The whole handshake; notes region and rings.
    void get_connected(Interface& client) {
        accept_from(client);
        say(hello());
        for (;;) {
            Packet packet = hear(client);
            Message message{};
            std::copy_n(packet.bytes.begin(), message.size(), message.begin());
            heard.push_back(message);
            if (type_of(message) == MessageType::add_region) {
                const auto bytes = body_of<AddRegion>(message).bytes;
                memory_ = Mapping(packet.descriptors.at(0).get(), bytes);
            }
            if (type_of(message) == MessageType::add_ring) {
                const auto ring = body_of<AddRing>(message);
                (ring.flags == 1 ? s2m : m2s) = RingByHand::at(memory_.data() + ring.offset);
            }
            if (type_of(message) == MessageType::connect) break;
            if (type_of(message) == MessageType::disconnect) return;
            say(encoded(Ack{}));
        }
        say(encoded(Connected{.name = Text<32>("by hand")}));
        turn_until(
            client, [&] { return client.connected(); }, "a connection");
    }
    void hang_up() { socket_.reset(); }

    std::vector<Message> heard;
    RingByHand s2m;
    RingByHand m2s;
    [[nodiscard]] std::byte* start() const { return memory_.data(); }

  private:
    Listener listener_;
    Fd socket_;
    Mapping memory_;
};

}  // namespace ipclab::memif
