#include "harness/copy_or_map/report.hpp"
#include "harness/markdown.hpp"
#include "harness/multi_queue/findings.hpp"
#include "harness/quantity.hpp"
#include "harness/summary_tables.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;
using Strings = std::vector<std::string>;

Strings stub_of(const TableLine& line) {
    return {fmt::format("`{}`", line.mechanism), std::string(in_words(line.access)), line.waiting};
}

/// A table with a column per size, or per capacity.
void append_by_column(std::string& text, const FigureTable& table, auto&& entry) {
    Strings header{"mechanism", "access", "waits"};
    for (const TableColumn& column : table.columns) header.push_back(heading_of(column));
    append_markdown_header(text, header);
    for (const TableLine& line : table.lines) {
        Strings row = stub_of(line);
        for (std::size_t i = 0; i < line.cells.size(); ++i)
            row.push_back(markdown_cell(entry(line, i)));
        append_markdown_row(text, row);
    }
    text += '\n';
}

/// A table with a line per cell that has figures.
void append_by_cell(std::string& text, const FigureTable& table, const Strings& columns,
                    auto&& entries) {
    Strings header{"mechanism", "access", "waits", "size"};
    header.insert(header.end(), columns.begin(), columns.end());
    append_markdown_header(text, header);
    for (const TableLine& line : table.lines)
        for (const CellSummary* cell : line.cells) {
            if (!has_figures(cell)) continue;
            Strings row = stub_of(line);
            row.push_back(size_in_words(cell->cell.size_bytes));
            for (const std::string& entry : entries(*cell)) row.push_back(markdown_cell(entry));
            append_markdown_row(text, row);
        }
    text += '\n';
}

std::string time_or_dash(const std::optional<double>& time_ns) {
    return time_ns ? format_time_ns(*time_ns) : "–";
}

std::string number_or_dash(const std::optional<double>& number) {
    return number ? fmt::format("{:.3g}", *number) : "–";
}

std::string estimate_in_words(const CellSummary& cell, const Estimate& estimate,
                              const std::string& marks = "") {
    const std::string interval =
        estimate.interval ? fmt::format("[{}, {}]", in_unit(cell, estimate.interval->low),
                                        in_unit(cell, estimate.interval->high))
                          : fmt::format("(n={})", cell.pairs.size());
    return fmt::format("{} {}{}{}", in_unit(cell, estimate.median), interval,
                       marks.empty() ? "" : " ", marks);
}

std::string estimate_in_words(const CellSummary& cell) {
    return estimate_in_words(cell, shown_estimate(cell), marks_of(cell));
}

void append_gaps(std::string& text, const FigureTable& table, const Gaps& gaps) {
    for (const std::string& mark : legend_of(table))
        text += fmt::format("- {}\n", markdown_cell(mark));
    for (std::size_t i = 0; i < gaps.reasons().size(); ++i)
        text += fmt::format("- ({}) {}\n", i + 1, markdown_cell(gaps.reasons()[i]));
    for (const std::string& sentence : skipped_in_words(table))
        text += fmt::format("- {}\n", markdown_cell(sentence));
    text += '\n';
}

void append_figures(std::string& text, const FigureTable& table, const Summary& summary) {
    const Gaps gaps(table);
    text += fmt::format("{}. Medians over the pairs, with 95 % intervals [low, high].\n\n",
                        basis_of(table, summary));
    append_by_column(text, table, [&](const TableLine& line, std::size_t column) {
        const CellSummary* const cell = line.cells[column];
        if (has_figures(cell)) return estimate_in_words(*cell);
        const auto number = gaps.number_of(line, column);
        return number ? fmt::format("{} ({})", gap_in_words(cell), *number) : std::string();
    });
    append_gaps(text, table, gaps);
}

