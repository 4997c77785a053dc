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
    std::vector<const CellSummary*> cells;  ///< by the table's sizes; null where not measured yet
};

/// One scenario, pattern and placement. Points into the summary.
struct FigureTable {
    std::string scenario;
    Pattern pattern = Pattern::ping_pong;
    Placement placement = Placement::two_cpus;
    std::vector<std::size_t> sizes_bytes;  ///< ascending
    std::vector<TableLine> lines;          ///< those that wait in the same way are neighbours
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

/// Streams of small messages are told in messages per second, all others in bytes per second.
const Estimate& shown_estimate(const CellSummary& cell);
std::string in_unit(const CellSummary& cell, double value);
/// "±3 %": half of the interval, of the median; "n=4" where there are too few pairs for one.
std::string spread_of(const CellSummary& cell);
/// "*", "d", "~", "×9", one after the other.
std::string marks_of(const CellSummary& cell);
/// A sentence for each mark that the table has.
std::vector<std::string> legend_of(const FigureTable& table);

/// "10.7+11.2 µs": CPU time per exchange of initiator and responder.
std::string cpu_in_words(const CellSummary* cell);
/// The size at which most lines have CPU times; of several, the one nearest to 64 B.
std::optional<std::size_t> cpu_column(const FigureTable& table);

/// Why there is no figure, each reason with a number.
class Gaps {
  public:
    explicit Gaps(const FigureTable& table);
    /// Of a cell of the table that has no figures; from 1.
    [[nodiscard]] std::size_t number_of(const CellSummary* cell) const;
    [[nodiscard]] const std::vector<std::string>& reasons() const { return reasons_; }

  private:
    std::vector<std::string> reasons_;
};
/// "failed", or a dash for any other gap.
std::string_view gap_in_words(const CellSummary* cell);
inline bool has_figures(const CellSummary* cell) { return cell != nullptr && cell->has_figures(); }

}  // namespace ipclab
