#include "harness/measurement.hpp"

#include "harness/statistics.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

/// Even where one exchange takes longer than a pair is measured.
constexpr std::uint64_t exchanges_min = 5;
/// A row in which the payload's kernels take more than this is bound by them.
constexpr double bound_share = 0.5;

constexpr double percentile_grid[] = {0,  1,  5,    10,   25,    50,    75,     90,
                                      95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100};

Json header(const Cell& cell, const Conditions& conditions, int round, int attempt) {
    return {{"type", "row"},
            {"scenario", conditions.scenario},
            {"mechanism", cell.mechanism},
            {"family", facts_of(cell.mechanism).family},
            {"pattern", name_of(cell.pattern)},
            {"size_bytes", cell.size_bytes},
            {"capacity_asked_bytes",
             cell.capacity_bytes > 0 ? Json(cell.capacity_bytes) : Json(nullptr)},
            {"batch_messages_asked",
             cell.batch_messages > 0 ? Json(cell.batch_messages) : Json(nullptr)},
            {"stores_asked", cell.stores ? Json(name_of(*cell.stores)) : Json(nullptr)},
            {"access", name_of(cell.access)},
            {"waiting", name_of(facts_of(cell.mechanism).waiting)},
            {"placement", name_of(cell.placement)},
            {"round", round},
            {"attempt", attempt}};
}

void add_ping_pong(Json& row, const LegResult& result, double& figure_ns) {
    const std::vector<double> sorted = round_trips_ns(result);
    const auto value = [&](double percent) {
        const auto found = percentile_if_enough<double>(sorted, percent);
        return found ? Json(*found) : Json(nullptr);
    };
    figure_ns = percentile<double>(sorted, 50);
    row["stride"] = result.leg.stride;
    row["round_trip_ns"] = {{"samples", sorted.size()},
                            {"mean", static_cast<double>(result.elapsed_ns) /
                                         static_cast<double>(result.leg.exchanges())},
                            {"p50", figure_ns},
                            {"p90", value(90)},
                            {"p99", value(99)},
                            {"p99_9", value(99.9)},
                            {"max", sorted.back()}};
    Json& grid = row["round_trip_ns_percentiles"] = Json::array();
    for (const double percent : percentile_grid)
        if (Json found = value(percent); !found.is_null()) grid.push_back({percent, found});
}

void add_stream(Json& row, const Cell& cell, const LegResult& result, double& figure_ns) {
    figure_ns = static_cast<double>(result.elapsed_ns) / static_cast<double>(result.leg.messages);
    row["message_ns"] = figure_ns;
    row["messages_per_s"] = 1e9 / figure_ns;
    row["bytes_per_s"] = 1e9 / figure_ns * static_cast<double>(cell.size_bytes);
}

Json bound_by(const Cell& cell, const Conditions& conditions, double figure_ns) {
    if (conditions.touch == Touch::header) return nullptr;
    const auto cost = conditions.payload_costs.find(cell.size_bytes);
    if (cost == conditions.payload_costs.end()) return nullptr;
    const auto [fill_ns, check_ns] = cost->second;
    // A stream fills and checks side by side where it has two CPUs, a batch all but the first and
    // the last of its messages; what goes there and back does everything twice.
    const bool side_by_side = cell.placement == Placement::two_cpus;
    const double one_ns = fill_ns + check_ns;
    const double each_ns = side_by_side ? std::max(fill_ns, check_ns) : one_ns;
    const double kernels_ns =
        cell.pattern == Pattern::ping_pong
            ? 2 * (one_ns + static_cast<double>(cell.messages_per_exchange() - 1) * each_ns)
            : each_ns;
    if (kernels_ns < bound_share * figure_ns) return nullptr;
    return fill_ns >= check_ns ? "fill" : "check";
}

