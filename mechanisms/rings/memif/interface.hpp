// memif: packets between two programs through shared memory, as VPP, libmemif and DPDK speak it.
//
// An Interface is one end of a connection: the server listens on a Unix socket, the client connects
// to it, makes the memory and hands it over (handshake.hpp). From then on packets cross the rings
// in that memory (ring.hpp), and the socket says only one thing more: that the peer is gone.
//
// For an event loop: watch descriptor() and call service() when it is readable; in interrupt mode
// watch each receive queue's descriptor(), call its drain(), then receive until nothing comes.
// Threads: service() belongs to one thread at a time, and so does each queue. They need not be the
// same thread: memory that a queue may still be using is unmapped only when it has looked up.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/rings/memif/queue.hpp"
#include "mechanisms/rings/memif/ring.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace ipclab::memif {

struct Options {
    std::string socket{};  ///< a path, or "@name" for an abstract one
    SocketRole role = SocketRole::server;
    std::uint32_t id = 0;               ///< of the interface; a socket's two ends must agree on it
    std::string secret{};               ///< at most 23 bytes; empty: none
    std::string name = "ipclab";        ///< told to the peer; at most 31 bytes
    std::uint16_t queues = 1;           ///< each way, at most 256; fewer where the peer has fewer
    unsigned log2_ring_size = 10;       ///< a client's rings: 1 to 14
    std::uint16_t buffer_bytes = 2048;  ///< a client's buffers; longer packets are chained
    /// As a server: take memory that the peer could shrink. Its truncation then ends the
    /// connection, and not the process.
    bool admit_unsealed_regions = false;
    std::uint64_t region_bytes_max = std::uint64_t{1} << 30;  ///< of all regions together
    /// Turn away peers of another user (SO_PEERCRED). One of the same user is trusted not to fill
    /// a ring's eventfd on purpose so that a signal to it waits.
    bool refuse_strangers = false;
    std::chrono::milliseconds step_timeout{5000};  ///< of one step of the handshake
    std::chrono::milliseconds reconnect_interval{2000};
};

/// How the latest connection, or attempt at one, came to its end.
enum class Ending {
    none,     ///< there was none yet
    left,     ///< the peer said that it leaves, or that it refuses
    died,     ///< the peer's socket was closed without a word: it was killed, or is DPDK
    refused,  ///< we have refused the peer
    failed,   ///< there is no such peer, or the system has refused something
};

/// Over all queues and all connections.
struct Statistics {
    QueueStatistics sent;
    QueueStatistics received;
    std::uint64_t connections = 0;
    std::uint64_t disconnections = 0;  ///< also in the middle of a handshake
    std::uint64_t violations = 0;      ///< times that the peer broke the rules
};

class Interface {
  public:
    /// Listens, or starts to connect; does not wait. A server removes a path's socket that a
    /// program has left behind. Throws Refused where somebody listens on the socket's name, where
    /// its path is another kind of file, or where an option is out of its range; SystemError.
    explicit Interface(Options options);
    /// A server on a socket that listens already; its name is the caller's to remove.
    Interface(Options options, Fd listener);
    Interface(Interface&&) noexcept;
    Interface& operator=(Interface&&) noexcept;
    Interface(const Interface&) = delete;
    Interface& operator=(const Interface&) = delete;
    /// Says goodbye to the peer; no other thread may be using a queue.
    ~Interface();

    /// An epoll(7) instance, the same for life: readable when service() has something to do.
    [[nodiscard]] int descriptor() const;
    /// Accepts, shakes hands, notices ends, and tries again. Never waits. Throws LimitReached where
    /// this process has no descriptors left; what peers do ends their connections only.
    void service();

    /// May be asked by any thread.
    [[nodiscard]] bool connected() const;
    /// Why the latest connection ended, or the latest attempt failed; "" if none did.
    [[nodiscard]] std::string last_disconnect() const;
    [[nodiscard]] Ending last_ending() const;
    /// The name that the peer gave itself; "" while not connected.
    [[nodiscard]] std::string peer_name() const;

    /// Of the present connection; 0 while there is none. A peer may have fewer one way.
    ///
    /// Who receives walks Options::queues and not these: from the moment that the peer has left or
    /// died they are 0, while receive() still has what it had sent before. That is lost when the
    /// next peer has connected.
    [[nodiscard]] std::uint16_t transmit_queues() const;
    [[nodiscard]] std::uint16_t receive_queues() const;
    [[nodiscard]] std::uint16_t queues() const {
        return transmit_queues() < receive_queues() ? transmit_queues() : receive_queues();
    }
    /// For `queue` below Options::queues; throws std::out_of_range beyond it. The same object for
    /// life. Where the connection has fewer queues, or there is none, there is no room and, but for
    /// what a peer has left behind, nothing to receive.
    TransmitQueue& transmit(std::uint16_t queue);
    ReceiveQueue& receive(std::uint16_t queue);

    [[nodiscard]] Statistics statistics() const;

  private:
    class State;
    std::unique_ptr<State> state_;
};

}  // namespace ipclab::memif
