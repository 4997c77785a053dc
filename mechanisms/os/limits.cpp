#include "mechanisms/os/limits.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sys/resource.h>
#include <sys/statvfs.h>

namespace ipclab {
namespace {

/// `name` as sysctl(8) has it: "fs.mqueue.msg_max". `position` counts figures in the file.
Limit sysctl(const std::string& name, int position = 0) {
    std::string path = name;
    std::replace(path.begin(), path.end(), '.', '/');
    path.insert(0, "/proc/sys/");
    std::ifstream file(path);
    if (!file && errno == EMFILE) throw_system_error(path, errno);
    std::uint64_t value = 0;
    for (int i = 0; i <= position; ++i) file >> value;
    if (!file) throw Unsupported(path, "this kernel was built without it", ENOSYS);
    return {path, value, fmt::format("raise it with sysctl {}=…", name)};
}

Limit resource(__rlimit_resource_t which, const std::string& name, const std::string& unit,
               char option) {
    rlimit limit{};
    must(::getrlimit(which, &limit), "getrlimit");
    const bool unlimited = limit.rlim_cur == RLIM_INFINITY;
    return {fmt::format("{}{}", name, unit),
            unlimited ? std::numeric_limits<std::uint64_t>::max() : limit.rlim_cur,
            fmt::format("raise it with ulimit -{}", option)};
}

}  // namespace

LimitReached Limit::reached(std::string_view call, int error) const {
    return {call, name, fmt::format("{}", value), remedy, error};
}

void Limit::admit(std::uint64_t wanted, std::string_view call, int error) const {
    if (wanted > value)
        throw LimitReached(call, name, fmt::format("{}, and {} were asked for", value, wanted),
                           remedy, error);
}

namespace limits {

Limit descriptors_of_a_process() { return resource(RLIMIT_NOFILE, "RLIMIT_NOFILE", "", 'n'); }
Limit descriptors_of_the_system() { return sysctl("fs.file-max"); }

Limit pipe_bytes() { return sysctl("fs.pipe-max-size"); }
Limit pipe_pages_of_a_user() { return sysctl("fs.pipe-user-pages-soft"); }
Limit socket_send_bytes() { return sysctl("net.core.wmem_max"); }
Limit socket_receive_bytes() { return sysctl("net.core.rmem_max"); }

Limit posix_mq_messages() { return sysctl("fs.mqueue.msg_max"); }
Limit posix_mq_message_bytes() { return sysctl("fs.mqueue.msgsize_max"); }
Limit posix_mq_queues() { return sysctl("fs.mqueue.queues_max"); }
Limit posix_mq_bytes_of_a_user() {
    return resource(RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", " (bytes)", 'q');
}

Limit sysv_mq_message_bytes() { return sysctl("kernel.msgmax"); }
Limit sysv_mq_bytes() { return sysctl("kernel.msgmnb"); }
Limit sysv_mq_queues() { return sysctl("kernel.msgmni"); }

Limit sysv_shm_bytes() { return sysctl("kernel.shmmax"); }
Limit sysv_shm_pages() { return sysctl("kernel.shmall"); }
Limit sysv_shm_segments() { return sysctl("kernel.shmmni"); }

Limit sysv_sem_per_set() { return sysctl("kernel.sem", 0); }
Limit sysv_sem_of_the_system() { return sysctl("kernel.sem", 1); }
Limit sysv_sem_sets() { return sysctl("kernel.sem", 3); }

Limit free_bytes_at(const std::string& path) {
    struct statvfs status {};
    must(::statvfs(path.c_str(), &status), "statvfs");
    return {fmt::format("free space at {} (bytes)", path),
            std::uint64_t{status.f_bavail} * status.f_frsize,
            fmt::format("remove what is not needed there, or mount -o remount,size=… {}", path)};
}

Limit available_memory_bytes() {
    std::ifstream file("/proc/meminfo");
    std::string word;
    while (file >> word && word != "MemAvailable:") {
    }
    std::uint64_t kib = 0;
    file >> kib;
    if (!file) throw Unsupported("/proc/meminfo", "it does not tell MemAvailable");
    return {"MemAvailable in /proc/meminfo (bytes)", kib * 1024, "end what uses memory"};
}

Limit locked_bytes() { return resource(RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", " (bytes)", 'l'); }
Limit queued_signals() { return resource(RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING", "", 'i'); }

}  // namespace limits
}  // namespace ipclab
