#include "harness/summary_tables.hpp"

#include "harness/quantity.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <set>
#include <tuple>
#include <utility>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t message_rate_below_bytes = 1024;

/// A context value as words, whatever its type; empty where it is missing or null.
std::string context_text(const Summary& summary, std::string_view key) {
    const auto found = summary.context.find(key);
    if (found == summary.context.end() || found->is_null()) return "";
    return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
    std::string text;
    for (const std::string& part : parts) {
        if (part.empty()) continue;
        if (!text.empty()) text.append(between);
        text += part;
    }
    return text;
}

/// "1", or "7 to 12".
std::string range(double least, double most) {
    return least == most ? fmt::format("{:.0f}", most)
                         : fmt::format("{:.0f} to {:.0f}", least, most);
}

bool same_table(const FigureTable& table, const CellSummary& summary) {
    return table.scenario == summary.scenario && table.pattern == summary.cell.pattern &&
           table.placement == summary.cell.placement;
}

/// With what the columns do not tell.
std::string name_of_line(const FigureTable& table, const CellSummary& summary) {
    std::string name = summary.cell.mechanism;
    if (summary.cell.capacity_bytes > 0 && !table.columns.front().capacity_bytes)
        name += fmt::format(" capacity={}", format_size(summary.cell.capacity_bytes));
    if (summary.cell.batch_messages > 0)
        name += fmt::format(" batch={}", summary.cell.batch_messages);
    if (summary.cell.stores)
        name += fmt::format(" stores={}", ipclab::name_of(*summary.cell.stores));
    if (!summary.variant.empty()) name += fmt::format(" {}", summary.variant);
    return name;
}

TableLine& line_for(std::vector<TableLine>& lines, const std::string& name,
                    const CellSummary& summary) {
    const auto found = std::find_if(lines.begin(), lines.end(), [&](const TableLine& line) {
        return std::tie(line.mechanism, line.access, line.waiting) ==
               std::tie(name, summary.cell.access, summary.waiting);
    });
    if (found != lines.end()) return *found;
    lines.push_back({name, summary.cell.access, summary.waiting, {}});
    return lines.back();
}

/// Takes what was skipped at every size and capacity out of `cells`.
std::vector<TableLine> take_skipped(std::vector<const CellSummary*>& cells) {
    std::vector<TableLine> all;
    for (const CellSummary* cell : cells)
        line_for(all, cell->cell.mechanism, *cell).cells.push_back(cell);
    std::erase_if(all, [](const TableLine& line) {
        return std::any_of(line.cells.begin(), line.cells.end(), [](const CellSummary* cell) {
            return cell->state != CellState::skipped;
        });
    });
    std::vector<const CellSummary*> left = cells;
    for (const TableLine& line : all)
        for (const CellSummary* cell : line.cells) std::erase(left, cell);
    if (left.empty()) return {};  // a table of gaps is better than none
    cells = std::move(left);
    return all;
}

std::vector<TableColumn> columns_of(const std::vector<const CellSummary*>& cells) {
    std::set<std::size_t> sizes;
    std::set<std::size_t> capacities;
    for (const CellSummary* cell : cells) {
        sizes.insert(cell->cell.size_bytes);
        capacities.insert(cell->cell.capacity_bytes);
    }
    std::vector<TableColumn> columns;
    if (sizes.size() == 1 && capacities.size() > 1)
        for (const std::size_t capacity : capacities) columns.push_back({*sizes.begin(), capacity});
    else
        for (const std::size_t size : sizes) columns.push_back({size, std::nullopt});
    return columns;
}

void fill(FigureTable& table, std::vector<const CellSummary*> cells) {
    table.skipped = take_skipped(cells);
    table.columns = columns_of(cells);
    for (const CellSummary* cell : cells) {
        TableLine& line = line_for(table.lines, name_of_line(table, *cell), *cell);
        line.cells.resize(table.columns.size());
        const auto column = std::find_if(
            table.columns.begin(), table.columns.end(), [&](const TableColumn& candidate) {
                return candidate.size_bytes == cell->cell.size_bytes &&
                       candidate.capacity_bytes.value_or(cell->cell.capacity_bytes) ==
                           cell->cell.capacity_bytes;
            });
        line.cells[static_cast<std::size_t>(column - table.columns.begin())] = cell;
    }
}

