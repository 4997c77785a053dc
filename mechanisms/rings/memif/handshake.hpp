// How a memif connection comes about: strictly in turns, over the control channel.
//
//   client                            server
//     connect(2)            →           accept(2)
//                           ←           HELLO        what the server takes
//     INIT                  →                        id, secret
//                           ←           ACK
//     ADD_REGION (+ memory) →                        each answered by ACK
//     ADD_RING (+ eventfd)  →                        likewise: all S2M rings, then all M2S
//     CONNECT               →                        the server maps the memory
//                           ←           CONNECTED
//
// After that only DISCONNECT may come. Both sides are state machines here: a packet and its
// descriptors in, a step out. They open, map and send nothing, so a test or a fuzzer needs no peer.
// Whatever a packet says is checked before it is kept; a descriptor that is not kept is closed.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/rings/memif/ring.hpp"
#include "mechanisms/rings/memif/wire.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ipclab::memif {

constexpr std::uint16_t queues_max = 256;
constexpr std::uint16_t regions_max = 64;

/// One packet of the control channel, as it came.
struct Packet {
    std::array<std::byte, 2 * message_bytes> bytes{};
    std::size_t size = 0;
    bool cut = false;  ///< more bytes or descriptors came than there was room for
    std::vector<Fd> descriptors;
};

/// One to be sent; the descriptor stays its owner's.
struct Outgoing {
    Message message{};
    int descriptor = -1;  ///< to go along, or -1
};

/// What is to be done about a packet.
struct Step {
    enum class Next {
        go_on,        ///< send the reply, wait for the next packet
        make_memory,  ///< a client: see terms(), then start()
        connect,      ///< a server: map take_offer(), then send connected()
        up,           ///< a client: the connection stands
        refuse,       ///< send the reply, a DISCONNECT, and close
        end,          ///< the peer has disconnected
    };
    Next next = Next::go_on;
    std::optional<Outgoing> reply{};
    std::string reason{};    ///< of refuse and end
    bool violation = false;  ///< refuse: the peer has broken the protocol
};

/// A DISCONNECT with this text, as a step.
Step refusal(std::string_view reason, bool violation);
/// What may come once the connection stands.
Step step_while_up(const Packet& packet);

struct OfferedRegion {
    Fd memory;
    std::uint64_t bytes = 0;
};
struct OfferedRing {
    Fd event;
    std::uint16_t region = 0;
    std::uint32_t offset = 0;
    unsigned log2_ring_size = 0;
};
/// What a client has handed over.
struct Offer {
    std::vector<OfferedRegion> regions;
    std::vector<OfferedRing> s2m;
    std::vector<OfferedRing> m2s;
    std::string peer_name;
};

class ServerHandshake {
  public:
    struct Limits {
        std::uint32_t id = 0;
        std::string secret;
        std::string name;
        std::uint16_t queues = 1;
        std::uint64_t region_bytes_max = 0;  ///< of all regions together
    };
    explicit ServerHandshake(Limits limits) : limits_(std::move(limits)) {}

    /// Is said first.
    [[nodiscard]] Outgoing hello() const;
    /// `busy`: the interface has a connection already.
    Step next(Packet packet, bool busy);
    /// After Step::Next::connect. Its rings lie within its regions and not on each other; whether
    /// the regions are what they are said to be is another matter (region.hpp).
    [[nodiscard]] Offer take_offer() { return std::move(offer_); }
    [[nodiscard]] Outgoing connected() const;

  private:
    enum class State { awaits_init, is_configured, has_connected };

    Step init(const Init& said, bool busy);
    Step add_region(const AddRegion& said, std::vector<Fd>& descriptors);
    Step add_ring(const AddRing& said, std::vector<Fd>& descriptors);
    Step connect(const Connect& said);
    [[nodiscard]] const char* why_rings_are_misplaced() const;

    Limits limits_;
    State state_ = State::awaits_init;
    Offer offer_;
};

class ClientHandshake {
  public:
    /// What client and server have agreed on.
    struct Terms {
        std::uint16_t queues = 1;  ///< each way
        unsigned log2_ring_size = 10;
    };
    /// What the client would like.
    explicit ClientHandshake(Terms wish) : terms_(wish) {}

    Step next(const Packet& packet);
    [[nodiscard]] const Terms& terms() const { return terms_; }
    /// INIT, ADD_REGION, ADD_RING, CONNECT: one is sent for each answer. Returns the first.
    Outgoing start(std::vector<Outgoing> script);
    [[nodiscard]] const std::string& peer_name() const { return peer_name_; }

  private:
    enum class State { awaits_hello, has_hello, awaits_answers, is_up };

    Step hello(const Hello& said);

    Terms terms_;
    State state_ = State::awaits_hello;
    std::vector<Outgoing> script_;
    std::size_t sent_ = 0;
    std::string peer_name_;
};

}  // namespace ipclab::memif
