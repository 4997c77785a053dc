// A program of the user's, started with the queue that it is to talk to.
#pragma once

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace ipclab::villas {

/// Runs until it ends by itself, until this object ends (SIGTERM, and SIGKILL if it does not heed
/// that within a second), or until the thread that started it does (PR_SET_PDEATHSIG), in whatever
/// way.
class ExternalProgram {
  public:
    ExternalProgram() = default;
    /// Starts `command`, looked for as execvp(3) does. Each word "{}" stands for `address`. Throws
    /// Refused, with errno, if it cannot be executed: noticed before this returns.
    ExternalProgram(const std::vector<std::string>& command, const std::string& address);
    ExternalProgram(ExternalProgram&& other) noexcept { *this = std::move(other); }
    ExternalProgram& operator=(ExternalProgram&& other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(parent_, other.parent_);
        return *this;
    }
    ExternalProgram(const ExternalProgram&) = delete;
    ExternalProgram& operator=(const ExternalProgram&) = delete;
    ~ExternalProgram();

    /// 0 where none was started.
    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    pid_t pid_ = 0;
    pid_t parent_ = 0;
};

}  // namespace ipclab::villas
