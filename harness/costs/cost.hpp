// One step of a transfer, and what it costs: a microbenchmark each.
//
// `T_copy` and `T_map` are put together from these figures alone, so each is measured apart from
// all others, in the same two pinned processes, between the same reference probes, as everything
// here is; and each says in a paragraph what it contains and what it leaves out.
#pragma once

#include "harness/row.hpp"
#include "harness/subject.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// One of the figures that a microbenchmark finds. All are times in ns; `per` says of what:
/// "call", "message", "wake-up".
struct CostFigure {
    std::string_view name;  ///< "copy_in"
    std::string_view per;
};

struct CostFacts {
    std::string name;  ///< "kernel-copy/pipe"
    std::vector<CostFigure> figures;
    std::string_view explanation;  ///< what the figures contain, and what they leave out
    std::size_t size_bytes_min = 0;
    std::size_t size_bytes_max = 0;          ///< 0: size plays no part
    std::vector<std::int64_t> sleeps_ns{0};  ///< how long the peer has slept before it is woken
    std::vector<Placement> placements{Placement::same_cpu};
};

/// One figure's place: which microbenchmark, and where.
struct CostCell {
    std::string cost;
    Placement placement = Placement::same_cpu;
    std::size_t size_bytes = 0;
    std::int64_t slept_ns = 0;

    bool operator==(const CostCell&) const = default;
};

/// The times of a microbenchmark's figures, pass by pass; less what looking at the clock costs.
class Laps {
  public:
    Laps();
    /// The time from the last start() or lap() until now is the figure's.
    void start() { then_ns_ = now_ns(); }
    void lap(std::size_t figure) {
        const std::int64_t this_ns = now_ns();
        note(figure, static_cast<double>(this_ns - then_ns_) - clock_ns_);
        then_ns_ = now_ns();
    }
    /// For what a microbenchmark has timed itself, several at a time: each time that it takes
    /// between two looks at the clock is clock_ns() too long.
    [[nodiscard]] double clock_ns() const { return clock_ns_; }
    void note(std::size_t figure, double ns) { times_ns_[figure].push_back(ns); }

    void clear();
    /// Midmeans over the passes; -1 where nothing was noted. At most as many as a SideReport holds.
    void report(std::span<double> figures_ns) const;

  private:
    std::vector<std::vector<double>> times_ns_;
    double clock_ns_ = 0;
    std::int64_t then_ns_ = 0;
};

/// A microbenchmark. Made in the commanding process, and forked into both of the pair; whatever a
/// kernel object it needs is made in the constructor (where both share it) or in `attach`.
class Cost : public Subject {
  public:
    Cost();
    Cost(const Cost&) = delete;
    Cost& operator=(const Cost&) = delete;
    ~Cost() override;

    void converse(Player& player) final;
    void stand_aside() override {}

  protected:
    /// In each process, before the first pass. Throws Refused (Unsupported, LimitReached) where
    /// this machine lacks what it takes: the row is then skipped, and says why.
    virtual void attach(Side /*side*/) {}
    /// One pass, in each process; both make the same number of them. Where only one process has
    /// something to do, the other returns at once, and sleeps until the leg is over.
    virtual void pass(Side side, Laps& laps) = 0;

    /// For passes in which the two take turns, without a system call on two CPUs. `turn` counts up
    /// by one with each hand-over, from 0.
    void await_turn(std::uint32_t turn);
    void hand_over();

  private:
    struct Baton;
    Baton* baton_ = nullptr;
    bool same_cpu_ = false;
};

struct CostEntry {
    CostFacts facts;
    std::unique_ptr<Subject> (*make)(const CostCell& cell);
};

/// All microbenchmarks.
const std::vector<CostEntry>& all_costs();
/// Throws std::invalid_argument for an unknown name.
const CostEntry& cost_called(std::string_view name);

/// The cells of all costs at these sizes (those that a cost has) and placements.
std::vector<CostCell> cost_cells(const std::vector<std::size_t>& sizes_bytes,
                                 const std::vector<Placement>& asked);

/// A row without figures.
Row cost_row_without_figures(const CostCell& cell, const Conditions& conditions, int round,
                             RowStatus status, const std::string& reason);

/// One pair of processes: a row of type "cost", whose "figures_ns" hold a midmean over the passes
/// each. Skipped and failed as measure() tells. Throws Interrupted.
Row measure_cost(const CostCell& cell, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory);

}  // namespace ipclab
