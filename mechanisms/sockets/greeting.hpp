// How two datagram sockets find each other, and from then on hear nobody else.
//
// A datagram socket takes what anybody sends to its name, until it is connected: then the kernel
// turns away everybody but the peer. What came before that stays in the queue, and may be a
// stranger's. So the two greet each other, hello, welcome, ready, and throw away whatever comes
// before the word that they wait for:
//
//   initiator   connect(2) to the responder's name; hello →          welcome? ready →
//   responder   hello? connect(2) to where that came from; welcome →          ready?
//
// Now both are connected, both queues are empty, and whoever speaks first is heard.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/patience.hpp"

#include <array>
#include <cerrno>
#include <string_view>
#include <sys/socket.h>

namespace ipclab::sockets {

class Greeting {
  public:
    /// `socket` gives up a blocked call after a glance_interval. Where nobody has the responder's
    /// name, that is PeerGone if somebody `was_there`, else SystemError with ECONNREFUSED.
    Greeting(int socket, Wait& wait, bool was_there = false)
        : socket_(socket), wait_(wait), was_there_(was_there) {}

    /// On a socket that is connected to the responder's.
    void as_initiator() {
        // Again and again: the responder's queue may be full of other people's datagrams.
        do say(hello);
        while (!hear(welcome));
        say(ready);
    }
    /// On a socket that has a name and no peer: gives it one, from which alone it hears from now
    /// on.
    void await_the_initiator() {
        while (!hear(hello, true)) continue;
        was_there_ = true;
    }
    void welcome_the_initiator() {
        say(welcome);
        while (!hear(ready)) continue;
    }

  private:
    static constexpr std::string_view hello = "ipclab datagrams: hello";
    static constexpr std::string_view welcome = "ipclab datagrams: welcome";
    static constexpr std::string_view ready = "ipclab datagrams: ready";

    void say(std::string_view word) const {
        if (::send(socket_, word.data(), word.size(), 0) == -1) look_around("send");
    }
    /// Takes one datagram and returns whether it was the word; with `from_anybody`, connects to
    /// where that came from.
    bool hear(std::string_view word, bool from_anybody = false) const {
        std::array<char, 64> text;
        sockaddr_storage from;
        socklen_t from_size = sizeof from;
        auto* source = reinterpret_cast<sockaddr*>(&from);
        const ssize_t got = ::recvfrom(socket_, text.data(), text.size(), 0, source, &from_size);
        if (got == -1) {
            look_around("recvfrom");
            return false;
        }
        return std::string_view(text.data(), static_cast<std::size_t>(got)) == word &&
               (!from_anybody || ::connect(socket_, source, from_size) == 0);
    }
    void look_around(const char* call) const {
        if (errno == ECONNREFUSED && was_there_) throw PeerGone(call, errno);
        if (errno != EAGAIN && errno != EINTR) throw_system_error(call, errno);
        wait_.glance();
    }

    int socket_;
    Wait& wait_;
    bool was_there_;
};

}  // namespace ipclab::sockets
