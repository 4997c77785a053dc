// Runs of costs and transfers with known figures, and everything that is told of them.
#include "harness/copy_or_map/copy_or_map.hpp"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <string>
#include <vector>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;
using testing::AllOf;
using testing::DoubleEq;
using testing::DoubleNear;
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

}  // namespace
}  // namespace ipclab
