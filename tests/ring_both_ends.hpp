// The spsc-ring's two ends in one thread, as its tests use them: small enough to fill, and with
// what a peer can do behind the back of ours.
#pragma once

#include "mechanisms/waiting/spin.hpp"
#include "tests/ring_in_one_process.hpp"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ipclab {

constexpr std::size_t capacity = 4096;

struct WouldWait {};
struct Throws {
    static void glance() { throw WouldWait(); }
};

/// One thread at both ends: what would wait, throws.
class Ring {
  public:
    explicit Ring(std::uint64_t start = 0, const RingTuning& tuning = {},
                  std::size_t capacity_bytes = capacity)
        : ring_(capacity_bytes, start, tuning) {}

    Bytes loan(std::size_t n) {
        return ring_.sender.loan(n, [] { return Throws(); });
    }
    void publish(std::size_t n) { ring_.sender.publish(n); }
    View take() {
        return ring_.receiver.take([] { return Throws(); });
    }
    void release() { ring_.receiver.release(); }
    void flush() { ring_.sender.flush(); }
    [[nodiscard]] std::size_t publish_every(std::size_t n) const {
        return ring_.sender.publish_every(n);
    }

    void send(std::size_t n, int value) {
        const Bytes room = loan(n);
        std::fill(room.begin(), room.end(), std::byte(value));
        publish(n);
    }
    void expect(std::size_t n, int value) {
        const View message = take();
        EXPECT_THAT(message, testing::SizeIs(n));
        EXPECT_THAT(message, testing::Each(std::byte(value)));
        release();
    }
    /// Moves both sides on.
    void advance(std::size_t bytes) {
        for (std::size_t step = 0; bytes != 0; bytes -= step) {
            step = std::min<std::size_t>(bytes, 512);
            send(step - sizeof(ring_record::Length), 0);
            take();
            release();
        }
    }

    // What a peer can do behind the back of ours.
    void claim_published(std::uint64_t position, std::uint64_t tag = 0) {
        ring_.indices.published_by_initiator.store(published_word::of(position, tag));
    }
    void claim_released(std::uint64_t position) {
        ring_.indices.back_to_initiator.released.store(position);
    }
    void write_length(std::size_t offset, ring_record::Length length) {
        std::memcpy(bytes() + offset, &length, sizeof length);
    }
    [[nodiscard]] std::byte* bytes() const { return ring_.bytes(); }

  private:
    RingInOneProcess<SystemAtomics, Spin> ring_;
};

}  // namespace ipclab
