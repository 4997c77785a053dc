// Runs scenarios: all cells in random order, again and again, until the intervals are narrow
// enough, the rounds are done or the budget is spent.
#pragma once

#include "harness/scenario.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace ipclab {

struct RunOptions {
    std::vector<Scenario> scenarios;
    std::uint64_t seed = 1;
    bool keep_awake = false;       ///< see quiet.hpp
    bool raise_autogroup = false;  ///< see quiet.hpp
    std::optional<std::filesystem::path>
        out;  ///< the results' folder; chosen by time, host and commit if empty
};

/// Measures, writes run.jsonl row by row, prints progress, and at the end the summary. Returns the
/// program's exit status: 0, 1 when a row failed, 130 after Ctrl-C.
int run(const RunOptions& options);

/// The order in which round `round` goes through `cells` cells; the same for the same seed.
std::vector<std::size_t> order_of_round(std::size_t cells, std::uint64_t seed, int round);

}  // namespace ipclab
