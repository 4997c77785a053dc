// A System V segment as a process sees it, and why there may be none.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/limits.hpp"

#include <cstddef>
#include <sys/shm.h>
#include <utility>

namespace ipclab {

/// shmat(2) in the constructor, shmdt(2) in the destructor.
class SysvAttached {
  public:
    SysvAttached() = default;
    explicit SysvAttached(int segment)
        : start_(static_cast<std::byte*>(must(::shmat(segment, nullptr, 0), "shmat"))),
          segment_(segment) {}
    SysvAttached(SysvAttached&& other) noexcept { *this = std::move(other); }
    SysvAttached& operator=(SysvAttached&& other) noexcept {
        std::swap(start_, other.start_);
        std::swap(segment_, other.segment_);
        return *this;
    }
    SysvAttached(const SysvAttached&) = delete;
    SysvAttached& operator=(const SysvAttached&) = delete;
    ~SysvAttached() {
        if (start_ != nullptr) ::shmdt(start_);
    }

    [[nodiscard]] std::byte* data() const { return start_; }
    /// Asks the kernel (IPC_STAT).
    [[nodiscard]] std::size_t size() const {
        shmid_ds status{};
        must(::shmctl(segment_, IPC_STAT, &status), "shmctl(IPC_STAT)");
        return status.shm_segsz;
    }

  private:
    std::byte* start_ = nullptr;
    int segment_ = -1;
};

/// To be called when shmget(2) has failed: throws the limit that it names. ENOSPC stands for two,
/// of segments and of pages.
[[noreturn]] inline void throw_why_no_segment(std::size_t bytes, int error) {
    if (error == EINVAL) limits::sysv_shm_bytes().admit(bytes, "shmget", error);
    if (error == ENOSPC) {
        shm_info used{};
        must(::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&used)), "shmctl(SHM_INFO)");
        const Limit segments = limits::sysv_shm_segments();
        const bool all_segments = static_cast<std::uint64_t>(used.used_ids) >= segments.value;
        throw(all_segments ? segments : limits::sysv_shm_pages()).reached("shmget", error);
    }
    throw_system_error("shmget", error);
}

}  // namespace ipclab
