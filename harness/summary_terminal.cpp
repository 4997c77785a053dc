#include "harness/copy_or_map/report.hpp"
#include "harness/multi_queue/findings.hpp"
#include "harness/quantity.hpp"
#include "harness/summary_tables.hpp"
#include "harness/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <numeric>
#include <set>
#include <utility>

namespace ipclab {
namespace {

constexpr std::size_t columns = 120;
constexpr std::size_t gap = 2;     // between two columns of a table
constexpr std::size_t indent = 2;  // of a mechanism under the way in which it waits
/// A table with more lines than this is told in one block, of the columns that say most.
constexpr std::size_t lines_in_blocks_max = 16;
/// Of a table with more lines than this, only those without anything asked for are told.
constexpr std::size_t lines_max = 60;
/// A table of lives with more lines than this is told at the smallest and the largest size.
constexpr std::size_t lives_max = 40;

/// A cell of a column: values end, and spreads begin, at one place.
struct Entry {
    std::string value;
    std::string spread;
};

struct Column {
    std::string header;
    std::vector<Entry> entries;  // a line each

    [[nodiscard]] std::size_t value_width() const {
        std::size_t width = width_of(header);
        for (const Entry& entry : entries) width = std::max(width, width_of(entry.value));
        return width;
    }
    [[nodiscard]] std::size_t width() const {
        std::size_t spread = 0;
        for (const Entry& entry : entries) spread = std::max(spread, width_of(entry.spread));
        return value_width() + (spread == 0 ? 0 : 1 + spread);
    }
};

Entry entry_of(const TableLine& line, std::size_t column, const Gaps& gaps) {
    const CellSummary* const cell = line.cells[column];
    if (!has_figures(cell)) {
        const auto number = gaps.number_of(line, column);
        if (!number) return {};
        return {std::string(gap_in_words(cell)), fmt::format("({})", *number)};
    }
    const std::string marks = marks_of(*cell);
    return {in_unit(*cell, shown_estimate(*cell).median),
            fmt::format("{}{}{}", spread_of(*cell), marks.empty() ? "" : " ", marks)};
}

std::vector<Column> figure_columns(const FigureTable& table, const Gaps& gaps) {
    std::vector<Column> made;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        Column column{heading_of(table.columns[i]), {}};
        for (const TableLine& line : table.lines) column.entries.push_back(entry_of(line, i, gaps));
        made.push_back(std::move(column));
    }
    return made;
}

Column cpu_column_at(const FigureTable& table, std::size_t index) {
    Column column{fmt::format("CPU at {}", heading_of(table.columns[index])), {}};
    for (const TableLine& line : table.lines)
        column.entries.push_back({cpu_in_words(line.cells[index]), ""});
    return column;
}

/// What stands left of the figures.
struct Stub {
    std::size_t mechanism_width = width_of("mechanism");
    std::size_t access_width;

    /// A life is lived in one dialect: its lines need not tell the access.
    explicit Stub(const std::vector<TableLine>& lines, Pattern pattern)
        : access_width(pattern == Pattern::lifecycle ? 0 : width_of("in place")) {
        for (const TableLine& line : lines)
            mechanism_width = std::max(mechanism_width, width_of(line.mechanism));
        mechanism_width += indent;
    }
    [[nodiscard]] std::size_t width() const {
        return mechanism_width + (access_width == 0 ? 0 : gap + access_width);
    }
    [[nodiscard]] std::string text(std::string_view mechanism, std::string_view access) const {
        if (access_width == 0) return flush_left(mechanism, mechanism_width);
        return flush_left(mechanism, mechanism_width + gap) + flush_left(access, access_width);
    }
};

using Block = std::vector<Column>;

/// As few blocks as the width allows, as evenly filled.
std::vector<Block> in_blocks(const std::vector<Column>& all, std::size_t room) {
    for (std::size_t count = 1;; ++count) {
        std::vector<Block> blocks(count);
        bool fits = true;
        for (std::size_t i = 0; i < all.size(); ++i)
            blocks[i * count / all.size()].push_back(all[i]);
        for (const Block& block : blocks) {
            std::size_t width = 0;
            for (const Column& column : block) width += gap + column.width();
            fits = fits && width <= room;
        }
        if (fits || count >= all.size()) return blocks;
    }
}

/// Which columns say most, the smallest rank first.
std::size_t rank_of(const TableColumn& column) {
    constexpr std::size_t sizes[] = {64, std::size_t{64} << 10, std::size_t{4} << 10, 0,
                                     std::size_t{1} << 20};
    return static_cast<std::size_t>(
        std::find(std::begin(sizes), std::end(sizes), column.size_bytes) - std::begin(sizes));
}

/// One block: CPU time at one size, and the columns that say most of those that fit beside it.
Block one_block(const FigureTable& table, const Gaps& gaps, std::size_t room) {
    const std::vector<Column> figures = figure_columns(table, gaps);
    std::vector<std::size_t> order(figures.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return rank_of(table.columns[a]) < rank_of(table.columns[b]);
    });
    std::vector<Column> cpu;
    if (const auto cpu_at = cpu_column(table)) cpu.push_back(cpu_column_at(table, *cpu_at));
    std::size_t left = room;
    for (const Column& column : cpu) left -= std::min(left, gap + column.width());
    std::set<std::size_t> shown;  // in the table's order
    for (const std::size_t i : order) {
        if (!shown.empty() && gap + figures[i].width() > left) continue;
        left -= std::min(left, gap + figures[i].width());
        shown.insert(i);
    }
    Block block;
    for (const std::size_t i : shown) block.push_back(figures[i]);
    block.insert(block.end(), cpu.begin(), cpu.end());
    return block;
}

