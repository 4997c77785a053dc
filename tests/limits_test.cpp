// The limits of the system, lowered one by one in a process and an IPC namespace of its own: every
// mechanism of the catalogue either does without what is limited, or says which limit it was.
#include "tests/support/leftovers.hpp"
#include "tests/support/peers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <linux/capability.h>
#include <sched.h>
#include <sstream>
#include <sys/resource.h>
#include <sys/syscall.h>

namespace ipclab::test {
namespace {

using testing::Contains;
using testing::IsEmpty;

/// Root without capabilities is a user whose number is 0, and no more.
void drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2]{};
    must(::syscall(SYS_capset, &header, none), "capset");
}

/// Writes down what becomes of `action`, in one line.
void tell_fate(const Fd& telling, const std::function<void()>& action) {
    std::string fate = "works\n";
    try {
        action();
    } catch (const LimitReached& limit) {
        fate = fmt::format("LimitReached: {}\n", limit.what());
    } catch (const Unsupported& reason) {
        fate = fmt::format("Unsupported: {}\n", reason.what());
    } catch (const std::exception& problem) {
        fate = fmt::format("another error: {}\n", problem.what());
    }
    must(::write(telling.get(), fate.data(), fate.size()), "write");
}

/// Says a word each way.
void converse(const Entry& entry, const Fd& telling) {
    Needs needs;
    needs.timeout = std::chrono::seconds(1);
    std::array<std::byte, 8> scratch{};
    const auto mechanism = entry.create(needs);
    Process peer = Process::forked([&] {
        std::unique_ptr<AnyEndpoint> endpoint;
        tell_fate(telling, [&] {
            endpoint = mechanism->attach({Side::initiator});
            endpoint->put(scratch, Manner::as_it_is, [](Bytes) {});
        });
        if (endpoint) endpoint->get(scratch, Manner::as_it_is, [](View) {});
    });
    const auto endpoint = mechanism->attach({Side::responder});
    endpoint->get(scratch, Manner::as_it_is, [](View) {});
    endpoint->put(scratch, Manner::as_it_is, [](Bytes) {});
    if (peer.wait() != 0) throw std::runtime_error("the peer failed");
}

/// What becomes of a mechanism in a process of its own, in one line: "works", or the first thing
/// that went wrong, on either side: "LimitReached: …", "Unsupported: …", "another error: …".
std::string fate_of(const Entry& entry, const std::function<void()>& prepare) {
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC), "pipe2");
    Fd told(ends[0]);
    Fd telling(ends[1]);
    Process process = Process::forked([&] {
        tell_fate(telling, [&] {
            prepare();
            converse(entry, telling);
        });
    });
    const pid_t pid = process.pid();
    telling.reset();
    std::string text;
    char words[1000];
    for (ssize_t n = 0; (n = ::read(told.get(), words, sizeof words)) > 0;)
        text.append(words, static_cast<std::size_t>(n));
    process.wait();
    EXPECT_THAT(objects_of(pid), IsEmpty()) << entry.facts.name;
    std::istringstream lines(text);
    std::string fate;
    while (std::getline(lines, fate))
        if (fate != "works") return fate;
    return "works";
}

struct LoweredLimit {
    std::string_view name;     ///< as the message has it
    std::string_view setting;  ///< of a file of /proc/sys: what is written there; else of an rlimit
    std::vector<std::string_view> bites;  ///< these at least
};

void PrintTo(const LoweredLimit& limit,
             std::ostream* out) {  // NOLINT(readability-identifier-naming)
    *out << limit.name;
}

const LoweredLimit lowered_limits[] = {
    {"/proc/sys/kernel/msgmni", "0", {"sysv-mq"}},
    {"/proc/sys/kernel/shmmni", "0", {"sysv-shm", "sysv-segments"}},
    {"/proc/sys/kernel/shmmax", "1", {"sysv-shm", "sysv-segments"}},
    {"/proc/sys/kernel/shmall", "0", {"sysv-shm", "sysv-segments"}},
    {"/proc/sys/kernel/sem", "32000 1024000000 500 0", {"sysv-shm", "posix-shm/sysv-semaphore"}},
    {"/proc/sys/kernel/sem", "32000 1 500 32000", {"sysv-shm", "posix-shm/sysv-semaphore"}},
    {"/proc/sys/fs/mqueue/queues_max", "0", {"posix-mq", "mailbox-by-mq"}},
    {"RLIMIT_MSGQUEUE", "0", {"posix-mq", "mailbox-by-mq"}},
    {"RLIMIT_SIGPENDING", "0", {}},
};

