// Simulated timings whose truth is known: where they cross, and whether they differ at all.
#include "harness/copy_or_map/crossing.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gmock/gmock.h>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace ipclab {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

std::vector<std::size_t> sizes_up_to(std::size_t largest_bytes) {
    std::vector<std::size_t> sizes;
    for (std::size_t size = 64; size <= largest_bytes; size *= 4) sizes.push_back(size);
    return sizes;
}

/// T(n) = a + b n, in ns.
struct Law {
    double per_message_ns;
    double per_byte_ns;

    [[nodiscard]] double at(std::size_t size_bytes) const {
        return per_message_ns + per_byte_ns * static_cast<double>(size_bytes);
    }
};

double crossing_of(const Law& copy, const Law& map) {
    return (map.per_message_ns - copy.per_message_ns) / (copy.per_byte_ns - map.per_byte_ns);
}

struct Simulated {
    Curve copy_ns;
    Curve map_ns;
};

/// Both laws with some per cent of noise, a drift that both share, and rounds that other load
/// slowed down.
Simulated simulate(const Law& copy, const Law& map, int rounds, double noise, unsigned seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<> normal;
    std::uniform_real_distribution<> uniform;
    Simulated simulated;
    double drift = 0;
    for (int round = 1; round <= rounds; ++round) {
        drift += 0.02 * normal(random);
        for (const std::size_t size : sizes_up_to(64 * mib)) {
            const auto measured = [&](const Law& law) {
                const double outlier = uniform(random) < 0.05 ? 1.3 : 1;
                return law.at(size) * std::exp(drift + noise * normal(random)) * outlier;
            };
            simulated.copy_ns[size][round] = measured(copy);
            simulated.map_ns[size][round] = measured(map);
        }
    }
    return simulated;
}

Crossing crossing_in(const Simulated& simulated) {
    return find_crossing(simulated.copy_ns, simulated.map_ns);
}

constexpr Law pipe{2500, 0.35};
constexpr Law remap{9000, 0.2};  // c / k + e = 9000 for k = 1

// ---- crossings ----

TEST(CrossingTest, IsWhereTheLawsSayItIs) {
    const Crossing crossing = crossing_in(simulate(pipe, remap, 12, 0.01, 1));
    EXPECT_EQ(crossing.state, CrossingState::crosses);
    EXPECT_NEAR(crossing.size_bytes, crossing_of(pipe, remap), 0.05 * crossing.size_bytes);
    ASSERT_TRUE(crossing.low_bytes && crossing.high_bytes);
    EXPECT_LT(*crossing.low_bytes, crossing.size_bytes);
    EXPECT_GT(*crossing.high_bytes, crossing.size_bytes);
    EXPECT_THAT(crossing.all_sizes_bytes, ElementsAre(crossing.size_bytes));
    EXPECT_FALSE(crossing.nearly_parallel);
    EXPECT_EQ(crossing.smallest_bytes, 64U);
    EXPECT_EQ(crossing.largest_bytes, 64 * mib);
}

TEST(CrossingTest, MovesDownAsAMappingIsUsedForMoreMessages) {
    double before_bytes = 1e9;
    for (const double k : {1.0, 2.0, 5.0}) {
        const Law map{7000 / k + 2000, 0.2};
        const Crossing crossing = crossing_in(simulate(pipe, map, 12, 0.01, 1));
        EXPECT_LT(crossing.size_bytes, before_bytes);
        EXPECT_NEAR(crossing.size_bytes, crossing_of(pipe, map), 0.1 * crossing.size_bytes);
        before_bytes = crossing.size_bytes;
    }
}

TEST(CrossingTest, IsTheSameInEveryCall) {
    const Simulated simulated = simulate(pipe, remap, 12, 0.05, 3);
    const Crossing first = crossing_in(simulated);
    const Crossing second = crossing_in(simulated);
    EXPECT_EQ(first.size_bytes, second.size_bytes);
    EXPECT_EQ(first.low_bytes, second.low_bytes);
    EXPECT_EQ(first.high_bytes, second.high_bytes);
}

TEST(CrossingTest, TheIntervalHoldsTheTruthInNineOfTenExperiments) {
    const std::vector<std::pair<Law, Law>> laws{
        {pipe, remap}, {{2500, 0.35}, {3200, 0.08}}, {{3000, 0.12}, {15000, 0.04}}};
    for (const double noise : {0.01, 0.1})
        for (const auto& [copy, map] : laws) {
            const double truth_bytes = crossing_of(copy, map);
            int held = 0;
            constexpr int experiments = 200;
            for (unsigned seed = 1; seed <= experiments; ++seed) {
                const Crossing crossing = crossing_in(simulate(copy, map, 12, noise, seed));
                held += crossing.low_bytes.value_or(0) <= truth_bytes &&
                        truth_bytes <= crossing.high_bytes.value_or(1e12);
            }
            EXPECT_GE(held, 0.9 * experiments) << "noise " << noise << ", truth " << truth_bytes;
        }
}

