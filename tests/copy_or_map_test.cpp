// Runs of costs and transfers with known figures, and everything that is told of them.
#include "harness/copy_or_map/copy_or_map.hpp"

#include "harness/copy_or_map/report.hpp"
#include "harness/copy_or_map/sentences.hpp"
#include "harness/listing.hpp"
#include "harness/text.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// ---- rows and runs ----

Json reference(const std::string& distance) {
    return {{"kind", "context_switch"}, {"round_trip_ns", 3000}, {"class", distance}};
}

Json basis(const std::string& type, int round) {
    return {{"type", type},
            {"scenario", "copy-vs-map"},
            {"placement", "same_cpu"},
            {"round", round},
            {"attempt", 1},
            {"status", "ok"},
            {"reason", nullptr},
            {"reference_before", reference("same CPU")},
            {"reference_after", reference("same CPU")}};
}

Json changed(Json row, const Json& changes) {
    row.update(changes);
    return row;
}

Json cost_row(int round, double call_ns, const Json& changes = Json::object()) {
    Json row = basis("cost", round);
    row.update({{"cost", "system-call"},
                {"size_bytes", 0},
                {"slept_ns", 0},
                {"passes", 100},
                {"figures_ns", {{"call", call_ns}}}});
    return changed(row, changes);
}

/// 1000 exchanges, of which each side spends 2 µs and the initiator 1 µs more.
Json transfer_row(int round, double transfer_ns, const Json& changes = Json::object()) {
    Json row = basis("transfer", round);
    row.update(
        {{"way", "copy"},
         {"mechanism", "pipe"},
         {"waiting", "sleeps"},
         {"messages_per_mapping", 0},
         {"size_bytes", 4096},
         {"arm", ""},
         {"messages", 1000},
         {"transfer_ns", transfer_ns},
         {"phases_ns",
          {{"prepare", 0},
           {"produce", 100},
           {"send", 200},
           {"hand_over", 300},
           {"consume", 400},
           {"release", 0}}},
         {"initiator",
          {{"cpu_ns", 3'000'000}, {"voluntary_switches", 1000}, {"involuntary_switches", 0}}},
         {"responder",
          {{"cpu_ns", 2'000'000}, {"voluntary_switches", 1000}, {"involuntary_switches", 0}}}});
    return changed(row, changes);
}

Json bare(Json row, const std::string& status, const std::string& reason) {
    for (const char* const key : {"figures_ns", "transfer_ns", "phases_ns", "passes", "messages",
                                  "reference_before", "reference_after"})
        row.erase(key);
    return changed(row, {{"status", status}, {"reason", reason}});
}

RecordedRun run_of(std::vector<Json> rows) {
    RecordedRun run;
    run.context = {{"type", "context"}, {"schema", run_schema}, {"scenarios", {"copy-vs-map"}}};
    run.rows = std::move(rows);
    run.end = Json{{"type", "end"}, {"stopped_by", "rounds"}, {"elapsed_s", 12.3}};
    return run;
}

CopyOrMap found_in(const RecordedRun& run) {
    const Summary summary = summarise(run);
    return summary.copy_or_map ? *summary.copy_or_map : CopyOrMap();
}

std::string refusal(const RecordedRun& run) {
    try {
        (void)summarise(run);
        return "";
    } catch (const RunFileError& error) {
        return error.what();
    }
}

// ---- reading ----

TEST(CostFindings, AreMediansOverThePairs) {
    std::vector<Json> rows;
    for (const int round : {1, 2, 3, 4, 5, 6, 7}) rows.push_back(cost_row(round, 100.0 + round));
    const CopyOrMap found = found_in(run_of(rows));
    ASSERT_THAT(found.costs, SizeIs(1));
    EXPECT_EQ(found.costs[0].cell.cost, "system-call");
    EXPECT_EQ(found.costs[0].figure, "call");
    EXPECT_EQ(found.costs[0].pairs, 7U);
    EXPECT_EQ(found.costs[0].value_ns.median, 104);
    ASSERT_TRUE(found.costs[0].value_ns.interval);
    EXPECT_TRUE(found.costs[0].value_ns.interval->contains(104));
}

