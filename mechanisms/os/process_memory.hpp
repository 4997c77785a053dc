// Whether one process may read another's memory.
#pragma once

#include "mechanisms/os/error.hpp"

#include <csignal>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ipclab {

/// What process_vm_readv(2) means by EPERM and ENOSYS.
inline Unsupported no_reading_of_others(int error) {
    return {"process_vm_readv",
            "one process may not read another's memory here: both must be of the same user "
            "and dumpable (prctl(2)), sysctl kernel.yama.ptrace_scope must be 0 or 1 if there "
            "is one, and a container must admit the call",
            error};
}
/// Throws Unsupported where it is not permitted. Which of several reasons there is for that, only
/// the kernel knows: asks it, once a process, by reading a child.
inline void try_to_read_another_process() {
    static const int error = [] {
        const pid_t child = must(::fork(), "fork");
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close_range(3, ~0U, 0);  // locks, above all
            for (;;) ::pause();
        }
        char word = 0;
        const iovec here{&word, 1};
        const iovec there{&word, 1};
        const int refusal = ::process_vm_readv(child, &here, 1, &there, 1, 0) == 1 ? 0 : errno;
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        return refusal;
    }();
    if (error != 0) throw no_reading_of_others(error);
}

}  // namespace ipclab
