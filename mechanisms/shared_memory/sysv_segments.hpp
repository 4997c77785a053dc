// Many small segments: each message gets shared memory of its own.
//
// The sender makes a segment of the message's size, without a key (IPC_PRIVATE), attaches it, fills
// it in place, and sends its identifier through a System V queue; the receiver attaches the segment
// by that number and reads it in place. Nothing is copied but the note, there is no allocator, and
// a message may be as large as shmmax. The price is that of a life in five calls a message, and of
// a page fault for every page on either side: the kernel hands out zeroed pages, and maps them when
// they are touched.
//
// Who destroys? The receiver, as soon as it has attached: a segment that is marked with IPC_RMID
// goes with the last who has it attached, however that one ends. What nobody took, the creator
// finds in the queue and destroys in the end. And what a killed sender left is known by its number
// (shm_cpid), under which it is registered.
//
//   create    a file, ftok(3), msgget(2): the queue of the notes
//   attach    ftok(3), msgget(2)
//   exchange  shmget(2), shmat(2), fill, msgsnd(2), shmdt(2);
//             msgrcv(2), shmctl(2) with IPC_STAT, shmat(2), shmctl(2) with IPC_RMID, read, shmdt(2)
//   detach    nothing to do
//   destroy   msgctl(2) with IPC_RMID
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/key_file.hpp"
#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/private_segments.hpp"
#include "mechanisms/os/sysv_attached.hpp"
#include "mechanisms/os/tick.hpp"

#include <sys/msg.h>
#include <sys/shm.h>
#include <vector>

namespace ipclab {

class SysvSegments {
    static constexpr std::size_t default_message_bytes = std::size_t{1} << 20;
    static constexpr std::size_t default_messages = 16;

    /// What travels through the queue, addressed by its type to one side (see sysv_mq.hpp).
    struct Note {
        long receiver;
        std::int64_t segment;
        std::uint64_t message_bytes;
    };
    static constexpr std::size_t text_bytes = sizeof(Note) - sizeof(long);
    static long address_of(Side side) { return side == Side::initiator ? 1 : 2; }

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& path, Side mine, const Needs& needs)
            : queue_(must(::msgget(key_of_file(path), 0), "msgget")),
              mine_(mine),
              peer_(path, mine),
              timeout_(needs.timeout),
              registered_(register_private_segments()) {
            msqid_ds status{};
            must(::msgctl(queue_, IPC_STAT, &status), "msgctl(IPC_STAT)");
            messages_max_ = status.msg_qbytes / text_bytes;
            message_bytes_max_ = message_bytes(needs);
            sent_.resize(messages_max_ + 1, -1);
        }
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        ~Endpoint() {
            drop_loan();
            if (nobody_reads()) destroy_what_was_sent();
        }

        /// Of memory there is always some: what waits for room is `publish`, which needs a place in
        /// the queue.
        Bytes loan(std::size_t n) {
            if (n > message_bytes_max_)
                throw Refused("loan", fmt::format("{} bytes were agreed on", message_bytes_max_),
                              EMSGSIZE);
            drop_loan();
            segment_ = ::shmget(IPC_PRIVATE, std::max<std::size_t>(n, 1), IPC_CREAT | 0600);
            if (segment_ == -1) throw_why_no_segment(n, errno);
            loan_ = SysvAttached(segment_);
            return {loan_.data(), n};
        }
        void publish(std::size_t n) {
            const Note note{address_of(other(mine_)), segment_, n};
            tick_this_thread();
            Wait wait("msgsnd", timeout_, &peer_);
            while (::msgsnd(queue_, &note, text_bytes, 0) == -1) look_around("msgsnd", wait);
            sent_[messages_sent_++ % sent_.size()] = std::exchange(segment_, -1);
            loan_ = {};
        }

        View take() {
            Note note{};
            tick_this_thread();
            Wait wait("msgrcv", timeout_, &peer_);
            while (::msgrcv(queue_, &note, text_bytes, address_of(mine_), 0) == -1)
                look_around("msgrcv", wait);
            // The peer may name any segment, and any length.
            const int segment = static_cast<int>(note.segment);
            shmid_ds status{};
            if (::shmctl(segment, IPC_STAT, &status) == -1) {
                if (errno == EINVAL || errno == EIDRM) throw PeerGone("shmctl(IPC_STAT)", errno);
                throw SystemError("shmctl(IPC_STAT)", errno);
            }
            if (status.shm_perm.__key != IPC_PRIVATE || note.message_bytes > status.shm_segsz)
                throw Refused("take", "the peer names a segment that is not this message's");
            taken_ = SysvAttached(segment);
            must(::shmctl(segment, IPC_RMID, nullptr), "shmctl(IPC_RMID)");
            return {taken_.data(), note.message_bytes};
        }
        void release() { taken_ = {}; }

