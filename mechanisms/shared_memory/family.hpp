// Shared memory: one object, mapped by both. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/shared_memory/boost_shm.hpp"
#include "mechanisms/shared_memory/posix_shm.hpp"

namespace ipclab::shared_memory {

using Family = MechanismList<PosixShm, BoostShm>;

}  // namespace ipclab::shared_memory
