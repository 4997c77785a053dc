// Boost.Interprocess's managed_shared_memory: one large segment, with an allocator in it.
//
// A mailbox has room for one message; a ring makes its messages leave in the order in which they
// came. A heap in shared memory has neither bound: each message is allocated (best fit, a red-black
// tree of the free pieces, under a mutex), filled in place, handed over as an offset from the start
// of the segment, since each process has it mapped elsewhere, read in place, and freed by who read
// it. No copy, and no system call while nobody sleeps. The price is the allocator, twice a message;
// that a large message has to wait for one free piece of its size, however much room there is in
// all; and that what a killed process held stays allocated.
//
// The offsets lie in a line for each direction, guarded by an interprocess_mutex, with an
// interprocess_condition for either wait. On Linux these are pthread's, the mutex robust: after a
// peer was killed while it held one, each lock is refused, for ever. The condition variables are
// worse: after a sleeper was killed, a signal may hang (glibc waits for the dead one to leave);
// tests/boost_test.cpp shows it. And who can write to a heap can make its allocator write anywhere:
// it is shared with whom one trusts.
//
//   create    managed_shared_memory(create_only, …): shm_open(3), posix_fallocate(3), mmap(2)
//   attach    managed_shared_memory(open_only, …): shm_open(3) by name, mmap(2); find the lines
//   exchange  allocate, touch the memory, pthread_cond_signal(3); pthread_cond_timedwait(3), free
//   detach    ~managed_shared_memory: munmap(2)
//   destroy   shm_unlink(3)
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/boost_call.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/shm_object.hpp"

#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <optional>

namespace ipclab {

class BoostShm {
  public:
    using Segment = boost::interprocess::managed_shared_memory;
    using Lock = boost::interprocess::scoped_lock<boost::interprocess::interprocess_mutex>;

    /// The messages that are under way in one direction, oldest first; found in the segment under
    /// the name of line_name().
    struct Line {
        static constexpr std::uint64_t places = 256;
        struct Parcel {
            Segment::handle_t handle;  ///< an offset
            std::uint64_t bytes;
        };
        explicit Line(std::size_t capacity) : capacity_bytes(capacity) {}

        boost::interprocess::interprocess_mutex mutex;
        boost::interprocess::interprocess_condition filled;
        boost::interprocess::interprocess_condition vacated;
        const std::uint64_t capacity_bytes;
        std::uint64_t unread_bytes = 0;
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        Parcel parcels[places];
    };
    static const char* line_name(Side sender) {
        return sender == Side::initiator ? "to-responder" : "to-initiator";
    }

    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : segment_(
                  in_boost("managed_shared_memory",
                           [&] { return Segment(boost::interprocess::open_only, name.c_str()); })),
              outgoing_(find_line(mine)),
              incoming_(find_line(other(mine))),
              capacity_bytes_(static_cast<volatile const Line&>(outgoing_).capacity_bytes),
              peer_(name, mine),
              timeout_(timeout) {}
        Endpoint(Endpoint&& other) noexcept
            : segment_(std::move(other.segment_)),
              outgoing_(other.outgoing_),
              incoming_(other.incoming_),
              capacity_bytes_(other.capacity_bytes_),
              peer_(std::move(other.peer_)),
              timeout_(other.timeout_),
              loan_(std::exchange(other.loan_, nullptr)) {}
        Endpoint& operator=(Endpoint&&) = delete;
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        ~Endpoint() {
            if (loan_ == nullptr) return;
            try {
                segment_.deallocate(loan_);
            } catch (const boost::interprocess::interprocess_exception&) {
                // The peer was killed inside the allocator: there is nobody to free it for.
            }
        }

        Bytes loan(std::size_t n) {
            if (n > capacity_bytes_)
                throw Refused("loan", fmt::format("there is room for {} bytes", capacity_bytes_),
                              EMSGSIZE);
            in_boost("interprocess_mutex::lock", [&] {
                Lock lock(outgoing_.mutex);
                if (loan_ != nullptr) segment_.deallocate(std::exchange(loan_, nullptr));
                wait_until(lock, outgoing_.vacated, "timed_wait(vacated)", loan_glance_, [&] {
                    if (outgoing_.sent - outgoing_.received >= Line::places ||
                        outgoing_.unread_bytes + n > capacity_bytes_)
                        return false;
                    loan_ = segment_.allocate(std::max<std::size_t>(n, 1), std::nothrow);
                    return loan_ != nullptr;
                });
            });
            return {static_cast<std::byte*>(loan_), n};
        }
        void publish(std::size_t n) {
            in_boost("interprocess_mutex::lock", [&] {
                const Lock lock(outgoing_.mutex);
                outgoing_.parcels[outgoing_.sent++ % Line::places] = {
                    segment_.get_handle_from_address(std::exchange(loan_, nullptr)), n};
                outgoing_.unread_bytes += n;
            });
            outgoing_.filled.notify_one();
        }

