// mq_open(3), with each reason to be refused told: most of them are limits of the system.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/limits.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <sys/stat.h>

namespace ipclab {

/// `name` without the slash; `flags` as of open(2). Waits block, and descriptors are file
/// descriptors on Linux.
inline Fd open_posix_mq(const std::string& name, int flags) {
    return Fd(must(::mq_open(fmt::format("/{}", name).c_str(), flags | O_CLOEXEC), "mq_open"));
}

/// Makes the queue /<name>, which must not exist, with mode 0600 under any umask. Throws
/// LimitReached. What a limit means to this process is for the kernel to say: one that has
/// CAP_SYS_RESOURCE may exceed fs.mqueue's.
inline Fd create_posix_mq(const std::string& name, std::size_t messages,
                          std::size_t message_bytes) {
    mq_attr attributes{};
    attributes.mq_maxmsg = static_cast<long>(messages);
    attributes.mq_msgsize = static_cast<long>(message_bytes);
    Fd queue(::mq_open(fmt::format("/{}", name).c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
                       0600, &attributes));
    if (!queue) {
        const int error = errno;
        if (error == EINVAL) {
            limits::posix_mq_messages().admit(messages, "mq_open", error);
            limits::posix_mq_message_bytes().admit(message_bytes, "mq_open", error);
        }
        if (error == ENOSPC) throw limits::posix_mq_queues().reached("mq_open", error);
        // EMFILE has two meanings: a descriptor that can still be opened tells which it is not.
        if (error == EMFILE && Fd(::open("/", O_PATH | O_CLOEXEC)))
            throw limits::posix_mq_bytes_of_a_user().reached("mq_open", error);
        throw_system_error("mq_open", error);
    }
    must(::fchmod(queue.get(), 0600), "fchmod");
    return queue;
}

}  // namespace ipclab
