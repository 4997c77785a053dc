// Processes that a test starts, stops and kills. None outlives the test: a child dies with its
// parent (PR_SET_PDEATHSIG), and at the latest with the object that stands for it.
#pragma once

#include "mechanisms/os/fd.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace ipclab::test {

using Clock = std::chrono::steady_clock;

/// Looks until `condition` holds. Throws after 20 s: what a test waits for comes in milliseconds.
void wait_until(const std::function<bool()>& condition, std::string_view what);

/// The test executable's own file.
std::string own_executable();

/// Gives up being root for good, and stays as open to ptrace(2) as an executed program is: the
/// kernel closes a process that has changed its user.
void become(uid_t user);

class Process {
  public:
    /// Runs `body` in a forked child. Its status is 0, or 1 if `body` throws; no destructor of the
    /// parent's objects runs in it.
    static Process forked(const std::function<void()>& body);
    /// Runs a program, whose output can be read. Status 127 if there is none such.
    static Process executed(std::vector<std::string> command);

    Process(Process&& other) noexcept
        : pid_(std::exchange(other.pid_, 0)), output_(std::move(other.output_)) {}
    Process& operator=(Process&&) = delete;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    /// Kills it if it still runs.
    ~Process();

    [[nodiscard]] pid_t pid() const { return pid_; }
    void signal(int number) const;
    /// SIGKILL, and waits for the end.
    void kill();
    /// SIGSTOP, and waits until it stands still.
    void stop() const;
    /// Exit status, or 128 + the number of the signal that ended it.
    int wait();

    /// The next line that an executed program wrote; "" at the end of its output.
    std::string read_line();
    /// All lines up to the end.
    std::vector<std::string> read_lines();

    /// As in the third column of /proc/PID/stat: R runs, S sleeps, T is stopped, Z is dead.
    static char state_of(pid_t pid);

  private:
    explicit Process(pid_t pid) : pid_(pid) {}

    pid_t pid_;
    Fd output_;
};

/// A child's word to its parent, "so far": works across fork and exec.
class Flare {
  public:
    Flare();
    /// In an executed child, which was told the number.
    explicit Flare(int number) : raised_(number) {}

    [[nodiscard]] int number() const { return raised_.get(); }
    void raise() const;
    void wait() const;

  private:
    Fd seen_;
    Fd raised_;
};

}  // namespace ipclab::test