TEST(CostFindings, LeaveOutWhatIsNotLikeTheOthers) {
    const Json far{{"reference_before", reference("far")}, {"reference_after", reference("far")}};
    const CopyOrMap found =
        found_in(run_of({cost_row(1, 100), cost_row(2, 102), cost_row(3, 104),
                         cost_row(4, 900, {{"status", "disturbed"}}), cost_row(5, 800, far)}));
    EXPECT_EQ(found.costs.at(0).pairs, 3U);
    EXPECT_EQ(found.costs.at(0).value_ns.median, 102);
    EXPECT_EQ(found.costs.at(0).state, CellState::measured);
}

TEST(CostFindings, ComeFromDisturbedRowsForWantOfOthers) {
    const CopyOrMap found = found_in(run_of({cost_row(1, 900, {{"status", "disturbed"}})}));
    EXPECT_EQ(found.costs.at(0).state, CellState::only_disturbed);
    EXPECT_EQ(found.costs.at(0).value_ns.median, 900);
}

TEST(CostFindings, ASkippedCostKeepsItsPlaceAndItsReason) {
    const Json huge = changed(cost_row(0, 1), {{"cost", "map/read-huge"}, {"size_bytes", 4194304}});
    const CopyOrMap found =
        found_in(run_of({cost_row(1, 100), bare(huge, "skipped", "no huge pages are reserved")}));
    ASSERT_FALSE(found.costs.empty());
    const CostFinding& gap = found.costs.back();
    EXPECT_EQ(gap.cell.cost, "map/read-huge");
    EXPECT_EQ(gap.state, CellState::skipped);
    EXPECT_EQ(gap.pairs, 0U);
    EXPECT_EQ(gap.reason, "no huge pages are reserved");
}

TEST(TransferFindings, TellTimePhasesAndUsePerMessage) {
    const CopyOrMap found = found_in(run_of({transfer_row(1, 5000), transfer_row(2, 5200)}));
    ASSERT_THAT(found.transfers, SizeIs(1));
    const TransferFinding& finding = found.transfers[0];
    EXPECT_EQ(finding.transfer.mechanism, "pipe");
    EXPECT_EQ(finding.transfer_ns.median, 5100);
    EXPECT_THAT(finding.by_round_ns,
                testing::ElementsAre(testing::Pair(1, 5000), testing::Pair(2, 5200)));
    EXPECT_THAT(finding.phases_ns, ElementsAre(0, 100, 200, 300, 400, 0));
    EXPECT_THAT(finding.cpu_ns, ElementsAre(1500, 1000));
    EXPECT_THAT(finding.switches, testing::Optional(1.0));
}

TEST(TransferFindings, ABadRowIsToldWithItsLine) {
    const std::vector<std::pair<Json, std::string>> bad{
        {{{"transfer_ns", "fast"}}, "transfer_ns"}, {{{"way", "pigeon"}}, "way"},
        {{{"waiting", nullptr}}, "waiting"},        {{{"placement", "three_cpus"}}, "placement"},
        {{{"mechanism", nullptr}}, "mechanism"},    {{{"size_bytes", -1}}, "size_bytes"},
        {{{"transfer_ns", 0}}, "transfer_ns"}};
    for (const auto& [changes, field] : bad)
        EXPECT_THAT(
            refusal(run_of({cost_row(1, 1), transfer_row(1, 1), transfer_row(2, 1, changes)})),
            AllOf(HasSubstr("line 4"), HasSubstr(field)))
            << changes;
}

TEST(CostFindings, ABadRowIsToldWithItsLine) {
    const std::vector<std::pair<Json, std::string>> bad{
        {{{"figures_ns", nullptr}}, "figures_ns"},
        {{{"figures_ns", {{"call", "slow"}}}}, "figures_ns"},
        {{{"figures_ns", {{"call", -5}}}}, "figures_ns"},
        {{{"cost", 7}}, "cost"},
        {{{"status", "fine"}}, "status"}};
    for (const auto& [changes, field] : bad)
        EXPECT_THAT(refusal(run_of({cost_row(1, 1), cost_row(2, 1, changes)})),
                    AllOf(HasSubstr("line 3"), HasSubstr(field)))
            << changes;
}

