#include "harness/statistics.hpp"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace ipclab {
namespace {

constexpr std::size_t pairs_needed = 6;
constexpr double tail = 0.025;  // on each side of a 95 % interval

/// ceil() that forgives the error of a decimal written in binary: 99.9 % of 1000 is 999.
std::size_t round_up(double x) { return static_cast<std::size_t>(std::ceil(x * (1 - 1e-12))); }

void check_percent(double percent) {
    if (!(percent >= 0 && percent <= 100))
        throw std::invalid_argument("a percentile lies between 0 and 100");
}

std::vector<double> sorted_copy(std::span<const double> values) {
    if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }))
        throw std::invalid_argument("a statistic was asked of a value that is not a finite number");
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}

double middle(const std::vector<double>& sorted) {
    if (sorted.empty()) throw std::invalid_argument("the median of nothing");
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : std::midpoint(sorted[half - 1], sorted[half]);
}

/// The value at a place that may lie between two values; places count from 1.
double value_at(const std::vector<double>& sorted, double place) {
    const auto below = static_cast<std::size_t>(place);
    return std::lerp(sorted[below - 1], sorted[below], place - static_cast<double>(below));
}

}  // namespace

std::size_t nearest_rank(std::size_t samples, double percent) {
    check_percent(percent);
    if (samples == 0) throw std::invalid_argument("a percentile of no samples");
    const std::size_t rank = round_up(percent * static_cast<double>(samples) / 100);
    return std::clamp<std::size_t>(rank, 1, samples);
}

std::size_t samples_needed(double percent) {
    check_percent(percent);
    if (percent == 0 || percent == 100) return 1;
    const std::size_t not_largest = round_up(100 / (100 - percent));
    const auto not_smallest = static_cast<std::size_t>(std::floor(100 / percent * (1 + 1e-12))) + 1;
    return std::max(not_largest, not_smallest);
}

double median(std::span<const double> values) { return middle(sorted_copy(values)); }

double midmean(std::span<const double> values) {
    const std::vector<double> sorted = sorted_copy(values);
    if (sorted.empty()) throw std::invalid_argument("the midmean of nothing");
    const auto quarter = static_cast<std::ptrdiff_t>(sorted.size() / 4);
    const double sum = std::accumulate(sorted.begin() + quarter, sorted.end() - quarter, 0.0);
    return sum / static_cast<double>(sorted.size() - 2 * static_cast<std::size_t>(quarter));
}

std::optional<Interval> bootstrap_median_interval(std::span<const double> values) {
    if (values.size() < pairs_needed) return std::nullopt;
    const std::vector<double> sorted = sorted_copy(values);
    const auto n = static_cast<double>(sorted.size());
    const boost::math::beta_distribution<> median_of_uniforms((n + 1) / 2, (n + 1) / 2);
    const double place = (n + 1) * boost::math::quantile(median_of_uniforms, tail);
    return Interval{value_at(sorted, place), value_at(sorted, n + 1 - place)};
}

std::optional<double> aa_half_width(std::span<const double> ratios) {
    const auto interval = bootstrap_median_interval(ratios);
    if (!interval) return std::nullopt;
    return interval->half_width();
}

std::vector<bool> flag_outliers(std::span<const double> values) {
    if (values.empty()) return {};
    const double centre = median(values);
    std::vector<double> distances;
    distances.reserve(values.size());
    for (const double value : values) distances.push_back(std::abs(value - centre));

    double deviation = 1.4826 * median(distances);
    if (deviation == 0)
        deviation = 1.2533 * std::accumulate(distances.begin(), distances.end(), 0.0) /
                    static_cast<double>(distances.size());

    std::vector<bool> flags;
    flags.reserve(values.size());
    for (const double distance : distances) flags.push_back(distance > 3.5 * deviation);
    return flags;
}

}  // namespace ipclab
