#include "harness/copy_or_map/findings.hpp"

#include "harness/copy_or_map/copy_or_map.hpp"
#include "harness/copy_or_map/model.hpp"
#include "harness/statistics.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace ipclab {
namespace {

/// The rounds of a second scenario in the same run come after those of the first: its pairs were
/// not measured beside the first one's.
constexpr int rounds_of_a_scenario = 1'000'000;

class RoundNumbers {
  public:
    int of(const RowBasis& row) {
        const auto found = std::find(scenarios_.begin(), scenarios_.end(), row.scenario);
        const auto before = static_cast<int>(found - scenarios_.begin());
        if (found == scenarios_.end()) scenarios_.push_back(row.scenario);
        return before * rounds_of_a_scenario + row.round;
    }

  private:
    std::vector<std::string> scenarios_;
};

std::string joined(const std::vector<std::string>& reasons) {
    std::string text;
    for (const std::string& reason : reasons) {
        if (!text.empty()) text += "; ";
        text += reason;
    }
    return text;
}

std::string reason_of(CellState state, const std::vector<std::string>& reasons) {
    if (state == CellState::other_distance)
        return "measured only while the CPUs were not as far apart as in the other cells";
    return state == CellState::failed || state == CellState::skipped ? joined(reasons) : "";
}

Estimate estimate_of(const ByRound& by_round) {
    std::vector<double> values;
    values.reserve(by_round.size());
    for (const auto& [round, value] : by_round) values.push_back(value);
    return {median(values), bootstrap_median_interval(values)};
}

template <class Row>
std::optional<double> median_over(const std::vector<const Row*>& rows, auto&& value_of) {
    std::vector<double> values;
    for (const Row* row : rows)
        if (const std::optional<double> value = value_of(*row)) values.push_back(*value);
    return values.empty() ? std::nullopt : std::optional(median(values));
}

// ---- costs ----

using CostKey = std::tuple<std::size_t, std::string, Placement, std::size_t, std::int64_t>;

/// A cost's place among all; one that this program does not know comes last.
std::size_t rank_of_cost(const std::string& cost) {
    const auto& all = all_costs();
    return static_cast<std::size_t>(
        std::find_if(all.begin(), all.end(),
                     [&](const CostEntry& entry) { return entry.facts.name == cost; }) -
        all.begin());
}

CostKey key_of(const RecordedCost& row) {
    return {rank_of_cost(row.cell.cost), row.cell.cost, row.cell.placement, row.cell.size_bytes,
            row.cell.slept_ns};
}

/// By name, in the order in which the cost declares them; of a cost that this program does not
/// know, those that its rows have.
std::vector<std::string> figures_of(const std::string& cost,
                                    const std::vector<RecordedCost>& rows) {
    for (const CostEntry& entry : all_costs()) {
        if (entry.facts.name != cost) continue;
        std::vector<std::string> names;
        for (const CostFigure& figure : entry.facts.figures) names.emplace_back(figure.name);
        return names;
    }
    std::set<std::string> names;
    for (const RecordedCost& row : rows)
        if (row.cell.cost == cost)
            for (const auto& [name, value_ns] : row.figures_ns) names.insert(name);
    if (names.empty()) return {"time"};  // so that the gap has a name
    return {names.begin(), names.end()};
}

void find_cost(const std::vector<const RecordedCost*>& rows, const std::string& distance,
               const std::vector<std::string>& figures, RoundNumbers& rounds,
               std::vector<CostFinding>& found) {
    const auto counting = rows_that_count(rows, distance);
    for (const std::string& figure : figures) {
        CostFinding finding;
        finding.cell = rows.front()->cell;
        finding.figure = figure;
        finding.state = counting.state;
        finding.reason = reason_of(counting.state, counting.reasons);
        ByRound by_round_ns;  // of several attempts that count (all of them disturbed), the last
        for (const RecordedCost* row : counting.rows)
            if (const auto value = row->figures_ns.find(figure); value != row->figures_ns.end())
                by_round_ns[rounds.of(*row)] = value->second;
        finding.pairs = by_round_ns.size();
        if (finding.pairs > 0) {
            finding.value_ns = estimate_of(by_round_ns);
        } else if (!counting.rows.empty()) {
            finding.state = CellState::failed;
            finding.reason = "no pass has told it";
        }
        found.push_back(std::move(finding));
    }
}

std::vector<CostFinding> find_costs(const std::vector<RecordedCost>& rows,
                                    const std::map<Placement, PlacementSummary>& placements_found,
                                    RoundNumbers& rounds) {
    std::map<CostKey, std::vector<const RecordedCost*>> cells;
    for (const RecordedCost& row : rows) cells[key_of(row)].push_back(&row);
    std::map<std::string, std::vector<std::string>> figures;
    std::vector<CostFinding> found;
    for (const auto& [key, cell_rows] : cells) {
        const CostCell& cell = cell_rows.front()->cell;
        auto& names = figures[cell.cost];
        if (names.empty()) names = figures_of(cell.cost, rows);
        find_cost(cell_rows, placements_found.at(cell.placement).distance, names, rounds, found);
    }
    return found;
}

// ---- transfers ----

auto key_of(const Transfer& transfer) {
    return std::tuple(transfer.placement, transfer.waiting, transfer.way, transfer.mechanism,
                      transfer.messages_per_mapping, transfer.arm, transfer.size_bytes);
}

TransferFinding find_transfer(const std::vector<const RecordedTransfer*>& rows,
                              const std::string& distance, RoundNumbers& rounds) {
    const auto counting = rows_that_count(rows, distance);
    TransferFinding finding;
    finding.transfer = rows.front()->transfer;
    finding.state = counting.state;
    finding.reason = reason_of(counting.state, counting.reasons);
    if (counting.rows.empty()) return finding;
    for (const RecordedTransfer* row : counting.rows)
        finding.by_round_ns[rounds.of(*row)] = row->transfer_ns;
    finding.transfer_ns = estimate_of(finding.by_round_ns);
    for (std::size_t i = 0; i < phases.size(); ++i)
        finding.phases_ns[i] = median_over(counting.rows, [&](const RecordedTransfer& row) {
                                   return row.phases_ns[i];
                               }).value_or(0);
    for (std::size_t i = 0; i < finding.cpu_ns.size(); ++i)
        finding.cpu_ns[i] = median_over(counting.rows, [&](const RecordedTransfer& row) {
                                return row.cpu_ns[i];
                            }).value_or(0);
    finding.switches =
        median_over(counting.rows, [](const RecordedTransfer& row) { return row.switches; });
    return finding;
}

void lay_model_over(TransferFinding& finding, const Costs& costs) {
    finding.model = model(finding.transfer, costs);
    if (finding.by_round_ns.empty() || !finding.model.missing.empty()) return;
    finding.residual = finding.model.total_ns() / finding.transfer_ns.median - 1;
    finding.within = within_promise(finding);
    if (!finding.within) finding.suspect = suspect_of(finding);
}

}  // namespace

