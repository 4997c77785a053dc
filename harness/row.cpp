#include "harness/row.hpp"

#include "harness/machine.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

/// A pair that lost more than this to other tasks or to the host is disturbed.
constexpr double lost_share_max = 0.05;

/// How much of the batch other tasks or the host took. On two CPUs, a side loses what it waits on a
/// run queue; on one CPU the sides wait for each other there, and what is lost is what neither of
/// them used.
double lost_share(Placement placement, const LegResult& result, std::int64_t stolen_ns) {
    const auto elapsed_ns = static_cast<double>(result.elapsed_ns);
    const SideUsage& first = result.sides[0].usage;
    const SideUsage& second = result.sides[1].usage;
    const double lost_ns =
        placement == Placement::two_cpus
            ? static_cast<double>(std::max(first.run_queue_ns, second.run_queue_ns) + stolen_ns)
            : elapsed_ns - static_cast<double>(first.cpu_ns + second.cpu_ns);
    return std::max(0.0, lost_ns / elapsed_ns);
}

}  // namespace

std::string why_disturbed(const Reference& before, const Reference& after, double lost) {
    if (before.distance != after.distance)
        return fmt::format("the CPUs moved from {} to {}", name_of(before.distance),
                           name_of(after.distance));
    if (lost > lost_share_max)
        return fmt::format("{:.0f} % of the time was lost to other tasks or to the host",
                           100 * lost);
    return {};
}

Batch run_between_probes(Session& session, Placement placement,
                         const std::function<LegResult()>& run_batch) {
    const CpuPair cpus = cpus_for(placement);
    const std::vector<int> distinct =
        cpus[0] == cpus[1] ? std::vector{cpus[0]} : std::vector{cpus[0], cpus[1]};
    Batch batch;
    batch.before = session.probe();
    const auto stolen_before_ns = steal_ns(distinct);
    batch.result = run_batch();
    const auto stolen_after_ns = steal_ns(distinct);
    batch.after = session.probe();
    if (stolen_before_ns && stolen_after_ns)
        batch.stolen_ns = static_cast<std::int64_t>(*stolen_after_ns - *stolen_before_ns);
    batch.lost_share = lost_share(placement, batch.result, batch.stolen_ns.value_or(0));
    batch.disturbed = why_disturbed(batch.before, batch.after, batch.lost_share);
    return batch;
}

Json json_of(const SideUsage& usage) {
    return {{"cpu_ns", usage.cpu_ns},
            {"voluntary_switches", usage.voluntary_switches},
            {"involuntary_switches", usage.involuntary_switches},
            {"minor_faults", usage.minor_faults},
            {"major_faults", usage.major_faults},
            {"run_queue_ns", usage.run_queue_ns}};
}

Json json_of(const Reference& reference) {
    return {{"kind", reference.distance == CpuDistance::same_cpu ? "context_switch" : "cache_line"},
            {"round_trip_ns", reference.round_trip_ns},
            {"class", name_of(reference.distance)},
            {"hiccup_ns_max", reference.hiccups.longest_ns},
            {"hiccup_share", reference.hiccups.share}};
}

void add_batch(Json& row, const Batch& batch) {
    row["initiator"] = json_of(batch.result.sides[0].usage);
    row["responder"] = json_of(batch.result.sides[1].usage);
    row["reference_before"] = json_of(batch.before);
    row["reference_after"] = json_of(batch.after);
    row["lost_share"] = batch.lost_share;
    row["steal_ns"] = batch.stolen_ns ? Json(*batch.stolen_ns) : Json(nullptr);
}

void add_conditions(Json& row, const Conditions& conditions) {
    row["keep_awake"] = conditions.keep_awake;
    row["autogroup_nice"] =
        conditions.autogroup_nice ? Json(*conditions.autogroup_nice) : Json(nullptr);
}

void set_status(Row& row, const std::string& disturbed) {
    if (!disturbed.empty()) row.status = RowStatus::disturbed;
    row.json["status"] = name_of(row.status);
    row.json["reason"] = disturbed.empty() ? Json(nullptr) : Json(disturbed);
}

}  // namespace ipclab
