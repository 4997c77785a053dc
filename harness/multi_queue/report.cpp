// What a run of multi-queue found, as a reader is told it.
#include "harness/markdown.hpp"
#include "harness/multi_queue/findings.hpp"
#include "harness/quantity.hpp"
#include "harness/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace ipclab {
namespace {

constexpr std::size_t columns = 120;

using Strings = std::vector<std::string>;

constexpr std::string_view what_it_is =
    "A stream of packets over the queues of one memif interface, two processes on two CPUs; the "
    "sender's packets go to whichever queue has room. One thread looks at all queues in turn, or "
    "each queue has a thread; the threads of a process share its CPU, and a polling one that finds "
    "nothing lets the others go first. Every packet is copied in and out, filled and checked. "
    "Fair: "
    "packets of the queue that carried the fewest as a share of those of the one that carried the "
    "most.";

std::string threads_in_words(QueueThreads threads) {
    return threads == QueueThreads::one ? "one thread" : "a thread per queue";
}

std::string fairness_in_words(const QueueFinding& finding) {
    return finding.cell.queues > 1 ? fmt::format("fair {:.2f}", finding.fairness) : "";
}

std::string marks_of(const QueueFinding& finding) {
    return fmt::format("{}{}", finding.is_bound ? "*" : "",
                       finding.state == CellState::only_disturbed ? "d" : "");
}

/// "failed", "skipped": what stands in a figure's place.
std::string gap_in_words(const QueueFinding& finding) {
    return finding.state == CellState::failed ? "failed" : "skipped";
}

std::string spread_of(const Estimate& estimate, std::size_t pairs) {
    if (!estimate.interval) return fmt::format("n={}", pairs);
    return fmt::format("±{:.0f} %", 100 * estimate.interval->half_width() / estimate.median);
}

/// The lines of one table: one size, by burst, mode and threads; its columns are the queues.
struct Table {
    std::size_t size_bytes = 0;
    std::set<std::size_t> queues;
    std::vector<const QueueFinding*> findings;
};

std::vector<Table> tables_of(const MultiQueue& found) {
    std::vector<Table> tables;
    for (const QueueFinding& finding : found.findings) {
        if (tables.empty() || tables.back().size_bytes != finding.cell.size_bytes)
            tables.push_back({finding.cell.size_bytes, {}, {}});
        tables.back().queues.insert(finding.cell.queues);
        tables.back().findings.push_back(&finding);
    }
    return tables;
}

bool on_one_line(const QueueCell& a, const QueueCell& b) {
    return a.burst == b.burst && a.mode == b.mode && a.threads == b.threads;
}

/// Calls `line(first finding, the line's finding or nullptr by queues)` for each.
void for_each_line(const Table& table, auto&& line) {
    for (auto first = table.findings.begin(); first != table.findings.end();) {
        const auto last = std::find_if(first, table.findings.end(), [&](const auto* finding) {
            return !on_one_line((*first)->cell, finding->cell);
        });
        std::vector<const QueueFinding*> by_queues;
        for (const std::size_t queues : table.queues) {
            const auto found = std::find_if(
                first, last, [&](const auto* finding) { return finding->cell.queues == queues; });
            by_queues.push_back(found == last ? nullptr : *found);
        }
        line(**first, by_queues);
        first = last;
    }
}

std::string queues_in_words(std::size_t queues) {
    return fmt::format("{} queue{}", queues, queues == 1 ? "" : "s");
}

void append_terminal_table(std::string& text, const Table& table) {
    text += fmt::format("\nPackets of {} a second\n", format_size(table.size_bytes));
    Strings header{"  bursts", "mode", "threads"};
    for (const std::size_t queues : table.queues) header.push_back(queues_in_words(queues));
    std::vector<Strings> rows{header};
    for_each_line(table, [&](const QueueFinding& first, const auto& by_queues) {
        Strings row{fmt::format("  of {}", first.cell.burst), std::string(name_of(first.cell.mode)),
                    threads_in_words(first.cell.threads)};
        for (const QueueFinding* finding : by_queues)
            row.push_back(finding == nullptr ? ""
                          : finding->pairs == 0
                              ? gap_in_words(*finding)
                              : fmt::format("{}{} {} {}",
                                            format_messages_per_s(finding->packets_per_s.median),
                                            marks_of(*finding),
                                            spread_of(finding->packets_per_s, finding->pairs),
                                            fairness_in_words(*finding)));
        rows.push_back(row);
    });
    text += in_columns(rows);
}

std::string cpu_in_words(const QueueFinding& finding) {
    const auto time = [](const std::optional<double>& ns) {
        return ns ? format_time_ns(*ns) : std::string("–");
    };
    return fmt::format("{} + {}", time(finding.cpu_ns[0]), time(finding.cpu_ns[1]));
}

Strings markdown_line(const QueueFinding& finding) {
    Strings row{fmt::format("{}", finding.cell.burst), std::string(name_of(finding.cell.mode)),
                threads_in_words(finding.cell.threads), fmt::format("{}", finding.cell.queues)};
    if (finding.pairs == 0) {
        row.push_back(markdown_cell(fmt::format("{}: {}", gap_in_words(finding), finding.reason)));
        row.insert(row.end(), {"", "", "", "0"});
        return row;
    }
    const Estimate& rate = finding.packets_per_s;
    const std::string interval =
        rate.interval ? fmt::format(" [{}, {}]", format_messages_per_s(rate.interval->low),
                                    format_messages_per_s(rate.interval->high))
                      : "";
    const std::string marks = marks_of(finding);
    row.push_back(markdown_cell(fmt::format("{}{}{}{}", format_messages_per_s(rate.median),
                                            interval, marks.empty() ? "" : " ", marks)));
    row.push_back(format_bytes_per_s(finding.bytes_per_s.median));
    row.push_back(finding.cell.queues > 1 ? fmt::format("{:.2f}", finding.fairness) : "–");
    row.push_back(cpu_in_words(finding));
    row.push_back(fmt::format("{}", finding.pairs));
    return row;
}

constexpr std::string_view what_marks_mean =
    "* bounded by filling or checking the payload, not by memif. d: from disturbed pairs, for want "
    "of others.";

std::size_t cells_where(const MultiQueue& found, auto&& test) {
    return static_cast<std::size_t>(
        std::count_if(found.findings.begin(), found.findings.end(), test));
}

bool has_marks(const MultiQueue& found) {
    return cells_where(found, [](const QueueFinding& f) { return !marks_of(f).empty(); }) > 0;
}

}  // namespace

