#include "mechanisms/rings/memif/channel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <limits>
#include <sstream>
#include <sys/socket.h>

namespace ipclab::memif {
namespace {

constexpr int waiting_to_be_accepted = 8;

Fd new_socket() {
    return Fd(must(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

enum class Use { none, held, listens };

/// What sockets of this network namespace that have the name are for.
Use use_of(const std::string& name) {
    constexpr unsigned long accepts_connections = 1UL << 16;
    constexpr auto rest_of_line = std::numeric_limits<std::streamsize>::max();
    Use use = Use::none;
    std::ifstream sockets("/proc/net/unix");
    sockets.ignore(rest_of_line, '\n');
    for (std::string line; std::getline(sockets, line);) {
        // "Num: RefCount Protocol Flags Type St Inode Path"
        if (!line.ends_with(name) || line.size() == name.size() ||
            line[line.size() - name.size() - 1] != ' ')
            continue;
        std::istringstream columns(line);
        std::string skipped;
        unsigned long flags = 0;
        columns >> skipped >> skipped >> skipped >> std::hex >> flags;
        if ((flags & accepts_connections) != 0) return Use::listens;
        use = Use::held;
    }
    return use;
}

/// Removes a socket of a program that has ended; refuses a name that is taken.
void make_way(const sockets::UnixAddress& address) {
    const std::string& name = address.text();
    const auto refuse = [](const std::string& why) { throw Refused("listen", why, EADDRINUSE); };
    const Use use = use_of(name);
    if (use == Use::listens)
        refuse(
            fmt::format("a program listens on {} already; choose another {}, or stop that program",
                        name, address.is_abstract() ? "name" : "path"));
    struct stat status {};
    if (address.is_abstract() || ::lstat(name.c_str(), &status) == -1) return;
    if (!S_ISSOCK(status.st_mode))
        refuse(
            fmt::format("{} is there and is no socket; choose another path, or remove it", name));
    if (use == Use::held)
        refuse(fmt::format(
            "a program has the socket {} open; choose another path, or stop that program", name));
    ::unlink(name.c_str());
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
    make_way(address);
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
