#include "harness/copy_or_map/model.hpp"
#include "harness/copy_or_map/report.hpp"
#include "harness/copy_or_map/sentences.hpp"
#include "harness/markdown.hpp"
#include "harness/quantity.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <tuple>

namespace ipclab {
namespace {

using Strings = std::vector<std::string>;

// ---- crossings ----

std::string long_form(const CrossingFinding& finding) {
    const Crossing& crossing = finding.crossing;
    std::string text = short_form(crossing);
    if (crossing.state == CrossingState::no_figures) return fmt::format("– ({})", finding.reason);
    if (crossing.all_sizes_bytes.size() > 1 || crossing.state == CrossingState::map_in_between) {
        std::string all;
        for (const double size_bytes : crossing.all_sizes_bytes)
            all += fmt::format("{}{}", all.empty() ? "" : ", ", format_size_about(size_bytes));
        text += fmt::format("; all: {}", all);
    }
    return text;
}

std::string crossing_at(const CopyOrMap& found, const Place& place, const CrossingLine& line,
                        std::uint64_t k) {
    const auto* measured = crossing_of(found, place, line.copy, line.way, k, false);
    const auto* modelled = crossing_of(found, place, line.copy, line.way, k, true);
    if (measured == nullptr) return {};
    std::string text = long_form(*measured);
    if (modelled != nullptr && modelled->crossing.state != CrossingState::no_figures)
        text += fmt::format("; model {}", short_form(modelled->crossing));
    return text;
}

void append_crossings(std::string& text, const CopyOrMap& found, const Place& place) {
    const std::vector<CrossingLine> lines = crossing_lines(found, place);
    if (lines.empty()) return;
    const std::vector<std::uint64_t> reuses = reuses_at(found, place);
    text += fmt::format("From which size on mapping is cheaper, {}:\n\n", name_in_words(place));
    Strings header{"copy", "way to map"};
    for (const std::uint64_t k : reuses) header.push_back(fmt::format("k = {}", k));
    header.emplace_back("k = ∞");
    append_markdown_header(text, header);
    for (const CrossingLine& line : lines) {
        Strings row{fmt::format("`{}`", line.copy), std::string(name_of(line.way))};
        for (const std::uint64_t k : reuses)
            row.push_back(markdown_cell(crossing_at(found, place, line, k)));
        const auto* limit = crossing_of(found, place, line.copy, line.way, std::nullopt, true);
        row.push_back(markdown_cell(line.way == Way::persistent ? crossing_at(found, place, line, 0)
                                    : limit == nullptr
                                        ? ""
                                        : fmt::format("model {}", long_form(*limit))));
        append_markdown_row(text, row);
    }
    text += '\n';
}

// ---- transfers ----

/// A line of a table of totals: the transfers that differ in size alone.
struct TotalsLine {
    Transfer transfer;  ///< one of them
    std::map<std::size_t, const TransferFinding*> by_size;
};

std::vector<TotalsLine> totals_of(const CopyOrMap& found, const Place& place) {
    std::vector<TotalsLine> lines;
    for (const TransferFinding& finding : found.transfers) {
        Transfer transfer = finding.transfer;
        if (transfer.placement != place.placement || transfer.waiting != place.waiting) continue;
        transfer.size_bytes = 0;
        auto line = std::find_if(lines.begin(), lines.end(), [&](const TotalsLine& candidate) {
            return candidate.transfer == transfer;
        });
        if (line == lines.end()) line = lines.insert(line, {transfer, {}});
        line->by_size[finding.transfer.size_bytes] = &finding;
    }
    return lines;
}

const TransferFinding* finding_at(const TotalsLine* line, std::size_t size_bytes) {
    if (line == nullptr) return nullptr;
    const auto found = line->by_size.find(size_bytes);
    return found == line->by_size.end() ? nullptr : found->second;
}

std::string total_in_words(const TransferFinding* finding, const TransferFinding* copy) {
    if (finding == nullptr) return {};
    if (finding->by_round_ns.empty()) return finding->state == CellState::failed ? "failed" : "–";
    const Estimate& transfer_ns = finding->transfer_ns;
    std::string text = format_time_ns(transfer_ns.median);
    text += transfer_ns.interval
                ? fmt::format(" [{}, {}]", format_time_ns(transfer_ns.interval->low),
                              format_time_ns(transfer_ns.interval->high))
                : fmt::format(" (n={})", finding->by_round_ns.size());
    if (finding->model.missing.empty())
        text += fmt::format(" model {}{}", percent(finding->residual), finding->within ? "" : " !");
    if (finding->state == CellState::only_disturbed) text += " d";
    if (copy != nullptr && copy != finding) {
        const Comparison comparison = compare(copy->by_round_ns, finding->by_round_ns);
        if (comparison.interval && !comparison.differs) text += " =";
    }
    return text;
}

/// What is in every transfer of a size, apart: the time of the payload's bare kernels.
Strings payload_row(const CopyOrMap& found, const std::set<std::size_t>& sizes) {
    const Costs costs(found.costs);
    Strings row{"of these: the payload, made and checked in private memory"};
    row.reserve(1 + sizes.size());
    for (const std::size_t size_bytes : sizes) {
        const auto at = static_cast<double>(size_bytes);
        const auto fill_ns = costs.find_ns("payload/private", "fill", Placement::same_cpu, at);
        const auto check_ns = costs.find_ns("payload/private", "check", Placement::same_cpu, at);
        row.push_back(fill_ns && check_ns ? format_time_ns(*fill_ns + *check_ns) : "–");
    }
    return row;
}

void append_totals(std::string& text, const CopyOrMap& found, const Place& place) {
    const std::vector<TotalsLine> lines = totals_of(found, place);
    std::set<std::size_t> sizes;
    std::map<std::string, std::string> reasons;  // of gaps: by line
    for (const TotalsLine& line : lines)
        for (const auto& [size_bytes, finding] : line.by_size) {
            sizes.insert(size_bytes);
            if (finding->by_round_ns.empty())
                reasons.try_emplace(name_in_words(line.transfer), finding->reason);
        }
    const std::string copy = first_copy_of(found, place);
    const auto beside = std::find_if(lines.begin(), lines.end(), [&](const TotalsLine& line) {
        return line.transfer.way == Way::copy && line.transfer.mechanism == copy;
    });
    const TotalsLine* const copy_line = beside == lines.end() ? nullptr : &*beside;

    text += fmt::format("### {}\n\n", name_in_words(place));
    Strings header{"transfer"};
    for (const std::size_t size_bytes : sizes) header.push_back(format_size(size_bytes));
    append_markdown_header(text, header);
    for (const TotalsLine& line : lines) {
        const std::string arm =
            line.transfer.arm.empty() ? "" : fmt::format(" ({})", line.transfer.arm);
        Strings row{fmt::format("{}{}", name_in_words(line.transfer), arm)};
        for (const std::size_t size_bytes : sizes)
            row.push_back(markdown_cell(
                total_in_words(finding_at(&line, size_bytes), finding_at(copy_line, size_bytes))));
        append_markdown_row(text, row);
    }
    if (!found.costs.empty()) append_markdown_row(text, payload_row(found, sizes));
    text += '\n';
    for (const auto& [name, reason] : reasons)
        text += fmt::format("- {}: {}\n", name, markdown_cell(reason));
    if (!reasons.empty()) text += '\n';
}

// ---- the model ----

void append_agreement(std::string& text, const CopyOrMap& found) {
    if (found.agreements.empty()) return;
    text += "## The model against the clock\n\nPut together from the costs alone, not fitted to "
            "the totals. What it promises to be within:\n\n";
    for (const Agreement& agreement : found.agreements)
        text += fmt::format("- {}\n", in_words(agreement));
    text += '\n';
    std::string rows;
    for (const Agreement& agreement : found.agreements)
        for (const std::size_t miss : agreement.misses) {
            const TransferFinding& finding = found.transfers[miss];
            const Transfer& transfer = finding.transfer;
            append_markdown_row(rows, {name_in_words(transfer), format_size(transfer.size_bytes),
                                       name_in_words(Place{transfer.placement, transfer.waiting}),
                                       format_time_ns(finding.model.total_ns()),
                                       format_time_ns(finding.transfer_ns.median),
                                       percent(finding.residual), finding.suspect});
        }
    if (!rows.empty()) {
        text += "The misses, the furthest off first, with the term that is suspect: the largest of "
                "the phase in which model and clock differ most.\n\n";
        append_markdown_header(
            text, {"transfer", "size", "place", "model", "measured", "residual", "suspect"});
        text += rows + '\n';
    }
    std::set<std::string> missing;
    for (const TransferFinding& finding : found.transfers)
        if (!finding.model.missing.empty()) missing.insert(finding.model.missing);
    if (!missing.empty()) text += "Not modelled, because:\n\n";
    for (const std::string& why : missing) text += fmt::format("- {}\n", markdown_cell(why));
    if (!missing.empty()) text += '\n';
}

void append_false_alarms(std::string& text, const FalseAlarms& found) {
    text += fmt::format("## A/A\n\n{}\n\n", in_words(found));
    for (const auto& [transfer, comparison] : found.alarms)
        text += fmt::format("- {}, {}, {}: b / a {:.3f} [{:.3f}, {:.3f}]\n",
                            name_in_words(transfer), format_size(transfer.size_bytes),
                            name_in_words(Place{transfer.placement, transfer.waiting}),
                            comparison.ratio, comparison.interval->low, comparison.interval->high);
    if (!found.alarms.empty()) text += '\n';
}

}  // namespace

std::string markdown_report(const CopyOrMap& found) {
    std::string text;
    const std::vector<Place> places = places_of(found);
    if (!found.crossings.empty()) {
        text += "## Copy or map\n\n";
        for (const std::string& sentence : sentences_of(found))
            text += fmt::format("> {}\n\n", markdown_cell(sentence));
        for (const Place& place : places) append_crossings(text, found, place);
        text += fmt::format(
            "{} (a–b): 95 % interval, of the rounds resampled as blocks. \\~: nearly parallel; 5 % "
            "more or less of a time move this size by more than half of it. \\*: they cross "
            "several times. model: where the model's curves cross. Sleeping copies are compared "
            "with sleeping ways, spinning ones with spinning ones.\n\n",
            what_infinity_means);
    }
    if (!found.transfers.empty()) {
        text += "## Whole transfers, by size\n\nTime from one process to the other: half a round "
                "trip. Medians over the process pairs, with 95 % intervals [low, high], and what "
                "the model says more or less. !: the model misses by more than it promises. =: no "
                "difference from the place's first copy is seen, at the 5 % level. d: from "
                "disturbed measurements, for want of others.\n\n";
        if (const std::string share = payload_share_in_words(found); !share.empty())
            text += fmt::format("{}\n\n", share);
        for (const Place& place : places) append_totals(text, found, place);
    }
    append_agreement(text, found);
    if (found.false_alarms) append_false_alarms(text, *found.false_alarms);
    return text + markdown_costs(found);
}

}  // namespace ipclab
