// What the harness costs, measured: its loop against the one that somebody would write by hand.
#pragma once

namespace ipclab {

/// Registers overhead/<mechanism>/<pattern>/<size>/<placement> for a pipe and for the SPSC ring.
void register_overhead();

}  // namespace ipclab