std::string end_in_words(const Summary& summary) {
    if (!summary.stopped_by) return "killed before its end";
    const std::string& reason = *summary.stopped_by;
    std::string words = reason == "width"    ? "all intervals as narrow as asked"
                        : reason == "rounds" ? "all rounds run"
                        : reason == "budget" ? "stopped by the budget"
                                             : "interrupted";
    if (summary.elapsed_s) words += fmt::format(" after {:.0f} s", *summary.elapsed_s);
    return words;
}

std::string why_absent(const CellSummary* cell) {
    if (cell == nullptr) return "not reached before the run ended";
    if (cell->state == CellState::other_distance)
        return fmt::format(
            "measured only while the CPUs were not as far apart as in the other cells ({})",
            cell->distance);
    return joined(cell->reasons, "; ");
}

std::string reference_of(Placement where, const Summary& summary) {
    const auto found = summary.placements.find(where);
    if (found == summary.placements.end() || !found->second.reference_ns) return "";
    const PlacementSummary& placement = found->second;
    return fmt::format("Reference: {} there and back in {} ({}).",
                       placement.reference_kind == "context_switch" ? "a context switch"
                                                                    : "a cache line",
                       format_time_ns(*placement.reference_ns), placement.distance);
}

std::string pairs_of(const FigureTable& table) {
    std::size_t least = 0;
    std::size_t most = 0;
    for (const TableLine& line : table.lines)
        for (const CellSummary* cell : line.cells) {
            if (!has_figures(cell)) continue;
            least = most == 0 ? cell->pairs.size() : std::min(least, cell->pairs.size());
            most = std::max(most, cell->pairs.size());
        }
    return fmt::format("n = {} process pairs",
                       range(static_cast<double>(least), static_cast<double>(most)));
}

}  // namespace

std::vector<FigureTable> tables_of(const Summary& summary) {
    std::vector<FigureTable> tables;
    std::vector<std::vector<const CellSummary*>> cells;
    for (const CellSummary& cell : summary.cells) {
        if (tables.empty() || !same_table(tables.back(), cell)) {
            FigureTable& table = tables.emplace_back();
            table.scenario = cell.scenario;
            table.pattern = cell.cell.pattern;
            table.placement = cell.cell.placement;
            table.whole = summary.stopped_by == "width" || summary.stopped_by == "rounds";
            cells.emplace_back();
        }
        cells.back().push_back(&cell);
    }
    for (std::size_t i = 0; i < tables.size(); ++i) fill(tables[i], std::move(cells[i]));
    return tables;
}

std::string scenarios_of(const Summary& summary) {
    std::vector<std::string> names;  // the cells of one scenario are neighbours
    for (const CellSummary& cell : summary.cells)
        if (names.empty() || names.back() != cell.scenario) names.push_back(cell.scenario);
    const auto asked = summary.context.find("scenarios");
    if (names.empty() && asked != summary.context.end() && asked->is_array())
        for (const Json& name : *asked)
            if (name.is_string()) names.push_back(name.get<std::string>());
    return joined(names, ", ");
}

std::vector<std::string> run_in_words(const Summary& summary) {
    const auto text = [&](std::string_view key) { return context_text(summary, key); };
    const auto with = [](std::string_view before, const std::string& word, std::string_view after) {
        return word.empty() ? "" : fmt::format("{}{}{}", before, word, after);
    };
    std::vector<std::string> sentences;
    if (const auto questions = summary.context.find("questions");
        questions != summary.context.end() && questions->is_array())
        for (const Json& question : *questions)
            if (question.is_string()) sentences.push_back(question.get<std::string>());

    const std::string settings = joined({summary.kept_awake ? "CPUs kept awake" : "",
                                         summary.raised ? "put before other sessions" : ""},
                                        ", ");
    sentences.push_back(joined(
        {text("host"), text("cpu_model"), with("", text("cpus_online"), " CPUs"),
         with("", text("hypervisor"), " guest"), with("Linux ", text("kernel"), ""), settings},
        ", "));
    sentences.push_back(
        joined({text("utc"),
                with("commit ", text("commit"), text("dirty") == "true" ? " with changes" : ""),
                text("compiler"), text("build_type"), with("seed ", text("seed"), ""),
                end_in_words(summary)},
               ", "));
    return sentences;
}

std::string_view in_words(Access access) { return access == Access::copy ? "copy" : "in place"; }

