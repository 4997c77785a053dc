// Facts are promises: each that can be probed is probed, for every mechanism of the catalogue.
#include "mechanisms/os/atomics.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/peers.hpp"
#include "tests/support/system_calls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <fcntl.h>
#include <fstream>
#include <future>
#include <set>
#include <sstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;

/// What can be seen without making one.
class FactsOnPaper : public testing::TestWithParam<Entry> {
  protected:
    static const Facts& facts() { return GetParam().facts; }
};
class FactsOf : public FactsOnPaper {
  protected:
    void SetUp() override {
        if (const auto why = why_impossible(GetParam())) GTEST_SKIP() << *why;
    }
};
class FactsOfMessages : public FactsOf {
    void SetUp() override {
        FactsOf::SetUp();
        if (const auto why = why_exempt_from_messages(GetParam())) GTEST_SKIP() << *why;
    }
};
INSTANTIATE_TEST_SUITE_P(Catalog, FactsOfMessages, testing::ValuesIn(catalog()), test_name);
INSTANTIATE_TEST_SUITE_P(Catalog, FactsOnPaper, testing::ValuesIn(catalog()), test_name);
INSTANTIATE_TEST_SUITE_P(Catalog, FactsOf, testing::ValuesIn(catalog()), test_name);

// Facts that only some have to be held to.

class FactsOfLenders : public FactsOf {};
INSTANTIATE_TEST_SUITE_P(Catalog, FactsOfLenders,
                         testing::ValuesIn(catalog_where([](const Entry& e) {
                             return e.sender_lends && e.receiver_lends;
                         })),
                         test_name);

class FactsOfAddressed : public FactsOf {};
INSTANTIATE_TEST_SUITE_P(
    Catalog, FactsOfAddressed,
    testing::ValuesIn(catalog_where([](const Entry& e) { return e.addressed; })), test_name);

/// What lies under its name for whoever comes; a connection has two ends, and each goes once.
class FactsOfNamedObjects : public FactsOf {};
INSTANTIATE_TEST_SUITE_P(Catalog, FactsOfNamedObjects,
                         testing::ValuesIn(catalog_where([](const Entry& e) {
                             return e.facts.addressing == Addressing::object_name ||
                                    e.facts.addressing == Addressing::key_file;
                         })),
                         test_name);

TEST(Facts, HaveNamesOfTheirOwn) {
    std::set<std::string_view> names;
    for (const Entry& entry : catalog())
        EXPECT_TRUE(names.insert(entry.facts.name).second) << entry.facts.name;
}

TEST_P(FactsOnPaper, AgreeWithTheTypes) {
    const Entry& entry = GetParam();
    EXPECT_EQ(facts().sender == Dialect::lends, entry.sender_lends);
    EXPECT_EQ(facts().sender == Dialect::copies, entry.sender_copies);
    EXPECT_EQ(facts().sender == Dialect::notifies, entry.notifies);
    EXPECT_EQ(facts().receiver == Dialect::lends, entry.receiver_lends);
    EXPECT_EQ(facts().receiver == Dialect::copies, entry.receiver_copies);
    EXPECT_EQ(facts().addressing != Addressing::inherited, entry.addressed);
    EXPECT_EQ(facts().connects == Connects::any_process, entry.addressed);
    EXPECT_EQ(facts().copies == 0, entry.notifies || (entry.sender_lends && entry.receiver_lends));
    const bool may_sleep =
        facts().waiting == Waiting::sleeps || facts().waiting == Waiting::spins_then_sleeps;
    if (may_sleep)
        EXPECT_GT(facts().receive_calls.peer_asleep, 0) << "who sleeps makes a system call";
    else
        EXPECT_EQ(facts().receive_calls.peer_asleep, facts().receive_calls.peer_awake)
            << "who never sleeps makes no call for it";
    EXPECT_TRUE(std::filesystem::is_directory(
        fmt::format("{}/mechanisms/{}", IPCLAB_SOURCE_DIR, facts().family)));
    EXPECT_THAT(std::string(facts().lesson), testing::EndsWith("."));
}

