// Where Unix sockets are found, who may come, and how two of them get connected.
//
// A name is a path of the file system, which the mode of the file guards, or, with "@" in front as
// ss(8) writes it, a name in a table of the kernel's own: the abstract namespace, which guards
// nothing (unix(7)). Whoever is at the other end of a connection is asked for its user in any case:
// the kernel noted it at connect(2) and at listen(2), and no process can lie about it.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/sockets/socket_options.hpp"

#include <filesystem>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

namespace ipclab::sockets {

class UnixAddress {
  public:
    UnixAddress() = default;
    /// A path, made absolute, or "@name".
    explicit UnixAddress(std::string_view given)
        : text_(given.starts_with('@') ? std::string(given)
                                       : std::filesystem::absolute(given).string()) {
        if (text_.size() >= sizeof where_.sun_path)
            throw Refused("bind", fmt::format("the address {} is longer than {} bytes", text_,
                                              sizeof where_.sun_path - 1));
        where_.sun_family = AF_UNIX;
        text_.copy(where_.sun_path, text_.size());
        if (is_abstract()) where_.sun_path[0] = '\0';
    }

    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] bool is_abstract() const { return text_.starts_with('@'); }

    /// Enters the name in the registry and binds `socket` to it; a path gets mode 0600.
    [[nodiscard]] NamedObject bind(int socket) const {
        NamedObject name = is_abstract() ? NamedObject(ObjectKind::abstract_socket, text_.substr(1))
                                         : NamedObject(ObjectKind::file, text_);
        const mode_t umask = ::umask(0177);  // bind makes the file: 0600 from the first moment
        const int bound = ::bind(socket, get(), size());
        ::umask(umask);
        if (bound == -1 && errno == EADDRINUSE)
            throw Refused("bind", fmt::format("{} is there already", text_), errno);
        must(bound, "bind");
        return name;
    }

    void connect(int socket, Wait wait) const {
        while (::connect(socket, get(), size()) == -1) {
            if (errno == EACCES)
                throw Refused("connect", fmt::format("{} is not for this user", text_), errno);
            if (errno == EPERM)
                throw Refused("connect", fmt::format("{} has another peer", text_), errno);
            if (errno != EAGAIN && errno != EINTR) throw_system_error("connect", errno);
            wait.glance();  // the queue of those who wait to be accepted is full
        }
    }

  private:
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&where_); }
    /// An abstract name ends where the address ends; a null byte would be part of it.
    [[nodiscard]] socklen_t size() const {
        return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text_.size() +
                                      (is_abstract() ? 0 : 1));
    }

    std::string text_;
    sockaddr_un where_{};
};

/// `needs.address`, or a fresh name: a path, or an abstract one.
inline UnixAddress address_or_fresh(const Needs& needs, const std::string& word,
                                    bool abstract = false) {
    if (!needs.address.name.empty()) return UnixAddress(needs.address.name);
    const std::string name = fresh_name(word);
    return UnixAddress(abstract ? fmt::format("@{}", name)
                                : fmt::format("{}/{}", runtime_folder(), name));
}

/// Throws Refused unless the other end of the connection was made by this process's user.
inline void refuse_strangers(int socket, std::string_view call) {
    ucred peer{};
    socklen_t size = sizeof peer;
    must(::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size), "getsockopt(SO_PEERCRED)");
    if (peer.uid != ::geteuid())
        throw Refused(call, fmt::format("the peer's process {} belongs to uid {}, this one to {}",
                                        peer.pid, peer.uid, ::geteuid()));
}

/// A connection of type SOCK_STREAM or SOCK_SEQPACKET in the making.
class UnixMeetingPoint {
  public:
    static UnixMeetingPoint create(int type, const Needs& needs, UnixAddress address) {
        UnixMeetingPoint made(type, needs, std::move(address));
        made.listener_ = made.socket();
        made.name_ = made.address_.bind(made.listener_.get());
        must(::listen(made.listener_.get(), 1), "listen");
        return made;
    }
    static UnixMeetingPoint open(int type, const Needs& needs, UnixAddress address) {
        return {type, needs, std::move(address)};
    }
    [[nodiscard]] const UnixAddress& address() const { return address_; }
    [[nodiscard]] const Needs& needs() const { return needs_; }

    /// The initiator connects, the responder accepts. Throws TimedOut when nobody comes, Refused
    /// when somebody else's process does.
    Fd attach(Side side) {
        Fd connection = side == Side::initiator ? connect() : accept();
        stand_aside();
        return connection;
    }
    void stand_aside() { listener_.reset(); }

  private:
    UnixMeetingPoint(int type, const Needs& needs, UnixAddress address)
        : type_(type), needs_(needs), address_(std::move(address)) {
        if (type_ == SOCK_STREAM) needs_.message_bytes_max = 0;  // any size travels whole
    }

    [[nodiscard]] Fd socket() const {
        return tuned(Fd(must(::socket(AF_UNIX, type_ | SOCK_CLOEXEC, 0), "socket")));
    }
    /// An accepted socket does not take over its listener's buffer.
    [[nodiscard]] Fd tuned(Fd socket) const {
        ask_for_room(socket.get(), needs_);
        limit_calls_to_a_glance(socket.get());
        return socket;
    }
    [[nodiscard]] Fd connect() const {
        Fd mine = socket();
        address_.connect(mine.get(), Wait("connect", needs_.timeout));
        refuse_strangers(mine.get(), "connect");
        return mine;
    }
    [[nodiscard]] Fd accept() const {
        if (!listener_) throw Refused("attach", "who opens a socket by its name is the initiator");
        Wait wait("accept", needs_.timeout);
        for (;;) {
            Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (accepted) {
                refuse_strangers(accepted.get(), "accept");
                return tuned(std::move(accepted));
            }
            if (errno != EAGAIN && errno != EINTR) throw_system_error("accept4", errno);
            wait.glance();
        }
    }

    int type_;
    Needs needs_;
    UnixAddress address_;
    NamedObject name_;
    Fd listener_;
};

/// A pair of connected sockets with the buffers that `needs` asks for, to try things out on.
struct UnixPair {
    UnixPair(int type, const Needs& needs) {
        int ends[2];
        must(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
        writer = Fd(ends[0]);
        reader = Fd(ends[1]);
        ask_for_room(writer.get(), needs);
    }
    /// Whether a packet finds room. Throws nothing when it is too large or the queue is full.
    bool accepts(View packet) const {
        return ::send(writer.get(), packet.data(), packet.size(), MSG_DONTWAIT) != -1;
    }
    Fd writer;
    Fd reader;
};

/// How large a packet may be, and how many of that size go unread: found by trying, since
/// SO_SNDBUF counts packets with their overhead.
struct PacketRoom {
    std::size_t packet_bytes = 0;
    std::size_t packets = 0;

    static PacketRoom by_trying(int type, const Needs& needs) {
        const UnixPair pair(type, needs);
        const std::vector<std::byte> plenty(buffer_bytes(pair.writer.get(), Buffer::send));
        const auto packet = [&](std::size_t bytes) { return View(plenty).first(bytes); };
        std::size_t fits = 0;
        std::size_t too_large = plenty.size() + 1;
        while (too_large - fits > 1) {
            const std::size_t middle = (fits + too_large) / 2;
            if (pair.accepts(packet(middle))) {
                std::byte ignored;
                must(::recv(pair.reader.get(), &ignored, 1, 0), "recv");
                fits = middle;
            } else {
                too_large = middle;
            }
        }
        PacketRoom room{fits, 0};
        while (pair.accepts(packet(fits))) ++room.packets;
        return room;
    }
};

}  // namespace ipclab::sockets
