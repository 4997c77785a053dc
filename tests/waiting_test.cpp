// The semaphores that hand shared memory over: what all kinds of them do, and what becomes of the
// condition variable when a process is killed in it.
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/condvar_semaphores.hpp"
#include "mechanisms/waiting/eventfd_semaphores.hpp"
#include "mechanisms/waiting/flag_semaphores.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"
#include "mechanisms/waiting/posix_semaphores.hpp"
#include "mechanisms/waiting/sysv_semaphores.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gnu/libc-version.h>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;

constexpr int room_is_vacant = vacant(Side::initiator);
constexpr int room_is_filled = filled(Side::initiator);

/// A set in memory that forked children share.
template <class Set>
class Shared {
  public:
    Shared()
        : state_(new (must(::mmap(nullptr, sizeof(State), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0),
                           "mmap")) State{}),
          objects_(Set::create(*state_)) {}
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() { ::munmap(state_, sizeof(State)); }

    Set open() { return Set(*state_, objects_); }
    /// Opens it, waits for `index` as an endpoint does, and takes it.
    void wait(int index, std::chrono::milliseconds timeout, const Presence* peer = nullptr) {
        Set set = open();
        Wait patience("wait", timeout, peer);
        set.wait(index, [&] { patience.glance(); });
    }
    void post(int index) { open().post(index); }
    auto& state() { return *state_; }

  private:
    using State = typename Set::State;
    State* state_;
    typename Set::Objects objects_;
};

template <class Set>
class Semaphores : public testing::Test {
  protected:
    void TearDown() override { EXPECT_THAT(objects_of(::getpid()), testing::IsEmpty()); }

    /// A child that waits, once it does.
    Process waiting_child(Shared<Set>& set, int index) {
        Process child = Process::forked([&] { set.wait(index, 10s); });
        if (Set::kind == Waiting::spins || Set::kind == Waiting::spins_yielding)
            std::this_thread::sleep_for(20ms);
        else
            wait_until([&] { return Process::state_of(child.pid()) == 'S'; }, "a sleeping child");
        return child;
    }
};
using AllSets = testing::Types<PosixSemaphores, CondvarSemaphores, SpinThenFutexSemaphores,
                               PureFutexSemaphores, FlagSemaphores<Spin>, FlagSemaphores<SpinYield>,
                               FlagSemaphores<SpinThenFutex>, SysvSemaphores, EventfdSemaphores>;
struct NameOfSet {
    template <class Set>
    static std::string GetName(int i) {  // NOLINT(readability-identifier-naming)
        return fmt::format("{}_{}", Set::name, i);
    }
};
TYPED_TEST_SUITE(Semaphores, AllSets, NameOfSet);

TYPED_TEST(Semaphores, AtFirstTheRoomsAreVacant) {
    Shared<TypeParam> set;
    for (const Side side : {Side::initiator, Side::responder}) {
        EXPECT_NO_THROW(set.wait(vacant(side), 1s));
        EXPECT_THROW(set.wait(filled(side), 10ms), TimedOut);
    }
}

TYPED_TEST(Semaphores, APostBeforeTheWaitIsNotLost) {
    Shared<TypeParam> set;
    EXPECT_EQ(Process::forked([&] { set.post(room_is_filled); }).wait(), 0);
    EXPECT_NO_THROW(set.wait(room_is_filled, 1s)) << "and it outlives who posted";
    EXPECT_THROW(set.wait(room_is_filled, 10ms), TimedOut) << "it lets one through";
}

TYPED_TEST(Semaphores, AWaitBeforeThePostIsWoken) {
    Shared<TypeParam> set;
    Process child = this->waiting_child(set, room_is_filled);
    set.post(room_is_filled);
    EXPECT_EQ(child.wait(), 0);
}

TYPED_TEST(Semaphores, WakesWhoWaitsForItAndNobodyElse) {
    Shared<TypeParam> set;
    Process one = this->waiting_child(set, filled(Side::initiator));
    Process other = this->waiting_child(set, filled(Side::responder));
    set.post(filled(Side::responder));
    EXPECT_EQ(other.wait(), 0);
    EXPECT_NE(Process::state_of(one.pid()), 'Z');
    set.post(filled(Side::initiator));
    EXPECT_EQ(one.wait(), 0);
}

TYPED_TEST(Semaphores, LosesNothingInManyTurns) {
    // On a CPU for both, a turn of who never yields takes a time slice.
    constexpr int turns = TypeParam::kind == Waiting::spins ? 200 : 2000;
    Shared<TypeParam> set;
    Process child = Process::forked([&] {
        for (int i = 0; i < turns; ++i) {
            set.wait(room_is_filled, 10s);
            set.post(room_is_vacant);
        }
    });
    for (int i = 0; i < turns; ++i) {
        set.wait(room_is_vacant, 10s);
        set.post(room_is_filled);
    }
    EXPECT_EQ(child.wait(), 0);
}

TYPED_TEST(Semaphores, GivesUpAtTheDeadline) {
    Shared<TypeParam> set;
    const auto start = Clock::now();
    EXPECT_THROW(set.wait(room_is_filled, 200ms), TimedOut);
    EXPECT_GE(Clock::now() - start, 200ms);
    EXPECT_LT(Clock::now() - start, 1s);
}

