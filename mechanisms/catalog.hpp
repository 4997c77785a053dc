// The table of contents: every mechanism, in the order in which to read them.
//
// To add one: write its header, and add it here. Everything else (list, scenarios, tests, plots)
// follows from this list.
#pragma once

#include "mechanisms/message_queues/posix_mq.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/shared_memory/posix_shm.hpp"
#include "mechanisms/sockets/unix_stream.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

namespace ipclab {

template <Mechanism... Ms>
struct MechanismList {
    /// Calls `visit.template operator()<M>()` for each mechanism, in order.
    static void for_each(auto&& visit) { (visit.template operator()<Ms>(), ...); }
};

using Catalog = MechanismList<Pipe,                 //
                              UnixStream,           //
                              PosixMq,              //
                              PosixShm,             //
                              SpscRing<Spin>,       //
                              SpscRing<SpinYield>,  //
                              SpscRing<SpinThenFutex>>;

}  // namespace ipclab
