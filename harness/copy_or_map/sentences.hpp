// What a run of copy-vs-map found, in words that can be quoted.
#pragma once

#include "harness/copy_or_map/copy_or_map.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// One or two for each place that has a crossing, whole and quotable: "On this machine, now, with
/// both processes on one CPU and asleep while they wait: below 47 KiB (41 to 55 KiB) copying
/// through a pipe beats mapping anew for each message; …". Against the pipe, where one was
/// measured.
std::vector<std::string> sentences_of(const CopyOrMap& found);

/// "with both processes on one CPU and asleep while they wait"
std::string in_words(const Place& place);

/// The copying mechanism that the sentences are about; empty where none was measured there.
std::string first_copy_of(const CopyOrMap& found, const Place& place);

/// The measured crossing, or nothing.
const CrossingFinding* crossing_of(const CopyOrMap& found, const Place& place,
                                   const std::string& copy, Way way,
                                   std::optional<std::uint64_t> messages_per_mapping,
                                   bool from_model = false);

/// "wins from 47 KiB on (41 to 55 KiB)", for what maps.
std::string predicate_of(const Crossing& crossing);

/// "(41 to 55 KiB)", "(at most 55 KiB; nearly parallel, so a rough size)"; empty where there is
/// nothing to say.
std::string interval_in_words(const Crossing& crossing);

}  // namespace ipclab
