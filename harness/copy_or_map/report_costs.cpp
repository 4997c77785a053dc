#include "harness/copy_or_map/report.hpp"
#include "harness/markdown.hpp"
#include "harness/quantity.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>
#include <tuple>

namespace ipclab {
namespace {

using Strings = std::vector<std::string>;

constexpr std::size_t slope_from_bytes = 65536;
constexpr std::size_t slope_to_bytes = 1048576;
constexpr double page_bytes = 4096;

/// A line of a table of costs.
using Line = std::pair<std::string, std::string>;  // cost, figure

/// The findings of one placement, in the order of the costs.
struct CostTable {
    std::vector<Line> lines;
    std::set<std::tuple<std::size_t, std::int64_t>> columns;  // size, sleep
    std::map<std::tuple<Line, std::size_t, std::int64_t>, const CostFinding*> cells;

    void add(const CostFinding& finding) {
        const Line line{finding.cell.cost, finding.figure};
        if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
        columns.emplace(finding.cell.size_bytes, finding.cell.slept_ns);
        cells[{line, finding.cell.size_bytes, finding.cell.slept_ns}] = &finding;
    }
    [[nodiscard]] const CostFinding* at(const Line& line, std::size_t size_bytes,
                                        std::int64_t slept_ns = 0) const {
        const auto cell = cells.find({line, size_bytes, slept_ns});
        return cell == cells.end() ? nullptr : cell->second;
    }
};

std::string value_in_words(const CostFinding* finding) {
    if (finding == nullptr) return {};
    if (finding->pairs == 0) return finding->state == CellState::failed ? "failed" : "skipped";
    const Estimate& value_ns = finding->value_ns;
    return fmt::format("{} {}{}", format_time_ns(value_ns.median),
                       value_ns.interval
                           ? fmt::format("[{}, {}]", format_time_ns(value_ns.interval->low),
                                         format_time_ns(value_ns.interval->high))
                           : fmt::format("(n={})", finding->pairs),
                       finding->state == CellState::only_disturbed ? " d" : "");
}

void append_table(std::string& text, const CostTable& table) {
    if (table.lines.empty()) return;
    Strings header{"cost", "figure"};
    for (const auto& [size_bytes, slept_ns] : table.columns)
        header.push_back(
            size_bytes > 0 ? format_size(size_bytes)
            : slept_ns == 0
                ? "–"
                : fmt::format("after {} asleep", format_time_ns(static_cast<double>(slept_ns))));
    append_markdown_header(text, header);
    for (const Line& line : table.lines) {
        Strings row{fmt::format("`{}`", line.first), line.second};
        for (const auto& [size_bytes, slept_ns] : table.columns)
            row.push_back(markdown_cell(value_in_words(table.at(line, size_bytes, slept_ns))));
        append_markdown_row(text, row);
    }
    text += '\n';
}

std::optional<double> figure_at(const CostTable& table, const Line& line, std::size_t size_bytes) {
    const CostFinding* const finding = table.at(line, size_bytes);
    return finding != nullptr && finding->pairs > 0 ? std::optional(finding->value_ns.median)
                                                    : std::nullopt;
}

/// What a byte costs more, and what a page does.
void append_slopes(std::string& text, const CostTable& table) {
    std::string rows;
    for (const Line& line : table.lines) {
        const auto from_ns = figure_at(table, line, slope_from_bytes);
        const auto to_ns = figure_at(table, line, slope_to_bytes);
        if (!from_ns || !to_ns) continue;
        constexpr auto bytes = static_cast<double>(slope_to_bytes - slope_from_bytes);
        const double slope_ns = (*to_ns - *from_ns) / bytes;
        const auto pages = [](double total_ns, std::size_t size_bytes) {
            return fmt::format("{:.3g}", total_ns * page_bytes / static_cast<double>(size_bytes));
        };
        const bool faults = line.first.starts_with("map/") && line.second == "touch";
        append_markdown_row(rows, {fmt::format("`{}`", line.first), line.second,
                                   fmt::format("{:.3g}", 1024 * slope_ns),
                                   faults ? pages(*from_ns, slope_from_bytes) : "",
                                   faults ? pages(*to_ns, slope_to_bytes) : ""});
    }
    if (rows.empty()) return;
    text +=
        fmt::format("What a KiB more costs, between {0} and {1}; and what a page costs that is "
                    "touched for the first time in a mapping (touch / pages of {2}), in ns:\n\n",
                    format_size(slope_from_bytes), format_size(slope_to_bytes),
                    format_size(static_cast<std::size_t>(page_bytes)));
    append_markdown_header(text, {"cost", "figure", "ns per KiB",
                                  fmt::format("ns per page at {}", format_size(slope_from_bytes)),
                                  fmt::format("ns per page at {}", format_size(slope_to_bytes))});
    text += rows + '\n';
}

void append_explanations(std::string& text, const CopyOrMap& found) {
    std::set<std::string> measured;
    for (const CostFinding& finding : found.costs) measured.insert(finding.cell.cost);
    for (const CostEntry& entry : all_costs())
        if (measured.count(entry.facts.name) > 0)
            text += fmt::format("- `{}`: {}\n", entry.facts.name,
                                markdown_cell(entry.facts.explanation));
    text += '\n';
}

}  // namespace

std::vector<std::string> cost_gaps(const CopyOrMap& found) {
    std::vector<std::pair<std::string, Strings>> by_reason;  // reason, costs
    for (const CostFinding& finding : found.costs) {
        if (finding.pairs > 0) continue;
        auto group = std::find_if(by_reason.begin(), by_reason.end(),
                                  [&](const auto& entry) { return entry.first == finding.reason; });
        if (group == by_reason.end()) group = by_reason.insert(group, {finding.reason, Strings{}});
        std::string name = finding.cell.cost;
        if (finding.cell.size_bytes > 0)
            name += fmt::format(" at {}", format_size(finding.cell.size_bytes));
        if (finding.state == CellState::failed) name += " (failed)";
        if (std::find(group->second.begin(), group->second.end(), name) == group->second.end())
            group->second.push_back(name);
    }
    Strings gaps;
    for (const auto& [reason, costs] : by_reason)
        gaps.push_back(fmt::format("{}: {}", fmt::join(costs, ", "), reason));
    return gaps;
}

std::string markdown_costs(const CopyOrMap& found) {
    if (found.costs.empty()) return {};
    std::string text = "## What each step costs\n\n";
    text +=
        "Medians over the process pairs, with 95 % intervals [low, high]; per message, call or "
        "wake-up. d: from disturbed measurements, for want of others. What each figure contains "
        "stands below.\n\n";
    for (const Placement placement : placements) {
        CostTable by_size;
        CostTable others;
        for (const CostFinding& finding : found.costs)
            if (finding.cell.placement == placement)
                (finding.cell.size_bytes > 0 ? by_size : others).add(finding);
        if (by_size.lines.empty() && others.lines.empty()) continue;
        text += fmt::format("### {}\n\n",
                            placement == Placement::same_cpu ? "On one CPU" : "On two CPUs");
        append_table(text, others);
        append_table(text, by_size);
        append_slopes(text, by_size);
    }
    const Strings gaps = cost_gaps(found);
    if (!gaps.empty()) text += "### Costs without a figure\n\n";
    for (const std::string& gap : gaps) text += fmt::format("- {}\n", markdown_cell(gap));
    if (!gaps.empty()) text += '\n';
    text += "### What the figures contain\n\n";
    append_explanations(text, found);
    return text;
}

}  // namespace ipclab
