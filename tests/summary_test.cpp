// A run is made of rows with known figures, and everything that is shown of it is looked at.
#include "harness/summary.hpp"

#include "harness/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::DoubleEq;
using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::Optional;
using testing::SizeIs;

// ---- rows and runs ----

Json context() {
    return {{"type", "context"},
            {"schema", run_schema},
            {"scenarios", {"quick"}},
            {"questions", {"What does it cost?"}},
            {"utc", "2026-11-21T13:00:00Z"},
            {"host", "vm"},
            {"commit", "abc1234"},
            {"cpu_model", "Some CPU"},
            {"cpus_online", 2},
            {"cpus", {{"same_cpu", {1, 1}}, {"two_cpus", {0, 1}}}},
            {"caches", {{"l1d_bytes", 32768}, {"l1d_cpus", "0"}, {"l2_bytes", nullptr}}},
            {"load_average", {0.5, 0.25, 0.125}},
            {"hypervisor", "kvm"},
            {"build_type", "Release"},
            {"seed", 1},
            {"interval_width_target", 0.05}};
}

Json reference(const std::string& distance) {
    return {{"kind", distance == "same CPU" ? "context_switch" : "cache_line"},
            {"round_trip_ns", distance == "far" ? 500 : 104},
            {"class", distance}};
}

Json side(double cpu_ns) {
    return {{"cpu_ns", cpu_ns},
            {"voluntary_switches", 1000},
            {"involuntary_switches", 10},
            {"minor_faults", 5000}};
}

/// A pair of 1000 round trips of 64 B through a pipe, of which the initiator spends 3 µs each.
Json row(double round_trip_ns, const Json& changes = Json::object()) {
    Json made{{"type", "row"},
              {"scenario", "quick"},
              {"mechanism", "pipe"},
              {"pattern", "ping_pong"},
              {"size_bytes", 64},
              {"access", "copy"},
              {"waiting", "sleeps"},
              {"placement", "two_cpus"},
              {"round", 1},
              {"attempt", 1},
              {"status", "ok"},
              {"reason", nullptr},
              {"messages", 1000},
              {"fragments", 1},
              {"capacity_bytes", 65528},
              {"publish_every", 1},
              {"touch", "all"},
              {"closed_loop", true},
              {"stride", 1},
              {"round_trip_ns",
               {{"p50", round_trip_ns},
                {"p90", 2 * round_trip_ns},
                {"p99", nullptr},
                {"p99_9", nullptr},
                {"max", 10 * round_trip_ns}}},
              {"initiator", side(3'000'000)},
              {"responder", side(2'000'000)},
              {"reference_before", reference("shared L3")},
              {"reference_after", reference("shared L3")},
              {"bound_by", nullptr}};
    made.update(changes);
    return made;
}

Json stream_row(double message_ns, const Json& changes = Json::object()) {
    Json made = row(1, {{"pattern", "stream"}, {"message_ns", message_ns}, {"closed_loop", false}});
    made.erase("round_trip_ns");
    made.erase("stride");
    made.update(changes);
    return made;
}

