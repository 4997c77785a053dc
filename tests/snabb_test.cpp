// What Snabb links promise beyond the contract of all mechanisms: packets that are never lost, at
// whatever moment a process is killed; batches; seats; and names.
#include "mechanisms/rings/snabb/snabb_link.hpp"
#include "mechanisms/waiting/adaptive_sleep.hpp"
#include "mechanisms/waiting/spin.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <sys/mman.h>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using snabb::End;
using snabb::LifeCycle;
using snabb::LinkMemory;
using snabb::LinkPlace;
using snabb::PacketNumber;
using snabb::Packets;
using snabb::State;
using testing::HasSubstr;

template <class Kind>
using Link = SnabbLink<Kind, AdaptiveSleep>;
using ByInterProc = Link<snabb::InterProc>;
using ByInterlink = Link<snabb::Interlink>;

template <class E>
void say(E& endpoint, std::uint64_t number, std::size_t size = 64) {
    const Bytes room = endpoint.loan(size);
    write_message(room, number);
    endpoint.publish(size);
}
template <class E>
void hear(E& endpoint, std::uint64_t number, std::size_t size = 64) {
    expect_message(endpoint.take(), size, number);
    endpoint.release();
}

/// A link as somebody sees it who is at neither end.
template <class Kind>
LinkMemory look_at(const LinkPlace& place, std::uint32_t slots = Kind::slots_by_default) {
    return {Fd(must(::open(place.path().c_str(), O_RDWR | O_CLOEXEC), "open")), Kind::shape(slots)};
}

std::string refusal_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Refused& refused) {
        return refused.what();
    }
    return "nothing was refused";
}

template <class Kind>
snabb::NumberSet in_slots(const LinkMemory& link) {
    if constexpr (std::is_same_v<Kind, snabb::InterProc>)
        return Kind::ring(link).in_slots(link.packets());
    else
        return snabb::in_slots(Kind::slots(link), link.shape().slots, link.packets());
}

/// Conservation, while nobody is attached: each packet is in one slot or bears the mark of the end
/// that will find it; each end has what it began with, and nothing is in two slots.
template <class Kind>
void expect_all_packets_conserved(const LinkPlace& place) {
    const LinkMemory link = look_at<Kind>(place);
    const Packets packets = link.packets();
    const snabb::NumberSet slots = in_slots<Kind>(link);
    const auto free_of_transmitter = recovered(packets, End::transmitter, slots).size();
    const auto free_of_receiver = recovered(packets, End::receiver, slots).size();
    const auto in_ring =
        static_cast<std::size_t>(std::count(slots.begin() + 1, slots.end(), std::uint8_t{1}));
    EXPECT_EQ(free_of_transmitter + free_of_receiver + in_ring, packets.count())
        << free_of_transmitter << " of the transmitter, " << free_of_receiver
        << " of the receiver, " << in_ring << " in the ring";
    if constexpr (std::is_same_v<Kind, snabb::Interlink>) {
        EXPECT_EQ(in_ring, link.shape().slots) << "each slot has a packet of its own, always";
        EXPECT_EQ(free_of_transmitter, Kind::of_each_end);
        EXPECT_EQ(free_of_receiver, Kind::of_each_end);
    } else {
        EXPECT_EQ(free_of_receiver, Kind::of_receiver);
    }
}

template <class Kind>
class SnabbLinks : public testing::Test {
  protected:
    void TearDown() override { EXPECT_THAT(objects_of(::getpid()), testing::IsEmpty()); }
};
struct NameOfKind {
    template <class Kind>
    static std::string GetName(int /*index*/) {  // NOLINT(readability-identifier-naming)
        return std::is_same_v<Kind, snabb::InterProc> ? "InterProc" : "Interlink";
    }
};
using Kinds = testing::Types<snabb::InterProc, snabb::Interlink>;
TYPED_TEST_SUITE(SnabbLinks, Kinds, NameOfKind);

class Interlink : public testing::Test {};
class InterProc : public testing::Test {};

// ---------------------------------------------------------------------------------------------
// Packets.

TYPED_TEST(SnabbLinks, CarryEveryMessageInOrderAndConserveEveryPacket) {
    constexpr std::uint64_t messages = 20'000;  // some 20 and 80 laps
    auto link = Link<TypeParam>::create({});
    Process peer = Process::forked([&] {
        auto endpoint = link.attach({Side::initiator});
        for (std::uint64_t i = 0; i < messages; ++i) say(endpoint, i, i % 300);
        endpoint.flush();
        hear(endpoint, 0);  // stays until all is heard
    });
    {
        auto endpoint = link.attach({Side::responder});
        for (std::uint64_t i = 0; i < messages; ++i) hear(endpoint, i, i % 300);
        say(endpoint, 0);
        endpoint.flush();
        EXPECT_EQ(peer.wait(), 0);
        const auto counted = endpoint.counters();
        EXPECT_EQ(counted[2].name, "rxpackets");
        EXPECT_EQ(counted[2].value, messages);
        EXPECT_GT(counted[3].value, 0U);
        EXPECT_LE(counted[3].value, messages);
    }
    for (const Side side : {Side::initiator, Side::responder})
        expect_all_packets_conserved<TypeParam>(link.link_spoken_by(side));
}

