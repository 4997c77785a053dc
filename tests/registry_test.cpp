// What a killed process leaves behind is found and removed; what the living own is left alone.
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/named_object.hpp"
#include "tests/support/any_mechanism.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sched.h>
#include <sys/stat.h>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::AnyOf;
using testing::AnyOfArray;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

/// The folder of the registry bears the user's number. So that no other test sweeps what these
/// leave, they work as users of their own, where that is permitted.
class Registry : public testing::TestWithParam<Entry> {
  protected:
    void SetUp() override {
        if (const auto why = why_impossible(GetParam())) GTEST_SKIP() << *why;
        static uid_t next_user = 2'000'000'000U + static_cast<uid_t>(::getpid()) * 16U;
        const uid_t user = next_user++;
        alone_ = Process::forked([&] { ::_exit(::setuid(user) == 0 ? 0 : 1); }).wait() == 0;
        uid_ = alone_ ? user : ::geteuid();
    }
    void TearDown() override {
        if (IsSkipped()) return;
        sweep();
        EXPECT_FALSE(alone_ && std::filesystem::exists(folder()))
            << "the last one out removes the folder";
    }

    [[nodiscard]] bool alone() const { return alone_; }
    [[nodiscard]] uid_t uid() const { return uid_; }
    [[nodiscard]] std::string folder() const { return fmt::format("/tmp/ipclab-{}", uid_); }

    /// Starts this executable anew in one of the parts below, as the test's user.
    [[nodiscard]] Process play(const std::string& part, const std::string& argument = "-") const {
        return Process::executed(
            {own_executable(), "--part", part, std::to_string(uid_), argument});
    }
    /// Another process that holds the mechanism's objects.
    [[nodiscard]] Process holder(std::string_view mechanism) const {
        Process process = play("hold", std::string(mechanism));
        EXPECT_THAT(process.read_line(), testing::StartsWith("holding"));
        return process;
    }
    /// What sweep_leftovers() says in another process.
    std::vector<std::string> sweep() const {
        Process sweeper = play("sweep");
        std::vector<std::string> lines = sweeper.read_lines();
        EXPECT_EQ(sweeper.wait(), 0);
        return lines;
    }
    /// Whoever is not alone may find that another has swept already.
    void expect_swept(const std::set<std::string>& objects) const {
        const auto said = sweep();
        if (alone_) {
            EXPECT_THAT(said, UnorderedElementsAreArray(objects));
        }
    }

  private:
    uid_t uid_ = 0;
    bool alone_ = false;
};
INSTANTIATE_TEST_SUITE_P(Catalog, Registry, testing::ValuesIn(catalog()), test_name);

TEST_P(Registry, SweepsWhatAKilledCreatorLeftAndSaysSo) {
    Process killed = holder(GetParam().facts.name);
    const pid_t pid = killed.pid();
    const auto left = objects_of(pid, uid());
    EXPECT_EQ(left.empty(), GetParam().facts.lifetime == Lifetime::process);
    EXPECT_TRUE(registry_of(pid, uid()).has_value() || left.empty());
    killed.kill();
    EXPECT_EQ(objects_of(pid, uid()), left) << "the lifetime is not what the facts tell";

    expect_swept(left);
    EXPECT_THAT(objects_of(pid, uid()), IsEmpty());
    EXPECT_FALSE(registry_of(pid, uid()).has_value());
    expect_swept({});  // there is nothing left to remove
}

TEST_P(Registry, LeavesTheLivingAlone) {
    const Process living = holder(GetParam().facts.name);
    const auto belongings = objects_of(living.pid(), uid());
    Process killed = holder(GetParam().facts.name);
    const pid_t killed_pid = killed.pid();
    const auto left = objects_of(killed_pid, uid());
    killed.kill();
    const auto said = sweep();
    EXPECT_THAT(said, Each(AnyOf(HasSubstr(fmt::format("-{}-", killed_pid)), AnyOfArray(left))));
    EXPECT_THAT(objects_of(killed_pid, uid()), IsEmpty());
    EXPECT_EQ(objects_of(living.pid(), uid()), belongings);
}

