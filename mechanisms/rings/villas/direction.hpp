// One direction of a conversation: a shared-memory object with one queue and one pool.
//
//   header         what it is: queuelen, samplelen, mode; the two queues' counters and bells
//   cells          of the queue of samples that are on their way
//   cells          of the pool's free list
//   samples        queuelen of them
//
// The header tells three numbers; all places follow from them, and from nothing else that lies in
// the object. Who opens it reads the three once, computes how large such an object is, and refuses
// one of another size. (VILLASnode puts a heap into the object and allocates the parts from it. Its
// formula for the size forgets that a queue of 600 has 1024 cells, and so lengths such as 600, 700
// or 1025 fail; here any from 1 on will do.)
//
// The object gets its name last, when it is whole (O_TMPFILE, linkat(2)): nobody can open a half of
// it, and of a process that is killed on the way there is nothing to remove.
#pragma once

#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/rings/villas/pool.hpp"

namespace ipclab::villas {

constexpr std::uint64_t default_queuelen = 512;
constexpr std::uint64_t default_samplelen = 64;

/// How a direction is made. All at least 1.
struct DirectionOptions {
    std::uint64_t queuelen = default_queuelen;    ///< samples that may be in use at a time
    std::uint64_t samplelen = default_samplelen;  ///< values of 8 bytes in each
    Mode mode = Mode::futex;
};

/// What is in the object, and where.
struct DirectionLayout {
    using Queue = SignalledQueue<SystemAtomics>;
    using Samples = Pool<SystemAtomics>;

    struct Header {
        std::uint64_t kind = 0;
        std::uint64_t queuelen = 0;
        std::uint64_t samplelen = 0;
        std::uint32_t mode = 0;
        std::atomic<std::uint32_t> meeting{0};  ///< for who meets by two names (meeting.hpp)
        alignas(64) Queue::State on_the_way{};
        alignas(64) Queue::State free{};
    };
    static_assert(std::is_trivially_destructible_v<Header> && alignof(Header) == 64 &&
                  sizeof(Header) <= 4096);
    static_assert(sizeof(Queue::Cell) == 16, "four to a cache line, as in the original");
    static constexpr std::uint64_t kind = 0x3171'7361'6c6c'6976;  // "villasq1"

    DirectionOptions options;
    std::uint64_t cells;
    std::size_t on_the_way_offset;
    std::size_t free_offset;
    std::size_t samples_offset;
    std::size_t bytes;

    /// Throws Refused for lengths of 0, and for more than an address space holds.
    explicit DirectionLayout(const DirectionOptions& asked) : options(asked) {
        constexpr std::uint64_t samples_max = std::uint64_t{1} << 32;
        constexpr std::uint64_t bytes_max = std::uint64_t{1} << 46;
        if (options.queuelen == 0 || options.samplelen == 0)
            throw Refused("villas-queue", "a queue or a sample of length 0");
        if (options.queuelen > samples_max || options.samplelen > bytes_max / value_bytes / 2 ||
            options.queuelen > bytes_max / Samples::stride_of(options.samplelen))
            throw Refused("villas-queue", fmt::format("{} samples of {} values are more than can "
                                                      "be mapped",
                                                      options.queuelen, options.samplelen));
        cells = cells_for(options.queuelen);
        on_the_way_offset = sizeof(Header);
        free_offset = round_up(on_the_way_offset + cells * sizeof(Queue::Cell), 64);
        samples_offset = round_up(free_offset + cells * sizeof(Queue::Cell), 64);
        bytes = round_up(samples_offset + options.queuelen * Samples::stride_of(options.samplelen),
                         page_bytes());
    }
};

/// What one participant sees of a direction. The object goes on without it.
class DirectionView {
  public:
    using Layout = DirectionLayout;
    using Samples = Layout::Samples;
    using Ref = Samples::Ref;

    /// Opens the object /dev/shm/`name` as `me`, a number that no other participant has. Throws
    /// Refused for what is no such object, SystemError where there is none.
    DirectionView(const std::string& name, Holder me) : DirectionView(open_shm_object(name), me) {}
    DirectionView(const Fd& object, Holder me)
        : layout_(layout_of(object)),
          mapping_(object.get(), layout_.bytes),
          queue_(queue(header().on_the_way, layout_.on_the_way_offset)),
          samples_(queue(header().free, layout_.free_offset),
                   mapping_.data() + layout_.samples_offset, layout_.options.queuelen,
                   layout_.options.samplelen, me) {}

    [[nodiscard]] const DirectionOptions& options() const { return layout_.options; }
    Layout::Header& header() {
        return *std::launder(reinterpret_cast<Layout::Header*>(mapping_.data()));
    }
    Layout::Queue& queue() { return queue_; }
    Samples& samples() { return samples_; }
    [[nodiscard]] const Samples& samples() const { return samples_; }

