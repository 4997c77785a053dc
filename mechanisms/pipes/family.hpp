// Pipes: a one-way stream of bytes in the kernel. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/pipes/fifo.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/pipes/vmsplice.hpp"

namespace ipclab::pipes {

using Family = MechanismList<Pipe, SpinningPipe, Fifo, PipeVmsplice>;

}  // namespace ipclab::pipes
