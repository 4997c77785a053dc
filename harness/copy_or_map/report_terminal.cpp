#include "harness/copy_or_map/report.hpp"
#include "harness/copy_or_map/sentences.hpp"
#include "harness/text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ipclab {
namespace {

constexpr std::size_t columns = 120;
constexpr std::size_t misses_told = 5;

using Strings = std::vector<std::string>;

std::string crossing_at(const CopyOrMap& found, const Place& place, const CrossingLine& line,
                        std::optional<std::uint64_t> k, bool from_model) {
    const auto* finding = crossing_of(found, place, line.copy, line.way, k, from_model);
    return finding == nullptr ? "" : short_form(finding->crossing);
}

void append_crossings(std::string& text, const CopyOrMap& found, const Place& place) {
    const std::string copy = first_copy_of(found, place);
    if (copy.empty()) return;
    const std::vector<std::uint64_t> reuses = reuses_at(found, place);
    Strings header{fmt::format("against {}", copy)};
    for (const std::uint64_t k : reuses) header.push_back(fmt::format("k = {}", k));
    header.emplace_back("k = ∞");
    std::vector<Strings> rows{header};
    for (const CrossingLine& line : crossing_lines(found, place, copy)) {
        Strings row{fmt::format("  {}", name_of(line.way))};
        for (const std::uint64_t k : reuses)
            row.push_back(crossing_at(found, place, line, k, false));
        row.push_back(line.way == Way::persistent
                          ? crossing_at(found, place, line, 0, false)
                          : crossing_at(found, place, line, std::nullopt, true));
        rows.push_back(row);
    }
    text += fmt::format("\nFrom which size on mapping is cheaper, {}\n", name_in_words(place));
    text += in_columns(rows);
}

void append_agreement(std::string& text, const CopyOrMap& found) {
    if (found.agreements.empty()) return;
    std::vector<const TransferFinding*> misses;
    std::string summary = "The model, put together from the costs alone, against the clock: ";
    for (const Agreement& agreement : found.agreements) {
        summary += fmt::format("{}{}", &agreement == &found.agreements.front() ? "" : "; ",
                               in_words(agreement));
        for (const std::size_t miss : agreement.misses) misses.push_back(&found.transfers[miss]);
    }
    text.append("\n").append(paragraph(fmt::format("{}.", summary), columns));
    if (misses.empty()) return;
    std::stable_sort(misses.begin(), misses.end(),
                     [](const auto* a, const auto* b) { return further_off(*a, *b); });
    if (misses.size() > misses_told)
        text += fmt::format("The {} worst of {} misses:\n", misses_told, misses.size());
    for (std::size_t i = 0; i < std::min(misses.size(), misses_told); ++i)
        text += paragraph(miss_in_words(*misses[i]), columns, "- ");
}

void append_gaps(std::string& text, const CopyOrMap& found) {
    const Strings gaps = cost_gaps(found);
    if (gaps.empty()) return;
    text += "\nCosts without a figure:\n";
    for (const std::string& gap : gaps) text += paragraph(gap, columns, "- ");
}

}  // namespace

std::string terminal_report(const CopyOrMap& found) {
    std::string text;
    for (const std::string& sentence : sentences_of(found))
        text.append("\n").append(paragraph(sentence, columns));
    const std::vector<Place> places = places_of(found);
    for (const Place& place : places) append_crossings(text, found, place);
    if (!found.crossings.empty())
        text += paragraph(fmt::format("{} (a–b): 95 % interval. ~ nearly parallel curves, so a "
                                      "rough size. * they cross several times.",
                                      what_infinity_means),
                          columns);
    if (const std::string share = payload_share_in_words(found); !share.empty())
        text.append("\n").append(paragraph(share, columns));
    append_agreement(text, found);
    if (found.false_alarms)
        text.append("\n").append(paragraph(in_words(*found.false_alarms), columns));
    append_gaps(text, found);
    text.append("\n").append(
        paragraph("All costs, transfers, crossings and misses are in summary.md, and for "
                  "programs in copy-or-map.json.",
                  columns));
    return text;
}

}  // namespace ipclab
