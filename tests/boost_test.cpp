// What becomes of the Boost mechanisms when a peer is killed inside them: their lessons tell it,
// and nothing in the library prevents it. Each survivor is a process that is given two seconds.
#include "mechanisms/message_queues/boost_mq.hpp"
#include "mechanisms/shared_memory/boost_shm.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <sstream>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
namespace boosts = boost::interprocess;

constexpr auto patience = 2s;
/// Much less than our patience: who keeps deadlines is done by then.
constexpr auto deadline = 500ms;

/// What became of a survivor.
enum class End { was_told, got_a_message_through, met_its_deadline, hung_asleep, spun };

void PrintTo(End end, std::ostream* out) {  // NOLINT(readability-identifier-naming)
    constexpr const char* words[] = {"was told that the peer is gone", "got a message through",
                                     "met its deadline", "hung asleep", "spun"};
    *out << words[static_cast<int>(end)];
}

/// The user and system time that a process has used, in clock ticks (fields 14 and 15).
long cpu_ticks_of(pid_t pid) {
    std::ifstream stat(fmt::format("/proc/{}/stat", pid));
    std::string line;
    std::getline(stat, line);
    std::istringstream fields(line.substr(line.rfind(") ") + 2));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    long user = 0;
    long system = 0;
    fields >> user >> system;
    return user + system;
}

/// Runs `action` in a process of its own, which is killed if it does not come to an end.
End end_of(const std::function<void()>& action) {
    Process survivor = Process::forked([&] {
        try {
            action();
        } catch (const PeerGone&) {
            ::_exit(static_cast<int>(End::was_told) + 10);
        } catch (const TimedOut&) {
            ::_exit(static_cast<int>(End::met_its_deadline) + 10);
        }
        ::_exit(static_cast<int>(End::got_a_message_through) + 10);
    });
    const auto start = Clock::now();
    while (Process::state_of(survivor.pid()) != 'Z') {
        if (Clock::now() - start > patience) {
            const long second = ::sysconf(_SC_CLK_TCK);
            return cpu_ticks_of(survivor.pid()) > second / 2 ? End::spun : End::hung_asleep;
        }
        std::this_thread::sleep_for(10ms);
    }
    const int status = survivor.wait();
    EXPECT_GE(status, 10) << "the survivor threw something else";
    return static_cast<End>(status - 10);
}

/// A process that does `action`, says so, and is killed where it then stands, with what `action`
/// returned still in its hands.
void kill_after(auto&& action) {
    Flare done;
    Process victim = Process::forked([&] {
        [[maybe_unused]] const auto held = action();
        done.raise();
        for (;;) ::pause();
    });
    done.wait();
    victim.kill();
}

/// A process that waits in `action`, and is killed as it sleeps there.
void kill_asleep_in(const std::function<void()>& action) {
    Flare about_to;
    Process victim = Process::forked([&] {
        about_to.raise();
        action();
    });
    about_to.wait();
    wait_until([&] { return Process::state_of(victim.pid()) == 'S'; }, "a sleeping victim");
    victim.kill();
}

Needs impatient() {
    Needs needs;
    needs.timeout = deadline;
    return needs;
}

void say(auto& endpoint) {
    std::array<std::byte, 8> scratch{};
    put(endpoint, scratch, [](Bytes) {});
}
void hear(auto& endpoint) {
    std::vector<std::byte> scratch(endpoint.message_bytes_max());
    get(endpoint, scratch, [](View) {});
}

// ---------------------------------------------------------------------------------------------
// Each locks what stands in the shared memory, as the library does inside its calls.

/// The queue's own header, which the library keeps to itself.
struct OpenedQueue {
    using Header = boosts::ipcdetail::mq_hdr_t<boosts::offset_ptr<void>>;
    explicit OpenedQueue(const std::string& name)
        : object(boosts::open_only, name.c_str(), boosts::read_write),
          region(object, boosts::read_write) {}
    [[nodiscard]] boosts::interprocess_mutex& mutex() const {
        using Shared = boosts::ipcdetail::managed_open_or_create_impl<boosts::shared_memory_object,
                                                                      0, true, false>;
        return reinterpret_cast<Header*>(static_cast<std::byte*>(region.get_address()) +
                                         Shared::ManagedOpenOrCreateUserOffset)
            ->m_mutex;
    }
    boosts::shared_memory_object object;
    boosts::mapped_region region;
};

