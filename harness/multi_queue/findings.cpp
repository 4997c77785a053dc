#include "harness/multi_queue/findings.hpp"

#include <map>
#include <string_view>
#include <tuple>

namespace ipclab {
namespace {

RecordedQueueRow read_row(const Fields& fields) {
    RecordedQueueRow row;
    static_cast<RowBasis&>(row) = read_basis(fields);
    row.cell = {fields.needed_size("queues"), fields.one_of("threads", all_queue_threads),
                fields.one_of("mode", all_queue_modes), fields.needed_size("size_bytes"),
                fields.needed_size("burst")};
    const auto messages = fields.number({"messages"});
    row.has_figures =
        row.status == RowStatus::ok || (row.status == RowStatus::disturbed && messages.has_value());
    if (!row.has_figures) return row;
    row.packet_ns = fields.needed_positive("message_ns");
    const auto fairness = fields.number({"fairness"});
    if (!fairness || !(*fairness >= 0 && *fairness <= 1))
        fields.refuse("fairness", fields.find({"fairness"}));
    row.fairness = *fairness;
    constexpr std::array<std::string_view, 2> sides{"initiator", "responder"};
    for (std::size_t i = 0; i < sides.size(); ++i)
        if (const auto total = fields.number({sides[i], "cpu_ns"}); total && messages)
            row.cpu_ns[i] = *total / *messages;
    row.bound_by = fields.text({"bound_by"});
    return row;
}

using Rows = std::vector<const RecordedQueueRow*>;

Estimate estimate_over(const Rows& rows, auto&& figure) {
    std::vector<double> values;
    values.reserve(rows.size());
    for (const RecordedQueueRow* row : rows) values.push_back(figure(*row));
    return {median(values), bootstrap_median_interval(values)};
}

QueueFinding find_cell(const Rows& rows, const std::string& distance) {
    const auto counting = rows_that_count(rows, distance);
    const Rows& chosen = counting.rows;
    QueueFinding found;
    found.cell = rows.front()->cell;
    found.state = counting.state;
    found.left_out = counting.left_out;
    for (const std::string& reason : counting.reasons)
        found.reason.append(found.reason.empty() ? "" : "; ").append(reason);
    if (counting.state == CellState::other_distance)
        found.reason = "measured only while the CPUs were not as far apart as in the other cells";
    found.pairs = chosen.size();
    if (chosen.empty()) return found;

    const auto size_bytes = static_cast<double>(found.cell.size_bytes);
    found.packets_per_s =
        estimate_over(chosen, [](const RecordedQueueRow& row) { return 1e9 / row.packet_ns; });
    found.bytes_per_s = estimate_over(
        chosen, [&](const RecordedQueueRow& row) { return size_bytes * 1e9 / row.packet_ns; });
    found.fairness =
        estimate_over(chosen, [](const RecordedQueueRow& row) { return row.fairness; }).median;
    for (std::size_t side = 0; side < found.cpu_ns.size(); ++side) {
        std::vector<double> values;
        for (const RecordedQueueRow* row : chosen)
            if (row->cpu_ns[side]) values.push_back(*row->cpu_ns[side]);
        if (!values.empty()) found.cpu_ns[side] = median(values);
    }
    const auto bound = std::count_if(chosen.begin(), chosen.end(),
                                     [](const auto* row) { return row->bound_by.has_value(); });
    found.is_bound = 2 * static_cast<std::size_t>(bound) > chosen.size();
    return found;
}

}  // namespace

std::vector<RecordedQueueRow> read_queue_rows(const RecordedRun& run) {
    std::vector<RecordedQueueRow> rows;
    for_each_row(run, "multi_queue",
                 [&](const Fields& fields) { rows.push_back(read_row(fields)); });
    return rows;
}

MultiQueue find_multi_queue(const std::vector<RecordedQueueRow>& rows,
                            const std::string& distance) {
    std::map<std::tuple<std::size_t, std::size_t, QueueMode, QueueThreads, std::size_t>, Rows>
        cells;
    for (const RecordedQueueRow& row : rows) {
        const QueueCell& cell = row.cell;
        cells[{cell.size_bytes, cell.burst, cell.mode, cell.threads, cell.queues}].push_back(&row);
    }
    MultiQueue found;
    found.distance = distance;
    for (const auto& [key, cell_rows] : cells)
        found.findings.push_back(find_cell(cell_rows, distance));
    return found;
}

}  // namespace ipclab
