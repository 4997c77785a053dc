#include "harness/copy_or_map/comparison.hpp"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <vector>

namespace ipclab {
namespace {

using Binomial = boost::math::binomial_distribution<>;

constexpr double level = 0.05;
constexpr double series_too_many = 0.02;

}  // namespace

std::size_t rank_of_interval_end(std::size_t pairs) {
    if (pairs == 0) return 0;
    const Binomial heads(static_cast<double>(pairs), 0.5);
    std::size_t rank = 0;  // fewer than `rank` heads are unlikely enough
    while (2 * boost::math::cdf(heads, static_cast<double>(rank)) <= level) ++rank;
    return rank;
}

Comparison compare(const ByRound& a, const ByRound& b) {
    std::vector<double> logs;
    for (const auto& [round, value] : a)
        if (const auto other = b.find(round); other != b.end())
            logs.push_back(std::log(other->second / value));
    Comparison comparison;
    comparison.pairs = logs.size();
    if (logs.empty()) return comparison;
    comparison.ratio = std::exp(median(logs));
    const std::size_t rank = rank_of_interval_end(logs.size());
    if (rank == 0) return comparison;
    std::sort(logs.begin(), logs.end());
    const double low = logs[rank - 1];
    const double high = logs[logs.size() - rank];
    comparison.interval = Interval{std::exp(low), std::exp(high)};
    comparison.differs = low > 0 || high < 0;
    return comparison;
}

std::size_t false_alarms_allowed(std::size_t comparisons) {
    const Binomial alarms(static_cast<double>(comparisons), level);
    std::size_t allowed = 0;
    while (allowed < comparisons && boost::math::cdf(boost::math::complement(
                                        alarms, static_cast<double>(allowed))) > series_too_many)
        ++allowed;
    return allowed;
}

}  // namespace ipclab
