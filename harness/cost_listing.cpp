#include "harness/listing.hpp"
#include "harness/quantity.hpp"
#include "harness/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ipclab {
namespace {

constexpr std::size_t prose_columns = 100;

using Strings = std::vector<std::string>;

/// "copy_in, copy_out: ns per message"
std::string figures_in_words(const CostFacts& facts) {
    std::vector<std::pair<std::string_view, Strings>> by_unit;
    for (const CostFigure& figure : facts.figures) {
        if (by_unit.empty() || by_unit.back().first != figure.per)
            by_unit.emplace_back(figure.per, Strings{});
        by_unit.back().second.emplace_back(figure.name);
    }
    Strings parts;
    for (const auto& [per, names] : by_unit)
        parts.push_back(fmt::format("{}: ns per {}", fmt::join(names, ", "), per));
    return fmt::format("{}", fmt::join(parts, "; "));
}

/// By what the figures differ, and where they are measured.
std::string cells_in_words(const CostFacts& facts) {
    Strings parts;
    if (facts.size_bytes_max > 0)
        parts.push_back(facts.size_bytes_min > 1
                            ? fmt::format("by size, from {}", format_size(facts.size_bytes_min))
                            : std::string("by size"));
    if (facts.sleeps_ns.size() > 1) {
        const auto [least, most] =
            std::minmax_element(facts.sleeps_ns.begin(), facts.sleeps_ns.end());
        parts.push_back(fmt::format("by how long the peer has waited, {} to {}",
                                    format_time_ns(static_cast<double>(*least)),
                                    format_time_ns(static_cast<double>(*most))));
    }
    Strings where;
    for (const Placement placement : facts.placements)
        where.emplace_back(placement == Placement::same_cpu ? "one CPU" : "two CPUs");
    parts.push_back(fmt::format("on {}", fmt::join(where, " and on ")));
    return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

std::string costs_as_text(const std::vector<CostEntry>& costs, std::size_t columns) {
    const std::size_t width = std::min(columns, prose_columns);
    std::string text;
    for (const auto& [facts, make] : costs) {
        text += fmt::format("{}{}\n", text.empty() ? "" : "\n", facts.name);
        text += paragraph(figures_in_words(facts), width, "    ");
        text += paragraph(cells_in_words(facts), width, "    ");
        text += paragraph(facts.explanation, width, "    ");
    }
    return text;
}

std::string costs_as_markdown(const std::vector<CostEntry>& costs) {
    std::string text;
    for (const auto& [facts, make] : costs)
        text += fmt::format("- `{}` ({}; {}): {}\n", facts.name, figures_in_words(facts),
                            cells_in_words(facts), facts.explanation);
    return text;
}

}  // namespace ipclab