LegResult run_batch(Session& session, const Cell& cell, const Conditions& conditions) {
    const std::uint64_t batch = cell.messages_per_exchange();
    const LegResult warm = session.warm_up(conditions.batch / 4, conditions.touch, batch);
    const double exchange_ns =
        static_cast<double>(warm.elapsed_ns) / static_cast<double>(warm.leg.exchanges());
    const std::uint64_t stride = cell.pattern == Pattern::ping_pong ? stride_for(exchange_ns) : 1;
    const auto wanted =
        static_cast<std::uint64_t>(static_cast<double>(conditions.batch.count()) / exchange_ns);
    const std::uint64_t most =
        cell.pattern == Pattern::ping_pong ? (SessionMemory::samples_max - 1) * stride : wanted;
    const std::uint64_t exchanges =
        std::clamp(wanted, exchanges_min, std::max(exchanges_min, most));
    return session.run_leg((exchanges + stride - 1) / stride * stride * batch, stride,
                           conditions.touch, 0, batch);
}

/// By side, what its endpoint counted; null where neither does.
Json counters_of(const LegResult& result) {
    Json counters;
    for (const Side side : {Side::initiator, Side::responder})
        for (const CounterReport& counter : result.sides[static_cast<std::size_t>(side)].counters)
            if (counter.name[0] != '\0')
                counters[side == Side::initiator ? "initiator" : "responder"]
                        [std::string(counter.name.data())] = counter.value;
    return counters;
}

/// What every row with figures tells, whatever the pattern.
void add_common(Json& json, const Cell& cell, const Conditions& conditions,
                const LegResult& result) {
    json["messages"] = result.leg.messages;
    json["elapsed_ns"] = result.elapsed_ns;
    json["fragments"] = result.sides[0].fragments;
    json["capacity_bytes"] = result.sides[0].capacity_bytes;
    // A ping-pong, and a life's one message, are flushed at the end of each batch.
    json["publish_every"] =
        cell.pattern == Pattern::stream
            ? result.sides[0].publish_every
            : std::min<std::uint64_t>(result.sides[0].publish_every, cell.messages_per_exchange());
    json["stores"] = name_of(result.sides[0].stores);
    json["counters"] = counters_of(result);
    json["touch"] = name_of(conditions.touch);
    json["payload_at_reader"] =
        cell.placement == Placement::same_cpu ? "warm" : "other CPU's cache";
    json["bytes_in_flight_max"] = cell.pattern == Pattern::stream
                                      ? result.sides[0].capacity_bytes
                                      : cell.size_bytes * cell.messages_per_exchange();
    json["closed_loop"] = cell.pattern == Pattern::ping_pong;
    add_conditions(json, conditions);
}

Row measure_pair(const Cell& cell, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory) {
    const auto subject = create_subject(cell);
    Session session(*subject, cpus_for(cell.placement), memory);
    const Batch batch = run_between_probes(session, cell.placement,
                                           [&] { return run_batch(session, cell, conditions); });
    const LegResult& result = batch.result;

    Row row{.distance = batch.before.distance, .json = header(cell, conditions, round, attempt)};
    set_status(row, batch.disturbed);
    Json& json = row.json;
    add_common(json, cell, conditions, result);
    if (cell.pattern == Pattern::ping_pong)
        add_ping_pong(json, result, row.figure_ns);
    else
        add_stream(json, cell, result, row.figure_ns);
    add_batch(json, batch);
    json["bound_by"] = bound_by(cell, conditions, row.figure_ns);
    session.quit();
    return row;
}

