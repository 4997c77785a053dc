// Two processes that meet by two names, as VILLASnode's shmem nodes do.
//
// Each side makes the object that it writes to and opens the one that the other writes to. Neither
// is the server; who comes first waits. That is the third design of its kind there, and the waiting
// is the hard part. The original posts a named semaphore of its own and waits for the other's,
// without a deadline. A process that is killed while it waits leaves a semaphore at 1 and an
// object, which the next peer takes for a partner; a second pair of the same names unlinks the
// objects of the first; and a partner that closes at once takes its object away before we have
// opened it.
//
// Here the object itself tells. It appears whole, so there is nothing to wait for before it is
// opened. Its writer keeps it locked (fcntl(2), open file description locks): the kernel drops the
// lock with the process, and so an object that is not locked is a dead one's. It is ignored by who
// looks for a partner, and replaced by who wants its name; one that is locked is refused, and
// nothing is done to it. And the object says that its reader has come: nobody returns from `open`
// before the other has mapped what it will read, after which either may close as soon as it likes.
//
// One name for both directions gives a loop: what is written there comes back.
#pragma once

#include "mechanisms/os/named_object.hpp"
#include "mechanisms/rings/villas/endpoint.hpp"

#include <sys/file.h>
#include <thread>

namespace ipclab::villas {

/// What Header::meeting says.
constexpr std::uint32_t awaits_its_reader = 1;
constexpr std::uint32_t has_its_reader = 2;

/// Whether the writer of an object is still there.
class WriterLock {
  public:
    /// For who writes to `object` and has just made it, until the descriptor's last copy is closed.
    static void take(const Fd& object) {
        struct flock lock = whole(F_WRLCK);
        must(::fcntl(object.get(), F_OFD_SETLK, &lock), "fcntl(F_OFD_SETLK)");
    }
    /// `object` must be opened anew: a lock does not stand in the way of its own description.
    static bool is_held(const Fd& object) {
        struct flock lock = whole(F_WRLCK);
        must(::fcntl(object.get(), F_OFD_GETLK, &lock), "fcntl(F_OFD_GETLK)");
        return lock.l_type != F_UNLCK;
    }

  private:
    static struct flock whole(short type) {
        struct flock lock {};
        lock.l_type = type;
        lock.l_whence = SEEK_SET;
        return lock;
    }
};

/// The reader's watch over the writer of `object`, as Presence.
class WriterWatch {
  public:
    /// `object` stays the caller's, and open. Not by its name: the writer may have taken that away.
    explicit WriterWatch(const Fd& object)
        : object_(&object), header_(object.get(), sizeof(DirectionLayout::Header)) {}

    [[nodiscard]] PeerState peer() const {
        if (WriterLock::is_held(*object_)) return PeerState::here;
        const auto* header =
            std::launder(reinterpret_cast<const DirectionLayout::Header*>(header_.data()));
        return DirectionLayout::Queue::Queue::is_closed(header->on_the_way.queue) ? PeerState::left
                                                                                  : PeerState::died;
    }

  private:
    const Fd* object_;
    Mapping header_;
};

class NamedPair {
  public:
    /// Makes /dev/shm/`write_name`, and waits until somebody has opened it and has made
    /// /dev/shm/`read_name`, at most for `timeout`. Throws Refused while another living process has
    /// one of the two places, or when one of the names belongs to something else; TimedOut.
    static NamedPair open(const std::string& write_name, const std::string& read_name,
                          const DirectionOptions& options, std::chrono::milliseconds timeout,
                          std::size_t vectorize = 1) {
        return {object_name(write_name, "villas"), object_name(read_name, "villas"), options,
                timeout, vectorize};
    }
    NamedPair(const NamedPair&) = delete;
    NamedPair& operator=(const NamedPair&) = delete;

    Endpoint<WriterWatch>& endpoint() { return endpoint_; }

