// Whether two things that were measured side by side differ.
#pragma once

#include "harness/statistics.hpp"

#include <cstddef>
#include <map>
#include <optional>

namespace ipclab {

/// Values in ns by the round in which they were measured.
using ByRound = std::map<int, double>;

struct Comparison {
    std::size_t pairs = 0;             ///< rounds that have both
    double ratio = 1;                  ///< the median over the rounds of b / a
    std::optional<Interval> interval;  ///< of that median; none for fewer than six pairs
    bool differs = false;              ///< at the 5 % level: 1 lies outside the interval
};

/// Compares round by round, so that what slows a whole round down slows both.
///
/// The interval runs from the d-th smallest ratio to the d-th largest, d as large as 95 % allow:
/// with n pairs the median of what the ratios are drawn from lies below the d-th with the
/// probability that a fair coin thrown n times shows heads fewer than d times. That holds for every
/// continuous distribution, whatever its shape (David and Nagaraja, "Order Statistics", 2003, 7.1),
/// and is the sign test turned round (Dixon and Mood, "The Statistical Sign Test", Journal of the
/// American Statistical Association 41, 1946). So the level is never above 5 %: with 12 pairs, the
/// 3rd and the 10th, it is 3.9 %.
Comparison compare(const ByRound& a, const ByRound& b);

/// d for that many pairs; 0 for fewer than six, which decide nothing.
std::size_t rank_of_interval_end(std::size_t pairs);

/// How many of so many comparisons of like with like may be false alarms: the smallest number that
/// a test whose level is 5 % exceeds in at most one series of fifty; 17 of 200.
std::size_t false_alarms_allowed(std::size_t comparisons);

}  // namespace ipclab
