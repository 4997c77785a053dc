// What a run found out: run.jsonl turned into the figures that tables and reports show. Nothing
// else derives figures.
//
// The unit of statistics is the process pair. A figure is the median over a cell's pairs, and pairs
// are compared like with like: only undisturbed ones count, and of these only those in which the
// CPUs were as far apart as in most pairs of that placement. What is left out is counted and told.
#pragma once

#include "harness/cell.hpp"
#include "harness/run_file.hpp"
#include "harness/statistics.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ipclab {

/// A median over process pairs, and its 95 % interval where there are six pairs or more.
struct Estimate {
    double median = 0;
    std::optional<Interval> interval;
};

/// What one of the two processes spent per exchange. An exchange is a round trip of a ping-pong, or
/// one message of a stream.
struct SideCost {
    std::optional<double> cpu_ns;
    std::optional<double> voluntary_switches;
    std::optional<double> involuntary_switches;
    std::optional<double> minor_faults;
};

/// The steps of a life cycle, as run.jsonl names them. What both sides do, they do at the same
/// time.
struct LifeStep {
    std::string_view key;
    std::string_view words;
};
inline constexpr std::array<LifeStep, 7> life_steps{{
    {"create_ns", "create"},
    {"attach_initiator_ns", "attach, initiator"},
    {"attach_responder_ns", "attach, responder"},
    {"first_message_ns", "first message"},
    {"detach_initiator_ns", "detach, initiator"},
    {"detach_responder_ns", "detach, responder"},
    {"destroy_ns", "destroy"},
}};

/// Of round trips, in ns; a percentile for which there were too few samples is absent.
struct Tail {
    std::optional<double> p90;
    std::optional<double> p99;
    std::optional<double> p99_9;
    std::optional<double> max;
};

/// What an endpoint counted, per message of a stream, or per message there and its answer.
struct CounterFigure {
    std::string name;
    double per_message = 0;
};
/// Of initiator and responder, in the order in which the endpoint tells them.
using CounterFigures = std::array<std::vector<CounterFigure>, 2>;

/// Of each pair of counters "packets" and "cycles", "txpackets" and "txcycles" …, of which the
/// latter is not 0: what is before "packets", and the ratio.
std::vector<std::pair<std::string, double>>
packets_per_cycle(const std::vector<CounterFigure>& counters);

/// What one process pair found.
struct PairFigures {
    int round = 0;
    double exchanges = 0;
    double figure_ns = 0;  ///< the pair's median round trip, time per streamed message, or life
    Tail tail;
    std::array<double, life_steps.size()> life_ns{};  ///< of a life cycle, step by step
    std::optional<double> attach_faults;              ///< of a life cycle, both sides
    double stride = 1;                                ///< exchanges that each sample is the mean of
    double fragments = 1;
    std::array<SideCost, 2> sides;  ///< initiator, responder
    CounterFigures counters;
    std::optional<double> reference_ns;  ///< round trip of the reference, before and after
    bool outlier = false;                ///< flagged among the cell's pairs; it counts all the same
};

enum class CellState {
    measured,
    only_disturbed,  ///< its figures come from disturbed pairs, because there are no others
    other_distance,  ///< measured, but never with the CPUs as far apart as in the other cells
    failed,
    skipped,
};

/// Rows of a cell that are not in its figures.
struct LeftOut {
    std::size_t disturbed = 0;
    std::size_t other_distance = 0;  ///< the CPUs were not as far apart as in most rows, or moved
    std::size_t failed = 0;
    std::size_t skipped = 0;
};

struct CellSummary {
    std::string scenario;
    Cell cell;
    std::string variant;  ///< tells apart rows of one cell that differ in a setting: "touch=header"
    std::string waiting;  ///< "sleeps", "spins" …; "unknown" where nothing tells
    CellState state = CellState::measured;

