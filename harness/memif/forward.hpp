// `ipclab memif forward`: a cable between two interfaces.
#pragma once

#include "mechanisms/rings/memif/interface.hpp"

namespace ipclab {

/// What becomes of a packet that the other side has no room for. Without a connection over there it
/// is dropped in either case.
enum class WhenFull {
    drop,  ///< it is dropped and counted, as a switch does
    hold,  ///< it waits, and nothing more is received from its queue: its sender finds the ring
           ///< full
};

/// Until SIGINT, SIGTERM or SIGHUP; then prints totals. Returns the exit status.
int run_forwarder(const memif::Options& a, const memif::Options& b, memif::Mode mode,
                  WhenFull when_full);

}  // namespace ipclab
