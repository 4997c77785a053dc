// What only System V memory promises: segments that stay, one for each message, and limits that are
// told. All of it in an IPC namespace of its own, where that is permitted.
#include "mechanisms/shared_memory/sysv_segments.hpp"
#include "mechanisms/shared_memory/sysv_shm.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <sched.h>

namespace ipclab::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

void say(auto& endpoint, std::size_t bytes = 8) {
    endpoint.loan(bytes)[0] = std::byte{7};
    endpoint.publish(bytes);
}

/// What a refusal by a limit says, in a process whose IPC namespace has that limit set to `value`.
std::string told_of_a_limit(const std::string& file, int value,
                            const std::function<void()>& action) {
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC), "pipe2");
    const Fd in(ends[0]);
    const Fd out(ends[1]);
    Process child = Process::forked([&] {
        std::string told = "nothing was refused";
        if (::unshare(CLONE_NEWIPC) == -1 || !(std::ofstream(file) << value).flush()) {
            told = "not permitted";
        } else {
            try {
                action();
            } catch (const LimitReached& limit) {
                told = limit.what();
            }
        }
        must(::write(out.get(), told.data(), told.size()), "write");
    });
    child.wait();
    std::array<char, 512> told{};
    const auto got = must(::read(in.get(), told.data(), told.size()), "read");
    return {told.data(), static_cast<std::size_t>(got)};
}

TEST(SysvShm, OutlivesEveryProcessThatHadItAttached) {
    SysvShm mechanism = SysvShm::create({});
    Process speaker = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::initiator});
        say(endpoint);
    });
    EXPECT_EQ(speaker.wait(), 0);
    const int segment = must(::shmget(key_of_file(mechanism.address().name), 0, 0), "shmget");
    shmid_ds status{};
    must(::shmctl(segment, IPC_STAT, &status), "shmctl");
    EXPECT_EQ(status.shm_nattch, 0U) << "nobody has it";
    auto endpoint = mechanism.attach({Side::responder});
    EXPECT_EQ(endpoint.take()[0], std::byte{7}) << "and what was written is there";
}

TEST(SysvShm, NamesTheLimitOfASegment) {
    const std::string told = told_of_a_limit("/proc/sys/kernel/shmmax", 65536, [] {
        Needs large;
        large.message_bytes_max = std::size_t{1} << 20;
        SysvShm::create(large);
    });
    if (told == "not permitted") GTEST_SKIP() << "no IPC namespace of one's own: " << told;
    EXPECT_THAT(told, HasSubstr("/proc/sys/kernel/shmmax is 65536"));
    EXPECT_THAT(told, HasSubstr("sysctl kernel.shmmax="));
}

TEST(SysvSegments, EachMessageHasASegmentUntilItIsTaken) {
    const auto before = system_v_ids().size();
    {
        SysvSegments mechanism = SysvSegments::create({});
        auto initiator = mechanism.attach({Side::initiator});
        auto responder = mechanism.attach({Side::responder});
        const auto with_queue = system_v_ids().size();
        for (int i = 0; i < 3; ++i) say(initiator);
        if (with_queue > 0) {
            EXPECT_THAT(system_v_ids(), SizeIs(with_queue + 3));
        }
        EXPECT_EQ(responder.take()[0], std::byte{7});
        responder.release();
        if (with_queue > 0) {
            EXPECT_THAT(system_v_ids(), SizeIs(with_queue + 2));
        }
    }
    EXPECT_THAT(system_v_ids(), SizeIs(before)) << "what nobody took is destroyed in the end";
    EXPECT_THAT(objects_of(::getpid()), IsEmpty());
}

TEST(SysvSegments, NamesTheLimitOfSegments) {
    const std::string told = told_of_a_limit("/proc/sys/kernel/shmmni", 2, [] {
        Needs needs;
        needs.message_bytes_max = 4096;
        needs.capacity_bytes = 8192;
        SysvSegments mechanism = SysvSegments::create(needs);
        auto initiator = mechanism.attach({Side::initiator});
        for (int i = 0; i < 3; ++i) say(initiator);
    });
    if (told == "not permitted") GTEST_SKIP() << "no IPC namespace of one's own: " << told;
    EXPECT_THAT(told, HasSubstr("/proc/sys/kernel/shmmni is 2; raise it with"));
}

/// A peer may name any number: what is not a message's segment is neither read nor destroyed.
TEST(SysvSegments, RefusesASegmentThatIsNoMessage) {
    const key_t key = 0x1bc1ab;
    const int keyed = must(::shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600), "shmget");
    const int too_small = must(::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), "shmget");
    SysvSegments mechanism = SysvSegments::create({});
    auto responder = mechanism.attach({Side::responder});
    const int queue = must(::msgget(key_of_file(mechanism.address().name), 0), "msgget");
    struct {
        long receiver;
        std::int64_t segment;
        std::uint64_t bytes;
    } notes[] = {{2, keyed, 8}, {2, too_small, 1 << 20}, {2, too_small, ~0ULL}};
    for (const auto& note : notes) {
        must(::msgsnd(queue, &note, 16, 0), "msgsnd");
        EXPECT_THROW(responder.take(), Refused);
    }
    EXPECT_NE(::shmctl(keyed, IPC_RMID, nullptr), -1) << "it was destroyed";
    EXPECT_NE(::shmctl(too_small, IPC_RMID, nullptr), -1) << "it was destroyed";
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    ipclab::test::withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