TEST_P(Registry, AnOrderlyEndLeavesNothingToSweep) {
    Process orderly = play("create-and-end", std::string(GetParam().facts.name));
    const pid_t pid = orderly.pid();
    EXPECT_EQ(orderly.wait(), 0);
    EXPECT_THAT(objects_of(pid, uid()), IsEmpty());
    EXPECT_FALSE(registry_of(pid, uid()).has_value());
    EXPECT_FALSE(alone() && std::filesystem::exists(folder()));
}

/// Neither the parent's life nor its orderly end hides what a child left.
TEST_P(Registry, SweepsWhatAKilledChildOfTheLivingLeft) {
    Process parent = play("hold-and-fork-a-holder", std::string(GetParam().facts.name));
    EXPECT_THAT(parent.read_line(), testing::StartsWith("holding"));
    const auto belongings = objects_of(parent.pid(), uid());
    const auto child = static_cast<pid_t>(std::stol(parent.read_line()));
    const auto left = objects_of(child, uid());
    EXPECT_EQ(left.empty(), GetParam().facts.lifetime == Lifetime::process);
    ::kill(child, SIGKILL);
    parent.read_line();  // has reaped it
    expect_swept(left);
    EXPECT_THAT(objects_of(child, uid()), IsEmpty());
    EXPECT_EQ(objects_of(parent.pid(), uid()), belongings);
}

class RegistryOfAll : public Registry {};
INSTANTIATE_TEST_SUITE_P(Catalog, RegistryOfAll, testing::Values(catalog().front()),
                         [](const auto&) { return "whole"; });

TEST_P(RegistryOfAll, SweepsWhateverTheMomentOfTheKill) {
    std::mt19937_64 random(1);
    std::size_t leftovers = 0;
    for (int moment = 0; moment < 20; ++moment) {
        Process maker = play("create-for-ever");
        EXPECT_EQ(maker.read_line(), "creating");
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
        const pid_t pid = maker.pid();
        maker.kill();
        const auto left = objects_of(pid, uid());
        leftovers += left.size();
        expect_swept(left);
        EXPECT_THAT(objects_of(pid, uid()), IsEmpty());
        EXPECT_FALSE(registry_of(pid, uid()).has_value());
    }
    EXPECT_GT(leftovers, 0U) << "no kill hit a moment in which there was anything";
}

/// Two that start to use and sweep the same empty folder get into each other's way all the time.
TEST_P(RegistryOfAll, ManyMayStartAndSweepAtOnce) {
    std::vector<Process> crowd;
    crowd.reserve(8);
    for (int i = 0; i < 8; ++i) crowd.push_back(play("create-and-sweep", std::to_string(20)));
    for (Process& each : crowd) {
        EXPECT_THAT(each.read_lines(), IsEmpty()) << "one has swept what another was using";
        EXPECT_EQ(each.wait(), 0);
    }
}

/// A container, say, that shares /tmp: its queues are out of reach, and not forgotten.
TEST_P(RegistryOfAll, ForgetsNothingThatLivesInAnotherIpcNamespace) {
    if (!alone()) GTEST_SKIP() << "needs an IPC namespace of its own, and so root";
    Process parent = play("elsewhere:hold-and-fork-a-holder", "posix-mq");
    ASSERT_THAT(parent.read_line(), testing::StartsWith("holding"));
    const auto child = static_cast<pid_t>(std::stol(parent.read_line()));
    ::kill(child, SIGKILL);
    parent.read_line();  // has reaped it
    sweep();
    EXPECT_TRUE(registry_of(child, uid()).has_value()) << "somebody who lives there may sweep it";
    parent.kill();
    sweep();
    EXPECT_FALSE(registry_of(child, uid()).has_value()) << "nobody lives there any more";
}

