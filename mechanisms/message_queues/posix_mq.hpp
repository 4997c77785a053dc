// POSIX message queue: whole messages in the kernel, in order of priority.
//
// A queue has a name and holds a fixed number of messages of a fixed largest size, both chosen when
// it is created and bounded by the system. mq_send(3) copies a message into the kernel,
// mq_receive(3) copies the oldest of the highest priority out: two copies, two system calls, and
// boundaries are kept. A receiver at an empty queue sleeps, and a sender hands the message to it
// directly; a sender at a full queue sleeps. A queue takes no note of who uses it, and outlives
// them all. Its bytes are counted against the user who made it, before there is a message.
//
//   create    mq_open(3) with O_CREAT, twice: a queue for each direction
//   attach    mq_open(3) by name
//   exchange  mq_send(3), mq_receive(3)
//   detach    mq_close(3)
//   destroy   mq_unlink(3), without which the queue stays until the next boot
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/message_queues/priority.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/posix_mq_object.hpp"
#include "mechanisms/os/tick.hpp"

#include <fcntl.h>
#include <mqueue.h>
#include <vector>

namespace ipclab {

class PosixMq {
  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : to_peer_(open_posix_mq(queue_name(name, mine), O_RDWR)),
              from_peer_(open_posix_mq(queue_name(name, other(mine)), O_RDWR)),
              peer_(name, mine),
              timeout_(timeout) {
            must(::mq_getattr(to_peer_.get(), &limits_), "mq_getattr");
            bounce_.resize(message_bytes_max());
        }

        void send(View out, Priority priority = {}) {
            if (out.size() > message_bytes_max())
                throw Refused(
                    "mq_send",
                    fmt::format("the queue takes messages of up to {} bytes", message_bytes_max()),
                    EMSGSIZE);
            // Not mq_timedsend(3): its timer costs whoever sleeps a tenth of a round trip.
            tick_this_thread();
            Wait wait("mq_send", timeout_, &peer_);
            const auto* bytes = reinterpret_cast<const char*>(out.data());
            while (::mq_send(to_peer_.get(), bytes, out.size(), priority.value) == -1)
                look_around("mq_send", wait);
        }

        /// The kernel insists on a buffer for the largest message. A smaller one is filled from a
        /// bounce buffer, at the price of a copy.
        std::size_t receive(Bytes in) {
            tick_this_thread();
            Wait wait("mq_receive", timeout_, &peer_);
            const Bytes room = in.size() >= message_bytes_max() ? in : Bytes(bounce_);
            auto* bytes = reinterpret_cast<char*>(room.data());
            ssize_t got = 0;
            while ((got = ::mq_receive(from_peer_.get(), bytes, room.size(), nullptr)) == -1)
                look_around("mq_receive", wait);
            const auto size = static_cast<std::size_t>(got);
            if (size > in.size()) throw Refused::too_small("mq_receive", size, in.size());
            if (room.data() != in.data()) std::memcpy(in.data(), room.data(), size);
            return size;
        }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return static_cast<std::size_t>(limits_.mq_msgsize);
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return message_bytes_max() * static_cast<std::size_t>(limits_.mq_maxmsg);
        }
        /// Queue descriptors are file descriptors on Linux: an event loop can watch them.
        [[nodiscard]] mqd_t input() const { return from_peer_.get(); }
        [[nodiscard]] mqd_t output() const { return to_peer_.get(); }

      private:
        static void look_around(const char* call, Wait& wait) {
            if (errno != EINTR) throw SystemError(call, errno);
            wait.glance();
        }

        Fd to_peer_;
        Fd from_peer_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        mq_attr limits_{};
        std::vector<std::byte> bounce_;
    };

    static PosixMq create(const Needs& needs) {
        PosixMq made(needs.timeout, {object_name(needs.address.name, "posix-mq")});
        const std::size_t most = limits::posix_mq_message_bytes().value;
        const std::size_t message_bytes =
            needs.message_bytes_max == 0 ? most : std::min(needs.message_bytes_max, most);
        const std::size_t messages =
            needs.capacity_bytes == 0
                ? limits::posix_mq_messages().value
                : round_up(needs.capacity_bytes, message_bytes) / message_bytes;
        const std::string& name = made.where_.name;
        made.presence_ = Presence::create(name);
        for (const Side sender : {Side::initiator, Side::responder}) {
            const std::string queue = queue_name(name, sender);
            made.queues_[static_cast<std::size_t>(sender)] =
                NamedObject(ObjectKind::posix_mq, queue);
            create_posix_mq(queue, messages, message_bytes);
        }
        return made;
    }
    static PosixMq open(const Address& where, const Needs& needs) {
        return {needs.timeout, {object_name(where.name, "posix-mq")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, timeout_}; }

    static constexpr Facts facts{
        .name = "posix-mq",
        .family = "message_queues",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = true,
        .two_way = false,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "msgsize_max (8 KiB)",
        .capacity = "msg_max (10) messages",
        .priorities = true,
        .senders = std::numeric_limits<int>::max(),
        .receivers = std::numeric_limits<int>::max(),
        .waiting = Waiting::sleeps,
        .lesson = "The kernel keeps messages whole and in order of priority, and sets small limits "
                  "for it.",
    };

  private:
    PosixMq(std::chrono::milliseconds timeout, Address where)
        : timeout_(timeout), where_(std::move(where)) {}

    static std::string queue_name(const std::string& name, Side sender) {
        return fmt::format("{}.to-{}", name, sender == Side::initiator ? "responder" : "initiator");
    }

    std::chrono::milliseconds timeout_;
    Address where_;
    NamedObject presence_;
    NamedObject queues_[2];  // of what the initiator sends, of what the responder sends
};

static_assert(Addressed<PosixMq>);

}  // namespace ipclab
