// A memif region: memory that the client makes and the server maps.
//
// Whoever maps a stranger's memory should fear that it shrinks: a load beyond its end is SIGBUS.
// Seals rule it out (F_SEAL_SHRINK, memfd_create(2)), and memory without them is refused unless it
// is admitted by an option, as zero-copy peers need it, whose buffers lie in huge pages or files.
// Then a handler of SIGBUS puts empty pages in the place of what was cut off, and notes that the
// region is lost; the connection ends, and the process goes on.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/rings/memif/data_path.hpp"

#include <atomic>
#include <cstdint>

namespace ipclab::memif {

/// Watches over memory that may be cut off. While there is one, SIGBUS has a handler, which passes
/// on what is not about such memory. At most 256 at a time, else Refused.
class TruncationGuard {
  public:
    TruncationGuard() = default;
    /// When it is hit, the handler also adds 1 to the eventfd(2) `alarm`.
    TruncationGuard(std::byte* start, std::size_t bytes, int alarm);
    TruncationGuard(TruncationGuard&& other) noexcept
        : place_(std::exchange(other.place_, nullptr)) {}
    TruncationGuard& operator=(TruncationGuard&& other) noexcept {
        std::swap(place_, other.place_);
        return *this;
    }
    TruncationGuard(const TruncationGuard&) = delete;
    TruncationGuard& operator=(const TruncationGuard&) = delete;
    ~TruncationGuard();

    [[nodiscard]] bool was_hit() const;

    struct Place;

  private:
    Place* place_ = nullptr;
};

class MappedRegion {
  public:
    /// As a client: new memory, sealed, all of its pages there. Throws LimitReached, SystemError.
    static MappedRegion create(std::size_t bytes);
    /// As a server: a peer's. Refused if it is not that large, could shrink and `admit_unsealed` is
    /// false, or lies in a file that is not memory.
    static MappedRegion map(const Fd& memory, std::uint64_t bytes, bool admit_unsealed, int alarm);

    [[nodiscard]] Region region() const { return {memory_.data(), memory_.size()}; }
    /// To be handed over, by who made it.
    [[nodiscard]] int descriptor() const { return descriptor_.get(); }
    [[nodiscard]] bool is_lost() const { return guard_.was_hit(); }

  private:
    Fd descriptor_;
    Mapping memory_;
    TruncationGuard guard_;  // goes before the memory does
};

/// The same open file, under a number above those of standard input, output and error: libmemif and
/// DPDK do not hand over descriptor 0.
Fd above_standard_descriptors(Fd fd);

}  // namespace ipclab::memif
