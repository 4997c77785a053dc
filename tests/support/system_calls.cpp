#include "tests/support/system_calls.hpp"

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"
#include "tests/support/process.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <new>
#include <stdexcept>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace ipclab::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* as_counted = "--counted";
/// LeakSanitizer, where it is built in, traces the process at its end, and so cannot be traced.
constexpr const char* no_leak_check = "ASAN_OPTIONS=detect_leaks=0";
constexpr std::size_t size = 64;

/// How the two processes keep in step: in memory, and asleep in between.
struct Progress {
    std::atomic<int> sent{0};
    std::atomic<int> received{0};

    static void wait_for(const std::atomic<int>& count, int value) {
        while (count.load() < value) std::this_thread::sleep_for(20us);
    }
};

Progress& shared_progress() {
    void* memory = must(::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0),
                        "mmap");
    return *new (memory) Progress;
}

/// The third column of /proc/PID/stat, from a file that stays open.
bool sleeps(const Fd& stat) {
    std::array<char, 256> text{};
    const auto got = must(::pread(stat.get(), text.data(), text.size(), 0), "pread");
    const std::string_view line(text.data(), static_cast<std::size_t>(got));
    const auto name_end = line.rfind(") ");
    return name_end != std::string_view::npos && line[name_end + 2] == 'S';
}

void receive_all(AnyEndpoint& endpoint, Progress& progress, bool awake, int messages) {
    std::array<std::byte, size> buffer{};
    for (int i = 1; i <= messages; ++i) {
        if (awake) Progress::wait_for(progress.sent, i);
        endpoint.get(buffer, Manner::as_it_is, [](View) {});
        progress.received = i;
    }
}

void send_all(AnyEndpoint& endpoint, Progress& progress, pid_t receiver, bool awake, int messages) {
    const Fd stat(must(::open(fmt::format("/proc/{}/stat", receiver).c_str(), O_RDONLY), "open"));
    std::array<std::byte, size> buffer{};
    for (int i = 1; i <= messages; ++i) {
        // Whoever has received all there is, and sleeps, sleeps waiting for the next.
        while (!awake && !sleeps(stat)) std::this_thread::sleep_for(20us);
        endpoint.put(buffer, Manner::as_it_is, [](Bytes) {});
        progress.sent = i;
        Progress::wait_for(progress.received, i);
    }
}

/// Prints the process numbers of sender and receiver, in this order.
int converse(const Entry& entry, bool awake, int messages) {
    Progress& progress = shared_progress();
    const auto mechanism = entry.create({});
    Process receiver = Process::forked([&] {
        const auto endpoint = mechanism->attach({Side::responder});
        receive_all(*endpoint, progress, awake, messages);
    });
    fmt::print("{}\n{}\n", ::getpid(), receiver.pid());
    std::fflush(stdout);
    const auto endpoint = mechanism->attach({Side::initiator});
    send_all(*endpoint, progress, receiver.pid(), awake, messages);
    return receiver.wait();
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
        return text.find(word) != std::string_view::npos;
    });
}

/// Whether strace's line tells of a call that belongs to a message, such as
/// `write(5<pipe:[77]>, "..", 72) = 72`.
bool belongs_to_a_message(std::string_view line) {
    const auto name_end = line.find('(');
    const auto result = line.rfind(" = ");
    if (name_end == std::string_view::npos || result == std::string_view::npos)
        return false;  // a signal, or the end
    return !contains_any(line.substr(0, name_end),
                         {"clock_nanosleep", "sched_yield", "rt_sigreturn"}) &&
           !contains_any(line.substr(result), {"EINTR", "EAGAIN", "ETIMEDOUT", "ERESTART"}) &&
           !contains_any(line, {".presence>", "/stat>"});
}

class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string path = (fs::temp_directory_path() / "ipclab-test-XXXXXX").string();
        if (::mkdtemp(path.data()) == nullptr) throw SystemError("mkdtemp", errno);
        path_ = path;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

}  // namespace

CallCounts count_system_calls(const Entry& entry, bool awake, int messages) {
    const TemporaryFolder folder;
    const std::string log = (folder.path() / "calls").string();
    Process traced =
        Process::executed({"strace", "-E", no_leak_check, "-f", "-ff", "-y", "-qq", "-o", log,
                           own_executable(), as_counted, std::string(entry.facts.name),
                           awake ? "awake" : "asleep", std::to_string(messages)});
    const std::string sender = traced.read_line();
    const std::string receiver = traced.read_line();
    if (const int status = traced.wait(); status != 0)
        throw std::runtime_error(fmt::format("strace ended with status {}", status));

    CallCounts counted{};
    const auto count = [&](const std::string& pid) {
        std::ifstream lines(log + "." + pid);
        std::vector<std::string> calls;
        for (std::string line; std::getline(lines, line);)
            if (belongs_to_a_message(line)) calls.push_back(line);
        for (std::size_t i = calls.size() - std::min<std::size_t>(calls.size(), 20);
             i < calls.size(); ++i)
            counted.listing += fmt::format("{} {}\n", pid, calls[i]);
        return static_cast<int>(calls.size());
    };
    counted.by_sender = count(sender);
    counted.by_receiver = count(receiver);
    return counted;
}

std::optional<std::string> why_not_countable() {
    static const std::optional<std::string> reason = []() -> std::optional<std::string> {
        const int status =
            Process::executed({"strace", "-f", "-qq", "-o", "/dev/null", "true"}).wait();
        if (status == 127) return "strace is not installed";
        if (status != 0) return "strace may not trace here (ptrace is not permitted)";
        return std::nullopt;
    }();
    return reason;
}

std::optional<int> run_as_counted(const std::vector<std::string>& arguments) {
    if (arguments.size() != 5 || arguments[1] != as_counted) return std::nullopt;
    int status = 1;
    try {
        status = converse(entry_of(arguments[2]), arguments[3] == "awake", std::stoi(arguments[4]));
    } catch (const std::exception& problem) {
        fmt::print(stderr, "while being counted: {}\n", problem.what());
    }
    return status;
}

}  // namespace ipclab::test
