// T_copy(n) and T_map(n, k): what a transfer should take, put together from the costs of its steps.
#pragma once

#include "harness/copy_or_map/findings.hpp"

namespace ipclab {

/// The costs that a run found, by name and place.
class Costs {
  public:
    explicit Costs(const std::vector<CostFinding>& findings);

    /// A figure at a size, or nothing where there is none. Between the sizes that were measured, by
    /// a straight line between logarithms; beyond them, not at all.
    [[nodiscard]] std::optional<double> find_ns(const std::string& cost, const std::string& figure,
                                                Placement placement, double size_bytes = 0,
                                                double slept_ns = 0) const;

  private:
    const std::vector<CostFinding>& findings_;
};

/// Knows nothing of how long the transfer took.
Modelled model(const Transfer& transfer, const Costs& costs);

/// Whether the model is as near to the measured time as it must be: within 15 % of it on one CPU;
/// on two, within 25 % or inside the interval.
bool within_promise(const TransferFinding& finding);

/// The term that is most off: of the phase in which model and clock differ most, the largest.
std::string suspect_of(const TransferFinding& finding);

}  // namespace ipclab
