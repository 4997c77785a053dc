// System V message queue: whole messages in the kernel, each with a type that the receiver asks
// for.
//
// A queue is found by a key, a number, and holds messages until their bytes are msg_qbytes. Each
// bears a type, a number above 0. msgrcv(2) takes the oldest message of one type, of any type (0),
// or of the lowest type up to a bound (negative). So types are addresses: here the type says who is
// to receive, and one queue carries both directions, and as many conversations as one likes, which
// share its room. Or types are priorities, for one receiver that takes them all. Not both: a
// receiver that asks for the lowest type gets what is addressed to others.
// msgsnd(2) copies a message into the kernel, msgrcv(2) copies it out. And the type has to stand in
// front of the text: a message that lies elsewhere is copied once more on either side.
//
//   create    a file; ftok(3) makes a key of it; msgget(2) with IPC_CREAT; msgctl(2) sets its room
//   attach    ftok(3), msgget(2)
//   exchange  msgsnd(2), msgrcv(2)
//   detach    nothing to do: an identifier is a number, and the kernel keeps no note of who uses it
//   destroy   msgctl(2) with IPC_RMID, without which the queue stays until the next boot
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/key_file.hpp"
#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/tick.hpp"

#include <sys/msg.h>
#include <vector>

namespace ipclab {

class SysvMq {
  public:
    /// A message's type: above 0.
    using Type = long;

    class Endpoint {
      public:
        Endpoint(const std::string& path, Role mine, std::chrono::milliseconds timeout)
            : id_(must(::msgget(key_of_file(path), 0), "msgget")),
              mine_(address_of(mine)),
              theirs_(address_of({other(mine.side), mine.index})),
              peer_(path, mine.side, mine.index),
              timeout_(timeout) {
            msqid_ds queue{};
            must(::msgctl(id_, IPC_STAT, &queue), "msgctl(IPC_STAT)");
            capacity_bytes_ = queue.msg_qbytes;
            message_bytes_max_ =
                std::min<std::size_t>(limits::sysv_mq_message_bytes().value, capacity_bytes_);
            outgoing_.resize(sizeof(Type) + message_bytes_max_);
            incoming_.resize(sizeof(Type) + message_bytes_max_);
        }

        void send(View out) { send(out, theirs_); }
        std::size_t receive(Bytes in) { return receive(in, mine_); }

        /// Sends a message to whoever asks for `type`.
        void send(View out, Type type) {
            if (out.size() > message_bytes_max_)
                throw Refused(
                    "msgsnd",
                    fmt::format("the queue takes messages of up to {} bytes", message_bytes_max_),
                    EINVAL);
            std::memcpy(outgoing_.data(), &type, sizeof type);
            if (!out.empty()) std::memcpy(outgoing_.data() + sizeof type, out.data(), out.size());
            tick_this_thread();
            Wait wait("msgsnd", timeout_, &peer_);
            while (::msgsnd(id_, outgoing_.data(), out.size(), 0) == -1)
                look_around("msgsnd", wait);
        }

        /// Takes the oldest message of `type`; below 0, of the lowest type up to -`type`: urgent
        /// ones first.
        std::size_t receive(Bytes in, Type type) {
            tick_this_thread();
            Wait wait("msgrcv", timeout_, &peer_);
            ssize_t got = 0;
            while ((got = ::msgrcv(id_, incoming_.data(), message_bytes_max_, type, 0)) == -1)
                look_around("msgrcv", wait);
            const auto size = static_cast<std::size_t>(got);
            if (size > in.size()) throw Refused::too_small("msgrcv", size, in.size());
            if (size > 0) std::memcpy(in.data(), incoming_.data() + sizeof type, size);
            return size;
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return message_bytes_max_; }
        /// Of all conversations in the queue together.
        [[nodiscard]] std::size_t capacity_bytes() const { return capacity_bytes_; }

        /// For a program that speaks to the kernel by itself.
        [[nodiscard]] int id() const { return id_; }
        [[nodiscard]] Type to_me() const { return mine_; }
        [[nodiscard]] Type to_peer() const { return theirs_; }

      private:
        static Type address_of(Role role) {
            return 1 + 2 * Type{role.index} + (role.side == Side::initiator ? 0 : 1);
        }
        /// Neither call knows a deadline; a tick interrupts them.
        static void look_around(const char* call, Wait& wait) {
            if (errno == EIDRM) throw PeerGone(call, errno);  // the queue was removed
            if (errno != EINTR) throw SystemError(call, errno);
            wait.glance();
        }

        int id_;
        Type mine_;
        Type theirs_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        std::size_t capacity_bytes_ = 0;
        std::size_t message_bytes_max_ = 0;
        std::vector<std::byte> outgoing_;  // type, text
        std::vector<std::byte> incoming_;
    };

    static SysvMq create(const Needs& needs) {
        SysvMq made(needs.timeout);
        made.queue_ = create_keyed(ObjectKind::sysv_mq, needs.address, "sysv-mq", [](key_t key) {
            const int id = ::msgget(key, IPC_CREAT | IPC_EXCL | 0600);
            if (id == -1 && errno == ENOSPC)
                throw limits::sysv_mq_queues().reached("msgget", errno);
            return must(id, "msgget");
        });
        made.where_ = {made.queue_.path};
        made.presence_ = Presence::create(made.where_.name);

        msqid_ds queue{};
        must(::msgctl(made.queue_.id, IPC_STAT, &queue), "msgctl(IPC_STAT)");
        queue.msg_qbytes = queue_bytes(needs, queue.msg_qbytes);
        if (::msgctl(made.queue_.id, IPC_SET, &queue) == -1) {
            // Who has CAP_SYS_RESOURCE may exceed it.
            if (errno == EPERM) limits::sysv_mq_bytes().admit(queue.msg_qbytes, "msgctl", errno);
            throw_system_error("msgctl(IPC_SET)", errno);
        }
        return made;
    }
    static SysvMq open(const Address& where, const Needs& needs) {
        SysvMq opened(needs.timeout);
        opened.where_ = {file_path(where.name, "sysv-mq")};
        return opened;
    }
    /// The path of the file for ftok(3).
    [[nodiscard]] Address address() const { return where_; }

    /// `role.index` says which of the conversations in the queue.
    Endpoint attach(Role role) { return {where_.name, role, timeout_}; }

    static constexpr Facts facts{
        .name = "sysv-mq",
        .family = "message_queues",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 4,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::key_file,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "msgmax (8 KiB)",
        .capacity = "msgmnb (16 KiB), both ways together",
        .priorities = true,
        .senders = std::numeric_limits<int>::max(),
        .receivers = std::numeric_limits<int>::max(),
        .waiting = Waiting::sleeps,
        .lesson =
            "One queue serves many, since a receiver asks for the type that it wants: its own "
            "address, or the most urgent.",
    };

  private:
    explicit SysvMq(std::chrono::milliseconds timeout) : timeout_(timeout) {}

    /// Room for whole messages of the largest size, so that capacity_bytes() is what finds room.
    static std::size_t queue_bytes(const Needs& needs, std::size_t by_default) {
        const std::size_t most = limits::sysv_mq_message_bytes().value;
        const std::size_t wanted =
            std::max(needs.capacity_bytes, std::min(needs.message_bytes_max, most));
        if (needs.capacity_bytes == 0 && wanted <= by_default)
            return by_default < most ? by_default : by_default / most * most;
        return wanted <= most ? wanted : round_up(wanted, most);
    }

    std::chrono::milliseconds timeout_;
    Address where_;
    KeyedObject queue_;
    NamedObject presence_;
};

static_assert(Addressed<SysvMq>);

}  // namespace ipclab