/// CPU time at one size stands beside the figures. Where that would take a block more, the block is
/// used for CPU time at all sizes.
std::vector<Block> blocks_of(const FigureTable& table, const Gaps& gaps, std::size_t room) {
    if (table.lines.size() > lines_in_blocks_max) return {one_block(table, gaps, room)};
    std::vector<Column> figures = figure_columns(table, gaps);
    std::vector<Block> without_cpu = in_blocks(figures, room);
    const auto cpu_at = cpu_column(table);
    if (!cpu_at) return without_cpu;
    std::vector<Column> cpu;
    for (std::size_t i = 0; i < table.columns.size(); ++i) cpu.push_back(cpu_column_at(table, i));
    figures.push_back(cpu[*cpu_at]);
    std::vector<Block> blocks = in_blocks(figures, room);
    const std::vector<Block> cpu_blocks = in_blocks(cpu, room);
    if (blocks.size() > without_cpu.size() && cpu_blocks.size() == 1) {
        blocks = std::move(without_cpu);
        blocks.push_back(cpu_blocks.front());
    }
    return blocks;
}

void append_line(std::string& text, std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
}

void append_block(std::string& text, const std::vector<TableLine>& lines, const Stub& stub,
                  const Block& block) {
    std::string header = stub.text("mechanism", "access");
    for (const Column& column : block) {
        const std::string title = flush_right(column.header, column.value_width());
        header.append(gap, ' ').append(flush_left(title, column.width()));
    }
    append_line(text, header);

    for (std::size_t i = 0; i < lines.size(); ++i) {
        const TableLine& line = lines[i];
        if (i == 0 || lines[i - 1].waiting != line.waiting)
            text += fmt::format("while waiting: {}\n", line.waiting);
        std::string row =
            stub.text(std::string(indent, ' ') + line.mechanism, in_words(line.access));
        for (const Column& column : block) {
            const Entry& entry = column.entries[i];
            std::string cell = flush_right(entry.value, column.value_width());
            if (!entry.spread.empty()) cell.append(" ").append(entry.spread);
            row.append(gap, ' ').append(flush_left(cell, column.width()));
        }
        append_line(text, row);
    }
}

bool waits_differ(const FigureTable& table) {
    return std::any_of(table.lines.begin(), table.lines.end(), [&](const TableLine& line) {
        return line.waiting != table.lines.front().waiting;
    });
}

void append_notes(std::string& text, const FigureTable& table, const Gaps& gaps) {
    std::string notes;
    for (const std::string& mark : legend_of(table)) notes += fmt::format("{}. ", mark);
    if (table.pattern == Pattern::lifecycle)
        notes +=
            "Attach and detach: of the side that takes longer, and attaching may have to wait for "
            "the peer's. Page faults of both sides: of attaching, of the first message; among them "
            "those by which a new process gets at its own code. ";
    else if (cpu_column(table))
        notes +=
            fmt::format("CPU: time of initiator + responder per {}. ", exchange_of(table.pattern));
    if (waits_differ(table))
        notes += "Compare what waits in the same way: who spins is fast, and keeps a CPU busy.";
    if (!notes.empty()) text += paragraph(notes, columns);
    for (std::size_t i = 0; i < gaps.reasons().size(); ++i)
        text += paragraph(gaps.reasons()[i], columns, fmt::format("({}) ", i + 1));
    for (const std::string& sentence : skipped_in_words(table))
        text += paragraph(sentence, columns);
}

