// File: a regular file, and locks on parts of it.
//
// pwrite(2) copies a message into the page cache, pread(2) copies it out: two copies, as through a
// pipe. But a file does not say that something new is in it, and nobody sleeps on it. Locks do both
// here: F_OFD_SETLKW sleeps until nobody else has the range locked (fcntl(2), "Open file
// description locks"), and a process that dies loses its locks.
//
// Each direction has three slots, used in turn. The writer holds the slot that it will write next,
// the reader the one that it has read last. To send, the writer locks the slot after (there it
// waits for the reader), writes into its own and unlocks it. To receive, the reader locks the slot
// after its own (there it waits for the writer), reads it, and unlocks its own. So neither passes
// the other, as two hands of a climber do not (hand-over-hand locking: Bayer and Schkolnick,
// "Concurrency of Operations on B-Trees", 1977). A slot tells the number of its message: a lock
// that is granted because the writer is gone is told from one that means a message.
//
// That is seven system calls a message, where a pipe takes two, and the slowest way for short
// messages. Long ones gain back some of it: the file keeps its pages, where a pipe allocates new
// ones all the time and passes on sixteen at once.
//
// Nothing is synced to a disk: both read the same page cache, and a message is not meant to survive
// a power failure. With fsync(2), each would take as long as the disk does.
//
//   create    open(2) with O_CREAT and O_EXCL, posix_fallocate(3)
//   attach    open(2) by path; fcntl(2) to lock the first slot to write, and the last one read
//   exchange  fcntl(2), pwrite(2) of the message and of its number, fcntl(2); fcntl(2), preadv(2),
//             fcntl(2)
//   detach    close(2), and with it all locks
//   destroy   unlink(2)
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/file_path.hpp"
#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/tick.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <thread>

namespace ipclab {

/// A file serves one conversation: who comes after somebody has left makes a new one.
class File {
    static constexpr std::size_t default_room_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t slots = 3;

