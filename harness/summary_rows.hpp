// The lines of run.jsonl with their types: what a summary needs of each.
#pragma once

#include "harness/measurement.hpp"
#include "harness/rows_that_count.hpp"
#include "harness/summary.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ipclab {

/// Of type "row": a pair of a mechanism's cell.
struct RecordedRow : RowBasis {
    Cell cell;
    std::string waiting;
    PairFigures pair;
    std::string touch;
    std::optional<double> capacity_bytes;
    std::optional<double> publish_every;
    std::optional<std::string> stores;
    std::optional<std::string> bound_by;
    bool closed_loop = false;
};

/// Throws RunFileError that names the line.
std::vector<RecordedRow> read_rows(const RecordedRun& run);

}  // namespace ipclab