// ---- sentences ----

constexpr Place one_cpu{Placement::same_cpu, Waiting::sleeps};
constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

Crossing in_state(CrossingState state) {
    Crossing crossing;
    crossing.state = state;
    crossing.has_interval = true;
    crossing.sure = true;
    crossing.smallest_bytes = 64;
    crossing.largest_bytes = 64 * mib;
    return crossing;
}

Crossing at_size(double size_bytes, std::optional<double> low_bytes,
                 std::optional<double> high_bytes) {
    Crossing crossing = in_state(CrossingState::crosses);
    crossing.sure = false;
    crossing.size_bytes = size_bytes;
    crossing.low_bytes = low_bytes;
    crossing.high_bytes = high_bytes;
    crossing.all_sizes_bytes = {size_bytes};
    return crossing;
}

const Crossing at_47_kib = at_size(47 * kib, 41 * kib, 55 * kib);

TEST(SentenceTest, EachStateOfACrossingReadsWell) {
    EXPECT_EQ(predicate_of(at_47_kib), "wins from 47 KiB on (41 to 55 KiB)");
    EXPECT_EQ(predicate_of(at_size(1.2 * kib, 900, 1.5 * kib)),
              "wins from 1.2 KiB on (900 B to 1.5 KiB)");
    EXPECT_EQ(predicate_of(at_size(47 * kib, 41 * kib, std::nullopt)),
              "wins from 47 KiB on (at least 41 KiB)");
    EXPECT_EQ(predicate_of(at_size(47 * kib, std::nullopt, 55 * kib)),
              "wins from 47 KiB on (at most 55 KiB)");
    EXPECT_EQ(predicate_of(at_size(47 * kib, std::nullopt, std::nullopt)),
              "wins from 47 KiB on (anywhere from 64 B to 64 MiB)");
    EXPECT_EQ(predicate_of(at_size(40 * kib, 39.8 * kib, 40.4 * kib)),
              "wins from 40 KiB on (39.8 to 40.4 KiB)");
    Crossing few = at_size(47 * kib, std::nullopt, std::nullopt);
    few.has_interval = false;
    EXPECT_EQ(predicate_of(few), "wins from 47 KiB on");

    EXPECT_EQ(predicate_of(in_state(CrossingState::map_always)), "wins at every size up to 64 MiB");
    EXPECT_EQ(predicate_of(in_state(CrossingState::copy_always)), "never wins up to 64 MiB");
    EXPECT_EQ(predicate_of(in_state(CrossingState::undecided)), "shows no difference");
    EXPECT_EQ(predicate_of(in_state(CrossingState::no_figures)), "was not measured");
}

TEST(SentenceTest, WhatIsNotCertainIsSaid) {
    Crossing always = in_state(CrossingState::map_always);
    always.sure = false;
    EXPECT_EQ(predicate_of(always), "wins at every size up to 64 MiB, though not for certain");
    always.high_bytes = 300;
    EXPECT_EQ(predicate_of(always), "wins at every size up to 64 MiB, for certain from 300 B on");
    Crossing never = in_state(CrossingState::copy_always);
    never.sure = false;
    never.low_bytes = 2 * mib;
    EXPECT_EQ(predicate_of(never), "never wins up to 64 MiB, for certain below 2 MiB");
}

TEST(SentenceTest, NearlyParallelCurvesGiveARoughSize) {
    Crossing crossing = at_47_kib;
    crossing.nearly_parallel = true;
    EXPECT_EQ(predicate_of(crossing),
              "wins from 47 KiB on (41 to 55 KiB; nearly parallel, so a rough size)");
    EXPECT_EQ(short_form(crossing), "~47 KiB (41–55)");
}

