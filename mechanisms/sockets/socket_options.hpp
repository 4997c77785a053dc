// What all sockets are asked for: to come back now and then, and to hold as much as is wanted.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/patience.hpp"

#include <climits>
#include <memory>
#include <mutex>
#include <sys/socket.h>

namespace ipclab::sockets {

inline void set_option(int socket, int level, int option, int value, std::string_view call) {
    must(::setsockopt(socket, level, option, &value, sizeof value), call);
}

/// A blocked call then comes back with EAGAIN after an interval, and its wait looks at the clock.
inline void limit_calls_to_a_glance(int socket) {
    const timeval limit{.tv_sec = 0, .tv_usec = std::chrono::microseconds(glance_interval).count()};
    for (const int direction : {SO_RCVTIMEO, SO_SNDTIMEO})
        must(::setsockopt(socket, SOL_SOCKET, direction, &limit, sizeof limit), "setsockopt");
}

/// One of a socket's two buffers. Its size counts the kernel's book-keeping along with the payload.
enum class Buffer { send, receive };

inline std::size_t buffer_bytes(int socket, Buffer which) {
    int bytes = 0;
    socklen_t size = sizeof bytes;
    must(::getsockopt(socket, SOL_SOCKET, which == Buffer::send ? SO_SNDBUF : SO_RCVBUF, &bytes,
                      &size),
         "getsockopt");
    return static_cast<std::size_t>(bytes);
}

/// Sets the size, as nearly as the kernel lets it; returns whether that is `bytes` at least. The
/// kernel doubles what it is told, cuts it down to a limit without a word, and passes the limit
/// for who asks by force and may (CAP_NET_ADMIN).
inline bool try_buffer(int socket, Buffer which, std::size_t bytes) {
    const auto half = static_cast<int>(std::min<std::size_t>(bytes / 2 + 1, INT_MAX / 2));
    const bool send = which == Buffer::send;
    for (const int option : {send ? SO_SNDBUF : SO_RCVBUF, send ? SO_SNDBUFFORCE : SO_RCVBUFFORCE})
        if (::setsockopt(socket, SOL_SOCKET, option, &half, sizeof half) == 0 &&
            buffer_bytes(socket, which) >= bytes)
            return true;
    return false;
}

/// As try_buffer; throws LimitReached where that is not enough.
inline void ask_for_buffer(int socket, Buffer which, std::size_t bytes) {
    if (try_buffer(socket, which, bytes)) return;
    const bool send = which == Buffer::send;
    const Limit limit = send ? limits::socket_send_bytes() : limits::socket_receive_bytes();
    const char* call = send ? "setsockopt(SO_SNDBUF)" : "setsockopt(SO_RCVBUF)";
    limit.admit(bytes / 2 + 1, call);
    throw limit.reached(call);
}

/// What a capacity or a message may need in a Unix socket's buffer beyond its payload.
constexpr std::size_t with_book_keeping(std::size_t bytes) { return bytes + bytes / 32 + 512; }

/// For sockets whose messages are as large as their send buffer admits. A larger message than the
/// limit admits travels in rounds; a larger capacity is refused.
inline void ask_for_room(int socket, const Needs& needs) {
    if (needs.capacity_bytes > 0)
        ask_for_buffer(socket, Buffer::send, with_book_keeping(needs.capacity_bytes));
    const std::size_t message = with_book_keeping(needs.message_bytes_max);
    if (message > buffer_bytes(socket, Buffer::send)) try_buffer(socket, Buffer::send, message);
}

/// Something that takes a while to find out, and is when somebody first asks, in whatever thread.
template <class T>
class OnDemand {
  public:
    const T& get(auto&& find_out) const {
        std::call_once(state_->once, [&] { state_->value = find_out(); });
        return state_->value;
    }

  private:
    struct State {
        std::once_flag once;
        T value{};
    };
    std::unique_ptr<State> state_ = std::make_unique<State>();
};

}  // namespace ipclab::sockets
