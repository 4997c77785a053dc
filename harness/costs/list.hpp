// The table of contents of this folder: what each file measures.
#pragma once

#include "harness/costs/cost.hpp"

namespace ipclab {

std::vector<CostEntry> system_call_costs();     ///< system_call.cpp
std::vector<CostEntry> memory_copy_costs();     ///< memory_copy.cpp
std::vector<CostEntry> payload_kernel_costs();  ///< payload_kernels.cpp
std::vector<CostEntry> mapping_costs();         ///< mapping.cpp
std::vector<CostEntry> huge_page_costs();       ///< huge_pages.cpp
std::vector<CostEntry> sysv_attach_costs();     ///< sysv_attach.cpp
std::vector<CostEntry> fresh_object_costs();    ///< fresh_object.cpp
std::vector<CostEntry> in_place_costs();        ///< in_place.cpp
std::vector<CostEntry> kernel_copy_costs();     ///< kernel_copy.cpp
std::vector<CostEntry> process_vm_costs();      ///< process_vm.cpp
std::vector<CostEntry> vmsplice_costs();        ///< vmsplice.cpp
std::vector<CostEntry> wake_up_costs();         ///< wake_up.cpp

}  // namespace ipclab