        [[nodiscard]] std::size_t message_bytes_max() const { return message_bytes_max_; }
        /// So many messages, both ways together, whatever their size.
        [[nodiscard]] std::size_t capacity_bytes() const {
            return messages_max_ * message_bytes_max_;
        }

      private:
        void drop_loan() {
            if (segment_ != -1) ::shmctl(std::exchange(segment_, -1), IPC_RMID, nullptr);
            loan_ = {};
        }
        /// A peer that was killed may have taken a note, and not yet destroyed its segment.
        void destroy_what_was_sent() const {
            for (const int segment : sent_)
                if (segment != -1) ::shmctl(segment, IPC_RMID, nullptr);
        }
        bool nobody_reads() const {
            try {
                const PeerState peer = peer_.peer();
                return peer == PeerState::left || peer == PeerState::died;
            } catch (const IpcError&) {
                return false;
            }
        }
        static void look_around(const char* call, Wait& wait) {
            if (errno == EIDRM || errno == EINVAL) throw PeerGone(call, errno);  // it was removed
            if (errno != EINTR) throw SystemError(call, errno);
            wait.glance();
        }

        int queue_;
        Side mine_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        PrivateSegments registered_;
        std::size_t messages_max_ = 0;
        std::size_t message_bytes_max_ = 0;
        int segment_ = -1;  // that of the loan
        SysvAttached loan_;
        SysvAttached taken_;
        std::vector<int> sent_;  // the last ones: those in the queue, and one that is being taken
        std::size_t messages_sent_ = 0;
    };

    static SysvSegments create(const Needs& needs) {
        SysvSegments made(needs);
        const std::size_t bytes = message_bytes(needs);
        limits::sysv_shm_bytes().admit(bytes, "shmget", EINVAL);
        const std::size_t messages = needs.capacity_bytes == 0
                                         ? default_messages
                                         : round_up(needs.capacity_bytes, bytes) / bytes;
        limits::sysv_shm_segments().admit(messages, "shmget", ENOSPC);
        limits::sysv_mq_bytes().admit(messages * text_bytes, "msgctl", EPERM);
        made.queue_ =
            create_keyed(ObjectKind::sysv_mq, needs.address, "sysv-segments", [](key_t key) {
                const int id = ::msgget(key, IPC_CREAT | IPC_EXCL | 0600);
                if (id == -1 && errno == ENOSPC)
                    throw limits::sysv_mq_queues().reached("msgget", errno);
                return must(id, "msgget");
            });
        made.where_ = {made.queue_.path};
        made.presence_ = Presence::create(made.where_.name);
        msqid_ds queue{};
        must(::msgctl(made.queue_.id, IPC_STAT, &queue), "msgctl(IPC_STAT)");
        queue.msg_qbytes = messages * text_bytes;
        must(::msgctl(made.queue_.id, IPC_SET, &queue), "msgctl(IPC_SET)");
        return made;
    }
    static SysvSegments open(const Address& where, const Needs& needs) {
        SysvSegments opened(needs);
        opened.where_ = {file_path(where.name, "sysv-segments")};
        return opened;
    }
    [[nodiscard]] Address address() const { return where_; }
    SysvSegments(SysvSegments&&) noexcept = default;
    SysvSegments& operator=(SysvSegments&&) = delete;
    SysvSegments(const SysvSegments&) = delete;
    SysvSegments& operator=(const SysvSegments&) = delete;
    /// Destroys the messages that nobody has taken.
    ~SysvSegments() {
        if (!queue_.object.is_mine()) return;
        Note note{};
        while (::msgrcv(queue_.id, &note, text_bytes, 0, IPC_NOWAIT) != -1)
            ::shmctl(static_cast<int>(note.segment), IPC_RMID, nullptr);
    }

    Endpoint attach(Role role) { return {where_.name, role.side, needs_}; }

    static constexpr Facts facts{
        .name = "sysv-segments",
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = {4, 4},
        .receive_calls = {5, 5},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::key_file,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "1 MiB or as asked, up to shmmax",
        .capacity = "16 messages, both ways together",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson =
            "A segment for each message needs no allocator and hands over any size, and makes "
            "every message pay for a mapping's whole life.",
    };

  private:
    explicit SysvSegments(const Needs& needs) : needs_(needs) {}

    static std::size_t message_bytes(const Needs& needs) {
        return needs.message_bytes_max == 0 ? default_message_bytes : needs.message_bytes_max;
    }

    Needs needs_;
    Address where_;
    KeyedObject queue_;
    NamedObject presence_;
};

static_assert(Addressed<SysvSegments>);

}  // namespace ipclab
