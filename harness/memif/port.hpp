// What the memif programs have in common: an interface that tells its user what becomes of it, and
// a loop that waits for whatever comes first, a packet, a peer or a signal to end.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/rings/memif/interface.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <poll.h>
#include <string>
#include <vector>

namespace ipclab {

/// A memif interface whose comings and goings are told on standard error, one line each. Receives
/// from all its queues; a packet is always a private copy.
class Port {
  public:
    /// Throws what memif::Interface throws.
    Port(const memif::Options& options, memif::Mode mode);

    /// Accepts, shakes hands, notices ends; to be called when descriptor() is readable.
    void service();
    [[nodiscard]] bool connected() const { return interface_.connected(); }
    /// Grows with each new connection: what was learnt of the last peer may not hold for this one.
    [[nodiscard]] std::uint64_t connections() const { return connections_; }
    [[nodiscard]] const std::string& socket() const { return options_.socket; }
    [[nodiscard]] memif::Mode mode() const { return mode_; }
    /// Why there is no connection now, as a clause.
    [[nodiscard]] std::string reason() const;

    /// Calls `use(queue, packet)` for packets that have come, at most a burst of each queue; the
    /// bytes are valid, and may be changed, until `use` returns. Returns whether there were any.
    /// What a peer had sent before it left is received, too.
    template <class Use>
    bool receive(Use&& use) {
        bool any = false;
        for (std::uint16_t queue = 0; queue < options_.queues; ++queue)
            any |= receive_burst(queue, [&](Bytes packet) {
                use(queue, packet);
                return true;
            });
        return any;
    }
    /// From one queue, until `use(packet)` returns false: it wants no more now.
    template <class Use>
    bool receive_burst(std::uint16_t queue, Use&& use) {
        memif::ReceiveQueue& packets = interface_.receive(queue);
        int count = 0;
        for (bool more = true; more && count < burst_packets; ++count) {
            const auto size = packets.receive(buffer_);
            if (!size) break;
            more = use(Bytes(buffer_).first(*size));
        }
        packets.release();
        return count > 0;
    }

    /// Sends on the queue of that number, counted round where there are fewer; false: there is no
    /// room, or no peer. Visible after flush().
    bool send(std::uint16_t queue, View packet);
    void flush();

    [[nodiscard]] memif::Statistics statistics() const { return interface_.statistics(); }

    /// What poll(2) is to watch: the interface and, in interrupt mode, its receive queues.
    void watch(std::vector<pollfd>& watched);
    /// Handles what poll(2) found in the entries of watch(), of which it returns the number.
    std::size_t handle(const pollfd* found);

  private:
    static constexpr int burst_packets = 64;
    /// The largest IPv4 packet in its Ethernet frame, and some more.
    static constexpr std::size_t buffer_bytes = std::size_t{68} << 10;

    memif::Options options_;
    memif::Mode mode_;
    memif::Interface interface_;
    std::vector<std::byte> buffer_;
    std::uint64_t connections_ = 0;
    std::uint64_t disconnections_ = 0;
    std::string told_;
};

/// Waits for the ports and for SIGINT, SIGTERM or SIGHUP, which it takes over from construction to
/// destruction. Interrupt mode sleeps in poll(2); polling mode returns at once, and looks at the
/// control channels and the signals once a millisecond. Where it has found nothing for a while it
/// lets others have the CPU: the peer may be waiting for it.
///
/// poll(2) and not a lasting epoll(7) set: an eventfd is shared with the peer, so its entry in such
/// a set would outlive our descriptor, and each new connection brings other ones.
class PortLoop {
  public:
    /// The ports must outlive the loop, and have one mode.
    explicit PortLoop(std::vector<Port*> ports);
    ~PortLoop();
    PortLoop(const PortLoop&) = delete;
    PortLoop& operator=(const PortLoop&) = delete;

    /// Returns when there may be something to do, at the latest after `patience`; false once a
    /// signal has come.
    bool wait(std::chrono::nanoseconds patience);

    static constexpr std::chrono::nanoseconds forever = std::chrono::hours(1);

  private:
    void look(std::chrono::nanoseconds patience);

    std::vector<Port*> ports_;
    memif::Mode mode_;
    sigset_t signals_before_{};
    Fd stop_;
    std::vector<pollfd> watched_;
    std::chrono::steady_clock::time_point next_look_{};
    std::chrono::steady_clock::time_point busy_{};
    bool stopped_ = false;
};

}  // namespace ipclab
