#include "mechanisms/os/named_object.hpp"

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <atomic>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ipclab {
namespace {

const char* word_of(ObjectKind kind) {
    switch (kind) {
    case ObjectKind::posix_shm:
        return "posix_shm";
    case ObjectKind::posix_mq:
        return "posix_mq";
    case ObjectKind::file:
        break;
    }
    return "file";
}

bool remove_object(ObjectKind kind, const std::string& name) {
    switch (kind) {
    case ObjectKind::posix_shm:
        return ::shm_unlink(("/" + name).c_str()) == 0;
    case ObjectKind::posix_mq:
        return ::mq_unlink(("/" + name).c_str()) == 0;
    case ObjectKind::file:
        break;
    }
    return ::unlink(name.c_str()) == 0;
}

std::string folder_path() { return fmt::format("/tmp/ipclab-{}", ::geteuid()); }

/// The registry file of this process: one line an object, "+" when it is made, "-" when it is gone.
class Registry {
  public:
    ~Registry() {
        if (owner_ != ::getpid()) return;
        ::unlink(path_.c_str());
        file_.reset();
        ::rmdir(folder_path().c_str());  // succeeds for the last one out
    }

    void write(char sign, ObjectKind kind, const std::string& name) {
        const std::lock_guard lock(mutex_);
        // A forked child has a file of its own: its parent's stays locked, and is removed, with the
        // parent.
        if (owner_ != ::getpid()) open();
        const std::string line = fmt::format("{}{} {}\n", sign, word_of(kind), name);
        must(::write(file_.get(), line.data(), line.size()), "write");
    }

  private:
    void open() {
        for (;;) {
            path_ = fmt::format("{}/{}.objects", runtime_folder(), fresh_name("run"));
            file_ =
                Fd(::open(path_.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
            if (!file_ && errno == ENOENT) continue;  // somebody removed the empty folder
            must(file_.get(), path_);
            must(::fchmod(file_.get(), 0600), "fchmod");  // whatever the umask took away
            must(::flock(file_.get(), LOCK_EX), "flock");
            struct stat status {};
            must(::fstat(file_.get(), &status), "fstat");
            if (status.st_nlink != 0) break;  // else swept between open and flock
        }
        owner_ = ::getpid();
    }

    std::mutex mutex_;
    std::string path_;
    Fd file_;
    pid_t owner_ = 0;
};

Registry& registry() {
    static Registry the_registry;
    return the_registry;
}

/// What a dead run's registry file says that it made and did not remove.
std::set<std::pair<ObjectKind, std::string>> left_behind(int file) {
    std::string text;
    char chunk[4096];
    for (ssize_t n = 0; (n = ::read(file, chunk, sizeof chunk)) > 0;)
        text.append(chunk, static_cast<std::size_t>(n));
    std::set<std::pair<ObjectKind, std::string>> objects;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto space = line.find(' ');
        if (line.empty() || space == std::string::npos) continue;
        for (const ObjectKind kind :
             {ObjectKind::posix_shm, ObjectKind::posix_mq, ObjectKind::file}) {
            if (line.substr(1, space - 1) != word_of(kind)) continue;
            const auto object = std::pair(kind, line.substr(space + 1));
            if (line.front() == '+') objects.insert(object);
            if (line.front() == '-') objects.erase(object);
        }
    }
    return objects;
}

}  // namespace

std::string describe(ObjectKind kind, const std::string& name) {
    switch (kind) {
    case ObjectKind::posix_shm:
        return "shared memory /dev/shm/" + name;
    case ObjectKind::posix_mq:
        return "message queue /" + name;
    case ObjectKind::file:
        break;
    }
    return "file " + name;
}

NamedObject::NamedObject(ObjectKind kind, std::string name)
    : kind_(kind), name_(std::move(name)), creator_(::getpid()) {
    registry().write('+', kind_, name_);
}

NamedObject& NamedObject::operator=(NamedObject&& other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(name_, other.name_);
    std::swap(creator_, other.creator_);
    return *this;
}

NamedObject::~NamedObject() {
    if (creator_ != ::getpid()) return;
    remove_object(kind_, name_);
    try {
        registry().write('-', kind_, name_);
    } catch (const IpcError&) {
        // The object is gone; a registry that still names it costs the next sweep one failed
        // unlink.
    }
}

std::string fresh_name(const std::string& word) {
    static std::atomic<unsigned> count{0};
    std::random_device random;
    return fmt::format("ipclab-{}-{}-{}-{:08x}", word, ::getpid(), count++, random());
}

std::string runtime_folder() {
    std::string folder = folder_path();
    if (::mkdir(folder.c_str(), 0700) == -1 && errno != EEXIST) throw SystemError("mkdir", errno);
    struct stat status {};
    if (::lstat(folder.c_str(), &status) == -1)
        return folder;  // just removed: the caller tries again
    if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 0077) != 0)
        throw Refused(folder,
                      "it must be a folder of yours with mode 0700; remove it and try again");
    if ((status.st_mode & 0700) != 0700) ::chmod(folder.c_str(), 0700);  // mkdir under a umask
    return folder;
}

std::vector<std::string> sweep_leftovers() {
    std::vector<std::string> removed;
    const std::string folder = folder_path();
    DIR* entries = ::opendir(folder.c_str());
    if (entries == nullptr) return removed;
    while (const dirent* entry = ::readdir(entries)) {
        const std::string path = folder + "/" + entry->d_name;
        if (!path.ends_with(".objects")) continue;
        const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) == -1) continue;  // its owner lives
        for (const auto& [kind, name] : left_behind(file.get()))
            if (remove_object(kind, name)) removed.push_back(describe(kind, name));
        ::unlink(path.c_str());
    }
    ::closedir(entries);
    ::rmdir(folder.c_str());
    return removed;
}

}  // namespace ipclab