TEST(SentenceTest, CurvesThatCrossSeveralTimes) {
    Crossing crossing = at_47_kib;
    crossing.all_sizes_bytes = {2 * kib, 9 * kib, 47 * kib};
    EXPECT_EQ(predicate_of(crossing), "wins for good from 47 KiB on (41 to 55 KiB)");
    Crossing between = in_state(CrossingState::map_in_between);
    between.all_sizes_bytes = {4 * kib, mib};
    EXPECT_EQ(predicate_of(between), "wins only between 4 KiB and 1 MiB");
    between.all_sizes_bytes = {kib, 4 * kib, mib};
    EXPECT_EQ(predicate_of(between), "wins only below 1 KiB and between 4 KiB and 1 MiB");
}

TEST(SentenceTest, ShortFormsFitATable) {
    EXPECT_EQ(short_form(at_47_kib), "47 KiB (41–55)");
    EXPECT_EQ(short_form(at_size(1.2 * kib, 900, 1.5 * kib)), "1.2 KiB (900 B–1.5)");
    EXPECT_EQ(short_form(at_size(kib, kib / 2.0, std::nullopt)), "1 KiB (≥510 B)");
    EXPECT_EQ(short_form(in_state(CrossingState::map_always)), "always");
    EXPECT_EQ(short_form(in_state(CrossingState::copy_always)), "never");
    EXPECT_EQ(short_form(in_state(CrossingState::no_figures)), "–");
}

CrossingFinding crossing_of_way(Way way, std::uint64_t k, const Crossing& crossing) {
    return {.place = one_cpu,
            .copy = "pipe",
            .way = way,
            .messages_per_mapping = k,
            .from_model = false,
            .crossing = crossing,
            .reason = {}};
}

std::vector<std::string> sentences_about(std::vector<CrossingFinding> crossings) {
    CopyOrMap found;
    TransferFinding& copy = found.transfers.emplace_back();
    copy.transfer.mechanism = "pipe";
    copy.transfer.placement = one_cpu.placement;
    found.crossings = std::move(crossings);
    return sentences_of(found);
}

TEST(SentenceTest, AStudentCanQuoteThem) {
    const Crossing always = in_state(CrossingState::map_always);
    const Crossing never = in_state(CrossingState::copy_always);
    EXPECT_THAT(
        sentences_about(
            {crossing_of_way(Way::persistent, 0, always),
             crossing_of_way(Way::receiver_remaps, 1, at_47_kib),
             crossing_of_way(Way::receiver_remaps, 10, at_size(2 * kib, 1.8 * kib, 2.3 * kib)),
             crossing_of_way(Way::receiver_remaps, 100, always),
             crossing_of_way(Way::receiver_remaps, 1000, always),
             crossing_of_way(Way::sender_remaps, 1, never),
             crossing_of_way(Way::sender_remaps, 10, never),
             crossing_of_way(Way::fresh_object, 1, never)}),
        ElementsAre("On this machine, now, with both processes on one CPU and asleep while they "
                    "wait: below 47 KiB (41 to 55 KiB) copying through a pipe beats mapping anew "
                    "for each message; a mapping that is reused ten times wins from 2 KiB on (1.8 "
                    "to 2.3 KiB); one that is reused a hundred times or more wins at every size up "
                    "to 64 MiB.",
                    "There, against copying through a pipe: mapping anew to write never wins up to "
                    "64 MiB, however often the mapping is reused; a fresh object for each message "
                    "never wins up to 64 MiB; memory that both keep mapped wins at every size up "
                    "to 64 MiB."));
}

TEST(SentenceTest, ASentenceAloneSaysWhere) {
    EXPECT_THAT(
        sentences_about({crossing_of_way(Way::persistent, 0, in_state(CrossingState::undecided))}),
        ElementsAre("On this machine, now, with both processes on one CPU and asleep while "
                    "they wait, against copying through a pipe: memory that both keep "
                    "mapped shows no difference."));
}

