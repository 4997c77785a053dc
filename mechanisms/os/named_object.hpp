// Names in the system, and the promise that none is left behind.
//
// A POSIX shared-memory object, a System V segment, a message queue or a socket file outlives the
// process that made it until somebody removes its name. The creator does so in its destructor. For
// a creator that was killed there is the registry: before an object is made, its name is written to
// a file that this process keeps locked. The lock dies with the process, the file does not, and so
// the next run can tell the leftovers of the dead from the belongings of the living.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

namespace ipclab {

/// What a name stands for, and what `name` is for each.
enum class ObjectKind {
    posix_shm,         ///< without the slash
    posix_mq,          ///< without the slash
    file,              ///< a path: a socket, a fifo, a regular file
    sysv_shm,          ///< a key, see sysv_key_name()
    sysv_sem,          ///< a key
    sysv_mq,           ///< a key
    sysv_private_shm,  ///< the pid of the process whose segments without a key they are
    abstract_socket,   ///< ends with its process, as do ports
    tcp_port,
    udp_port,
};

/// The keys of System V objects are numbers; as names they are written "0x0001f4a3", as ipcs(1)
/// does.
std::string sysv_key_name(key_t key);

/// "shared memory /dev/shm/ipclab-…", as a person would look for it.
std::string describe(ObjectKind kind, const std::string& name);

/// Sockets without a file: nothing of them is left behind, and nothing is removed.
constexpr bool ends_with_its_process(ObjectKind kind) {
    return kind == ObjectKind::abstract_socket || kind == ObjectKind::tcp_port ||
           kind == ObjectKind::udp_port;
}

/// Whether there is such an object, whoever made it. What ends with its process is not looked for.
bool exists(ObjectKind kind, const std::string& name);

/// Owns a name from before its object is made until it is removed. Only the process that claimed
/// the name removes it: in a forked child the destructor does nothing.
class NamedObject {
  public:
    NamedObject() = default;
    /// Enters the name in the registry; the caller then makes the object, with O_EXCL. Refused if
    /// there is one of that name.
    NamedObject(ObjectKind kind, std::string name);
    NamedObject(NamedObject&& other) noexcept { *this = std::move(other); }
    NamedObject& operator=(NamedObject&& other) noexcept;
    NamedObject(const NamedObject&) = delete;
    NamedObject& operator=(const NamedObject&) = delete;
    ~NamedObject();

    [[nodiscard]] const std::string& name() const { return name_; }

    /// The object stays, and stays registered: the sweep removes it once this process has ended.
    void leave_to_the_sweep() { creator_ = 0; }
    /// Whether this process claimed it, and will remove it.
    [[nodiscard]] bool is_mine() const { return creator_ == ::getpid(); }

  private:
    ObjectKind kind_ = ObjectKind::file;
    std::string name_;
    pid_t creator_ = 0;
};

/// A name that nothing else on this machine has: "ipclab-<word>-<pid>-<count>-<random>".
std::string fresh_name(const std::string& word);

/// The name of a POSIX object without its slash: the one that a user asked for, or a fresh one
/// where that is empty. Refuses what shm_open(3) and mq_open(3) do not take.
std::string object_name(const std::string& asked, const std::string& word);

/// The folder for the registry and for objects that need a path: /tmp/ipclab-<uid>, mode 0700.
/// Made when first asked for, removed with the last file in it. Refuses a folder of somebody else.
std::string runtime_folder();

/// What a registry file tells of an object that was made and not removed yet.
struct RegisteredObject {
    ObjectKind kind;
    std::string name;
    uid_t uid;
    pid_t owner;
    bool owner_lives;
    std::chrono::system_clock::time_point created;
};
/// Of this user, and of all others whose registries this process may read. An object may have been
/// removed by somebody else meanwhile (see exists()).
std::vector<RegisteredObject> registered_objects();

/// Removes every object that this process has made and not removed: for a process that is about to
/// end without running its destructors.
void remove_own_objects();

/// Removes every object that a dead process left behind, and says which: one line each.
std::vector<std::string> sweep_leftovers();

}  // namespace ipclab
