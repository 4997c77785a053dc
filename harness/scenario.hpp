// A scenario: one question, asked in a TOML file, as a list of cells and of how long to measure.
#pragma once

#include "harness/cell.hpp"
#include "harness/multi_queue/cell.hpp"
#include "harness/payload.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// "FILE:LINE:COLUMN: what is wrong; what would be right".
struct ScenarioError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What is combined with what.
struct CellGroup {
    std::vector<std::string> mechanisms;  ///< names and globs; "spsc-ring" stands for "spsc-ring/*"
    std::vector<Pattern> patterns;
    std::vector<std::size_t> sizes_bytes;
    std::vector<std::size_t> capacities_bytes{0};             ///< 0: the mechanism's default
    std::vector<std::size_t> batches_messages{0};             ///< likewise
    std::vector<std::optional<Stores>> stores{std::nullopt};  ///< likewise
    std::vector<Access> access;
    std::vector<Placement> placements;
};

/// What is measured: each cell by itself; whole transfers and the costs of their steps, as
/// copy_or_map/ has them; or several queues of one memif interface, as multi_queue/ has them.
enum class Experiment { cells, copy_vs_map, multi_queue };
constexpr std::string_view name_of(Experiment experiment) {
    switch (experiment) {
    case Experiment::cells:
        return "cells";
    case Experiment::copy_vs_map:
        return "copy-vs-map";
    case Experiment::multi_queue:
        break;
    }
    return "multi-queue";
}

/// A file has the keys of one group, or, where different questions need different sizes, several
/// tables [[measure]], whose keys take the place of those above them.
struct Scenario : CellGroup {
    std::string name;                   ///< the file's stem
    std::string question;               ///< the file's first comment
    std::vector<CellGroup> measures;    ///< where there are any, they are measured and nothing else
    int rounds_max = 0;                 ///< process pairs a cell, at most
    std::chrono::nanoseconds batch{};   ///< how long one pair is measured
    std::chrono::nanoseconds budget{};  ///< for the whole scenario
    double interval_width_target = 0;   ///< of the median: a cell narrower than this is done
    Touch touch = Touch::all;           ///< `header` is for lessons
    bool pure_spin_on_one_cpu = false;  ///< likewise: a waiter that uses up its time slice

    /// copy_vs_map has mechanisms that copy, sizes and placements, and these two instead of
    /// patterns, access, capacities and measures.
    Experiment experiment = Experiment::cells;
    std::vector<std::uint64_t> messages_per_mapping{};
    bool a_a = false;  ///< each transfer under two names, and no costs

    /// multi_queue has sizes, and this instead of all else that a group has.
    QueueGrid queue_grid{};
};

/// Of a message, in every scenario and option.
inline constexpr std::size_t size_limit_bytes = std::size_t{64} << 20;
inline constexpr std::size_t batch_limit_messages = 4096;

/// "4 KiB" → 4096. Throws BadQuantity for what is no size, or one below 1 B or above 64 MiB.
std::size_t parse_message_size(std::string_view text);

/// As that, and "default" → 0.
std::size_t parse_capacity(std::string_view text);

/// "8" → 8, "default" → 0. Throws BadQuantity for what is no whole number, or is below 1 or above
/// batch_limit_messages.
std::size_t parse_batch(std::string_view text);

/// "plain", "non-temporal", and "default" → nothing. Throws BadQuantity for any other word.
std::optional<Stores> parse_stores(std::string_view text);

/// `unknown KIND "WORD"; did you mean NAME?`, or the names that are known where none is near.
std::string unknown(std::string_view kind, std::string_view word,
                    const std::vector<std::string>& names);

/// Reads `file`; with `quick`, its [quick] table takes the place of what it names, and
/// [[quick.measure]] that of all [[measure]]. Throws ScenarioError.
Scenario read_scenario(const std::filesystem::path& file, bool quick);

/// "latency" is scenarios/latency.toml of the source tree; anything with a slash or ".toml" is a
/// path. Throws std::invalid_argument that names the nearest scenario for a word that is none.
std::filesystem::path find_scenario(const std::string& word);

/// The catalogue's mechanisms that one of the names or globs means, in the catalogue's order.
/// Throws std::invalid_argument that names the nearest mechanism when one of them means none.
std::vector<std::string> match_mechanisms(const std::vector<std::string>& names);

/// What takes the place of what a scenario says; an empty list changes nothing.
struct Instead {
    std::vector<std::string> mechanisms{};
    std::vector<std::size_t> sizes_bytes{};
    std::vector<std::size_t> capacities_bytes{};
    std::vector<std::size_t> batches_messages{};
    std::vector<std::optional<Stores>> stores{};
};

/// Leaves of each of the scenario's groups, and of an experiment, only the mechanisms that are
/// named (all that are named, where it has but one group of cells), and gives all groups those
/// sizes, capacities, batches and stores.
void narrow(Scenario& scenario, const Instead& instead);

/// All cells of a scenario that is no experiment, each once: mechanisms × patterns × sizes ×
/// capacities × batches × stores × access × placements, less those that make no sense for the
/// mechanism: there is nothing to lend `in_place` where it only copies, and no choice of stores
/// where its sender does; what carries no payload has no size, no room for payload, and no batches.
/// A life is lived in the mechanism's own dialect, in_place, where that is asked for and it lends,
/// and has but one message, so that it has no batches either.
std::vector<Cell> cells_of(const Scenario& scenario);

}  // namespace ipclab