TEST(SentenceTest, TheFirstClauseReadsWellInEachState) {
    const auto said = [](const Crossing& crossing) {
        const auto all = sentences_about({crossing_of_way(Way::receiver_remaps, 1, crossing)});
        return all.empty() ? std::string() : all.front().substr(all.front().find(": ") + 2);
    };
    EXPECT_EQ(said(in_state(CrossingState::map_always)),
              "against copying through a pipe, mapping anew for each message wins at every size up "
              "to 64 MiB.");
    EXPECT_EQ(said(in_state(CrossingState::copy_always)),
              "against copying through a pipe, mapping anew for each message never wins up to 64 "
              "MiB.");
    EXPECT_EQ(said(in_state(CrossingState::undecided)),
              "between copying through a pipe and mapping anew for each message no difference is "
              "seen.");
    EXPECT_EQ(said(in_state(CrossingState::no_figures)), "");
    Crossing twice = at_47_kib;
    twice.all_sizes_bytes = {64, kib, 47 * kib};
    EXPECT_EQ(said(twice), "from 47 KiB (41 to 55 KiB) on mapping anew for each message beats "
                           "copying through a pipe for good.");
}

// ---- whole runs ----

struct Law {
    double per_message_ns;
    double per_byte_ns;
};

/// Twelve rounds of a way at several sizes, within 1 % of its law.
void add_transfers(std::vector<Json>& rows, const Law& law, const Json& changes) {
    for (const std::size_t size : {std::size_t{64}, kib, 16 * kib, 64 * kib, 256 * kib, 4 * mib})
        for (int round = 1; round <= 12; ++round) {
            const double noise =
                1 + 0.002 * ((7 * round * round + static_cast<int>(law.per_message_ns) +
                              3 * static_cast<int>(size % 13)) %
                                 11 -
                             5);
            const double transfer_ns =
                (law.per_message_ns + law.per_byte_ns * static_cast<double>(size)) * noise;
            rows.push_back(
                transfer_row(round, transfer_ns, changed({{"size_bytes", size}}, changes)));
        }
}

Json mapping(const std::string& way, int k) {
    return {{"way", way}, {"mechanism", nullptr}, {"messages_per_mapping", k}};
}

/// Mapping anew to read crosses at 40 KiB, used for ten messages at 2 KiB; to write never.
std::vector<Json> whole_run() {
    std::vector<Json> rows{cost_row(1, 100)};
    add_transfers(rows, {3000, 0.35}, Json::object());
    add_transfers(rows, {3000 + 0.15 * 40 * kib, 0.2}, mapping("receiver-remaps", 1));
    add_transfers(rows, {3000 + 0.15 * 2 * kib, 0.2}, mapping("receiver-remaps", 10));
    add_transfers(rows, {9000, 0.6}, mapping("sender-remaps", 1));
    add_transfers(rows, {2500, 0.1}, mapping("persistent", 0));
    return rows;
}

TEST(CopyOrMapTest, CrossingsAreRecovered) {
    const CopyOrMap found = found_in(run_of(whole_run()));
    const auto* each = crossing_of(found, one_cpu, "pipe", Way::receiver_remaps, 1);
    ASSERT_NE(each, nullptr);
    EXPECT_EQ(each->crossing.state, CrossingState::crosses);
    EXPECT_NEAR(each->crossing.size_bytes, 40 * kib, 4 * kib);
    const auto* ten = crossing_of(found, one_cpu, "pipe", Way::receiver_remaps, 10);
    ASSERT_NE(ten, nullptr);
    EXPECT_NEAR(ten->crossing.size_bytes, 2 * kib, kib / 2.0);
    const auto* written = crossing_of(found, one_cpu, "pipe", Way::sender_remaps, 1);
    ASSERT_NE(written, nullptr);
    EXPECT_EQ(written->crossing.state, CrossingState::copy_always);
    const auto* kept = crossing_of(found, one_cpu, "pipe", Way::persistent, 0);
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(kept->crossing.state, CrossingState::map_always);
    const auto* limit =
        crossing_of(found, one_cpu, "pipe", Way::receiver_remaps, std::nullopt, true);
    ASSERT_NE(limit, nullptr);
    EXPECT_EQ(limit->crossing.state, CrossingState::no_figures);
    EXPECT_THAT(limit->reason, HasSubstr("costs are missing"));
}

