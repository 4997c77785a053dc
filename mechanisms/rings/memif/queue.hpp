// What an application sends and receives packets with: one direction of one memif queue.
//
// Nothing here throws. Where the peer has gone or has broken the rules there is no room, and
// nothing to receive, and Interface::connected() tells; what the peer had sent before it left in
// good order, or was killed, can still be received, until there is a new connection.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/rings/memif/connection.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

namespace ipclab::memif {

/// How a receiver learns of packets: by looking, or by the signal that it asks the sender for.
enum class Mode { polling, interrupt };

struct QueueStatistics {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t dropped = 0;  ///< not sent: empty, or larger than the ring; received, and counted
                                ///< as such, but larger than the buffer for it
    std::uint64_t signals = 0;  ///< sent, or drained
};

/// Counted by the queue's thread, read by any.
class QueueCounts {
  public:
    using Count = std::atomic<std::uint64_t>;
    static void add(Count& count, std::uint64_t more) {
        count.store(count.load(std::memory_order::relaxed) + more, std::memory_order::relaxed);
    }
    void add_packet(std::size_t bytes) {
        add(packets_, 1);
        add(bytes_, bytes);
    }
    void add_dropped() { add(dropped_, 1); }
    void add_signal() { add(signals_, 1); }
    [[nodiscard]] QueueStatistics read() const {
        return {packets_.load(std::memory_order::relaxed), bytes_.load(std::memory_order::relaxed),
                dropped_.load(std::memory_order::relaxed),
                signals_.load(std::memory_order::relaxed)};
    }

  private:
    Count packets_{0};
    Count bytes_{0};
    Count dropped_{0};
    Count signals_{0};
};

class alignas(64) TransmitQueue {
  public:
    TransmitQueue(std::shared_ptr<Lobby> lobby, std::uint16_t index)
        : lobby_(std::move(lobby)), index_(index) {}
    TransmitQueue(const TransmitQueue&) = delete;
    TransmitQueue& operator=(const TransmitQueue&) = delete;

    /// The whole packet, chained over several buffers if need be, or nothing (false: no room now).
    /// One that is empty or that no empty ring would hold is dropped and counted. Visible after
    /// flush().
    bool send(View packet) {
        if (!is_usable()) return false;
        if (!here_->ring.send(packet)) return could_not_send(packet.size());
        counts_.add_packet(packet.size());
        return true;
    }

    /// Room for a packet of `n` bytes in one buffer, the caller's until publish(); empty where
    /// there is none now, or no buffer is as large.
    Bytes loan(std::size_t n) {
        if (!is_usable()) return {};
        const Bytes room = here_->ring.loan(n);
        if (room.empty()) look_for_a_violation();
        return room;
    }
    /// The first `n` bytes of the loan are a packet. Visible after flush().
    void publish(std::size_t n) {
        if (!is_usable()) return;
        here_->ring.fill(n);
        counts_.add_packet(n);
    }

    /// Makes the packets visible, and signals if the receiver asks for it.
    void flush() {
        if (is_usable() && here_->ring.has_unpublished() && here_->ring.publish()) signal();
    }

    /// Slots of the ring, and bytes of the next free buffer; 0 where there is none now.
    [[nodiscard]] std::size_t slots() { return is_usable() ? here_->ring.slots() : 0; }
    [[nodiscard]] std::size_t buffer_bytes() {
        return is_usable() ? here_->ring.buffer_bytes() : 0;
    }

    [[nodiscard]] QueueStatistics statistics() const { return counts_.read(); }

  private:
    bool is_usable() {
        if (epoch_ != lobby_->epoch.load(std::memory_order::acquire)) look_up();
        return here_ != nullptr;
    }
    void look_up();
    bool could_not_send(std::size_t bytes);
    void look_for_a_violation();
    void report(const char* how);
    void signal();

    std::shared_ptr<Lobby> lobby_;
    std::uint16_t index_;
    std::uint64_t epoch_ = 0;
    std::shared_ptr<Connection> connection_;
    Connection::Transmit* here_ = nullptr;
    QueueCounts counts_;
};

class alignas(64) ReceiveQueue {
  public:
    ReceiveQueue(std::shared_ptr<Lobby> lobby, std::uint16_t index)
        : lobby_(std::move(lobby)), index_(index) {}
    ReceiveQueue(const ReceiveQueue&) = delete;
    ReceiveQueue& operator=(const ReceiveQueue&) = delete;

    /// Copies the next whole packet to the front of `buffer` and returns its size; nothing: there
    /// is none. One that does not fit is dropped and counted.
    std::optional<std::size_t> receive(Bytes buffer) {
        for (;;) {
            const std::optional<View> packet = next();
            if (!packet) return std::nullopt;
            const bool fits = packet->size() <= buffer.size();
            if (fits)
                std::memcpy(buffer.data(), packet->data(), packet->size());
            else
                counts_.add_dropped();
            if (!peeked_ && here_->ring.unreleased() >= here_->ring.slots() / 4)
                here_->ring.release();
            if (fits) return packet->size();
        }
    }

    /// Shows the next whole packet where it lies and moves on; it stays until release(). A chained
    /// one is shown in a private copy, which stays until the next call. What lies in shared memory
    /// may change under the reader's eyes: parse a copy.
    std::optional<View> peek() {
        const std::optional<View> packet = next();
        peeked_ = peeked_ || packet.has_value();
        return packet;
    }

    /// Gives the buffers of all that was received and peeked at back to the sender. receive() does
    /// so by itself now and then, unless there is something that was peeked at.
    void release() {
        peeked_ = false;
        if (is_usable()) here_->ring.release();
    }
    /// The same for who calls it after each packet. Buffers go back to the sender together: an
    /// eighth of the ring or 32 of them, or fewer when all packets that were seen have been taken,
    /// and always when there is nothing to receive.
    void release_in_batches() {
        peeked_ = false;
        if (is_usable()) here_->ring.release_in_batches();
    }

    /// Interrupt at first. To be called before every wait in interrupt mode if polling came before;
    /// and look for packets once more after it.
    void mode(Mode mode);
    [[nodiscard]] Mode mode() const { return mode_; }
    /// An eventfd(2): readable when packets may have come. Changes with each connection; -1 while
    /// there is none. Whoever watches it calls drain() and only then looks for packets; a wait
    /// should end by itself now and then, since other senders (libmemif, DPDK) lack a fence.
    [[nodiscard]] int descriptor();
    void drain();

    [[nodiscard]] QueueStatistics statistics() const { return counts_.read(); }

  private:
    bool is_usable() {
        if (epoch_ != lobby_->epoch.load(std::memory_order::acquire)) look_up();
        return here_ != nullptr;
    }
    std::optional<View> next() {
        if (!is_usable()) return std::nullopt;
        const std::optional<View> packet = here_->ring.next();
        if (packet)
            counts_.add_packet(packet->size());
        else
            found_nothing();
        return packet;
    }
    void look_up();
    void found_nothing();

    std::shared_ptr<Lobby> lobby_;
    std::uint16_t index_;
    Mode mode_ = Mode::interrupt;
    bool peeked_ = false;
    bool has_left_ = false;  ///< the peer; what it sent is here
    std::uint64_t epoch_ = 0;
    std::shared_ptr<Connection> connection_;
    Connection::Receive* here_ = nullptr;
    QueueCounts counts_;
};

}  // namespace ipclab::memif
