// Fifo: a pipe with a name.
//
// mkfifo(3) puts a name into a folder and nothing else. The pipe comes into being when the name is
// opened, and is gone, unread bytes included, with the last process that has it open; the name
// stays, and belongs to the file system. In between it is a pipe like any other (pipe.hpp): bytes
// are copied twice and never touch a disk, they flow one way, and so a conversation takes two.
//
// open(2) is where the two sides meet: who opens for reading sleeps until somebody opens for
// writing, and the other way round. Both sides must therefore open the two fifos in the same order,
// or each sleeps for the other for ever. O_RDWR does not wait, and is a trap: who may write as well
// counts as a writer, and so its own read never finds end of file.
//
//   create    mkfifo(3), twice: NAME for what the initiator says, NAME.back for the answers
//   attach    open(2) by name, O_WRONLY the one and O_RDONLY the other; fcntl(2) with F_SETPIPE_SZ
//   exchange  writev(2), readv(2): length and payload in one call
//   detach    close(2): the reader then finds end of file, the writer EPIPE
//   destroy   unlink(2) both names, which would stay for ever
#pragma once

#include "mechanisms/os/file_path.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/pipes/pipe.hpp"

#include <poll.h>
#include <sys/stat.h>

namespace ipclab {

class Fifo {
  public:
    using Endpoint = Pipe::Endpoint;

    static Fifo create(const Needs& needs) {
        Fifo made(needs, {file_path(needs.address.name, "fifo")});
        for (const Side speaker : {Side::initiator, Side::responder}) {
            const std::string path = made.path_of(speaker);
            made.names_[static_cast<std::size_t>(speaker)] = NamedObject(ObjectKind::file, path);
            const mode_t umask = ::umask(0177);
            const int status = ::mkfifo(path.c_str(), 0600);
            ::umask(umask);
            must(status, "mkfifo");
        }
        return made;
    }
    static Fifo open(const Address& where, const Needs& needs) {
        return {needs, {file_path(where.name, "fifo")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    /// Waits for the peer to do the same. Throws TimedOut when it does not come, PeerGone when it
    /// ends half way. Where a peer was lost between two messages, who stays may go on with its
    /// endpoint: another process that attaches takes the lost one's place.
    Endpoint attach(Role role) {
        const bool first = role.side == Side::initiator;
        Fd forth = open_end(Side::initiator, first ? O_WRONLY : O_RDONLY, nullptr);
        Fd back = open_end(Side::responder, first ? O_RDONLY : O_WRONLY, &forth);
        Fd& output = first ? forth : back;
        // The capacity belongs to the pipe, not to the name, and each side sizes what it writes to.
        if (needs_.capacity_bytes > 0)
            set_pipe_bytes(output.get(), needs_.capacity_bytes + sizeof(FramedStream::Length));
        return {std::move(first ? back : forth), std::move(output), needs_.timeout};
    }

    static constexpr Facts facts{
        .name = "fifo",
        .family = "pipes",
        .sender = Dialect::copies,
        .receiver = Dialect::copies,
        .copies = 2,
        .send_calls = {1, 1},
        .receive_calls = {1, 1},
        .keeps_boundaries = false,
        .two_way = false,
        .addressing = Addressing::file_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,
        .message_bytes_max = "any",
        .capacity = "64 KiB - 8 B",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson = "A name lets strangers share a pipe; once it is open, nothing distinguishes it "
                  "from one that was inherited.",
    };

  private:
    Fifo(const Needs& needs, Address where) : needs_(needs), where_(std::move(where)) {}

    [[nodiscard]] std::string path_of(Side speaker) const {
        return speaker == Side::initiator ? where_.name : fmt::format("{}.back", where_.name);
    }

    /// `met` is the end at which this process has met its peer already.
    [[nodiscard]] Fd open_end(Side speaker, int direction, const Fd* met) const {
        const std::string path = path_of(speaker);
        tick_this_thread();  // or open(2) would wait for ever
        for (Wait wait("open", needs_.timeout);;) {
            Fd end(::open(path.c_str(), direction | O_CLOEXEC | O_NOFOLLOW));
            if (end) return checked(std::move(end), path);
            if (errno != EINTR) throw_system_error(path, errno);
            if (met != nullptr && hung_up(*met)) throw PeerGone("open");
            wait.glance();
        }
    }
    static Fd checked(Fd end, const std::string& path) {
        struct stat status {};
        must(::fstat(end.get(), &status), "fstat");
        if (!S_ISFIFO(status.st_mode)) throw Refused("open", fmt::format("{} is no fifo", path));
        return end;
    }
    /// Whether nobody has the other end open: POLLHUP for who reads, POLLERR for who writes
    /// (poll(2)).
    static bool hung_up(const Fd& end) {
        pollfd look{.fd = end.get(), .events = 0, .revents = 0};
        return must(::poll(&look, 1, 0), "poll") == 1;
    }

    Needs needs_;
    Address where_;
    NamedObject names_[2];
};

static_assert(Addressed<Fifo>);

}  // namespace ipclab
