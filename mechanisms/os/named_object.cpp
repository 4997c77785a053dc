#include "mechanisms/os/named_object.hpp"

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <mutex>
#include <random>
#include <sstream>
#include <string_view>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace ipclab {
namespace {

struct KindWord {
    ObjectKind kind;
    std::string_view in_registry;
    std::string_view for_people;
};
constexpr KindWord kind_words[] = {
    {ObjectKind::posix_shm, "posix_shm", "shared memory /dev/shm/"},
    {ObjectKind::posix_mq, "posix_mq", "message queue /"},
    {ObjectKind::file, "file", "file "},
    {ObjectKind::sysv_shm, "sysv_shm", "System V shared memory, key "},
    {ObjectKind::sysv_sem, "sysv_sem", "System V semaphores, key "},
    {ObjectKind::sysv_mq, "sysv_mq", "System V message queue, key "},
    {ObjectKind::sysv_private_shm, "sysv_private_shm", "System V shared memory without a key of "},
    {ObjectKind::abstract_socket, "abstract_socket", "abstract socket @"},
    {ObjectKind::tcp_port, "tcp_port", "TCP port "},
    {ObjectKind::udp_port, "udp_port", "UDP port "},
};

const KindWord& words_of(ObjectKind kind) {
    return *std::find_if(std::begin(kind_words), std::end(kind_words),
                         [&](const KindWord& words) { return words.kind == kind; });
}

// ---- System V: an object is found by its key, and is ours to remove if this user made it. ----

key_t key_of(const std::string& name) {
    return static_cast<key_t>(std::strtoul(name.c_str(), nullptr, 16));
}

/// The identifier behind `key`; -1 if there is none.
int sysv_id(ObjectKind kind, key_t key) {
    if (kind == ObjectKind::sysv_shm) return ::shmget(key, 0, 0);
    if (kind == ObjectKind::sysv_sem) return ::semget(key, 0, 0);
    return ::msgget(key, 0);
}

uid_t creator_of(ObjectKind kind, int id) {
    shmid_ds shm{};
    semid_ds sem{};
    msqid_ds mq{};
    if (kind == ObjectKind::sysv_shm && ::shmctl(id, IPC_STAT, &shm) != -1)
        return shm.shm_perm.cuid;
    if (kind == ObjectKind::sysv_sem && ::semctl(id, 0, IPC_STAT, &sem) != -1)
        return sem.sem_perm.cuid;
    if (kind == ObjectKind::sysv_mq && ::msgctl(id, IPC_STAT, &mq) != -1) return mq.msg_perm.cuid;
    return static_cast<uid_t>(-1);
}

bool remove_sysv(ObjectKind kind, const std::string& name) {
    const int id = sysv_id(kind, key_of(name));
    if (id == -1 || creator_of(kind, id) != ::geteuid()) return false;
    if (kind == ObjectKind::sysv_shm) return ::shmctl(id, IPC_RMID, nullptr) == 0;
    if (kind == ObjectKind::sysv_sem) return ::semctl(id, 0, IPC_RMID) == 0;
    return ::msgctl(id, IPC_RMID, nullptr) == 0;
}

/// The segments without a key that process `pid` made and that nobody has attached (shmctl(2),
/// SHM_STAT).
std::vector<int> private_segments_of(pid_t pid) {
    std::vector<int> found;
    shm_info info{};
    const int last = ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
    for (int index = 0; index <= last; ++index) {
        shmid_ds status{};
        const int id = ::shmctl(index, SHM_STAT, &status);
        if (id != -1 && status.shm_perm.__key == IPC_PRIVATE && status.shm_cpid == pid &&
            status.shm_nattch == 0 && status.shm_perm.cuid == ::geteuid())
            found.push_back(id);
    }
    return found;
}

bool remove_object(ObjectKind kind, const std::string& name) {
    switch (kind) {
    case ObjectKind::posix_shm:
        return ::shm_unlink(("/" + name).c_str()) == 0;
    case ObjectKind::posix_mq:
        return ::mq_unlink(("/" + name).c_str()) == 0;
    case ObjectKind::file:
        return ::unlink(name.c_str()) == 0;
    case ObjectKind::sysv_shm:
    case ObjectKind::sysv_sem:
    case ObjectKind::sysv_mq:
        return remove_sysv(kind, name);
    case ObjectKind::sysv_private_shm: {
        const std::vector<int> segments = private_segments_of(std::stoi(name));
        for (const int id : segments) ::shmctl(id, IPC_RMID, nullptr);
        return !segments.empty();
    }
    case ObjectKind::abstract_socket:
    case ObjectKind::tcp_port:
    case ObjectKind::udp_port:
        break;
    }
    return false;
}

std::string folder_path(uid_t uid = ::geteuid()) { return fmt::format("/tmp/ipclab-{}", uid); }

struct Entry {
    ObjectKind kind;
    std::string name;
    std::time_t created;
};

/// What a registry file says that its process made and did not remove.
std::vector<Entry> not_removed(int file) {
    std::string text;
    char chunk[4096];
    for (ssize_t n = 0; (n = ::read(file, chunk, sizeof chunk)) > 0;)
        text.append(chunk, static_cast<std::size_t>(n));
    std::vector<Entry> objects;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        char sign = 0;
        std::string kind;
        Entry entry{};
        words >> sign >> kind >> entry.created >> std::ws;
        std::getline(words, entry.name);
        if (entry.name.empty()) continue;  // torn by a kill
        for (const KindWord& known : kind_words) {
            if (known.in_registry != kind) continue;
            entry.kind = known.kind;
            std::erase_if(objects, [&](const Entry& other) {
                return other.kind == entry.kind && other.name == entry.name;
            });
            if (sign == '+') objects.push_back(entry);
        }
    }
    return objects;
}