std::string in_words(Placement placement, const Summary& summary) {
    std::vector<std::string> cpus;
    const auto all = summary.context.find("cpus");
    if (all != summary.context.end() && all->is_object()) {
        const auto pair = all->find(name_of(placement));
        if (pair != all->end() && pair->is_array())
            for (const Json& cpu : *pair)
                if (cpus.empty() || cpus.back() != cpu.dump()) cpus.push_back(cpu.dump());
    }
    std::string words = placement == Placement::same_cpu ? "on one CPU" : "on two CPUs";
    if (!cpus.empty()) words += fmt::format(" ({})", joined(cpus, ", "));
    return words;
}

std::string_view exchange_of(Pattern pattern) {
    return pattern == Pattern::ping_pong ? "round trip"
           : pattern == Pattern::stream  ? "message"
                                         : "first message";
}

std::string title_of(const FigureTable& table, const Summary& summary) {
    return fmt::format("{}{}{} ({}), {}", table.scenario, table.scenario.empty() ? "" : ": ",
                       table.pattern == Pattern::ping_pong ? "round trip, there and back"
                       : table.pattern == Pattern::stream  ? "throughput, one way"
                                                           : "the steps of a life",
                       name_of(table.pattern), in_words(table.placement, summary)) +
           (!table.columns.empty() && table.columns.front().capacity_bytes
                ? fmt::format(", messages of {} by the capacity asked for",
                              size_in_words(table.columns.front().size_bytes))
                : "");
}

std::string basis_of(const FigureTable& table, const Summary& summary) {
    return joined({reference_of(table.placement, summary), pairs_of(table)}, " ");
}

std::string size_in_words(std::size_t size_bytes) {
    return size_bytes == 0 ? "no payload" : format_size(size_bytes);
}

std::string heading_of(const TableColumn& column) {
    if (!column.capacity_bytes) return size_in_words(column.size_bytes);
    return *column.capacity_bytes == 0 ? "default" : format_size(*column.capacity_bytes);
}

const Estimate& attach_of(const CellSummary& cell) {
    return cell.life_ns[1].median > cell.life_ns[2].median ? cell.life_ns[1] : cell.life_ns[2];
}

const Estimate& detach_of(const CellSummary& cell) {
    return cell.life_ns[4].median > cell.life_ns[5].median ? cell.life_ns[4] : cell.life_ns[5];
}

const Estimate& shown_estimate(const CellSummary& cell) {
    if (cell.cell.pattern != Pattern::stream) return cell.figure_ns;
    return cell.cell.size_bytes < message_rate_below_bytes ? cell.messages_per_s : cell.bytes_per_s;
}

std::string in_unit(const CellSummary& cell, double value) {
    if (cell.cell.pattern != Pattern::stream) return format_time_ns(value);
    if (cell.cell.size_bytes >= message_rate_below_bytes) return format_bytes_per_s(value);
    std::string rate = format_messages_per_s(value);  // "12.3 M/s"
    rate.resize(rate.size() - 2);
    return rate + (rate.ends_with(' ') ? "msg/s" : " msg/s");
}

std::string spread_of(const CellSummary& cell) { return spread_of(cell, shown_estimate(cell)); }

std::string spread_of(const CellSummary& cell, const Estimate& estimate) {
    if (!estimate.interval) return fmt::format("n={}", cell.pairs.size());
    const double percent = 100 * estimate.interval->half_width() / estimate.median;
    if (percent < 0.05) return "±<0.1 %";
    return percent < 0.95 ? fmt::format("±{:.1f} %", percent) : fmt::format("±{:.0f} %", percent);
}

std::string marks_of(const CellSummary& cell) {
    std::string marks;
    if (cell.bound_by) marks += "*";
    if (cell.state == CellState::only_disturbed) marks += "d";
    if (cell.stride_max > 1) marks += "~";
    if (cell.fragments > 1) marks += fmt::format("×{:.0f}", cell.fragments);
    return marks;
}

std::vector<std::string> legend_of(const FigureTable& table) {
    bool bound = false;
    bool disturbed = false;
    bool fragmented = false;
    double stride_min = 0;
    double stride_max = 0;
    for (const TableLine& line : table.lines)
        for (const CellSummary* cell : line.cells) {
            if (!has_figures(cell)) continue;
            bound |= cell->bound_by.has_value();
            disturbed |= cell->state == CellState::only_disturbed;
            fragmented |= cell->fragments > 1;
            if (cell->stride_max <= 1) continue;
            stride_min =
                stride_max == 0 ? cell->stride_min : std::min(stride_min, cell->stride_min);
            stride_max = std::max(stride_max, cell->stride_max);
        }
    std::vector<std::string> legend;
    if (bound) legend.emplace_back("* bounded by writing or checking the payload");
    if (disturbed) legend.emplace_back("d from disturbed measurements, for want of others");
    if (stride_max > 0)
        legend.push_back(
            fmt::format("~ samples are means of {} exchanges", range(stride_min, stride_max)));
    if (fragmented) legend.emplace_back("×N the message travels in N fragments");
    return legend;
}