std::string terminal_report(const MultiQueue& found) {
    std::string text = "\n";
    text += paragraph(fmt::format("multi-queue. {} CPUs: {}. ±: half the 95 % interval of the "
                                  "median over process pairs.",
                                  what_it_is, found.distance),
                      columns);
    for (const Table& table : tables_of(found)) append_terminal_table(text, table);
    if (has_marks(found)) text += paragraph(what_marks_mean, columns);
    text += "Bytes a second and CPU times are in summary.md.\n";
    return text;
}

std::string markdown_report(const MultiQueue& found) {
    std::string text = "## multi-queue\n\n";
    text += fmt::format("{} CPUs: {}. CPU time is per packet, sender + receiver. Medians over the "
                        "pairs, with 95 % intervals [low, high].\n\n",
                        what_it_is, markdown_cell(found.distance));
    for (const Table& table : tables_of(found)) {
        text += fmt::format("### Packets of {}\n\n", format_size(table.size_bytes));
        append_markdown_header(text, {"burst", "mode", "threads", "queues", "packets a second",
                                      "bytes a second", "fair", "CPU time", "n"});
        for (const QueueFinding* finding : table.findings)
            append_markdown_row(text, markdown_line(*finding));
        text += '\n';
    }
    if (has_marks(found)) text += fmt::format("{}\n\n", markdown_cell(what_marks_mean));
    return text;
}

std::vector<std::string> warnings_of(const MultiQueue& found) {
    std::vector<std::string> warnings;
    std::size_t failed = 0;
    std::size_t disturbed = 0;
    for (const QueueFinding& finding : found.findings) {
        failed += finding.left_out.failed;
        disturbed += finding.left_out.disturbed;
    }
    if (failed > 0) {
        const auto first =
            std::find_if(found.findings.begin(), found.findings.end(),
                         [](const QueueFinding& f) { return f.left_out.failed > 0; });
        warnings.push_back(fmt::format("{} row{} of multi-queue failed, first with {} ({}). Run it "
                                       "again and see whether it does so again.",
                                       failed, failed == 1 ? "" : "s",
                                       queues_in_words(first->cell.queues), first->reason));
    }
    const std::size_t only = cells_where(
        found, [](const QueueFinding& f) { return f.state == CellState::only_disturbed; });
    if (disturbed + only > 0)
        warnings.push_back(fmt::format(
            "Of multi-queue, {} disturbed rows do not count, and {} cells are shown from disturbed "
            "rows, for want of others (d). Stop other work on this machine and run again; `ipclab "
            "doctor` says what disturbs it.",
            disturbed, only));
    const std::size_t bound = cells_where(found, [](const QueueFinding& f) { return f.is_bound; });
    if (bound > 0)
        warnings.push_back(fmt::format("{} cells of multi-queue are bounded by writing or checking "
                                       "the payload (*): compare queues by the others.",
                                       bound));
    return warnings;
}

}  // namespace ipclab
