// Quantities as people write them, read and written: "64 B", "4 KiB", "250 ms", "5 %". A space
// before the unit is optional. Every parser throws BadQuantity, whose one line says what was wrong
// and what would be right.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

struct BadQuantity : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

/// Bytes, at least 1: a whole number alone, or with B, KiB, MiB or GiB.
std::uint64_t parse_size(std::string_view text);

/// More than zero: a number, decimals allowed, with ns, us (or µs), ms, s or min; to the nearest
/// nanosecond.
std::chrono::nanoseconds parse_duration(std::string_view text);

/// A share, more than 0 and at most 1: a number with %, decimals allowed. "5 %" is 0.05.
double parse_percent(std::string_view text);

/// In the largest unit that divides the size, so that nothing is rounded and parse_size reads the
/// same size back: "64 B", "4 KiB", "65528 B".
std::string format_size(std::uint64_t bytes);

/// So many significant digits, in the largest unit of which there is one at least: "47 KiB",
/// "1.3 MiB".
std::string format_size_about(double bytes, int digits = 2);

/// Three significant digits, trailing zeros dropped: "184 ns", "4.52 µs", "1.2 ms".
std::string format_time_ns(double time_ns);

/// Three significant digits and a decimal prefix: "8.51 GB/s" (10⁹ bytes), "12.3 M/s".
std::string format_bytes_per_s(double bytes_per_s);
std::string format_messages_per_s(double messages_per_s);

/// The candidate that somebody who wrote `word` most likely meant; the first of equals. Near is a
/// name that at most a third of the letters of the longer one (but always one) set apart: inserted,
/// dropped, changed or swapped with a neighbour, capitals ignored (Damerau's distance, "optimal
/// string alignment"); failing that, a name that holds the word. Nothing where nothing is near.
std::optional<std::string> nearest_name(std::string_view word,
                                        const std::vector<std::string>& candidates);

}  // namespace ipclab
