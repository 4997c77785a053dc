#include "harness/statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace ipclab;
using testing::ElementsAre;

using Random = std::mt19937_64;

std::vector<double> one_to(int n) {
    std::vector<double> values(static_cast<std::size_t>(n));
    std::iota(values.begin(), values.end(), 1.0);
    return values;
}

double percentile_of(const std::vector<double>& sorted, double percent) {
    return percentile(std::span<const double>(sorted), percent);
}

// ---- percentiles ----

TEST(Percentile, IsTheNearestRankOfTheTextbookExample) {
    const std::vector<double> sorted{15, 20, 35, 40, 50};
    EXPECT_EQ(percentile_of(sorted, 5), 15);
    EXPECT_EQ(percentile_of(sorted, 30), 20);
    EXPECT_EQ(percentile_of(sorted, 40), 20);
    EXPECT_EQ(percentile_of(sorted, 50), 35);
    EXPECT_EQ(percentile_of(sorted, 100), 50);
}

TEST(Percentile, EndsAreTheSmallestAndTheLargest) {
    const auto sorted = one_to(777);
    EXPECT_EQ(percentile_of(sorted, 0), 1);
    EXPECT_EQ(percentile_of(sorted, 100), 777);
}

TEST(Percentile, DecimalPercentagesFallOnTheirExactRank) {
    // In binary 99.9 is a little more than 99.9; a naive ceil() reads the maximum of 1000 samples.
    for (const std::size_t thousands : {1U, 2U, 3U, 7U, 10U, 1000U, 1000000U}) {
        const std::size_t n = thousands * 1000;
        EXPECT_EQ(nearest_rank(n, 99.9), n - thousands);
        EXPECT_EQ(nearest_rank(n, 99), n - 10 * thousands);
        EXPECT_EQ(nearest_rank(n, 0.1), thousands);
        EXPECT_EQ(nearest_rank(n + 1, 99.9), n - thousands + 1);
    }
}

TEST(Percentile, WorksOnIntegers) {
    const std::vector<std::uint64_t> sorted{1, 2, std::numeric_limits<std::uint64_t>::max()};
    EXPECT_EQ(percentile(std::span<const std::uint64_t>(sorted), 100), sorted.back());
}

TEST(Percentile, RefusesNothingAndNonsense) {
    EXPECT_THROW((void)nearest_rank(0, 50), std::invalid_argument);
    EXPECT_THROW((void)nearest_rank(10, -1), std::invalid_argument);
    EXPECT_THROW((void)nearest_rank(10, 100.1), std::invalid_argument);
    EXPECT_THROW((void)nearest_rank(10, std::nan("")), std::invalid_argument);
    EXPECT_THROW((void)samples_needed(101), std::invalid_argument);
}

TEST(SamplesNeeded, KnowsTheUsualPercentiles) {
    EXPECT_EQ(samples_needed(50), 3U);
    EXPECT_EQ(samples_needed(90), 10U);
    EXPECT_EQ(samples_needed(99), 100U);
    EXPECT_EQ(samples_needed(99.9), 1000U);
    EXPECT_EQ(samples_needed(99.99), 10000U);
    EXPECT_EQ(samples_needed(1), 101U);
    EXPECT_EQ(samples_needed(0), 1U);
    EXPECT_EQ(samples_needed(100), 1U);
}

TEST(SamplesNeeded, IsWhereThePercentileStopsBeingAnExtreme) {
    for (const double percent : {0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9}) {
        const std::size_t needed = samples_needed(percent);
        const auto is_extreme = [percent](std::size_t n) {
            return nearest_rank(n, percent) == 1 || nearest_rank(n, percent) == n;
        };
        EXPECT_TRUE(is_extreme(needed - 1)) << percent;
        for (std::size_t n = needed; n < needed + 3000; ++n)
            ASSERT_FALSE(is_extreme(n)) << percent << " of " << n;
    }
}

