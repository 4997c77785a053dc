// Where copying and mapping cross: from which size on mapping is cheaper.
#pragma once

#include "harness/copy_or_map/comparison.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace ipclab {

/// Times by the size of the message, and by the round in which they were measured.
using Curve = std::map<std::size_t, ByRound>;

enum class CrossingState {
    crosses,         ///< from `size_bytes` on, mapping is cheaper at every size
    map_always,      ///< at every size measured
    copy_always,     ///< likewise
    map_in_between,  ///< mapping is cheaper at some sizes, but at the largest it is not
    undecided,       ///< no size shows a difference
    no_figures,      ///< fewer than two sizes have figures of both
};

constexpr std::string_view name_of(CrossingState state) {
    switch (state) {
    case CrossingState::crosses:
        return "crosses";
    case CrossingState::map_always:
        return "map_always";
    case CrossingState::copy_always:
        return "copy_always";
    case CrossingState::map_in_between:
        return "map_in_between";
    case CrossingState::undecided:
        return "undecided";
    case CrossingState::no_figures:
        break;
    }
    return "no_figures";
}

struct Crossing {
    CrossingState state = CrossingState::no_figures;
    double size_bytes = 0;  ///< where it crosses: from here on mapping is cheaper
    /// The 95 % interval's ends; absent where they lie beyond the sizes measured. Where mapping is
    /// always cheaper, or copying is, the one end that is inside tells from where on, or up to
    /// where, that is sure.
    std::optional<double> low_bytes;
    std::optional<double> high_bytes;
    bool has_interval = false;  ///< there are six rounds or more
    bool sure = false;          ///< of what is always so: all of the interval says the same
    std::vector<double> all_sizes_bytes;  ///< where either becomes the cheaper one
    bool nearly_parallel = false;    ///< 5 % more or less of a time move it by more than half of it
    std::size_t smallest_bytes = 0;  ///< of the sizes that have figures of both
    std::size_t largest_bytes = 0;
};

/// At each size, the median over the rounds of map / copy, round by round. Between two sizes, each
/// of the two times is taken to lie on a straight line (so much for the message, so much for each
/// byte), so that the difference does. The interval comes from 1000 resamples of the rounds, the
/// same rounds at all sizes, because what disturbs a round may disturb all its sizes (block
/// bootstrap; Davison and Hinkley, "Bootstrap Methods and their Application", 1997, 3.8), and holds
/// the middle 95 % of the sizes at which these cross; a resample that does not cross inside the
/// sizes measured crosses beyond them. The resamples are the same in every call.
Crossing find_crossing(const Curve& copy_ns, const Curve& map_ns);

}  // namespace ipclab