TYPED_TEST(SnabbLinks, PassPacketsAndNeverBytes) {
    auto link = Link<TypeParam>::create({});
    auto one = link.attach({Side::initiator});
    auto other = link.attach({Side::responder});
    const Bytes room = one.loan(8);
    write_message(room, 1);
    one.publish(8);
    one.flush();
    const View came = other.take();
    // Two mappings of the same memory: the same place in both.
    std::memset(room.data(), 0x5a, 8);
    EXPECT_THAT(came, testing::Each(std::byte{0x5a})) << "it was copied on the way";
    other.release();
}

TYPED_TEST(SnabbLinks, AcceptExactlyTheirCapacity) {
    Needs needs;
    needs.timeout = 100ms;
    auto link = Link<TypeParam>::create(needs);
    {
        auto one = link.attach({Side::initiator});
        auto other = link.attach({Side::responder});
        const std::uint64_t capacity = TypeParam::slots_by_default - 1;  // 255, 1023
        EXPECT_EQ(one.capacity_bytes(), capacity * one.message_bytes_max());
        for (int lap = 0; lap < 3; ++lap) {
            std::uint64_t accepted = 0;
            EXPECT_THROW(
                for (;; ++accepted) {
                    say(one, accepted);
                    one.flush();
                },
                TimedOut);
            EXPECT_EQ(accepted, capacity);
            for (std::uint64_t i = 0; i < capacity; ++i) hear(other, i);
            one.flush();
            if (std::is_same_v<TypeParam, snabb::InterProc>) hear(other, capacity);
        }
    }
    expect_all_packets_conserved<TypeParam>(link.link_spoken_by(Side::initiator));
}

TYPED_TEST(SnabbLinks, RecoverWhatWasLentAndWhatWasTakenWhenBothLeave) {
    auto link = Link<TypeParam>::create({});
    for (int turn = 0; turn < 20; ++turn) {
        auto one = link.attach({Side::initiator});
        auto other = link.attach({Side::responder});
        say(one, 1);
        one.flush();
        other.take();
        one.loan(10);
    }
    expect_all_packets_conserved<TypeParam>(link.link_spoken_by(Side::initiator));
}

// ---------------------------------------------------------------------------------------------
// Batches.

TEST(InterProcLesson, ALoneMessageNeverArrivesWithoutAFlush) {
    Needs needs;
    needs.timeout = 150ms;
    auto link = ByInterProc::create(needs);
    auto one = link.attach({Side::initiator});
    auto other = link.attach({Side::responder});
    say(one, 0);
    EXPECT_THROW(other.take(), TimedOut);
    EXPECT_THROW(other.take(), TimedOut) << "nor later";
    one.flush();
    hear(other, 0);
}

TEST(InterProcLesson, TwoWhoAnswerEachOtherWaitForEver) {
    Needs needs;
    needs.timeout = 150ms;
    auto link = ByInterProc::create(needs);
    Process peer = Process::forked([&] {
        auto endpoint = link.attach({Side::initiator});
        for (;;) {
            hear(endpoint, 0);
            say(endpoint, 0);
        }
    });
    auto endpoint = link.attach({Side::responder});
    say(endpoint, 0);
    EXPECT_THROW(endpoint.take(), IpcError);
    EXPECT_NE(peer.wait(), 0);
}

TEST(InterProcLesson, OneHundredAndTwentyEightAreStuckAndOneMoreMovesAll) {
    Needs needs;
    needs.timeout = 100ms;
    auto link = ByInterProc::create(needs);
    auto one = link.attach({Side::initiator});
    auto other = link.attach({Side::responder});
    for (int lap = 0; lap < 5; ++lap) {
        for (std::uint64_t i = 0; i < 128; ++i) say(one, i);
        EXPECT_THROW(other.take(), TimedOut);
        say(one, 128);
        for (std::uint64_t i = 0; i < 129; ++i) hear(other, i);
    }
    EXPECT_EQ(one.counters()[0].value, 5U * 129);
    EXPECT_EQ(one.counters()[1].value, 5U) << "a cycle moves a batch";
}

TEST(InterProcLesson, TheReceiverWaitsForABatchOfItsOwn) {
    Needs needs;
    needs.timeout = 100ms;
    auto link = ByInterProc::create(needs);
    needs.batch_messages = 1;
    auto one = ByInterProc::open(link.address(), needs).attach({Side::initiator});
    auto other = link.attach({Side::responder});
    say(one, 0);
    hear(other, 0);  // who comes anew takes what it finds: its predecessor may have died over it
    for (int lap = 0; lap < 3; ++lap) {
        const std::uint64_t cycles = one.counters()[1].value;
        for (std::uint64_t i = 0; i < 128; ++i) say(one, i);
        EXPECT_EQ(one.counters()[1].value, cycles + 128) << "all are in the ring";
        EXPECT_THROW(other.take(), TimedOut);
        say(one, 128);
        for (std::uint64_t i = 0; i < 129; ++i) hear(other, i);
    }
    EXPECT_EQ(other.counters()[3].value, 1U + 3);
}

