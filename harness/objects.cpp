#include "harness/objects.hpp"

#include "harness/text.hpp"
#include "mechanisms/os/named_object.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <mqueue.h>
#include <pwd.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace ipclab {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::system_clock;

bool lives(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

/// "ipclab-WORD-PID-COUNT-RANDOM", whatever comes after (fresh_name()); 0 for another name.
pid_t pid_in(const std::string& name) {
    const auto begin = name.rfind("ipclab-");
    if (begin == std::string::npos) return 0;
    for (std::size_t at = begin; (at = name.find('-', at + 1)) != std::string::npos;) {
        int pid = 0;
        int count = 0;
        unsigned random = 0;
        if (std::sscanf(name.c_str() + at, "-%d-%d-%8x", &pid, &count, &random) == 3) return pid;
    }
    return 0;
}

/// Objects in memory that bear a name of ipclab's, but that no registry names: its folder was
/// removed, or the object belongs to another container.
std::vector<RegisteredObject> strays(const std::vector<RegisteredObject>& registered) {
    std::vector<RegisteredObject> found;
    std::error_code none;
    const auto look_in = [&](const char* folder, ObjectKind kind) {
        for (const auto& entry : fs::directory_iterator(folder, none)) {
            const std::string name = entry.path().filename();
            const pid_t pid = pid_in(name);
            struct stat status {};
            if (!name.starts_with("ipclab-") || pid == 0 ||
                ::stat(entry.path().c_str(), &status) == -1)
                continue;
            if (std::any_of(registered.begin(), registered.end(),
                            [&](const RegisteredObject& object) {
                                return object.kind == kind && object.name == name;
                            }))
                continue;
            found.push_back({kind, name, status.st_uid, pid, lives(pid),
                             Clock::from_time_t(status.st_ctim.tv_sec)});
        }
    };
    look_in("/dev/shm", ObjectKind::posix_shm);
    look_in("/dev/mqueue", ObjectKind::posix_mq);
    return found;
}

std::string user_name(uid_t uid) {
    const passwd* const user = ::getpwuid(uid);
    return user != nullptr ? user->pw_name : fmt::format("{}", uid);
}

std::string in_words(Clock::duration age) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
    if (seconds < 120) return fmt::format("{} s", seconds);
    if (seconds < 2L * 3600) return fmt::format("{} min", seconds / 60);
    if (seconds < 2L * 86400) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} days", seconds / 86400);
}

std::string state_of(const RegisteredObject& object) {
    if (object.owner_lives) return "its owner lives";
    return ends_with_its_process(object.kind) ? "its owner is dead, and so is it" : "left behind";
}

std::vector<RegisteredObject> all_objects() {
    std::vector<RegisteredObject> objects = registered_objects();
    std::erase_if(objects, [](const RegisteredObject& object) {
        return ends_with_its_process(object.kind) ? !object.owner_lives
                                                  : !exists(object.kind, object.name);
    });
    const std::vector<RegisteredObject> others = strays(objects);
    objects.insert(objects.end(), others.begin(), others.end());
    return objects;
}

}  // namespace

int list_objects() {
    using Line = std::array<std::string, 5>;
    std::vector<Line> lines{{"object", "user", "process", "age", "state"}};
    std::size_t left_behind = 0;
    for (const RegisteredObject& object : all_objects()) {
        left_behind += object.owner_lives ? 0 : 1;
        lines.push_back({describe(object.kind, object.name), user_name(object.uid),
                         fmt::format("{}", object.owner), in_words(Clock::now() - object.created),
                         state_of(object)});
    }
    if (lines.size() == 1) {
        fmt::print("no object of ipclab on this machine\n");
        return 0;
    }
    std::array<std::size_t, 5> widths{};
    for (const Line& line : lines)
        for (std::size_t i = 0; i < line.size(); ++i)
            widths[i] = std::max(widths[i], width_of(line[i]));
    for (const Line& line : lines) {
        for (std::size_t i = 0; i + 1 < line.size(); ++i)
            fmt::print("{}", flush_left(line[i], widths[i] + 2));
        fmt::print("{}\n", line.back());
    }
    if (left_behind > 0) fmt::print("\nipclab clean removes what was left behind\n");
    return 0;
}

int clean_objects() {
    std::vector<std::string> removed = sweep_leftovers();
    for (const RegisteredObject& stray : strays(registered_objects())) {
        if (stray.owner_lives || stray.uid != ::geteuid()) continue;
        const std::string path = fmt::format("/{}", stray.name);
        const bool gone = stray.kind == ObjectKind::posix_shm ? ::shm_unlink(path.c_str()) == 0
                                                              : ::mq_unlink(path.c_str()) == 0;
        if (gone) removed.push_back(describe(stray.kind, stray.name));
    }
    for (const std::string& object : removed) fmt::print("removed {}\n", object);
    if (removed.empty()) fmt::print("nothing was left behind\n");
    return 0;
}

}  // namespace ipclab
