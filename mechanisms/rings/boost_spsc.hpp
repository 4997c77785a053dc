// Boost.Lockfree's spsc_queue, placed in shared memory: the ring that a user finds ready made.
//
// The library's queue is an array of elements of one type and two indices, each on a cache line of
// its own, each written by one side. It may be placed in shared memory as it is: its indices are
// atomics without a lock, and its array is found through the allocator's kind of pointer, which in
// Boost.Interprocess is an offset. It never waits; who wants to, asks again.
//
// What a program has to decide is the element. A queue of bytes would take a length and then the
// bytes, two publications for each message; a queue of messages takes one. So an element is a
// length and room for the largest message, and the room is a constant of the program, as the type
// of its messages would be. Here it is one of a few, the smallest that will do. An element is made
// in its place, from the sender's bytes (push of a range constructs one from each thing that the
// range yields), and copies no more than its message. The reader looks at it there (`front`) and
// gives it back (`pop`): one copy.
//
// Each side keeps no copy of the other's index and looks at it for every call, so a message costs a
// cache line from either side. The remedy that the library offers is the batch: push(begin, end)
// publishes all it has room for at once. Then messages have to wait for each other somewhere, here
// in private memory, which costs a second copy.
//
// And it believes its memory: an index that the peer has spoilt leads out of the array. It is
// shared with whom one trusts.
//
//   create    managed_shared_memory(create_only, …): shm_open(3), posix_fallocate(3), mmap(2)
//   attach    managed_shared_memory(open_only, …): shm_open(3) by name, mmap(2); find the queues
//   exchange  stores and loads
//   detach    ~managed_shared_memory: munmap(2)
//   destroy   shm_unlink(3)
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/boost_call.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace ipclab {

class BoostSpsc {
    using Segment = boost::interprocess::managed_shared_memory;

  public:
    /// A message of up to `room` bytes.
    template <std::size_t room>
    struct Element {
        static constexpr std::size_t room_bytes = room;

        Element() {}  // NOLINT(modernize-use-equals-default): that would make zeros of the bytes
        explicit Element(View message) : length(message.size()) {
            if (length > 0) std::memcpy(bytes, message.data(), length);
        }
        Element(const Element& other) : Element(View(other.bytes, other.length)) {}
        Element& operator=(const Element&) = delete;
        ~Element() = default;

        std::uint64_t length;
        std::byte bytes[room];
    };

    template <std::size_t room>
    using Queue =
        boost::lockfree::spsc_queue<Element<room>,
                                    boost::lockfree::allocator<boost::interprocess::allocator<
                                        Element<room>, Segment::segment_manager>>>;

  private:
    /// One process's view of a conversation whose messages have that room: the type by which the
    /// library knows its queues.
    template <std::size_t room>
    class Talk {
      public:
        Talk(Queue<room>& to_peer, Queue<room>& from_peer, std::size_t capacity, std::size_t batch)
            : to_peer_(to_peer), from_peer_(from_peer), capacity_(capacity), batch_(batch) {
            if (batch_ > 1) kept_.reserve(batch_);
        }

        void send(View message, auto&& glance) {
            if (message.size() > room)
                throw Refused("spsc_queue::push",
                              fmt::format("an element holds messages of up to {} bytes", room),
                              EMSGSIZE);
            if (batch_ > 1) {
                kept_.emplace_back(message);
                if (kept_.size() == batch_) flush(glance);
            } else {
                push_all(&message, &message + 1, glance);
            }
        }
        void flush(auto&& glance) {
            push_all(kept_.data(), kept_.data() + kept_.size(), glance);
            kept_.clear();
        }
        View take(auto&& glance) {
            wait_until([&] { return from_peer_.read_available() > 0; }, glance);
            const Element<room>& element = from_peer_.front();
            // The peer may change it after the check: it is read once.
            const auto length = *static_cast<const volatile std::uint64_t*>(&element.length);
            if (length > room)
                throw Refused("take", "the peer has written a message larger than its element");
            return {element.bytes, length};
        }
        void release() { from_peer_.pop(); }

        [[nodiscard]] std::size_t capacity_bytes() const { return capacity_ * room; }
        [[nodiscard]] std::size_t batch() const { return batch_; }

      private:
        /// Each push takes what it has room for.
        template <class Source>
        void push_all(const Source* begin, const Source* end, auto&& glance) {
            wait_until(
                [&] {
                    begin = to_peer_.push(begin, end);
                    return begin == end;
                },
                glance);
        }
        static void wait_until(auto&& ready, auto&& glance) {
            Strategy::Bell nobody_rings;
            Strategy::wait_until(
                nobody_rings, [&](std::memory_order) { return ready(); }, glance);
        }

        using Strategy = Spin<SystemAtomics>;
        Queue<room>& to_peer_;
        Queue<room>& from_peer_;
        std::size_t capacity_;  // in messages
        std::size_t batch_;
        std::vector<Element<room>> kept_;  // what waits for the rest of its batch
    };

    /// The rooms that this program is compiled for, in order.
    using AnyTalk = std::variant<Talk<8>, Talk<64>, Talk<1024>, Talk<4096>, Talk<16'384>,
                                 Talk<65'536>, Talk<262'144>, Talk<1'048'576>>;
    static constexpr std::size_t default_message_bytes = 4096;
    static constexpr std::size_t default_capacity_bytes = std::size_t{4} << 20;
    /// What the segment needs for itself and the heads of two queues.
    static constexpr std::size_t overhead_bytes = std::size_t{16} << 10;

    static std::string queue_name(Side sender, std::size_t room) {
        return fmt::format("to-{} {}", sender == Side::initiator ? "responder" : "initiator", room);
    }

    /// Calls `use.operator()<room>()` for each room, in order, until it returns true.
    static bool first_room(auto&& use) {
        return
            [&]<template <std::size_t> class T, std::size_t... rooms>(std::variant<T<rooms>...>*) {
                return (use.template operator()<rooms>() || ...);
            }(static_cast<AnyTalk*>(nullptr));
    }

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, const Needs& needs)
            : segment_(
                  in_boost("managed_shared_memory",
                           [&] { return Segment(boost::interprocess::open_only, name.c_str()); })),
              peer_(name, mine),
              timeout_(needs.timeout),
              talk_(find(segment_, mine, std::max<std::size_t>(1, needs.batch_messages))) {}

        void send(View message) {
            Wait wait("send", timeout_, &peer_);
            std::visit([&](auto& talk) { talk.send(message, [&] { wait.glance(); }); }, talk_);
        }
        void flush() {
            Wait wait("flush", timeout_, &peer_);
            std::visit([&](auto& talk) { talk.flush([&] { wait.glance(); }); }, talk_);
        }
        View take() {
            Wait wait("take", timeout_, &peer_);
            return std::visit([&](auto& talk) { return talk.take([&] { wait.glance(); }); }, talk_);
        }
        void release() {
            std::visit([](auto& talk) { talk.release(); }, talk_);
        }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return std::visit([]<std::size_t room>(const Talk<room>&) { return room; }, talk_);
        }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return std::visit([](const auto& talk) { return talk.capacity_bytes(); }, talk_);
        }
        [[nodiscard]] std::size_t publish_every(std::size_t /*message_bytes*/) const {
            return std::visit([](const auto& talk) { return talk.batch(); }, talk_);
        }

      private:
        static AnyTalk find(Segment& segment, Side mine, std::size_t batch) {
            std::optional<AnyTalk> found;
            first_room([&]<std::size_t room>() {
                auto* const to_peer =
                    segment.find<Queue<room>>(queue_name(mine, room).c_str()).first;
                auto* const from_peer =
                    segment.find<Queue<room>>(queue_name(other(mine), room).c_str()).first;
                if (to_peer == nullptr || from_peer == nullptr) return false;
                const auto* const capacity = segment.find<std::size_t>("capacity").first;
                if (capacity == nullptr) return false;
                found.emplace(Talk<room>(*to_peer, *from_peer, *capacity, batch));
                return true;
            });
            if (!found) throw Refused("attach", "the segment is not of this mechanism");
            return std::move(*found);
        }

        Segment segment_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        AnyTalk talk_;
    };

    static BoostSpsc create(const Needs& needs) {
        BoostSpsc made(needs, {object_name(needs.address.name, "boost-spsc")});
        const std::size_t message_bytes =
            needs.message_bytes_max > 0 ? needs.message_bytes_max : default_message_bytes;
        const std::size_t capacity_bytes =
            needs.capacity_bytes > 0 ? needs.capacity_bytes : default_capacity_bytes;
        admit_memory(capacity_bytes);
        constexpr std::size_t largest = std::variant_size_v<AnyTalk> - 1;
        made.presence_ = Presence::create(made.where_.name);
        made.object_ = NamedObject(ObjectKind::posix_shm, made.where_.name);
        first_room([&]<std::size_t room>() {
            constexpr bool last =
                std::is_same_v<Talk<room>, std::variant_alternative_t<largest, AnyTalk>>;
            if (room < message_bytes && !last) return false;
            // One to be read while the next is written; in all, never less than asked for.
            const std::size_t messages =
                std::max<std::size_t>(2, (capacity_bytes + room - 1) / room);
            make<room>(made.where_.name, messages);
            return true;
        });
        return made;
    }
    static BoostSpsc open(const Address& where, const Needs& needs) {
        return {needs, {object_name(where.name, "boost-spsc")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, needs_}; }

    static constexpr Facts facts{
        .name = "boost-spsc",
        .family = "rings",
        .sender = Dialect::copies,
        .receiver = Dialect::lends,
        .copies = 1,
        .send_calls = Spin<SystemAtomics>::wake_calls,
        .receive_calls = Spin<SystemAtomics>::wait_calls,
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "as asked, up to 1 MiB",
        .capacity = "4 MiB or as asked",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Spin<SystemAtomics>::kind,
        .lesson = "A queue from a library is one line of code; what it does not do, keep the "
                  "other's index, wait, take messages of any size, is left to its user.",
    };

  private:
    BoostSpsc(const Needs& needs, Address where) : needs_(needs), where_(std::move(where)) {}

    template <std::size_t room>
    static void make(const std::string& name, std::size_t messages) {
        namespace boosts = boost::interprocess;
        // The library's array has one element more, by which it tells full from empty.
        const std::size_t bytes = 2 * (messages + 1) * sizeof(Element<room>) + overhead_bytes;
        admit_memory(bytes);
        in_boost_making(bytes, [&] {
            Segment segment(boosts::create_only, name.c_str(), bytes, nullptr,
                            boosts::permissions(0600));
            const boosts::allocator<Element<room>, Segment::segment_manager> elements(
                segment.get_segment_manager());
            for (const Side sender : {Side::initiator, Side::responder})
                segment.construct<Queue<room>>(queue_name(sender, room).c_str())(messages,
                                                                                 elements);
            segment.construct<std::size_t>("capacity")(messages);
        });
    }

    Needs needs_;
    Address where_;
    NamedObject presence_;
    NamedObject object_;
};

static_assert(Addressed<BoostSpsc>);

}  // namespace ipclab