TYPED_TEST(Semaphores, IsToldThatThePeerWasKilledWhileWeWait) {
    Shared<TypeParam> set;
    const std::string conversation = fresh_name("waiting-test");
    const NamedObject presence = Presence::create(conversation);
    const Presence mine(conversation, Side::initiator);
    Process peer = Process::forked([&] {
        const Presence theirs(conversation, Side::responder);
        for (;;) ::pause();
    });
    wait_until([&] { return mine.peer() == PeerState::here; }, "the peer");
    std::thread killer([&] {
        std::this_thread::sleep_for(100ms);
        peer.kill();
    });
    const auto start = Clock::now();
    EXPECT_THROW(set.wait(room_is_filled, 10s, &mine), PeerGone);
    EXPECT_LT(Clock::now() - start, 1s);
    killer.join();
}

TEST(SysvSemaphoresOfADeadCreator, AreNotWaitedForForEver) {
    std::optional<Shared<SysvSemaphores>> set(std::in_place);
    SysvSemaphores opened = set->open();
    set.reset();  // removes them
    Wait patience("wait", 200ms);
    EXPECT_THROW(opened.wait(room_is_filled, [&] { patience.glance(); }), TimedOut);
    EXPECT_NO_THROW(opened.post(room_is_filled));
}

// ---------------------------------------------------------------------------------------------
// The condition variable, as its lesson tells.

using Condvars = Shared<CondvarSemaphores>;

/// Watches over a process that may hang.
bool ends_within(const Process& process, std::chrono::milliseconds limit) {
    const auto start = Clock::now();
    while (Process::state_of(process.pid()) != 'Z') {
        if (Clock::now() - start > limit) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

TEST(Condvar, ARobustMutexTellsThatItsOwnerIsDead) {
    Condvars set;
    Process::forked([&] {
        ::pthread_mutex_lock(&set.state().monitors[room_is_filled].mutex);
        ::raise(SIGKILL);
    }).wait();
    try {
        set.post(room_is_filled);
        ADD_FAILURE() << "posted to what a dead process has locked";
    } catch (const PeerGone& gone) {
        EXPECT_EQ(gone.error(), EOWNERDEAD);
    }
    try {
        set.wait(room_is_filled, 1s);
        ADD_FAILURE() << "a dead channel has come back to life";
    } catch (const PeerGone& gone) {
        EXPECT_EQ(gone.error(), ENOTRECOVERABLE);
    }
}

TEST(Condvar, IsToldOfADeathInTheMutexWhileItWaits) {
    Condvars set;
    Process peer = Process::forked([&] {
        std::this_thread::sleep_for(50ms);
        ::pthread_mutex_lock(&set.state().monitors[room_is_filled].mutex);
        ::raise(SIGKILL);
    });
    EXPECT_THROW(set.wait(room_is_filled, 10s), PeerGone);
}

class CondvarOfGlibc236 : public testing::Test {
  protected:
    void SetUp() override {
        if (std::string_view(::gnu_get_libc_version()) != "2.36")
            GTEST_SKIP() << "the lesson tells what glibc 2.36 does, and this is "
                         << ::gnu_get_libc_version();
        Process killed = Process::forked([&] { set.wait(room_is_filled, 60s); });
        wait_until([&] { return Process::state_of(killed.pid()) == 'S'; }, "a sleeping waiter");
        killed.kill();
    }

    Process waiter() {
        Process process = Process::forked([&] { set.wait(room_is_filled, short_deadline); });
        wait_until([&] { return Process::state_of(process.pid()) == 'S'; }, "a sleeping waiter");
        return process;
    }
    Process signaller() {
        return Process::forked([&] { set.post(room_is_filled); });
    }
    static constexpr auto short_deadline = 300ms;
    static constexpr auto watchdog = 2s;
    Condvars set;
};

TEST_F(CondvarOfGlibc236, TheSurvivorOfAKilledWaiterSignalsOnceAndIsThenTold) {
    EXPECT_TRUE(ends_within(signaller(), watchdog));
    EXPECT_NO_THROW(set.wait(room_is_filled, 1s)) << "what was posted is there";
    // There is nobody who would make the room vacant once more.
    set.wait(room_is_vacant, 1s);
    EXPECT_THROW(set.wait(room_is_vacant, short_deadline), TimedOut);
}

TEST_F(CondvarOfGlibc236, TheSecondSignalAfterAKilledWaiterHangsWithAllWhoWait) {
    EXPECT_TRUE(ends_within(signaller(), watchdog));
    set.wait(room_is_filled, 1s);
    const Process next_waiter = waiter();
    {
        const Process second = signaller();
        EXPECT_FALSE(ends_within(second, watchdog)) << "the lesson is out of date";
        EXPECT_FALSE(ends_within(next_waiter, watchdog)) << "it cannot even keep its deadline";
    }
    set.state().monitors[room_is_filled].posted = 0;
    const Process after = waiter();
    EXPECT_FALSE(ends_within(after, watchdog)) << "nobody can wait here any more";
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    using namespace ipclab::test;
    testing::InitGoogleMock(&argc, argv);
    withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
