// System V shared memory: create, attach, detach and destroy, four calls for four steps.
//
// shmget(2) makes a segment of so many bytes behind a key, which ftok(3) makes of a file; shmat(2)
// gives it a place in a process; shmdt(2) takes that place away; shmctl(2) with IPC_RMID destroys
// the segment, once the last process has detached it. Nothing else does: a segment outlives every
// process that ever knew of it, and ipcs(1) shows it until somebody calls ipcrm(1) or the machine
// reboots. In between it is memory like any other, with the mailbox of this folder in it
// (mailbox.hpp), handed over by System V semaphores (waiting/sysv_semaphores.hpp), as old as it is.
//
//   create    a file; ftok(3) makes a key of it; shmget(2) with IPC_CREAT
//   attach    ftok(3), shmget(2), shmat(2)
//   exchange  semtimedop(2), touch the memory, semop(2)
//   detach    shmdt(2)
//   destroy   shmctl(2) with IPC_RMID
#pragma once

#include "mechanisms/os/key_file.hpp"
#include "mechanisms/os/sysv_attached.hpp"
#include "mechanisms/shared_memory/mailbox.hpp"
#include "mechanisms/waiting/sysv_semaphores.hpp"

#include <sys/shm.h>

namespace ipclab {

class SysvShm {
  public:
    using Endpoint = Mailbox<SysvSemaphores, SysvAttached>;

    static SysvShm create(const Needs& needs) {
        SysvShm made(needs.timeout);
        const std::size_t bytes = Endpoint::bytes_for(needs);
        made.segment_ =
            create_keyed(ObjectKind::sysv_shm, needs.address, "sysv-shm", [&](key_t key) {
                const int id = ::shmget(key, bytes, IPC_CREAT | IPC_EXCL | 0600);
                if (id == -1) throw_why_no_segment(bytes, errno);
                return id;
            });
        made.path_ = made.segment_.path;
        made.presence_ = Presence::create(made.path_);
        made.semaphores_ = Endpoint::create(SysvAttached(made.segment_.id).data());
        return made;
    }
    static SysvShm open(const Address& where, const Needs& needs) {
        SysvShm opened(needs.timeout);
        opened.path_ = file_path(where.name, "sysv-shm");
        return opened;
    }
    /// The path of the file for ftok(3).
    [[nodiscard]] Address address() const { return {path_}; }

    Endpoint attach(Role role) {
        const int segment = must(::shmget(key_of_file(path_), 0, 0), "shmget");
        return {SysvAttached(segment), semaphores_, path_, role.side, timeout_};
    }

    static constexpr Facts facts{
        .name = "sysv-shm",
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = Endpoint::send_calls,
        .receive_calls = Endpoint::receive_calls,
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::key_file,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = SysvSemaphores::kind,
        .after_a_kill = SysvSemaphores::after_a_kill,
        .lesson = "A segment belongs to no process: it stays, with what was written there, until "
                  "somebody destroys it.",
    };

  private:
    explicit SysvShm(std::chrono::milliseconds timeout) : timeout_(timeout) {}

    std::chrono::milliseconds timeout_;
    std::string path_;
    KeyedObject segment_;
    NamedObject presence_;
    SysvSemaphores::Objects semaphores_;
};

static_assert(Addressed<SysvShm>);

}  // namespace ipclab
