// The facts of the catalogue as tables, and the costs that are measured.
#pragma once

#include "harness/costs/cost.hpp"
#include "mechanisms/mechanism.hpp"

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace ipclab {

inline constexpr std::size_t any_width = std::numeric_limits<std::size_t>::max();

/// For a terminal that is so many characters wide: cells are wrapped to fit, as far as whole words
/// allow. Prose is never wider than 100.
std::string list_as_text(const std::vector<Facts>& mechanisms, std::size_t columns = any_width);

std::string list_as_markdown(const std::vector<Facts>& mechanisms);

/// The microbenchmarks of the steps of a transfer: each with its figures, and a paragraph on what
/// they contain and what they leave out.
std::string costs_as_text(const std::vector<CostEntry>& costs, std::size_t columns = any_width);
std::string costs_as_markdown(const std::vector<CostEntry>& costs);

}  // namespace ipclab
