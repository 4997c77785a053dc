// What the experiment copy-vs-map measures.
#pragma once

#include "harness/copy_or_map/transfer.hpp"
#include "harness/scenario.hpp"

#include <vector>

namespace ipclab {

/// Each way at each size and placement, with both sides asleep while they wait, and, where each has
/// a CPU, with both spinning; the ways that remap for each number of messages per mapping; the
/// mechanisms that copy, each with the waiting that it has. In an A/A run, all of it twice.
std::vector<Transfer> transfers_of(const Scenario& scenario);

}  // namespace ipclab
