// Names in the system, and the promise that none is left behind.
//
// A POSIX shared-memory object, a message queue or a socket file outlives the process that made it
// until somebody removes its name. The creator does so in its destructor. For a creator that was
// killed there is the registry: before an object is made, its name is written to a file that this
// process keeps locked. The lock dies with the process, the file does not, and so the next run can
// tell the leftovers of the dead from the belongings of the living.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace ipclab {

enum class ObjectKind { posix_shm, posix_mq, file };

/// "/dev/shm/ipclab-…", as a person would look for it.
std::string describe(ObjectKind kind, const std::string& name);

/// Owns a name from before its object is made until it is removed. Only the process that claimed
/// the name removes it: in a forked child the destructor does nothing.
class NamedObject {
  public:
    NamedObject() = default;
    /// Enters the name in the registry; the caller then makes the object, with O_EXCL.
    NamedObject(ObjectKind kind, std::string name);
    NamedObject(NamedObject&& other) noexcept { *this = std::move(other); }
    NamedObject& operator=(NamedObject&& other) noexcept;
    NamedObject(const NamedObject&) = delete;
    NamedObject& operator=(const NamedObject&) = delete;
    ~NamedObject();

    [[nodiscard]] const std::string& name() const { return name_; }

  private:
    ObjectKind kind_ = ObjectKind::file;
    std::string name_;
    pid_t creator_ = 0;
};

/// A name that nothing else on this machine has: "ipclab-<word>-<pid>-<count>-<random>".
std::string fresh_name(const std::string& word);

/// The folder for the registry and for objects that need a path: /tmp/ipclab-<uid>, mode 0700.
/// Made when first asked for, removed with the last file in it. Refuses a folder of somebody else.
std::string runtime_folder();

/// Removes every object that a dead process left behind, and says which: one line each.
std::vector<std::string> sweep_leftovers();

}  // namespace ipclab
