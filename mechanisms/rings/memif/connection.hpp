// What two connected memif interfaces share: regions, rings, eventfds; and where the queues find
// it.
//
// service() puts connections up and takes them down, while queues may be at work in other threads.
// So a connection is owned by all who use it: each queue holds a share, compares one number at
// each call (`epoch`), and looks for a newer connection when it has changed. The memory is unmapped
// when the last has let go.
#pragma once

#include "mechanisms/rings/memif/bell.hpp"
#include "mechanisms/rings/memif/data_path.hpp"
#include "mechanisms/rings/memif/handshake.hpp"
#include "mechanisms/rings/memif/region.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ipclab::memif {

class Connection {
  public:
    /// As a client: makes region and eventfds. Throws LimitReached, SystemError.
    Connection(const ClientHandshake::Terms& terms, std::uint16_t buffer_bytes);
    /// As a server: maps what the client has offered, and checks it. Throws Refused, LimitReached,
    /// SystemError. `alarm` is the eventfd(2) to add to when memory gets lost.
    Connection(Offer offer, bool admit_unsealed_regions, int alarm);

    struct alignas(64) Transmit {
        RingSender<SystemAtomics> ring;
        Fd event;
    };
    struct alignas(64) Receive {
        RingReceiver<SystemAtomics> ring;
        Fd event;
    };
    /// One thread each. A client's receive queues have posted their buffers after post_buffers().
    std::vector<Transmit> transmit;
    std::vector<Receive> receive;

    /// What a client hands over: its messages from ADD_REGION to the last ADD_RING.
    [[nodiscard]] const std::vector<Outgoing>& messages() const { return messages_; }
    /// To be called by a client once the server has set up its side, which may clear the indices.
    void post_buffers();

    /// Whether the peer has cut off memory that we have mapped.
    [[nodiscard]] bool is_memory_lost() const;

    std::string peer_name;

  private:
    /// To its queue, which transmits or receives.
    void add(OfferedRing ring, bool s2m, SocketRole mine, const ClientBuffers& buffers = {});

    std::vector<MappedRegion> memory_;
    std::vector<Region> regions_;
    std::vector<Outgoing> messages_;
};

/// Where service() leaves the connection and the queues find it.
struct Lobby {
    enum class Condition {
        none,     ///< nothing may be done
        stands,   ///< all may be done
        has_left  ///< what the peer had sent before it left may be received
    };

    const bool admits_strangers;          ///< peers of other users
    Fd alarm;                             ///< an eventfd(2): service() should look
    Bell bell;                            ///< for the peer's
    std::atomic<std::uint64_t> epoch{0};  ///< counts changes of what follows
    std::mutex mutex;
    std::shared_ptr<Connection> connection;
    Condition condition = Condition::none;
    const char* violation = nullptr;  ///< as a queue has found it; until service() deals with it
    std::atomic<bool> connected{false};

    explicit Lobby(bool admits_strangers);
    void change(Condition to, std::shared_ptr<Connection> connection_now);
    /// Of a queue that holds this connection.
    void report(const Connection& of, const char* how);
};

}  // namespace ipclab::memif
