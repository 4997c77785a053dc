#include "harness/copy_or_map/experiment.hpp"

#include "harness/subject.hpp"

namespace ipclab {
namespace {

/// Who spins needs a CPU.
bool can_be(Waiting waiting, Placement placement) {
    return waiting != Waiting::spins || placement == Placement::two_cpus;
}

void append_copies(const Scenario& scenario, Transfer place, std::vector<Transfer>& transfers) {
    place.way = Way::copy;
    for (const std::string& mechanism : match_mechanisms(scenario.mechanisms)) {
        place.mechanism = mechanism;
        place.waiting = facts_of(mechanism).waiting;
        if (can_be(place.waiting, place.placement)) transfers.push_back(place);
    }
}

void append_mappings(const Scenario& scenario, Transfer place, std::vector<Transfer>& transfers) {
    for (const Waiting waiting : {Waiting::sleeps, Waiting::spins}) {
        if (!can_be(waiting, place.placement)) continue;
        place.waiting = waiting;
        for (const Way way : ways) {
            if (way == Way::copy) continue;
            place.way = way;
            const std::vector<std::uint64_t> once{way == Way::fresh_object ? 1U : 0U};
            for (const std::uint64_t messages :
                 remaps(way) ? scenario.messages_per_mapping : once) {
                place.messages_per_mapping = messages;
                transfers.push_back(place);
            }
        }
    }
}

}  // namespace

std::vector<Transfer> transfers_of(const Scenario& scenario) {
    std::vector<Transfer> transfers;
    if (scenario.experiment != Experiment::copy_vs_map) return transfers;
    const std::vector<std::string> arms =
        scenario.a_a ? std::vector<std::string>{"a", "b"} : std::vector<std::string>{""};
    for (const std::string& arm : arms)
        for (const std::size_t size_bytes : scenario.sizes_bytes)
            for (const Placement placement : scenario.placements) {
                const Transfer place{.size_bytes = size_bytes, .placement = placement, .arm = arm};
                append_copies(scenario, place, transfers);
                append_mappings(scenario, place, transfers);
            }
    return transfers;
}

}  // namespace ipclab
