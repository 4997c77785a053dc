// Files: what every program already knows how to read and write. In the order in which to read
// them.
#pragma once

#include "mechanisms/files/file.hpp"
#include "mechanisms/mechanism_list.hpp"

namespace ipclab::files {

using Family = MechanismList<File>;

}  // namespace ipclab::files