class Lowered : public testing::TestWithParam<LoweredLimit> {
  protected:
    /// In a child: an IPC namespace of its own, one limit lowered there, and no capability to
    /// exceed it.
    static void lower(const LoweredLimit& limit) {
        must(::unshare(CLONE_NEWIPC), "unshare");
        if (limit.name.starts_with("/")) {
            std::ofstream file{std::string(limit.name)};
            if (!(file << limit.setting << std::flush))
                throw std::runtime_error(fmt::format("{} cannot be set", limit.name));
        } else {
            const rlimit none{0, 0};
            must(::setrlimit(limit.name == "RLIMIT_MSGQUEUE" ? RLIMIT_MSGQUEUE : RLIMIT_SIGPENDING,
                             &none),
                 "setrlimit");
        }
        drop_capabilities();
    }
    void SetUp() override {
        const int status = Process::forked([] { lower(GetParam()); }).wait();
        if (status != 0) GTEST_SKIP() << "this process may not lower " << GetParam().name;
    }
};
INSTANTIATE_TEST_SUITE_P(Limits, Lowered, testing::ValuesIn(lowered_limits),
                         [](const testing::TestParamInfo<LoweredLimit>& limit) {
                             std::string name;
                             for (const char c : limit.param.name)
                                 name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                             return fmt::format("{}_{}", limit.index, name);
                         });

TEST_P(Lowered, IsNamedByWhomItStops) {
    const LoweredLimit& limit = GetParam();
    std::vector<std::string_view> stopped;
    for (const Entry& entry : catalog()) {
        const std::string fate = fate_of(entry, [&] { lower(limit); });
        if (fate == "works" || fate.starts_with("Unsupported")) continue;
        EXPECT_THAT(fate, testing::StartsWith("LimitReached: ")) << entry.facts.name;
        EXPECT_THAT(fate, testing::HasSubstr(fmt::format("{}", limit.name))) << entry.facts.name;
        EXPECT_THAT(fate, testing::HasSubstr("raise it with ")) << entry.facts.name;
        stopped.push_back(entry.facts.name);
    }
    for (const std::string_view name : limit.bites) EXPECT_THAT(stopped, Contains(name));
}

class Everyone : public testing::TestWithParam<Entry> {};
INSTANTIATE_TEST_SUITE_P(Catalog, Everyone, testing::ValuesIn(catalog()), test_name);

TEST_P(Everyone, NamesTheLimitOfDescriptors) {
    // So few that some step on the way cannot have them: at each number, it works or says why.
    bool stopped = false;
    for (int more = 0; more <= 20; ++more) {
        const std::string fate = fate_of(GetParam(), [&] {
            const rlimit few{64, 64};
            must(::setrlimit(RLIMIT_NOFILE, &few), "setrlimit");
            std::vector<int> taken;
            for (int fd = 0; (fd = ::open("/", O_PATH | O_CLOEXEC)) != -1;) taken.push_back(fd);
            for (int i = 0; i < more; ++i) ::close(taken.at(static_cast<std::size_t>(i)));
        });
        if (fate == "works" || fate.starts_with("Unsupported")) break;
        stopped = true;
        EXPECT_THAT(fate, testing::HasSubstr("RLIMIT_NOFILE")) << "with " << more << " descriptors";
    }
    if (!stopped) GTEST_SKIP() << GetParam().facts.name << " needs no descriptor";
}

TEST_P(Everyone, WorksForRootWithoutCapabilities) {
    const std::string fate = fate_of(GetParam(), [] { drop_capabilities(); });
    if (fate.starts_with("Unsupported")) GTEST_SKIP() << fate;
    EXPECT_EQ(fate, "works");
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    ipclab::test::withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
