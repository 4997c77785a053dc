// A descriptor for a process that has not inherited it.
//
// A Unix socket carries descriptors beside its bytes (SCM_RIGHTS, unix(7)): what arrives is a new
// descriptor of the receiver's for the same open file, whatever either process may open by name.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/patience.hpp"

#include <cstring>
#include <sys/socket.h>

namespace ipclab {

/// Over a connected Unix socket, together with one byte: rights do not travel alone. The caller
/// keeps its own descriptor.
inline void send_descriptor(int socket, int descriptor) {
    char byte = 0;
    iovec bytes{&byte, 1};
    alignas(cmsghdr) char rights[CMSG_SPACE(sizeof descriptor)]{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = rights;
    message.msg_controllen = sizeof rights;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
    must(::sendmsg(socket, &message, MSG_NOSIGNAL), "sendmsg(SCM_RIGHTS)");
}

/// The socket's receive timeout should be a glance_interval. Throws PeerGone, TimedOut; Refused
/// when something else comes than one descriptor.
inline Fd receive_descriptor(int socket, std::chrono::milliseconds timeout) {
    constexpr const char* call = "recvmsg(SCM_RIGHTS)";
    char byte = 0;
    iovec bytes{&byte, 1};
    int descriptor = -1;
    alignas(cmsghdr) char rights[CMSG_SPACE(sizeof descriptor)]{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = rights;
    message.msg_controllen = sizeof rights;
    Wait wait(call, timeout);
    ssize_t got = 0;
    // What there is no room for, the kernel closes again.
    while ((got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) == -1) {
        if (errno == ECONNRESET) throw PeerGone(call, errno);
        if (errno != EAGAIN && errno != EINTR) throw_system_error(call, errno);
        wait.glance();
    }
    if (got == 0) throw PeerGone(call);
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(sizeof descriptor))
        throw Refused(call, "a descriptor was expected, and something else came");
    std::memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
    Fd received(descriptor);
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        throw Refused(call, "more came than the one descriptor that was expected");
    return received;
}

}  // namespace ipclab