TEST(PercentileIfEnough, PrintsNothingRatherThanAGuess) {
    const auto too_few = one_to(999);
    const auto enough = one_to(1000);
    EXPECT_EQ(percentile_if_enough(std::span<const double>(too_few), 99.9), std::nullopt);
    EXPECT_EQ(percentile_if_enough(std::span<const double>(enough), 99.9), 999);
    EXPECT_EQ(percentile_if_enough(std::span<const double>(), 100), std::nullopt);
}

// ---- a stall must not hide ----

constexpr double stall_ns = 100e6;

/// Latencies of 20 µs or so, of which `stalls`, evenly spread, took 100 ms longer.
std::vector<double> sorted_latencies_ns(std::size_t samples, std::size_t stalls) {
    Random random(20);
    std::lognormal_distribution<> latency_ns(std::log(20e3), 0.2);
    std::vector<double> values(samples);
    for (double& value : values) value = latency_ns(random);
    for (std::size_t i = 0; i < stalls; ++i) values[i * (samples / stalls)] += stall_ns;
    std::sort(values.begin(), values.end());
    return values;
}

TEST(Stall, OneOf100MsShowsInTheMaximum) {
    const auto sorted = sorted_latencies_ns(10'000, 1);
    EXPECT_GE(percentile_of(sorted, 100), stall_ns);
    EXPECT_LT(percentile_of(sorted, 99.9), 1e6);
}

TEST(Stall, OnceIn500MessagesShowsInP99_9) {
    for (const std::size_t samples : {1000U, 4000U, 10'000U}) {
        const auto sorted = sorted_latencies_ns(samples, samples / 500);
        EXPECT_GE(percentile_of(sorted, 99.9), stall_ns) << samples;
        EXPECT_LT(percentile_of(sorted, 99), 1e6) << samples;
    }
}

// ---- median ----

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoMiddles) {
    EXPECT_EQ(median(std::vector<double>{7}), 7);
    EXPECT_EQ(median(std::vector<double>{9, 1, 5}), 5);
    EXPECT_EQ(median(std::vector<double>{9, 1, 5, 6}), 5.5);
    EXPECT_THROW((void)median({}), std::invalid_argument);
    EXPECT_THROW((void)median(std::vector<double>{1, std::nan(""), 2}), std::invalid_argument);
}

TEST(Midmean, IsTheMeanOfTheMiddleHalf) {
    EXPECT_EQ(midmean(std::vector<double>{7}), 7);
    EXPECT_EQ(midmean(std::vector<double>{1, 2, 6}), 3);
    EXPECT_EQ(midmean(std::vector<double>{1000, 10, 20, -1000}), 15);
    EXPECT_THROW((void)midmean({}), std::invalid_argument);
}

TEST(Midmean, IsFinerThanTheTicksOfItsValues) {
    const std::vector<double> ticks{20, 30, 20, 20, 30, 20, 20, 20};
    EXPECT_EQ(median(ticks), 20);
    EXPECT_EQ(midmean(ticks), 20);
    const std::vector<double> as_often{20, 30, 20, 30, 20, 30, 20, 30};
    EXPECT_EQ(midmean(as_often), 25);
}

// ---- the interval ----

TEST(BootstrapMedianInterval, FewerThanSixPairsGiveNone) {
    EXPECT_EQ(bootstrap_median_interval({}), std::nullopt);
    EXPECT_EQ(bootstrap_median_interval(one_to(5)), std::nullopt);
    EXPECT_NE(bootstrap_median_interval(one_to(6)), std::nullopt);
}

TEST(BootstrapMedianInterval, StaysWithinTheValuesAndHoldsTheirMedian) {
    Random random(1);
    std::cauchy_distribution<> wild;
    for (int n = 6; n < 60; ++n) {
        std::vector<double> values(static_cast<std::size_t>(n));
        for (double& value : values) value = wild(random);
        const Interval interval = bootstrap_median_interval(values).value();
        EXPECT_TRUE(interval.contains(median(values)));
        EXPECT_GE(interval.low, *std::min_element(values.begin(), values.end()));
        EXPECT_LE(interval.high, *std::max_element(values.begin(), values.end()));
    }
}

TEST(BootstrapMedianInterval, OrderDoesNotMatter) {
    std::vector<double> values{5, 3, 9, 1, 7, 8, 2};
    const Interval one = bootstrap_median_interval(values).value();
    std::reverse(values.begin(), values.end());
    const Interval other = bootstrap_median_interval(values).value();
    EXPECT_EQ(one.low, other.low);
    EXPECT_EQ(one.high, other.high);
}

TEST(BootstrapMedianInterval, ShiftsAndScalesWithTheUnit) {
    std::vector<double> values{5, 3, 9, 1, 7, 8, 2, 20};
    const Interval before = bootstrap_median_interval(values).value();
    for (double& value : values) value = 1000 * value + 7;
    const Interval after = bootstrap_median_interval(values).value();
    EXPECT_DOUBLE_EQ(after.low, 1000 * before.low + 7);
    EXPECT_DOUBLE_EQ(after.high, 1000 * before.high + 7);
}

TEST(BootstrapMedianInterval, EqualValuesGiveNoWidth) {
    const Interval interval = bootstrap_median_interval(std::vector<double>(20, 184)).value();
    EXPECT_EQ(interval.low, 184);
    EXPECT_EQ(interval.high, 184);
}

TEST(BootstrapMedianInterval, RefusesWhatIsNotFinite) {
    std::vector<double> values = one_to(20);
    values[3] = std::nan("");
    EXPECT_THROW((void)bootstrap_median_interval(values), std::invalid_argument);
    values[3] = std::numeric_limits<double>::infinity();
    EXPECT_THROW((void)bootstrap_median_interval(values), std::invalid_argument);
}

/// What the closed form stands for: resample from the line through (k/(n+1), k-th value), take the
/// medians, cut 2.5 % off at both ends.
Interval interval_by_resampling(const std::vector<double>& sorted, int resamples) {
    Random random(2);
    std::uniform_real_distribution<> uniform;
    const std::size_t n = sorted.size();
    const auto draw = [&] {
        const double place = uniform(random) * static_cast<double>(n + 1);
        if (place <= 1) return sorted.front();
        if (place >= static_cast<double>(n)) return sorted.back();
        const auto below = static_cast<std::size_t>(place);
        return std::lerp(sorted[below - 1], sorted[below], place - std::floor(place));
    };
    std::vector<double> medians;
    for (int i = 0; i < resamples; ++i) {
        std::vector<double> resample(n);
        std::generate(resample.begin(), resample.end(), draw);
        medians.push_back(median(resample));
    }
    std::sort(medians.begin(), medians.end());
    return {percentile_of(medians, 2.5), percentile_of(medians, 97.5)};
}

TEST(BootstrapMedianInterval, IsTheLimitOfResampling) {
    Random random(3);
    std::lognormal_distribution<> skewed;
    for (const std::size_t n : {7U, 20U, 21U}) {
        std::vector<double> values(n);
        for (double& value : values) value = skewed(random);
        std::sort(values.begin(), values.end());
        const Interval drawn = interval_by_resampling(values, 20'000);
        const Interval closed = bootstrap_median_interval(values).value();
        const double tolerance = 0.03 * (closed.high - closed.low);
        EXPECT_NEAR(closed.low, drawn.low, tolerance) << n;
        EXPECT_NEAR(closed.high, drawn.high, tolerance) << n;
    }
}

/// A distribution with a known median.
struct Source {
    std::string name;
    double true_median;
    std::function<double(Random&)> draw;
};

std::vector<Source> sources() {
    const auto uniform = [](Random& random) { return std::uniform_real_distribution<>()(random); };
    const auto normal = [](Random& random) { return std::normal_distribution<>()(random); };
    return {
        {"normal", 0, normal},
        {"lognormal", 1, [=](Random& random) { return std::exp(normal(random)); }},
        // The cheaper placement in 65 cases of 100, so the median is its 10/13 quantile.
        {"bimodal", 1 + 0.05 * 0.7363159,
         [=](Random& random) {
             const double mode = uniform(random) < 0.65 ? 1 : 3;
             return mode + 0.05 * normal(random);
         }},
        {"Cauchy", 0, [](Random& random) { return std::cauchy_distribution<>()(random); }},
        {"Pareto without a mean", 2, [=](Random& random) { return 1 / (1 - uniform(random)); }},
    };
}

double coverage(const Source& source, std::size_t pairs, int trials, Random& random) {
    std::vector<double> values(pairs);
    int covered = 0;
    for (int trial = 0; trial < trials; ++trial) {
        for (double& value : values) value = source.draw(random);
        if (bootstrap_median_interval(values).value().contains(source.true_median)) ++covered;
    }
    return static_cast<double>(covered) / trials;
}

class Coverage : public testing::TestWithParam<std::size_t> {};

TEST_P(Coverage, Is93To97PerCentWhateverTheShape) {
    Random random(4);
    for (const Source& source : sources()) {
        const double share = coverage(source, GetParam(), 4000, random);
        EXPECT_GE(share, 0.93) << source.name;
        EXPECT_LE(share, 0.97) << source.name;
    }
}

INSTANTIATE_TEST_SUITE_P(Pairs, Coverage, testing::Values(20, 21, 22, 25, 30, 50, 100),
                         testing::PrintToStringParamName());

TEST(CoverageOfFewPairs, IsNeverFarBelow95PerCent) {
    Random random(5);
    for (const std::size_t pairs : {6U, 7U, 8U, 10U, 12U, 15U})
        EXPECT_GE(coverage(sources()[1], pairs, 4000, random), 0.94) << pairs;
}

TEST(AaHalfWidth, IsHalfTheIntervalOfTheRatios) {
    std::vector<double> ratios(21);
    std::generate(ratios.begin(), ratios.end(), [next = 0.9]() mutable { return next += 0.01; });
    const Interval interval = bootstrap_median_interval(ratios).value();
    EXPECT_DOUBLE_EQ(aa_half_width(ratios).value(), (interval.high - interval.low) / 2);
    EXPECT_NEAR(aa_half_width(ratios).value(), 0.045, 0.005);
    EXPECT_EQ(aa_half_width(one_to(5)), std::nullopt);
}

// ---- outliers ----

TEST(FlagOutliers, MarksTheFarOneAndKeepsItsPlace) {
    const std::vector<double> values{10.1, 9.9, 10.0, 55.0, 10.2, 9.8, 10.0};
    EXPECT_THAT(flag_outliers(values), ElementsAre(false, false, false, true, false, false, false));
}

TEST(FlagOutliers, TheLimitIs3Point5RobustDeviations) {
    // Median 0, median absolute deviation 1: the limit is 3.5 · 1.4826 = 5.1891.
    EXPECT_THAT(flag_outliers(std::vector<double>{-1, -1, 0, 1, 5.18}),
                ElementsAre(false, false, false, false, false));
    EXPECT_THAT(flag_outliers(std::vector<double>{-1, -1, 0, 1, 5.2}),
                ElementsAre(false, false, false, false, true));
    EXPECT_THAT(flag_outliers(std::vector<double>{-5.2, -1, 0, 1, 1}),
                ElementsAre(true, false, false, false, false));
}

TEST(FlagOutliers, CopesWithMostlyEqualValues) {
    EXPECT_THAT(flag_outliers(std::vector<double>{10, 10, 10, 10, 10, 10, 10, 100}),
                ElementsAre(false, false, false, false, false, false, false, true));
    // A clock that steps by ten: no value is far out.
    EXPECT_THAT(flag_outliers(std::vector<double>{100, 100, 100, 110, 90}),
                ElementsAre(false, false, false, false, false));
    EXPECT_THAT(flag_outliers(std::vector<double>{4, 4, 4}), ElementsAre(false, false, false));
    EXPECT_TRUE(flag_outliers({}).empty());
}

TEST(FlagOutliers, SeldomMarksGoodData) {
    Random random(6);
    std::normal_distribution<> normal;
    std::size_t flagged = 0;
    for (int trial = 0; trial < 200; ++trial) {
        std::vector<double> values(50);
        for (double& value : values) value = normal(random);
        const auto flags = flag_outliers(values);
        flagged += static_cast<std::size_t>(std::count(flags.begin(), flags.end(), true));
    }
    EXPECT_LT(flagged, 40U);  // of 10,000; 3.5 true deviations leave 5 outside
}

}  // namespace