CopyOrMap find_copy_or_map(const std::vector<RecordedCost>& costs,
                           const std::vector<RecordedTransfer>& transfers,
                           const std::map<Placement, PlacementSummary>& placements_found) {
    CopyOrMap found;
    for (const auto& [placement, summary] : placements_found)
        found.distances[placement] = summary.distance;
    RoundNumbers rounds;
    found.costs = find_costs(costs, placements_found, rounds);

    std::map<decltype(key_of(Transfer())), std::vector<const RecordedTransfer*>> cells;
    for (const RecordedTransfer& row : transfers) cells[key_of(row.transfer)].push_back(&row);
    const Costs known(found.costs);
    for (const auto& [key, rows] : cells) {
        const Placement placement = rows.front()->transfer.placement;
        found.transfers.push_back(
            find_transfer(rows, placements_found.at(placement).distance, rounds));
        lay_model_over(found.transfers.back(), known);
    }
    found.crossings = find_crossings(found.transfers, known);
    found.agreements = find_agreements(found.transfers);
    found.false_alarms = find_false_alarms(found.transfers);
    return found;
}

std::vector<Place> places_of(const CopyOrMap& found) {
    std::set<Place> places;
    for (const TransferFinding& finding : found.transfers)
        places.insert({finding.transfer.placement, finding.transfer.waiting});
    return {places.begin(), places.end()};
}

}  // namespace ipclab
