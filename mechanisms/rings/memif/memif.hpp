// memif as a mechanism: the packets that virtual switches exchange, with messages in them.
//
// The library beside this file speaks memif 2.0 with anybody, VPP and DPDK among them; here it
// carries a conversation of two processes of ours. A message is made in a buffer of shared memory
// and read there. A ring of descriptors says which buffers hold messages (ring.hpp), a Unix socket
// tells when the peer is gone. memif knows no empty packet, so a packet is its message and one byte
// more, which nobody writes or reads.
//
// memif/poll looks at the ring until there is something. memif/interrupt sleeps: it clears the
// ring's mask flag, looks once more, and waits for the ring's eventfd; awake again it sets the
// flag, so that a sender makes no system call for a receiver that is at work. Nobody signals that
// a buffer has come free: a sender that finds none looks again after a while.
//
//   create    bind(2), listen(2)
//   attach    connect(2), accept(2); the initiator is memif's client: memfd_create(2), F_ADD_SEALS,
//             eventfd(2), and hands them over (SCM_RIGHTS); both mmap(2)
//   exchange  stores and loads; write(2) to a sleeper's eventfd, poll(2) and read(2) by the sleeper
//   detach    a DISCONNECT, close(2), munmap(2)
//   destroy   unlink(2) the socket's path
#pragma once

#include "mechanisms/rings/memif/channel.hpp"
#include "mechanisms/rings/memif/geometry.hpp"
#include "mechanisms/rings/memif/interface.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <algorithm>
#include <poll.h>
#include <thread>

namespace ipclab {

template <memif::Mode mode>
class Memif {
    static constexpr bool sleeps = mode == memif::Mode::interrupt;
    static constexpr std::size_t padding_bytes = MemifGeometry::padding_bytes;

  public:
    class Endpoint {
      public:
        Endpoint(memif::Interface interface, const Needs& needs)
            : control_(std::make_unique<Control>(std::move(interface))),
              transmit_(control_->interface.transmit(0)),
              receive_(control_->interface.receive(0)),
              timeout_(needs.timeout),
              batch_(std::max<std::size_t>(needs.batch_messages, 1)) {
            receive_.mode(memif::Mode::polling);
            Wait wait("attach", timeout_);
            while (!control_->interface.connected()) {
                control_->expect_no_ending();
                control_->wait_and_service();
                if (!control_->interface.connected()) wait.glance();
            }
            // A server knows its buffers only when the client has posted them.
            wait_for_room(
                wait, [&] { return (buffer_bytes_ = transmit_.buffer_bytes()) > padding_bytes; });
            slots_ = transmit_.slots();
            batch_ = std::min(batch_, slots_);
            if (capacity_bytes() < needs.capacity_bytes)
                throw Refused("attach", "the peer's rings hold less than was asked for");
        }

        Bytes loan(std::size_t n) {
            if (n > message_bytes_max())
                throw Refused("loan",
                              fmt::format("a message of {} bytes does not fit a buffer of {}", n,
                                          buffer_bytes_));
            Bytes room = transmit_.loan(n + padding_bytes);
            if (room.empty()) {
                flush();
                Wait wait("loan", timeout_, control_.get());
                wait_for_room(wait,
                              [&] { return !(room = transmit_.loan(n + padding_bytes)).empty(); });
            }
            return room.first(n);
        }
        void publish(std::size_t n) {
            transmit_.publish(n + padding_bytes);
            if (++unpublished_ >= batch_) flush();
        }
        void flush() {
            unpublished_ = 0;
            transmit_.flush();
        }

        View take() {
            std::optional<View> packet = receive_.peek();
            if (!packet) {
                Wait wait("take", timeout_, control_.get());
                wait_for_packet(wait, [&] { return (packet = receive_.peek()).has_value(); });
            }
            return packet->first(packet->size() - padding_bytes);
        }
        void release() { receive_.release_in_batches(); }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return buffer_bytes_ - padding_bytes;
        }
        [[nodiscard]] std::size_t capacity_bytes() const { return slots_ * message_bytes_max(); }
        [[nodiscard]] std::size_t publish_every(std::size_t /*message_bytes*/) const {
            return batch_;
        }
        [[nodiscard]] std::array<Counter, 2> counters() const {
            const memif::Statistics all = control_->interface.statistics();
            return {Counter{"packets", all.sent.packets + all.received.packets},
                    Counter{"signals", all.sent.signals}};
        }

      private:
        /// The control channel. Either of an endpoint's two threads may come to see to it.
        struct Control {
            explicit Control(memif::Interface moved) : interface(std::move(moved)) {}

            memif::Interface interface;
            mutable std::mutex mutex;

