// What a run of copy-vs-map found, as a reader is told it.
#pragma once

#include "harness/copy_or_map/copy_or_map.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// For a terminal of 120 columns, in about a screen: the sentences, the crossings of the pipe, how
/// far the model agrees. The rest is on the page.
std::string terminal_report(const CopyOrMap& found);

/// All of it, as sections of a page.
std::string markdown_report(const CopyOrMap& found);

/// What a reader must know before trusting the figures, each ending in something to do.
std::vector<std::string> warnings_of(const CopyOrMap& found);

// ---- what both are made of ----

/// "one CPU, asleep while waiting"
std::string name_in_words(const Place& place);

/// "pipe", "receiver-remaps, k = 10", "persistent".
std::string name_in_words(const Transfer& transfer);

/// A line of a table of crossings.
struct CrossingLine {
    std::string copy;
    Way way = Way::receiver_remaps;
};

/// The messages per mapping that were measured at a place, in ascending order; never 0.
std::vector<std::uint64_t> reuses_at(const CopyOrMap& found, const Place& place);

/// The copies and ways of a place, those of `copy` alone where it is not empty.
std::vector<CrossingLine> crossing_lines(const CopyOrMap& found, const Place& place,
                                         const std::string& copy = "");

/// "47 KiB (41–55)", "always", "never", "~47 KiB" where the curves are nearly parallel.
std::string short_form(const Crossing& crossing);

/// "212 of 220 cells within 15 % (one CPU)"
std::string in_words(const Agreement& agreement);
/// "pipe, 64 KiB, one CPU, asleep while waiting: model 10 µs, measured 14 µs (-29 %); suspect:
/// copy out"
std::string miss_in_words(const TransferFinding& finding);
std::string in_words(const FalseAlarms& found);

/// How much of a message's time is the payload's, at 64 KiB or the next smaller size; empty where
/// nothing was stamped.
std::string payload_share_in_words(const CopyOrMap& found);

/// "+3 %"
std::string percent(double share);

/// The costs, as sections of a page.
std::string markdown_costs(const CopyOrMap& found);

/// What the costs leave open: "map/read-huge at 4 MiB: no huge pages are reserved".
std::vector<std::string> cost_gaps(const CopyOrMap& found);

inline constexpr std::string_view what_infinity_means =
    "k: for how many messages a mapping is used. k = ∞: of what maps anew, by the model; of a "
    "persistent mapping, measured.";

}  // namespace ipclab
