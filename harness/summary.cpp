#include "harness/summary.hpp"

#include "harness/copy_or_map/copy_or_map.hpp"
#include "harness/copy_or_map/recorded.hpp"
#include "harness/multi_queue/findings.hpp"
#include "harness/subject.hpp"
#include "harness/summary_rows.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <tuple>
#include <utility>

namespace ipclab {
namespace {

using Rows = std::vector<const RecordedRow*>;

// ---- figures from pairs ----

std::optional<double> median_of(const std::vector<double>& values) {
    return values.empty() ? std::nullopt : std::optional(median(values));
}

/// The median of what `figure` finds in each pair, over the pairs that have it.
std::optional<double> median_over(const std::vector<PairFigures>& pairs, auto&& figure) {
    std::vector<double> values;
    for (const PairFigures& pair : pairs)
        if (const std::optional<double> value = figure(pair)) values.push_back(*value);
    return median_of(values);
}

std::vector<double> values_over(const std::vector<PairFigures>& pairs, auto&& figure) {
    std::vector<double> values(pairs.size());
    std::transform(pairs.begin(), pairs.end(), values.begin(), figure);
    return values;
}

Estimate estimate_over(const std::vector<PairFigures>& pairs, auto&& figure) {
    const std::vector<double> values = values_over(pairs, figure);
    return {median(values), bootstrap_median_interval(values)};
}

/// Pairs of one program count the same; those of another, if a run has such, are left aside.
std::vector<CounterFigure> counters_over(const std::vector<PairFigures>& pairs, std::size_t side) {
    std::vector<CounterFigure> medians = pairs.front().counters[side];
    for (CounterFigure& counter : medians)
        counter.per_message = *median_over(pairs, [&](const PairFigures& pair) {
            const std::vector<CounterFigure>& all = pair.counters[side];
            const auto same = std::find_if(all.begin(), all.end(), [&](const CounterFigure& other) {
                return other.name == counter.name;
            });
            return same == all.end() ? std::nullopt : std::optional(same->per_message);
        });
    return medians;
}

void add_figures(CellSummary& cell) {
    std::vector<PairFigures>& pairs = cell.pairs;
    const auto figure_ns = [](const PairFigures& pair) { return pair.figure_ns; };
    cell.figure_ns = estimate_over(pairs, figure_ns);

    if (cell.figure_ns.interval) {  // among fewer pairs, it is chance who lies far from the others
        const std::vector<bool> flags = flag_outliers(values_over(pairs, figure_ns));
        for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i].outlier = flags[i];
        cell.outliers = static_cast<std::size_t>(std::count(flags.begin(), flags.end(), true));
    }

    for (std::size_t i = 0; i < cell.sides.size(); ++i)
        cell.sides[i] = {
            median_over(pairs, [&](const PairFigures& p) { return p.sides[i].cpu_ns; }),
            median_over(pairs, [&](const PairFigures& p) { return p.sides[i].voluntary_switches; }),
            median_over(pairs,
                        [&](const PairFigures& p) { return p.sides[i].involuntary_switches; }),
            median_over(pairs, [&](const PairFigures& p) { return p.sides[i].minor_faults; })};

    for (std::size_t i = 0; i < cell.counters.size(); ++i)
        cell.counters[i] = counters_over(pairs, i);

    const auto by_stride =
        std::minmax_element(pairs.begin(), pairs.end(),
                            [](const auto& a, const auto& b) { return a.stride < b.stride; });
    cell.stride_min = by_stride.first->stride;
    cell.stride_max = by_stride.second->stride;
    for (const PairFigures& pair : pairs) cell.fragments = std::max(cell.fragments, pair.fragments);

