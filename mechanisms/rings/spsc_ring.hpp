// SPSC ring: a queue in shared memory that needs no kernel to pass a message.
//
// Each direction is a ring of bytes (byte_ring.hpp) that one side writes and the other reads; what
// crosses when, and on which cache lines, is told in ring_indices.hpp. Once it is attached, a
// message costs stores and loads only, and no copy; a system call is made by who gives up looking
// and sleeps, and by who wakes it. How to wait is the caller's choice, by template parameter, and
// so is what the ring is good at:
//
//   the default   messages of all sizes, streams and conversations. Short messages of a stream are
//                 handed over 16 KiB at a time. (Less, and a reader that is the faster one takes
//                 each line from the writer while that still fills it: 512 bytes at a time, the
//                 stream took up to five times as long.)
//   Latency       a ring of one page, where each message is handed over at once.
//   Bulk          streams of large messages: a quarter of a ring is handed over at a time.
//
// The rings are several MiB large by default. A line that is still dirty in the other core's L2 is
// slow to fetch: each costs the reader a probe of that cache, and a stream is held to some 8 GB/s.
// In a ring that is several times as large as an L2, the writer has long gone on by the time that
// the reader comes, the line has been evicted to the L3 that both share, and from there a stream
// is read five times faster. It should still fit there: beyond L3 lies memory. That is why Bulk
// hands over 2 MiB, a quarter of its ring, at a time: it keeps the reader twice an L2 behind. (By
// halves it would be as far and farther, but then either side waits for the other all the time, and
// the stream is slower by a twentieth.)
//
// Who looks in vain pauses before the next look (PAUSE, waiting/spin.hpp): a line that is polled
// without pause is taken from the writer again and again while it fills it.
//
//   create    shm_open(3), posix_fallocate(3)
//   attach    mmap(2): the indices once, each ring twice in a row
//   exchange  stores and loads; futex(2) only for who sleeps (waiting/futex.hpp)
//   detach    munmap(2)
//   destroy   shm_unlink(3)
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/rings/byte_ring.hpp"

#include <bit>
#include <new>

namespace ipclab {

/// What a ring is good at. `publish_bytes`: of its capacity, how many are handed over at once.
struct AllRound {
    static constexpr std::size_t capacity_bytes = std::size_t{4} << 20;
    static constexpr std::string_view capacity = "4 MiB - 64 B";
    static constexpr std::size_t publish_bytes(std::size_t capacity) {
        return std::min(std::size_t{16} << 10, capacity / 4);
    }
};
struct Latency {
    static constexpr std::size_t capacity_bytes = 4096;
    static constexpr std::string_view capacity = "4 KiB - 64 B";
    static constexpr std::size_t publish_bytes(std::size_t /*capacity*/) { return 0; }
};
struct Bulk {
    static constexpr std::size_t capacity_bytes = std::size_t{8} << 20;
    static constexpr std::string_view capacity = "8 MiB - 64 B";
    static constexpr std::size_t publish_bytes(std::size_t capacity) { return capacity / 4; }
};

template <template <class> class WaitStrategy, class Purpose = AllRound>
class SpscRing {
    using Strategy = WaitStrategy<SystemAtomics>;
    using Indices = RingIndices<SystemAtomics, WaitStrategy>;

    static_assert(std::is_trivially_destructible_v<Indices>);
    static_assert(sizeof(Indices) == 3 * line_pair_bytes,
                  "in the first page of the object; the two rings follow");
    static_assert(offsetof(Indices, line) + sizeof(Indices::line) == cache_line_bytes,
                  "one line: both directions' publications, and a short message");
    static_assert(offsetof(Indices, back_to_initiator) == line_pair_bytes &&
                      offsetof(Indices, back_to_responder) == 2 * line_pair_bytes,
                  "far apart: a release would otherwise take the publications away");

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, const Needs& needs)
            : Endpoint(open_shm_object(name), name, mine, needs) {}
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        ~Endpoint() { sender_.flush(); }

        [[gnu::always_inline]] Bytes loan(std::size_t n) {
            return sender_.loan(n, [this] { return begin_wait("loan"); });
        }
        [[gnu::always_inline]] void publish(std::size_t n) { sender_.publish(n); }
        void flush() { sender_.flush(); }
        [[nodiscard]] Stores stores() const { return sender_.stores(); }
        [[nodiscard]] std::size_t publish_every(std::size_t message_bytes) const {
            return sender_.publish_every(message_bytes);
        }
        [[gnu::always_inline]] View take() {
            return receiver_.take([this] { return begin_wait("take"); });
        }
        [[gnu::always_inline]] void release() { receiver_.release(); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return ring_record::payload_max(capacity_);
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return ring_record::payload_max(capacity_);
        }

