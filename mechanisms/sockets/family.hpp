// Sockets: two ends of a connection. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/sockets/unix_stream.hpp"

namespace ipclab::sockets {

using Family = MechanismList<UnixStream>;

}  // namespace ipclab::sockets