// ---------------------------------------------------------------------------------------------
// Room.

/// Stays attached until it is killed.
constexpr Job idle{"idle", [](AnyEndpoint& /*endpoint*/, Side /*mine*/) {
                       for (;;) ::pause();
                   }};

TEST_P(FactsOfMessages, CapacityIsWhatGoesUnreadWithoutWaiting) {
    for (const std::size_t asked_bytes :
         {std::size_t{0}, std::size_t{20'000}, std::size_t{1} << 18})
        for (const Peer kind : {Peer::forked_initiator, Peer::forked_responder}) {
            SCOPED_TRACE(fmt::format("asked for {}, peer {}", asked_bytes, static_cast<int>(kind)));
            Needs needs;
            needs.capacity_bytes = asked_bytes;
            needs.timeout = 300ms;  // attaching takes its time, too
            std::optional<Conversation> talk;
            try {
                talk.emplace(GetParam(), kind, idle, needs);
            } catch (const LimitReached& limit) {
                ASSERT_GT(asked_bytes, 0U) << limit.what();
                continue;  // refused, and not cut down
            }
            const auto endpoint = talk->attach();
            EXPECT_GE(endpoint->capacity_bytes(), asked_bytes);
            talk->wait_until_peer_attached();
            Speaker speaker(*endpoint);
            while (speaker.said() < endpoint->largest_messages())
                ASSERT_NO_THROW(speaker.say(endpoint->largest_message()))
                    << "after " << speaker.said() << " messages";
            // TCP's two buffers hold up to as much again, as segments happen to fall.
            const bool roughly = facts().name == "tcp";
            const std::size_t more_bytes = roughly ? endpoint->capacity_bytes() / 4 : 1;
            EXPECT_THROW(for (int more = 0; more < (roughly ? 5 : 1); ++more)
                             speaker.say(more_bytes),
                         TimedOut);
        }
}

constexpr std::size_t large = std::size_t{40} << 20;
void hear_large(AnyEndpoint& endpoint, Side /*mine*/) {
    Listener(endpoint).hear(std::min(large, endpoint.message_bytes_max()));
}
constexpr Job hear_one{"hear-one", hear_large};

TEST_P(FactsOfMessages, TheLargestMessageTravelsWholeAndNoneThatIsLarger) {
    Conversation talk(GetParam(), Peer::forked_initiator, hear_one);
    const auto endpoint = talk.attach();
    if (facts().message_bytes_max == "any") {
        EXPECT_GE(endpoint->message_bytes_max(), large);
    } else {
        const std::vector<std::byte> too_large(endpoint->message_bytes_max() + 1);
        EXPECT_THROW(endpoint->send(too_large), Refused);
    }
    Speaker(*endpoint).say(std::min(large, endpoint->message_bytes_max()));
    EXPECT_EQ(talk.peer().wait(), 0) << "nothing of a refused message may have been sent";
}

// ---------------------------------------------------------------------------------------------
// Boundaries.

TEST_P(FactsOfMessages, BoundariesAreKeptAsTold) {
    // Two messages, of three bytes and of four, and one look once both are there.
    Needs needs;
    needs.timeout = 300ms;
    Flare both_sent;
    const auto mechanism = GetParam().create(needs);
    Process peer = Process::forked([&] {
        const auto endpoint = mechanism->attach({Side::initiator});
        const std::byte messages[7]{};
        if (const auto stream = endpoint->stream()) {
            must(::write(stream->output, messages, 3), "write");
            must(::write(stream->output, messages + 3, 4), "write");
        } else {
            endpoint->send(View(messages).first(3));
            try {
                endpoint->send(View(messages).last(4));
            } catch (const TimedOut&) {
                // There is room for one message only.
            }
        }
        both_sent.raise();
        for (;;) ::pause();
    });
    const auto endpoint = mechanism->attach({Side::responder});
    both_sent.wait();
    std::vector<std::byte> buffer(16'384);
    const auto received =
        endpoint->stream()
            ? static_cast<std::size_t>(
                  must(::read(endpoint->stream()->input, buffer.data(), buffer.size()), "read"))
            : endpoint->receive(buffer);
    EXPECT_EQ(received, facts().keeps_boundaries ? 3U : 7U);
}

// ---------------------------------------------------------------------------------------------
// Memory.

/// Whether `address` lies in memory that is mapped shared (the "s" in /proc/self/maps).
bool is_shared(const void* address) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::istringstream fields(line);
        std::uintptr_t from = 0;
        std::uintptr_t to = 0;
        char dash = 0;
        std::string rights;
        fields >> std::hex >> from >> dash >> to >> rights;
        const auto wanted = reinterpret_cast<std::uintptr_t>(address);
        if (from <= wanted && wanted < to) return rights.ends_with("s");
    }
    return false;
}

TEST_P(FactsOfLenders, LendMemoryThatBothSee) {
    constexpr Job speak_one{"speak-one", [](AnyEndpoint& endpoint, Side /*mine*/) {
                                std::byte scratch[8];
                                endpoint.put(scratch, Manner::as_it_is, [](Bytes room) {
                                    if (!is_shared(room.data()))
                                        throw std::runtime_error("the loan is private memory");
                                });
                            }};
    Conversation talk(GetParam(), Peer::forked_initiator, speak_one);
    const auto endpoint = talk.attach();
    std::byte scratch[8];
    endpoint->get(scratch, Manner::as_it_is,
                  [](View message) { EXPECT_TRUE(is_shared(message.data())); });
    EXPECT_EQ(talk.peer().wait(), 0);
}

// ---------------------------------------------------------------------------------------------
// Names.

TEST_P(FactsOf, LeavesNothingOnceDestroyed) {
    auto mechanism = GetParam().create({});
    const auto objects = objects_of(::getpid());
    EXPECT_EQ(objects.empty(), facts().lifetime == Lifetime::process);
    EXPECT_EQ(Process::forked([&] { mechanism.reset(); }).wait(), 0);
    EXPECT_EQ(objects_of(::getpid()), objects) << "a forked child destroyed what its parent made";
    mechanism.reset();
    EXPECT_THAT(objects_of(::getpid()), IsEmpty());
}

TEST_P(FactsOfAddressed, OpeningDestroysNothing) {
    const auto mechanism = GetParam().create({});
    const auto objects = objects_of(::getpid());
    GetParam().open(mechanism->address(), {});
    EXPECT_EQ(objects_of(::getpid()), objects);
}

TEST_P(FactsOfNamedObjects, OneProcessTakesASide) {
    const auto mechanism = GetParam().create({});
    for (const Side side : {Side::initiator, Side::responder}) {
        auto mine = mechanism->attach({side});
        EXPECT_THROW(mechanism->attach({side}), Refused);
        EXPECT_NE(Process::forked([&] { mechanism->attach({side}); }).wait(), 0);
        mine.reset();
        EXPECT_NO_THROW(mechanism->attach({side})) << "after the first has left";
        Process killed = Process::forked([&] {
            const auto theirs = mechanism->attach({side});
            for (;;) ::pause();
        });
        wait_until([&] { return Process::state_of(killed.pid()) == 'S'; }, "an idle process");
        killed.kill();
        EXPECT_NO_THROW(mechanism->attach({side})) << "after the last one was killed";
    }
}

/// In a process of its own: with `umask` and without privileges, makes the mechanism, and prints
/// the mode of each object, and that both sides could attach.
int print_modes(const Entry& entry, mode_t umask, uid_t uid) {
    if (::geteuid() == 0) {
        must(::setgid(uid), "setgid");
        become(uid);
    }
    ::umask(umask);
    const auto mechanism = entry.create({});
    for (const std::string& object : objects_of(::getpid(), uid))
        fmt::print("{:o} {}\n", mode_of(object), object);
    std::fflush(stdout);
    const std::size_t size = entry.notifies ? 0 : 8;
    Process peer = Process::forked([&] {
        const auto endpoint = mechanism->attach({Side::initiator});
        Speaker(*endpoint).say(size);
    });
    const auto endpoint = mechanism->attach({Side::responder});
    Listener(*endpoint).hear(size);
    peer.wait();
    fmt::print("600 both sides attached\n");
    return 0;
}

TEST_P(FactsOf, NamesAreForTheirOwnerOnlyUnderAnyUmask) {
    const uid_t nobody = ::geteuid() == 0 ? 65534 : ::geteuid();
    for (const char* umask : {"0", "77", "777"}) {
        Process maker = Process::executed({own_executable(), "--modes", std::string(facts().name),
                                           umask, std::to_string(nobody)});
        const std::vector<std::string> lines = maker.read_lines();
        EXPECT_EQ(maker.wait(), 0);
        EXPECT_THAT(lines, testing::Each(testing::StartsWith("600 "))) << "umask " << umask;
        EXPECT_THAT(lines, testing::Contains("600 both sides attached")) << "umask " << umask;
        EXPECT_EQ(lines.size() > 1, facts().lifetime != Lifetime::process);
    }
}

/// In a process of another user: opens the mechanism by its address, attaches and says a word.
/// Returns whether it was let.
bool another_user_may_join(const Entry& entry, const Address& where, uid_t uid) {
    constexpr int turned_away = 3;
    Process stranger = Process::forked([&] {
        become(uid);
        Needs needs;
        needs.timeout = 500ms;
        try {
            const auto endpoint = entry.open(where, needs)->attach({Side::initiator});
            std::array<std::byte, 8> word{};
            endpoint->put(word, Manner::as_it_is, [](Bytes) {});
        } catch (const IpcError&) {
            ::_exit(turned_away);
        }
    });
    const int status = stranger.wait();
    EXPECT_THAT(status, testing::AnyOf(0, turned_away));
    return status == 0;
}

TEST_P(FactsOfAddressed, AnotherUserIsTurnedAwayByWhatGuardsIt) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
    Needs needs;
    needs.timeout = 500ms;
    const auto mechanism = GetParam().create(needs);
    auto responder = std::async(std::launch::async, [&] {
        try {
            const auto endpoint = mechanism->attach({Side::responder});
            std::array<std::byte, 8> word{};
            endpoint->get(word, Manner::as_it_is, [](View) {});
            return true;
        } catch (const IpcError&) {
            return false;
        }
    });
    const bool may_join = another_user_may_join(GetParam(), mechanism->address(), 65534);
    const bool was_heard = responder.get();
    EXPECT_EQ(may_join, facts().guard == Guard::nothing_but_the_port);
    EXPECT_EQ(was_heard, may_join);
}

// ---------------------------------------------------------------------------------------------
// System calls.

/// Where a mutex guards the hand-over, who is woken may find it still locked, and sleep once more:
/// as often as chance has it.
bool may_meet_at_a_mutex(std::string_view name) {
    return name == "posix-shm/condvar" || name == "villas-queue/pthread" || name == "boost-mq" ||
           name == "boost-shm";
}

/// By how much the calls grow with each message between N and 2 N: what starting and ending costs
/// drops out.
struct CallsPerMessage {
    double by_sender;
    double by_receiver;
    std::string listing;
};
CallsPerMessage calls_per_message(const Entry& entry, bool awake, int messages) {
    const auto once = count_system_calls(entry, awake, messages);
    const auto twice = count_system_calls(entry, awake, 2 * messages);
    const double n = messages;
    return {(twice.by_sender - once.by_sender) / n, (twice.by_receiver - once.by_receiver) / n,
            twice.listing};
}

void expect_calls(const Entry& entry, bool awake, int messages, double sent, double received) {
    const double chance = !awake && may_meet_at_a_mutex(entry.facts.name) ? 1 : 0;
    const auto is_as_told = [&](double counted, double told) {
        return counted >= told - 0.1 && counted <= told + chance + 0.1;
    };
    // A machine with much else to do keeps the sender from its turn until the receiver's wait has
    // run out. A mechanism that makes other calls than it tells makes them each time.
    CallsPerMessage counted{};
    for (int attempt = 0; attempt < 4; ++attempt) {
        counted = calls_per_message(entry, awake, messages);
        if (is_as_told(counted.by_sender, sent) && is_as_told(counted.by_receiver, received))
            return;
    }
    ADD_FAILURE() << "by the sender " << counted.by_sender << ", told " << sent
                  << "; by the receiver " << counted.by_receiver << ", told " << received << '\n'
                  << counted.listing;
}

TEST_P(FactsOf, SystemCallsAreAsToldWhileThePeerIsAwake) {
    if (const auto why = why_not_countable()) GTEST_SKIP() << *why;
    expect_calls(GetParam(), true, 200, facts().send_calls.peer_awake,
                 facts().receive_calls.peer_awake);
}

class FactsOfSleepers : public FactsOf {};
INSTANTIATE_TEST_SUITE_P(Catalog, FactsOfSleepers,
                         testing::ValuesIn(catalog_where([](const Entry& e) {
                             return e.facts.waiting == Waiting::sleeps ||
                                    e.facts.waiting == Waiting::spins_then_sleeps;
                         })),
                         test_name);

TEST_P(FactsOfSleepers, SystemCallsAreAsToldWhileThePeerIsAsleep) {
    if (const auto why = why_not_countable()) GTEST_SKIP() << *why;
    expect_calls(GetParam(), false, 100, facts().send_calls.peer_asleep,
                 facts().receive_calls.peer_asleep);
}

// ---------------------------------------------------------------------------------------------
// Waiting.

template <template <class> class Strategy>
struct WaitStrategy {
    /// How often a wait glances at the clock and the peer when the message comes at look `looks`.
    static int glances(int looks) {
        typename Strategy<SystemAtomics>::Bell bell;
        int looked = 0;
        int glanced = 0;
        Strategy<SystemAtomics>::wait_until(
            bell, [&](std::memory_order) { return ++looked >= looks; }, [&] { ++glanced; });
        return glanced;
    }
};

TEST(WaitStrategies, AShortWaitNeverLooksAtTheClock) {
    EXPECT_EQ(WaitStrategy<Spin>::glances(4000), 0);
    EXPECT_EQ(WaitStrategy<SpinYield>::glances(10), 0);
    EXPECT_EQ(WaitStrategy<SpinThenFutex>::glances(300), 0);
}

TEST(WaitStrategies, ALongWaitDoes) {
    EXPECT_GT(WaitStrategy<Spin>::glances(100'000), 0);
    EXPECT_GT(WaitStrategy<SpinYield>::glances(1000), 0);
    EXPECT_GT(WaitStrategy<SpinThenFutex>::glances(404), 0);
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    using namespace ipclab::test;
    const std::vector<std::string> arguments(argv, argv + argc);
    if (argc == 5 && arguments[1] == "--modes") try {
            return print_modes(entry_of(arguments[2]),
                               static_cast<mode_t>(std::stoul(arguments[3], nullptr, 8)),
                               static_cast<uid_t>(std::stoul(arguments[4])));
        } catch (const std::exception& problem) {
            fmt::print(stderr, "while making names: {}\n", problem.what());
            return 1;
        }
    if (const auto status = run_as_counted(arguments)) return *status;
    testing::InitGoogleMock(&argc, argv);
    withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
