// Cross memory: one process reads another's memory. In the order in which to read them.
#pragma once

#include "mechanisms/cross_memory/process_vm.hpp"
#include "mechanisms/mechanism_list.hpp"

namespace ipclab::cross_memory {

using Family = MechanismList<ProcessVm, SleepingProcessVm, SpinningProcessVm>;

}  // namespace ipclab::cross_memory
