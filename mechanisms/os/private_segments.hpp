// The System V segments without a key that this process makes, registered once for all of them.
#pragma once

#include "mechanisms/os/named_object.hpp"

#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <unistd.h>

namespace ipclab {

/// Keeps the registration up. When the last one of a process goes, and there are segments that
/// nobody has attached, they are messages still to be read: they stay, and stay registered, and are
/// removed by whoever takes them, or by a sweep once this process has ended.
using PrivateSegments = std::shared_ptr<NamedObject>;

inline PrivateSegments register_private_segments() {
    static std::mutex mutex;
    static std::weak_ptr<NamedObject> registered;
    static pid_t owner = 0;
    const std::lock_guard lock(mutex);
    PrivateSegments shared = owner == ::getpid() ? registered.lock() : nullptr;
    if (shared == nullptr) {
        owner = ::getpid();
        auto* name = new NamedObject(ObjectKind::sysv_private_shm, fmt::format("{}", owner));
        shared = PrivateSegments(name, [](NamedObject* mine) {
            if (exists(ObjectKind::sysv_private_shm, mine->name())) mine->leave_to_the_sweep();
            delete mine;
        });
        registered = shared;
    }
    return shared;
}

}  // namespace ipclab
