// Like with like: which rows of a run count, whatever was measured. Only undisturbed ones do, and
// of these only those in which the CPUs were as far apart as in most rows of that placement.
#pragma once

#include "harness/row.hpp"
#include "harness/row_fields.hpp"
#include "harness/summary.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace ipclab {

/// What a row of any type tells of the circumstances in which it was measured.
struct RowBasis {
    std::string scenario;
    int round = 0;
    Placement placement = Placement::two_cpus;
    RowStatus status = RowStatus::ok;
    std::string reason;
    bool has_figures = false;  ///< an undisturbed row has, a disturbed one mostly
    bool kept_awake = false;
    bool raised = false;
    std::string distance;           ///< before the batch; "unknown" where the row does not tell
    bool distance_changed = false;  ///< during the batch
    std::string reference_kind;
    std::optional<double> reference_ns;  ///< round trip of the reference, before and after
};

/// All but `has_figures`. Throws RunFileError that names the line.
RowBasis read_basis(const Fields& fields);

/// The class of distance of a placement, and what became of the rows of other classes.
PlacementSummary summarise_placement(const std::vector<const RowBasis*>& rows, Placement placement);

/// Whether the CPUs were so far apart, from before the batch until after it.
bool of_distance(const RowBasis& row, const std::string& distance);

/// The rows that a cell's figures come from, and what became of the others.
template <class Row>
struct RowsThatCount {
    std::vector<const Row*> rows;  ///< empty where there is no figure
    CellState state = CellState::measured;
    LeftOut left_out;
    std::vector<std::string> reasons;  ///< of failed and skipped rows, each text once
};

/// Of the rows of one cell. `distance` is the placement's.
template <class Row>
RowsThatCount<Row> rows_that_count(const std::vector<const Row*>& rows,
                                   const std::string& distance) {
    RowsThatCount<Row> chosen;
    std::vector<const Row*> disturbed;
    LeftOut& left_out = chosen.left_out;
    for (const Row* row : rows) {
        if (row->status == RowStatus::failed || row->status == RowStatus::skipped) {
            ++(row->status == RowStatus::failed ? left_out.failed : left_out.skipped);
            if (std::find(chosen.reasons.begin(), chosen.reasons.end(), row->reason) ==
                chosen.reasons.end())
                chosen.reasons.push_back(row->reason);
        } else if (row->has_figures && !of_distance(*row, distance)) {
            ++left_out.other_distance;
        } else if (row->status == RowStatus::ok) {
            chosen.rows.push_back(row);
        } else {
            ++left_out.disturbed;
            if (row->has_figures) disturbed.push_back(row);
        }
    }
    if (!chosen.rows.empty()) return chosen;
    if (!disturbed.empty()) {
        chosen.state = CellState::only_disturbed;
        left_out.disturbed -= disturbed.size();
    } else if (left_out.other_distance > 0) {
        chosen.state = CellState::other_distance;
    } else {
        chosen.state = left_out.failed > 0 ? CellState::failed : CellState::skipped;
    }
    chosen.rows = disturbed;
    return chosen;
}

}  // namespace ipclab
