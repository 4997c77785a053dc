#include "tests/support/process.hpp"

#include "mechanisms/os/error.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <poll.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace ipclab::test {
namespace {

void die_with(pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
}

}  // namespace

void wait_until(const std::function<bool()>& condition, std::string_view what) {
    for (const auto end = Clock::now() + std::chrono::seconds(20); !condition();) {
        if (Clock::now() > end) throw std::runtime_error(fmt::format("waited in vain: {}", what));
        std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
}

std::string own_executable() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

void become(uid_t user) {
    must(::setuid(user), "setuid");
    must(::prctl(PR_SET_DUMPABLE, 1), "prctl(PR_SET_DUMPABLE)");
}

Process Process::forked(const std::function<void()>& body) {
    std::fflush(nullptr);
    const pid_t parent = ::getpid();
    const pid_t pid = must(::fork(), "fork");
    if (pid > 0) return Process(pid);
    die_with(parent);
    int status = 0;
    try {
        body();
    } catch (const std::exception& problem) {
        fmt::print(stderr, "in a peer: {}\n", problem.what());
        status = 1;
    }
    std::fflush(nullptr);
    ::_exit(status);
}

Process Process::executed(std::vector<std::string> command) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC), "pipe2");
    Fd output(ends[0]);
    const Fd into(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t pid = must(::fork(), "fork");
    if (pid == 0) {
        die_with(parent);
        ::dup2(into.get(), STDOUT_FILENO);
        ::execvp(arguments[0], arguments.data());
        ::_exit(127);
    }
    Process started(pid);
    started.output_ = std::move(output);
    return started;
}

Process::~Process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
}

void Process::signal(int number) const { must(::kill(pid_, number), "kill"); }

void Process::kill() {
    signal(SIGKILL);
    wait();
}

void Process::stop() const {
    signal(SIGSTOP);
    wait_until([&] { return state_of(pid_) == 'T'; }, "a stopped process");
}

int Process::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) == -1 && errno == EINTR) {
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Process::read_line() {
    std::string line;
    for (char c = 0;;) {
        const ssize_t got = ::read(output_.get(), &c, 1);
        if (got == -1 && errno == EINTR) continue;
        if (got != 1 || c == '\n') return line;
        line += c;
    }
}

std::vector<std::string> Process::read_lines() {
    std::vector<std::string> lines;
    for (std::string line; !(line = read_line()).empty();) lines.push_back(line);
    return lines;
}

char Process::state_of(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string line;
    std::getline(file, line);
    const auto name_end = line.rfind(')');  // the name in brackets may hold anything
    return name_end == std::string::npos || name_end + 2 >= line.size() ? '?' : line[name_end + 2];
}

Flare::Flare() {
    int ends[2];
    must(::pipe(ends), "pipe");  // not O_CLOEXEC: an executed child has to inherit it
    seen_ = Fd(ends[0]);
    raised_ = Fd(ends[1]);
}

void Flare::raise() const { must(::write(raised_.get(), "!", 1), "write"); }

void Flare::wait() const {
    wait_until(
        [&] {
            pollfd watched{.fd = seen_.get(), .events = POLLIN, .revents = 0};
            return ::poll(&watched, 1, 0) == 1;
        },
        "a child's word");
    char word = 0;
    must(::read(seen_.get(), &word, 1), "read");
}

}  // namespace ipclab::test