TEST(CopyOrMapTest, OnlyWhatWaitsAlikeIsCompared) {
    std::vector<Json> rows;
    add_transfers(rows, {3000, 0.35}, Json::object());
    add_transfers(rows, {300, 0.1}, changed(mapping("persistent", 0), {{"waiting", "spins"}}));
    EXPECT_THAT(found_in(run_of(rows)).crossings, IsEmpty());
    add_transfers(rows, {600, 0.35}, {{"mechanism", "pipe/spin"}, {"waiting", "spins"}});
    const CopyOrMap found = found_in(run_of(rows));
    for (const CrossingFinding& finding : found.crossings) {
        EXPECT_EQ(finding.copy, "pipe/spin");
        EXPECT_EQ(finding.place.waiting, Waiting::spins);
    }
    EXPECT_THAT(found.crossings, Not(IsEmpty()));
}

/// A huge-page cost that was skipped, in every output.
TEST(CopyOrMapTest, ASkippedCostLeavesAVisibleGapEverywhere) {
    std::vector<Json> rows = whole_run();
    const Json huge = changed(cost_row(0, 1), {{"cost", "map/read-huge"}, {"size_bytes", 4 * mib}});
    rows.push_back(bare(huge, "skipped", "no huge pages are reserved (vm.nr_hugepages)"));
    const Summary summary = summarise(run_of(rows));

    EXPECT_THAT(terminal_table(summary), AllOf(HasSubstr("map/read-huge at 4 MiB"),
                                               HasSubstr("no huge pages are reserved")));
    const std::string page = markdown_table(summary);
    EXPECT_THAT(page, AllOf(HasSubstr("map/read-huge at 4 MiB: no huge pages are reserved"),
                            HasSubstr("| `map/read-huge` | touch | skipped |")));
    bool told = false;
    const Json json = copy_or_map_json(*summary.copy_or_map);
    for (const Json& cost : json.at("costs")) {
        if (cost.at("cost") != "map/read-huge") continue;
        told = true;
        EXPECT_EQ(cost.at("state"), "skipped");
        EXPECT_EQ(cost.at("value_ns"), nullptr);
        EXPECT_EQ(cost.at("pairs"), 0);
        EXPECT_EQ(cost.at("reason"), "no huge pages are reserved (vm.nr_hugepages)");
    }
    EXPECT_TRUE(told);
}

TEST(CopyOrMapTest, ASkippedTransferLeavesAVisibleGap) {
    std::vector<Json> rows = whole_run();
    for (const std::size_t size : {kib, mib})
        rows.push_back(
            bare(transfer_row(0, 1, changed(mapping("fresh-object", 1), {{"size_bytes", size}})),
                 "skipped", "memfd_create is not permitted"));
    const Summary summary = summarise(run_of(rows));
    EXPECT_THAT(markdown_table(summary), HasSubstr("fresh-object: memfd_create is not permitted"));
    const auto* crossing = crossing_of(*summary.copy_or_map, one_cpu, "pipe", Way::fresh_object, 1);
    ASSERT_NE(crossing, nullptr);
    EXPECT_EQ(crossing->crossing.state, CrossingState::no_figures);
    EXPECT_EQ(crossing->reason, "memfd_create is not permitted");
}

TEST(CopyOrMapTest, TheTerminalTellsSentencesCrossingsAndTheModel) {
    const std::string text = terminal_table(summarise(run_of(whole_run())));
    EXPECT_THAT(text, AllOf(HasSubstr("below 41 KiB (39 to 41 KiB)"), HasSubstr("k = 10"),
                            HasSubstr("receiver-remaps"), HasSubstr("30 cells without a model"),
                            HasSubstr("Payload: "), HasSubstr("summary.md")));
    EXPECT_THAT(text, Not(HasSubstr("ended before it measured")));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(width_of(line), 120U) << line;
}

