// A mailbox in shared memory that is handed over by message queues.
//
// The message itself is written and read where it lies, in memory that both have mapped. What
// travels through the kernel is a note of eight bytes: "your turn, so many bytes". A queue is as
// good a synchronisation as a semaphore is, for it counts what is in it, and puts to sleep who
// finds it empty; and a note can say something. Each direction has two queues of one note each: one
// to the receiver, when the room is filled, and one back, when it is vacant; the creator puts the
// first of these in. The payload is copied never, the note twice; two system calls on each side.
//
//   create    shm_open(3), posix_fallocate(3); mq_open(3) with O_CREAT, four times
//   attach    shm_open(3) by name, mmap(2); mq_open(3) by name
//   exchange  mq_receive(3), touch the memory, mq_send(3)
//   detach    munmap(2), mq_close(3)
//   destroy   shm_unlink(3), mq_unlink(3), without which they stay until the next boot
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/posix_mq_object.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/os/tick.hpp"

#include <mqueue.h>

namespace ipclab {

class MailboxByMq {
    static constexpr std::size_t default_room_bytes = std::size_t{64} * 1024;

    /// "Your turn": how many bytes the message has; of a room that is vacant, how many it had.
    using Note = std::uint64_t;

    static constexpr const char* filled = "filled";
    static constexpr const char* vacant = "vacant";
    static std::string queue_name(const std::string& name, Side sender, const char* what) {
        return fmt::format("{}.{}-{}", name, sender == Side::initiator ? "initiator" : "responder",
                           what);
    }

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : memory_(map(name)),
              room_bytes_(memory_.size() / 2),
              out_room_(memory_.data() + (mine == Side::initiator ? 0 : room_bytes_)),
              in_room_(memory_.data() + (mine == Side::initiator ? room_bytes_ : 0)),
              out_vacant_(open_posix_mq(queue_name(name, mine, vacant), O_RDONLY)),
              out_filled_(open_posix_mq(queue_name(name, mine, filled), O_WRONLY | O_NONBLOCK)),
              in_filled_(open_posix_mq(queue_name(name, other(mine), filled), O_RDONLY)),
              in_vacant_(
                  open_posix_mq(queue_name(name, other(mine), vacant), O_WRONLY | O_NONBLOCK)),
              peer_(name, mine),
              timeout_(timeout) {}

        Bytes loan(std::size_t n) {
            if (n > room_bytes_)
                throw Refused("loan", fmt::format("the mailbox holds {} bytes", room_bytes_),
                              EMSGSIZE);
            if (!room_is_mine_) wait_for_note(out_vacant_);
            room_is_mine_ = true;
            return {out_room_, n};
        }
        void publish(std::size_t n) {
            room_is_mine_ = false;
            leave_note(out_filled_, n);
        }

        View take() {
            taken_bytes_ = wait_for_note(in_filled_);
            if (taken_bytes_ > room_bytes_)
                throw Refused("take", "the peer names a length that the mailbox cannot hold");
            return {in_room_, taken_bytes_};
        }
        void release() { leave_note(in_vacant_, taken_bytes_); }

        [[nodiscard]] std::size_t message_bytes_max() const { return room_bytes_; }
        [[nodiscard]] std::size_t capacity_bytes() const { return room_bytes_; }

      private:
        static Mapping map(const std::string& name) {
            const Fd object = open_shm_object(name);
            const std::size_t bytes = size_of(object);
            if (bytes < 2 * page_bytes() || bytes % (2 * page_bytes()) != 0)
                throw Refused("attach", fmt::format("an object of {} bytes is no mailbox", bytes));
            return {object.get(), bytes};
        }
        Note wait_for_note(const Fd& queue) const {
            tick_this_thread();
            Wait wait("mq_receive", timeout_, &peer_);
            Note note = 0;
            while (::mq_receive(queue.get(), reinterpret_cast<char*>(&note), sizeof note,
                                nullptr) == -1) {
                if (errno != EINTR) throw SystemError("mq_receive", errno);
                wait.glance();
            }
            return note;
        }
        /// Never waits: the queue's one note was taken before this one is left.
        static void leave_note(const Fd& queue, Note note) {
            if (::mq_send(queue.get(), reinterpret_cast<const char*>(&note), sizeof note, 0) ==
                -1) {
                if (errno == EAGAIN)
                    throw Refused("mq_send", "the peer has left a note out of turn", errno);
                throw SystemError("mq_send", errno);
            }
        }

        Mapping memory_;
        std::size_t room_bytes_;
        std::byte* out_room_;
        std::byte* in_room_;
        Fd out_vacant_;
        Fd out_filled_;
        Fd in_filled_;
        Fd in_vacant_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        Note taken_bytes_ = 0;
        bool room_is_mine_ = false;
    };

    static MailboxByMq create(const Needs& needs) {
        MailboxByMq made(needs.timeout, object_name(needs.address.name, "mailbox-by-mq"));
        const bool by_default = needs.message_bytes_max == 0 && needs.capacity_bytes == 0;
        const std::size_t room_bytes =
            round_up(by_default ? default_room_bytes
                                : std::max(needs.message_bytes_max, needs.capacity_bytes),
                     page_bytes());
        made.presence_ = Presence::create(made.name_);
        made.object_ = NamedObject(ObjectKind::posix_shm, made.name_);
        create_shm_object(made.name_, 2 * room_bytes);
        NamedObject* queue = made.queues_;
        for (const Side sender : {Side::initiator, Side::responder})
            for (const char* what : {filled, vacant}) {
                const std::string name = queue_name(made.name_, sender, what);
                *queue++ = NamedObject(ObjectKind::posix_mq, name);
                const Fd made_queue = create_posix_mq(name, 1, sizeof(Note));
                const Note note = 0;
                if (what == vacant)
                    must(::mq_send(made_queue.get(), reinterpret_cast<const char*>(&note),
                                   sizeof note, 0),
                         "mq_send");
            }
        return made;
    }
    static MailboxByMq open(const Address& where, const Needs& needs) {
        return {needs.timeout, object_name(where.name, "mailbox-by-mq")};
    }
    /// The name of the memory; those of the queues are derived from it.
    [[nodiscard]] Address address() const { return {name_}; }

    Endpoint attach(Role role) { return {name_, role.side, timeout_}; }

    static constexpr Facts facts{
        .name = "mailbox-by-mq",
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = {2, 2},
        .receive_calls = {2, 2},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson =
            "A message queue is a semaphore that can say something: large messages stay where "
            "they are, and only the turn is sent.",
    };

  private:
    MailboxByMq(std::chrono::milliseconds timeout, std::string name)
        : timeout_(timeout), name_(std::move(name)) {}

    std::chrono::milliseconds timeout_;
    std::string name_;
    NamedObject presence_;
    NamedObject object_;
    NamedObject queues_[4];
};

static_assert(Addressed<MailboxByMq>);

}  // namespace ipclab
