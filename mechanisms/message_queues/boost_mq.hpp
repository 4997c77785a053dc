// Boost.Interprocess's message_queue: a queue of messages that a library keeps in shared memory.
//
// No kernel object stands behind it but a piece of shared memory, which holds a fixed number of
// rooms for messages of a fixed largest size, an index of them in order of priority, a mutex, and
// two condition variables. send copies a message into a room, receive copies it out, each with the
// mutex locked: two copies, and no system call while nobody sleeps. (Who slept makes two: it leaves
// the condition variable with the mutex marked as contended, and so wakes nobody when it unlocks.)
// The limits of the kernel's queues do not hold: a queue may be as large as /dev/shm.
//
// What it costs is trust. On Linux the mutex is a robust pthread mutex, the condition variables are
// pthread's. A peer that is killed while it holds the mutex leaves a queue that nobody can ever use
// again, and who was asleep in it then spins for ever, past every deadline (the library takes each
// error of pthread_cond_timedwait(3) but ETIMEDOUT for a wake-up; with assertions on, it aborts). A
// peer that is killed while it sleeps leaves a condition variable on which a later signal may hang
// (glibc waits for the dead sleeper to leave). And a message's length is believed as it stands in
// the memory. tests/boost_test.cpp shows it.
//
//   create    message_queue(create_only, …), twice: shm_open(3), posix_fallocate(3), mmap(2)
//   attach    message_queue(open_only, …): shm_open(3) by name, mmap(2)
//   exchange  timed_send, timed_receive: pthread_mutex_lock(3), memcpy(3), pthread_cond_signal(3)
//   detach    ~message_queue: munmap(2)
//   destroy   shm_unlink(3)
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/message_queues/priority.hpp"
#include "mechanisms/os/boost_call.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/shm_object.hpp"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <vector>

namespace ipclab {

class BoostMq {
    using Queue = boost::interprocess::message_queue;
    static constexpr std::size_t default_message_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t default_room_bytes = std::size_t{1} << 20;

    static constexpr std::size_t header_bytes = 64;  // at most, of each message

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : to_peer_(open_queue(name, mine)),
              from_peer_(open_queue(name, other(mine))),
              peer_(name, mine),
              timeout_(timeout),
              bounce_(message_bytes_max()) {}

        void send(View out, Priority priority = {}) {
            if (out.size() > message_bytes_max())
                throw Refused(
                    "message_queue::send",
                    fmt::format("the queue takes messages of up to {} bytes", message_bytes_max()),
                    EMSGSIZE);
            repeat("message_queue::timed_send", send_glance_, [&] {
                return to_peer_.timed_send(out.data(), out.size(), priority.value,
                                           time_of(send_glance_));
            });
        }

        /// As in the kernel's queues, the buffer must be large enough for the largest message.
        std::size_t receive(Bytes in) {
            const Bytes room = in.size() >= message_bytes_max() ? in : Bytes(bounce_);
            Queue::size_type size = 0;
            unsigned priority = 0;
            repeat("message_queue::timed_receive", receive_glance_, [&] {
                return from_peer_.timed_receive(room.data(), room.size(), size, priority,
                                                time_of(receive_glance_));
            });
            if (size > in.size())
                throw Refused::too_small("message_queue::receive", size, in.size());
            if (room.data() != in.data() && size > 0) std::memcpy(in.data(), room.data(), size);
            return size;
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return to_peer_.get_max_msg_size(); }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return message_bytes_max() * to_peer_.get_max_msg();
        }

      private:
        static Queue open_queue(const std::string& name, Side sender) {
            return in_boost("message_queue", [&] {
                return Queue(boost::interprocess::open_only, queue_name(name, sender).c_str());
            });
        }
        /// `attempt` returns whether it did what it was to do before the glance was due.
        void repeat(std::string_view call, GlanceTime& glance, auto&& attempt) const {
            Wait wait(call, timeout_, &peer_);
            while (!in_boost(call, attempt)) {
                wait.glance();
                glance.renew();
            }
        }

        Queue to_peer_;
        Queue from_peer_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        std::vector<std::byte> bounce_;
        GlanceTime send_glance_{CLOCK_REALTIME};
        GlanceTime receive_glance_{CLOCK_REALTIME};
    };

    static BoostMq create(const Needs& needs) {
        namespace boosts = boost::interprocess;
        BoostMq made(needs.timeout, {object_name(needs.address.name, "boost-mq")});
        const std::size_t room =
            needs.capacity_bytes > 0 ? needs.capacity_bytes : default_room_bytes;
        const std::size_t message_bytes = needs.message_bytes_max > 0
                                              ? needs.message_bytes_max
                                              : std::min(default_message_bytes, room);
        std::size_t messages = round_up(room, message_bytes) / message_bytes;
        if (needs.capacity_bytes == 0) messages = std::clamp<std::size_t>(messages, 2, 256);
        made.presence_ = Presence::create(made.where_.name);
        for (const Side sender : {Side::initiator, Side::responder}) {
            const std::string queue = queue_name(made.where_.name, sender);
            made.queues_[static_cast<std::size_t>(sender)] =
                NamedObject(ObjectKind::posix_shm, queue);
            in_boost_making(messages * (message_bytes + header_bytes), [&] {
                Queue(boosts::create_only, queue.c_str(), messages, message_bytes,
                      boosts::permissions(0600));
            });
        }
        return made;
    }
    static BoostMq open(const Address& where, const Needs& needs) {
        return {needs.timeout, {object_name(where.name, "boost-mq")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, timeout_}; }

    /// Under which name the messages of `sender` lie in /dev/shm.
    static std::string queue_name(const std::string& name, Side sender) {
        return fmt::format("{}.to-{}", name, sender == Side::initiator ? "responder" : "initiator");
    }

    static constexpr Facts facts{
        .name = "boost-mq",
        .family = "message_queues",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {0, 1},
        .receive_calls = {0, 2},
        .keeps_boundaries = true,
        .two_way = false,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "64 KiB or as asked",
        .capacity = "1 MiB, 256 messages at most",
        .priorities = true,
        .senders = std::numeric_limits<int>::max(),
        .receivers = std::numeric_limits<int>::max(),
        .waiting = Waiting::sleeps,
        .after_a_kill = AfterAKill::survivor_may_hang,
        .lesson = "A queue that a library keeps in shared memory needs no system call while both "
                  "are awake, and does not survive a peer that is killed inside it.",
    };

  private:
    BoostMq(std::chrono::milliseconds timeout, Address where)
        : timeout_(timeout), where_(std::move(where)) {}

    std::chrono::milliseconds timeout_;
    Address where_;
    NamedObject presence_;
    NamedObject queues_[2];
};

static_assert(Addressed<BoostMq>);

}  // namespace ipclab
