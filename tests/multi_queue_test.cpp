// A stream over several memif queues between two real processes: every packet arrives, in order, on
// its own queue; what goes wrong fails the row, and nothing is left behind.
#include "harness/multi_queue/measurement.hpp"

#include "harness/multi_queue/findings.hpp"
#include "harness/multi_queue/side.hpp"
#include "harness/payload.hpp"

#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>

namespace ipclab {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

const Conditions conditions{
    .scenario = "test", .batch = 1ms, .autogroup_nice = {}, .payload_costs = {}};

std::string listening_sockets() {
    std::ifstream unix_sockets("/proc/net/unix");
    std::string found;
    for (std::string line; std::getline(unix_sockets, line);)
        if (line.find(fmt::format("@ipclab-multi-queue-{}-", ::getpid())) != std::string::npos)
            found.append(line).append("\n");
    return found;
}

std::ptrdiff_t entries_of(const char* folder) {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

/// Each test leaves what it found.
class QueueStream : public testing::Test {
  protected:
    void SetUp() override {
        if (usable_cpus() < 2) GTEST_SKIP() << "this process may use one CPU only";
        descriptors_ = entries_of("/proc/self/fd");
    }
    void TearDown() override {
        if (IsSkipped()) return;
        EXPECT_EQ(listening_sockets(), "");
        EXPECT_EQ(entries_of("/proc/self/fd"), descriptors_);
    }
    SessionMemory memory_;

  private:
    std::ptrdiff_t descriptors_ = 0;
};

/// Both sides as they are, but `sender` in the place of the initiator's.
class SendsOtherwise : public Subject {
  public:
    using Send = void (*)(memif::Interface& interface, const QueueCell& cell, const Leg& leg);

    SendsOtherwise(const QueueCell& cell, Send sender)
        : cell_(cell), sender_(sender), socket_(unused_memif_socket()) {}
    void stand_aside() override {}
    void converse(Player& player) override {
        player.before_attach();
        memif::Interface interface(queue_options(cell_, player.side(), socket_));
        await_connection(interface, cell_);
        QueueSide side(interface, cell_, player.side());
        player.after_attach();
        player.answer();
        player.serve([&](const Order& order) {
            if (player.side() == Side::responder)
                side.play(player, order.leg);
            else
                player.measure([&] { sender_(interface, cell_, order.leg); });
        });
    }

  private:
    QueueCell cell_;
    Send sender_;
    std::string socket_;
};

void send_on(memif::Interface& interface, std::uint16_t queue, View packet) {
    while (!interface.transmit(queue).send(packet)) SystemAtomics::yield();
    interface.transmit(queue).flush();
}

/// All on queue 0, and the last one is what `spoil` makes of it.
template <auto spoil>
void send_and_spoil(memif::Interface& interface, const QueueCell& cell, const Leg& leg) {
    std::vector<std::byte> packet(cell.size_bytes);
    for (std::uint64_t i = 0; i < leg.messages; ++i) {
        payload::fill(packet, sequence_on(0, leg.first + i));
        std::uint16_t queue = 0;
        if (i + 1 == leg.messages) spoil(Bytes(packet), queue, leg.first + i);
        send_on(interface, queue, packet);
    }
}
void as_it_is(Bytes /*packet*/, std::uint16_t& /*queue*/, std::uint64_t /*number*/) {}
void one_wrong_byte(Bytes packet, std::uint16_t& /*queue*/, std::uint64_t /*number*/) {
    packet.back() ^= std::byte{1};
}
void out_of_order(Bytes packet, std::uint16_t& /*queue*/, std::uint64_t number) {
    payload::fill(packet, sequence_on(0, number + 1));
}
void on_another_queue(Bytes /*packet*/, std::uint16_t& queue, std::uint64_t /*number*/) {
    queue = 1;
}

class EveryWayToServeQueues
    : public QueueStream,
      public testing::WithParamInterface<std::tuple<std::size_t, QueueThreads, QueueMode>> {};

TEST_P(EveryWayToServeQueues, EveryPacketArrivesInOrderOnItsQueue) {
    const auto [queues, threads, mode] = GetParam();
    for (const std::size_t size_bytes : {std::size_t{1}, std::size_t{9000}}) {
        const QueueCell cell{queues, threads, mode, size_bytes, 7};
        const Row row = measure_queues(cell, conditions, 3, 1, memory_);
        SCOPED_TRACE(row.json.dump());
        ASSERT_TRUE(row.status == RowStatus::ok || row.status == RowStatus::disturbed);
        EXPECT_EQ(row.json["type"], "multi_queue");
        EXPECT_EQ(row.json["threads_share_a_cpu"],
                  threads == QueueThreads::per_queue && queues > 1);
        EXPECT_GT(row.figure_ns, 0);
        const auto counts = row.json["queue_messages"].get<std::vector<std::uint64_t>>();
        ASSERT_EQ(counts.size(), queues);
        EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}),
                  row.json["messages"].get<std::uint64_t>());
        EXPECT_GE(row.json["fairness"].get<double>(), 0.0);
        EXPECT_LE(row.json["fairness"].get<double>(), 1.0);
        EXPECT_GT(row.json["initiator"]["cpu_ns"].get<double>(), 0.0);
        EXPECT_GT(row.json["responder"]["cpu_ns"].get<double>(), 0.0);
    }
}

