// The loops and what is made of their samples, over an endpoint that misbehaves on purpose; the
// order of rounds; whole pairs of processes that fail.
#include "harness/measurement.hpp"
#include "harness/pattern.hpp"
#include "harness/runner.hpp"
#include "harness/statistics.hpp"

#include <algorithm>
#include <csignal>
#include <deque>
#include <functional>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace ipclab {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Ne;

/// What is sent comes back, after `interfere` had its way with it.
struct Echo {
    std::function<void(std::uint64_t, std::vector<std::byte>&)> interfere = [](auto, auto&) {};
    std::deque<std::vector<std::byte>> messages{};
    std::uint64_t sent = 0;

    void send(View out) {
        messages.emplace_back(out.begin(), out.end());
        interfere(sent++, messages.back());
    }
    std::size_t receive(Bytes in) {
        const std::vector<std::byte> message = messages.front();
        messages.pop_front();
        std::copy(message.begin(), message.end(), in.begin());
        return message.size();
    }
};
static_assert(CopyingSender<Echo> && CopyingReceiver<Echo>);

class Loop : public testing::Test {
  protected:
    /// Runs the initiator's loop over `echo`; the echo is the responder.
    std::vector<double> ping_pong(Leg leg) {
        std::vector<std::byte> out(size_bytes);
        std::vector<std::byte> in(size_bytes);
        samples_ns.resize(leg.messages / leg.stride + 1);
        Talker<Echo> talker{echo, out, in, leg.touch};
        const std::size_t samples = ping_pong_initiator(talker, leg, samples_ns);
        mismatches = talker.mismatches;
        LegResult result{.leg = leg};
        result.samples_ns = std::span(samples_ns).first(samples);
        return round_trips_ns(result);
    }

    Echo echo;
    std::size_t size_bytes = 100;
    std::vector<std::int64_t> samples_ns;
    std::uint64_t mismatches = 0;
};

TEST_F(Loop, CountsEachMessageOnceAndFindsThemRight) {
    EXPECT_EQ(ping_pong({.messages = 1000}).size(), 1000U);
    EXPECT_EQ(echo.sent, 1000U);
    EXPECT_EQ(mismatches, 0U);
}