    /// At the start of a slot; the message follows.
    struct Record {
        std::uint64_t number;  // from 1
        std::uint64_t message_bytes;
    };

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& path, Side mine, std::chrono::milliseconds timeout)
            : file_(must(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW), path)),
              room_bytes_(room_of(file_)),
              peer_(path, mine),
              outgoing_side_(mine),
              timeout_(timeout) {
            tick_this_thread();
            Wait wait("attach", timeout_);
            lock(slot_of(outgoing_side_, next_out_), wait);
            lock(slot_of(other(outgoing_side_), next_in_ - 1), wait);
        }

        void send(View out) {
            if (out.size() > room_bytes_)
                throw Refused("send", fmt::format("a slot holds {} bytes", room_bytes_), EMSGSIZE);
            tick_this_thread();
            Wait wait("send", timeout_, &peer_);
            look_for_the_reader(wait);
            const off_t slot = slot_of(outgoing_side_, next_out_);
            lock(slot_of(outgoing_side_, next_out_ + 1), wait);
            write(out, slot + static_cast<off_t>(sizeof(Record)));
            // By itself and last: a writer that is killed in between has sent nothing.
            const Record record{next_out_, out.size()};
            write(std::as_bytes(std::span(&record, 1)), slot);
            unlock(slot);
            ++next_out_;
        }

        std::size_t receive(Bytes in) {
            tick_this_thread();
            const off_t slot = slot_of(other(outgoing_side_), next_in_);
            Record record{};
            for (Wait wait("receive", timeout_, &peer_);;) {
                lock(slot, wait);
                record = read(slot, in.first(std::min(in.size(), room_bytes_)));
                if (record.number == next_in_) break;
                unlock(slot);  // the writer has not come yet, or is gone
                pause(wait);
            }
            unlock(slot_of(other(outgoing_side_), next_in_ - 1));
            ++next_in_;
            if (record.message_bytes > in.size())
                throw Refused::too_small("receive", record.message_bytes, in.size());
            return record.message_bytes;
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return room_bytes_; }
        [[nodiscard]] std::size_t capacity_bytes() const { return room_bytes_; }

      private:
        static std::size_t room_of(const Fd& file) {
            struct stat status {};
            must(::fstat(file.get(), &status), "fstat");
            const auto slot_bytes = static_cast<std::size_t>(status.st_size) / (2 * slots);
            if (!S_ISREG(status.st_mode) || slot_bytes <= sizeof(Record))
                throw Refused("attach", "this file was not made for a conversation");
            return slot_bytes - sizeof(Record);
        }

        [[nodiscard]] off_t slot_bytes() const {
            return static_cast<off_t>(sizeof(Record) + room_bytes_);
        }
        /// Where the slot for message `number` of `sender` begins.
        [[nodiscard]] off_t slot_of(Side sender, std::uint64_t number) const {
            const std::size_t index = (sender == Side::initiator ? 0 : slots) + number % slots;
            return static_cast<off_t>(index) * slot_bytes();
        }

        [[nodiscard]] struct flock range(short type, off_t start, off_t bytes) const {
            struct flock range {};
            range.l_type = type;
            range.l_whence = SEEK_SET;
            range.l_start = start;
            range.l_len = bytes;
            return range;
        }
        void lock(off_t slot, Wait& wait) const {
            struct flock wanted = range(F_WRLCK, slot, slot_bytes());
            while (::fcntl(file_.get(), F_OFD_SETLKW, &wanted) == -1) {
                if (errno != EINTR) throw SystemError("fcntl(F_OFD_SETLKW)", errno);
                wait.glance();
            }
        }
        void unlock(off_t slot) const {
            struct flock mine = range(F_UNLCK, slot, slot_bytes());
            must(::fcntl(file_.get(), F_OFD_SETLK, &mine), "fcntl(F_OFD_SETLK)");
        }
        [[nodiscard]] bool reader_holds_a_slot() const {
            const auto all = static_cast<off_t>(slots) * slot_bytes();
            struct flock theirs = range(F_WRLCK, slot_of(outgoing_side_, 0), all);
            must(::fcntl(file_.get(), F_OFD_GETLK, &theirs), "fcntl(F_OFD_GETLK)");
            return theirs.l_type != F_UNLCK;
        }
        /// A reader that holds no slot is passed unnoticed: before the first message it must have
        /// come, and now and then it is looked for. Reading a clock takes no system call.
        void look_for_the_reader(Wait& wait) {
            const auto now = std::chrono::steady_clock::now();
            if (now < next_look_) return;
            if (next_out_ == 1)
                while (!reader_holds_a_slot()) pause(wait);
            const PeerState state = peer_.peer();
            if (state == PeerState::left) throw Closed("send");
            if (state == PeerState::died) throw PeerGone("send");
            next_look_ = now + glance_interval;
        }
        static void pause(Wait& wait) {
            wait.glance();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }

        void write(View bytes, off_t at) const {
            while (!bytes.empty()) {
                const ssize_t done =
                    must(::pwrite(file_.get(), bytes.data(), bytes.size(), at), "pwrite");
                bytes = bytes.subspan(static_cast<std::size_t>(done));
                at += done;
            }
        }
        [[nodiscard]] Record read(off_t slot, Bytes in) const {
            Record record{};
            const iovec parts[] = {{&record, sizeof record}, {in.data(), in.size()}};
            const auto got =
                static_cast<std::size_t>(must(::preadv(file_.get(), parts, 2, slot), "preadv"));
            if (got != sizeof record + in.size())
                throw Refused("preadv", "the file has become shorter");
            return record;
        }

        Fd file_;
        std::size_t room_bytes_;
        Presence peer_;
        Side outgoing_side_;
        std::chrono::milliseconds timeout_;
        std::chrono::steady_clock::time_point next_look_{};
        std::uint64_t next_out_ = 1;
        std::uint64_t next_in_ = 1;
    };

    static File create(const Needs& needs) {
        File made(needs.timeout, {file_path(needs.address.name, "file")});
        const bool by_default = needs.message_bytes_max == 0 && needs.capacity_bytes == 0;
        const std::size_t room =
            by_default ? default_room_bytes
                       : std::max({needs.message_bytes_max, needs.capacity_bytes, std::size_t{1}});
        made.presence_ = Presence::create(made.where_.name);
        made.file_ = NamedObject(ObjectKind::file, made.where_.name);
        const Fd file(must(::open(made.where_.name.c_str(),
                                  O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600),
                           made.where_.name));
        must(::fchmod(file.get(), 0600), "fchmod");  // whatever the umask took away
        const std::size_t bytes = 2 * slots * (sizeof(Record) + room);
        const Limit space =
            limits::free_bytes_at(std::filesystem::path(made.where_.name).parent_path().string());
        space.admit(bytes, "posix_fallocate", ENOSPC);
        // Not ftruncate(2): what the disk cannot give is refused here, and not in a send.
        const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes));
        if (error == ENOSPC) throw space.reached("posix_fallocate", error);
        if (error != 0) throw SystemError("posix_fallocate", error);
        return made;
    }
    static File open(const Address& where, const Needs& needs) {
        return {needs.timeout, {file_path(where.name, "file")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, timeout_}; }

    static constexpr Facts facts{
        .name = "file",
        .family = "files",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {4, 4},
        .receive_calls = {3, 3},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::file_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,
        .message_bytes_max = "the slot (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "A file knows nothing of messages: to take turns costs seven system calls each, "
                  "which makes it the slowest for short ones; long ones it copies as well as any.",
    };

  private:
    File(std::chrono::milliseconds timeout, Address where)
        : timeout_(timeout), where_(std::move(where)) {}

    std::chrono::milliseconds timeout_;
    Address where_;
    NamedObject presence_;
    NamedObject file_;
};

static_assert(Addressed<File>);

}  // namespace ipclab
