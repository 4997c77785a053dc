// What a run of multi-queue found: the rows of type "multi_queue", and per cell what they say.
#pragma once

#include "harness/multi_queue/cell.hpp"
#include "harness/rows_that_count.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace ipclab {

struct RecordedQueueRow : RowBasis {
    QueueCell cell;
    double packet_ns = 0;
    double fairness = 0;
    std::array<std::optional<double>, 2> cpu_ns;  ///< per packet: of the sender, of the receiver
    std::optional<std::string> bound_by;
};

/// Throws RunFileError, which names the line, for a row that lacks what its status promises.
std::vector<RecordedQueueRow> read_queue_rows(const RecordedRun& run);

struct QueueFinding {
    QueueCell cell;
    CellState state = CellState::measured;
    std::string reason;     ///< why there is no figure
    std::size_t pairs = 0;  ///< that count; 0 where there is no figure
    Estimate packets_per_s;
    Estimate bytes_per_s;
    /// The fewest packets that a queue carried in a batch, as a share of the most; the median.
    double fairness = 0;
    std::array<std::optional<double>, 2> cpu_ns;  ///< per packet; medians
    bool is_bound = false;                        ///< most pairs, by filling or checking
    LeftOut left_out;
};

struct MultiQueue {
    std::string distance;                ///< how far apart the CPUs were
    std::vector<QueueFinding> findings;  ///< by size, burst, mode, threads, queues
};

/// `distance` is the class that counts.
MultiQueue find_multi_queue(const std::vector<RecordedQueueRow>& rows, const std::string& distance);

/// For a terminal of 120 columns.
std::string terminal_report(const MultiQueue& found);
/// As sections of a page.
std::string markdown_report(const MultiQueue& found);
/// What a reader must know before trusting the figures, each ending in something to do.
std::vector<std::string> warnings_of(const MultiQueue& found);

}  // namespace ipclab
