// memfd: memory that is a file without a name, handed from process to process.
//
// memfd_create(2) makes pages that belong to a descriptor and lie in no file system: no name to
// guess, to clash with or to leave behind, and the memory is gone with its last descriptor and
// mapping. So a process that did not inherit the descriptor must be given it, over a Unix socket
// (SCM_RIGHTS); the address is the socket's path. The processes meet there: the initiator connects,
// the responder accepts and hands the memory over.
//
// Whoever maps memory that a stranger made should fear that it shrinks: a load beyond its end is
// SIGBUS. Seals rule it out. The creator says once that the size is final (F_SEAL_SHRINK,
// F_SEAL_GROW) and that so are the seals (F_SEAL_SEAL), and the receiver looks before it maps.
// Memory without the seals is refused, and so is memory with holes, which could be larger than the
// machine.
//
//   create    memfd_create(2), posix_fallocate(3), fcntl(F_ADD_SEALS); bind(2), listen(2)
//   attach    connect(2), recvmsg(2) the descriptor, fcntl(F_GET_SEALS), mmap(2)
//   exchange  wait until the room is vacant, touch the memory, post that it is filled (by futex)
//   detach    munmap(2)
//   destroy   nothing for the memory; unlink(2) the socket's path
#pragma once

#include "mechanisms/os/descriptor_passing.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/shared_memory/mailbox.hpp"
#include "mechanisms/sockets/unix_address.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"

#include <fstream>

namespace ipclab {

/// Huge pages are 2 MiB as a rule: fewer entries in the page table and fewer misses in the TLB, of
/// pages that an administrator has set aside.
enum class PageSize { normal, huge };

template <PageSize pages>
class Memfd {
    static constexpr int wanted_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

  public:
    using Endpoint = Mailbox<SpinThenFutexSemaphores>;

    static Memfd create(const Needs& needs) {
        Memfd made(sockets::UnixMeetingPoint::create(SOCK_STREAM, without_room(needs),
                                                     sockets::address_or_fresh(needs, "memfd")));
        made.presence_ = Presence::create(made.meeting_.address().text());
        made.memory_ = pages == PageSize::huge ? huge_memory(Endpoint::bytes_for(needs))
                                               : memory(Endpoint::bytes_for(needs));
        must(::fcntl(made.memory_.get(), F_ADD_SEALS, wanted_seals), "fcntl(F_ADD_SEALS)");
        Endpoint::create(Mapping(made.memory_.get(), size_of(made.memory_)).data());
        return made;
    }
    static Memfd open(const Address& where, const Needs& needs) {
        return Memfd(sockets::UnixMeetingPoint::open(SOCK_STREAM, without_room(needs),
                                                     sockets::UnixAddress(where.name)));
    }
    [[nodiscard]] Address address() const { return {meeting_.address().text()}; }

    /// The responder waits here for the initiator. Throws TimedOut when it does not come, Refused
    /// when what it hands over cannot be trusted.
    Endpoint attach(Role role) {
        const Fd connection = meeting_.attach(role.side);
        if (role.side == Side::responder)
            send_descriptor(connection.get(), memory_.get());
        else
            memory_ = checked(receive_descriptor(connection.get(), meeting_.needs().timeout));
        const Fd mine = std::move(memory_);
        return {Mapping(mine.get(), size_of(mine)),
                {},
                address().name,
                role.side,
                meeting_.needs().timeout};
    }
    void stand_aside() {
        meeting_.stand_aside();
        memory_.reset();
    }

    static constexpr Facts facts{
        .name = pages == PageSize::huge ? "memfd/huge" : "memfd",
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
        .lifetime = Lifetime::file_system,  // of the socket's path; the memory's is the process
        .message_bytes_max = pages == PageSize::huge ? "the room (1022 KiB or as asked)"
                                                     : "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = SpinThenFutexSemaphores::kind,
        .lesson =
            pages == PageSize::huge
                ? "Huge pages spare page faults and TLB misses, and have to be set aside "
                  "beforehand."
                : "Memory needs no name if its descriptor is handed over, and needs no trust if "
                  "it is sealed.",
    };

  private:
    explicit Memfd(sockets::UnixMeetingPoint meeting) : meeting_(std::move(meeting)) {}

    /// What was asked for is asked of the memory, not of the socket's buffers.
    static Needs without_room(const Needs& needs) { return {.timeout = needs.timeout}; }

    static Fd memory(std::size_t bytes) {
        Fd made(must(::memfd_create("ipclab", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
        allocate_memory(made, bytes);
        return made;
    }

    static Fd huge_memory(std::size_t bytes) {
        constexpr const char* call = "memfd_create(MFD_HUGETLB)";
        Fd made(::memfd_create("ipclab", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
        if (!made) throw Unsupported(call, "this kernel has no huge pages", errno);
        struct stat status {};
        must(::fstat(made.get(), &status), "fstat");
        const std::size_t whole =
            round_up(bytes, static_cast<std::size_t>(status.st_blksize));  // the huge page's size
        const int error = try_to_allocate(made, whole);
        if (error == 0) return made;
        constexpr const char* path = "/proc/sys/vm/nr_hugepages";
        std::uint64_t reserved = 0;
        std::ifstream(path) >> reserved;
        const std::string remedy = fmt::format("reserve {} more with sysctl vm.nr_hugepages=…",
                                               whole / static_cast<std::size_t>(status.st_blksize));
        if (reserved == 0) throw Unsupported(call, fmt::format("{} is 0; {}", path, remedy), error);
        throw Limit{path, reserved, remedy}.reached("posix_fallocate", error);
    }

    /// A stranger's word is not enough: neither for the size, nor that it stays.
    static Fd checked(Fd received) {
        const int seals = ::fcntl(received.get(), F_GET_SEALS);
        if (seals == -1 || (seals & wanted_seals) != wanted_seals)
            throw Refused("fcntl(F_GET_SEALS)",
                          "the peer's memory is not sealed, and might shrink under our hands");
        struct stat status {};
        must(::fstat(received.get(), &status), "fstat");
        constexpr off_t stat_block_bytes = 512;
        if (status.st_size == 0 || status.st_size % static_cast<off_t>(page_bytes()) != 0 ||
            status.st_blocks * stat_block_bytes < status.st_size)
            throw Refused("fstat",
                          fmt::format("of the peer's memory of {} bytes only {} are there",
                                      status.st_size, status.st_blocks * stat_block_bytes));
        return received;
    }

    sockets::UnixMeetingPoint meeting_;
    NamedObject presence_;
    Fd memory_;
};

static_assert(Addressed<Memfd<PageSize::normal>>);

}  // namespace ipclab
