// The lines of run.jsonl with their types: what a summary needs of each.
#pragma once

#include "harness/measurement.hpp"
#include "harness/summary.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ipclab {

struct RecordedRow {
    std::string scenario;
    Cell cell;
    std::string waiting;
    RowStatus status = RowStatus::ok;
    std::string reason;

    bool has_figures = false;  ///< an undisturbed row has, a disturbed one mostly
    PairFigures pair;
    std::string touch;
    std::optional<double> capacity_bytes;
    std::optional<double> publish_every;
    std::optional<std::string> bound_by;
    bool closed_loop = false;
    bool kept_awake = false;
    bool raised = false;
    std::string distance;           ///< before the batch; "unknown" where the row does not tell
    bool distance_changed = false;  ///< during the batch
    std::string reference_kind;
};

/// Throws RunFileError that names the line.
std::vector<RecordedRow> read_rows(const RecordedRun& run);

}  // namespace ipclab
