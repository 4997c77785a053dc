// Nagle's algorithm meets the delayed acknowledgement: a request that is written in two parts.
//
// TCP holds a small segment back while an earlier one is not acknowledged (RFC 896, Nagle), so that
// a program that writes byte by byte does not send a packet each. And a receiver acknowledges late,
// in the hope that an answer will carry the acknowledgement along (RFC 1122, 4.2.3.2). Each is
// sensible. Together they stop a request whose header and payload are written by two calls: the
// payload waits for the header's acknowledgement, and the receiver, which cannot answer half a
// request, keeps that back for some 40 ms.
//
// Two remedies: TCP_NODELAY, or, better, one call for both parts (writev(2)), which also costs one
// system call less. This program shows all three; counts first, for who reads by program.
//
//   cmake --build build/release --target nagle && build/release/docs/examples/nagle
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <cstddef>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <thread>
#include <vector>

using ipclab::Fd;
using ipclab::must;

namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t payload_bytes = 64;
constexpr std::size_t request_bytes = header_bytes + payload_bytes;
constexpr int requests = 50;

struct Connection {
    Fd client;
    Fd server;
};

Connection connect_over_loopback() {
    const Fd listener(must(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* where = reinterpret_cast<sockaddr*>(&address);
    must(::bind(listener.get(), where, size), "bind");
    must(::listen(listener.get(), 1), "listen");
    must(::getsockname(listener.get(), where, &size), "getsockname");
    Fd client(must(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    must(::connect(client.get(), where, size), "connect");
    return {std::move(client),
            Fd(must(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept4"))};
}

void read_all(int socket, std::size_t bytes) {
    std::array<std::byte, request_bytes> buffer;
    while (bytes > 0) {
        const auto got = must(::read(socket, buffer.data(), bytes), "read");
        if (got == 0) throw ipclab::Closed("read");
        bytes -= static_cast<std::size_t>(got);
    }
}

/// Reads whole requests, and answers each with one byte.
void serve(int socket) {
    for (int i = 0; i < requests; ++i) {
        read_all(socket, request_bytes);
        must(::write(socket, "!", 1), "write");
    }
}

/// Returns how many calls it took.
int write_in_two_calls(int socket) {
    const std::array<std::byte, request_bytes> request{};
    must(::write(socket, request.data(), header_bytes), "write");
    must(::write(socket, request.data() + header_bytes, payload_bytes), "write");
    return 2;
}
int write_in_one_call(int socket) {
    std::array<std::byte, request_bytes> request{};
    const iovec parts[] = {{request.data(), header_bytes},
                           {request.data() + header_bytes, payload_bytes}};
    must(::writev(socket, parts, 2), "writev");
    return 1;
}

void show(const char* name, int nodelay, int (*write_request)(int socket)) {
    const Connection connection = connect_over_loopback();
    const int client = connection.client.get();
    must(::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof nodelay), "setsockopt");
    std::jthread server([&] { serve(connection.server.get()); });
    std::vector<double> round_trip_us;
    int writes = 0;
    for (int i = 0; i < requests; ++i) {
        const auto start = std::chrono::steady_clock::now();
        writes += write_request(client);
        read_all(client, 1);
        const std::chrono::duration<double, std::micro> took =
            std::chrono::steady_clock::now() - start;
        round_trip_us.push_back(took.count());
    }
    std::sort(round_trip_us.begin(), round_trip_us.end());
    fmt::print("{:3} writes for {} requests, round trip {:8.1f} us (median): {}\n", writes,
               requests, round_trip_us[requests / 2], name);
}

}  // namespace

int main() {
    show("header and payload in two writes, Nagle on", 0, write_in_two_calls);
    show("header and payload in two writes, TCP_NODELAY", 1, write_in_two_calls);
    show("header and payload in one writev, Nagle on", 0, write_in_one_call);
}
