#include "tests/support/leftovers.hpp"

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"
#include "tests/support/process.hpp"

#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <mqueue.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

namespace ipclab::test {
namespace {

namespace fs = std::filesystem;

bool withdrawn = false;

std::string folder_of(uid_t uid) { return fmt::format("/tmp/ipclab-{}", uid); }

/// The message queues of this IPC namespace, without a place to mount them at (fsmount(2)); none
/// without the permission.
std::set<std::string> message_queues() {
    std::set<std::string> names;
    const Fd context(::fsopen("mqueue", FSOPEN_CLOEXEC));
    if (!context || ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == -1)
        return names;
    const Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
    const int folder = mount ? ::openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR* entries = folder == -1 ? nullptr : ::fdopendir(folder);
    if (entries == nullptr) return names;
    while (const dirent* entry = ::readdir(entries))
        if (entry->d_name[0] != '.') names.insert(entry->d_name);
    ::closedir(entries);
    return names;
}

}  // namespace

void withdraw_from_the_neighbours() {
    withdrawn = ::unshare(CLONE_NEWIPC) == 0;
    const rlimit no_limit{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_MSGQUEUE, &no_limit);
}

std::optional<fs::path> registry_of(pid_t pid, uid_t uid) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder_of(uid), none))
        if (entry.path().filename().string().starts_with(fmt::format("ipclab-run-{}-", pid)))
            return entry.path();
    return std::nullopt;
}

std::set<std::string> objects_of(pid_t pid, uid_t uid) {
    std::set<std::string> found;
    std::error_code none;
    const std::string number = fmt::format("-{}-", pid);
    const auto is_of_pid = [&](const std::string& name) {
        return name.find("ipclab-") != std::string::npos && name.find(number) != std::string::npos;
    };
    for (const auto& entry : fs::directory_iterator("/dev/shm", none))
        if (const std::string name = entry.path().filename(); is_of_pid(name))
            found.insert(describe(ObjectKind::posix_shm, name));
    for (const auto& entry : fs::directory_iterator(folder_of(uid), none))
        if (is_of_pid(entry.path().filename()) && entry.path().extension() != ".objects")
            found.insert(describe(ObjectKind::file, entry.path()));
    for (const std::string& name : message_queues())
        if (is_of_pid(name)) found.insert(describe(ObjectKind::posix_mq, name));
    for (const RegisteredObject& object : registered_objects())
        if (object.owner == pid && object.uid == uid && exists(object.kind, object.name))
            found.insert(describe(object.kind, object.name));
    return found;
}

void sweep_until(const std::function<bool()>& swept) {
    const auto swept_now = [&] {
        sweep_leftovers();
        return swept();
    };
    wait_until(swept_now, "the sweep of what was left");
}

mode_t mode_of(const std::string& object) {
    const std::string place = object.substr(object.find_last_of(' ') + 1);
    struct stat status {};
    if (object.starts_with("System V")) {
        const auto key = static_cast<key_t>(std::strtoul(place.c_str(), nullptr, 16));
        msqid_ds queue{};
        shmid_ds memory{};
        semid_ds semaphores{};
        if (object.find("queue") != std::string::npos) {
            must(::msgctl(must(::msgget(key, 0), "msgget"), IPC_STAT, &queue), "msgctl");
            return queue.msg_perm.mode & 07777U;
        }
        if (object.find("memory") != std::string::npos) {
            must(::shmctl(must(::shmget(key, 0, 0), "shmget"), IPC_STAT, &memory), "shmctl");
            return memory.shm_perm.mode & 0777U;  // above, flags of Linux
        }
        must(::semctl(must(::semget(key, 0, 0), "semget"), 0, IPC_STAT, &semaphores), "semctl");
        return semaphores.sem_perm.mode & 07777U;
    }
    if (object.starts_with("message queue")) {
        const Fd queue(must(::mq_open(place.c_str(), O_RDONLY | O_CLOEXEC), "mq_open"));
        must(::fstat(queue.get(), &status), "fstat");
    } else {
        must(::stat(place.c_str(), &status), "stat");
    }
    return status.st_mode & 07777U;
}

std::set<std::string> system_v_ids() {
    std::set<std::string> found;
    if (!withdrawn) return found;
    for (const char* kind : {"shm", "sem", "msg"}) {
        std::ifstream lines(fmt::format("/proc/sysvipc/{}", kind));
        std::string line;
        std::getline(lines, line);  // headings
        while (std::getline(lines, line)) found.insert(fmt::format("{} {}", kind, line));
    }
    return found;
}

}  // namespace ipclab::test