TEST(CrossingTest, CurvesThatNeverCross) {
    const Crossing never = crossing_in(simulate(pipe, {9000, 0.5}, 12, 0.02, 1));
    EXPECT_EQ(never.state, CrossingState::copy_always);
    EXPECT_TRUE(never.sure);
    EXPECT_THAT(never.all_sizes_bytes, IsEmpty());
    EXPECT_EQ(never.low_bytes, std::nullopt);

    const Crossing always = crossing_in(simulate(pipe, {500, 0.2}, 12, 0.02, 1));
    EXPECT_EQ(always.state, CrossingState::map_always);
    EXPECT_TRUE(always.sure);
    EXPECT_EQ(always.high_bytes, std::nullopt);
}

/// Almost equal for small messages: whether mapping wins there too is not known.
TEST(CrossingTest, WhatIsNotSureAtTheSmallestSizesIsSaid) {
    const Crossing crossing = crossing_in(simulate({2500, 0.35}, {2490, 0.1}, 12, 0.05, 4));
    EXPECT_FALSE(crossing.sure);
    EXPECT_EQ(crossing.low_bytes, std::nullopt);
    ASSERT_TRUE(crossing.high_bytes);
    EXPECT_LT(*crossing.high_bytes, 64 * kib);
}

/// Mapping wins from 16 KiB to 1 MiB, and again from 16 MiB on.
TEST(CrossingTest, CurvesThatCrossThreeTimesTellAll) {
    Simulated simulated = simulate(pipe, {9000, 0.15}, 12, 0.02, 1);
    for (auto& [round, value_ns] : simulated.map_ns.at(4 * mib)) value_ns *= 4;
    const Crossing crossing = crossing_in(simulated);
    EXPECT_EQ(crossing.state, CrossingState::crosses);
    ASSERT_THAT(crossing.all_sizes_bytes, SizeIs(3));
    EXPECT_EQ(crossing.size_bytes, crossing.all_sizes_bytes.back());
    EXPECT_GT(crossing.size_bytes, 4 * mib);
}

TEST(CrossingTest, CurvesThatCrossTwiceEndWithACopy) {
    Simulated simulated = simulate(pipe, {9000, 0.15}, 12, 0.02, 1);
    for (auto& [round, value_ns] : simulated.map_ns.at(64 * mib)) value_ns *= 4;
    const Crossing crossing = crossing_in(simulated);
    EXPECT_EQ(crossing.state, CrossingState::map_in_between);
    EXPECT_THAT(crossing.all_sizes_bytes, SizeIs(2));
    EXPECT_EQ(crossing.size_bytes, 0);
}

TEST(CrossingTest, NearlyParallelCurvesAreSaidToBe) {
    const Crossing crossing = crossing_in(simulate({2500, 0.21}, {2600, 0.2}, 12, 0.005, 1));
    EXPECT_EQ(crossing.state, CrossingState::crosses);
    EXPECT_TRUE(crossing.nearly_parallel);
}

TEST(CrossingTest, EqualCurvesDecideNothing) {
    int undecided = 0;
    for (unsigned seed = 1; seed <= 40; ++seed) {
        // At two sizes, so that chance has few chances.
        Simulated simulated = simulate(pipe, pipe, 12, 0.02, seed);
        for (Curve* curve : {&simulated.copy_ns, &simulated.map_ns})
            curve->erase(std::next(curve->begin(), 2), curve->end());
        undecided += crossing_in(simulated).state == CrossingState::undecided;
    }
    EXPECT_GE(undecided, 34);
}

TEST(CrossingTest, FewRoundsHaveNoInterval) {
    const Crossing crossing = crossing_in(simulate(pipe, remap, 5, 0.01, 1));
    EXPECT_EQ(crossing.state, CrossingState::crosses);
    EXPECT_FALSE(crossing.has_interval);
    EXPECT_EQ(crossing.low_bytes, std::nullopt);
    EXPECT_EQ(crossing.high_bytes, std::nullopt);
}

TEST(CrossingTest, OnlySizesAndRoundsThatHaveBothCount) {
    Simulated simulated = simulate(pipe, remap, 12, 0.01, 1);
    simulated.copy_ns.erase(64);
    simulated.map_ns.erase(64 * mib);
    simulated.map_ns.at(256).erase(3);
    const Crossing crossing = crossing_in(simulated);
    EXPECT_EQ(crossing.smallest_bytes, 256U);
    EXPECT_EQ(crossing.largest_bytes, 16 * mib);
    EXPECT_EQ(crossing.state, CrossingState::crosses);

    for (auto& [size, by_round] : simulated.map_ns) by_round = {{99, 1.0}};
    EXPECT_EQ(crossing_in(simulated).state, CrossingState::no_figures);
    EXPECT_EQ(find_crossing({}, {}).state, CrossingState::no_figures);
}

