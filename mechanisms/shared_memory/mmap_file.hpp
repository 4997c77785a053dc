// Mapped file: the page cache as shared memory.
//
// What the kernel reads of a file it keeps in pages of memory, the page cache, one set of them for
// the whole machine. mmap(2) with MAP_SHARED enters those very pages in a process's page table: two
// processes that map a file share memory, and neither the file system nor the disk has a part in
// it. A store is seen by the other at once, as in any shared memory.
//
// The disk comes after. A page that was written to is dirty; some 30 s later, or when memory runs
// short, the kernel writes it back, and the next store to it faults once more, so that the kernel
// learns of it. msync(2) with MS_SYNC waits until what was written is on the disk: it is for
// whoever reads the file after the machine has lost its power, and for nobody else. It makes
// nothing visible that was not visible before.
//
//   create    open(2) with O_CREAT, posix_fallocate(3)
//   attach    open(2) by path, mmap(2)
//   exchange  wait until the room is vacant, touch the memory, post that it is filled (by futex)
//   detach    munmap(2), which writes nothing either
//   destroy   unlink(2), without which the file stays, and the last messages in it
#pragma once

#include "mechanisms/os/file_path.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/shared_memory/mailbox.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"

namespace ipclab {

class MmapFile {
  public:
    class Endpoint : public Mailbox<SpinThenFutexSemaphores> {
      public:
        using Mailbox::Mailbox;
        /// Waits until all that has been written to the memory is on the disk. Not needed for the
        /// peer to see it.
        void sync() const {
            must(::msync(memory().data(), memory().size(), MS_SYNC), "msync(MS_SYNC)");
        }
    };

    static MmapFile create(const Needs& needs) {
        MmapFile made(needs.timeout, file_path(needs.address.name, "mmap-file"));
        const std::size_t bytes = Endpoint::bytes_for(needs);
        made.presence_ = Presence::create(made.path_);
        made.object_ = NamedObject(ObjectKind::file, made.path_);
        const Fd file(must(
            ::open(made.path_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600),
            "open"));
        must(::fchmod(file.get(), 0600), "fchmod");  // whatever the umask took away
        // All blocks on the disk: with none left, a store into a hole would be met with SIGBUS.
        allocate(file, bytes, std::filesystem::path(made.path_).parent_path());
        Endpoint::create(Mapping(file.get(), page_bytes()).data());
        return made;
    }
    static MmapFile open(const Address& where, const Needs& needs) {
        return {needs.timeout, file_path(where.name, "mmap-file")};
    }
    [[nodiscard]] Address address() const { return {path_}; }

    Endpoint attach(Role role) {
        const Fd file(must(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW), "open"));
        return {Mapping(file.get(), size_of(file)), {}, path_, role.side, timeout_};
    }

    static constexpr Facts facts{
        .name = "mmap-file",
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = Endpoint::send_calls,
        .receive_calls = Endpoint::receive_calls,
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::file_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,
        .message_bytes_max = "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = SpinThenFutexSemaphores::kind,
        .lesson =
            "A mapped file is shared memory that the kernel happens to write to a disk, later; "
            "msync(2) is about the disk, never about the peer.",
    };

  private:
    MmapFile(std::chrono::milliseconds timeout, std::string path)
        : timeout_(timeout), path_(std::move(path)) {}

    std::chrono::milliseconds timeout_;
    std::string path_;
    NamedObject presence_;
    NamedObject object_;
};

static_assert(Addressed<MmapFile>);

}  // namespace ipclab