INSTANTIATE_TEST_SUITE_P(, EveryWayToServeQueues,
                         testing::Combine(testing::Values(1, 3),
                                          testing::ValuesIn(all_queue_threads),
                                          testing::ValuesIn(all_queue_modes)),
                         [](const auto& test) {
                             return fmt::format("{}_{}_{}", std::get<0>(test.param),
                                                name_of(std::get<1>(test.param)),
                                                name_of(std::get<2>(test.param)));
                         });

TEST_F(QueueStream, WhatIsWrongWithAPacketFailsTheRow) {
    const auto status_with = [&](SendsOtherwise::Send sender, std::string* reason) {
        const Row row =
            measure_queues({.queues = 2}, conditions, 1, 1, memory_, [&](const QueueCell& cell) {
                return std::make_unique<SendsOtherwise>(cell, sender);
            });
        if (row.json["reason"].is_string()) *reason = row.json["reason"];
        return row.status;
    };
    std::string reason;
    EXPECT_NE(status_with(&send_and_spoil<as_it_is>, &reason), RowStatus::failed) << reason;
    for (const auto sender : {&send_and_spoil<one_wrong_byte>, &send_and_spoil<out_of_order>,
                              &send_and_spoil<on_another_queue>}) {
        EXPECT_EQ(status_with(sender, &reason), RowStatus::failed);
        EXPECT_THAT(reason, HasSubstr("responder: 1 of 1 messages had a wrong payload"));
    }
}

template <Side killed>
class IsKilled : public Subject {
  public:
    explicit IsKilled(const QueueCell& cell) : real_(create_subject(cell)) {}
    void stand_aside() override {}
    void converse(Player& player) override {
        if (player.side() == killed) {  // in the middle of the batch
            const timespec soon{.tv_sec = 0, .tv_nsec = 100'000'000};
            timer_t timer{};
            sigevent what{};
            what.sigev_notify = SIGEV_SIGNAL;
            what.sigev_signo = SIGKILL;
            ::timer_create(CLOCK_MONOTONIC, &what, &timer);
            const itimerspec once{.it_interval = {}, .it_value = soon};
            ::timer_settime(timer, 0, &once, nullptr);
        }
        real_->converse(player);
    }

  private:
    std::unique_ptr<Subject> real_;
};

template <Side killed>
Row row_with_a_killed_side(const QueueCell& cell, SessionMemory& memory) {
    Conditions long_batch = conditions;
    long_batch.batch = 10s;
    return measure_queues(cell, long_batch, 1, 1, memory, [](const QueueCell& made) {
        return std::make_unique<IsKilled<killed>>(made);
    });
}