/// A line per cell, and a column per step.
void append_life(std::string& text, const FigureTable& table, const Summary& summary) {
    const Gaps gaps(table);
    text += fmt::format(
        "{}. Medians over the pairs, with 95 % intervals [low, high]. Both sides attach, and "
        "detach, at the same time; where attaching has an order, as with sockets, the time of one "
        "includes waiting for the other. The first message is timed from before it is written "
        "until it has been read. Page faults are of both sides, of attaching and of the first "
        "message, and include those by which a new process gets at its own code and data.\n\n",
        basis_of(table, summary));
    Strings steps;
    for (const LifeStep& step : life_steps) steps.emplace_back(step.words);
    steps.insert(steps.end(), {"together", "page faults"});
    append_by_cell(text, table, steps, [](const CellSummary& cell) {
        Strings entries;
        for (const Estimate& step : cell.life_ns) entries.push_back(estimate_in_words(cell, step));
        entries.push_back(estimate_in_words(cell));
        entries.push_back(faults_in_words(cell));
        return entries;
    });
    append_gaps(text, table, gaps);
}

void append_cpu(std::string& text, const FigureTable& table) {
    text += fmt::format("CPU time per {}, initiator + responder:\n\n", exchange_of(table.pattern));
    append_by_column(text, table, [](const TableLine& line, std::size_t column) {
        return cpu_in_words(line.cells[column]);
    });
}

void append_tails(std::string& text, const FigureTable& table) {
    if (table.pattern != Pattern::ping_pong) return;
    text += "Percentiles of the round trips: medians over the pairs; a dash where most pairs have "
            "too few samples.\n\n";
    append_by_cell(
        text, table,
        {"p50", "p90", "p99", "p99.9", "max", "max of all pairs", "samples are means of"},
        [](const CellSummary& cell) -> Strings {
            return {format_time_ns(cell.figure_ns.median), time_or_dash(cell.tail_ns.p90),
                    time_or_dash(cell.tail_ns.p99),        time_or_dash(cell.tail_ns.p99_9),
                    time_or_dash(cell.tail_ns.max),        time_or_dash(cell.max_overall_ns),
                    fmt::format("{:.0f}", cell.stride_max)};
        });
}

