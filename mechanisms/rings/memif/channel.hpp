// memif's control channel: a Unix socket of type SOCK_SEQPACKET, a message a packet.
//
// A descriptor travels beside the message that speaks of it (SCM_RIGHTS, unix(7)). Nothing here
// waits: the sockets do not block.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/rings/memif/handshake.hpp"
#include "mechanisms/sockets/unix_address.hpp"

#include <optional>

namespace ipclab::memif {

/// Throws PeerGone, SystemError; Refused where the peer does not read what it is sent.
void send(const Fd& socket, const Outgoing& message);

/// The next packet; nothing: none has come yet. One of no bytes is the end: the peer has closed the
/// socket, or is dead. Throws LimitReached where a descriptor came and there was no number left for
/// it, SystemError.
std::optional<Packet> receive(const Fd& socket);

/// A socket that listens, and its name.
struct Listener {
    Fd socket;
    NamedObject name;

    /// A socket that a program has left behind, and that no program has open, is removed first. It
    /// is looked for in /proc/net/unix: connecting to a socket to see whether it lives makes DPDK
    /// 22.11 panic. Throws Refused where the name is in use, SystemError.
    static Listener listen(const sockets::UnixAddress& address);
};
/// Throws Refused, SystemError where nobody listens there.
Fd connect(const sockets::UnixAddress& address);
/// Nothing: nobody has come. Throws LimitReached, SystemError.
std::optional<Fd> accept(const Fd& listener);

}  // namespace ipclab::memif
