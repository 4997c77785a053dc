// Ports of 127.0.0.1, the address at which a machine talks to itself.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/sockets/socket_options.hpp"

#include <arpa/inet.h>
#include <charconv>
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

}  // namespace ipclab::sockets
