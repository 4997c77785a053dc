// Rings: queues in shared memory. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/rings/boost_spsc.hpp"
#include "mechanisms/rings/memif/memif.hpp"
#include "mechanisms/rings/snabb/snabb_link.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/rings/villas/villas_queue.hpp"
#include "mechanisms/waiting/adaptive_sleep.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

namespace ipclab::rings {

using Family = MechanismList<SpscRing<Spin>,                              //
                             SpscRing<SpinYield>,                         //
                             SpscRing<SpinThenFutex>,                     //
                             SpscRing<Spin, Latency>,                     //
                             SpscRing<Spin, Bulk>,                        //
                             SnabbLink<snabb::InterProc, AdaptiveSleep>,  //
                             SnabbLink<snabb::InterProc, Spin>,           //
                             SnabbLink<snabb::Interlink, AdaptiveSleep>,  //
                             SnabbLink<snabb::Interlink, Spin>,           //
                             VillasQueue<villas::Mode::futex>,            //
                             VillasQueue<villas::Mode::pthread>,          //
                             VillasQueue<villas::Mode::polling>,          //
                             Memif<memif::Mode::polling>,                 //
                             Memif<memif::Mode::interrupt>,               //
                             BoostSpsc>;

}  // namespace ipclab::rings
