// Whether to copy or to map: everything that a run of copy-vs-map found.
#pragma once

#include "harness/copy_or_map/findings.hpp"
#include "harness/copy_or_map/recorded.hpp"

#include <map>
#include <string>
#include <vector>

namespace ipclab {

/// Transfers are compared with those whose processes are as far apart and wait alike.
struct Place {
    Placement placement = Placement::same_cpu;
    Waiting waiting = Waiting::sleeps;

    auto operator<=>(const Place&) const = default;
};

struct CopyOrMap {
    std::map<Placement, std::string> distances;  ///< how far apart the CPUs were
    std::vector<CostFinding> costs;              ///< as all_costs(), by placement, size and sleep
    std::vector<TransferFinding> transfers;  ///< by placement, waiting, way, mechanism, …, size
};

/// `placements` tell which class of distance counts.
CopyOrMap find_copy_or_map(const std::vector<RecordedCost>& costs,
                           const std::vector<RecordedTransfer>& transfers,
                           const std::map<Placement, PlacementSummary>& placements);

/// The places in which something was measured.
std::vector<Place> places_of(const CopyOrMap& found);

/// copy-or-map.json.
nlohmann::ordered_json copy_or_map_json(const CopyOrMap& found);

}  // namespace ipclab