std::string left_out_in_words(const LeftOut& left_out) {
    std::string text;
    const auto add = [&](std::size_t rows, std::string_view why) {
        if (rows > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", rows, why);
    };
    add(left_out.disturbed, "disturbed");
    add(left_out.other_distance, "other distance");
    add(left_out.failed, "failed");
    add(left_out.skipped, "skipped");
    return text.empty() ? "–" : text;
}

void append_conditions(std::string& text, const FigureTable& table) {
    text += fmt::format("What stands behind each figure. Outliers are flagged, and count. Switches "
                        "are per {}, voluntary and involuntary, initiator + responder. Capacity: "
                        "unread bytes before a sender waits.\n\n",
                        exchange_of(table.pattern));
    append_by_cell(
        text, table,
        {"n", "outliers", "left out", "reference", "voluntary switches", "involuntary switches",
         "capacity asked", "capacity in bytes", "published every", "stores"},
        [](const CellSummary& cell) -> Strings {
            const auto& [first, second] = cell.sides;
            const auto both = [](const auto& a, const auto& b) {
                return fmt::format("{} + {}", number_or_dash(a), number_or_dash(b));
            };
            return {fmt::format("{}", cell.pairs.size()),
                    fmt::format("{}", cell.outliers),
                    left_out_in_words(cell.left_out),
                    time_or_dash(cell.reference_ns),
                    both(first.voluntary_switches, second.voluntary_switches),
                    both(first.involuntary_switches, second.involuntary_switches),
                    cell.cell.capacity_bytes > 0 ? format_size(cell.cell.capacity_bytes)
                                                 : "default",
                    cell.capacity_bytes ? fmt::format("{:.0f}", *cell.capacity_bytes) : "–",
                    number_or_dash(cell.publish_every),
                    cell.stores.value_or("–")};
        });
}

/// "packets 1, cycles 0.031"
std::string counters_in_words(const std::vector<CounterFigure>& counters) {
    std::string text;
    for (const CounterFigure& counter : counters)
        text +=
            fmt::format("{}{} {:.3g}", text.empty() ? "" : ", ", counter.name, counter.per_message);
    return text.empty() ? "–" : text;
}

/// "20", or "tx 20, rx 12"
std::string packets_per_cycle_in_words(const std::vector<CounterFigure>& counters) {
    std::string text;
    for (const auto& [which, ratio] : packets_per_cycle(counters))
        text += fmt::format("{}{}{}{:.3g}", text.empty() ? "" : ", ", which,
                            which.empty() ? "" : " ", ratio);
    return text.empty() ? "–" : text;
}

bool counts(const CellSummary* cell) {
    return has_figures(cell) && !(cell->counters[0].empty() && cell->counters[1].empty());
}

/// Nothing where no mechanism counts.
void append_counters(std::string& text, const FigureTable& table) {
    FigureTable counting = table;
    for (TableLine& line : counting.lines)
        for (const CellSummary*& cell : line.cells)
            if (!counts(cell)) cell = nullptr;
    if (std::none_of(counting.lines.begin(), counting.lines.end(), [](const TableLine& line) {
            return std::any_of(line.cells.begin(), line.cells.end(), counts);
        }))
        return;
    text +=
        fmt::format("Counted by the mechanism itself while the pairs were measured, per {}: "
                    "medians over the pairs. A cycle is a turn in which it handed packets on, "
                    "or took some.\n\n",
                    table.pattern == Pattern::stream ? "message" : "message there and its answer");
    append_by_cell(text, counting,
                   {"initiator", "its packets per cycle", "responder", "its packets per cycle"},
                   [](const CellSummary& cell) {
                       Strings entries;
                       for (const std::vector<CounterFigure>& side : cell.counters) {
                           entries.push_back(counters_in_words(side));
                           entries.push_back(packets_per_cycle_in_words(side));
                       }
                       return entries;
                   });
}

void append_context(std::string& text, const Summary& summary) {
    text += "## Context\n\n";
    append_markdown_header(text, {"what", "value"});
    const auto add = [&](std::string_view key, const std::string& value) {
        append_markdown_row(text, {std::string(key), markdown_cell(value)});
    };
    for (const auto& [key, value] : summary.context.items())
        if (key != "type" && key != "questions" && key != "kernels")
            add(key, value.is_string()
                         ? value.get<std::string>()
                         : value.dump(-1, ' ', false, Json::error_handler_t::replace));
    add("stopped by", summary.stopped_by.value_or("a kill"));
    if (summary.elapsed_s) add("elapsed", fmt::format("{:.1f} s", *summary.elapsed_s));
    text += '\n';
}

}  // namespace

std::string markdown_table(const Summary& summary) {
    const std::vector<std::string> run = run_in_words(summary);
    std::string text = fmt::format("# ipclab: {}\n\n", markdown_cell(scenarios_of(summary)));
    for (const std::string& sentence : run) text += fmt::format("{}\n\n", markdown_cell(sentence));
    text += "Every figure here comes from run.jsonl, by `ipclab report`.\n\n";

    const std::vector<std::string> warnings = warnings_of(summary);
    if (!warnings.empty()) text += "## Before you trust these figures\n\n";
    for (const std::string& warning : warnings)
        text += fmt::format("- {}\n", markdown_cell(warning));
    if (!warnings.empty()) text += '\n';

    if (summary.copy_or_map) text += markdown_report(*summary.copy_or_map);
    if (summary.multi_queue) text += markdown_report(*summary.multi_queue);
    for (const FigureTable& table : tables_of(summary)) {
        text += fmt::format("## {}\n\n", markdown_cell(title_of(table, summary)));
        if (table.pattern == Pattern::lifecycle) {
            append_life(text, table, summary);
        } else {
            append_figures(text, table, summary);
            append_cpu(text, table);
        }
        append_tails(text, table);
        append_conditions(text, table);
        append_counters(text, table);
    }
    append_context(text, summary);
    return text;
}

}  // namespace ipclab
