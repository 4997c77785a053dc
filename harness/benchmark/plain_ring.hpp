// The yardstick of the fast ring: the well-known design, whole and plain. A ring of bytes of 64 KiB
// whose two indices lie on lines of their own, each with a cached copy at the other side, and one
// publication per message.
#pragma once

#include "mechanisms/os/bytes.hpp"

#include <atomic>
#include <cstdint>
#include <cstring>

namespace ipclab {

struct PlainRing {
    static constexpr std::uint64_t capacity = 65536;

    alignas(64) std::atomic<std::uint64_t> head{0};
    alignas(64) std::atomic<std::uint64_t> tail{0};
    // A record that begins before the end of the ring runs on behind it.
    alignas(4096) std::byte bytes[2 * capacity];

    static constexpr std::uint64_t record_bytes(std::uint64_t n) { return 8 + (n + 7) / 8 * 8; }
};

/// One process's end: producer of one ring, consumer of another (or of the same).
class PlainRingEnd {
  public:
    PlainRingEnd(PlainRing& out, PlainRing& in) : out_(out), in_(in) {}

    Bytes loan(std::size_t n) {
        while (head_ + PlainRing::record_bytes(n) - tail_seen_ > PlainRing::capacity) {
            tail_seen_ = out_.tail.load(std::memory_order::acquire);
            __builtin_ia32_pause();
        }
        return {out_.bytes + head_ % PlainRing::capacity + 8, n};
    }
    void publish(std::size_t n) {
        const std::uint64_t length = n;
        std::memcpy(out_.bytes + head_ % PlainRing::capacity, &length, sizeof length);
        head_ += PlainRing::record_bytes(n);
        out_.head.store(head_, std::memory_order::release);
    }
    View take() {
        while (head_seen_ == tail_) {
            head_seen_ = in_.head.load(std::memory_order::acquire);
            if (head_seen_ == tail_) __builtin_ia32_pause();
        }
        std::memcpy(&length_, in_.bytes + tail_ % PlainRing::capacity, sizeof length_);
        return {in_.bytes + tail_ % PlainRing::capacity + 8, length_};
    }
    void release() {
        tail_ += PlainRing::record_bytes(length_);
        in_.tail.store(tail_, std::memory_order::release);
    }

  private:
    PlainRing& out_;
    PlainRing& in_;
    std::uint64_t head_ = 0;
    std::uint64_t tail_seen_ = 0;
    std::uint64_t tail_ = 0;
    std::uint64_t head_seen_ = 0;
    std::uint64_t length_ = 0;
};

}  // namespace ipclab
