#include "harness/copy_or_map/copy_or_map.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace ipclab {
namespace {

/// Stands for a mapping that is used for ever.
constexpr std::uint64_t very_many_messages = 1'000'000'000'000;

/// One curve's transfers, but for their size.
using Series = std::tuple<Place, Way, std::string, std::uint64_t>;

Series series_of(const Transfer& transfer) {
    return {Place{transfer.placement, transfer.waiting}, transfer.way, transfer.mechanism,
            transfer.messages_per_mapping};
}

struct Measured {
    Curve curve_ns;
    std::string reason;  ///< of a size that has no figures
};

/// What was measured, and what the costs say of the same.
class Curves {
  public:
    Curves(const std::vector<TransferFinding>& transfers, const Costs& costs) : costs_(costs) {
        for (const TransferFinding& finding : transfers) {
            if (!finding.transfer.arm.empty()) continue;
            const Series series = series_of(finding.transfer);
            Measured& measured = measured_[series];
            if (!finding.by_round_ns.empty())
                measured.curve_ns[finding.transfer.size_bytes] = finding.by_round_ns;
            else if (measured.reason.empty())
                measured.reason = finding.reason;
            sizes_bytes_[std::get<Place>(series)].insert(finding.transfer.size_bytes);
        }
    }

    [[nodiscard]] const std::map<Series, Measured>& measured() const { return measured_; }

    [[nodiscard]] const Curve& modelled(const Series& series) {
        const auto [entry, is_new] = modelled_.try_emplace(series);
        if (is_new) entry->second = model_curve(series);
        return entry->second;
    }

  private:
    [[nodiscard]] Curve model_curve(const Series& series) const {
        const auto& [place, way, mechanism, messages] = series;
        Curve curve;
        for (const std::size_t size_bytes : sizes_bytes_.at(place)) {
            const Modelled modelled = model({.way = way,
                                             .mechanism = mechanism,
                                             .waiting = place.waiting,
                                             .messages_per_mapping = messages,
                                             .size_bytes = size_bytes,
                                             .placement = place.placement},
                                            costs_);
            if (modelled.missing.empty()) curve[size_bytes] = {{1, modelled.total_ns()}};
        }
        return curve;
    }

    const Costs& costs_;
    std::map<Series, Measured> measured_;
    std::map<Series, Curve> modelled_;
    std::map<Place, std::set<std::size_t>> sizes_bytes_;
};

std::string why_none(const Measured& copy, const Measured& map) {
    for (const Measured* measured : {&map, &copy})
        if (measured->curve_ns.size() < 2 && !measured->reason.empty()) return measured->reason;
    return "fewer than two sizes have figures of both";
}

std::string why_not_modelled(const Crossing& crossing) {
    return crossing.state == CrossingState::no_figures ? std::string("costs are missing")
                                                       : std::string();
}

void add_crossings(Curves& curves, const Series& copy, const Series& map,
                   std::vector<CrossingFinding>& found) {
    CrossingFinding finding{.place = std::get<Place>(map),
                            .copy = std::get<std::string>(copy),
                            .way = std::get<Way>(map),
                            .messages_per_mapping = std::get<std::uint64_t>(map),
                            .from_model = false,
                            .crossing = {},
                            .reason = {}};
    const Measured& copied = curves.measured().at(copy);
    const Measured& mapped = curves.measured().at(map);
    finding.crossing = find_crossing(copied.curve_ns, mapped.curve_ns);
    if (finding.crossing.state == CrossingState::no_figures)
        finding.reason = why_none(copied, mapped);
    found.push_back(finding);

    finding.from_model = true;
    finding.crossing = find_crossing(curves.modelled(copy), curves.modelled(map));
    finding.reason = why_not_modelled(finding.crossing);
    found.push_back(finding);
}

/// The limit of a way that remaps.
void add_limit(Curves& curves, const Series& copy, Series map,
               std::vector<CrossingFinding>& found) {
    std::get<std::uint64_t>(map) = very_many_messages;
    const Crossing crossing = find_crossing(curves.modelled(copy), curves.modelled(map));
    found.push_back({.place = std::get<Place>(map),
                     .copy = std::get<std::string>(copy),
                     .way = std::get<Way>(map),
                     .messages_per_mapping = std::nullopt,
                     .from_model = true,
                     .crossing = crossing,
                     .reason = why_not_modelled(crossing)});
}

}  // namespace

std::vector<CrossingFinding> find_crossings(const std::vector<TransferFinding>& transfers,
                                            const Costs& costs) {
    Curves curves(transfers, costs);
    std::vector<CrossingFinding> found;
    for (const auto& [copy, copied] : curves.measured()) {
        if (std::get<Way>(copy) != Way::copy) continue;
        const Series* last = nullptr;  // of a way that remaps
        for (const auto& [map, mapped] : curves.measured()) {
            if (std::get<Place>(map) != std::get<Place>(copy) || std::get<Way>(map) == Way::copy)
                continue;
            if (last != nullptr && std::get<Way>(*last) != std::get<Way>(map)) {
                add_limit(curves, copy, *last, found);
                last = nullptr;
            }
            add_crossings(curves, copy, map, found);
            if (remaps(std::get<Way>(map))) last = &map;
        }
        if (last != nullptr) add_limit(curves, copy, *last, found);
    }
    return found;
}

bool further_off(const TransferFinding& a, const TransferFinding& b) {
    return std::abs(std::log1p(a.residual)) > std::abs(std::log1p(b.residual));
}

std::vector<Agreement> find_agreements(const std::vector<TransferFinding>& transfers) {
    std::map<Placement, Agreement> by_placement;
    for (std::size_t i = 0; i < transfers.size(); ++i) {
        const TransferFinding& finding = transfers[i];
        if (finding.by_round_ns.empty() || finding.state != CellState::measured ||
            !finding.transfer.arm.empty())
            continue;
        Agreement& agreement = by_placement[finding.transfer.placement];
        agreement.placement = finding.transfer.placement;
        if (!finding.model.missing.empty()) {
            ++agreement.without_model;
            continue;
        }
        ++agreement.cells;
        if (finding.within)
            ++agreement.within;
        else
            agreement.misses.push_back(i);
    }
    std::vector<Agreement> agreements;
    for (auto& [placement, agreement] : by_placement) {
        std::stable_sort(
            agreement.misses.begin(), agreement.misses.end(),
            [&](std::size_t a, std::size_t b) { return further_off(transfers[a], transfers[b]); });
        agreements.push_back(std::move(agreement));
    }
    return agreements;
}

std::optional<FalseAlarms> find_false_alarms(const std::vector<TransferFinding>& transfers) {
    FalseAlarms found;
    bool has_arms = false;
    for (const TransferFinding& a : transfers) {
        if (a.transfer.arm != "a") continue;
        has_arms = true;
        Transfer other = a.transfer;
        other.arm = std::string("b");
        const auto b =
            std::find_if(transfers.begin(), transfers.end(),
                         [&](const TransferFinding& finding) { return finding.transfer == other; });
        if (b == transfers.end()) continue;
        const Comparison comparison = compare(a.by_round_ns, b->by_round_ns);
        if (!comparison.interval) {
            ++found.too_few_pairs;
            continue;
        }
        ++found.comparisons;
        if (!comparison.differs) continue;
        ++found.false_alarms;
        found.alarms.push_back({a.transfer, comparison});
    }
    found.allowed = false_alarms_allowed(found.comparisons);
    return has_arms ? std::optional(std::move(found)) : std::nullopt;
}

}  // namespace ipclab
