#include "harness/copy_or_map/crossing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <utility>

namespace ipclab {
namespace {

constexpr std::size_t rounds_needed = 6;
constexpr std::size_t resamples = 1000;
constexpr std::size_t low_rank = 25;  // of the sorted resamples, counted from 1
constexpr std::size_t high_rank = resamples + 1 - low_rank;
constexpr std::uint64_t seed = 1;
constexpr double small_change = 0.05;  // of a time
constexpr double large_change = 1.5;   // of a crossing size
constexpr double before_all = -std::numeric_limits<double>::infinity();
constexpr double beyond_all = std::numeric_limits<double>::infinity();

/// What is known of one size.
struct Point {
    double size_bytes = 0;
    double copy_ns = 0;
    std::vector<std::pair<std::size_t, double>> logs;  ///< of map / copy, by the round's index
};

struct SizeAndLog {
    double size_bytes;
    double copy_ns;
    double log_ratio;

    /// What mapping takes longer.
    [[nodiscard]] double excess_ns() const { return copy_ns * std::expm1(log_ratio); }
    [[nodiscard]] bool map_wins() const { return log_ratio < 0; }
};

using Line = std::vector<SizeAndLog>;  // by size

double median_in_place(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::vector<double> all_crossings(const Line& line) {
    std::vector<double> sizes;
    for (std::size_t i = 1; i < line.size(); ++i) {
        const SizeAndLog& a = line[i - 1];
        const SizeAndLog& b = line[i];
        if (a.map_wins() == b.map_wins()) continue;
        const double share = a.excess_ns() / (a.excess_ns() - b.excess_ns());
        sizes.push_back(a.size_bytes + share * (b.size_bytes - a.size_bytes));
    }
    return sizes;
}

/// From which size on mapping is cheaper; before or beyond all sizes where it always is, or is not
/// at the largest.
double position_on(const Line& line) {
    if (!line.back().map_wins()) return beyond_all;
    const std::vector<double> sizes = all_crossings(line);
    if (sizes.empty()) return before_all;
    return sizes.back();
}

CrossingState state_of(const Line& line) {
    const auto wins =
        std::count_if(line.begin(), line.end(), [](const SizeAndLog& p) { return p.map_wins(); });
    if (wins == 0) return CrossingState::copy_always;
    if (wins == static_cast<std::ptrdiff_t>(line.size())) return CrossingState::map_always;
    return line.back().map_wins() ? CrossingState::crosses : CrossingState::map_in_between;
}

/// Whether so small a change of all ratios moves the crossing far. One that leaves the sizes that
/// were measured counts as far as it was seen to move.
bool is_nearly_parallel(const Line& line) {
    const auto seen_at = [&](double shift) {
        Line shifted = line;
        for (SizeAndLog& point : shifted) point.log_ratio += shift;
        return std::clamp(position_on(shifted), line.front().size_bytes, line.back().size_bytes);
    };
    const double change = std::log1p(small_change);
    const double here = seen_at(0);
    return seen_at(change) / here > large_change || here / seen_at(-change) > large_change;
}

/// The sizes that have figures of both, and how many rounds there are in all.
std::pair<std::vector<Point>, std::size_t> points_of(const Curve& copy_ns, const Curve& map_ns) {
    std::set<int> rounds;
    const auto both = [&](auto&& visit) {
        for (const auto& [size_bytes, copies] : copy_ns) {
            const auto maps = map_ns.find(size_bytes);
            if (maps == map_ns.end()) continue;
            for (const auto& [round, value_ns] : copies)
                if (const auto other = maps->second.find(round); other != maps->second.end())
                    visit(size_bytes, round, value_ns, other->second);
        }
    };
    both([&](std::size_t, int round, double, double) { rounds.insert(round); });
    std::vector<Point> points;
    std::vector<double> copies_ns;
    const auto finish = [&] {
        if (!points.empty()) points.back().copy_ns = median_in_place(copies_ns);
        copies_ns.clear();
    };
    both([&](std::size_t size_bytes, int round, double copied_ns, double mapped_ns) {
        if (points.empty() || points.back().size_bytes != static_cast<double>(size_bytes)) {
            finish();
            points.push_back({static_cast<double>(size_bytes), 0, {}});
        }
        const auto index = std::distance(rounds.begin(), rounds.find(round));
        points.back().logs.emplace_back(static_cast<std::size_t>(index),
                                        std::log(mapped_ns / copied_ns));
        copies_ns.push_back(copied_ns);
    });
    finish();
    return {std::move(points), rounds.size()};
}

/// With each round as often as `times` says. A size without a value is left out.
Line line_through(const std::vector<Point>& points, const std::vector<unsigned>& times) {
    Line line;
    line.reserve(points.size());
    std::vector<double> logs;
    for (const Point& point : points) {
        logs.clear();
        for (const auto& [round, log] : point.logs) logs.insert(logs.end(), times[round], log);
        if (!logs.empty()) line.push_back({point.size_bytes, point.copy_ns, median_in_place(logs)});
    }
    return line;
}

std::vector<double> sorted_positions(const std::vector<Point>& points, std::size_t rounds) {
    std::mt19937_64 random(seed);
    std::vector<double> positions;
    positions.reserve(resamples);
    std::vector<unsigned> times;
    for (std::size_t i = 0; i < resamples; ++i) {
        times.assign(rounds, 0);
        for (std::size_t drawn = 0; drawn < rounds; ++drawn) ++times[random() % rounds];
        const Line line = line_through(points, times);
        positions.push_back(line.empty() ? beyond_all : position_on(line));
    }
    std::sort(positions.begin(), positions.end());
    return positions;
}

/// Whether any size shows a difference, at the 5 % level.
bool decides(const Curve& copy_ns, const Curve& map_ns) {
    return std::any_of(copy_ns.begin(), copy_ns.end(), [&](const auto& entry) {
        const auto other = map_ns.find(entry.first);
        return other != map_ns.end() && compare(entry.second, other->second).differs;
    });
}

std::optional<double> if_inside(double size_bytes) {
    return std::isfinite(size_bytes) ? std::optional(size_bytes) : std::nullopt;
}

}  // namespace

Crossing find_crossing(const Curve& copy_ns, const Curve& map_ns) {
    Crossing crossing;
    const auto [points, rounds] = points_of(copy_ns, map_ns);
    if (points.size() < 2) return crossing;
    const Line line = line_through(points, std::vector<unsigned>(rounds, 1));
    crossing.state = state_of(line);
    crossing.smallest_bytes = static_cast<std::size_t>(line.front().size_bytes);
    crossing.largest_bytes = static_cast<std::size_t>(line.back().size_bytes);
    crossing.all_sizes_bytes = all_crossings(line);
    crossing.nearly_parallel = is_nearly_parallel(line);
    if (crossing.state == CrossingState::crosses) crossing.size_bytes = position_on(line);
    const auto most =
        std::max_element(points.begin(), points.end(), [](const auto& a, const auto& b) {
            return a.logs.size() < b.logs.size();
        });
    crossing.has_interval = most->logs.size() >= rounds_needed;
    if (!crossing.has_interval) return crossing;

    if (!decides(copy_ns, map_ns)) {
        crossing.state = CrossingState::undecided;
        crossing.size_bytes = 0;
        return crossing;
    }
    const std::vector<double> positions = sorted_positions(points, rounds);
    const double low = positions[low_rank - 1];
    const double high = positions[high_rank - 1];
    crossing.low_bytes = if_inside(low);
    crossing.high_bytes = if_inside(high);
    crossing.sure = (crossing.state == CrossingState::map_always && high == before_all) ||
                    (crossing.state == CrossingState::copy_always && low == beyond_all);
    return crossing;
}

}  // namespace ipclab