// ---- Queues and System V objects belong to an IPC namespace (ipc_namespaces(7)), which programs
// that share /tmp do not need to share: containers, for instance. ----

bool is_of_a_namespace(ObjectKind kind) {
    return kind == ObjectKind::posix_mq || kind == ObjectKind::sysv_shm ||
           kind == ObjectKind::sysv_sem || kind == ObjectKind::sysv_mq ||
           kind == ObjectKind::sysv_private_shm;
}

/// The number of the namespace that a process lives in, 0 if that is not to be known.
unsigned long ipc_namespace(const std::string& pid) {
    struct stat status {};
    return ::stat(fmt::format("/proc/{}/ns/ipc", pid).c_str(), &status) == 0 ? status.st_ino : 0;
}

/// Whether any process lives in it; its objects end with the last one.
bool is_inhabited(unsigned long the_namespace) {
    DIR* processes = ::opendir("/proc");
    if (processes == nullptr) return true;
    bool found = false;
    while (const dirent* entry = ::readdir(processes))
        found = found || (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0 &&
                          ipc_namespace(entry->d_name) == the_namespace);
    ::closedir(processes);
    return found;
}

/// A child that was forked ends, as a rule, without running this program's destructors: its file
/// goes with its last object.
const pid_t process_that_was_executed = ::getpid();

/// The registry file of this process. One line an object, when it is made and when it is gone:
/// "+KIND SECONDS NAME", "-KIND SECONDS NAME", with seconds since 1970.
class Registry {
  public:
    ~Registry() {
        if (owner_ == ::getpid() && objects_ == 0) remove_file();
    }

    void write(char sign, ObjectKind kind, const std::string& name) {
        const std::lock_guard lock(mutex_);
        // A forked child has a file of its own: its parent's stays locked, and is removed, with the
        // parent.
        if (owner_ != ::getpid()) open();
        const std::string line =
            fmt::format("{}{} {} {}\n", sign, words_of(kind).in_registry, std::time(nullptr), name);
        must(::write(file_.get(), line.data(), line.size()), "write");
        objects_ += sign == '+' ? 1 : -1;
        if (objects_ == 0 && owner_ != process_that_was_executed) remove_file();
    }

    void remove_all() {
        const std::lock_guard lock(mutex_);
        if (owner_ != ::getpid()) return;
        const Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!file) return;
        for (const Entry& made : not_removed(file.get())) remove_object(made.kind, made.name);
        ::unlink(path_.c_str());
        ::rmdir(folder_path().c_str());
    }

  private:
    void open() {
        for (;;) {
            path_ = fmt::format("{}/{}.{}.objects", runtime_folder(), fresh_name("run"),
                                ipc_namespace("self"));
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
        objects_ = 0;
    }
    void remove_file() {
        ::unlink(path_.c_str());
        file_.reset();
        ::rmdir(folder_path().c_str());  // succeeds for the last one out
        owner_ = 0;
    }

    std::mutex mutex_;
    std::string path_;
    Fd file_;
    pid_t owner_ = 0;
    int objects_ = 0;
};

Registry& registry() {
    static Registry the_registry;
    return the_registry;
}