/// The memory must stay mapped: the kernel finds the locks of the dead by pointers into it.
OpenedQueue lock_inside(const BoostMq& mechanism) {
    OpenedQueue queue(BoostMq::queue_name(mechanism.address().name, Side::initiator));
    queue.mutex().lock();
    return queue;
}
BoostShm::Segment lock_inside(const BoostShm& mechanism) {
    BoostShm::Segment segment(boosts::open_only, mechanism.address().name.c_str());
    segment.find<BoostShm::Line>(BoostShm::line_name(Side::initiator)).first->mutex.lock();
    return segment;
}

template <class M>
class AfterAKillInside : public testing::Test {
  protected:
    void TearDown() override {
        EXPECT_THAT(objects_of(::getpid()), testing::IsEmpty()) << "what is broken is removed";
    }
};
using BoostMechanisms = testing::Types<BoostMq, BoostShm>;
struct Names {
    template <class M>
    static std::string GetName(int) {  // NOLINT(readability-identifier-naming)
        return std::is_same_v<M, BoostMq> ? "boost_mq" : "boost_shm";
    }
};
TYPED_TEST_SUITE(AfterAKillInside, BoostMechanisms, Names);

TYPED_TEST(AfterAKillInside, TheFactsSaySo) {
    EXPECT_EQ(TypeParam::facts.after_a_kill, AfterAKill::survivor_may_hang);
}

/// The mutex is robust: who comes after is told, and so is everybody else, for ever.
TYPED_TEST(AfterAKillInside, WhoComesToALockOfTheDeadIsToldForEver) {
    auto mechanism = TypeParam::create(impatient());
    kill_after([&] { return lock_inside(mechanism); });
    for (const Side side : {Side::initiator, Side::responder, Side::initiator})
        EXPECT_EQ(end_of([&] {
                      auto endpoint = mechanism.attach({side});
                      if (side == Side::initiator)
                          say(endpoint);
                      else
                          hear(endpoint);
                  }),
                  End::was_told);
}

/// Who was asleep when the lock's owner died is not told by the library: each wait comes back with
/// an error, which it takes for a wake-up. boost-mq's own loop then never ends; ours looks around.
TYPED_TEST(AfterAKillInside, WhoWasAsleepWhenTheOwnerOfTheLockDied) {
#ifndef NDEBUG
    GTEST_SKIP() << "with assertions on, the library aborts the survivor";
#endif
    auto mechanism = TypeParam::create(impatient());
    auto killer = [&](pid_t survivor) {
        wait_until([&] { return Process::state_of(survivor) == 'S'; }, "a sleeping survivor");
        kill_after([&] { return lock_inside(mechanism); });
    };
    const End end = end_of([&] {
        const pid_t survivor = ::getpid();
        auto endpoint = mechanism.attach({Side::responder});
        // A child of the survivor's, so that the survivor is already waiting.
        Process accomplice = Process::forked([&] { killer(survivor); });
        hear(endpoint);
    });
    if constexpr (std::is_same_v<TypeParam, BoostMq>)
        EXPECT_EQ(end, End::spun);
    else
        EXPECT_EQ(end, End::met_its_deadline);
}

/// glibc's condition variable keeps count of who sleeps on it. The dead one stays in the count, and
/// the second signal with somebody asleep waits for it to leave.
TYPED_TEST(AfterAKillInside, ASignalWaitsForASleeperWhoIsDead) {
    auto mechanism = TypeParam::create({});
    kill_asleep_in([&] {
        auto victim = mechanism.attach({Side::responder});
        hear(victim);
    });
    Process heir = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::responder});
        for (;;) hear(endpoint);
    });
    EXPECT_EQ(end_of([&] {
                  auto endpoint = mechanism.attach({Side::initiator});
                  for (int i = 0; i < 10; ++i) {
                      wait_until([&] { return Process::state_of(heir.pid()) == 'S'; }, "a sleeper");
                      say(endpoint);
                      std::this_thread::sleep_for(20ms);
                  }
              }),
              End::hung_asleep);
}

/// A peer that is killed elsewhere is missed in time, once what it had said is read.
TYPED_TEST(AfterAKillInside, WhoIsKilledOutsideIsMissed) {
    auto mechanism = TypeParam::create({});
    Flare said;
    Process victim = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::initiator});
        say(endpoint);
        said.raise();
        for (;;) ::pause();
    });
    said.wait();
    victim.kill();
    auto endpoint = mechanism.attach({Side::responder});
    hear(endpoint);
    const auto start = Clock::now();
    EXPECT_THROW(hear(endpoint), PeerGone);
    EXPECT_LT(Clock::now() - start, 1s);
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    ipclab::test::withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