            [[nodiscard]] PeerState peer() const {
                const std::lock_guard lock(mutex);
                const_cast<memif::Interface&>(interface).service();
                if (interface.connected()) return PeerState::here;
                return interface.last_ending() == memif::Ending::left ? PeerState::left
                                                                      : PeerState::died;
            }
            void wait_and_service() {
                pollfd readable{interface.descriptor(), POLLIN, 0};
                ::poll(&readable, 1, static_cast<int>(glance_interval.count()));
                interface.service();
            }
            /// Before there was a connection.
            void expect_no_ending() const {
                switch (interface.last_ending()) {
                case memif::Ending::none:
                    return;
                case memif::Ending::died:
                    throw PeerGone("attach");
                default:
                    throw Refused("attach", interface.last_disconnect());
                }
            }
        };

        void wait_for_room(Wait& wait, auto&& there_is) {
            constexpr auto a_while = std::chrono::microseconds(50);
            if constexpr (sleeps) {
                for (; !there_is(); wait.glance()) std::this_thread::sleep_for(a_while);
            } else {
                spin_until(wait, there_is);
            }
        }
        void wait_for_packet(Wait& wait, auto&& there_is) {
            if constexpr (!sleeps) return spin_until(wait, there_is);
            for (;;) {
                receive_.mode(memif::Mode::interrupt);
                if (there_is()) break;
                pollfd signalled{receive_.descriptor(), POLLIN, 0};
                ::poll(&signalled, 1, static_cast<int>(glance_interval.count()));
                if ((signalled.revents & POLLIN) != 0) receive_.drain();
                if (there_is()) break;
                wait.glance();
            }
            receive_.mode(memif::Mode::polling);
        }
        static void spin_until(Wait& wait, auto&& there_is) {
            Spin<SystemAtomics>::Bell none;
            Spin<SystemAtomics>::wait_until(
                none, [&](std::memory_order) { return there_is(); }, [&] { wait.glance(); });
        }

        std::unique_ptr<Control> control_;
        memif::TransmitQueue& transmit_;
        memif::ReceiveQueue& receive_;
        std::chrono::milliseconds timeout_;
        std::size_t batch_;
        std::size_t slots_ = 0;
        std::size_t buffer_bytes_ = padding_bytes;
        std::size_t unpublished_ = 0;
    };

    static Memif create(const Needs& needs) {
        MemifGeometry::of(needs);
        Memif made(needs, sockets::address_or_fresh(needs, "memif"));
        made.listener_ = memif::Listener::listen(made.address_);
        return made;
    }
    static Memif open(const Address& where, const Needs& needs) {
        return {needs, sockets::UnixAddress(where.name)};
    }
    [[nodiscard]] Address address() const { return {address_.text()}; }

    Endpoint attach(Role role) {
        const MemifGeometry geometry = MemifGeometry::of(needs_);
        memif::Options options{.socket = address_.text(),
                               .role = role.side == Side::initiator ? memif::SocketRole::client
                                                                    : memif::SocketRole::server,
                               .log2_ring_size = geometry.log2_ring_size,
                               .buffer_bytes = geometry.buffer_bytes,
                               .region_bytes_max = std::uint64_t{4} << 30,
                               .refuse_strangers = true,
                               .reconnect_interval = glance_interval};
        if (role.side == Side::initiator) {
            memif::Interface connecting(std::move(options));
            stand_aside();  // only now: until then nobody who is gone can be told from nobody
            return {std::move(connecting), needs_};
        }
        if (!listener_.socket)
            throw Refused("attach", "who opens a socket by its name is the initiator");
        return {memif::Interface(std::move(options), std::move(listener_.socket)), needs_};
    }
    void stand_aside() { listener_.socket.reset(); }

    static constexpr Facts facts{
        .name = sleeps ? "memif/interrupt" : "memif/poll",
        .family = "rings",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = sleeps ? SystemCalls{0, 2} : SystemCalls{0, 0},
        .receive_calls = sleeps ? SystemCalls{0, 2} : SystemCalls{0, 0},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::file_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::file_system,  // of the socket's path; the memory's is the process
        .message_bytes_max = "a buffer less 1 B (2047 B or as asked, up to 65534 B)",
        .capacity = "1024 messages of 2047 B",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = sleeps ? Waiting::sleeps : Waiting::spins,
        .lesson = sleeps ? "A flag by which the receiver says that it is awake spares the sender "
                           "every signal but the one that is needed."
                         : "Two programs that share nothing but a published layout of memory can "
                           "pass packets without a copy, if each checks all that the other writes.",
    };

  private:
    Memif(const Needs& needs, sockets::UnixAddress address)
        : needs_(needs), address_(std::move(address)) {}

    Needs needs_;
    sockets::UnixAddress address_;
    memif::Listener listener_;
};

}  // namespace ipclab
