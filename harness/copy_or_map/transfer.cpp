#include "harness/copy_or_map/transfer.hpp"

#include "harness/copy_or_map/ways.hpp"
#include "harness/measurement.hpp"
#include "harness/quantity.hpp"
#include "harness/statistics.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

/// Even where one exchange, or one mapping's life, takes longer than the whole batch.
constexpr std::uint64_t samples_min = 5;
constexpr std::uint64_t lives_min = 3;
/// The stamps of a message take some 130 ns: in a shorter transfer they would be most of it.
constexpr double stamped_transfer_ns_min = 1000;
constexpr std::size_t bytes_per_mapping_max = std::size_t{64} << 20;

Json header(const Transfer& transfer, const Conditions& conditions, int round, int attempt) {
    return {{"type", "transfer"},
            {"scenario", conditions.scenario},
            {"way", name_of(transfer.way)},
            {"mechanism", transfer.mechanism.empty() ? Json(nullptr) : Json(transfer.mechanism)},
            {"waiting", name_of(transfer.waiting)},
            {"messages_per_mapping", transfer.messages_per_mapping},
            {"size_bytes", transfer.size_bytes},
            {"placement", name_of(transfer.placement)},
            {"arm", transfer.arm},
            {"round", round},
            {"attempt", attempt}};
}

/// How many exchanges a mapping lives for.
std::uint64_t life_of(const Transfer& transfer) {
    return std::max<std::uint64_t>(1, transfer.messages_per_mapping);
}

constexpr std::uint64_t in_whole(std::uint64_t lives, std::uint64_t messages) {
    return (messages + lives - 1) / lives * lives;
}

/// The mean.
double exchange_ns(const LegResult& result) {
    return static_cast<double>(result.elapsed_ns) / static_cast<double>(result.leg.messages);
}

LegResult run_batch(Session& session, const Transfer& transfer, const Conditions& conditions) {
    const std::uint64_t life = life_of(transfer);
    LegResult warm = session.warm_up(conditions.batch / 4, conditions.touch);
    if (warm.leg.messages < life) warm = session.run_leg(life, 1, conditions.touch);
    const std::uint64_t stride = in_whole(life, stride_for(exchange_ns(warm)));
    const double samples_wanted = static_cast<double>(conditions.batch.count()) /
                                  (exchange_ns(warm) * static_cast<double>(stride));
    const std::uint64_t samples = std::clamp<std::uint64_t>(
        static_cast<std::uint64_t>(samples_wanted) + 1, life > 1 ? lives_min : samples_min,
        SessionMemory::samples_max - 1);
    return session.run_leg(samples * stride, stride, conditions.touch);
}

/// A quarter of the batch again, this time stamped.
LegResult run_stamped(Session& session, const Transfer& transfer, const Conditions& conditions,
                      std::uint64_t messages) {
    constexpr std::uint64_t stamped_max = SessionMemory::samples_max / 8;
    const std::uint64_t wanted = std::clamp(messages / 4, lives_min, stamped_max);
    return session.run_leg(in_whole(life_of(transfer), wanted), 1, conditions.touch, stamped_leg);
}

/// Means of both sides; what is left of half the round trip is the hand-over.
Json phases_of(const LegResult& stamped, std::span<std::int64_t> samples_ns) {
    const std::uint64_t messages = stamped.leg.messages;
    const double overlap_ns = mean_overlap_ns(hand_overs_of(Side::initiator, messages, samples_ns),
                                              hand_overs_of(Side::responder, messages, samples_ns));
    const auto& [initiator, responder] = stamped.sides;
    Json found = Json::object();
    double rest_ns = exchange_ns(stamped) / 2;
    for (const Phase phase : phases) {
        const auto i = static_cast<std::size_t>(phase);
        double mean_ns = (initiator.figures_ns[i] + responder.figures_ns[i]) / 2;
        if (phase == Phase::send) mean_ns -= overlap_ns;
        found[std::string(name_of(phase))] = mean_ns;
        rest_ns -= mean_ns;  // nobody stamps the hand-over
    }
    found[std::string(name_of(Phase::hand_over))] = rest_ns;
    return found;
}

Row measure_pair(const Transfer& transfer, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory) {
    const auto subject = create_subject(transfer);
    Session session(*subject, cpus_for(transfer.placement), memory);
    double transfer_ns = 0;
    std::optional<LegResult> stamped;
    const Batch batch = run_between_probes(session, transfer.placement, [&] {
        LegResult result = run_batch(session, transfer, conditions);
        // Before the next leg makes its samples invalid.
        transfer_ns = percentile<double>(round_trips_ns(result), 50) / 2;
        if (transfer_ns >= stamped_transfer_ns_min)
            stamped = run_stamped(session, transfer, conditions, result.leg.messages);
        return result;
    });

    Row row{.figure_ns = transfer_ns,
            .distance = batch.before.distance,
            .json = header(transfer, conditions, round, attempt)};
    set_status(row, batch.disturbed);
    row.json["messages"] = batch.result.leg.messages;
    row.json["stride"] = batch.result.leg.stride;
    row.json["fragments"] = batch.result.sides[0].fragments;
    row.json["elapsed_ns"] = batch.result.elapsed_ns;
    row.json["transfer_ns"] = transfer_ns;
    row.json["phases_ns"] = stamped ? phases_of(*stamped, memory.samples_ns()) : Json(nullptr);
    row.json["stamped_transfer_ns"] = stamped ? Json(exchange_ns(*stamped) / 2) : Json(nullptr);
    add_batch(row.json, batch);
    add_conditions(row.json, conditions);
    session.quit();
    return row;
}

}  // namespace

std::optional<std::string> reason_to_skip(const Transfer& transfer, std::size_t cpus) {
    const bool one_cpu = transfer.placement == Placement::same_cpu;
    if (!one_cpu && cpus < 2) return "this process may use one CPU only";
    if (one_cpu && transfer.waiting == Waiting::spins)
        return "a pure spinner would use up its time slice while its peer waits for the CPU";
    if (remaps(transfer.way) &&
        transfer.size_bytes > bytes_per_mapping_max / transfer.messages_per_mapping)
        return fmt::format(
            "{} messages of {} in one mapping take longer than a pair has; the model stands in",
            transfer.messages_per_mapping, format_size(transfer.size_bytes));
    return std::nullopt;
}

Row transfer_row_without_figures(const Transfer& transfer, const Conditions& conditions, int round,
                                 RowStatus status, const std::string& reason) {
    Row row{.status = status, .json = header(transfer, conditions, round, 1)};
    row.json["status"] = name_of(status);
    row.json["reason"] = reason;
    return row;
}

Row measure_transfer(const Transfer& transfer, const Conditions& conditions, int round, int attempt,
                     SessionMemory& memory) {
    try {
        return measure_pair(transfer, conditions, round, attempt, memory);
    } catch (const PairRefused& error) {
        return transfer_row_without_figures(transfer, conditions, round, RowStatus::skipped,
                                            error.what());
    } catch (const PairFailed& error) {
        return transfer_row_without_figures(transfer, conditions, round, RowStatus::failed,
                                            error.what());
    } catch (const IpcError& error) {
        return transfer_row_without_figures(transfer, conditions, round, RowStatus::skipped,
                                            error.what());
    }
}

}  // namespace ipclab