    if (cell.cell.pattern == Pattern::lifecycle) {
        for (std::size_t i = 0; i < life_steps.size(); ++i)
            cell.life_ns[i] =
                estimate_over(pairs, [&](const PairFigures& p) { return p.life_ns[i]; });
        cell.attach_faults =
            median_over(pairs, [](const PairFigures& p) { return p.attach_faults; });
        return;
    }
    if (cell.cell.pattern == Pattern::stream) {
        const auto size_bytes = static_cast<double>(cell.cell.size_bytes);
        cell.messages_per_s =
            estimate_over(pairs, [](const PairFigures& p) { return 1e9 / p.figure_ns; });
        cell.bytes_per_s = estimate_over(
            pairs, [&](const PairFigures& p) { return size_bytes * 1e9 / p.figure_ns; });
        return;
    }
    // Where fewer than half of the pairs have a percentile, their median would be of a selection.
    const auto tail = [&](std::optional<double> Tail::*percentile) {
        const auto have = std::count_if(pairs.begin(), pairs.end(), [&](const PairFigures& p) {
            return (p.tail.*percentile).has_value();
        });
        if (2 * static_cast<std::size_t>(have) < pairs.size()) return std::optional<double>();
        return median_over(pairs, [&](const PairFigures& p) { return p.tail.*percentile; });
    };
    cell.tail_ns = {tail(&Tail::p90), tail(&Tail::p99), tail(&Tail::p99_9), tail(&Tail::max)};
    for (const PairFigures& pair : pairs)
        cell.max_overall_ns = std::max(cell.max_overall_ns, pair.tail.max);
}

// ---- a cell ----

/// What bounds more than half of the rows.
std::optional<std::string> bound_of(const Rows& rows) {
    std::map<std::string, std::size_t> counts;
    for (const RecordedRow* row : rows)
        if (row->bound_by) ++counts[*row->bound_by];
    std::size_t bound = 0;
    for (const auto& [kernel, count] : counts) bound += count;
    if (2 * bound <= rows.size()) return std::nullopt;
    return std::max_element(counts.begin(), counts.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
}

/// A row that was skipped may not tell; then the catalogue does.
std::string waiting_of(const Rows& rows) {
    for (const RecordedRow* row : rows)
        if (!row->waiting.empty()) return row->waiting;
    for (const Facts& facts : catalog_facts())
        if (facts.name == rows.front()->cell.mechanism) return std::string(name_of(facts.waiting));
    return "unknown";
}

CellSummary summarise_cell(const Rows& rows, std::string variant, const std::string& distance) {
    const RecordedRow& first = *rows.front();
    CellSummary cell;
    cell.scenario = first.scenario;
    cell.cell = first.cell;
    cell.variant = std::move(variant);
    cell.distance = distance;
    cell.waiting = waiting_of(rows);

    auto counting = rows_that_count(rows, distance);
    cell.state = counting.state;
    cell.left_out = counting.left_out;
    cell.reasons = std::move(counting.reasons);
    const Rows& chosen = counting.rows;
    if (chosen.empty()) return cell;
    for (const RecordedRow* row : chosen) {
        cell.pairs.push_back(row->pair);
        cell.closed_loop |= row->closed_loop;
    }
    cell.reference_ns =
        median_over(cell.pairs, [](const PairFigures& pair) { return pair.reference_ns; });
    cell.capacity_bytes = chosen.front()->capacity_bytes;
    cell.publish_every = chosen.front()->publish_every;
    cell.stores = chosen.front()->stores;
    cell.bound_by = bound_of(chosen);
    add_figures(cell);
    return cell;
}

// ---- which rows belong together ----

using CellKey = std::tuple<std::string, std::string, Pattern, std::size_t, Access, Placement,
                           std::size_t, std::size_t, std::optional<Stores>>;

CellKey key_of(const RecordedRow& row) {
    const Cell& cell = row.cell;
    return {row.scenario,   cell.mechanism,      cell.pattern,        cell.size_bytes, cell.access,
            cell.placement, cell.capacity_bytes, cell.batch_messages, cell.stores};
}

struct Setting {
    std::string name;
    std::string value;
    bool always;  ///< to be told even where all rows of the cell have it
};

std::vector<Setting> settings_of(const RecordedRow& row) {
    const auto text = [](const std::optional<double>& value) {
        return value ? fmt::format("{}", *value) : std::string("unknown");
    };
    return {{"waiting", row.waiting, false},
            {"touch", row.touch, row.touch != "all"},
            {"publish_every", text(row.publish_every), false},
            {"stores", row.stores.value_or("unknown"), false},
            {"capacity_bytes", text(row.capacity_bytes), false}};
}

/// Rows of one cell, apart by the settings in which they differ: one median over both would be a
/// figure of neither. Rows without figures go to the first.
std::map<std::string, Rows> by_variant(const Rows& rows) {
    std::map<const RecordedRow*, std::vector<Setting>> settings;
    for (const RecordedRow* row : rows)
        if (row->has_figures) settings[row] = settings_of(*row);
    std::set<std::string> told;
    for (const auto& [row, row_settings] : settings)
        for (std::size_t i = 0; i < row_settings.size(); ++i)
            if (row_settings[i].always ||
                row_settings[i].value != settings.begin()->second[i].value)
                told.insert(row_settings[i].name);

    std::map<std::string, Rows> variants;
    for (const RecordedRow* row : rows) {  // in the order in which they were measured
        if (!row->has_figures) continue;
        std::string variant;
        for (const Setting& setting : settings[row])
            if (told.count(setting.name) > 0)
                variant +=
                    fmt::format("{}{}={}", variant.empty() ? "" : " ", setting.name, setting.value);
        variants[variant].push_back(row);
    }
    if (variants.empty()) variants[""] = {};
    for (const RecordedRow* row : rows)
        if (!row->has_figures) variants.begin()->second.push_back(row);
    return variants;
}

/// Like with like: mechanisms that wait in the same way stand together, those that leave the CPU to
/// others first.
std::size_t rank_of_waiting(const std::string& waiting) {
    constexpr std::array order{Waiting::sleeps, Waiting::spins_then_sleeps, Waiting::polls_sleeping,
                               Waiting::spins_yielding, Waiting::spins};
    for (std::size_t i = 0; i < order.size(); ++i)
        if (name_of(order[i]) == waiting) return i;
    return order.size();
}

/// Its place in the catalogue; a mechanism that is no longer there comes last.
std::size_t rank_of_mechanism(const std::string& mechanism) {
    const std::vector<Facts>& all = catalog_facts();
    return static_cast<std::size_t>(
        std::find_if(all.begin(), all.end(),
                     [&](const Facts& facts) { return facts.name == mechanism; }) -
        all.begin());
}

void sort_cells(std::vector<CellSummary>& cells, const std::vector<RecordedRow>& rows) {
    std::vector<std::string> scenarios;  // in the order in which they were run
    for (const RecordedRow& row : rows)
        if (std::find(scenarios.begin(), scenarios.end(), row.scenario) == scenarios.end())
            scenarios.push_back(row.scenario);
    const auto key = [&](const CellSummary& summary) {
        const Cell& cell = summary.cell;
        return std::tuple(
            std::find(scenarios.begin(), scenarios.end(), summary.scenario) - scenarios.begin(),
            cell.pattern, cell.placement, rank_of_waiting(summary.waiting), summary.waiting,
            rank_of_mechanism(cell.mechanism), cell.mechanism, cell.access, summary.variant,
            cell.capacity_bytes, cell.batch_messages, cell.stores, cell.size_bytes);
    };
    std::sort(cells.begin(), cells.end(),
              [&](const CellSummary& a, const CellSummary& b) { return key(a) < key(b); });
}

}  // namespace

std::vector<std::pair<std::string, double>>
packets_per_cycle(const std::vector<CounterFigure>& counters) {
    constexpr std::string_view packets = "packets";
    std::vector<std::pair<std::string, double>> ratios;
    for (const CounterFigure& counter : counters) {
        if (!counter.name.ends_with(packets)) continue;
        const std::string which = counter.name.substr(0, counter.name.size() - packets.size());
        const auto cycles =
            std::find_if(counters.begin(), counters.end(), [&](const CounterFigure& other) {
                return other.name == fmt::format("{}cycles", which);
            });
        if (cycles != counters.end() && cycles->per_message > 0)
            ratios.emplace_back(which, counter.per_message / cycles->per_message);
    }
    return ratios;
}

Summary summarise(const RecordedRun& run) {
    Summary summary;
    summary.context = run.context;
    summary.torn_tail = run.torn_tail;
    if (run.end) {
        const auto& end = *run.end;
        summary.stopped_by = end.value("stopped_by", std::string("unknown"));
        summary.elapsed_s = end.value("elapsed_s", 0.0);
    }

    const std::vector<RecordedRow> rows = read_rows(run);
    const std::vector<RecordedCost> costs = read_costs(run);
    const std::vector<RecordedTransfer> transfers = read_transfers(run);
    std::vector<const RowBasis*> all;
    const std::vector<RecordedQueueRow> queue_rows = read_queue_rows(run);
    all.reserve(rows.size() + costs.size() + transfers.size() + queue_rows.size());
    for (const RecordedRow& row : rows) all.push_back(&row);
    for (const RecordedCost& row : costs) all.push_back(&row);
    for (const RecordedTransfer& row : transfers) all.push_back(&row);
    for (const RecordedQueueRow& row : queue_rows) all.push_back(&row);
    summary.rows = all.size();
    for (const RowBasis* row : all) {
        summary.placements.try_emplace(row->placement);
        summary.kept_awake |= row->kept_awake;
        summary.raised |= row->raised;
    }
    for (auto& [placement, found] : summary.placements) found = summarise_placement(all, placement);

    std::map<CellKey, Rows> cells;
    for (const RecordedRow& row : rows) cells[key_of(row)].push_back(&row);
    for (const auto& [key, cell_rows] : cells) {
        const Placement placement = cell_rows.front()->cell.placement;
        for (const auto& [variant, variant_rows] : by_variant(cell_rows))
            summary.cells.push_back(
                summarise_cell(variant_rows, variant, summary.placements.at(placement).distance));
    }
    sort_cells(summary.cells, rows);
    if (!costs.empty() || !transfers.empty())
        summary.copy_or_map = std::make_shared<const CopyOrMap>(
            find_copy_or_map(costs, transfers, summary.placements));
    if (!queue_rows.empty())
        summary.multi_queue = std::make_shared<const MultiQueue>(find_multi_queue(
            queue_rows, summary.placements.at(queue_rows.front().placement).distance));
    return summary;
}

}  // namespace ipclab