TEST(InterProcLesson, WithoutPaybackTheSenderRunsOutOfPackets) {
    auto link = ByInterProc::create({});
    const LinkMemory memory = look_at<snabb::InterProc>(link.link_spoken_by(Side::initiator));
    auto one = link.attach({Side::initiator});
    auto other = link.attach({Side::responder});
    std::uint64_t said = 0;
    const std::string refusal = refusal_of([&] {
        for (;; ++said) {
            say(one, said);
            one.flush();
            hear(other, said);
            for (auto& pay : snabb::InterProc::ring(memory).ret_pks) pay = snabb::no_packet;
        }
    });
    EXPECT_THAT(refusal, HasSubstr("the peer keeps packets that it ought to return"));
    EXPECT_EQ(said, snabb::InterProc::of_transmitter);
}

TEST(InterProcLesson, FlushesAreSeenWhenTheirCountWraps) {
    auto link = ByInterProc::create({});
    const LinkMemory memory = look_at<snabb::InterProc>(link.link_spoken_by(Side::initiator));
    memory.header().flushes = 0xfffffffd;
    auto one = link.attach({Side::initiator});
    auto other = link.attach({Side::responder});
    for (std::uint64_t i = 0; i < 6; ++i) {
        say(one, i);
        one.flush();
        hear(other, i);
    }
    EXPECT_EQ(memory.header().flushes, 3U);
}

TEST(InterlinkBatches, NothingIsSeenBeforeThePush) {
    Needs needs;
    needs.timeout = 50ms;
    needs.batch_messages = 4;
    auto link = ByInterlink::create(needs);
    auto one = link.attach({Side::initiator});
    auto other = link.attach({Side::responder});
    for (std::uint64_t i = 0; i < 3; ++i) say(one, i);
    EXPECT_THROW(other.take(), TimedOut);
    say(one, 3);
    for (std::uint64_t i = 0; i < 4; ++i) hear(other, i);
    say(one, 4);
    EXPECT_THROW(other.take(), TimedOut);
    one.flush();
    hear(other, 4);
}

TEST(InterlinkBatches, NothingIsFreedBeforeThePull) {
    Needs needs;
    needs.timeout = 50ms;
    needs.capacity_bytes = 3 * snabb::Packet::data_bytes_max;  // four slots
    auto link = ByInterlink::create(needs);
    auto one = link.attach({Side::initiator});
    needs.batch_messages = 3;
    auto opened = ByInterlink::open(link.address(), needs);
    auto other = opened.attach({Side::responder});
    for (std::uint64_t i = 0; i < 3; ++i) say(one, i);
    hear(other, 0);
    hear(other, 1);
    EXPECT_THROW(one.loan(1), TimedOut) << "two are read, and not given back yet";
    hear(other, 2);
    for (std::uint64_t i = 3; i < 6; ++i) say(one, i);
    for (std::uint64_t i = 3; i < 6; ++i) hear(other, i);
}

TEST(InterlinkBatches, AFullRingIsPushedHoweverLargeTheBatch) {
    Needs needs;
    needs.timeout = 2s;
    needs.capacity_bytes = snabb::Packet::data_bytes_max;  // two slots hold one packet
    needs.batch_messages = 100;
    auto link = ByInterlink::create(needs);
    Process peer = Process::forked([&] {
        auto endpoint = link.attach({Side::initiator});
        for (std::uint64_t i = 0; i < 100; ++i) say(endpoint, i);
    });
    auto endpoint = link.attach({Side::responder});
    for (std::uint64_t i = 0; i < 100; ++i) hear(endpoint, i);
    EXPECT_EQ(peer.wait(), 0);
}

// ---------------------------------------------------------------------------------------------
// Death, and who comes after.

/// Memory that the children of a test share.
struct Score {
    std::atomic<std::uint64_t> said{0};
    std::atomic<std::uint64_t> heard{0};
    std::atomic<std::uint64_t> twice{0};
    std::atomic<std::uint64_t> missing{0};
    std::atomic<bool> is_over{false};
};

/// Says numbers, from the one after the last that its predecessor had certainly said.
template <class Kind>
void say_for_ever(Link<Kind>& link, Score& score) {
    auto endpoint = link.attach({Side::initiator}, {.patience = 5s});
    while (!score.is_over) {
        say(endpoint, score.said);
        score.said.fetch_add(1);
    }
    endpoint.flush();
}

