// Starting a program, and being told when that fails.
//
// fork(2) succeeds before it is known whether there is anything to execute. The original's child,
// when execvp(3) fails, returns from it and goes on as a second node of the same names, and its
// parent never learns. The child here writes the error into a pipe and ends. The pipe's end is
// closed by a successful execvp (O_CLOEXEC), and so the parent reads either an error or an end of
// file, and needs to wait for nothing else: no second of sleep, as in the original.
#include "mechanisms/rings/villas/external_program.hpp"

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>

namespace ipclab::villas {

ExternalProgram::ExternalProgram(const std::vector<std::string>& command,
                                 const std::string& address) {
    if (command.empty()) throw Refused("exec", "no program is named");
    // All of this before the fork: the child of a process with threads may not allocate.
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) {
        if (word == "{}") word = address;
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC), "pipe2");
    const Fd told(ends[0]);
    Fd telling(ends[1]);
    parent_ = ::getpid();
    pid_ = must(::fork(), "fork");
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent_) ::_exit(127);  // it has ended before the line above
        ::execvp(arguments[0], arguments.data());
        const int error = errno;
        [[maybe_unused]] const ssize_t ignored = ::write(telling.get(), &error, sizeof error);
        ::_exit(127);
    }
    telling.reset();
    int error = 0;
    ssize_t got = 0;
    while ((got = ::read(told.get(), &error, sizeof error)) == -1 && errno == EINTR) {
    }
    if (got == 0) return;
    while (::waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
    }
    pid_ = 0;
    throw Refused("exec", fmt::format("{} cannot be started", command.front()), error);
}

ExternalProgram::~ExternalProgram() {
    if (pid_ <= 0 || parent_ != ::getpid()) return;
    constexpr auto patience = std::chrono::seconds(1);
    constexpr auto between_looks = std::chrono::milliseconds(1);
    ::kill(pid_, SIGTERM);
    for (auto waited = std::chrono::milliseconds(0); waited < patience; waited += between_looks) {
        const pid_t ended = ::waitpid(pid_, nullptr, WNOHANG);
        if (ended == pid_ || (ended == -1 && errno == ECHILD)) return;
        std::this_thread::sleep_for(between_looks);
    }
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
    }
}

}  // namespace ipclab::villas
