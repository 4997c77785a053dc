// What the terminal's tables and the page's tables have in common: which cells stand where, and how
// a figure, a gap or a mark is put in words.
#pragma once

#include "harness/summary.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

struct TableLine {
    std::string mechanism;  ///< with the variant, where there is one
    Access access = Access::copy;
    std::string waiting;
    std::vector<const CellSummary*> cells;  ///< by the table's columns; null where there is no row
};

struct TableColumn {
    std::size_t size_bytes = 0;  ///< 0: of what carries no payload
    std::optional<std::size_t>
        capacity_bytes;  ///< where the columns are capacities; 0: the default
};

/// One scenario, pattern and placement. Points into the summary.
struct FigureTable {
    std::string scenario;
    Pattern pattern = Pattern::ping_pong;
    Placement placement = Placement::two_cpus;
    std::vector<TableColumn> columns;  ///< sizes; capacities where there is one size and several
    std::vector<TableLine> lines;      ///< those that wait in the same way are neighbours
    std::vector<TableLine> skipped;    ///< those of which no cell was measured, each for a reason
    bool whole = true;  ///< the run came to its end, so a cell without a row was not asked for
};
std::vector<FigureTable> tables_of(const Summary& summary);

/// "latency, throughput"
std::string scenarios_of(const Summary& summary);
/// What was run, on which machine, and how it ended: a sentence or two each.
std::vector<std::string> run_in_words(const Summary& summary);

std::string_view in_words(Access access);
std::string in_words(Placement placement, const Summary& summary);
std::string_view exchange_of(Pattern pattern);  ///< "round trip" or "message"
/// "quick: round trip there and back (ping_pong), on two CPUs (0, 1)"
std::string title_of(const FigureTable& table, const Summary& summary);
/// How far the CPUs were apart, and "n = 7 to 12 process pairs".
std::string basis_of(const FigureTable& table, const Summary& summary);

/// "4 KiB", "no payload", or "64 KiB" and "default" of capacities.
std::string heading_of(const TableColumn& column);
std::string size_in_words(std::size_t size_bytes);
/// Which of both sides takes longer in a step that both take at once.
const Estimate& attach_of(const CellSummary& cell);
const Estimate& detach_of(const CellSummary& cell);
inline const Estimate& create_of(const CellSummary& cell) { return cell.life_ns[0]; }
inline const Estimate& first_message_of(const CellSummary& cell) { return cell.life_ns[3]; }
inline const Estimate& destroy_of(const CellSummary& cell) { return cell.life_ns[6]; }

/// Streams of small messages are told in messages per second, all others in bytes per second.
const Estimate& shown_estimate(const CellSummary& cell);
std::string in_unit(const CellSummary& cell, double value);
/// "±3 %": half of the interval, of the median; "n=4" where there are too few pairs for one.
std::string spread_of(const CellSummary& cell);
std::string spread_of(const CellSummary& cell, const Estimate& estimate);
/// "*", "d", "~", "×9", one after the other.
std::string marks_of(const CellSummary& cell);
/// A sentence for each mark that the table has.
std::vector<std::string> legend_of(const FigureTable& table);

/// "10.7+11.2 µs": CPU time per exchange of initiator and responder.
std::string cpu_in_words(const CellSummary* cell);
/// "2058, 17": page faults of both sides, of attaching and of the first message.
std::string faults_in_words(const CellSummary& cell);
/// The column in which most lines have CPU times; of several, the one nearest to 64 B.
std::optional<std::size_t> cpu_column(const FigureTable& table);

/// Why there is no figure, each reason with a number.
class Gaps {
  public:
    explicit Gaps(const FigureTable& table);
    /// Of a cell of the table that has no figures, from 1; nothing where none was asked for.
    [[nodiscard]] std::optional<std::size_t> number_of(const TableLine& line,
                                                       std::size_t column) const;
    [[nodiscard]] const std::vector<std::string>& reasons() const { return reasons_; }

  private:
    const FigureTable& table_;
    std::vector<std::string> reasons_;
};
/// "Not measured: signal copy, eventfd copy (why).", a sentence for each reason.
std::vector<std::string> skipped_in_words(const FigureTable& table);
/// "failed", or a dash for any other gap.
std::string_view gap_in_words(const CellSummary* cell);
inline bool has_figures(const CellSummary* cell) { return cell != nullptr && cell->has_figures(); }

}  // namespace ipclab
