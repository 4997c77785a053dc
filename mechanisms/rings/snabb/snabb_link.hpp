// Snabb links: packets change hands, bytes stay where they are.
//
// Snabb is a packet engine whose processes each keep a core busy and pass packets by pointer
// (snabbco/snabb). A link carries them one way, from one transmitter to one receiver, and a
// conversation takes two links. The message is made in a packet from the sender's free list; its
// number goes through a ring; the receiver reads it where it was made, frees the packet, and pays
// with an empty one (packets.hpp). There are two kinds of ring: inter_proc.hpp and interlink.hpp.
//
// Neither wakes anybody. An engine looks for work in breaths, and either spins or sleeps a little
// longer after each breath without work (waiting/adaptive_sleep.hpp).
//
//   create    open(2) with O_EXCL, posix_fallocate(3), for each of the links NAME and NAME.back
//   attach    open(2), mmap(2), fcntl(2) with F_OFD_SETLK: the seat (link_file.hpp)
//   exchange  stores and loads; nanosleep(2) for who sleeps
//   detach    munmap(2), close(2)
//   destroy   shm_unlink(3), or unlink(2) in another run directory
//
// Where a process dies or leaves, the other end stays as it is: PeerGone and Closed leave it
// usable, and a process that attaches in the lost one's place goes on where that one stopped.
#pragma once

#include "mechanisms/os/patience.hpp"
#include "mechanisms/rings/snabb/link_ends.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace ipclab {

template <class Kind, template <class> class WaitStrategy>
class SnabbLink {
    using Strategy = WaitStrategy<SystemAtomics>;
    static constexpr std::size_t packet_bytes = snabb::Packet::data_bytes_max;

  public:
    /// How to attach.
    struct Manner {
        /// How long to wait for the link to appear, and for its seats to be free.
        std::chrono::milliseconds patience{0};
        snabb::LastOneOut last_one_out = snabb::LastOneOut::leaves_it;
    };

    class Endpoint {
      public:
        Endpoint(const SnabbLink& from, Side mine, const Manner& manner)
            : timeout_(from.timeout_),
              last_one_out_(manner.last_one_out),
              out_link_(from.link_spoken_by(mine), rules(), snabb::End::transmitter,
                        from.slots_wanted_, manner.patience),
              in_link_(from.link_spoken_by(other(mine)), rules(), snabb::End::receiver,
                       from.slots_wanted_, manner.patience),
              out_packets_(out_link_.memory().packets()),
              in_packets_(in_link_.memory().packets()),
              batch_(batch_for(from.batch_messages_, out_link_.memory().shape().slots)),
              out_(out_link_.memory(), batch_),
              in_(in_link_.memory(), batch_) {}
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        /// Hands over what was published, as far as it finds room.
        ~Endpoint() {
            try {
                out_.try_to_flush();
                in_.settle();
            } catch (const IpcError&) {
                // A peer that broke the rules gets no more.
            }
            Kind::leave(out_link_.memory(), snabb::End::transmitter, last_one_out_);
            Kind::leave(in_link_.memory(), snabb::End::receiver, last_one_out_);
        }

        Bytes loan(std::size_t n) {
            if (n > packet_bytes)
                throw Refused(
                    "loan", fmt::format("a packet holds messages of up to {} bytes", packet_bytes),
                    EMSGSIZE);
            if (loan_ == snabb::no_packet) loan_ = out_.allocate(waiting("loan", out_link_));
            return {out_packets_[loan_].data, n};
        }
        void publish(std::size_t n) {
            out_packets_[loan_].length.store(static_cast<std::uint16_t>(n),
                                             std::memory_order::relaxed);
            out_.publish(std::exchange(loan_, snabb::no_packet));
        }
        /// Waits for room where what was published needs it. With inter-proc nothing less than a
        /// batch arrives without it.
        void flush() { out_.flush(waiting("flush", out_link_)); }

        View take() {
            taken_ = in_.front(waiting("take", in_link_));
            const snabb::Packet& packet = in_packets_[taken_];
            const std::size_t length = packet.length.load(std::memory_order::relaxed);
            if (length > packet_bytes)
                throw Refused("take", "the peer has written a length that leaves the packet");
            return {packet.data, length};
        }
        void release() { in_.free_front(taken_); }

        [[nodiscard]] std::size_t message_bytes_max() const { return packet_bytes; }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return (out_link_.memory().shape().slots - 1) * packet_bytes;
        }
        [[nodiscard]] std::size_t publish_every(std::size_t /*message_bytes*/) const {
            return batch_;
        }
        /// A cycle is one publication, of however many packets.
        [[nodiscard]] std::array<Counter, 4> counters() const {
            return {Counter{"txpackets", out_.cycles().packets},
                    Counter{"txcycles", out_.cycles().cycles},
                    Counter{"rxpackets", in_.cycles().packets},
                    Counter{"rxcycles", in_.cycles().cycles}};
        }

