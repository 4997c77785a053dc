#include "harness/copy_or_map/report.hpp"
#include "harness/quantity.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <set>

namespace ipclab {
namespace {

constexpr std::size_t share_at_bytes_max = 65536;

std::string counted(std::size_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string_view in_words(Placement placement) {
    return placement == Placement::same_cpu ? "one CPU" : "two CPUs";
}

/// "41–55", the unit left out where it is that of the size.
std::string short_range(const Crossing& crossing) {
    const bool close =
        crossing.low_bytes && crossing.high_bytes &&
        format_size_about(*crossing.low_bytes) == format_size_about(*crossing.high_bytes);
    const auto text = [close](double bytes) { return format_size_about(bytes, close ? 3 : 2); };
    const auto bare = [&](const std::string& size) {
        const std::string here = text(crossing.size_bytes);
        const bool same = size.substr(size.find(' ')) == here.substr(here.find(' '));
        return same ? size.substr(0, size.find(' ')) : size;
    };
    if (crossing.low_bytes && crossing.high_bytes)
        return fmt::format(" ({}–{})", bare(text(*crossing.low_bytes)),
                           bare(text(*crossing.high_bytes)));
    if (crossing.low_bytes) return fmt::format(" (≥{})", bare(text(*crossing.low_bytes)));
    if (crossing.high_bytes) return fmt::format(" (≤{})", bare(text(*crossing.high_bytes)));
    return crossing.has_interval ? " (any)" : "";
}

/// Of the transfers at a size, the share of the stamped phases that produce and consume.
std::optional<double> payload_share(const TransferFinding& finding) {
    double all_ns = 0;
    for (const double phase_ns : finding.phases_ns) all_ns += phase_ns;
    if (all_ns <= 0) return std::nullopt;
    const auto at = [&](Phase phase) { return finding.phases_ns[static_cast<std::size_t>(phase)]; };
    return (at(Phase::produce) + at(Phase::consume)) / all_ns;
}

// Each of these says nothing where there is nothing to say.

std::string of_disturbed_places(const CopyOrMap& found) {
    std::string text;
    for (const Place& place : places_of(found)) {
        std::size_t measured = 0;
        std::size_t disturbed = 0;
        for (const TransferFinding& finding : found.transfers) {
            if (finding.transfer.placement != place.placement ||
                finding.transfer.waiting != place.waiting)
                continue;
            measured += finding.state == CellState::measured ? 1 : 0;
            disturbed += finding.state == CellState::only_disturbed ? 1 : 0;
        }
        if (measured == 0)
            text += fmt::format("Nothing was measured undisturbed with {}. ", name_in_words(place));
        else if (disturbed > 0)
            text += fmt::format("With {}, {} from disturbed rows, for want of others. ",
                                name_in_words(place),
                                counted(disturbed, "transfer") + (disturbed == 1 ? " is" : " are"));
    }
    if (text.empty()) return text;
    return text + "Stop other work on this machine and run again; `ipclab doctor` says what "
                  "disturbs it.";
}

std::string of_failures(const CopyOrMap& found) {
    std::string first;
    std::size_t failed = 0;
    for (const TransferFinding& finding : found.transfers)
        if (finding.state == CellState::failed && ++failed == 1)
            first = fmt::format("{} ({})", name_in_words(finding.transfer), finding.reason);
    std::set<std::string> costs;
    for (const CostFinding& finding : found.costs)
        if (finding.state == CellState::failed && costs.insert(finding.cell.cost).second &&
            first.empty())
            first = fmt::format("{} ({})", finding.cell.cost, finding.reason);
    if (first.empty()) return {};
    std::string what = failed > 0 ? counted(failed, "transfer") : "";
    if (!costs.empty())
        what += fmt::format("{}{}", what.empty() ? "" : " and ", counted(costs.size(), "cost"));
    return fmt::format("{} failed, first {}. Run again, and see whether it does so again.", what,
                       first);
}

std::string of_few_rounds(const CopyOrMap& found) {
    std::size_t without = 0;
    std::size_t measured = 0;
    for (const CrossingFinding& finding : found.crossings) {
        if (finding.from_model || finding.crossing.state == CrossingState::no_figures) continue;
        ++measured;
        without += finding.crossing.has_interval ? 0 : 1;
    }
    if (without == 0) return {};
    return fmt::format("{} of {} come from fewer than six undisturbed rounds, and so have no "
                       "interval: take them for hints. Run copy-vs-map whole, without --quick, or "
                       "raise its `budget`.",
                       without, counted(measured, "measured crossing"));
}

std::string of_false_alarms(const CopyOrMap& found) {
    if (!found.false_alarms || found.false_alarms->false_alarms <= found.false_alarms->allowed)
        return {};
    return fmt::format("{} of {} comparisons of a thing with itself show a difference, and {} may: "
                       "believe no difference that this machine shows today. Stop other work and "
                       "run again.",
                       found.false_alarms->false_alarms, found.false_alarms->comparisons,
                       found.false_alarms->allowed);
}

std::string of_agreement(const CopyOrMap& found) {
    std::string text;
    for (const Agreement& agreement : found.agreements)
        if (10 * agreement.within < 9 * agreement.cells)
            text += fmt::format("The model misses more than one cell in ten on {}: do not use its "
                                "sums or its limit (k = ∞) there; the misses name the term to look "
                                "at. ",
                                in_words(agreement.placement));
    if (!text.empty()) text.pop_back();
    return text;
}

}  // namespace

std::vector<std::string> warnings_of(const CopyOrMap& found) {
    std::vector<std::string> all{of_disturbed_places(found), of_few_rounds(found),
                                 of_failures(found), of_false_alarms(found), of_agreement(found)};
    std::erase(all, "");
    return all;
}

std::string name_in_words(const Place& place) {
    const std::string_view waiting = place.waiting == Waiting::sleeps  ? "asleep"
                                     : place.waiting == Waiting::spins ? "spinning"
                                                                       : name_of(place.waiting);
    return fmt::format("{}, {} while waiting", in_words(place.placement), waiting);
}

std::string name_in_words(const Transfer& transfer) {
    if (transfer.way == Way::copy) return transfer.mechanism;
    if (!remaps(transfer.way)) return std::string(name_of(transfer.way));
    return fmt::format("{}, k = {}", name_of(transfer.way), transfer.messages_per_mapping);
}

std::vector<std::uint64_t> reuses_at(const CopyOrMap& found, const Place& place) {
    std::set<std::uint64_t> reuses;
    for (const CrossingFinding& finding : found.crossings)
        if (finding.place == place && finding.messages_per_mapping.value_or(0) > 0)
            reuses.insert(*finding.messages_per_mapping);
    return {reuses.begin(), reuses.end()};
}

std::vector<CrossingLine> crossing_lines(const CopyOrMap& found, const Place& place,
                                         const std::string& copy) {
    std::vector<CrossingLine> lines;  // those of one copy and way are neighbours
    for (const CrossingFinding& finding : found.crossings) {
        if (finding.place != place || (!copy.empty() && finding.copy != copy)) continue;
        if (lines.empty() || lines.back().copy != finding.copy || lines.back().way != finding.way)
            lines.push_back({finding.copy, finding.way});
    }
    return lines;
}

std::string short_form(const Crossing& crossing) {
    const std::string_view about = crossing.nearly_parallel ? "~" : "";
    switch (crossing.state) {
    case CrossingState::crosses:
        return fmt::format("{}{}{}{}", about, format_size_about(crossing.size_bytes),
                           short_range(crossing), crossing.all_sizes_bytes.size() > 1 ? "*" : "");
    case CrossingState::map_always:
        return fmt::format("{}always", about);
    case CrossingState::copy_always:
        return fmt::format("{}never", about);
    case CrossingState::map_in_between:
        return "in between*";
    case CrossingState::undecided:
        return "no difference";
    case CrossingState::no_figures:
        break;
    }
    return "–";
}

std::string percent(double share) {
    const double rounded = std::abs(share) < 0.0005 ? 0 : 100 * share;
    return fmt::format("{:+.{}f} %", rounded, std::abs(rounded) < 9.95 ? 1 : 0);
}

std::string in_words(const Agreement& agreement) {
    const bool one_cpu = agreement.placement == Placement::same_cpu;
    std::string text;
    if (agreement.cells > 0)
        text = fmt::format(
            "{} of {} within {} ({})", agreement.within, counted(agreement.cells, "cell"),
            one_cpu ? "15 %" : "25 % or inside the interval", in_words(agreement.placement));
    if (agreement.without_model > 0)
        text +=
            fmt::format("{}{} without a model ({})", text.empty() ? "" : ", ",
                        counted(agreement.without_model, "cell"), in_words(agreement.placement));
    return text;
}

std::string miss_in_words(const TransferFinding& finding) {
    const Transfer& transfer = finding.transfer;
    return fmt::format("{}, {}, {}: model {}, measured {} ({}); suspect: {}",
                       name_in_words(transfer), format_size(transfer.size_bytes),
                       name_in_words(Place{transfer.placement, transfer.waiting}),
                       format_time_ns(finding.model.total_ns()),
                       format_time_ns(finding.transfer_ns.median), percent(finding.residual),
                       finding.suspect);
}

std::string in_words(const FalseAlarms& found) {
    std::string text =
        fmt::format("A/A: the same under two names, compared {}: {}, at most {} allowed at the 5 % "
                    "level",
                    found.comparisons == 1 ? "once" : fmt::format("{} times", found.comparisons),
                    counted(found.false_alarms, "false alarm"), found.allowed);
    if (found.too_few_pairs > 0)
        text += fmt::format("; {} not compared, for want of six pairs", found.too_few_pairs);
    return text + ".";
}

std::string payload_share_in_words(const CopyOrMap& found) {
    std::size_t at_bytes = 0;  // 64 KiB, where that was measured
    for (const TransferFinding& finding : found.transfers)
        if (finding.transfer.size_bytes <= share_at_bytes_max)
            at_bytes = std::max(at_bytes, finding.transfer.size_bytes);
    std::string text;
    for (const Place& place : places_of(found)) {
        std::string parts;
        for (const TransferFinding& finding : found.transfers) {
            const Transfer& transfer = finding.transfer;
            const bool plain =
                transfer.mechanism.starts_with("pipe") || transfer.way == Way::persistent;
            if (!plain || transfer.size_bytes != at_bytes || !transfer.arm.empty() ||
                transfer.placement != place.placement || transfer.waiting != place.waiting)
                continue;
            if (const auto share = payload_share(finding))
                parts += fmt::format("{}{:.0f} % of {}", parts.empty() ? "" : " and ", 100 * *share,
                                     name_in_words(transfer));
        }
        if (!parts.empty())
            text += fmt::format("{}{} ({})", text.empty() ? "" : "; ", parts, name_in_words(place));
    }
    if (text.empty()) return text;
    return fmt::format("Payload: all times have producing and consuming it in; at {} that is {}. "
                       "Both sides of a crossing do this work.",
                       format_size(at_bytes), text);
}

}  // namespace ipclab