/// A life whose steps take 1 µs, 2 µs … 7 µs.
Json life_row(const Json& changes = Json::object()) {
    Json made = row(1, {{"pattern", "lifecycle"},
                        {"messages", 1},
                        {"closed_loop", false},
                        {"life_ns", 20'000},
                        {"lifecycle",
                         {{"create_ns", 1000},
                          {"attach_initiator_ns", 2000},
                          {"attach_responder_ns", 3000},
                          {"first_message_ns", 4000},
                          {"detach_initiator_ns", 6000},
                          {"detach_responder_ns", 5000},
                          {"destroy_ns", 7000},
                          {"attach_initiator_minor_faults", 20},
                          {"attach_responder_minor_faults", 22}}}});
    made.erase("round_trip_ns");
    made.update(changes);
    return made;
}

/// A row without figures, as short as it may be.
Json bare_row(const std::string& status, const std::string& reason,
              const Json& changes = Json::object()) {
    Json made{{"type", "row"},    {"scenario", "quick"}, {"mechanism", "pipe"},
              {"size_bytes", 64}, {"access", "copy"},    {"pattern", "ping_pong"},
              {"round", 0},       {"attempt", 1},        {"placement", "two_cpus"},
              {"status", status}, {"reason", reason}};
    made.update(changes);
    return made;
}

Json at(const std::string& distance) {
    return {{"reference_before", reference(distance)}, {"reference_after", reference(distance)}};
}

RecordedRun run_of(std::vector<Json> rows, const std::string& stopped_by = "width") {
    RecordedRun run;
    run.context = context();
    run.rows = std::move(rows);
    run.end = Json{{"type", "end"}, {"stopped_by", stopped_by}, {"elapsed_s", 12.3}};
    return run;
}

/// So many pairs, one per cent apart around the figure.
std::vector<Json> pairs(std::size_t count, double figure_ns, const Json& changes = Json::object()) {
    std::vector<Json> rows;
    for (std::size_t i = 0; i < count; ++i) {
        const double offset = static_cast<double>(i) - static_cast<double>(count - 1) / 2;
        rows.push_back(row(figure_ns * (1 + 0.01 * offset), changes));
    }
    return rows;
}

std::vector<Json> operator+(std::vector<Json> rows, const std::vector<Json>& more) {
    rows.insert(rows.end(), more.begin(), more.end());
    return rows;
}

const CellSummary& only_cell(const Summary& summary) {
    EXPECT_THAT(summary.cells, SizeIs(1));
    return summary.cells.at(0);
}

std::string terminal(const RecordedRun& run) { return terminal_table(summarise(run)); }

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

std::vector<std::size_t> widths_of(const std::string& text) {
    std::vector<std::size_t> widths;
    for (const std::string& line : lines_of(text)) widths.push_back(width_of(line));
    return widths;
}

/// The line that holds the words; empty where none does.
std::string line_with(const std::string& text, const std::string& words) {
    for (const std::string& line : lines_of(text))
        if (line.find(words) != std::string::npos) return line;
    return "";
}

/// The one warning that holds the words; empty where none does.
std::string warning_with(const RecordedRun& run, const std::string& words) {
    for (const std::string& warning : warnings_of(summarise(run)))
        if (warning.find(words) != std::string::npos) return warning;
    return "";
}

// ---- figures ----

TEST(SummaryTest, TheFigureIsTheMedianOverPairsOfTheirMedianRoundTrip) {
    const auto summary = summarise(run_of({row(20'000), row(90'000), row(21'000)}));
    EXPECT_THAT(only_cell(summary).figure_ns.median, DoubleEq(21'000));
}

TEST(SummaryTest, SixPairsHaveAnIntervalAndFiveHaveTheirNumberInItsPlace) {
    const auto five = summarise(run_of(pairs(5, 21'000)));
    EXPECT_FALSE(only_cell(five).figure_ns.interval);
    EXPECT_THAT(line_with(terminal_table(five), "pipe"), HasSubstr("21 µs n=5"));
    EXPECT_THAT(markdown_table(five), HasSubstr("21 µs (n=5)"));

    const auto six = summarise(run_of(pairs(6, 21'000)));
    ASSERT_TRUE(only_cell(six).figure_ns.interval);
    EXPECT_TRUE(only_cell(six).figure_ns.interval->contains(21'000));
    EXPECT_THAT(line_with(terminal_table(six), "pipe"), HasSubstr("21 µs ±2 %"));
    EXPECT_THAT(markdown_table(six), HasSubstr("21 µs [20.5 µs, 21.5 µs]"));
}

TEST(SummaryTest, StreamsAreToldInMessagesBelowOneKibAndInBytesFromThere) {
    const std::string table =
        terminal(run_of({stream_row(50), stream_row(50, {{"size_bytes", 1023}}),
                         stream_row(500, {{"size_bytes", 1024}})}));
    EXPECT_THAT(line_with(table, "pipe"), AllOf(HasSubstr("20 M msg/s"), HasSubstr("2.05 GB/s"),
                                                Not(HasSubstr("20.5 GB/s"))));
}

TEST(SummaryTest, CpuTimeAndSwitchesArePerRoundTripAndOfBothSides) {
    const auto summary = summarise(run_of({row(21'000)}));
    const auto& [initiator, responder] = only_cell(summary).sides;
    EXPECT_THAT(initiator.cpu_ns, Optional(DoubleEq(3000)));
    EXPECT_THAT(responder.cpu_ns, Optional(DoubleEq(2000)));
    EXPECT_THAT(initiator.voluntary_switches, Optional(DoubleEq(1)));
    EXPECT_THAT(initiator.involuntary_switches, Optional(DoubleEq(0.01)));
    EXPECT_THAT(terminal_table(summary), AllOf(HasSubstr("CPU at 64 B"), HasSubstr("3+2 µs")));
}

TEST(SummaryTest, PercentilesAreMediansOverThePairsThatHaveThem) {
    const auto with_p99 = [](double p99_ns) {
        Json changed = row(1000);
        changed["round_trip_ns"]["p99"] = p99_ns;
        return changed;
    };
    const auto half = summarise(run_of({with_p99(5000), with_p99(7000), row(1000), row(2000)}));
    EXPECT_THAT(only_cell(half).tail_ns.p90, Optional(DoubleEq(2000)));
    EXPECT_THAT(only_cell(half).tail_ns.p99, Optional(DoubleEq(6000)));
    EXPECT_FALSE(only_cell(half).tail_ns.p99_9);
    EXPECT_THAT(only_cell(half).tail_ns.max, Optional(DoubleEq(10'000)));
    EXPECT_THAT(only_cell(half).max_overall_ns, Optional(DoubleEq(20'000)));

    const auto fewer = summarise(run_of({with_p99(5000), row(1000), row(1000)}));
    EXPECT_FALSE(only_cell(fewer).tail_ns.p99);
}

TEST(SummaryTest, OutliersAreFlaggedAndCount) {
    const auto run = run_of(pairs(6, 20'000) + std::vector{row(90'000)});
    const auto summary = summarise(run);
    EXPECT_THAT(only_cell(summary).pairs, SizeIs(7));
    EXPECT_EQ(only_cell(summary).outliers, 1U);
    EXPECT_TRUE(only_cell(summary).pairs.back().outlier);
    EXPECT_THAT(warning_with(run, "far from the others"), HasSubstr("1 of 7 pairs"));
}

TEST(SummaryTest, AmongFewerThanSixPairsNoneIsAnOutlier) {
    EXPECT_EQ(only_cell(summarise(run_of({row(1000), row(1001), row(9000)}))).outliers, 0U);
}

TEST(SummaryTest, RowsThatDifferInASettingAreNeverMixed) {
    const auto summary = summarise(run_of(
        {row(1000), row(3000, {{"capacity_bytes", 4096}}), row(5000, {{"touch", "header"}})}));
    ASSERT_THAT(summary.cells, SizeIs(3));
    for (const CellSummary& cell : summary.cells) EXPECT_THAT(cell.pairs, SizeIs(1));
    EXPECT_THAT(terminal_table(summary), HasSubstr("pipe touch=header capacity_bytes=65528"));
}

TEST(SummaryTest, AnUntouchedPayloadIsNamedWhereAllRowsHaveIt) {
    EXPECT_THAT(terminal(run_of({row(1000, {{"touch", "header"}})})),
                HasSubstr("pipe touch=header"));
}

// ---- like with like ----

TEST(SummaryTest, OnlyRowsWithTheMostCommonDistanceCount) {
    const auto run = run_of(pairs(6, 20'000) + pairs(2, 90'000, at("far")));
    const auto summary = summarise(run);
    EXPECT_THAT(only_cell(summary).figure_ns.median, DoubleNear(20'000, 1));
    EXPECT_EQ(only_cell(summary).left_out.other_distance, 2U);
    EXPECT_EQ(summary.placements.at(Placement::two_cpus).distance, "shared L3");
    EXPECT_THAT(summary.placements.at(Placement::two_cpus).reference_ns, Optional(DoubleEq(104)));
    EXPECT_THAT(warning_with(run, "far"),
                AllOf(HasSubstr("2 rows on two CPUs"), HasSubstr("far in 2"),
                      HasSubstr("moves the virtual CPUs: run again")));
}

TEST(SummaryTest, TheDistanceIsThatOfThePlacementAndNotOfTheCell) {
    const auto run = run_of(pairs(6, 20'000) + pairs(2, 90'000,
                                                     {{"mechanism", "unix-stream"},
                                                      {"reference_before", reference("far")},
                                                      {"reference_after", reference("far")}}));
    const auto summary = summarise(run);
    ASSERT_THAT(summary.cells, SizeIs(2));
    EXPECT_EQ(summary.cells[1].state, CellState::other_distance);
    const std::string table = terminal_table(summary);
    EXPECT_THAT(line_with(table, "unix-stream"), HasSubstr("– (1)"));
    EXPECT_THAT(table, HasSubstr("(1) measured only while the CPUs were not as far apart"));
    EXPECT_THAT(warning_with(run, "far"), HasSubstr("leaves 1 cell without a figure"));
}

TEST(SummaryTest, EachPlacementHasItsOwnDistance) {
    const auto summary =
        summarise(run_of(pairs(6, 20'000) + pairs(1, 5'000,
                                                  {{"placement", "same_cpu"},
                                                   {"reference_before", reference("same CPU")},
                                                   {"reference_after", reference("same CPU")}})));
    EXPECT_EQ(summary.placements.at(Placement::same_cpu).distance, "same CPU");
    ASSERT_THAT(summary.cells, SizeIs(2));
    EXPECT_TRUE(summary.cells[0].has_figures());
    EXPECT_TRUE(summary.cells[1].has_figures());
}

TEST(SummaryTest, ARowDuringWhichTheCpusMovedDoesNotCount) {
    const auto summary =
        summarise(run_of({row(20'000), row(90'000, {{"reference_after", reference("far")},
                                                    {"status", "disturbed"},
                                                    {"reason", "the CPUs moved"}})}));
    EXPECT_THAT(only_cell(summary).pairs, SizeIs(1));
    EXPECT_EQ(only_cell(summary).left_out.other_distance, 1U);
}

TEST(SummaryTest, DisturbedRowsDoNotCountWhereThereAreOthers) {
    const auto run =
        run_of({row(20'000), row(90'000, {{"status", "disturbed"}, {"reason", "lost 12 %"}})});
    const auto summary = summarise(run);
    EXPECT_THAT(only_cell(summary).figure_ns.median, DoubleEq(20'000));
    EXPECT_EQ(only_cell(summary).left_out.disturbed, 1U);
    EXPECT_THAT(terminal_table(summary), Not(HasSubstr("for want of others")));
    EXPECT_THAT(warning_with(run, "other load"),
                AllOf(HasSubstr("1 row lost"), HasSubstr("ipclab doctor")));
}

TEST(SummaryTest, ACellWithDisturbedRowsOnlyIsShownAndMarked) {
    const Json disturbed{{"status", "disturbed"}, {"reason", "lost 12 %"}};
    const auto run = run_of(
        pairs(6, 20'000) + std::vector{row(90'000, disturbed)} +
        pairs(3, 50'000,
              {{"mechanism", "unix-stream"}, {"status", "disturbed"}, {"reason", "lost 12 %"}}));
    const auto summary = summarise(run);
    ASSERT_THAT(summary.cells, SizeIs(2));
    EXPECT_EQ(summary.cells[1].state, CellState::only_disturbed);
    const std::string table = terminal_table(summary);
    EXPECT_THAT(line_with(table, "unix-stream"), HasSubstr("50 µs n=3 d"));
    EXPECT_THAT(table, HasSubstr("d from disturbed measurements"));
    EXPECT_THAT(warning_with(run, "other load"),
                AllOf(HasSubstr("1 row lost"), HasSubstr("1 cell is shown from disturbed rows")));
}

TEST(SummaryTest, ARunWithNothingUndisturbedIsShownAllTheSame) {
    const auto summary =
        summarise(run_of(pairs(3, 50'000, {{"status", "disturbed"}, {"reason", "lost 12 %"}})));
    EXPECT_EQ(only_cell(summary).state, CellState::only_disturbed);
    EXPECT_THAT(only_cell(summary).figure_ns.median, DoubleNear(50'000, 1));
}

// ---- gaps ----

TEST(SummaryTest, ASkippedCellHasItsReasonUnderTheTableOnce) {
    const std::string reason = "mq_open: EINVAL (Invalid argument)";
    const std::string table = terminal(
        run_of({row(20'000), row(30'000, {{"size_bytes", 4096}}),
                bare_row("skipped", reason, {{"mechanism", "posix-mq"}}),
                bare_row("skipped", reason, {{"mechanism", "posix-mq"}, {"size_bytes", 4096}})}));
    EXPECT_THAT(table, HasSubstr(fmt::format("Not measured: posix-mq copy ({}).\n", reason)));
    EXPECT_EQ(table.find("posix-mq"), table.rfind("posix-mq"));
}

TEST(SummaryTest, ACellThatIsSkippedBesideOthersIsAGap) {
    const std::string table = terminal(run_of(
        {row(20'000), row(30'000, {{"size_bytes", 4096}}), row(20'000, {{"mechanism", "posix-mq"}}),
         bare_row("skipped", "msg_max is 10", {{"mechanism", "posix-mq"}, {"size_bytes", 4096}})}));
    EXPECT_THAT(line_with(table, "posix-mq"), HasSubstr("– (1)"));
    EXPECT_THAT(table, HasSubstr("(1) msg_max is 10\n"));
}

TEST(SummaryTest, WhatWasNotAskedForIsBlankAndNoGap) {
    const std::string table = terminal(run_of({row(20'000), row(30'000, {{"size_bytes", 4096}}),
                                               row(25'000, {{"mechanism", "unix-stream"}})}));
    EXPECT_THAT(line_with(table, "unix-stream"), HasSubstr("25 µs"));
    EXPECT_THAT(table, Not(HasSubstr("not reached")));
}

TEST(SummaryTest, NotificationsStandInAColumnWithoutPayload) {
    const auto summary = summarise(run_of(
        {row(20'000), row(9'000, {{"mechanism", "eventfd"}, {"size_bytes", 0}})}, "interrupt"));
    const std::string table = terminal_table(summary);
    EXPECT_THAT(line_with(table, "mechanism"), AllOf(HasSubstr("no payload"), HasSubstr("64 B")));
    EXPECT_THAT(line_with(table, "eventfd"), HasSubstr("9 µs"));
    EXPECT_THAT(table, Not(HasSubstr("not reached")));
    EXPECT_THAT(markdown_table(summary), HasSubstr("| no payload |"));
    for (const Json& entry : benchmark_json(summary)["benchmarks"])
        EXPECT_EQ(entry.contains("bytes_per_second"),
                  entry["name"].get<std::string>().starts_with("pipe"));
}

// ---- capacities ----

TEST(SummaryTest, CellsOfDifferentCapacitiesAskedAreApart) {
    const auto summary = summarise(run_of({row(20'000, {{"capacity_asked_bytes", nullptr}}),
                                           row(10'000, {{"capacity_asked_bytes", 65536}}),
                                           row(5'000, {{"capacity_asked_bytes", 1 << 20}})}));
    ASSERT_THAT(summary.cells, SizeIs(3));
    const std::string table = terminal_table(summary);
    EXPECT_THAT(line_with(table, "mechanism "),
                AllOf(HasSubstr("default"), HasSubstr("64 KiB"), HasSubstr("1 MiB")));
    EXPECT_THAT(line_with(table, "  pipe"),
                AllOf(HasSubstr("20 µs"), HasSubstr("10 µs"), HasSubstr("5 µs")));
    EXPECT_THAT(table, HasSubstr("messages of 64 B by the capacity asked for"));
    EXPECT_THAT(benchmark_json(summary).dump(), HasSubstr("two_cpus/capacity:65536"));
}

TEST(SummaryTest, AmongSeveralSizesTheCapacityIsPartOfTheName) {
    const std::string table = terminal(run_of(
        {row(20'000), row(10'000, {{"capacity_asked_bytes", 65536}, {"size_bytes", 4096}})}));
    EXPECT_THAT(table, HasSubstr("pipe capacity=64 KiB"));
}

// ---- batches, stores, and what mechanisms count ----

TEST(SummaryTest, CellsOfDifferentBatchesAndStoresAskedAreApart) {
    const auto summary = summarise(run_of({row(20'000), row(40'000, {{"batch_messages_asked", 8}}),
                                           row(30'000, {{"stores_asked", "non-temporal"}})}));
    ASSERT_THAT(summary.cells, SizeIs(3));
    const std::string table = terminal_table(summary);
    EXPECT_THAT(line_with(table, "pipe batch=8"), HasSubstr("40 µs"));
    EXPECT_THAT(line_with(table, "pipe stores=non-temporal"), HasSubstr("30 µs"));
    const std::string json = benchmark_json(summary).dump();
    EXPECT_THAT(json, AllOf(HasSubstr("two_cpus/batch:8"), HasSubstr("/stores:non-temporal")));
}

TEST(SummaryTest, OfVeryManyLinesTheTerminalShowsThoseOfTheDefaults) {
    std::vector<Json> rows{row(20'000)};
    for (int batch = 1; batch <= 70; ++batch)
        rows.push_back(row(30'000, {{"batch_messages_asked", batch}}));
    const auto summary = summarise(run_of(rows));
    EXPECT_THAT(terminal_table(summary), AllOf(HasSubstr("  pipe "), Not(HasSubstr("batch=70")),
                                               HasSubstr("see summary.md")));
    EXPECT_THAT(markdown_table(summary), HasSubstr("`pipe batch=70`"));
    rows.erase(rows.begin());
    EXPECT_THAT(terminal_table(summarise(run_of(rows))), HasSubstr("batch=70"));
}

TEST(SummaryTest, AnExchangeOfABatchHasAllItsMessages) {
    const auto summary = summarise(run_of({row(40'000, {{"batch_messages_asked", 8}})}));
    EXPECT_DOUBLE_EQ(summary.cells.at(0).pairs.at(0).exchanges, 125);
    EXPECT_DOUBLE_EQ(*summary.cells.at(0).sides[0].cpu_ns, 24'000) << "eight there and eight back";
    EXPECT_DOUBLE_EQ(benchmark_json(summary)["benchmarks"][0]["messages_per_second"], 400'000);
}

TEST(SummaryTest, APageTellsWhatMechanismsCount) {
    const Json counters = {{"initiator", {{"packets", 1000}, {"cycles", 50}}},
                           {"responder", {{"txpackets", 64'000}, {"txcycles", 2000}}}};
    const auto page = [](const Json& one) { return markdown_table(summarise(run_of({one}))); };
    const std::string with = page(stream_row(100, {{"counters", counters}, {"stores", "plain"}}));
    EXPECT_THAT(line_with(with, "packets 1, cycles 0.05"),
                AllOf(HasSubstr("| 20 |"), HasSubstr("txpackets 64"), HasSubstr("tx 32")));
    EXPECT_THAT(with, HasSubstr("| plain |"));
    EXPECT_THAT(page(stream_row(100, {{"counters", nullptr}})),
                Not(HasSubstr("Counted by the mechanism")));
}

// ---- life cycles ----

TEST(SummaryTest, ALifeIsToldStepByStep) {
    const auto summary = summarise(run_of(std::vector<Json>(6, life_row())));
    EXPECT_THAT(only_cell(summary).figure_ns.median, DoubleEq(20'000));
    const std::array steps_ns{1e3, 2e3, 3e3, 4e3, 6e3, 5e3, 7e3};
    for (std::size_t i = 0; i < life_steps.size(); ++i) {
        EXPECT_THAT(only_cell(summary).life_ns[i].median, DoubleEq(steps_ns[i]));
        EXPECT_TRUE(only_cell(summary).life_ns[i].interval);
    }
    const std::string line = line_with(terminal_table(summary), "  pipe");
    EXPECT_THAT(line, AllOf(HasSubstr("64 B"), HasSubstr("1 µs"), HasSubstr("3 µs"),
                            HasSubstr("4 µs"), HasSubstr("6 µs"), HasSubstr("7 µs")));
    EXPECT_THAT(line, AllOf(Not(HasSubstr("2 µs")), Not(HasSubstr("5 µs"))));
    EXPECT_THAT(line, HasSubstr("42, 10000"));
    EXPECT_THAT(markdown_table(summary),
                AllOf(HasSubstr("| attach, initiator | attach, responder |"), HasSubstr("5 µs [")));
}

TEST(SummaryTest, ALifeThatWasRefusedHasItsReason) {
    const std::string table =
        terminal(run_of({life_row(), bare_row("skipped", "shmmni is 1",
                                              {{"pattern", "lifecycle"}, {"size_bytes", 4096}})}));
    EXPECT_THAT(table, HasSubstr("(1) shmmni is 1"));
    EXPECT_THAT(widths_of(table), Each(Le(120U)));
}

TEST(SummaryTest, ThirtySixMechanismsAreOneBlockInTheTerminal) {
    std::vector<Json> rows;
    for (int i = 0; i < 36; ++i)
        for (std::size_t size = 1; size <= 1 << 22; size *= 4)
            rows.push_back(row(
                20'000 + i, {{"mechanism", fmt::format("mechanism/{}", i)}, {"size_bytes", size}}));
    const std::string table = terminal(run_of(rows));
    EXPECT_THAT(widths_of(table), Each(Le(120U)));
    EXPECT_LT(lines_of(table).size(), 36U + 25U);
    EXPECT_THAT(line_with(table, "mechanism "), AllOf(HasSubstr("64 B"), HasSubstr("64 KiB")));
    EXPECT_THAT(table, HasSubstr("All sizes are in summary.md."));
}

TEST(SummaryTest, ASkippedMechanismIsStillUnderItsWayOfWaiting) {
    const auto summary =
        summarise(run_of({bare_row("skipped", "one CPU", {{"mechanism", "spsc-ring/spin"}})}));
    EXPECT_EQ(only_cell(summary).waiting, "spins");
}

TEST(SummaryTest, AFailedCellSaysSo) {
    const auto run = run_of(
        {row(20'000), bare_row("failed", "recv: ECONNRESET", {{"mechanism", "unix-stream"}})});
    const std::string table = terminal(run);
    EXPECT_THAT(line_with(table, "unix-stream"), HasSubstr("failed (1)"));
    EXPECT_THAT(table, HasSubstr("(1) recv: ECONNRESET"));
    EXPECT_THAT(warning_with(run, "failed"),
                HasSubstr("`ipclab run quick --mechanism unix-stream --size 64`"));
}

TEST(SummaryTest, AFailedPairAmongGoodOnesIsToldAndTheFigureStays) {
    const auto run = run_of({row(20'000), bare_row("failed", "recv: ECONNRESET")});
    EXPECT_THAT(line_with(terminal(run), "  pipe"), HasSubstr("20 µs"));
    EXPECT_THAT(warning_with(run, "failed"), HasSubstr("ECONNRESET"));
}

TEST(SummaryTest, ACellThatTheRunDidNotReachIsAGapWithAReason) {
    const std::string table = terminal(run_of({row(20'000), row(30'000, {{"size_bytes", 4096}}),
                                               row(25'000, {{"mechanism", "unix-stream"}})},
                                              "interrupt"));
    EXPECT_THAT(line_with(table, "unix-stream"), HasSubstr("– (1)"));
    EXPECT_THAT(table, HasSubstr("(1) not reached before the run ended"));
}

// ---- marks ----

TEST(SummaryTest, MarksStandBesideTheFigureAndTheirMeaningBelow) {
    const std::string table = terminal(run_of({row(
        900, {{"bound_by", "check"}, {"fragments", 9}, {"stride", 8}, {"size_bytes", 1 << 20}})}));
    EXPECT_THAT(line_with(table, "pipe"), HasSubstr("900 ns n=1 *~×9"));
    EXPECT_THAT(table, AllOf(HasSubstr("* bounded by writing or checking the payload"),
                             HasSubstr("~ samples are means of 8 exchanges"),
                             HasSubstr("×N the message travels in N fragments")));
}

TEST(SummaryTest, MarksThatAreNotUsedAreNotExplained) {
    const std::string table = terminal(run_of({row(20'000)}));
    EXPECT_THAT(table, AllOf(Not(HasSubstr("* bounded")), Not(HasSubstr("~ samples")),
                             Not(HasSubstr("×N")), Not(HasSubstr("d from disturbed"))));
}

TEST(SummaryTest, ACellIsBoundByThePayloadWhereMostOfItsPairsAre) {
    const Json bound{{"bound_by", "fill"}};
    EXPECT_FALSE(only_cell(summarise(run_of({row(1000, bound), row(1000)}))).bound_by);
    EXPECT_EQ(
        only_cell(summarise(run_of({row(1000, bound), row(1000), row(1000, bound)}))).bound_by,
        "fill");
}

// ---- the terminal's table ----

TEST(SummaryTest, NobodySeesASpinnerBesideASleeperWithoutBeingTold) {
    const auto run = run_of({row(300, {{"mechanism", "spsc-ring/spin"}, {"waiting", "spins"}}),
                             row(20'000), row(20'000, {{"mechanism", "unix-stream"}})});
    const auto lines = lines_of(terminal(run));
    const auto index_of = [&](const std::string& words) {
        return std::find_if(lines.begin(), lines.end(),
                            [&](const std::string& line) { return line.starts_with(words); }) -
               lines.begin();
    };
    const auto sleepers = index_of("while waiting: sleeps");
    const auto spinners = index_of("while waiting: spins");
    EXPECT_LT(sleepers, index_of("  pipe"));
    EXPECT_LT(index_of("  unix-stream"), spinners);
    EXPECT_LT(spinners, index_of("  spsc-ring/spin"));
    EXPECT_LT(index_of("  spsc-ring/spin"), static_cast<std::ptrdiff_t>(lines.size()));
    EXPECT_THAT(terminal(run), HasSubstr("Compare what waits in the same way"));

    const std::string page = markdown_table(summarise(run));
    EXPECT_THAT(page, HasSubstr("| `spsc-ring/spin` | copy | spins |"));
    EXPECT_THAT(page, HasSubstr("| `pipe` | copy | sleeps |"));
}

TEST(SummaryTest, TitlesTellScenarioPatternPlacementReferenceAndPairs) {
    const std::string table =
        terminal(run_of(pairs(6, 20'000) + pairs(7, 30'000, {{"size_bytes", 4096}})));
    EXPECT_THAT(table,
                HasSubstr("quick: round trip, there and back (ping_pong), on two CPUs (0, 1)"));
    EXPECT_THAT(table, HasSubstr("a cache line there and back in 104 ns (shared L3)"));
    EXPECT_THAT(table, HasSubstr("n = 6 to 7 process pairs; ± is half the 95 % interval"));
}

/// Seven mechanisms with everything that makes a line long.
std::vector<Json> long_rows(const std::vector<std::size_t>& sizes_bytes, double figure_ns) {
    std::vector<Json> rows;
    for (const char* mechanism : {"unix-stream", "posix-shm/condvar-x", "spsc-ring/spin-yield"})
        for (const char* access : {"copy", "in_place"})
            for (const std::size_t size : sizes_bytes)
                rows = rows +
                       pairs(6, figure_ns,
                             {{"mechanism", mechanism},
                              {"access", access},
                              {"size_bytes", size},
                              {"stride", size < 4096 ? 16 : 1},
                              {"fragments", size < (1 << 20) ? 1 : 128},
                              {"bound_by", size < (1 << 20) ? Json() : Json("check")},
                              {"waiting", mechanism[0] == 'u' ? "sleeps" : "spins then sleeps"}});
    return rows;
}

TEST(SummaryTest, FourSizesFitInto120Columns) {
    const std::string table = terminal(run_of(long_rows({64, 4096, 65536, 1 << 20}, 12'345)));
    EXPECT_THAT(widths_of(table), Each(Le(120U)));
    EXPECT_THAT(line_with(table, "mechanism"),
                AllOf(HasSubstr("64 B"), HasSubstr("1 MiB"), HasSubstr("CPU at 64 B")));
}

TEST(SummaryTest, WhereTheCpuTimeNeedsABlockOfItsOwnItIsToldAtAllSizes) {
    std::vector<Json> rows = long_rows({64, 4096, 65536, 1 << 20}, 12'345);
    for (Json& changed : rows) changed["fragments"] = 128;
    const std::string table = terminal(run_of(rows));
    EXPECT_THAT(widths_of(table), Each(Le(120U)));
    EXPECT_THAT(line_with(table, "mechanism"),
                AllOf(HasSubstr("64 B"), HasSubstr("1 MiB"), Not(HasSubstr("CPU"))));
    EXPECT_THAT(line_with(table, "CPU at 64 B"),
                AllOf(HasSubstr("CPU at 4 KiB"), HasSubstr("CPU at 1 MiB")));
}

TEST(SummaryTest, TwelveSizesGoIntoBlocksAndAllAreShown) {
    std::vector<std::size_t> sizes_bytes;
    for (std::size_t i = 0; i < 12; ++i) sizes_bytes.push_back(std::size_t{1} << (2 * i));
    const std::string table = terminal(run_of(long_rows(sizes_bytes, 123'456)));
    EXPECT_THAT(widths_of(table), Each(Le(120U)));
    std::string headers;
    std::size_t figures = 0;
    for (const std::string& line : lines_of(table)) {
        if (line.starts_with("mechanism")) headers += line;
        for (std::size_t at = 0; (at = line.find("123 µs ±2 %", at)) != std::string::npos; ++at)
            ++figures;
    }
    EXPECT_EQ(figures, 6 * sizes_bytes.size());
    for (const char* size : {" 1 B", " 16 B", " 1 KiB", " 64 KiB", " 1 MiB", " 4 MiB"})
        EXPECT_THAT(headers, HasSubstr(size));
}

TEST(SummaryTest, LongReasonsAndQuestionsAreWrapped) {
    std::string words;
    for (int i = 0; i < 60; ++i) words += "words ± ";
    RecordedRun run = run_of({bare_row("skipped", words)});
    run.context["questions"] = {words};
    EXPECT_THAT(widths_of(terminal(run)), Each(Le(120U)));
}

TEST(SummaryTest, ColumnsStandUnderEachOtherWhateverTheirBytes) {
    const std::string table =
        terminal(run_of(pairs(6, 900) + pairs(6, 20'000, {{"mechanism", "unix-stream"}})));
    const auto column_of = [&](const std::string& mechanism) {
        const std::string line = line_with(table, mechanism);
        return width_of(line.substr(0, line.find("±")));
    };
    EXPECT_EQ(column_of("  pipe"), column_of("  unix-stream"));
}

// ---- warnings ----

TEST(SummaryTest, AGoodRunOfAStreamNeedsNoWarning) {
    std::vector<Json> rows(6);
    double message_ns = 500;
    std::generate(rows.begin(), rows.end(), [&] { return stream_row(message_ns += 0.1); });
    EXPECT_THAT(warnings_of(summarise(run_of(rows))), IsEmpty());
    EXPECT_THAT(terminal(run_of(rows)), Not(HasSubstr("Before you trust")));
}

TEST(SummaryTest, RoundTripsAreSaidToBeServiceTimes) {
    EXPECT_THAT(warning_with(run_of(pairs(6, 20'000)), "service times"),
                HasSubstr("measure those at the rate at which your messages arrive"));
}

TEST(SummaryTest, ASpentBudgetSaysHowManyCellsAreWideAndWhatToRaise) {
    const auto run = run_of(pairs(6, 20'000) + pairs(6, 20'000, {{"size_bytes", 4096}}) +
                                pairs(2, 20'000, {{"size_bytes", 65536}}),
                            "budget");
    auto wide = run;
    for (Json& changed : wide.rows)  // five times as far apart
        changed["round_trip_ns"]["p50"] =
            5 * changed["round_trip_ns"]["p50"].get<double>() - 4 * 20'000;
    EXPECT_THAT(warning_with(wide, "budget"),
                AllOf(HasSubstr("2 cells with wider intervals than ±2.5 %"),
                      HasSubstr("1 cell with fewer than six pairs"),
                      HasSubstr("Raise `budget` in the scenario (quick)")));
    EXPECT_THAT(warning_with(run, "budget"), Not(HasSubstr("wider")));
}

TEST(SummaryTest, ADebugBuildIsDenounced) {
    auto run = run_of({row(20'000)});
    run.context["build_type"] = "Debug";
    EXPECT_THAT(warning_with(run, "Debug"), HasSubstr("preset `release`"));
}

TEST(SummaryTest, ARunThatMeasuredNothingSaysSo) {
    const auto run = run_of({}, "interrupt");
    EXPECT_THAT(warnings_of(summarise(run)), ElementsAre(HasSubstr("Run it again")));
    EXPECT_THAT(terminal(run), HasSubstr("before it measured anything"));
    EXPECT_THAT(benchmark_json(summarise(run))["benchmarks"], IsEmpty());
    EXPECT_THAT(markdown_table(summarise(run)), HasSubstr("abc1234"));
}

// ---- Google Benchmark's JSON ----

TEST(SummaryTest, JsonHasTheContextThatGoogleBenchmarkWrites) {
    const Json json = benchmark_json(summarise(run_of({row(20'000)})));
    const Json& found = json.at("context");
    EXPECT_EQ(found.at("date"), "2026-11-21T13:00:00+00:00");
    EXPECT_EQ(found.at("host_name"), "vm");
    EXPECT_EQ(found.at("num_cpus"), 2);
    EXPECT_EQ(found.at("library_build_type"), "release");
    EXPECT_EQ(found.at("load_avg"), Json({0.5, 0.25, 0.125}));
    EXPECT_EQ(
        found.at("caches"),
        Json::array({Json{{"type", "Data"}, {"level", 1}, {"size", 32768}, {"num_sharing", 1}}}));
}

TEST(SummaryTest, JsonHasAnIterationPerPairAndTheirMedian) {
    const Json json = benchmark_json(summarise(run_of(pairs(6, 20'000))));
    const Json& entries = json.at("benchmarks");
    ASSERT_THAT(entries, SizeIs(7));
    for (std::size_t i = 0; i < 6; ++i) {
        const Json& entry = entries[i];
        EXPECT_EQ(entry.at("name"), "pipe/ping_pong/64/copy/two_cpus");
        EXPECT_EQ(entry.at("run_name"), entry.at("name"));
        EXPECT_EQ(entry.at("run_type"), "iteration");
        EXPECT_EQ(entry.at("repetitions"), 6);
        EXPECT_EQ(entry.at("repetition_index"), i);
        EXPECT_EQ(entry.at("threads"), 1);
        EXPECT_EQ(entry.at("iterations"), 1000);
        EXPECT_EQ(entry.at("time_unit"), "ns");
        EXPECT_EQ(entry.at("cpu_time"), 5000.0);
        EXPECT_EQ(entry.at("initiator_cpu_ns"), 3000.0);
        EXPECT_EQ(entry.at("responder_voluntary_switches"), 1.0);
        EXPECT_EQ(entry.at("reference_round_trip_ns"), 104.0);
        const double round_trip_ns = entry.at("real_time").get<double>();
        EXPECT_THAT(round_trip_ns, DoubleNear(20'000, 600));
        EXPECT_THAT(entry.at("bytes_per_second").get<double>(), DoubleEq(2 * 64e9 / round_trip_ns));
        EXPECT_THAT(entry.at("items_per_second").get<double>(), DoubleEq(2e9 / round_trip_ns));
    }
    const Json& median = entries[6];
    EXPECT_EQ(median.at("name"), "pipe/ping_pong/64/copy/two_cpus_median");
    EXPECT_EQ(median.at("run_name"), "pipe/ping_pong/64/copy/two_cpus");
    EXPECT_EQ(median.at("run_type"), "aggregate");
    EXPECT_EQ(median.at("aggregate_name"), "median");
    EXPECT_EQ(median.at("aggregate_unit"), "time");
    EXPECT_EQ(median.at("iterations"), 6);
    EXPECT_THAT(median.at("real_time").get<double>(), DoubleNear(20'000, 1));
    EXPECT_THAT(median.at("label").get<std::string>(), HasSubstr("sleeps"));
    EXPECT_LT(median.at("interval_low_ns").get<double>(), 20'000);
}

TEST(SummaryTest, JsonTellsAGapAsGoogleBenchmarkDoes) {
    const Json json = benchmark_json(summarise(run_of({bare_row("skipped", "no such call")})));
    ASSERT_THAT(json.at("benchmarks"), SizeIs(1));
    const Json& entry = json.at("benchmarks")[0];
    EXPECT_EQ(entry.at("error_occurred"), true);
    EXPECT_EQ(entry.at("error_message"), "no such call");
    EXPECT_EQ(entry.at("run_type"), "iteration");
}

TEST(SummaryTest, JsonNamesDifferWhereTwoScenariosShareACell) {
    const Json json = benchmark_json(summarise(run_of(
        {row(1000), row(2000, {{"scenario", "latency"}}), row(3000, {{"touch", "header"}})})));
    std::set<std::string> names;
    for (const Json& entry : json.at("benchmarks")) names.insert(entry.at("name"));
    EXPECT_THAT(names, SizeIs(6));
}

// ---- files ----

class SummaryFilesTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "summary-test-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { fs::remove_all(folder_); }

    void put(const std::vector<Json>& lines, const std::string& tail = "") const {
        std::ofstream file(folder_ / "run.jsonl", std::ios::binary);
        for (const Json& line : lines) file << line.dump() << '\n';
        file << tail;
    }
    [[nodiscard]] std::string text_of(const std::string& name) const {
        std::ostringstream text;
        text << std::ifstream(folder_ / name, std::ios::binary).rdbuf();
        return text.str();
    }
    [[nodiscard]] std::set<std::string> files() const {
        std::set<std::string> names;
        for (const auto& entry : fs::directory_iterator(folder_))
            names.insert(entry.path().filename());
        return names;
    }
    [[nodiscard]] static std::string complaint(auto&& action) {
        try {
            action();
        } catch (const RunFileError& error) {
            return error.what();
        }
        return "";
    }

    fs::path folder_;
};

TEST_F(SummaryFilesTest, SummariesStandBesideTheRunAndNothingElse) {
    put({context(), row(20'000)});
    write_summaries(folder_);
    write_summaries(folder_);  // as after a second report
    EXPECT_THAT(files(), ElementsAre("run.jsonl", "summary.json", "summary.md"));
    EXPECT_THAT(Json::parse(text_of("summary.json")).at("benchmarks"), SizeIs(2));
    EXPECT_THAT(text_of("summary.md"),
                AllOf(HasSubstr("What does it cost?"), HasSubstr("abc1234"),
                      HasSubstr("2026-11-21T13:00:00Z"), HasSubstr("CPU time per round trip"),
                      HasSubstr("| p99.9 |"), HasSubstr("Some CPU")));
}

TEST_F(SummaryFilesTest, AKilledRunWithATornTailIsSummarisedAndSaysSo) {
    put({context(), row(20'000)}, R"({"type":"row","mecha)");
    write_summaries(folder_);
    EXPECT_THAT(text_of("summary.md"),
                AllOf(HasSubstr("20 µs"), HasSubstr("was killed while it wrote"),
                      HasSubstr("Run it again")));
}

TEST_F(SummaryFilesTest, ReportNamesWhatToNameInstead) {
    EXPECT_THAT(complaint([&] { print_report(folder_); }),
                AllOf(HasSubstr("holds no run.jsonl"), HasSubstr("`ipclab run`")));
    EXPECT_THAT(complaint([&] { print_report(folder_ / "nowhere"); }),
                AllOf(HasSubstr("nowhere"), HasSubstr("does not exist")));
}

TEST_F(SummaryFilesTest, ReportPrintsTheTable) {
    put({context(), row(20'000)});
    testing::internal::CaptureStdout();
    EXPECT_EQ(print_report(folder_), 0);
    EXPECT_THAT(testing::internal::GetCapturedStdout(),
                AllOf(HasSubstr("pipe"), HasSubstr("20 µs")));
}

TEST_F(SummaryFilesTest, ARowThatLacksWhatItsStatusPromisesIsNamedByItsLine) {
    Json without_figure = row(20'000);
    without_figure.erase("round_trip_ns");
    put({context(), row(20'000), without_figure});
    EXPECT_THAT(complaint([&] { write_summaries(folder_); }),
                AllOf(HasSubstr("run.jsonl: line 3"), HasSubstr("round_trip_ns")));
    put({context(), row(20'000, {{"placement", "on the moon"}})});
    EXPECT_THAT(complaint([&] { write_summaries(folder_); }), HasSubstr("on the moon"));
    EXPECT_THAT(files(), Not(Contains("summary.json")));
}

TEST_F(SummaryFilesTest, ALifeWithoutAStepIsRefused) {
    Json broken = life_row();
    broken["lifecycle"].erase("destroy_ns");
    put({context(), broken});
    EXPECT_THAT(complaint([&] { write_summaries(folder_); }),
                AllOf(HasSubstr("line 2"), HasSubstr("lifecycle")));
}

TEST_F(SummaryFilesTest, ASummaryThatCannotBeWrittenSaysWhy) {
    put({context(), row(20'000)});
    fs::create_directories(folder_ / "summary.json" / "in the way");
    EXPECT_THAT(complaint([&] { write_summaries(folder_); }),
                HasSubstr("summary.json: cannot write"));
    EXPECT_THAT(files(), Not(Contains(HasSubstr("draft"))));
}

// ---- text ----

TEST(TextTest, WidthCountsCharactersAndNotBytes) {
    EXPECT_EQ(width_of("21.3 µs ±3 % ×9"), 15U);
    EXPECT_EQ(flush_right("µs", 4), "  µs");
    EXPECT_EQ(flush_left("µs", 4), "µs  ");
    EXPECT_EQ(flush_left("too long", 4), "too long");
}

TEST(TextTest, ParagraphsAreWrappedAndIndented) {
    EXPECT_EQ(paragraph("one two three", 9, "- "), "- one two\n  three\n");
    EXPECT_EQ(paragraph("unbreakable", 4), "unbreakable\n");
    EXPECT_EQ(paragraph("  µµ \n µµ ", 5), "µµ µµ\n");
    EXPECT_EQ(paragraph("", 5), "\n");
}

}  // namespace
}  // namespace ipclab
