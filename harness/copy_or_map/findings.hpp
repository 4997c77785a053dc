// What a run of copy-vs-map found: figures with their intervals, the model beside them, and where
// copying and mapping cross. Derived from run.jsonl, and from nothing else.
#pragma once

#include "harness/copy_or_map/comparison.hpp"
#include "harness/copy_or_map/transfer.hpp"
#include "harness/costs/cost.hpp"
#include "harness/summary.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ipclab {

/// One figure of one microbenchmark, over the process pairs.
struct CostFinding {
    CostCell cell;
    std::string figure;  ///< "copy_in"
    CellState state = CellState::measured;
    std::string reason;  ///< of a skipped or failed one
    Estimate value_ns;   ///< where it has figures
    std::size_t pairs = 0;
};

/// One part of the model's sum.
struct Term {
    std::string name;  ///< "copy in", as the legend of a plot has it
    double ns = 0;
    Phase phase =
        Phase::hand_over;  ///< in which it falls, so that it can be held against the clock
    std::string cost;      ///< the microbenchmark that it comes from
};

/// A transfer put together from costs; or, where one of them is missing, why it is not.
struct Modelled {
    std::vector<Term> terms;
    std::string missing;  ///< "wake-up/futex was not measured: …"; empty where the sum is whole

    [[nodiscard]] double total_ns() const {
        double sum_ns = 0;
        for (const Term& term : terms) sum_ns += term.ns;
        return sum_ns;
    }
};

struct TransferFinding {
    Transfer transfer;
    CellState state = CellState::measured;
    std::string reason;
    ByRound by_round_ns;  ///< the pairs that count
    Estimate transfer_ns;
    std::array<double, phases.size()> phases_ns{};  ///< medians over the pairs
    std::array<double, 2> cpu_ns{};                 ///< per message: of the sender, of the receiver
    std::optional<double> switches;                 ///< per message, of both sides

    Modelled model;
    double residual = 0;  ///< (model - measured) / measured
    bool within = false;  ///< the model is as near as promised: see model.hpp
    std::string suspect;  ///< the term that is most off, where the model is more than 15 % off
};

}  // namespace ipclab
