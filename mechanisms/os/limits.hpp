// The limits that the system sets to its own objects, read before they are hit.
//
// Each has a place where its value is found and a command that raises it. Whoever is refused learns
// both: LimitReached, with a sentence such as "/proc/sys/fs/mqueue/msg_max is 10; raise it with
// sysctl fs.mqueue.msg_max=N".
#pragma once

#include "mechanisms/os/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace ipclab {

struct Limit {
    std::string name;     ///< where a user finds it: a file of /proc/sys, or RLIMIT_…
    std::uint64_t value;  ///< in the unit that the name has; the largest number: there is none
    std::string remedy;   ///< how to raise it

    /// What to throw when `call` has failed with `error` because of this limit.
    [[nodiscard]] LimitReached reached(std::string_view call, int error = 0) const;
    /// Throws LimitReached if `wanted` is more than the value.
    void admit(std::uint64_t wanted, std::string_view call, int error = 0) const;
};

/// Each reads its value anew. A limit that this kernel does not have is Unsupported.
namespace limits {

Limit descriptors_of_a_process();   ///< RLIMIT_NOFILE
Limit descriptors_of_the_system();  ///< fs.file-max

Limit pipe_bytes();            ///< fs.pipe-max-size: of one pipe, for who has no CAP_SYS_RESOURCE
Limit pipe_pages_of_a_user();  ///< fs.pipe-user-pages-soft: of all pipes of a user together
Limit socket_send_bytes();     ///< net.core.wmem_max
Limit socket_receive_bytes();  ///< net.core.rmem_max

Limit posix_mq_messages();         ///< fs.mqueue.msg_max: in one queue
Limit posix_mq_message_bytes();    ///< fs.mqueue.msgsize_max
Limit posix_mq_queues();           ///< fs.mqueue.queues_max
Limit posix_mq_bytes_of_a_user();  ///< RLIMIT_MSGQUEUE: of all queues of a user together

Limit sysv_mq_message_bytes();  ///< kernel.msgmax
Limit sysv_mq_bytes();          ///< kernel.msgmnb: in one queue
Limit sysv_mq_queues();         ///< kernel.msgmni

Limit sysv_shm_bytes();     ///< kernel.shmmax: of one segment
Limit sysv_shm_pages();     ///< kernel.shmall: of all segments together
Limit sysv_shm_segments();  ///< kernel.shmmni

Limit sysv_sem_per_set();        ///< kernel.sem, 1st figure (SEMMSL)
Limit sysv_sem_of_the_system();  ///< kernel.sem, 2nd figure (SEMMNS)
Limit sysv_sem_sets();           ///< kernel.sem, 4th figure (SEMMNI)

/// Bytes that the file system of `path` has left, such as /dev/shm.
Limit free_bytes_at(const std::string& path);

/// Memory that can be had without pushing out anybody else's: beyond it, the kernel kills.
Limit available_memory_bytes();

Limit locked_bytes();    ///< RLIMIT_MEMLOCK
Limit queued_signals();  ///< RLIMIT_SIGPENDING

}  // namespace limits
}  // namespace ipclab
