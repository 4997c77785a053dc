// One cell, one process pair, one row.
#pragma once

#include "harness/cell.hpp"
#include "harness/payload.hpp"
#include "harness/session.hpp"

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

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

/// The sorted round trips, each the mean over its stride, and what the stride hides put back into
/// the longest: whoever was late in it waited for all of the window that the others did not take.
std::vector<double> round_trips_ns(const LegResult& result);

/// A row without figures.
Row row_without_figures(const Cell& cell, const Conditions& conditions, int round, RowStatus status,
                        const std::string& reason);

/// Creates the mechanism, runs a pair through warm-up and one batch between two reference probes,
/// and destroys it. A life cycle has no warm-up, and a batch of one message: that is what it is
/// about. A mechanism that this machine refuses makes a skipped row, a pair that fails a
/// failed one. Throws Interrupted.
Row measure(const Cell& cell, const Conditions& conditions, int round, int attempt,
            SessionMemory& memory);

}  // namespace ipclab
