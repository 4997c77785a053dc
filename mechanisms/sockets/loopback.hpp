// Ports of 127.0.0.1, the address at which a machine talks to itself.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/sockets/socket_options.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <linux/sock_diag.h>
#include <netinet/in.h>

namespace ipclab::sockets {

/// `port` as text; "" and "0" leave the choice to the kernel.
inline sockaddr_in loopback(const std::string& port) {
    std::uint16_t number = 0;
    const char* end = port.data() + port.size();
    const auto read = std::from_chars(port.data(), end, number);
    if (!port.empty() && (read.ec != std::errc{} || read.ptr != end))
        throw Refused("bind", fmt::format("{} is not a port; a number up to 65535 is", port));
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(number);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return where;
}

inline std::string port_of(const sockaddr_in& where) {
    return fmt::format("{}", ntohs(where.sin_port));
}

inline const sockaddr* pointer_to(const sockaddr_in& where) {
    return reinterpret_cast<const sockaddr*>(&where);
}

/// Binds to the port and enters it in the registry, by the number that it then has. Throws Refused
/// where it is in use.
inline NamedObject bind_to_port(int socket, const std::string& port, ObjectKind kind) {
    sockaddr_in where = loopback(port);
    socklen_t size = sizeof where;
    if (::bind(socket, pointer_to(where), size) == -1) {
        if (errno == EADDRINUSE)
            throw Refused("bind", fmt::format("port {} is in use", port), errno);
        if (errno == EACCES)
            throw Refused("bind", fmt::format("port {} is for privileged processes", port), errno);
        throw_system_error("bind", errno);
    }
    must(::getsockname(socket, reinterpret_cast<sockaddr*>(&where), &size), "getsockname");
    return {kind, port_of(where)};
}

/// Whether nobody has the UDP port to which `socket` is connected: then bind(2) gets it.
inline bool peers_udp_port_is_free(int socket) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    must(::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size), "getpeername");
    const Fd probe(must(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    return ::bind(probe.get(), pointer_to(peer), size) == 0;
}

/// How many datagrams the kernel has dropped at this socket, for want of room.
inline std::uint32_t dropped_so_far(int socket) {
    std::uint32_t figures[SK_MEMINFO_VARS]{};
    socklen_t size = sizeof figures;
    must(::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, figures, &size), "getsockopt(SO_MEMINFO)");
    return figures[SK_MEMINFO_DROPS];
}

}  // namespace ipclab::sockets
