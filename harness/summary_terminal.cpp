#include "harness/quantity.hpp"
#include "harness/summary_tables.hpp"
#include "harness/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace ipclab {
namespace {

constexpr std::size_t columns = 120;
constexpr std::size_t gap = 2;     // between two columns of a table
constexpr std::size_t indent = 2;  // of a mechanism under the way in which it waits

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

Entry entry_of(const CellSummary* cell, const Gaps& gaps) {
    if (!has_figures(cell))
        return {std::string(gap_in_words(cell)), fmt::format("({})", gaps.number_of(cell))};
    const std::string marks = marks_of(*cell);
    return {in_unit(*cell, shown_estimate(*cell).median),
            fmt::format("{}{}{}", spread_of(*cell), marks.empty() ? "" : " ", marks)};
}

std::vector<Column> figure_columns(const FigureTable& table, const Gaps& gaps) {
    std::vector<Column> made;
    for (std::size_t i = 0; i < table.sizes_bytes.size(); ++i) {
        Column column{format_size(table.sizes_bytes[i]), {}};
        for (const TableLine& line : table.lines)
            column.entries.push_back(entry_of(line.cells[i], gaps));
        made.push_back(std::move(column));
    }
    return made;
}

Column cpu_column_at(const FigureTable& table, std::size_t index) {
    Column column{fmt::format("CPU at {}", format_size(table.sizes_bytes[index])), {}};
    for (const TableLine& line : table.lines)
        column.entries.push_back({cpu_in_words(line.cells[index]), ""});
    return column;
}

/// What stands left of the figures.
struct Stub {
    std::size_t mechanism_width = width_of("mechanism");
    std::size_t access_width = width_of("in place");

    explicit Stub(const FigureTable& table) {
        for (const TableLine& line : table.lines)
            mechanism_width = std::max(mechanism_width, width_of(line.mechanism));
        mechanism_width += indent;
    }
    [[nodiscard]] std::size_t width() const { return mechanism_width + gap + access_width; }
    [[nodiscard]] std::string text(std::string_view mechanism, std::string_view access) const {
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

/// CPU time at one size stands beside the figures. Where that would take a block more, the block is
/// used for CPU time at all sizes.
std::vector<Block> blocks_of(const FigureTable& table, const Gaps& gaps, std::size_t room) {
    std::vector<Column> figures = figure_columns(table, gaps);
    std::vector<Block> without_cpu = in_blocks(figures, room);
    const auto cpu_at = cpu_column(table);
    if (!cpu_at) return without_cpu;
    std::vector<Column> cpu;
    for (std::size_t i = 0; i < table.sizes_bytes.size(); ++i)
        cpu.push_back(cpu_column_at(table, i));
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

void append_block(std::string& text, const FigureTable& table, const Stub& stub,
                  const Block& block) {
    std::string header = stub.text("mechanism", "access");
    for (const Column& column : block) {
        const std::string title = flush_right(column.header, column.value_width());
        header.append(gap, ' ').append(flush_left(title, column.width()));
    }
    append_line(text, header);

    for (std::size_t i = 0; i < table.lines.size(); ++i) {
        const TableLine& line = table.lines[i];
        if (i == 0 || table.lines[i - 1].waiting != line.waiting)
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
    if (cpu_column(table))
        notes +=
            fmt::format("CPU: time of initiator + responder per {}. ", exchange_of(table.pattern));
    if (waits_differ(table))
        notes += "Compare what waits in the same way: who spins is fast, and keeps a CPU busy.";
    if (!notes.empty()) text += paragraph(notes, columns);
    for (std::size_t i = 0; i < gaps.reasons().size(); ++i)
        text += paragraph(gaps.reasons()[i], columns, fmt::format("({}) ", i + 1));
}

void append_table(std::string& text, const FigureTable& table, const Summary& summary) {
    text += paragraph(title_of(table, summary), columns);
    text += paragraph(fmt::format("{}; ± is half the 95 % interval.", basis_of(table, summary)),
                      columns);
    const Gaps gaps(table);
    const Stub stub(table);
    for (const Block& block : blocks_of(table, gaps, columns - std::min(columns, stub.width()))) {
        text += '\n';
        append_block(text, table, stub, block);
    }
    text += '\n';
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
    const std::vector<std::string> warnings = warnings_of(summary);
    if (!warnings.empty()) text += "\nBefore you trust these figures:\n";
    for (const std::string& warning : warnings) text += paragraph(warning, columns, "- ");
    return text;
}

}  // namespace ipclab