/// Hears them, and counts what comes twice and what is missing.
template <class Kind>
void hear_for_ever(Link<Kind>& link, Score& score) {
    auto endpoint = link.attach({Side::responder}, {.patience = 5s});
    for (;;) {
        View message;
        try {
            message = endpoint.take();
        } catch (const Closed&) {
            if (score.is_over) return;
            continue;
        } catch (const PeerGone&) {
            continue;  // somebody else comes
        }
        std::uint64_t number = 0;
        std::memcpy(&number, message.data(), sizeof number);
        const std::uint64_t expected = score.heard;
        // Both words are scrambled numbers: look for which number this is, nearby.
        std::uint64_t found = expected;
        for (std::uint64_t near = 0; near < 3000; ++near) {
            if (scramble(expected + near) == number) {
                found = expected + near;
                break;
            }
            if (near <= expected && scramble(expected - near) == number) {
                found = expected - near;
                break;
            }
            if (near == 2999) throw std::runtime_error("a message that nobody has said");
        }
        expect_message(message, 64, found);
        if (found < expected)
            score.twice.fetch_add(1);
        else {
            score.missing.fetch_add(found - expected);
            score.heard = found + 1;
        }
        endpoint.release();
    }
}

/// Kills each side again and again while both work, and starts another in its place.
template <class Kind>
void kill_and_replace(int kills, Score& score, Link<Kind>& link) {
    std::mt19937 random(7);
    std::optional<Process> transmitter;
    std::optional<Process> receiver;
    const auto start_transmitter = [&] {
        transmitter.emplace(Process::forked([&] { say_for_ever(link, score); }));
    };
    const auto start_receiver = [&] {
        receiver.emplace(Process::forked([&] { hear_for_ever(link, score); }));
    };
    start_transmitter();
    start_receiver();
    for (int i = 0; i < kills; ++i) {
        const std::uint64_t heard = score.heard;
        wait_until([&] { return score.heard > heard; }, "messages after a replacement");
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
        const bool at_transmitter = random() % 2 == 0;
        (at_transmitter ? transmitter : receiver)->kill();
        (at_transmitter ? transmitter : receiver).reset();
        if (at_transmitter)
            start_transmitter();
        else
            start_receiver();
    }
    score.is_over = true;
    EXPECT_EQ(transmitter->wait(), 0);
    EXPECT_EQ(receiver->wait(), 0);
}