TEST(CopyOrMapTest, ARunOfCostsAloneIsReported) {
    const Summary summary = summarise(run_of({cost_row(1, 100), cost_row(2, 102)}));
    EXPECT_THAT(markdown_table(summary), AllOf(HasSubstr("# ipclab: copy-vs-map"),
                                               HasSubstr("| `system-call` | call | 101 ns"),
                                               HasSubstr("What the figures contain")));
    EXPECT_THAT(terminal_table(summary), HasSubstr("copy-or-map.json"));
    EXPECT_EQ(copy_or_map_json(*summary.copy_or_map).at("transfers").size(), 0U);
}

TEST(CopyOrMapTest, APlaceWithoutUndisturbedRowsIsWarnedOf) {
    std::vector<Json> rows;
    add_transfers(rows, {3000, 0.35}, {{"status", "disturbed"}});
    EXPECT_THAT(warnings_of(found_in(run_of(rows))),
                ElementsAre(HasSubstr("Nothing was measured undisturbed with one CPU, asleep")));
}

TEST(CopyOrMapTest, FewRoundsAreWarnedOf) {
    std::vector<Json> rows = whole_run();
    std::erase_if(rows, [](const Json& row) { return row.at("round") > 5; });
    const CopyOrMap found = found_in(run_of(rows));
    EXPECT_THAT(warnings_of(found),
                ElementsAre(HasSubstr("4 of 4 measured crossings come from fewer than six")));
    EXPECT_THAT(sentences_of(found).front(), Not(HasSubstr("anywhere")));
}

TEST(CopyOrMapTest, TotalsWithoutADifferenceAreMarked) {
    std::vector<Json> rows;
    add_transfers(rows, {3000, 0.35}, Json::object());
    add_transfers(rows, {3000, 0.35}, mapping("persistent", 0));
    EXPECT_THAT(markdown_table(summarise(run_of(rows))), HasSubstr("] = |"));
}

// ---- the model beside the clock ----

TEST(AgreementTest, CountsCellsAndListsMissesTheFurthestOffFirst) {
    std::vector<TransferFinding> transfers(4);
    for (TransferFinding& finding : transfers) {
        finding.by_round_ns = {{1, 100}};
        finding.transfer.placement = Placement::same_cpu;
    }
    transfers[0].within = true;
    transfers[1].residual = 0.3;
    transfers[2].residual = -0.6;
    transfers[3].model.missing = "wake-up/futex has no figure here";
    const auto agreements = find_agreements(transfers);
    ASSERT_THAT(agreements, SizeIs(1));
    EXPECT_EQ(agreements[0].cells, 3U);
    EXPECT_EQ(agreements[0].within, 1U);
    EXPECT_THAT(agreements[0].misses, ElementsAre(2, 1));
    EXPECT_EQ(agreements[0].without_model, 1U);
}

// ---- A/A ----

/// So many cells under two names, of which the first `different` differ.
std::vector<Json> arms(int cells, int different, int rounds = 12) {
    std::vector<Json> rows;
    for (int cell = 0; cell < cells; ++cell)
        for (int round = 1; round <= rounds; ++round) {
            const Json size{{"size_bytes", 64 * (cell + 1)}};
            const double wobble = round % 2 == 0 ? 1 : -1;
            const double b_ns = cell < different ? 1200 : 1000 + wobble;
            rows.push_back(transfer_row(round, 1000, changed(size, {{"arm", "a"}})));
            rows.push_back(transfer_row(round, b_ns, changed(size, {{"arm", "b"}})));
        }
    return rows;
}

TEST(FalseAlarmsTest, AreCountedAndLimited) {
    const CopyOrMap found = found_in(run_of(arms(20, 3)));
    ASSERT_TRUE(found.false_alarms);
    EXPECT_EQ(found.false_alarms->comparisons, 20U);
    EXPECT_EQ(found.false_alarms->false_alarms, 3U);
    EXPECT_EQ(found.false_alarms->allowed, 3U);
    EXPECT_THAT(warnings_of(found), IsEmpty());
    EXPECT_THAT(found.crossings, IsEmpty());

    const Json json = copy_or_map_json(found).at("a_a");
    EXPECT_EQ(json.at("comparisons"), 20);
    EXPECT_EQ(json.at("false_alarms"), 3);
    EXPECT_EQ(json.at("allowed"), 3);
    EXPECT_NEAR(json.at("alarms").at(0).at("ratio").get<double>(), 1.2, 1e-9);
}

