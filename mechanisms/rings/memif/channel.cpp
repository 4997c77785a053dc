#include "mechanisms/rings/memif/channel.hpp"

#include <fcntl.h>
#include <fstream>
#include <sys/socket.h>

namespace ipclab::memif {
namespace {

constexpr int waiting_to_be_accepted = 8;

Fd new_socket() {
    return Fd(must(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

/// Whether a socket of this network namespace has the path. The last column, after seven others.
bool has_a_socket(const std::string& path) {
    std::ifstream lines("/proc/net/unix");
    for (std::string line; std::getline(lines, line);)
        if (line.size() > path.size() && line.ends_with(path) &&
            line[line.size() - path.size() - 1] == ' ')
            return true;
    return false;
}

void remove_if_stale(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == -1 || !S_ISSOCK(status.st_mode)) return;
    if (!has_a_socket(path)) ::unlink(path.c_str());
}

}  // namespace

void send(const Fd& socket, const Outgoing& message) {
    Message bytes = message.message;
    iovec parts{bytes.data(), bytes.size()};
    alignas(cmsghdr) char rights[CMSG_SPACE(sizeof message.descriptor)]{};
    msghdr packet{};
    packet.msg_iov = &parts;
    packet.msg_iovlen = 1;
    if (message.descriptor >= 0) {
        packet.msg_control = rights;
        packet.msg_controllen = sizeof rights;
        cmsghdr* const head = CMSG_FIRSTHDR(&packet);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof message.descriptor);
        std::memcpy(CMSG_DATA(head), &message.descriptor, sizeof message.descriptor);
    }
    while (::sendmsg(socket.get(), &packet, MSG_NOSIGNAL) == -1) {
        if (errno == EPIPE || errno == ECONNRESET) throw PeerGone("sendmsg", errno);
        if (errno == EAGAIN) throw Refused("sendmsg", "the peer does not read", errno);
        if (errno != EINTR) throw_system_error("sendmsg", errno);
    }
}

std::optional<Packet> receive(const Fd& socket) {
    constexpr std::size_t descriptors_max = 4;
    Packet packet;
    iovec parts{packet.bytes.data(), packet.bytes.size()};
    // Beside descriptors the peer's credentials may come, where somebody has asked for them.
    alignas(cmsghdr) char
        control[CMSG_SPACE(sizeof(int) * descriptors_max) + CMSG_SPACE(sizeof(ucred))];
    msghdr header{};
    header.msg_iov = &parts;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t got = 0;
    while ((got = ::recvmsg(socket.get(), &header, MSG_CMSG_CLOEXEC)) == -1) {
        if (errno == EAGAIN) return std::nullopt;
        if (errno == ECONNRESET) return packet;
        if (errno != EINTR) throw_system_error("recvmsg", errno);
    }
    packet.size = static_cast<std::size_t>(got);
    packet.cut = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (const cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr;
         item = CMSG_NXTHDR(&header, const_cast<cmsghdr*>(item))) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        packet.descriptors.reserve(packet.descriptors.size() + count);
        for (std::size_t i = 0; i < count; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(item) + i * sizeof descriptor, sizeof descriptor);
            packet.descriptors.emplace_back(descriptor);
        }
    }
    // The kernel drops descriptors that it has no number for, and says so only in this way.
    if ((header.msg_flags & MSG_CTRUNC) != 0 && packet.descriptors.empty())
        Fd(must(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0), "recvmsg(SCM_RIGHTS)"));
    return packet;
}

Listener Listener::listen(const sockets::UnixAddress& address) {
    if (!address.is_abstract()) remove_if_stale(address.text());
    Listener made;
    made.socket = new_socket();
    made.name = address.bind(made.socket.get());
    must(::listen(made.socket.get(), waiting_to_be_accepted), "listen");
    return made;
}

Fd connect(const sockets::UnixAddress& address) {
    Fd made = new_socket();
    address.connect(made.get(), Wait("connect", std::chrono::milliseconds(0)));
    return made;
}

std::optional<Fd> accept(const Fd& listener) {
    Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (accepted) return accepted;
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        throw_system_error("accept4", errno);
    return std::nullopt;
}

}  // namespace ipclab::memif
