// What an application sends and receives packets with: one direction of one memif queue.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <cstdint>
#include <optional>

namespace ipclab::memif {

/// How a receiver learns of packets: by looking, or by the signal that it asks the sender for.
enum class Mode { polling, interrupt };

struct QueueStatistics {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t dropped = 0;  ///< received packets that were larger than the buffer for them
    std::uint64_t signals = 0;  ///< sent, or drained
};

/// Nothing here throws: where the peer has gone or has broken the rules, there is no room, and
/// Interface::connected() tells.
class TransmitQueue {
  public:
    /// The whole packet, chained over several buffers if need be, or nothing (false: no room now).
    /// Visible after flush(). A packet has at least one byte.
    bool send(View packet);

    /// Room for a packet of `n` bytes in one buffer, the caller's until publish(); empty where
    /// there is none now.
    Bytes loan(std::size_t n);
    /// The first `n` bytes of the loan are a packet. Visible after flush().
    void publish(std::size_t n);

    /// Makes the packets visible, and signals if the receiver asks for it.
    void flush();
};

class ReceiveQueue {
  public:
    /// Copies the next whole packet to the front of `buffer` and returns its size; nothing: there
    /// is none. One that does not fit is dropped and counted.
    std::optional<std::size_t> receive(Bytes buffer);

    /// Shows the next whole packet where it lies (a chained one: in a private copy) and moves on.
    /// It stays until release(). Its bytes may change under the reader's eyes: parse a copy.
    std::optional<View> peek();

    /// Gives back to the sender the buffers of all that was received and peeked at. receive() does
    /// so by itself now and then.
    void release();

    /// Interrupt at first. To be called before every wait in interrupt mode if polling came before.
    void mode(Mode mode);
    /// An eventfd(2): readable when packets may have come. Changes with each connection; -1 while
    /// there is none. Whoever watches it calls drain() and only then looks for packets.
    [[nodiscard]] int descriptor() const;
    void drain();
};

}  // namespace ipclab::memif
