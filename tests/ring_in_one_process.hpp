// Both ends of one ring in one process, on one mapping.
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/rings/byte_ring.hpp"

#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace ipclab {

template <class Atomics, template <class> class WaitStrategy>
class RingInOneProcess {
    using Indices = RingIndices<Atomics, WaitStrategy>;

  public:
    /// `capacity` in bytes, a power of two and whole pages; `start`, a multiple of 8, is where both
    /// sides begin to count.
    RingInOneProcess(std::size_t capacity, std::uint64_t start, const RingTuning& tuning = {})
        : memory_(memory(page_bytes() + capacity)),
          first_page_(memory_.get(), page_bytes()),
          ring_(Mapping::mirrored(memory_.get(), capacity, page_bytes())),
          indices(*new (first_page_.data()) Indices(start)),
          sender(indices, Side::initiator, sender_has_line, ring_.data(), capacity, tuning, start),
          receiver(indices, Side::initiator, receiver_has_line, ring_.data(), capacity, tuning,
                   start) {}

    /// The first of the ring's two copies.
    [[nodiscard]] std::byte* bytes() const { return ring_.data(); }

  private:
    static Fd memory(std::size_t bytes) {
        Fd fd(must(::memfd_create("ring", MFD_CLOEXEC), "memfd_create"));
        must(::ftruncate(fd.get(), static_cast<off_t>(bytes)), "ftruncate");
        return fd;
    }

    Fd memory_;
    Mapping first_page_;
    Mapping ring_;

  public:
    Indices& indices;
    // As in two processes, each of which knows its own.
    LineTurn<Atomics> sender_has_line{0};
    LineTurn<Atomics> receiver_has_line{0};
    // Each thread writes its own of these two at every message.
    alignas(64) RingSender<Atomics, WaitStrategy> sender;
    alignas(64) RingReceiver<Atomics, WaitStrategy> receiver;
};

}  // namespace ipclab