TEST_F(Loop, OneStallShowsInTheMaximum) {
    echo.interfere = [](std::uint64_t i, auto&) {
        if (i == 777) std::this_thread::sleep_for(100ms);
    };
    const std::vector<double> sorted = ping_pong({.messages = 20'000});
    EXPECT_GE(sorted.back(), 100e6);
    EXPECT_LT(percentile<double>(sorted, 99), 100e6);
}

TEST_F(Loop, AStallOnceInFiveHundredMessagesShowsInTheLastThousandth) {
    echo.interfere = [](std::uint64_t i, auto&) {
        if (i % 500 == 250) std::this_thread::sleep_for(100ms);
    };
    const std::vector<double> sorted = ping_pong({.messages = 2000});
    EXPECT_GE(percentile<double>(sorted, 99.9), 100e6);
    EXPECT_LT(percentile<double>(sorted, 99), 100e6);
}

TEST_F(Loop, AStrideDoesNotHideAStallFromTheMaximum) {
    echo.interfere = [](std::uint64_t i, auto&) {
        if (i == 777) std::this_thread::sleep_for(100ms);
    };
    const std::vector<double> sorted = ping_pong({.messages = 16'000, .stride = 16});
    EXPECT_EQ(sorted.size(), 1000U);
    EXPECT_GE(sorted.back(), 99e6);
}

TEST_F(Loop, AChangedByteAnywhereIsFound) {
    for (const std::size_t size : {1U, 7U, 8U, 63U, 64U, 65U, 100U, 4096U, 4099U})
        for (const std::size_t place : {std::size_t{0}, size / 2, size - 1}) {
            size_bytes = size;
            echo = {};
            echo.interfere = [&](std::uint64_t i, auto& message) {
                if (i == 3) message[place] ^= std::byte{0x40};
            };
            ping_pong({.messages = 10});
            EXPECT_EQ(mismatches, 1U) << "size " << size << ", byte " << place;
        }
}

TEST_F(Loop, AnOldMessageInTheWrongPlaceIsFound) {
    std::vector<std::byte> old;
    echo.interfere = [&](std::uint64_t i, auto& message) {
        if (i == 3) old = message;
        if (i == 5) message = old;
    };
    ping_pong({.messages = 10});
    EXPECT_EQ(mismatches, 1U);
}

TEST_F(Loop, AShortMessageIsFound) {
    echo.interfere = [](std::uint64_t i, auto& message) {
        if (i == 3) message.pop_back();
    };
    ping_pong({.messages = 10});
    EXPECT_EQ(mismatches, 1U);
}

TEST_F(Loop, TouchingTheHeaderOnlySeesTheHeaderOnly) {
    echo.interfere = [](std::uint64_t, auto& message) { message[50] ^= std::byte{1}; };
    ping_pong({.messages = 10, .touch = Touch::header});
    EXPECT_EQ(mismatches, 0U);
    echo.interfere = [](std::uint64_t, auto& message) { message[5] ^= std::byte{1}; };
    ping_pong({.messages = 10, .touch = Touch::header});
    EXPECT_EQ(mismatches, 10U);
}

TEST(Order, IsAPermutationThatTheSeedReproduces) {
    const auto order = order_of_round(100, 7, 3);
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], i);
    EXPECT_EQ(order, order_of_round(100, 7, 3));
    EXPECT_THAT(order_of_round(100, 7, 4), Ne(order));
    EXPECT_THAT(order_of_round(100, 8, 3), Ne(order));
    EXPECT_THAT(order_of_round(100, 7 + (std::uint64_t{1} << 32), 3), Ne(order));
}

TEST(Order, IsTheSameOnEveryMachine) {
    EXPECT_THAT(order_of_round(8, 1, 1), testing::ElementsAre(4, 0, 3, 6, 5, 1, 7, 2));
    EXPECT_TRUE(order_of_round(0, 1, 1).empty());
}

// ---------------------------------------------------------------------------------------------
// Whole pairs.

constexpr Cell pipe_cell() {
    return {.mechanism = "pipe",
            .pattern = Pattern::ping_pong,
            .size_bytes = 64,
            .placement = Placement::same_cpu};
}

TEST(Pair, EveryRowOfASmallScenarioHasItsFigures) {
    SessionMemory memory;
    Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    for (const Facts& facts : catalog_facts())
        for (const Pattern pattern : patterns)
            for (const Placement placement : placements) {
                const std::size_t size_bytes = facts.sender == Dialect::notifies ? 0 : 3000;
                const Cell cell{std::string(facts.name), pattern, size_bytes, Access::copy,
                                placement};
                if (reason_to_skip(cell, usable_cpus(), false)) continue;
                const Row row = measure(cell, conditions, 1, 1, memory);
                SCOPED_TRACE(row.json.dump());
                if (row.status == RowStatus::skipped) {  // for want of huge pages, say
                    EXPECT_FALSE(row.json["reason"].get<std::string>().empty());
                    continue;
                }
                EXPECT_TRUE(row.status == RowStatus::ok || row.status == RowStatus::disturbed);
                EXPECT_GT(row.figure_ns, 0);
                EXPECT_GT(row.json["messages"], 0);
                EXPECT_GT(row.json["elapsed_ns"], 0);
                EXPECT_GT(row.json["reference_before"]["round_trip_ns"], 0.0);
                EXPECT_GT(row.json["reference_after"]["round_trip_ns"], 0.0);
                EXPECT_EQ(row.json.contains("lifecycle"), pattern == Pattern::lifecycle);
                EXPECT_TRUE(row.json["capacity_asked_bytes"].is_null());
                EXPECT_GT(row.json["initiator"]["cpu_ns"], 0);
                EXPECT_GT(row.json["responder"]["cpu_ns"], 0);
                EXPECT_EQ(row.json.contains("round_trip_ns"), pattern == Pattern::ping_pong);
                EXPECT_EQ(row.json.contains("bytes_per_s"), pattern == Pattern::stream);
            }
}

/// A mechanism whose responder comes to grief when told to.
class Fragile : public Subject {
  public:
    explicit Fragile(std::function<void(Player&)> in_responder)
        : in_responder_(std::move(in_responder)) {}
    void stand_aside() override {}
    void converse(Player& player) override {
        player.answer();
        player.serve([&](const Order&) {
            if (player.side() == Side::responder)
                in_responder_(player);
            else
                ::pause();
        });
    }

  private:
    std::function<void(Player&)> in_responder_;
};

std::string failure_of(std::function<void(Player&)> in_responder) {
    SessionMemory memory;
    Fragile subject(std::move(in_responder));
    Session session(subject, cpus_for(Placement::same_cpu), memory);
    try {
        session.run_leg(1);
    } catch (const PairFailed& failed) {
        return failed.what();
    }
    return "nothing failed";
}

TEST(Pair, AKilledProcessEndsThePairWithItsName) {
    EXPECT_EQ(failure_of([](Player&) { ::raise(SIGKILL); }), "responder: killed by signal 9");
}

TEST(Pair, AnExceptionEndsThePairWithItsText) {
    EXPECT_EQ(failure_of([](Player&) { throw TimedOut("receive"); }),
              "responder: receive: nothing came in time (Connection timed out)");
}

TEST(Pair, AnUnexpectedExitEndsThePair) {
    EXPECT_EQ(failure_of([](Player&) { ::_exit(3); }), "responder: ended with status 3");
}

TEST(Pair, NoProcessOutlivesItsSession) {
    failure_of([](Player&) { ::raise(SIGKILL); });
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST(Pair, AWrongPayloadFailsTheRow) {
    class Corrupting : public Subject {
      public:
        void stand_aside() override {}
        void converse(Player& player) override {
            player.answer();
            Echo echo;
            if (player.side() == Side::initiator)
                echo.interfere = [](std::uint64_t, auto& message) { message[1] ^= std::byte{1}; };
            player.serve([&](const Order& order) {
                if (player.side() == Side::initiator)
                    player.play(echo, Pattern::ping_pong, 64, order.leg);
                else
                    player.measure([] {});
            });
        }
    } subject;
    SessionMemory memory;
    Session session(subject, cpus_for(Placement::same_cpu), memory);
    EXPECT_THAT([&] { session.run_leg(10); },
                testing::ThrowsMessage<PairFailed>(
                    HasSubstr("initiator: 10 of 10 messages had a wrong payload")));
}

TEST(Pair, AStreamMayHaveMoreMessagesThanThereIsRoomForSamples) {
    SessionMemory memory;
    Cell cell = pipe_cell();
    cell.pattern = Pattern::stream;
    const auto subject = create_subject(cell);
    Session session(*subject, cpus_for(cell.placement), memory);
    const LegResult result = session.run_leg(SessionMemory::samples_max + 1);
    EXPECT_EQ(result.leg.messages, SessionMemory::samples_max + 1);
    EXPECT_TRUE(result.samples_ns.empty());
}

TEST(Pair, MoreSamplesThanThereIsRoomForAreRefused) {
    SessionMemory memory;
    const auto subject = create_subject(pipe_cell());
    Session session(*subject, cpus_for(Placement::same_cpu), memory);
    EXPECT_THAT(
        [&] { session.run_leg(SessionMemory::samples_max + 1); },
        testing::ThrowsMessage<PairFailed>(HasSubstr("more samples than there is room for")));
}

TEST(Pair, AMechanismThatCannotBeMadeIsASkippedRow) {
    SessionMemory memory;
    Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit few{3, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    const Row row = measure(pipe_cell(), conditions, 1, 1, memory);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(row.status, RowStatus::skipped);
    EXPECT_EQ(row.json["status"], "skipped");
    EXPECT_THAT(row.json["reason"].get<std::string>(), HasSubstr("Too many open files"));
}

TEST(Pair, ACapacityBeyondALimitIsASkippedRowThatNamesTheLimit) {
    SessionMemory memory;
    Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    const Cell cell{.mechanism = "posix-mq",
                    .size_bytes = 64,
                    .placement = Placement::same_cpu,
                    .capacity_bytes = std::size_t{1} << 40};
    const Row row = measure(cell, conditions, 1, 1, memory);
    EXPECT_EQ(row.status, RowStatus::skipped);
    EXPECT_THAT(row.json["reason"].get<std::string>(), HasSubstr("/proc/sys/fs/mqueue/"));
}

TEST(Pair, WhatIsRefusedWhenAttachingIsASkippedRow) {
    SessionMemory memory;
    Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    const Cell cell{.mechanism = "spsc-ring/futex",
                    .size_bytes = 1 << 20,
                    .access = Access::in_place,
                    .placement = Placement::same_cpu,
                    .capacity_bytes = 65536};
    const Row row = measure(cell, conditions, 1, 1, memory);
    EXPECT_EQ(row.status, RowStatus::skipped);
    EXPECT_THAT(row.json["reason"].get<std::string>(), HasSubstr("in rounds"));
    EXPECT_EQ(row.json["capacity_asked_bytes"], 65536);
}

TEST(Pair, LessRoomThanTheMessageMakesItTravelInRounds) {
    SessionMemory memory;
    Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    Cell cell{.mechanism = "spsc-ring/futex",
              .size_bytes = 1 << 20,
              .placement = Placement::same_cpu,
              .capacity_bytes = 65536};
    const Row in_rounds = measure(cell, conditions, 1, 1, memory);
    EXPECT_GT(in_rounds.json["fragments"], 3) << in_rounds.json;
    EXPECT_LT(in_rounds.json["capacity_bytes"], 1 << 20);
    cell.capacity_bytes = 0;
    EXPECT_EQ(measure(cell, conditions, 1, 1, memory).json["fragments"], 1);
}

TEST(Pair, ABatchGoesThereAndThenBack) {
    SessionMemory memory;
    const Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    for (const char* mechanism : {"pipe", "posix-shm/semaphore", "spsc-ring/futex"}) {
        const Cell cell{.mechanism = mechanism,
                        .size_bytes = 64,
                        .placement = Placement::same_cpu,
                        .batch_messages = 32};
        const Row row = measure(cell, conditions, 1, 1, memory);
        SCOPED_TRACE(row.json.dump());
        EXPECT_EQ(row.json["batch_messages_asked"], 32);
        EXPECT_EQ(row.json["messages"].get<int>() % 32, 0);
        EXPECT_EQ(row.json["bytes_in_flight_max"], 64 * 32);
        EXPECT_LE(row.json["publish_every"], 32);
        EXPECT_EQ(row.json["stores"], "plain");
        const double exchanges = row.json["messages"].get<double>() / 32;
        EXPECT_NEAR(row.json["round_trip_ns"]["mean"].get<double>() * exchanges,
                    row.json["elapsed_ns"].get<double>(), 1);
    }
}

TEST(Pair, ALifeHasItsStepsAndTheySumUp) {
    SessionMemory memory;
    Conditions conditions{
        .scenario = "test", .batch = 2ms, .autogroup_nice = {}, .payload_costs = {}};
    const Cell cell{.mechanism = "spsc-ring/futex",
                    .pattern = Pattern::lifecycle,
                    .size_bytes = 1 << 20,
                    .access = Access::in_place,
                    .placement = Placement::same_cpu};
    const Row row = measure(cell, conditions, 1, 1, memory);
    SCOPED_TRACE(row.json.dump());
    const auto& life = row.json["lifecycle"];
    const auto step = [&](const char* name) {
        EXPECT_GT(life[name], 0) << name;
        return life[name].get<std::int64_t>();
    };
    const std::int64_t attach_ns =
        std::max(step("attach_initiator_ns"), step("attach_responder_ns"));
    const std::int64_t detach_ns =
        std::max(step("detach_initiator_ns"), step("detach_responder_ns"));
    EXPECT_EQ(row.json["life_ns"], step("create_ns") + attach_ns + step("first_message_ns") +
                                       detach_ns + step("destroy_ns"));
    EXPECT_EQ(row.json["messages"], 1);
    // A megabyte has 256 pages, and each side maps them, be it when it attaches or by touching
    // them.
    for (const char* side : {"initiator", "responder"})
        EXPECT_GT(life[fmt::format("attach_{}_minor_faults", side)].get<int>() +
                      row.json[side]["minor_faults"].get<int>(),
                  0)
            << side;
}

TEST(Skip, SaysWhy) {
    Cell cell{.mechanism = "spsc-ring/spin", .placement = Placement::same_cpu};
    EXPECT_THAT(*reason_to_skip(cell, 2, false), HasSubstr("time slice"));
    EXPECT_FALSE(reason_to_skip(cell, 2, true));
    cell.placement = Placement::two_cpus;
    EXPECT_FALSE(reason_to_skip(cell, 2, false));
    EXPECT_THAT(*reason_to_skip(cell, 1, false), HasSubstr("one CPU only"));
    cell = {.mechanism = "udp", .batch_messages = 8};
    EXPECT_THAT(*reason_to_skip(cell, 2, false), HasSubstr("loses messages"));
    cell.batch_messages = 1;
    EXPECT_FALSE(reason_to_skip(cell, 2, false));
}

}  // namespace
}  // namespace ipclab