TEST_P(RegistryOfAll, RefusesAFolderThatOthersCanWriteTo) {
    if (!alone()) GTEST_SKIP() << "needs a folder of its own, and so root";
    ASSERT_EQ(::mkdir(folder().c_str(), 0700), 0);
    ASSERT_EQ(::chown(folder().c_str(), uid(), static_cast<gid_t>(-1)), 0);
    ASSERT_EQ(::chmod(folder().c_str(), 0777), 0);
    EXPECT_NE(play("hold", "posix-shm/semaphore").wait(), 0);
    ASSERT_EQ(::rmdir(folder().c_str()), 0) << "nothing may have been made in it";
}

TEST_P(RegistryOfAll, RefusesAFolderOfSomebodyElse) {
    if (!alone()) GTEST_SKIP() << "needs a folder of its own, and so root";
    ASSERT_EQ(::mkdir(folder().c_str(), 0700), 0);
    EXPECT_NE(play("hold", "posix-shm/semaphore").wait(), 0);
    ASSERT_EQ(::rmdir(folder().c_str()), 0);
    ASSERT_EQ(::symlink("/tmp", folder().c_str()), 0);
    EXPECT_NE(play("hold", "posix-shm/semaphore").wait(), 0);
    ASSERT_EQ(::unlink(folder().c_str()), 0);
}

// ---------------------------------------------------------------------------------------------
// The parts that other processes play.

int play_part(const std::string& part, const std::string& argument) {
    if (part == "hold") {
        const auto mechanism = entry_of(argument).create({});
        fmt::print("holding {}\n", mechanism->address().name);
        std::fflush(stdout);
        for (;;) ::pause();
    }
    if (part == "hold-and-fork-a-holder") {
        const auto mechanism = entry_of(argument).create({});
        fmt::print("holding {}\n", mechanism->address().name);
        Flare held;
        Process child = Process::forked([&] {
            const auto own = entry_of(argument).create({});
            held.raise();
            for (;;) ::pause();
        });
        held.wait();
        fmt::print("{}\n", child.pid());
        std::fflush(stdout);
        fmt::print("ended with {}\n", child.wait());
        std::fflush(stdout);
        for (;;) ::pause();
    }
    if (part == "create-and-end") entry_of(argument).create({});
    if (part == "create-for-ever") {
        fmt::print("creating\n");
        std::fflush(stdout);
        for (;;)
            for (const Entry& entry : catalog())
                (void)why_impossible(entry);  // makes one, if it can
    }
    if (part == "create-and-sweep")
        for (int i = 0; i < std::stoi(argument); ++i) {
            const auto mechanism = entry_of("unix-stream").create({});
            for (const std::string& line : sweep_leftovers()) fmt::print("{}\n", line);
            const auto one = mechanism->attach({Side::initiator});
        }
    if (part == "sweep")
        for (const std::string& line : sweep_leftovers()) fmt::print("{}\n", line);
    return 0;
}

std::optional<int> play_part(const std::vector<std::string>& arguments) {
    if (arguments.size() != 5 || arguments[1] != "--part") return std::nullopt;
    try {
        std::string part = arguments[2];
        constexpr std::string_view elsewhere = "elsewhere:";
        if (part.starts_with(elsewhere)) {
            must(::unshare(CLONE_NEWIPC), "unshare");
            part.erase(0, elsewhere.size());
        }
        const auto uid = static_cast<uid_t>(std::stoul(arguments[3]));
        if (uid != ::geteuid()) become(uid);
        return play_part(part, arguments[4]);
    } catch (const std::exception& problem) {
        fmt::print(stderr, "{}: {}\n", arguments[2], problem.what());
        return 1;
    }
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    using namespace ipclab::test;
    if (const auto status = play_part({argv, argv + argc})) return *status;
    testing::InitGoogleMock(&argc, argv);
    withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
