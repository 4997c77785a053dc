// Whether to copy or to map: everything that a run of copy-vs-map found.
#pragma once

#include "harness/copy_or_map/crossing.hpp"
#include "harness/copy_or_map/findings.hpp"
#include "harness/copy_or_map/model.hpp"
#include "harness/copy_or_map/recorded.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ipclab {

/// Transfers are compared with those whose processes are as far apart and wait alike.
struct Place {
    Placement placement = Placement::same_cpu;
    Waiting waiting = Waiting::sleeps;

    bool operator==(const Place&) const = default;
    bool operator<(const Place& other) const {
        return std::pair(placement, waiting) < std::pair(other.placement, other.waiting);
    }
};

/// Where one way to map overtakes one mechanism that copies.
struct CrossingFinding {
    Place place;
    std::string copy;  ///< the mechanism
    Way way = Way::receiver_remaps;
    /// 0: nothing is mapped anew; nothing: the limit of a mapping that is used for ever.
    std::optional<std::uint64_t> messages_per_mapping;
    bool from_model = false;  ///< the model's curves cross here, not the measured ones
    Crossing crossing;
    std::string reason;  ///< why there are no figures
};

/// Of a placement's transfers that were measured undisturbed and can be modelled, those that the
/// model comes as near to as promised.
struct Agreement {
    Placement placement = Placement::same_cpu;
    std::size_t cells = 0;
    std::size_t within = 0;
    std::vector<std::size_t> misses;  ///< among the transfers, the furthest off first
    std::size_t without_model = 0;    ///< measured, but a cost is missing
};

/// Transfers measured under two names, where every difference is a false alarm.
struct FalseAlarms {
    std::size_t comparisons = 0;
    std::size_t false_alarms = 0;
    std::size_t allowed = 0;
    std::size_t too_few_pairs = 0;  ///< not compared: fewer than six pairs
    struct Alarm {
        Transfer transfer;
        Comparison comparison;
    };
    std::vector<Alarm> alarms;
};

struct CopyOrMap {
    std::map<Placement, std::string> distances;  ///< how far apart the CPUs were
    std::vector<CostFinding> costs;              ///< as all_costs(), by placement, size and sleep
    std::vector<TransferFinding> transfers;  ///< by placement, waiting, way, mechanism, …, size
    std::vector<CrossingFinding> crossings;  ///< by place, copy, way, messages per mapping
    std::vector<Agreement> agreements;
    std::optional<FalseAlarms> false_alarms;  ///< of a run that has arms
};

/// `placements` tell which class of distance counts.
CopyOrMap find_copy_or_map(const std::vector<RecordedCost>& costs,
                           const std::vector<RecordedTransfer>& transfers,
                           const std::map<Placement, PlacementSummary>& placements);

/// Whether the model misses the first by more than the second: twice as long is as far off as half
/// as long.
bool further_off(const TransferFinding& a, const TransferFinding& b);

/// What find_copy_or_map() is made of. The transfers are those of CopyOrMap.
std::vector<CrossingFinding> find_crossings(const std::vector<TransferFinding>& transfers,
                                            const Costs& costs);
std::vector<Agreement> find_agreements(const std::vector<TransferFinding>& transfers);
std::optional<FalseAlarms> find_false_alarms(const std::vector<TransferFinding>& transfers);

/// The places in which something was measured.
std::vector<Place> places_of(const CopyOrMap& found);

/// copy-or-map.json.
nlohmann::ordered_json copy_or_map_json(const CopyOrMap& found);

}  // namespace ipclab