std::string cpu_in_words(const CellSummary* cell) {
    if (!has_figures(cell) || !cell->sides[0].cpu_ns || !cell->sides[1].cpu_ns) return "–";
    const double first_ns = *cell->sides[0].cpu_ns;
    const double second_ns = *cell->sides[1].cpu_ns;
    const std::string larger = format_time_ns(std::max(first_ns, second_ns));
    const std::string unit = larger.substr(larger.find(' ') + 1);
    const double unit_ns = unit == "ns" ? 1 : unit == "µs" ? 1e3 : unit == "ms" ? 1e6 : 1e9;
    return fmt::format("{:.3g}+{:.3g} {}", first_ns / unit_ns, second_ns / unit_ns, unit);
}

std::string faults_in_words(const CellSummary& cell) {
    const auto& [first, second] = cell.sides;
    const auto words = [](const std::optional<double>& faults) {
        return faults ? fmt::format("{:.5g}", *faults) : std::string("–");
    };
    const auto of_message = first.minor_faults && second.minor_faults
                                ? std::optional(*first.minor_faults + *second.minor_faults)
                                : std::nullopt;
    return fmt::format("{}, {}", words(cell.attach_faults), words(of_message));
}

std::optional<std::size_t> cpu_column(const FigureTable& table) {
    std::optional<std::size_t> best;
    std::size_t best_lines = 0;
    double best_distance = 0;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const auto lines = static_cast<std::size_t>(
            std::count_if(table.lines.begin(), table.lines.end(), [&](const TableLine& line) {
                return has_figures(line.cells[i]) && line.cells[i]->sides[0].cpu_ns &&
                       line.cells[i]->sides[1].cpu_ns;
            }));
        const auto size_bytes =
            static_cast<double>(std::max<std::size_t>(table.columns[i].size_bytes, 1));
        const double distance = std::abs(std::log2(size_bytes / 64.0));
        if (lines > best_lines || (best && lines == best_lines && distance < best_distance)) {
            best = i;
            best_lines = lines;
            best_distance = distance;
        }
    }
    return best;
}

Gaps::Gaps(const FigureTable& table) : table_(table) {
    for (const TableLine& line : table.lines)
        for (std::size_t i = 0; i < line.cells.size(); ++i)
            if (!has_figures(line.cells[i]) && number_of(line, i).value_or(0) > reasons_.size())
                reasons_.push_back(why_absent(line.cells[i]));
}

std::optional<std::size_t> Gaps::number_of(const TableLine& line, std::size_t column) const {
    const CellSummary* const cell = line.cells[column];
    // What carries no payload has no sizes, and what carries some has no other column.
    const bool without_payload = table_.columns[column].size_bytes == 0;
    const bool asked = std::any_of(line.cells.begin(), line.cells.end(), [&](const auto* other) {
        return other != nullptr && (other->cell.size_bytes == 0) == without_payload;
    });
    if (cell == nullptr && (table_.whole || !asked)) return std::nullopt;
    const auto found = std::find(reasons_.begin(), reasons_.end(), why_absent(cell));
    return static_cast<std::size_t>(found - reasons_.begin()) + 1;
}

std::vector<std::string> skipped_in_words(const FigureTable& table) {
    std::vector<std::pair<std::string, std::string>> lines_by_reason;
    for (const TableLine& line : table.skipped) {
        const std::string why = why_absent(line.cells.front());
        const std::string name = fmt::format("{} {}", line.mechanism, in_words(line.access));
        const auto found = std::find_if(lines_by_reason.begin(), lines_by_reason.end(),
                                        [&](const auto& entry) { return entry.first == why; });
        if (found == lines_by_reason.end())
            lines_by_reason.emplace_back(why, name);
        else
            found->second.append(", ").append(name);
    }
    std::vector<std::string> sentences;
    sentences.reserve(lines_by_reason.size());
    for (const auto& [why, lines] : lines_by_reason)
        sentences.push_back(fmt::format("Not measured: {} ({}).", lines, why));
    return sentences;
}

std::string_view gap_in_words(const CellSummary* cell) {
    return cell != nullptr && cell->state == CellState::failed ? "failed" : "–";
}

}  // namespace ipclab
