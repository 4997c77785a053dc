// Who is still there?
//
// Shared memory and queues do not notice that a process died. Locks do: the kernel drops them with
// the process that held them. So each side of a conversation keeps one byte of a small shared
// object locked for as long as it is attached, and writes there when it came and when it left in
// good order. "Came, holds no lock, did not say goodbye" means killed.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"

#include <string>

namespace ipclab {

enum class PeerState { not_here_yet, here, left, died };

/// One side's presence in a conversation; leaves in the destructor.
class Presence {
  public:
    /// Announces `mine` in the conversation called `name`: an object's name, or the path of a file.
    /// `index` counts the conversations that share an object.
    /// Throws Refused when somebody living has this side already. Opens the object anew: a lock
    /// belongs to an open file description, and a forked child shares its parent's (fcntl(2), "Open
    /// file description locks").
    Presence(const std::string& name, Side mine, int index = 0);
    Presence(Presence&&) noexcept = default;
    Presence& operator=(Presence&&) noexcept = default;
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    ~Presence();

    /// Two system calls; never on the hot path.
    [[nodiscard]] PeerState peer() const;

    /// Makes what the sides lock, done once, by the conversation's creator: /dev/shm/NAME.presence
    /// or PATH.presence.
    static NamedObject create(const std::string& name);

  private:
    Fd object_;
    off_t mine_;  // my byte, and my peer's
    off_t theirs_;
};

}  // namespace ipclab
