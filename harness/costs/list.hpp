// The table of contents of this folder: what each file measures.
#pragma once

#include "harness/costs/cost.hpp"

namespace ipclab {

std::vector<CostEntry> system_call_costs();  ///< system_call.cpp

}  // namespace ipclab
