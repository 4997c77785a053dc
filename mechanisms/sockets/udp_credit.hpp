// UDP with flow control: the datagrams of udp.hpp, and the credit of credited.hpp.
//
// The receiver says how much room it has, the sender waits until it has credit, and so the kernel
// never has to drop anything. Copies and calls are those of bare UDP; a grant that travels alone
// costs one call more on either side for every half window, some 70 messages of 64 bytes. The end
// of a conversation is a datagram, too: without a goodbye, a port that nobody has any more means
// that the peer was killed.
//
//   create    as udp, with a receive buffer for the window and what else may lie there
//   attach    as udp; then each side grants the other its window
//   exchange  sendmsg(2), recvmsg(2): the newest grant in front of each message
//   detach    a goodbye, close(2)
//   destroy   nothing to do
#pragma once

#include "mechanisms/credited.hpp"
#include "mechanisms/sockets/udp.hpp"

namespace ipclab {

inline constexpr Facts udp_credit_facts = [] {
    Facts facts = Udp::facts;
    facts.name = "udp/credit";
    facts.message_bytes_max = "65491 B";
    facts.capacity = "2 of the largest messages";
    facts.delivery = Delivery::reliable;
    facts.lesson = "Nothing is lost once the receiver says how much it has room for and the sender "
                   "heeds it: what the kernel does for others by letting a sender wait.";
    return facts;
}();

using UdpCredit = Credited<Udp, udp_credit_facts>;
static_assert(Addressed<UdpCredit>);

}  // namespace ipclab