TEST_F(QueueStream, AKilledSideFailsTheRow) {
    for (const QueueThreads threads : all_queue_threads)
        for (const QueueMode mode : all_queue_modes) {
            const QueueCell cell{.queues = 2, .threads = threads, .mode = mode, .burst = 32};
            Row row = row_with_a_killed_side<Side::initiator>(cell, memory_);
            EXPECT_EQ(row.status, RowStatus::failed);
            EXPECT_EQ(row.json["reason"], "initiator: killed by signal 9");
            row = row_with_a_killed_side<Side::responder>(cell, memory_);
            EXPECT_EQ(row.status, RowStatus::failed);
            EXPECT_EQ(row.json["reason"], "responder: killed by signal 9");
        }
}

TEST(MultiQueueCells, AreSkippedWithAReason) {
    EXPECT_EQ(reason_to_skip(QueueCell{}, 2), std::nullopt);
    EXPECT_EQ(reason_to_skip(QueueCell{}, 1), "this process may use one CPU only");
    EXPECT_EQ(reason_to_skip(QueueCell{.size_bytes = 4U << 20}, 2),
              "a packet of 4 MiB needs more than half of a queue's buffers");
    const Row row = queue_row_without_figures({}, conditions, 0, RowStatus::skipped, "why");
    EXPECT_EQ(row.json["status"], "skipped");
    EXPECT_EQ(row.json["reason"], "why");
}

// ---- what is found in rows ----

RecordedQueueRow recorded(int round, double packet_ns, double fairness) {
    RecordedQueueRow row;
    row.scenario = "test";
    row.round = round;
    row.has_figures = true;
    row.distance = "shared L3";
    row.cell = {.queues = 2};
    row.packet_ns = packet_ns;
    row.fairness = fairness;
    return row;
}

TEST(MultiQueueFindings, AreMediansOfTheRowsThatCount) {
    std::vector<RecordedQueueRow> rows;
    for (int round = 1; round <= 7; ++round) rows.push_back(recorded(round, 100.0 + round, 0.5));
    rows.push_back(recorded(8, 1, 0));
    rows.back().status = RowStatus::disturbed;
    rows.push_back(recorded(9, 1, 0));
    rows.back().distance = "far";
    const MultiQueue found = find_multi_queue(rows, "shared L3");
    ASSERT_EQ(found.findings.size(), 1U);
    const QueueFinding& finding = found.findings.front();
    EXPECT_EQ(finding.state, CellState::measured);
    EXPECT_EQ(finding.pairs, 7U);
    EXPECT_DOUBLE_EQ(finding.packets_per_s.median, 1e9 / 104);
    EXPECT_DOUBLE_EQ(finding.bytes_per_s.median, 64e9 / 104);
    EXPECT_DOUBLE_EQ(finding.fairness, 0.5);
    EXPECT_EQ(finding.left_out.disturbed, 1U);
    EXPECT_EQ(finding.left_out.other_distance, 1U);
    EXPECT_THAT(terminal_report(found), HasSubstr("9.62 M/s"));
    EXPECT_THAT(terminal_report(found), HasSubstr("fair 0.50"));
    EXPECT_THAT(markdown_report(found), HasSubstr("| 0.50 |"));
}

TEST(MultiQueueFindings, TellWhyThereAreNone) {
    RecordedQueueRow row = recorded(1, 0, 0);
    row.has_figures = false;
    row.status = RowStatus::failed;
    row.reason = "responder: killed by signal 9";
    const MultiQueue found = find_multi_queue({row}, "");
    EXPECT_EQ(found.findings.front().state, CellState::failed);
    EXPECT_THAT(terminal_report(found), HasSubstr("failed"));
    EXPECT_THAT(markdown_report(found), HasSubstr("failed: responder: killed by signal 9"));
    ASSERT_EQ(warnings_of(found).size(), 1U);
    EXPECT_THAT(warnings_of(found).front(), HasSubstr("1 row of multi-queue failed"));
}

}  // namespace
}  // namespace ipclab