TEST(FalseAlarmsTest, TooManyAreWarnedOfInEveryOutput) {
    const Summary summary = summarise(run_of(arms(20, 4)));
    for (const std::string& text : {terminal_table(summary), markdown_table(summary)})
        EXPECT_THAT(text, AllOf(HasSubstr("4 false alarms, at most 3 allowed"),
                                HasSubstr("believe no difference")));
}

TEST(FalseAlarmsTest, FewPairsAreNotCompared) {
    const CopyOrMap found = found_in(run_of(arms(2, 2, 5)));
    ASSERT_TRUE(found.false_alarms);
    EXPECT_EQ(found.false_alarms->comparisons, 0U);
    EXPECT_EQ(found.false_alarms->too_few_pairs, 2U);
}

// ---- files ----

class CopyOrMapFilesTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "copy-or-map-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { fs::remove_all(folder_); }

    void write(const std::vector<Json>& rows, const std::string& tail = "") const {
        const RecordedRun run = run_of(rows);
        std::ofstream stream(folder_ / "run.jsonl");
        stream << run.context.dump() << '\n';
        for (const Json& row : run.rows) stream << row.dump() << '\n';
        stream << tail;
    }
    [[nodiscard]] Json written() const {
        return Json::parse(std::ifstream(folder_ / "copy-or-map.json"));
    }

    fs::path folder_;
};

TEST_F(CopyOrMapFilesTest, TheJsonIsReadBackAsItWasFound) {
    write(whole_run());
    write_summaries(folder_);
    const CopyOrMap found = found_in(run_of(whole_run()));
    const Json json = written();
    EXPECT_EQ(json, copy_or_map_json(found));
    EXPECT_EQ(json.at("schema"), 1);
    EXPECT_EQ(json.at("places"),
              Json::array(
                  {{{"placement", "same_cpu"}, {"waiting", "sleeps"}, {"distance", "same CPU"}}}));
    EXPECT_EQ(json.at("a_a"), nullptr);
    EXPECT_EQ(json.at("transfers").size(), found.transfers.size());
    EXPECT_EQ(json.at("sentences").size(), 2U);
    EXPECT_TRUE(json.at("explanations").contains("system-call"));
    EXPECT_TRUE(fs::exists(folder_ / "summary.md"));
    EXPECT_TRUE(fs::exists(folder_ / "summary.json"));
    EXPECT_FALSE(fs::exists(folder_ / "copy-or-map.json.draft"));
}

TEST_F(CopyOrMapFilesTest, ATornRowIsLeftOutAndABadOneToldWithItsLine) {
    write(whole_run(), R"({"type":"transfer","way":"co)");
    write_summaries(folder_);
    EXPECT_EQ(written().at("transfers").size(), 30U);

    write({cost_row(1, 1), transfer_row(1, 1, {{"way", "pigeon"}})});
    try {
        write_summaries(folder_);
        FAIL() << "read a way that there is not";
    } catch (const RunFileError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("run.jsonl"), HasSubstr("line 3")));
    }
    EXPECT_EQ(written().at("transfers").size(), 30U);  // the old file stays whole
}

TEST_F(CopyOrMapFilesTest, ARunOfMechanismsAloneLeavesNone) {
    write({});
    write_summaries(folder_);
    EXPECT_FALSE(fs::exists(folder_ / "copy-or-map.json"));
}

TEST(CostListingTest, TellsFiguresUnitsAndWhatTheyContain) {
    const std::string text = costs_as_text(all_costs(), 80);
    const std::string page = costs_as_markdown(all_costs());
    for (const CostEntry& entry : all_costs()) {
        EXPECT_THAT(text, HasSubstr(entry.facts.name));
        EXPECT_THAT(page, AllOf(HasSubstr(entry.facts.name),
                                HasSubstr(std::string(entry.facts.explanation))));
    }
    EXPECT_THAT(text, HasSubstr("call: ns per call"));
}

}  // namespace
}  // namespace ipclab
