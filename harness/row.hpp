// One process pair, one row: what every row tells, whatever was measured.
#pragma once

#include "harness/cell.hpp"
#include "harness/payload.hpp"
#include "harness/session.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace ipclab {

/// What holds for all rows of a scenario.
struct Conditions {
    std::string scenario;
    std::chrono::nanoseconds batch{};
    Touch touch = Touch::all;
    bool keep_awake = false;
    std::optional<int> autogroup_nice;
    std::map<std::size_t, payload::Cost> payload_costs;  ///< by size
};

enum class RowStatus { ok, disturbed, skipped, failed };

constexpr std::string_view name_of(RowStatus status) {
    switch (status) {
    case RowStatus::ok:
        return "ok";
    case RowStatus::disturbed:
        return "disturbed";
    case RowStatus::skipped:
        return "skipped";
    case RowStatus::failed:
        break;
    }
    return "failed";
}

struct Row {
    RowStatus status = RowStatus::ok;
    double figure_ns = 0;  ///< the pair's: median round trip, time per streamed message, or a life
    CpuDistance distance = CpuDistance::same_cpu;
    nlohmann::ordered_json json;  ///< the line for run.jsonl
};

/// A batch, and what went on around it.
struct Batch {
    LegResult result;
    Reference before;
    Reference after;
    std::optional<std::int64_t> stolen_ns;  ///< by the host, where that is told
    double lost_share = 0;                  ///< of the batch's time, to other tasks or to the host
    std::string disturbed;                  ///< why the pair is; empty where it is not
};

/// Runs `batch` between two reference probes.
Batch run_between_probes(Session& session, Placement placement,
                         const std::function<LegResult()>& batch);

/// Why a pair is disturbed; empty where it is not. `lost_share` as in Batch.
std::string why_disturbed(const Reference& before, const Reference& after, double lost_share);

nlohmann::ordered_json json_of(const SideUsage& usage);
nlohmann::ordered_json json_of(const Reference& reference);

/// Into a row: both sides' usage, the references, and what was lost.
void add_batch(nlohmann::ordered_json& row, const Batch& batch);
/// Into a row: how the machine was kept quiet.
void add_conditions(nlohmann::ordered_json& row, const Conditions& conditions);
/// `disturbed` as in Batch.
void set_status(Row& row, const std::string& disturbed);

}  // namespace ipclab