void append_figures(std::string& text, const FigureTable& table, const Gaps& gaps) {
    const Stub stub(table.lines, table.pattern);
    std::size_t shown = 0;
    for (const Block& block : blocks_of(table, gaps, columns - std::min(columns, stub.width()))) {
        text += '\n';
        append_block(text, table.lines, stub, block);
        shown += block.size();
    }
    text += '\n';
    if (shown < table.columns.size()) text += "All sizes are in summary.md.\n";
}

/// A line per cell, and a column per step.
void append_lives(std::string& text, const FigureTable& table, const Gaps& gaps) {
    std::size_t cells = 0;
    for (const TableLine& line : table.lines) cells += line.cells.size();
    std::vector<TableLine> lines;
    std::vector<Column> steps{{"size", {}},          {"create", {}}, {"attach", {}},
                              {"first message", {}}, {"detach", {}}, {"destroy", {}},
                              {"faults", {}}};
    for (const TableLine& line : table.lines)
        for (std::size_t i = 0; i < line.cells.size(); ++i) {
            const CellSummary* const cell = line.cells[i];
            const bool middle = table.columns[i].size_bytes != 0 && i + 1 < line.cells.size() &&
                                i > 0 && table.columns[i - 1].size_bytes != 0;
            if (cell == nullptr || (cells > lives_max && middle)) continue;
            lines.push_back({line.mechanism, line.access, line.waiting, {cell}});
            steps[0].entries.push_back({heading_of(table.columns[i]), ""});
            const bool whole = has_figures(cell);
            const auto add = [&](std::size_t step, const Estimate& estimate) {
                steps[step].entries.push_back(
                    whole ? Entry{format_time_ns(estimate.median), spread_of(*cell, estimate)}
                          : Entry{});
            };
            add(1, create_of(*cell));
            if (!whole) steps[1].entries.back() = entry_of(line, i, gaps);
            add(2, attach_of(*cell));
            add(3, first_message_of(*cell));
            add(4, detach_of(*cell));
            add(5, destroy_of(*cell));
            steps[6].entries.push_back({whole ? faults_in_words(*cell) : "", ""});
        }
    const Stub stub(lines, table.pattern);
    for (const Block& block : in_blocks(steps, columns - std::min(columns, stub.width()))) {
        text += '\n';
        append_block(text, lines, stub, block);
    }
    text += '\n';
    if (lines.size() < cells && cells > lives_max) text += "All sizes are in summary.md.\n";
}

bool is_asked_for_more(const TableLine& line) {
    return std::any_of(line.cells.begin(), line.cells.end(), [](const CellSummary* cell) {
        return cell != nullptr && (cell->cell.capacity_bytes > 0 || cell->cell.batch_messages > 0 ||
                                   cell->cell.stores.has_value());
    });
}

/// Of a table with very many lines, those of the mechanisms as they are by default.
FigureTable what_fits(FigureTable table) {
    const bool all_asked = std::all_of(table.lines.begin(), table.lines.end(), is_asked_for_more);
    if (table.lines.size() > lines_max && !all_asked) std::erase_if(table.lines, is_asked_for_more);
    return table;
}

void append_table(std::string& text, const FigureTable& whole, const Summary& summary) {
    const FigureTable table = what_fits(whole);
    text += paragraph(title_of(table, summary), columns);
    text += paragraph(fmt::format("{}; ± is half the 95 % interval.", basis_of(table, summary)),
                      columns);
    const Gaps gaps(table);
    if (table.pattern == Pattern::lifecycle)
        append_lives(text, table, gaps);
    else
        append_figures(text, table, gaps);
    if (table.lines.size() < whole.lines.size())
        text += paragraph("For which a capacity, a batch or stores were asked, see summary.md.",
                          columns);
    append_notes(text, table, gaps);
}

}  // namespace

std::string terminal_table(const Summary& summary) {
    std::string text;
    for (const std::string& sentence : run_in_words(summary)) text += paragraph(sentence, columns);
    for (const FigureTable& table : tables_of(summary)) {
        text += '\n';
        append_table(text, table, summary);
    }
    if (summary.copy_or_map) text += terminal_report(*summary.copy_or_map);
    if (summary.multi_queue) text += terminal_report(*summary.multi_queue);
    const std::vector<std::string> warnings = warnings_of(summary);
    if (!warnings.empty()) text += "\nBefore you trust these figures:\n";
    for (const std::string& warning : warnings) text += paragraph(warning, columns, "- ");
    return text;
}

}  // namespace ipclab
