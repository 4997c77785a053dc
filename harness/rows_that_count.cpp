#include "harness/rows_that_count.hpp"

#include <map>

namespace ipclab {
namespace {

constexpr std::array statuses{RowStatus::ok, RowStatus::disturbed, RowStatus::skipped,
                              RowStatus::failed};

/// The class of most rows; of several, the first by name, so that all readers choose the same.
std::string most_common_distance(const std::vector<const RowBasis*>& rows, Placement placement,
                                 RowStatus status) {
    std::map<std::string, std::size_t> counts;
    for (const RowBasis* row : rows)
        if (row->status == status && row->has_figures && row->placement == placement)
            ++counts[row->distance];
    const auto most =
        std::max_element(counts.begin(), counts.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    return most == counts.end() ? "" : most->first;
}

}  // namespace

RowBasis read_basis(const Fields& fields) {
    RowBasis row;
    row.scenario = fields.text({"scenario"}).value_or("");
    row.round = static_cast<int>(fields.number({"round"}).value_or(0));
    row.placement = fields.one_of("placement", placements);
    row.status = fields.one_of("status", statuses);
    row.reason = fields.text({"reason"}).value_or("no reason given");
    row.kept_awake = fields.is_true({"keep_awake"});
    row.raised = fields.number({"autogroup_nice"}).has_value();

    const auto before = fields.text({"reference_before", "class"});
    const auto after = fields.text({"reference_after", "class"});
    row.distance = before.value_or("unknown");
    row.distance_changed = before && after && *before != *after;
    row.reference_kind = fields.text({"reference_before", "kind"}).value_or("");
    const auto before_ns = fields.number({"reference_before", "round_trip_ns"});
    const auto after_ns = fields.number({"reference_after", "round_trip_ns"});
    row.reference_ns = before_ns && after_ns ? (*before_ns + *after_ns) / 2
                       : before_ns           ? before_ns
                                             : after_ns;
    return row;
}

bool of_distance(const RowBasis& row, const std::string& distance) {
    return row.distance == distance && !row.distance_changed;
}

PlacementSummary summarise_placement(const std::vector<const RowBasis*>& rows,
                                     Placement placement) {
    PlacementSummary summary;
    summary.distance = most_common_distance(rows, placement, RowStatus::ok);
    if (summary.distance.empty())
        summary.distance = most_common_distance(rows, placement, RowStatus::disturbed);

    std::vector<double> references_ns;
    for (const RowBasis* row : rows) {
        if (row->placement != placement || !row->has_figures) continue;
        if (!of_distance(*row, summary.distance)) {
            ++summary.other_distances[row->distance_changed ? "moving" : row->distance];
        } else if (row->status == RowStatus::ok) {
            summary.reference_kind = row->reference_kind;
            if (row->reference_ns) references_ns.push_back(*row->reference_ns);
        }
    }
    if (!references_ns.empty()) summary.reference_ns = median(references_ns);
    return summary;
}

}  // namespace ipclab
