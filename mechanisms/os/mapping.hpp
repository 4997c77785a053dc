// Shared memory seen by this process: one mapping of an object, or two in a row. Its pages are
// entered in the page table at once (MAP_POPULATE), so that no message pays for a page fault.
#pragma once

#include "mechanisms/os/error.hpp"

#include <cstddef>
#include <span>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace ipclab {

inline std::size_t page_bytes() {
    static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return bytes;
}

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

class Mapping {
  public:
    Mapping() = default;

    /// Maps `bytes` of `fd` from `offset`, shared and writable. The descriptor may be closed after.
    Mapping(int fd, std::size_t bytes, std::size_t offset = 0)
        : start_(static_cast<std::byte*>(
              must(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                          static_cast<off_t>(offset)),
                   "mmap"))),
          bytes_(bytes) {}

    /// Maps `bytes` of `fd` twice in a row, so that what runs over the end of the first copy lands
    /// at the start of the object and every span of up to `bytes` is contiguous.
    /// `bytes` and `offset` must be whole pages.
    static Mapping mirrored(int fd, std::size_t bytes, std::size_t offset) {
        Mapping both;
        both.start_ = static_cast<std::byte*>(must(
            ::mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "mmap"));
        both.bytes_ = 2 * bytes;
        for (std::byte* copy : {both.start_, both.start_ + bytes})
            must(::mmap(copy, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
                        fd, static_cast<off_t>(offset)),
                 "mmap");
        return both;
    }

    Mapping(Mapping&& other) noexcept { *this = std::move(other); }
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(start_, other.start_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() {
        if (start_ != nullptr) ::munmap(start_, bytes_);
    }

    [[nodiscard]] std::byte* data() const { return start_; }
    [[nodiscard]] std::size_t size() const { return bytes_; }

  private:
    std::byte* start_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace ipclab
