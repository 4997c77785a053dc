// How much a pipe holds.
//
// A pipe is a ring of slots, each for one page: 16 by default. F_SETPIPE_SZ asks for another
// number, in bytes, and gets the next power of two in pages; F_GETPIPE_SZ tells it (fcntl(2),
// pipe(7)). Two limits stand in the way: fs.pipe-max-size for one pipe, and fs.pipe-user-pages-soft
// for all pipes of a user, who is given pipes of two slots once that is used up. Who has
// CAP_SYS_RESOURCE is held to neither; so this asks first, and looks for the reason of a refusal
// afterwards.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/limits.hpp"

#include <algorithm>
#include <fcntl.h>
#include <limits>

namespace ipclab {

inline std::size_t pipe_bytes(int pipe) {
    return static_cast<std::size_t>(must(::fcntl(pipe, F_GETPIPE_SZ), "fcntl(F_GETPIPE_SZ)"));
}

/// Makes room for `bytes` or more. Throws LimitReached.
inline void set_pipe_bytes(int pipe, std::size_t bytes) {
    constexpr const char* call = "fcntl(F_SETPIPE_SZ)";
    if (bytes > std::numeric_limits<int>::max()) limits::pipe_bytes().admit(bytes, call, EINVAL);
    if (::fcntl(pipe, F_SETPIPE_SZ, static_cast<int>(bytes)) == -1) {
        if (errno != EPERM) throw SystemError(call, errno);
        limits::pipe_bytes().admit(bytes, call, EPERM);
        throw limits::pipe_pages_of_a_user().reached(call, EPERM);
    }
    if (pipe_bytes(pipe) < bytes) throw limits::pipe_pages_of_a_user().reached(call);
}

}  // namespace ipclab
