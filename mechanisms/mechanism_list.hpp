// A list of mechanisms, as a type: what may be asked of each is asked of all.
#pragma once

#include "mechanisms/mechanism.hpp"

namespace ipclab {

template <Mechanism... Ms>
struct MechanismList {
    /// Calls `visit.template operator()<M>()` for each mechanism, in order.
    static void for_each(auto&& visit) { (visit.template operator()<Ms>(), ...); }
};

}  // namespace ipclab
