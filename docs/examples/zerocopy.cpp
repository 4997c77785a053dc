// MSG_ZEROCOPY over loopback: does the kernel do without the copy?
//
// send(2) with MSG_ZEROCOPY lets the network's buffers point to the sender's pages, and reports on
// the socket's error queue when they may be written again. The report also says whether the kernel
// had to copy after all. Over loopback, it always does: a receiver on the same machine may leave
// its data unread for ever, and the report would wait for that
// (Documentation/networking/msg_zerocopy.rst, "Loopback").
//
//   cmake --build build/release --target zerocopy && build/release/docs/examples/zerocopy
//
// Ends with 77 where the kernel has no MSG_ZEROCOPY or refuses it.
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <fmt/format.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

using ipclab::Fd;
using ipclab::must;

namespace {

constexpr int skipped = 77;
constexpr std::size_t message_bytes = std::size_t{64} << 10;
constexpr std::uint32_t messages = 1000;

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

void read_to_the_end(int socket) {
    std::vector<std::byte> buffer(message_bytes);
    while (must(::read(socket, buffer.data(), buffer.size()), "read") > 0) continue;
}

struct Sends {
    std::uint32_t reported = 0;
    std::uint32_t copied = 0;
};

/// Adds one report of the error queue, which tells of a range of sends; waits until there is one.
void read_report(int socket, Sends& sends) {
    pollfd watched{socket, 0, 0};  // POLLERR is always told
    if (must(::poll(&watched, 1, 10'000), "poll") == 0) throw ipclab::TimedOut("poll");
    alignas(cmsghdr) std::byte control[128];
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    must(::recvmsg(socket, &message, MSG_ERRQUEUE), "recvmsg");
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_IP || part->cmsg_type != IP_RECVERR) continue;
        sock_extended_err report{};
        std::memcpy(&report, CMSG_DATA(part), sizeof report);
        if (report.ee_errno != 0 || report.ee_origin != SO_EE_ORIGIN_ZEROCOPY) continue;
        const std::uint32_t count = report.ee_data - report.ee_info + 1;
        sends.reported += count;
        if ((report.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0) sends.copied += count;
    }
}

/// Sends all of `message`; returns how many calls with MSG_ZEROCOPY that took.
std::uint32_t send_all(int socket, const std::vector<std::byte>& message) {
    std::uint32_t calls = 0;
    for (std::size_t sent = 0; sent < message.size(); ++calls)
        sent += static_cast<std::size_t>(must(
            ::send(socket, message.data() + sent, message.size() - sent, MSG_ZEROCOPY), "send"));
    return calls;
}

int send_and_count() {
    const Connection connection = connect_over_loopback();
    const int client = connection.client.get();
    const int yes = 1;
    if (::setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &yes, sizeof yes) == -1) {
        fmt::print("skipped: setsockopt(SO_ZEROCOPY): {}\n", std::strerror(errno));
        return skipped;
    }
    std::jthread server([&] { read_to_the_end(connection.server.get()); });
    const std::vector<std::byte> message(message_bytes, std::byte{1});
    Sends sends;
    try {
        // The message may be written again only when its report has come, so each is waited for.
        for (std::uint32_t i = 0, calls = 0; i < messages; ++i) {
            calls += send_all(client, message);
            while (sends.reported < calls) read_report(client, sends);
        }
    } catch (...) {
        ::shutdown(client, SHUT_RDWR);
        throw;
    }
    ::shutdown(client, SHUT_WR);
    fmt::print("messages of 64 KiB sent with MSG_ZEROCOPY: {}\n", messages);
    fmt::print("sends that the kernel copied nevertheless: {:.0f} %\n",
               100.0 * sends.copied / sends.reported);
    return 0;
}

}  // namespace

int main() {
    try {
        return send_and_count();
    } catch (const ipclab::IpcError& error) {
        if (error.error() == ENOBUFS || error.error() == EPERM) {  // optmem_max, RLIMIT_MEMLOCK
            fmt::print("skipped: {}\n", error.what());
            return skipped;
        }
        fmt::print(stderr, "zerocopy: {}\n", error.what());
        return 1;
    }
}
