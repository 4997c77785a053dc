// One cell of multi-queue, one process pair, one row.
#pragma once

#include "harness/multi_queue/cell.hpp"
#include "harness/row.hpp"
#include "harness/scenario.hpp"
#include "harness/session.hpp"
#include "harness/subject.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ipclab {

/// queues × threads × modes × sizes × bursts; with one queue, "a thread per queue" is one thread,
/// and left out where that is measured anyway. None of a scenario that is another experiment.
std::vector<QueueCell> queue_cells_of(const Scenario& scenario);

/// "2 queues, one thread, polling, 64 B, bursts of 32"
std::string in_words(const QueueCell& cell);

/// Why this cell is not measured here; nothing where it is. `cpus`: that this process may use.
std::optional<std::string> reason_to_skip(const QueueCell& cell, std::size_t cpus);

Row queue_row_without_figures(const QueueCell& cell, const Conditions& conditions, int round,
                              RowStatus status, const std::string& reason);

/// Two processes, connected by memif.
std::unique_ptr<Subject> create_subject(const QueueCell& cell);
/// The address of the pair's control channel, in the kernel's abstract name space, where nothing
/// can be left behind.
std::string unused_memif_socket();

using QueueSubjectMaker = std::function<std::unique_ptr<Subject>(const QueueCell& cell)>;

/// Warm-up and one batch between two reference probes. A cell that this machine refuses makes a
/// skipped row, a pair that fails a failed one. Throws Interrupted.
Row measure_queues(
    const QueueCell& cell, const Conditions& conditions, int round, int attempt,
    SessionMemory& memory,
    const QueueSubjectMaker& make = [](const QueueCell& made) { return create_subject(made); });

}  // namespace ipclab
