#include "harness/task.hpp"

#include "harness/copy_or_map/experiment.hpp"
#include "harness/costs/cost.hpp"
#include "harness/measurement.hpp"
#include "harness/multi_queue/measurement.hpp"
#include "harness/quantity.hpp"
#include "harness/subject.hpp"

#include <fmt/format.h>
#include <limits>

namespace ipclab {
namespace {

/// A cost is one term of many: an interval does.
constexpr std::size_t pairs_min_of_a_cost = 6;

std::string describe(const Cell& cell) {
    std::string text =
        fmt::format("{} {} {} {} {}", cell.mechanism, name_of(cell.pattern),
                    format_size(cell.size_bytes), name_of(cell.access), name_of(cell.placement));
    if (cell.capacity_bytes > 0)
        text += fmt::format(" capacity {}", format_size(cell.capacity_bytes));
    if (cell.batch_messages > 0) text += fmt::format(" batch {}", cell.batch_messages);
    if (cell.stores) text += fmt::format(" {} stores", name_of(*cell.stores));
    return text;
}

std::string describe(const CostCell& cell) {
    std::string text = fmt::format("cost of {}", cell.cost);
    if (cell.size_bytes > 0) text += fmt::format(" {}", format_size(cell.size_bytes));
    if (cell.slept_ns > 0)
        text += fmt::format(" after {}", format_time_ns(static_cast<double>(cell.slept_ns)));
    return fmt::format("{} {}", text, name_of(cell.placement));
}

std::string describe(const Transfer& transfer) {
    return fmt::format(
        "{}{}{} {} {} {}{}", name_of(transfer.way),
        transfer.mechanism.empty() ? "" : fmt::format(" {}", transfer.mechanism),
        remaps(transfer.way) ? fmt::format(" every {}", transfer.messages_per_mapping) : "",
        format_size(transfer.size_bytes), name_of(transfer.waiting), name_of(transfer.placement),
        transfer.arm.empty() ? "" : fmt::format(" ({})", transfer.arm));
}

Task task_of(const Cell& cell, const Scenario& scenario, const Conditions& conditions,
             SessionMemory& memory) {
    Task task{.description = describe(cell),
              .measure = [&conditions, &memory, cell](int round, int attempt) {
                  return measure(cell, conditions, round, attempt, memory);
              }};
    // A life is too short to be worth stopping early.
    if (cell.pattern == Pattern::lifecycle)
        task.pairs_min = std::numeric_limits<std::size_t>::max();
    if (const auto reason = reason_to_skip(cell, usable_cpus(), scenario.pure_spin_on_one_cpu))
        task.skipped = row_without_figures(cell, conditions, 0, RowStatus::skipped, *reason);
    return task;
}

Task task_of(const CostCell& cell, const Conditions& conditions, SessionMemory& memory) {
    Task task{.description = describe(cell),
              .measure =
                  [&conditions, &memory, cell](int round, int attempt) {
                      return measure_cost(cell, conditions, round, attempt, memory);
                  },
              .pairs_min = pairs_min_of_a_cost};
    if (cell.placement == Placement::two_cpus && usable_cpus() < 2)
        task.skipped = cost_row_without_figures(cell, conditions, 0, RowStatus::skipped,
                                                "this process may use one CPU only");
    return task;
}

Task task_of(const Transfer& transfer, const Conditions& conditions, SessionMemory& memory) {
    Task task{.description = describe(transfer),
              .measure = [&conditions, &memory, transfer](int round, int attempt) {
                  return measure_transfer(transfer, conditions, round, attempt, memory);
              }};
    if (const auto reason = reason_to_skip(transfer, usable_cpus()))
        task.skipped =
            transfer_row_without_figures(transfer, conditions, 0, RowStatus::skipped, *reason);
    return task;
}

Task task_of(const QueueCell& cell, const Conditions& conditions, SessionMemory& memory) {
    Task task{.description = in_words(cell),
              .measure = [&conditions, &memory, cell](int round, int attempt) {
                  return measure_queues(cell, conditions, round, attempt, memory);
              }};
    if (const auto reason = reason_to_skip(cell, usable_cpus()))
        task.skipped = queue_row_without_figures(cell, conditions, 0, RowStatus::skipped, *reason);
    return task;
}

}  // namespace

std::vector<Task> tasks_of(const Scenario& scenario, const Conditions& conditions,
                           SessionMemory& memory) {
    std::vector<Task> tasks;
    for (const Cell& cell : cells_of(scenario))
        tasks.push_back(task_of(cell, scenario, conditions, memory));
    for (const QueueCell& cell : queue_cells_of(scenario))
        tasks.push_back(task_of(cell, conditions, memory));
    if (scenario.experiment != Experiment::copy_vs_map) return tasks;
    if (!scenario.a_a)
        for (const CostCell& cell : cost_cells(scenario.sizes_bytes, scenario.placements))
            tasks.push_back(task_of(cell, conditions, memory));
    for (const Transfer& transfer : transfers_of(scenario))
        tasks.push_back(task_of(transfer, conditions, memory));
    return tasks;
}

}  // namespace ipclab
