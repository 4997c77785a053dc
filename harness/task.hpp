// What a run measures, with its kind forgotten: a cell, a cost, or a whole transfer.
#pragma once

#include "harness/row.hpp"
#include "harness/scenario.hpp"
#include "harness/session.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ipclab {

struct Task {
    std::string description;  ///< "pipe ping_pong 4 KiB copy two_cpus", for who watches
    /// The row that says why this is not measured here; nothing where it is.
    std::optional<Row> skipped{};
    /// One process pair, one row. Throws Interrupted.
    std::function<Row(int round, int attempt)> measure;
    /// A task is not done before it has so many undisturbed pairs. Six give an interval; those that
    /// stop at the first narrow interval stop too early too often, and see only the first seconds
    /// of the run.
    std::size_t pairs_min = 12;
};

/// All that the scenario measures. `conditions` and `memory` must outlive the tasks.
std::vector<Task> tasks_of(const Scenario& scenario, const Conditions& conditions,
                           SessionMemory& memory);

}  // namespace ipclab
