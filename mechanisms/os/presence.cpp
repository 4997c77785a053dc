#include "mechanisms/os/presence.hpp"

#include "mechanisms/os/error.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ipclab {
namespace {

constexpr char never_came = 0;
constexpr char came = 'c';
constexpr char said_goodbye = 'g';

bool is_path(const std::string& conversation) {
    return conversation.find('/') != std::string::npos;
}

/// "name.presence" beside other shared memory, or "path.presence" beside the file.
std::string place_of(const std::string& conversation) {
    return fmt::format("{}{}.presence", is_path(conversation) ? "" : "/dev/shm/", conversation);
}

off_t byte_of(Side side, int index) { return 2 * off_t{index} + (side == Side::initiator ? 0 : 1); }

struct flock lock_on(off_t byte, short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    return lock;
}

}  // namespace

NamedObject Presence::create(const std::string& name) {
    NamedObject object = is_path(name)
                             ? NamedObject(ObjectKind::file, place_of(name))
                             : NamedObject(ObjectKind::posix_shm, fmt::format("{}.presence", name));
    const Fd file(must(
        ::open(place_of(name).c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600),
        "open"));
    must(::fchmod(file.get(), 0600), "fchmod");  // whatever the umask took away
    return object;
}

Presence::Presence(const std::string& name, Side mine, int index)
    : object_(must(::open(place_of(name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW), "open")),
      mine_(byte_of(mine, index)),
      theirs_(byte_of(other(mine), index)) {
    struct flock lock = lock_on(mine_, F_WRLCK);
    if (::fcntl(object_.get(), F_OFD_SETLK, &lock) == -1) {
        const int error = errno;
        if (error == EAGAIN || error == EACCES)
            throw Refused("attach",
                          fmt::format("{} has its {} already", name,
                                      mine == Side::initiator ? "initiator" : "responder"),
                          error);
        throw SystemError("fcntl(F_OFD_SETLK)", error);
    }
    must(::pwrite(object_.get(), &came, 1, mine_), "pwrite");
}

Presence::~Presence() {
    if (object_) [[maybe_unused]]
        const ssize_t ignored = ::pwrite(object_.get(), &said_goodbye, 1, mine_);
}

PeerState Presence::peer() const {
    const auto last_word = [&] {
        char word = never_came;
        must(::pread(object_.get(), &word, 1, theirs_), "pread");
        return word;
    };
    // In this order: who has written "came" held the lock by then.
    if (last_word() == never_came) return PeerState::not_here_yet;
    struct flock lock = lock_on(theirs_, F_WRLCK);
    must(::fcntl(object_.get(), F_OFD_GETLK, &lock), "fcntl(F_OFD_GETLK)");
    if (last_word() == said_goodbye) return PeerState::left;
    return lock.l_type == F_UNLCK ? PeerState::died : PeerState::here;
}

}  // namespace ipclab
