// What Boost.Interprocess throws, in our words, and the time that its timed calls are given.
#pragma once

#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/patience.hpp"

#include <boost/interprocess/exceptions.hpp>
#include <chrono>

namespace ipclab {

/// Runs `action`. A lock that the library gives up is PeerGone: its mutex is robust, so the kernel
/// tells the next one who locks it that the owner has died, and Boost then declares the mutex not
/// recoverable, for ever.
auto in_boost(std::string_view call, auto&& action) {
    namespace boosts = boost::interprocess;
    try {
        return action();
    } catch (const boosts::lock_exception&) {
        throw PeerGone(call, ENOTRECOVERABLE);
    } catch (const boosts::interprocess_exception& problem) {
        throw_system_error(call, problem.get_native_error());
    }
}

/// Likewise, where `action` makes an object of `bytes` in /dev/shm.
auto in_boost_making(std::size_t bytes, auto&& action) {
    return in_boost("shm_open", [&] {
        try {
            return action();
        } catch (const boost::interprocess::interprocess_exception& problem) {
            // The library allocates the pages (posix_fallocate(3)), and forgets the reason.
            limits::free_bytes_at("/dev/shm").admit(bytes, "posix_fallocate", ENOSPC);
            throw;
        }
    });
}

/// As a GlanceTime, for a library that takes std::chrono's.
inline std::chrono::system_clock::time_point time_of(const GlanceTime& glance) {
    return std::chrono::system_clock::time_point(std::chrono::seconds(glance.get()->tv_sec) +
                                                 std::chrono::nanoseconds(glance.get()->tv_nsec));
}

}  // namespace ipclab