  private:
    struct Own {
        Fd object;
        NamedObject name;
    };

    NamedPair(const std::string& write_name, const std::string& read_name,
              const DirectionOptions& options, std::chrono::milliseconds timeout,
              std::size_t vectorize)
        : own_(claim(write_name, options)),
          peers_(await_peer(own_, read_name, timeout)),
          endpoint_(DirectionView(own_.object, writer), DirectionView(peers_, reader),
                    WriterWatch(peers_), vectorize, timeout) {}

    /// The name, once nobody living has it.
    static Own claim(const std::string& name, const DirectionOptions& options) {
        const Fd one_at_a_time = lock_folder();
        if (exists(ObjectKind::posix_shm, name)) {
            const Fd there = open_shm_object(name);
            if (!is_for_meeting(there))
                throw Refused("open", fmt::format("/dev/shm/{} is no place to meet", name), EEXIST);
            if (WriterLock::is_held(there))
                throw Refused("open", fmt::format("another process writes to /dev/shm/{}", name),
                              EEXIST);
            must(::shm_unlink(fmt::format("/{}", name).c_str()), "shm_unlink");
        }
        Own own{make_direction(options), NamedObject(ObjectKind::posix_shm, name)};
        DirectionView(own.object, nobody).header().meeting = awaits_its_reader;
        WriterLock::take(own.object);
        give_name(own.object, name);
        return own;
    }

    /// Both wait for each other, and so neither may wait for the other's last step: first each
    /// says that it has come to read, then it waits to be read.
    static Fd await_peer(const Own& own, const std::string& read_name,
                         std::chrono::milliseconds timeout) {
        DirectionView mine(own.object, nobody);
        Wait wait("open", timeout, static_cast<const Presence*>(nullptr));
        for (;; pause(wait)) {
            if (!exists(ObjectKind::posix_shm, read_name)) continue;
            Fd object = try_to_open(read_name);
            if (!object || !WriterLock::is_held(object)) continue;
            DirectionView theirs(object, nobody);
            std::uint32_t awaited = awaits_its_reader;
            if (!theirs.header().meeting.compare_exchange_strong(awaited, has_its_reader))
                throw Refused("open",
                              fmt::format("another process reads from /dev/shm/{}", read_name),
                              EBUSY);
            while (WriterLock::is_held(object) || is_closed(theirs)) {
                if (mine.header().meeting == has_its_reader) return object;
                pause(wait);
            }
            // Died while it waited; another may come in its place.
            mine.header().meeting = awaits_its_reader;
        }
    }

    static void pause(Wait& wait) {
        wait.glance();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    static bool is_closed(DirectionView& direction) {
        return DirectionLayout::Queue::Queue::is_closed(direction.header().on_the_way.queue);
    }
    static Fd try_to_open(const std::string& name) {
        Fd object(::shm_open(fmt::format("/{}", name).c_str(), O_RDWR, 0));
        if (!object && errno != ENOENT) throw_system_error("shm_open", errno);
        return object;
    }
    static bool is_for_meeting(const Fd& object) {
        try {
            return DirectionView(object, nobody).header().meeting != 0;
        } catch (const Refused&) {
            return false;
        }
    }
    /// Two who claim the same name at the same time would both find it free.
    static Fd lock_folder() {
        for (;;) {
            Fd folder(::open(runtime_folder().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (!folder && errno == ENOENT) continue;  // just removed
            must(folder.get(), "open");
            must(::flock(folder.get(), LOCK_EX), "flock");
            struct stat status {};
            must(::fstat(folder.get(), &status), "fstat");
            if (status.st_nlink != 0) return folder;
        }
    }

    // In each direction; nobody is both, not even in a loop.
    static constexpr Holder writer = 1;
    static constexpr Holder reader = 2;

    Own own_;
    Fd peers_;
    Endpoint<WriterWatch> endpoint_;
};

}  // namespace ipclab::villas
