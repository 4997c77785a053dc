// Two disturbances that can be switched off where the user may. Neither is on by default: a row
// measured with one of them says so.
#pragma once

#include "mechanisms/os/fd.hpp"

#include <optional>
#include <sys/types.h>
#include <vector>

namespace ipclab {

/// Keeps CPUs from halting: on each, a process of the lowest priority (SCHED_IDLE) that spins.
/// Waking a halted virtual CPU takes a trip to the hypervisor; a cross-CPU wake-up falls from about
/// 46 to 21 µs.
class KeepAwake {
  public:
    /// Throws SystemError.
    explicit KeepAwake(const std::vector<int>& cpus);
    KeepAwake(const KeepAwake&) = delete;
    KeepAwake& operator=(const KeepAwake&) = delete;
    ~KeepAwake();

  private:
    std::vector<pid_t> spinners_;
};

/// Raises this session's weight against other sessions' while it lives. With autogroup on, nice(1)
/// only ranks the tasks of one session (sched(7), "The autogroup feature").
class AutogroupPriority {
  public:
    static constexpr int nice = -20;
    /// Throws Unsupported where there is no autogroup or it may not be set.
    AutogroupPriority();
    AutogroupPriority(const AutogroupPriority&) = delete;
    AutogroupPriority& operator=(const AutogroupPriority&) = delete;
    ~AutogroupPriority();

  private:
    int nice_before_ = 0;
};

}  // namespace ipclab
