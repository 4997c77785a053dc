// The lines of run.jsonl that tell of costs and of transfers, with their types.
#pragma once

#include "harness/copy_or_map/transfer.hpp"
#include "harness/costs/cost.hpp"
#include "harness/rows_that_count.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ipclab {

struct RecordedCost : RowBasis {
    CostCell cell;
    std::map<std::string, double> figures_ns;  ///< those that were found
};

struct RecordedTransfer : RowBasis {
    Transfer transfer;
    double transfer_ns = 0;
    std::array<std::optional<double>, phases.size()> phases_ns;
    std::array<std::optional<double>, 2> cpu_ns;  ///< per message: of the sender, of the receiver
    std::optional<double> switches;               ///< per message, of both sides
};

/// Both throw RunFileError, which names the line, for a row that lacks what its status promises.
std::vector<RecordedCost> read_costs(const RecordedRun& run);
std::vector<RecordedTransfer> read_transfers(const RecordedRun& run);

}  // namespace ipclab
