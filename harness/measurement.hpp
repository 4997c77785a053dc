// One cell, one process pair, one row.
#pragma once

#include "harness/cell.hpp"
#include "harness/row.hpp"
#include "harness/session.hpp"

#include <string>
#include <vector>

namespace ipclab {

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
