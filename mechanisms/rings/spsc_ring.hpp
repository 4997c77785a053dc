// SPSC ring: a queue in shared memory that needs no kernel to pass a message.
//
// Each direction is a ring of bytes (byte_ring.hpp) that one side writes and the other reads. Once
// it is attached, a message costs stores and loads only; a system call is made by who gives up
// looking and sleeps, and by who wakes it. How to wait is the caller's choice, by template
// parameter.
//
// The rings are several MiB large by default. A line that is still dirty in the other core's L2 is
// slow to fetch; by the time a large ring comes round, it has been evicted to the L3 that both
// share.
//
//   create    shm_open(3), posix_fallocate(3)
//   attach    mmap(2): the counters once, each ring twice in a row
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

template <template <class> class WaitStrategy>
class SpscRing {
    using Strategy = WaitStrategy<SystemAtomics>;
    using Counters = RingCounters<SystemAtomics, WaitStrategy>;
    static constexpr std::size_t default_capacity_bytes = std::size_t{4} << 20;

    /// The first page of the object; the two rings follow.
    struct Header {
        Counters by_initiator;
        Counters by_responder;
    };
    static_assert(sizeof(Header) <= 4096 && std::is_trivially_destructible_v<Header>);
    static_assert(offsetof(Counters, released) - offsetof(Counters, published) == 64,
                  "two lines: the sides would otherwise take each other's away");

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : Endpoint(open_shm_object(name), name, mine, timeout) {}

        Bytes loan(std::size_t n) {
            Wait wait("loan", timeout_, &peer_);
            return sender_.loan(n, [&] { wait.glance(); });
        }
        void publish(std::size_t n) { sender_.publish(n); }
        View take() {
            Wait wait("take", timeout_, &peer_);
            return receiver_.take([&] { wait.glance(); });
        }
        void release() { receiver_.release(); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return ring_record::payload_max(capacity_);
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return ring_record::payload_max(capacity_);
        }

      private:
        Endpoint(Fd object, const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : capacity_(capacity_of(object)),
              header_(object.get(), page_bytes()),
              rings_{Mapping::mirrored(object.get(), capacity_, page_bytes()),
                     Mapping::mirrored(object.get(), capacity_, page_bytes() + capacity_)},
              peer_(name, mine),
              timeout_(timeout),
              sender_(counters(mine), ring(mine), capacity_),
              receiver_(counters(other(mine)), ring(other(mine)), capacity_) {}

        static std::size_t capacity_of(const Fd& object) {
            const std::size_t bytes = size_of(object);
            const std::size_t capacity = (bytes - page_bytes()) / 2;
            if (!std::has_single_bit(capacity) || capacity % page_bytes() != 0)
                throw Refused("attach", fmt::format("an object of {} bytes is no ring", bytes));
            return capacity;
        }
        Counters& counters(Side sender) {
            auto* header = std::launder(reinterpret_cast<Header*>(header_.data()));
            return sender == Side::initiator ? header->by_initiator : header->by_responder;
        }
        std::byte* ring(Side sender) { return rings_[sender == Side::initiator ? 0 : 1].data(); }

        std::size_t capacity_;
        Mapping header_;
        Mapping rings_[2];
        Presence peer_;
        std::chrono::milliseconds timeout_;
        // Each thread of an endpoint writes its own of these two at every message.
        alignas(64) RingSender<SystemAtomics, WaitStrategy> sender_;
        alignas(64) RingReceiver<SystemAtomics, WaitStrategy> receiver_;
    };

    static SpscRing create(const Needs& needs) {
        SpscRing made(needs.timeout, {object_name(needs.address.name, "spsc-ring")});
        const std::size_t asked = needs.capacity_bytes > 0
                                      ? ring_record::bytes(needs.capacity_bytes)
                                      : default_capacity_bytes;
        // Two of the largest messages: one to be read while the next is written.
        const std::size_t capacity = std::bit_ceil(
            std::max({asked, 2 * ring_record::bytes(needs.message_bytes_max), page_bytes()}));
        made.presence_ = Presence::create(made.where_.name);
        made.object_ = NamedObject(ObjectKind::posix_shm, made.where_.name);
        const Fd object = create_shm_object(made.where_.name, page_bytes() + 2 * capacity);
        const Mapping first_page(object.get(), page_bytes());
        new (first_page.data()) Header;
        return made;
    }
    static SpscRing open(const Address& where, const Needs& needs) {
        return {needs.timeout, {object_name(where.name, "spsc-ring")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, timeout_}; }

    static constexpr Facts facts{
        .name = Strategy::kind == Waiting::spins            ? "spsc-ring/spin"
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
        .message_bytes_max = "the ring less 8 B",
        .capacity = "4 MiB - 8 B",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Strategy::kind,
        .lesson = "With one writer for every word, a message costs no lock and no system call, "
                  "only the cache lines that it lies on.",
    };

  private:
    SpscRing(std::chrono::milliseconds timeout, Address where)
        : timeout_(timeout), where_(std::move(where)) {}

    std::chrono::milliseconds timeout_;
    Address where_;
    NamedObject presence_;
    NamedObject object_;
};

}  // namespace ipclab