    std::vector<PairFigures> pairs;  ///< those that count; empty where there is no figure
    Estimate figure_ns;  ///< round trip, not halved, time per message of a stream, or a life
    std::array<Estimate, life_steps.size()> life_ns;  ///< of a life cycle, step by step
    std::optional<double> attach_faults;              ///< of a life cycle, both sides; the median
    Estimate messages_per_s;                          ///< of a stream
    Estimate bytes_per_s;                             ///< of a stream
    Tail tail_ns;                                     ///< of a ping-pong: medians over the pairs
    std::optional<double> max_overall_ns;             ///< the longest round trip of all pairs
    std::array<SideCost, 2> sides;  ///< initiator, responder; medians over the pairs
    CounterFigures counters;        ///< medians over the pairs that count the same as the first
    std::size_t outliers = 0;       ///< pairs flagged; none is dropped
    double stride_min = 1;
    double stride_max = 1;
    double fragments = 1;                  ///< pieces that a message travels in
    std::optional<double> capacity_bytes;  ///< found: unread payload before a sender waits
    std::optional<double> publish_every;
    std::optional<std::string> stores;    ///< "plain" or "non-temporal", as they were
    std::optional<std::string> bound_by;  ///< "fill" or "check", where that bounds most pairs
    bool closed_loop = false;
    std::string distance;                ///< the reference's class
    std::optional<double> reference_ns;  ///< median round trip of the reference beside these pairs

    LeftOut left_out;
    std::vector<std::string> reasons;  ///< of failed and skipped rows, each text once

    [[nodiscard]] bool has_figures() const { return !pairs.empty(); }
};

/// How far apart the two processes' CPUs were.
struct PlacementSummary {
    std::string distance;  ///< the class that most undisturbed rows have: "shared L3", "far" …
    std::string reference_kind;          ///< "cache_line" or "context_switch"
    std::optional<double> reference_ns;  ///< median round trip over the rows of that class
    std::map<std::string, std::size_t> other_distances;  ///< rows left out by their class
};

struct CopyOrMap;
struct MultiQueue;

struct Summary {
    nlohmann::ordered_json context;
    std::vector<CellSummary> cells;  ///< by scenario, pattern, placement, waiting, mechanism, size
    std::map<Placement, PlacementSummary> placements;
    std::shared_ptr<const CopyOrMap> copy_or_map;   ///< of a run with costs or transfers; else null
    std::shared_ptr<const MultiQueue> multi_queue;  ///< of a run with such rows; else null
    std::size_t rows = 0;                           ///< of all types
    std::optional<std::string> stopped_by;          ///< absent where the run was killed
    std::optional<double> elapsed_s;
    bool torn_tail = false;
    bool kept_awake = false;  ///< CPUs were kept from halting
    bool raised = false;      ///< the processes' autogroup came before other sessions'
};

/// Throws RunFileError, which names the line of run.jsonl, for a row that lacks what its status
/// promises.
Summary summarise(const RecordedRun& run);

/// What a reader must know before trusting the figures, one sentence or two each, that end in
/// something to do.
std::vector<std::string> warnings_of(const Summary& summary);

/// For a terminal of 120 columns.
std::string terminal_table(const Summary& summary);

/// A page that identifies the run when it is mailed alone.
std::string markdown_table(const Summary& summary);

/// Google Benchmark's JSON (of version 1.7.1), for the tools that read it: an "iteration" per
/// process pair, whose real_time is the pair's figure, and a "median" per cell; counters are extra
/// keys. cpu_time is of both processes.
nlohmann::ordered_json benchmark_json(const Summary& summary);

/// Reads run.jsonl in the folder, and writes summary.json and summary.md there (of a run with
/// costs or transfers copy-or-map.json as well), each whole or not at all. Throws RunFileError.
void write_summaries(const std::filesystem::path& results);

/// Prints the table of run.jsonl in the folder, and derives copy-or-map.json anew where the run has
/// what it takes. Returns the program's exit status, 0. Throws
/// RunFileError, one line that says what to name instead.
int print_report(const std::filesystem::path& results);

}  // namespace ipclab