        View take() {
            in_boost("interprocess_mutex::lock", [&] {
                Lock lock(incoming_.mutex);
                wait_until(lock, incoming_.filled, "timed_wait(filled)", take_glance_,
                           [&] { return incoming_.sent != incoming_.received; });
                taken_ = incoming_.parcels[incoming_.received % Line::places];
            });
            const auto offset = static_cast<std::uint64_t>(taken_.handle);
            if (offset >= segment_.get_size() || taken_.bytes > segment_.get_size() - offset)
                throw Refused("take", "the peer names a message that leaves the segment");
            return {static_cast<const std::byte*>(segment_.get_address_from_handle(taken_.handle)),
                    taken_.bytes};
        }
        void release() {
            in_boost("interprocess_mutex::lock", [&] {
                const Lock lock(incoming_.mutex);
                segment_.deallocate(segment_.get_address_from_handle(taken_.handle));
                incoming_.unread_bytes -= taken_.bytes;
                ++incoming_.received;
            });
            incoming_.vacated.notify_one();
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return capacity_bytes_; }
        [[nodiscard]] std::size_t capacity_bytes() const { return capacity_bytes_; }

      private:
        Line& find_line(Side sender) {
            Line* found = segment_.find<Line>(line_name(sender)).first;
            if (found == nullptr) throw Refused("attach", "the segment is not of this mechanism");
            return *found;
        }

        /// Looks around at every return of timed_wait, which takes errors for wake-ups.
        void wait_until(Lock& lock, boost::interprocess::interprocess_condition& condition,
                        const char* what, GlanceTime& glance, auto&& ready) const {
            Wait wait(what, timeout_, &peer_);
            while (!ready()) {
                if (!condition.timed_wait(lock, time_of(glance))) glance.renew();
                wait.glance();
            }
        }

        Segment segment_;
        Line& outgoing_;
        Line& incoming_;
        std::size_t capacity_bytes_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        void* loan_ = nullptr;
        Line::Parcel taken_{};
        GlanceTime loan_glance_{CLOCK_REALTIME};
        GlanceTime take_glance_{CLOCK_REALTIME};
    };

    static BoostShm create(const Needs& needs) {
        namespace boosts = boost::interprocess;
        BoostShm made(needs.timeout, {object_name(needs.address.name, "boost-shm")});
        const std::size_t capacity =
            needs.capacity_bytes == 0
                ? std::max(default_capacity_bytes, 2 * needs.message_bytes_max)
                : std::max(needs.capacity_bytes, needs.message_bytes_max);
        const std::size_t bytes = 2 * (capacity + overhead_bytes);
        const std::string& name = made.where_.name;
        made.presence_ = Presence::create(name);
        made.object_ = NamedObject(ObjectKind::posix_shm, name);
        in_boost_making(bytes, [&] {
            Segment segment(boosts::create_only, name.c_str(), bytes, nullptr,
                            boosts::permissions(0600));
            for (const Side sender : {Side::initiator, Side::responder})
                segment.construct<Line>(line_name(sender))(capacity);
        });
        return made;
    }
    static BoostShm open(const Address& where, const Needs& needs) {
        return {needs.timeout, {object_name(where.name, "boost-shm")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, timeout_}; }

    static constexpr Facts facts{
        .name = "boost-shm",
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = {0, 1},
        .receive_calls = {0, 2},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the capacity",
        .capacity = "1 MiB or as asked, 256 messages",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .after_a_kill = AfterAKill::survivor_may_hang,
        .lesson = "A heap in shared memory takes messages of any size in any order, for the price "
                  "of an allocator that both have to lock and to trust.",
    };

  private:
    static constexpr std::size_t default_capacity_bytes = std::size_t{1} << 20;
    /// Of one direction: its line, and what the allocator keeps beside each message.
    static constexpr std::size_t overhead_bytes = sizeof(Line) + Line::places * 64 + 4096;

    BoostShm(std::chrono::milliseconds timeout, Address where)
        : timeout_(timeout), where_(std::move(where)) {}

    std::chrono::milliseconds timeout_;
    Address where_;
    NamedObject presence_;
    NamedObject object_;
};

static_assert(Addressed<BoostShm>);

}  // namespace ipclab