      private:
        static snabb::AttachedLink::Rules rules() {
            return {Kind::shape(Kind::slots_by_default).kind, Kind::shape, Kind::enter};
        }
        static std::uint32_t batch_for(std::size_t asked, std::uint32_t slots) {
            return asked == 0 ? std::min(Kind::batch_by_default, slots - 1)
                              : static_cast<std::uint32_t>(std::min<std::size_t>(asked, slots - 1));
        }
        /// Makes what waits, as this endpoint's strategy does, for the other end of `link`.
        auto waiting(std::string_view what, const snabb::AttachedLink& link) {
            return [this, what, &link](auto&& ready) {
                Wait wait(what, timeout_, &link.seat());
                typename Strategy::Bell nobody_rings;
                Strategy::wait_until(nobody_rings, ready, [&] { wait.glance(); });
            };
        }

        std::chrono::milliseconds timeout_;
        snabb::LastOneOut last_one_out_;
        snabb::AttachedLink out_link_;
        snabb::AttachedLink in_link_;
        snabb::Packets out_packets_;
        snabb::Packets in_packets_;
        std::uint32_t batch_;
        // Each thread of an endpoint writes its own of these two pairs at every message.
        alignas(64) typename Kind::Transmitter out_;
        snabb::PacketNumber loan_ = snabb::no_packet;
        alignas(64) typename Kind::Receiver in_;
        snabb::PacketNumber taken_ = snabb::no_packet;
    };

    static SnabbLink create(const Needs& needs) {
        SnabbLink made(snabb::LinkPlace(needs.address.name), needs);
        const std::uint32_t slots = std::max(made.slots_wanted_, slots_by_default(needs));
        made.slots_wanted_ = slots;
        for (const Side speaker : {Side::initiator, Side::responder}) {
            const snabb::LinkPlace link = made.link_spoken_by(speaker);
            made.names_[static_cast<std::size_t>(speaker)] = link.claim();
            snabb::create_link(link, Kind::shape(slots), Kind::fill);
        }
        return made;
    }
    /// A capacity that is asked for must be the link's; without one, any is.
    static SnabbLink open(const Address& where, const Needs& needs) {
        return {snabb::LinkPlace(where.name), needs};
    }
    [[nodiscard]] Address address() const { return {place_.address()}; }

    Endpoint attach(Role role) { return attach(role, {}); }
    Endpoint attach(Role role, const Manner& manner) { return {*this, role.side, manner}; }

    /// The initiator speaks through NAME, the responder through NAME.back.
    [[nodiscard]] snabb::LinkPlace link_spoken_by(Side speaker) const {
        return speaker == Side::initiator ? place_ : place_.beside(".back");
    }

    static constexpr bool spins = Strategy::kind == Waiting::spins;
    static constexpr bool is_inter_proc = std::is_same_v<Kind, snabb::InterProc>;
    static constexpr Facts facts{
        .name = is_inter_proc ? (spins ? "snabb-link/inter-proc/spin" : "snabb-link/inter-proc")
                              : (spins ? "snabb-link/interlink/spin" : "snabb-link/interlink"),
        .family = "rings",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = Strategy::wake_calls,
        .receive_calls = Strategy::wait_calls,
        .keeps_boundaries = true,
        .two_way = false,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "10 KiB",
        .capacity = is_inter_proc ? "255 packets" : "1023 packets",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Strategy::kind,
        .lesson = is_inter_proc
                      ? "Handing over 129 packets at a time makes a shared cache line cheap, and a "
                        "lone packet wait for ever: a batch needs a flush."
                      : "Who passes ownership need not pass bytes, and who pays with an empty "
                        "buffer for each full one needs no shared free list.",
    };

  private:
    SnabbLink(snabb::LinkPlace place, const Needs& needs)
        : place_(std::move(place)),
          timeout_(needs.timeout),
          batch_messages_(needs.batch_messages),
          slots_wanted_(slots_for(needs.capacity_bytes)) {}

    /// 0 where any number will do.
    static std::uint32_t slots_for(std::size_t capacity_bytes) {
        if (capacity_bytes == 0) return 0;
        const std::size_t packets = (capacity_bytes + packet_bytes - 1) / packet_bytes;
        if (packets >= Kind::slots_max)
            throw LimitReached("create", fmt::format("a ring of {} slots", Kind::slots_max),
                               fmt::format("the largest that {} has", Kind::name),
                               "ask for less capacity");
        return is_inter_proc ? Kind::slots_by_default
                             : static_cast<std::uint32_t>(std::bit_ceil(packets + 1));
    }
    static std::uint32_t slots_by_default(const Needs& needs) {
        return needs.capacity_bytes == 0 ? Kind::slots_by_default : 0;
    }

    snabb::LinkPlace place_;
    std::chrono::milliseconds timeout_;
    std::size_t batch_messages_;
    std::uint32_t slots_wanted_;
    std::array<NamedObject, 2> names_;
};

}  // namespace ipclab
