// Sockets: two ends of a connection, or two names. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/sockets/tcp.hpp"
#include "mechanisms/sockets/udp.hpp"
#include "mechanisms/sockets/udp_credit.hpp"
#include "mechanisms/sockets/unix_dgram.hpp"
#include "mechanisms/sockets/unix_seqpacket.hpp"
#include "mechanisms/sockets/unix_stream.hpp"

namespace ipclab::sockets {

using Family = MechanismList<UnixStream,          //
                             UnixStreamAbstract,  //
                             UnixSeqpacket,       //
                             UnixDgram,           //
                             Tcp,                 //
                             Udp,                 //
                             UdpCredit>;

}  // namespace ipclab::sockets