Score& shared_score() {
    return *new (must(
        ::mmap(nullptr, sizeof(Score), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
        "mmap")) Score;
}

TEST(AfterAKill, InterlinkLosesNothingAndConservesEveryPacket) {
    constexpr int kills = 40;
    Score& score = shared_score();
    auto link = ByInterlink::create({});
    kill_and_replace(kills, score, link);
    EXPECT_EQ(score.missing, 0U) << "a message was lost";
    // Who is killed between the deed and the note of it leaves its successor to do it again.
    EXPECT_LE(score.twice, std::uint64_t{kills});
    EXPECT_EQ(score.heard, score.said);
    for (const Side side : {Side::initiator, Side::responder})
        expect_all_packets_conserved<snabb::Interlink>(link.link_spoken_by(side));
}

TEST(AfterAKill, InterProcConservesEveryPacketAndLosesOnlyWhatTheDeadHeld) {
    constexpr int kills = 40;
    Score& score = shared_score();
    auto link = ByInterProc::create({});
    kill_and_replace(kills, score, link);
    EXPECT_LE(score.missing, std::uint64_t{kills} * 2 * 255) << "the input and the output side";
    for (const Side side : {Side::initiator, Side::responder})
        expect_all_packets_conserved<snabb::InterProc>(link.link_spoken_by(side));
}

TEST(AfterAKill, InterlinkGoesOnWhereTheDeadStoppedInTheMiddleOfABatch) {
    Needs needs;
    needs.timeout = 300ms;
    needs.batch_messages = 4;
    auto link = ByInterlink::create(needs);
    Process::forked([&] {
        auto endpoint = link.attach({Side::initiator});
        for (std::uint64_t i = 0; i < 3; ++i) say(endpoint, i);
        ::raise(SIGKILL);  // nothing was pushed
    }).wait();
    {
        auto receiver = link.attach({Side::responder});
        EXPECT_THROW(receiver.take(), PeerGone);
    }
    auto successor = link.attach({Side::initiator});
    Process::forked([&] {
        auto endpoint = link.attach({Side::responder});
        for (std::uint64_t i = 0; i < 2; ++i) hear(endpoint, i);
        ::raise(SIGKILL);  // nothing was pulled
    }).wait();
    const LinkMemory memory = look_at<snabb::Interlink>(link.link_spoken_by(Side::initiator));
    EXPECT_EQ(snabb::Interlink::ring(memory).read, 0U);
    auto receiver = link.attach({Side::responder});
    EXPECT_EQ(snabb::Interlink::ring(memory).read, 2U) << "its successor pulls for it";
    hear(receiver, 2);
    EXPECT_THROW(receiver.take(), TimedOut);
}

TYPED_TEST(SnabbLinks, LeaveWhoStaysUsableForASuccessor) {
    Needs needs;
    needs.timeout = 5s;
    auto link = Link<TypeParam>::create(needs);
    auto endpoint = link.attach({Side::responder});
    for (std::uint64_t turn = 0; turn < 3; ++turn) {
        Process peer = Process::forked([&] {
            auto theirs = link.attach({Side::initiator});
            say(theirs, turn);
            theirs.flush();
            ::pause();
        });
        hear(endpoint, turn);
        peer.kill();
        EXPECT_THROW(endpoint.take(), PeerGone);
    }
    EXPECT_EQ(Process::forked([&] {
                  auto theirs = link.attach({Side::initiator});
                  say(theirs, 3);
              }).wait(),
              0);
    hear(endpoint, 3);  // who leaves in good order hands over first
    EXPECT_THROW(endpoint.take(), Closed);
}

// ---------------------------------------------------------------------------------------------
// Seats and states.

TYPED_TEST(SnabbLinks, NameWhoHasTheSeat) {
    auto link = Link<TypeParam>::create({});
    auto endpoint = link.attach({Side::initiator});
    EXPECT_THAT(refusal_of([&] { link.attach({Side::initiator}); }),
                HasSubstr(fmt::format("link {} has a transmitter already: pid {}",
                                      link.address().name, ::getpid())));
    const LinkPlace place = link.link_spoken_by(Side::responder);
    EXPECT_THAT(
        refusal_of([&] {
            const snabb::AttachedLink second(
                place, {TypeParam::shape(256).kind, TypeParam::shape, TypeParam::enter},
                End::receiver, 0, 0ms);
        }),
        HasSubstr(fmt::format("link {} has a receiver already: pid {}", place.name(), ::getpid())));
}

TYPED_TEST(SnabbLinks, LetASecondAttacherWaitForTheSeat) {
    auto link = Link<TypeParam>::create({});
    Process first = Process::forked([&] {
        auto endpoint = link.attach({Side::initiator});
        ::pause();
    });
    wait_until([&] { return Process::state_of(first.pid()) == 'S'; }, "the first, at rest");
    const auto start = Clock::now();
    EXPECT_THAT(refusal_of([&] { link.attach({Side::initiator}, {.patience = 100ms}); }),
                HasSubstr(fmt::format("already: pid {}", first.pid())));
    EXPECT_GE(Clock::now() - start, 100ms);
    auto second = std::async(std::launch::async, [&] {
        auto endpoint = link.attach({Side::initiator}, {.patience = 10s});
    });
    EXPECT_EQ(second.wait_for(50ms), std::future_status::timeout);
    first.kill();
    EXPECT_NO_THROW(second.get());
}

TYPED_TEST(SnabbLinks, GiveASeatToOneOfManyWhoComeAtOnce) {
    constexpr std::uint64_t racers = 6;
    for (int round = 0; round < 5; ++round) {
        Score& score = shared_score();
        auto& seated = score.said;
        auto& refused = score.heard;
        std::atomic<bool>& begins = score.is_over;
        auto link = Link<TypeParam>::create({});
        std::vector<Process> crowd;
        crowd.reserve(racers);
        for (std::uint64_t racer = 0; racer < racers; ++racer)
            crowd.push_back(Process::forked([&] {
                while (!begins) std::this_thread::yield();
                const std::string refusal = refusal_of([&] {
                    auto endpoint = link.attach({Side::initiator});
                    seated.fetch_add(1);
                    ::pause();
                });
                if (refusal.find("has a transmitter already") != std::string::npos)
                    refused.fetch_add(1);
            }));
        begins = true;
        wait_until([&] { return seated + refused == racers; }, "a seat or a refusal for each");
        EXPECT_EQ(seated, 1U);
    }
}

TYPED_TEST(SnabbLinks, WaitForALinkThatIsNotMadeYet) {
    const Address later{fresh_name("later")};
    auto waiting = std::async(std::launch::async, [&] {
        auto endpoint =
            Link<TypeParam>::open(later, {}).attach({Side::initiator}, {.patience = 10s});
    });
    EXPECT_EQ(waiting.wait_for(30ms), std::future_status::timeout);
    Needs needs;
    needs.address = later;
    auto link = Link<TypeParam>::create(needs);
    EXPECT_NO_THROW(waiting.get());
    EXPECT_THAT(refusal_of([] {
                    Link<TypeParam>::open({"ipclab-never-made"}, {}).attach({Side::initiator});
                }),
                HasSubstr("there is no link ipclab-never-made"));
}

/// Each end in each state, with nobody in the seats: as after kills at any moment.
TEST(InterlinkLifeCycle, LetsInWhomEachStateAllows) {
    auto link = ByInterlink::create({});
    const LinkMemory memory = look_at<snabb::Interlink>(link.link_spoken_by(Side::initiator));
    auto& word = snabb::Interlink::ring(memory).state;
    struct Row {
        State state;
        State after_transmitter;
        State after_receiver;
    };
    const Row matrix[] = {
        {State::init, State::init, State::init}, {State::conf, State::conf, State::conf},
        {State::free, State::txup, State::rxup}, {State::rxup, State::dxup, State::rxup},
        {State::txup, State::txup, State::dxup}, {State::dxup, State::dxup, State::dxup},
        {State::down, State::down, State::down}};
    for (const Row& row : matrix)
        for (const End end : {End::transmitter, End::receiver}) {
            SCOPED_TRACE(fmt::format("a {} comes in state {}", name_of(end), name_of(row.state)));
            word = static_cast<std::uint32_t>(row.state);
            const bool expects_in =
                row.state != State::init && row.state != State::conf && row.state != State::down;
            const std::string obstacle = snabb::Interlink::enter(memory, end);
            EXPECT_EQ(obstacle.empty(), expects_in) << obstacle;
            if (!expects_in) {
                EXPECT_THAT(obstacle, HasSubstr(std::string(name_of(row.state))));
            }
            EXPECT_EQ(LifeCycle(word).state(),
                      end == End::transmitter ? row.after_transmitter : row.after_receiver);
        }
}

TEST(InterlinkLifeCycle, AllowsNoOtherWayOut) {
    std::atomic<std::uint32_t> word{0};
    for (std::uint32_t from = 0; from <= static_cast<std::uint32_t>(State::down); ++from)
        for (const End end : {End::transmitter, End::receiver}) {
            const auto state = static_cast<State>(from);
            word = from;
            EXPECT_EQ(LifeCycle(word).reset(end), state == State::dxup);
            EXPECT_EQ(word, static_cast<std::uint32_t>(
                                state == State::dxup ? snabb::alone(other(end)) : state));
            word = from;
            EXPECT_EQ(LifeCycle(word).shut_down(end), state == snabb::alone(end));
            word = from;
            EXPECT_EQ(LifeCycle(word).begin_to_configure(), state == State::init);
        }
}

TEST(InterlinkLifeCycle, GoesThroughItsStatesWithTwoProcesses) {
    auto link = ByInterlink::create({});
    const LinkMemory memory = look_at<snabb::Interlink>(link.link_spoken_by(Side::initiator));
    const LifeCycle life(snabb::Interlink::ring(memory).state);
    EXPECT_EQ(life.state(), State::free);
    {
        const ByInterlink::Manner closing{0ms, snabb::LastOneOut::shuts_it_down};
        auto receiver = std::make_unique<ByInterlink::Endpoint>(link, Side::responder, closing);
        EXPECT_EQ(life.state(), State::rxup);
        for (int turn = 0; turn < 2; ++turn) {
            EXPECT_EQ(Process::forked([&] {
                          auto transmitter = link.attach({Side::initiator}, closing);
                          if (life.state() != State::dxup) throw std::runtime_error("not DXUP");
                      }).wait(),
                      0);
            EXPECT_EQ(life.state(), State::rxup) << "it left, and may be replaced";
        }
        Process::forked([&] {
            auto transmitter = link.attach({Side::initiator}, closing);
            ::raise(SIGKILL);
        }).wait();
        EXPECT_EQ(life.state(), State::dxup) << "a dead one says nothing";
        { auto transmitter = link.attach({Side::initiator}, closing); }
        EXPECT_EQ(life.state(), State::rxup) << "its successor leaves for both";
    }
    EXPECT_EQ(life.state(), State::down);
    EXPECT_THAT(refusal_of([&] { link.attach({Side::initiator}); }), HasSubstr("the link is DOWN"));
}

TEST(InterlinkLifeCycle, AReceiverThatLeavesLeavesTheRestToItsSuccessor) {
    auto link = ByInterlink::create({});
    {
        auto transmitter = link.attach({Side::initiator});
        for (std::uint64_t i = 0; i < 9; ++i) say(transmitter, i);
        for (std::uint64_t turn = 0; turn < 3; ++turn)
            EXPECT_EQ(Process::forked([&] {
                          auto receiver = link.attach({Side::responder});
                          for (std::uint64_t i = 0; i < 3; ++i) hear(receiver, turn * 3 + i);
                      }).wait(),
                      0);
    }
    expect_all_packets_conserved<snabb::Interlink>(link.link_spoken_by(Side::initiator));
}

TEST(InterlinkLifeCycle, KeepsWhatWasPushedWhileBothAreAway) {
    auto link = ByInterlink::create({});
    for (int turn = 0; turn < 2; ++turn) {
        EXPECT_EQ(Process::forked([&] {
                      auto transmitter = link.attach({Side::initiator});
                      for (std::uint64_t i = 0; i < 500; ++i)
                          say(transmitter, static_cast<std::uint64_t>(turn) * 500 + i);
                  }).wait(),
                  0);
    }
    auto receiver = link.attach({Side::responder});
    for (std::uint64_t i = 0; i < 1000; ++i) hear(receiver, i);
}

// ---------------------------------------------------------------------------------------------
// What is refused, and does no harm.

TEST(SizeMismatch, IsRefusedBeforeTheSeatIsTaken) {
    auto link = ByInterlink::create({});
    const LinkPlace place = link.link_spoken_by(Side::initiator);
    const auto bytes = std::filesystem::file_size(place.path());
    auto transmitter = link.attach({Side::initiator});
    say(transmitter, 0);
    Needs other_size;
    other_size.capacity_bytes = 100'000;
    auto opened = ByInterlink::open(link.address(), other_size);
    EXPECT_THAT(refusal_of([&] { opened.attach({Side::responder}, {.patience = 5s}); }),
                HasSubstr("has 1024 slots, not 16"))
        << "and at once: no patience would help";
    EXPECT_EQ(std::filesystem::file_size(place.path()), bytes);
    const LinkMemory memory = look_at<snabb::Interlink>(place);
    EXPECT_EQ(LifeCycle(snabb::Interlink::ring(memory).state).state(), State::txup);
    auto receiver = link.attach({Side::responder});
    hear(receiver, 0);
    say(transmitter, 1);
    hear(receiver, 1);
}

TYPED_TEST(SnabbLinks, RefuseWhatIsNoLinkOfTheirs) {
    const NamedObject name(ObjectKind::posix_shm, fresh_name("stranger"));
    const Fd object = create_shm_object(name.name(), std::size_t{64} << 10);
    const auto refusal = [&] {
        return refusal_of(
            [&] { Link<TypeParam>::open({name.name()}, {}).attach({Side::initiator}); });
    };
    EXPECT_THAT(refusal(), HasSubstr("is no link"));
    const Mapping memory(object.get(), size_of(object));
    {
        auto real = Link<TypeParam>::create({});
        const LinkMemory link = look_at<TypeParam>(real.link_spoken_by(Side::initiator));
        std::memcpy(memory.data(), &link.header(), page_bytes());
    }
    EXPECT_THAT(refusal(), HasSubstr("has 65536 bytes, which is not its size"));
    reinterpret_cast<snabb::LinkHeader*>(memory.data())->slots = 0xffffffff;
    EXPECT_THAT(refusal(), HasSubstr("is no link"));
    EXPECT_EQ(size_of(object), std::size_t{64} << 10) << "nothing was resized";
}

TEST(StaleLinks, OfADeadMakerAreSweptAndMadeAnew) {
    const std::string name = fresh_name("stale");
    Needs needs;
    needs.address.name = name;
    Process::forked([&] {
        auto link = ByInterlink::create(needs);
        auto endpoint = link.attach({Side::initiator});
        say(endpoint, 7);
        ::raise(SIGKILL);
    }).wait();
    ASSERT_TRUE(exists(ObjectKind::posix_shm, name));
    EXPECT_THROW(ByInterlink::create(needs), Refused) << "it is not cut short, nor taken over";
    auto receiver = ByInterlink::open({name}, {}).attach({Side::responder});
    hear(receiver, 7);  // what the dead one said is still there
    sweep_until([&] { return !exists(ObjectKind::posix_shm, name); });
    needs.timeout = 100ms;
    auto anew = ByInterlink::create(needs);
    auto endpoint = anew.attach({Side::responder});
    EXPECT_THROW(endpoint.take(), TimedOut) << "nothing of the dead one's is in it";
}

TEST(RunDirectory, IsWhereTheNameSays) {
    const std::string folder = fmt::format("/tmp/ipclab-test-{}", ::getpid());
    std::filesystem::create_directory(folder);
    {
        Needs needs;
        needs.address.name = fmt::format("{}/spoon", folder);
        auto link = ByInterlink::create(needs);
        EXPECT_EQ(link.address().name, needs.address.name);
        EXPECT_TRUE(std::filesystem::exists(folder + "/spoon.back"));
        auto one = link.attach({Side::initiator});
        auto other = ByInterlink::open(link.address(), {}).attach({Side::responder});
        say(one, 1);
        hear(other, 1);
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::filesystem::remove(folder);
}

TEST(RunDirectory, OfADeadMakerIsSwept) {
    const std::string folder = fmt::format("/tmp/ipclab-test-{}", ::getpid());
    std::filesystem::create_directory(folder);
    Process::forked([&] {
        Needs needs;
        needs.address.name = folder + "/spoon";
        auto link = ByInterProc::create(needs);
        ::raise(SIGKILL);
    }).wait();
    EXPECT_TRUE(std::filesystem::exists(folder + "/spoon"));
    sweep_until([&] { return std::filesystem::is_empty(folder); });
    std::filesystem::remove(folder);
}

TEST(RunDirectory, IsNamedWhereItIsMissing) {
    const std::string name = fmt::format("/tmp/ipclab-test-{}/nowhere/spoon", ::getpid());
    Needs needs;
    needs.address.name = name;
    try {
        ByInterlink::create(needs);
        ADD_FAILURE() << "it was made";
    } catch (const IpcError& error) {
        EXPECT_EQ(error.error(), ENOENT);
        EXPECT_THAT(error.what(), HasSubstr(name));
    }
    try {
        ByInterlink::open({name}, {}).attach({Side::initiator});
        ADD_FAILURE() << "it was found";
    } catch (const Refused& refused) {
        EXPECT_EQ(refused.error(), ENOENT);
        EXPECT_THAT(refused.what(), HasSubstr(name));
    }
}

TEST(LyingPeer, OfInterProcPassesAnIndexNear2To32OrAPacketThatIsNone) {
    for (const std::uint32_t index : {0xffffffffU, 0x80000000U, 256U}) {
        auto link = ByInterProc::create({});
        const LinkMemory memory = look_at<snabb::InterProc>(link.link_spoken_by(Side::initiator));
        auto& ring = snabb::InterProc::ring(memory);
        ring.read = ring.write = index;
        auto one = link.attach({Side::initiator});
        auto other = link.attach({Side::responder});
        for (std::uint64_t i = 0; i < 600; ++i) {
            say(one, i);
            one.flush();
            hear(other, i);
        }
    }
    constexpr PacketNumber count = snabb::InterProc::of_transmitter + snabb::InterProc::of_receiver;
    for (const PacketNumber number : {count + 1, ~PacketNumber{0}}) {
        auto link = ByInterProc::create({});
        const LinkMemory memory = look_at<snabb::InterProc>(link.link_spoken_by(Side::initiator));
        auto& ring = snabb::InterProc::ring(memory);
        auto one = link.attach({Side::initiator});
        auto other = link.attach({Side::responder});
        say(one, 0);
        one.flush();
        ring.packets[0] = number;
        EXPECT_THROW(other.take(), Refused) << number;
        ring.ret_pks[1] = number;
        say(one, 1);
        EXPECT_THROW(one.flush(), Refused) << "paid with " << number;
    }
}

TEST(LyingPeer, PassesAnIndexNear2To32OrAPacketThatIsNone) {
    Needs needs;
    needs.timeout = 20ms;
    for (const std::uint32_t index : {0xffffffffU, 0x80000000U, 1024U}) {
        auto link = ByInterlink::create(needs);
        const LinkMemory memory = look_at<snabb::Interlink>(link.link_spoken_by(Side::initiator));
        auto& ring = snabb::Interlink::ring(memory);
        ring.read = ring.write = ring.lread = ring.nread = ring.nwrite = ring.lwrite = index;
        auto one = link.attach({Side::initiator});
        auto other = link.attach({Side::responder});
        for (std::uint64_t i = 0; i < 3000; ++i) {
            say(one, i);
            hear(other, i);
        }
    }
    for (const PacketNumber number : {PacketNumber{0}, PacketNumber{1033}, ~PacketNumber{0}}) {
        auto link = ByInterlink::create(needs);
        const LinkMemory memory = look_at<snabb::Interlink>(link.link_spoken_by(Side::initiator));
        auto one = link.attach({Side::initiator});
        auto other = link.attach({Side::responder});
        say(one, 0);
        snabb::Interlink::slots(memory)[0] = number;
        EXPECT_THROW(other.take(), Refused) << number;
    }
}

// ---------------------------------------------------------------------------------------------
// Waiting.

TEST(AdaptiveSleep, Sleeps) {
    std::async(std::launch::async, [] {
        int looks_in_vain = 100;
        AdaptiveSleep<SystemAtomics>::Bell bell;
        const auto start = Clock::now();
        AdaptiveSleep<SystemAtomics>::wait_until(
            bell, [&](std::memory_order) { return looks_in_vain-- == 0; }, [] {});
        EXPECT_GE(Clock::now() - start, 5050us) << "1 + 2 + ... + 100";
    }).get();
}

TEST(AdaptiveSleep, GrowsByOneMicrosecondAndIsHalvedByWork) {
    std::async(std::launch::async, [] {
        const auto wait_for = [](int looks_in_vain) {
            AdaptiveSleep<SystemAtomics>::Bell bell;
            AdaptiveSleep<SystemAtomics>::wait_until(
                bell, [&](std::memory_order) { return looks_in_vain-- == 0; }, [] {});
            return AdaptiveSleep<SystemAtomics>::nap_us();
        };
        EXPECT_EQ(wait_for(0), 0);
        EXPECT_EQ(wait_for(20), 10);
        EXPECT_EQ(wait_for(4), 7);
        EXPECT_EQ(wait_for(0), 3);
        EXPECT_EQ(wait_for(150), 50) << "never more than 100";
        EXPECT_EQ(wait_for(0), 25);
    }).get();
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