      private:
        /// To make a Wait ready costs as much as a short message: not before it is needed.
        [[nodiscard]] Wait begin_wait(std::string_view what) { return {what, timeout_, &peer_}; }

        Endpoint(Fd object, const std::string& name, Side mine, const Needs& needs)
            : capacity_(capacity_of(object)),
              first_page_(object.get(), page_bytes()),
              rings_{Mapping::mirrored(object.get(), capacity_, page_bytes()),
                     Mapping::mirrored(object.get(), capacity_, page_bytes() + capacity_)},
              peer_(name, mine),
              timeout_(needs.timeout),
              has_line_(mine == Side::initiator ? 1 : 0),
              sender_(indices(), mine, has_line_, ring(mine), capacity_, tuning(needs)),
              receiver_(indices(), other(mine), has_line_, ring(other(mine)), capacity_,
                        tuning(needs)) {}

        static std::size_t capacity_of(const Fd& object) {
            const std::size_t bytes = size_of(object);
            const std::size_t capacity = (bytes - page_bytes()) / 2;
            if (!std::has_single_bit(capacity) || capacity % page_bytes() != 0)
                throw Refused("attach", fmt::format("an object of {} bytes is no ring", bytes));
            return capacity;
        }
        [[nodiscard]] RingTuning tuning(const Needs& needs) const {
            return {.publish_bytes = Purpose::publish_bytes(capacity_),
                    .batch_messages = needs.batch_messages,
                    .stores = needs.stores};
        }
        Indices& indices() { return *std::launder(reinterpret_cast<Indices*>(first_page_.data())); }
        std::byte* ring(Side sender) { return rings_[sender == Side::initiator ? 0 : 1].data(); }

        std::size_t capacity_;
        Mapping first_page_;
        Mapping rings_[2];
        Presence peer_;
        std::chrono::milliseconds timeout_;
        LineTurn<SystemAtomics> has_line_;
        // Each thread of an endpoint writes its own of these two at every message.
        alignas(64) RingSender<SystemAtomics, WaitStrategy> sender_;
        alignas(64) RingReceiver<SystemAtomics, WaitStrategy> receiver_;
    };

    static SpscRing create(const Needs& needs) {
        SpscRing made(needs, {object_name(needs.address.name, "spsc-ring")});
        const std::size_t asked = needs.capacity_bytes > 0
                                      ? ring_record::bytes_max(needs.capacity_bytes)
                                      : Purpose::capacity_bytes;
        // Two of the largest messages: one to be read while the next is written.
        const std::size_t capacity = std::bit_ceil(
            std::max({asked, 2 * ring_record::bytes_max(needs.message_bytes_max), page_bytes()}));
        made.presence_ = Presence::create(made.where_.name);
        made.object_ = NamedObject(ObjectKind::posix_shm, made.where_.name);
        const Fd object = create_shm_object(made.where_.name, page_bytes() + 2 * capacity);
        const Mapping first_page(object.get(), page_bytes());
        new (first_page.data()) Indices;
        return made;
    }
    static SpscRing open(const Address& where, const Needs& needs) {
        return {needs, {object_name(where.name, "spsc-ring")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, needs_}; }

    static constexpr Facts facts{
        .name = std::is_same_v<Purpose, Latency>            ? "spsc-ring/latency"
                : std::is_same_v<Purpose, Bulk>             ? "spsc-ring/bulk"
                : Strategy::kind == Waiting::spins          ? "spsc-ring/spin"
                : Strategy::kind == Waiting::spins_yielding ? "spsc-ring/spin-yield"
                                                            : "spsc-ring/futex",
        .family = "rings",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = Strategy::wake_calls,
        .receive_calls = Strategy::wait_calls,
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the ring less 64 B",
        .capacity = Purpose::capacity,
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Strategy::kind,
        .lesson = "With one writer for every word, a message costs no lock and no system call, "
                  "only the cache lines that it lies on.",
    };

  private:
    SpscRing(Needs needs, Address where) : needs_(std::move(needs)), where_(std::move(where)) {}

    Needs needs_;
    Address where_;
    NamedObject presence_;
    NamedObject object_;
};

}  // namespace ipclab
