// `ipclab cat`: a netcat for every mechanism that has an address.
#pragma once

#include "harness/line.hpp"

#include <string>

namespace ipclab {

/// Copies standard input to the peer and what the peer sends to standard output, until both have
/// come to their end; a terminal is not waited for once the peer has ended. Returns the exit
/// status; throws what open_line() throws.
int run_netcat(const std::string& mechanism, const std::string& address, LineEnd end);

}  // namespace ipclab
