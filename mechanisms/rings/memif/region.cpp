#include "mechanisms/rings/memif/region.hpp"

#include "mechanisms/os/shm_object.hpp"

#include <array>
#include <csignal>
#include <mutex>

namespace ipclab::memif {

// ---------------------------------------------------------------------------------------------
// The handler may run at any moment in any thread, so it finds its way through atomics alone.

struct TruncationGuard::Place {
    std::atomic<std::byte*> start{nullptr};  ///< set last
    std::atomic<std::size_t> bytes{0};
    std::atomic<int> alarm{-1};
    std::atomic<bool> hit{false};
};

namespace {

std::array<TruncationGuard::Place, 256> places;
std::mutex places_mutex;
int places_taken = 0;
struct sigaction earlier_action;

void give_empty_pages(int number, siginfo_t* about, void* context) {
    auto* const address = static_cast<std::byte*>(about->si_addr);
    for (TruncationGuard::Place& place : places) {
        std::byte* const start = place.start.load();
        if (start == nullptr || address < start || address >= start + place.bytes.load()) continue;
        const int error = errno;
        place.hit = true;
        const bool given =
            ::mmap(start, place.bytes.load(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t ignored = ::write(place.alarm.load(), &one, sizeof one);
        errno = error;
        if (given) return;
    }
    // Not ours: as if there were no handler.
    if ((earlier_action.sa_flags & SA_SIGINFO) != 0)
        earlier_action.sa_sigaction(number, about, context);
    else if (earlier_action.sa_handler != SIG_DFL && earlier_action.sa_handler != SIG_IGN)
        earlier_action.sa_handler(number);
    else
        ::signal(number, SIG_DFL);  // the access is made again, and ends the process
}

}  // namespace

TruncationGuard::TruncationGuard(std::byte* start, std::size_t bytes, int alarm) {
    const std::lock_guard lock(places_mutex);
    for (Place& place : places) {
        if (place.start.load() != nullptr) continue;
        if (places_taken++ == 0) {
            struct sigaction action {};
            action.sa_sigaction = give_empty_pages;
            action.sa_flags = SA_SIGINFO | SA_NODEFER;
            must(::sigaction(SIGBUS, &action, &earlier_action), "sigaction");
        }
        place.bytes = bytes;
        place.alarm = alarm;
        place.hit = false;
        place.start = start;
        place_ = &place;
        return;
    }
    throw Refused("mmap", "too many unsealed regions");
}

TruncationGuard::~TruncationGuard() {
    if (place_ == nullptr) return;
    const std::lock_guard lock(places_mutex);
    place_->start = nullptr;
    if (--places_taken == 0) ::sigaction(SIGBUS, &earlier_action, nullptr);
}

bool TruncationGuard::was_hit() const { return place_ != nullptr && place_->hit.load(); }

// ---------------------------------------------------------------------------------------------

Fd above_standard_descriptors(Fd fd) {
    if (fd.get() > STDERR_FILENO) return fd;
    return Fd(must(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1), "fcntl(F_DUPFD)"));
}

MappedRegion MappedRegion::create(std::size_t bytes) {
    MappedRegion made;
    made.descriptor_ = above_standard_descriptors(
        Fd(must(::memfd_create("memif", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create")));
    allocate_memory(made.descriptor_, bytes);
    must(::fcntl(made.descriptor_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
         "fcntl(F_ADD_SEALS)");
    made.memory_ = Mapping(made.descriptor_.get(), bytes);
    return made;
}

MappedRegion MappedRegion::map(const Fd& memory, std::uint64_t bytes, bool admit_unsealed,
                               int alarm) {
    // Only memory can be sealed. Of a file elsewhere somebody could delay our loads at will
    // (FUSE), or make them fail.
    const int seals = ::fcntl(memory.get(), F_GET_SEALS);
    if (seals == -1) throw Refused("region", "not shared memory", errno);
    const bool is_sealed = (seals & F_SEAL_SHRINK) != 0;
    if (!is_sealed && !admit_unsealed) throw Refused("region", "not sealed, and might shrink");
    if (bytes > size_of(memory)) throw Refused("region", "larger than its memory");
    MappedRegion mapped;
    mapped.memory_ = Mapping(memory.get(), bytes);
    if (!is_sealed)
        mapped.guard_ = TruncationGuard(mapped.memory_.data(), mapped.memory_.size(), alarm);
    return mapped;
}

}  // namespace ipclab::memif
