// POSIX shared-memory objects for those whose lesson is another one; shared_memory/posix_shm.hpp
// spells these calls out.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/limits.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>

namespace ipclab {

/// Gives a new object all of its pages, and so its size (posix_fallocate(3)). Returns the error, or
/// 0.
inline int try_to_allocate(const Fd& object, std::size_t bytes) {
    // A signal interrupts the call, which then begins anew: so not more at a time than can be done
    // between two ticks (tick.hpp).
    constexpr std::size_t step_bytes = std::size_t{16} << 20;
    for (std::size_t done = 0; done < bytes;) {
        const std::size_t step = std::min(step_bytes, bytes - done);
        const int error =
            ::posix_fallocate(object.get(), static_cast<off_t>(done), static_cast<off_t>(step));
        if (error == 0) done += step;
        if (error != 0 && error != EINTR) return error;
    }
    return 0;
}

/// Likewise, of a file in the file system of `path`. Throws LimitReached when there are not that
/// many bytes left in it, before any is taken.
inline void allocate(const Fd& object, std::size_t bytes, const std::string& path) {
    const Limit room = limits::free_bytes_at(path);
    room.admit(bytes, "posix_fallocate", ENOSPC);
    const int error = try_to_allocate(object, bytes);
    if (error == ENOSPC) throw room.reached("posix_fallocate", error);  // somebody else was faster
    if (error != 0) throw SystemError("posix_fallocate", error);
}

/// Refuses what would have the kernel kill somebody for lack of memory: /dev/shm may be as large as
/// all there is. Small amounts are not looked at, since looking takes some 50 µs.
inline void admit_memory(std::size_t bytes) {
    constexpr std::size_t worth_a_look_bytes = std::size_t{16} << 20;
    if (bytes > worth_a_look_bytes)
        limits::available_memory_bytes().admit(bytes, "posix_fallocate", ENOMEM);
}

/// As allocate(), of memory that lies in no file system.
inline void allocate_memory(const Fd& object, std::size_t bytes) {
    admit_memory(bytes);
    if (const int error = try_to_allocate(object, bytes); error != 0)
        throw SystemError("posix_fallocate", error);
}

/// As allocate(), of an object in /dev/shm.
inline void allocate_in_dev_shm(const Fd& object, std::size_t bytes) {
    admit_memory(bytes);
    allocate(object, bytes, "/dev/shm");
}

/// Makes /dev/shm/<name>, which must not exist, with mode 0600 under any umask and all of its
/// pages. Throws LimitReached when /dev/shm is full.
inline Fd create_shm_object(const std::string& name, std::size_t bytes) {
    Fd object(must(::shm_open(fmt::format("/{}", name).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600),
                   "shm_open"));
    must(::fchmod(object.get(), 0600), "fchmod");
    allocate_in_dev_shm(object, bytes);
    return object;
}

inline Fd open_shm_object(const std::string& name) {
    return Fd(must(::shm_open(fmt::format("/{}", name).c_str(), O_RDWR, 0), "shm_open"));
}

inline std::size_t size_of(const Fd& object) {
    struct stat status {};
    must(::fstat(object.get(), &status), "fstat");
    return static_cast<std::size_t>(status.st_size);
}

}  // namespace ipclab