/// One life of a mechanism's objects, from create to destroy. The switches and faults that the row
/// tells of each side are those of the first message; those of attaching, where a mapping may be
/// populated, stand with its time. Some faults are those by which a process that has just been
/// forked gets at its own code and data; what is the mechanism's grows with the size.
Row measure_life(const Cell& cell, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory) {
    const std::int64_t start_ns = now_ns();
    auto subject = create_subject(cell);
    const std::int64_t created_ns = now_ns();
    Session session(*subject, cpus_for(cell.placement), memory);
    const Reference before = session.probe();
    const LegResult result = session.run_leg(1, 1, conditions.touch);
    const Reference after = session.probe();
    session.quit();
    const std::int64_t detached_ns = now_ns();
    subject.reset();
    const std::int64_t destroyed_ns = now_ns();

    const auto& [initiator, responder] = result.sides;
    const auto& ended = memory.control().reports;
    const std::int64_t first_message_ns = responder.ended_ns - initiator.started_ns;
    const std::int64_t life_ns =
        created_ns - start_ns + std::max(initiator.attach_ns, responder.attach_ns) +
        first_message_ns + std::max(ended[0].detach_ns, ended[1].detach_ns) + destroyed_ns -
        detached_ns;

    Row row{.distance = before.distance, .json = header(cell, conditions, round, attempt)};
    row.figure_ns = static_cast<double>(life_ns);
    std::string disturbed = why_disturbed(before, after, 0);
    // On one CPU, the scheduler may well take it from one side to give it to the other.
    if (disturbed.empty() && cell.placement == Placement::two_cpus &&
        initiator.usage.involuntary_switches + responder.usage.involuntary_switches > 0)
        disturbed = "another task had the CPU during the first message";
    set_status(row, disturbed);
    add_common(row.json, cell, conditions, result);
    row.json["life_ns"] = life_ns;
    row.json["lifecycle"] = {{"create_ns", created_ns - start_ns},
                             {"attach_initiator_ns", initiator.attach_ns},
                             {"attach_responder_ns", responder.attach_ns},
                             {"first_message_ns", first_message_ns},
                             {"detach_initiator_ns", ended[0].detach_ns},
                             {"detach_responder_ns", ended[1].detach_ns},
                             {"destroy_ns", destroyed_ns - detached_ns},
                             {"attach_initiator_minor_faults", initiator.attach_minor_faults},
                             {"attach_responder_minor_faults", responder.attach_minor_faults}};
    row.json["initiator"] = json_of(initiator.usage);
    row.json["responder"] = json_of(responder.usage);
    row.json["reference_before"] = json_of(before);
    row.json["reference_after"] = json_of(after);
    row.json["bound_by"] = nullptr;
    return row;
}

}  // namespace

std::vector<double> round_trips_ns(const LegResult& result) {
    const auto stride = static_cast<double>(result.leg.stride);
    std::vector<double> round_trips;
    round_trips.reserve(result.samples_ns.size());
    for (const std::int64_t window_ns : result.samples_ns)
        round_trips.push_back(static_cast<double>(window_ns) / stride);
    std::sort(round_trips.begin(), round_trips.end());
    const double typical_ns = percentile<double>(round_trips, 50);
    round_trips.back() =
        std::max(round_trips.back(), round_trips.back() * stride - (stride - 1) * typical_ns);
    return round_trips;
}

Row row_without_figures(const Cell& cell, const Conditions& conditions, int round, RowStatus status,
                        const std::string& reason) {
    Row row{.status = status, .json = header(cell, conditions, round, 1)};
    row.json["status"] = name_of(status);
    row.json["reason"] = reason;
    return row;
}

Row measure(const Cell& cell, const Conditions& conditions, int round, int attempt,
            SessionMemory& memory) {
    try {
        return cell.pattern == Pattern::lifecycle
                   ? measure_life(cell, conditions, round, attempt, memory)
                   : measure_pair(cell, conditions, round, attempt, memory);
    } catch (const PairRefused& error) {
        return row_without_figures(cell, conditions, round, RowStatus::skipped, error.what());
    } catch (const PairFailed& error) {
        return row_without_figures(cell, conditions, round, RowStatus::failed, error.what());
    } catch (const IpcError& error) {
        return row_without_figures(cell, conditions, round, RowStatus::skipped, error.what());
    }
}

}  // namespace ipclab