// ---- comparisons ----

TEST(ComparisonTest, TheIntervalsEndsAreThoseOfTheBinomialDistribution) {
    EXPECT_EQ(rank_of_interval_end(0), 0U);
    EXPECT_EQ(rank_of_interval_end(5), 0U);
    EXPECT_EQ(rank_of_interval_end(6), 1U);
    EXPECT_EQ(rank_of_interval_end(8), 1U);
    EXPECT_EQ(rank_of_interval_end(9), 2U);
    EXPECT_EQ(rank_of_interval_end(12), 3U);
    EXPECT_EQ(rank_of_interval_end(20), 6U);
}

TEST(ComparisonTest, ComparesRoundByRound) {
    ByRound a;
    ByRound b;
    for (int round = 1; round <= 12; ++round) {
        a[round] = 1000.0 * round;
        b[round] = 1000.0 * round * (1 + 0.01 * round);
    }
    a[99] = 5;
    const Comparison comparison = compare(a, b);
    EXPECT_EQ(comparison.pairs, 12U);
    EXPECT_TRUE(comparison.differs);
    EXPECT_NEAR(comparison.ratio, 1.065, 1e-4);
    ASSERT_TRUE(comparison.interval);
    EXPECT_NEAR(comparison.interval->low, 1.03, 1e-12);
    EXPECT_NEAR(comparison.interval->high, 1.10, 1e-12);
    EXPECT_FALSE(compare(a, a).differs);
    EXPECT_EQ(compare(a, {}).pairs, 0U);
}

TEST(ComparisonTest, FivePairsDecideNothing) {
    ByRound a;
    ByRound b;
    for (int round = 1; round <= 5; ++round) {
        a[round] = 1;
        b[round] = 2;
    }
    EXPECT_FALSE(compare(a, b).differs);
    EXPECT_EQ(compare(a, b).interval, std::nullopt);
    EXPECT_EQ(compare(a, b).ratio, 2);
}

using Noise = std::function<double(std::mt19937_64&)>;

double false_alarm_rate(int pairs, const Noise& noise, unsigned seed) {
    std::mt19937_64 random(seed);
    int alarms = 0;
    constexpr int comparisons = 4000;
    for (int i = 0; i < comparisons; ++i) {
        ByRound a;
        ByRound b;
        for (int round = 1; round <= pairs; ++round) {
            a[round] = 1000 * noise(random);
            b[round] = 1000 * noise(random);
        }
        alarms += compare(a, b).differs;
    }
    return alarms / static_cast<double>(comparisons);
}

TEST(ComparisonTest, RaisesAtMostFiveFalseAlarmsInAHundred) {
    const std::vector<std::pair<std::string, Noise>> noises{
        {"normal",
         [](auto& random) { return std::exp(std::normal_distribution<>(0, 0.05)(random)); }},
        {"bimodal",
         [](auto& random) {
             return (random() % 2 == 0 ? 1.0 : 2.0) *
                    std::exp(std::normal_distribution<>(0, 0.01)(random));
         }},
        {"heavy-tailed", [](auto& random) {
             return std::exp(0.01 * std::clamp(std::cauchy_distribution<>()(random), -9e3, 9e3));
         }}};
    // Three standard errors of a rate of 5 % over 4000 comparisons.
    const double most = 0.05 + 3 * std::sqrt(0.05 * 0.95 / 4000);
    for (const auto& [name, noise] : noises)
        for (int pairs = 6; pairs <= 20; ++pairs)
            EXPECT_LE(false_alarm_rate(pairs, noise, 7), most) << name << ", pairs " << pairs;
}

TEST(ComparisonTest, SeesADifference) {
    std::mt19937_64 random(1);
    std::normal_distribution<> normal(0, 0.02);
    int seen = 0;
    for (int i = 0; i < 100; ++i) {
        ByRound a;
        ByRound b;
        for (int round = 1; round <= 12; ++round) {
            a[round] = std::exp(normal(random));
            b[round] = 1.1 * std::exp(normal(random));
        }
        seen += compare(a, b).differs;
    }
    EXPECT_GE(seen, 99);
}

TEST(ComparisonTest, SoManyFalseAlarmsAreAllowed) {
    EXPECT_EQ(false_alarms_allowed(200), 17U);
    EXPECT_EQ(false_alarms_allowed(0), 0U);
    EXPECT_EQ(false_alarms_allowed(1), 1U);
    EXPECT_EQ(false_alarms_allowed(20), 3U);
}

}  // namespace
}  // namespace ipclab
