#include "mechanisms/rings/snabb/link_file.hpp"

#include <bit>
#include <fcntl.h>
#include <filesystem>
#include <thread>
#include <unistd.h>

namespace ipclab::snabb {
namespace {

constexpr std::string_view run_directory = "/dev/shm";
constexpr std::uint64_t is_complete = 0x6b6e696c2d627573;

enum SeatWord : std::uint32_t { never_came, came, said_goodbye };

struct flock lock_of(End end, short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(end);
    lock.l_len = 1;
    return lock;
}

/// Whether any process holds the lock of `end`.
bool is_held(const Fd& object, End end) {
    struct flock lock = lock_of(end, F_WRLCK);
    must(::fcntl(object.get(), F_OFD_GETLK, &lock), "fcntl(F_OFD_GETLK)");
    return lock.l_type != F_UNLCK;
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Names.

LinkPlace::LinkPlace(const std::string& asked) {
    const auto slash = asked.rfind('/');
    if (slash == std::string::npos || slash == 0) {
        directory_ = run_directory;
        name_ = object_name(asked, "snabb-link");
    } else {
        const std::string path = std::filesystem::absolute(asked).string();
        directory_ = path.substr(0, path.rfind('/'));
        name_ = object_name(path.substr(path.rfind('/') + 1), "snabb-link");
    }
}

bool LinkPlace::is_default() const { return directory_ == run_directory; }

LinkPlace LinkPlace::beside(std::string_view suffix) const {
    LinkPlace place = *this;
    place.name_.append(suffix);
    return place;
}

std::string LinkPlace::address() const { return is_default() ? name_ : path(); }

NamedObject LinkPlace::claim() const {
    return is_default() ? NamedObject(ObjectKind::posix_shm, name_)
                        : NamedObject(ObjectKind::file, path());
}

// ---------------------------------------------------------------------------------------------
// The object.

LinkMemory create_link(const LinkPlace& place, const LinkShape& shape,
                       const std::function<void(const LinkMemory&)>& fill) {
    admit_memory(shape.object_bytes());
    Fd object(
        must(::open(place.path().c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600),
             fmt::format("open {}", place.path())));
    must(::fchmod(object.get(), 0600), "fchmod");  // whatever the umask took away
    allocate(object, shape.object_bytes(), place.directory());
    LinkMemory memory(std::move(object), shape);
    LinkHeader& header = *new (&memory.header()) LinkHeader{};
    header.kind = static_cast<std::uint32_t>(shape.kind);
    header.slots = shape.slots;
    header.packets = shape.packets;
    fill(memory);
    header.complete.store(is_complete, std::memory_order::release);
    return memory;
}

// ---------------------------------------------------------------------------------------------
// Seats.

bool Seat::take() {
    struct flock lock = lock_of(mine_, F_WRLCK);
    if (::fcntl(link_->object().get(), F_OFD_SETLK, &lock) == -1) {
        if (errno == EAGAIN || errno == EACCES) return false;
        throw SystemError("fcntl(F_OFD_SETLK)", errno);
    }
    at(mine_).pid.store(::getpid(), std::memory_order::relaxed);
    at(mine_).word.store(came, std::memory_order::release);
    taken_ = true;
    return true;
}

Seat::~Seat() {
    // The lock goes when the object is closed.
    if (taken_) at(mine_).word.store(said_goodbye, std::memory_order::release);
}

pid_t Seat::holder() const { return at(mine_).pid.load(std::memory_order::relaxed); }

PeerState Seat::peer() const {
    const auto& word = at(other(mine_)).word;
    // In this order: who has written "came" held the lock by then.
    if (word.load(std::memory_order::acquire) == never_came) return PeerState::not_here_yet;
    const bool held = is_held(link_->object(), other(mine_));
    if (held) return PeerState::here;
    return word.load(std::memory_order::acquire) == said_goodbye ? PeerState::left
                                                                 : PeerState::died;
}

// ---------------------------------------------------------------------------------------------
// Attaching.

AttachedLink::AttachedLink(const LinkPlace& place, const Rules& rules, End mine,
                           std::uint32_t slots, std::chrono::milliseconds patience) {
    constexpr std::chrono::microseconds between_looks{100};
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        const std::optional<Obstacle> obstacle = enter(place, rules, mine, slots);
        if (!obstacle) return;
        seat_.reset();
        memory_.reset();
        if (std::chrono::steady_clock::now() >= deadline)
            throw Refused("attach", obstacle->what,
                          patience.count() > 0 ? ETIMEDOUT : obstacle->error);
        std::this_thread::sleep_for(between_looks);
    }
}

std::optional<AttachedLink::Obstacle>
AttachedLink::enter(const LinkPlace& place, const Rules& rules, End mine, std::uint32_t slots) {
    Fd object(::open(place.path().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!object && errno == ENOENT)
        return Obstacle{fmt::format("there is no link {}", place.address()), ENOENT};
    must(object.get(), fmt::format("open {}", place.path()));
    const std::size_t bytes = size_of(object);
    const auto no_link = [&] {
        return Obstacle{fmt::format("{} is no link of this kind, or not made yet", place.name())};
    };
    if (bytes < page_bytes()) return no_link();
    LinkShape found;
    {
        const Mapping first_page(object.get(), page_bytes());
        const auto& header = *reinterpret_cast<const LinkHeader*>(first_page.data());
        if (header.complete.load(std::memory_order::acquire) != is_complete) return no_link();
        const volatile std::uint32_t& told_slots = header.slots;
        const volatile std::uint32_t& told_kind = header.kind;
        const std::uint32_t told = told_slots;
        constexpr std::uint32_t slots_max = 1U << 20;
        if (told_kind != static_cast<std::uint32_t>(rules.kind) || told < 2 || told > slots_max ||
            !std::has_single_bit(told))
            throw Refused("attach", fmt::format("{} is no link of this kind", place.name()));
        found = rules.shape(told);
    }
    if (found.object_bytes() != bytes)
        throw Refused("attach", fmt::format("link {} has {} bytes, which is not its size",
                                            place.name(), bytes));
    if (slots != 0 && slots != found.slots)
        throw Refused("attach", fmt::format("link {} has {} slots, not {}", place.name(),
                                            found.slots, slots));
    memory_.emplace(std::move(object), found);
    seat_.emplace(*memory_, mine);
    if (!seat_->take())
        return Obstacle{fmt::format("link {} has a {} already: pid {}", place.name(), name_of(mine),
                                    seat_->holder())};
    std::string obstacle = rules.enter(*memory_, mine);
    if (!obstacle.empty()) return Obstacle{std::move(obstacle)};
    return std::nullopt;
}

}  // namespace ipclab::snabb