/// Calls `visit(file, name)` with each registry file of a user, open for reading.
void for_each_registry(const std::string& folder, auto&& visit) {
    DIR* entries = ::opendir(folder.c_str());
    if (entries == nullptr) return;
    while (const dirent* entry = ::readdir(entries)) {
        const std::string name = entry->d_name;
        if (!name.ends_with(".objects")) continue;
        const Fd file(::open(fmt::format("{}/{}", folder, name).c_str(),
                             O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (file) visit(file, name);
    }
    ::closedir(entries);
}

/// "ipclab-run-PID-…"
pid_t pid_of_registry(const std::string& name) {
    int pid = 0;
    return std::sscanf(name.c_str(), "ipclab-run-%d-", &pid) == 1 ? pid : 0;
}
/// "ipclab-run-….NAMESPACE.objects"
unsigned long namespace_of_registry(const std::string& name) {
    return std::strtoul(name.c_str() + name.find('.') + 1, nullptr, 10);
}

}  // namespace

std::string sysv_key_name(key_t key) {
    return fmt::format("0x{:08x}", static_cast<std::uint32_t>(key));
}

std::string describe(ObjectKind kind, const std::string& name) {
    return fmt::format("{}{}", words_of(kind).for_people, name);
}

bool exists(ObjectKind kind, const std::string& name) {
    struct stat status {};
    switch (kind) {
    case ObjectKind::posix_shm:
        return ::stat(("/dev/shm/" + name).c_str(), &status) == 0;
    case ObjectKind::posix_mq: {
        const Fd queue(::mq_open(("/" + name).c_str(), O_RDONLY | O_CLOEXEC));
        return queue || errno != ENOENT;
    }
    case ObjectKind::file:
        return ::lstat(name.c_str(), &status) == 0;
    case ObjectKind::sysv_shm:
    case ObjectKind::sysv_sem:
    case ObjectKind::sysv_mq:
        return sysv_id(kind, key_of(name)) != -1 || errno != ENOENT;
    case ObjectKind::sysv_private_shm:
        return !private_segments_of(std::stoi(name)).empty();
    case ObjectKind::abstract_socket:
    case ObjectKind::tcp_port:
    case ObjectKind::udp_port:
        break;
    }
    return false;
}

std::vector<RegisteredObject> registered_objects() {
    std::vector<RegisteredObject> objects;
    DIR* entries = ::opendir("/tmp");
    if (entries == nullptr) return objects;
    while (const dirent* entry = ::readdir(entries)) {
        unsigned uid = 0;
        if (std::sscanf(entry->d_name, "ipclab-%u", &uid) != 1) continue;
        for_each_registry(folder_path(uid), [&](const Fd& file, const std::string& name) {
            const bool lives = ::flock(file.get(), LOCK_SH | LOCK_NB) == -1;
            for (const Entry& made : not_removed(file.get()))
                objects.push_back({made.kind, made.name, uid, pid_of_registry(name), lives,
                                   std::chrono::system_clock::from_time_t(made.created)});
        });
    }
    ::closedir(entries);
    return objects;
}

NamedObject::NamedObject(ObjectKind kind, std::string name) : kind_(kind), name_(std::move(name)) {
    // Else the destructor would remove what somebody else has made.
    if (kind_ != ObjectKind::sysv_private_shm && exists(kind_, name_))
        throw Refused("create", fmt::format("there is one already: {}", describe(kind_, name_)),
                      EEXIST);
    creator_ = ::getpid();
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

std::string object_name(const std::string& asked, const std::string& word) {
    if (asked.empty()) return fresh_name(word);
    std::string name = asked.substr(asked.front() == '/' ? 1 : 0);
    constexpr std::size_t room_for_suffixes = 32;
    if (name.empty() || name.find('/') != std::string::npos ||
        name.size() + room_for_suffixes > NAME_MAX)
        throw Refused("create",
                      fmt::format("{:?} is no name of an object: one word of up to {} characters, "
                                  "without a slash inside",
                                  asked, NAME_MAX - room_for_suffixes));
    return name;
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

void remove_own_objects() { registry().remove_all(); }

namespace {

/// False where the registry's owner lives, or another sweeps it. Who only lists it holds it for a
/// moment, as does whoever asks here whether that is so: then it is tried again.
bool take_over(const Fd& file) {
    constexpr int attempts = 100;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return true;
        if (::flock(file.get(), LOCK_SH | LOCK_NB) == -1) return false;
        // Or two who want to sweep would keep each other from it.
        ::flock(file.get(), LOCK_UN);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

}  // namespace

std::vector<std::string> sweep_leftovers() {
    std::vector<std::string> removed;
    const std::string folder = folder_path();
    for_each_registry(folder, [&](const Fd& file, const std::string& name) {
        if (!take_over(file)) return;
        const unsigned long its_own = namespace_of_registry(name);
        const bool elsewhere = its_own != ipc_namespace("self");
        bool out_of_reach = false;
        for (const Entry& made : not_removed(file.get())) {
            if (elsewhere && is_of_a_namespace(made.kind))
                out_of_reach = true;
            else if (remove_object(made.kind, made.name))
                removed.push_back(describe(made.kind, made.name));
        }
        if (out_of_reach && is_inhabited(its_own))
            return;  // to be swept by somebody who lives there
        ::unlink((folder + "/" + name).c_str());
    });
    ::rmdir(folder.c_str());
    return removed;
}

}  // namespace ipclab