    /// Where all samples are, while everybody stands still.
    struct Census {
        std::uint64_t free;
        std::uint64_t on_the_way;
        std::uint64_t held;
        [[nodiscard]] std::uint64_t all() const { return free + on_the_way + held; }
    };
    [[nodiscard]] Census census() const {
        return {samples_.free(), queue_.queue().size(), samples_.held()};
    }

    /// For who is alone with the object, all others being dead or gone: mends both queues wherever
    /// somebody was killed in them, keeps what can be read and what is in `mine`, and brings
    /// everything else back to the pool. Returns how many samples that were.
    std::uint64_t rebuild(const std::vector<Ref>& mine) {
        std::vector<bool> keep(layout_.options.queuelen);
        const auto keep_one = [&](const std::byte* item) {
            const auto index = samples_.index_of(item);
            if (!index || keep[*index]) return false;
            keep[*index] = true;
            return true;
        };
        for (const Ref& ref : mine) keep_one(reinterpret_cast<const std::byte*>(ref.sample));
        for (const std::byte* item : queue_.queue().rebuild())
            if (keep_one(item)) queue_.push(item);
        return samples_.rebuild(keep);
    }

  private:
    static Layout layout_of(const Fd& object) {
        const std::size_t bytes = size_of(object);
        if (bytes < sizeof(Layout::Header))
            throw Refused("attach", fmt::format("an object of {} bytes is no villas-queue", bytes));
        // Copied before it is checked: its owner could change it in between.
        const Mapping first(object.get(), sizeof(Layout::Header));
        const auto* shared = reinterpret_cast<const volatile Layout::Header*>(first.data());
        const std::uint64_t kind = shared->kind;
        const std::uint32_t mode = shared->mode;
        const DirectionOptions options{shared->queuelen, shared->samplelen, Mode{mode}};
        if (kind != Layout::kind || !is_mode(mode))
            throw Refused("attach", "the object is no villas-queue");
        Layout layout(options);
        if (layout.bytes != bytes)
            throw Refused("attach",
                          fmt::format("{} samples of {} values take {} bytes, and the "
                                      "object has {}",
                                      options.queuelen, options.samplelen, layout.bytes, bytes));
        return layout;
    }
    Layout::Queue queue(Layout::Queue::State& state, std::size_t cells_offset) {
        return {state, reinterpret_cast<Layout::Queue::Cell*>(mapping_.data() + cells_offset),
                layout_.cells, layout_.options.mode};
    }

    Layout layout_;
    Mapping mapping_;
    Layout::Queue queue_;
    Samples samples_;
};

/// Makes a direction without a name. Throws Refused, LimitReached.
inline Fd make_direction(const DirectionOptions& options) {
    using Layout = DirectionLayout;
    const Layout layout(options);
    Fd object(must(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), "open(O_TMPFILE)"));
    must(::fchmod(object.get(), 0600), "fchmod");  // whatever the umask took away
    allocate_in_dev_shm(object, layout.bytes);
    const Mapping memory(object.get(), layout.bytes);
    auto* header = new (memory.data()) Layout::Header;
    header->kind = Layout::kind;
    header->queuelen = options.queuelen;
    header->samplelen = options.samplelen;
    header->mode = static_cast<std::uint32_t>(options.mode);
    const auto cells_at = [&](std::size_t offset) {
        auto* first = reinterpret_cast<Layout::Queue::Cell*>(memory.data() + offset);
        for (std::uint64_t i = 0; i < layout.cells; ++i) new (first + i) Layout::Queue::Cell;
        return first;
    };
    auto* on_the_way = cells_at(layout.on_the_way_offset);
    auto* free = cells_at(layout.free_offset);
    Layout::Queue::initialise(header->on_the_way, on_the_way, layout.cells, options.mode);
    Layout::Queue::initialise(header->free, free, layout.cells, options.mode);
    Layout::Samples({header->free, free, layout.cells, options.mode},
                    memory.data() + layout.samples_offset, options.queuelen, options.samplelen,
                    nobody)
        .initialise();
    return object;
}

/// Gives it the name /dev/shm/`name`, for which the caller is responsible. Refused if it is taken.
inline void give_name(const Fd& direction, const std::string& name) {
    if (::linkat(AT_FDCWD, fmt::format("/proc/self/fd/{}", direction.get()).c_str(), AT_FDCWD,
                 fmt::format("/dev/shm/{}", name).c_str(), AT_SYMLINK_FOLLOW) == -1) {
        if (errno == EEXIST)
            throw Refused("linkat", fmt::format("there is one already: /dev/shm/{}", name), EEXIST);
        throw SystemError("linkat", errno);
    }
}

}  // namespace ipclab::villas
