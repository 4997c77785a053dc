// A scenario: one question, asked in a TOML file, as a list of cells and of how long to measure.
#pragma once

#include "harness/cell.hpp"
#include "harness/payload.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// "FILE:LINE:COLUMN: what is wrong; what would be right".
struct ScenarioError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Scenario {
    std::string name;      ///< the file's stem
    std::string question;  ///< the file's first comment
    std::vector<std::string>
        mechanisms;  ///< names and globs; "spsc-ring" stands for "spsc-ring/*" as well
    std::vector<Pattern> patterns;
    std::vector<std::size_t> sizes_bytes;
    std::vector<Access> access;
    std::vector<Placement> placements;
    int rounds_max = 0;                 ///< process pairs a cell, at most
    std::chrono::nanoseconds batch{};   ///< how long one pair is measured
    std::chrono::nanoseconds budget{};  ///< for the whole scenario
    double interval_width_target = 0;   ///< of the median: a cell narrower than this is done
    Touch touch = Touch::all;           ///< `header` is for lessons
    bool pure_spin_on_one_cpu = false;  ///< likewise: a waiter that uses up its time slice
};

/// Of a message, in every scenario and option.
inline constexpr std::size_t size_limit_bytes = std::size_t{64} << 20;

/// "4 KiB" → 4096. Throws BadQuantity for what is no size, or one below 1 B or above 64 MiB.
std::size_t parse_message_size(std::string_view text);

/// `unknown KIND "WORD"; did you mean NAME?`, or the names that are known where none is near.
std::string unknown(std::string_view kind, std::string_view word,
                    const std::vector<std::string>& names);

/// Reads `file`; with `quick`, its [quick] table takes the place of what it names. Throws
/// ScenarioError.
Scenario read_scenario(const std::filesystem::path& file, bool quick);

/// "latency" is scenarios/latency.toml of the source tree; anything with a slash or ".toml" is a
/// path. Throws std::invalid_argument that names the nearest scenario for a word that is none.
std::filesystem::path find_scenario(const std::string& word);

/// The catalogue's mechanisms that one of the names or globs means, in the catalogue's order.
/// Throws std::invalid_argument that names the nearest mechanism when one of them means none.
std::vector<std::string> match_mechanisms(const std::vector<std::string>& names);

/// All cells: mechanisms × patterns × sizes × access × placements, less those that make no sense
/// for the mechanism (there is nothing to lend `in_place` where it only copies).
std::vector<Cell> cells_of(const Scenario& scenario);

}  // namespace ipclab
