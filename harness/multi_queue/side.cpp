#include "harness/multi_queue/side.hpp"

#include "harness/payload.hpp"
#include "mechanisms/os/patience.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <fmt/format.h>
#include <latch>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>

namespace ipclab {
namespace {

constexpr unsigned turns_between_glances = 4096;

/// What a thread does when nothing can be done: it spins where the CPU is its own, and lets the
/// side's other threads go first where it is not.
class Idle {
  public:
    Idle(const memif::Interface& interface, QueueThreads threads)
        : interface_(interface), threads_(threads) {}

    void turn() {
        if (threads_ == QueueThreads::one)
            SystemAtomics::relax();
        else
            SystemAtomics::yield();
        if (++turns_ % turns_between_glances == 0) glance();
    }
    void glance() {
        if (!interface_.connected()) throw PeerGone("memif queue");
        wait_.glance();
        has_glanced_ = true;
    }
    void over() {
        if (has_glanced_) wait_ = fresh_wait();
        has_glanced_ = false;
    }

  private:
    static Wait fresh_wait() { return {"memif queue", queue_patience}; }

    const memif::Interface& interface_;
    QueueThreads threads_;
    unsigned turns_ = 0;
    bool has_glanced_ = false;
    Wait wait_ = fresh_wait();
};

/// Takes at most `most` of what is left.
std::uint64_t take(std::atomic<std::uint64_t>& left, std::uint64_t most) {
    std::uint64_t seen = left.load(std::memory_order::relaxed);
    while (seen > 0 && !left.compare_exchange_weak(seen, seen - std::min(seen, most),
                                                   std::memory_order::relaxed)) {
    }
    return std::min(seen, most);
}

}  // namespace

memif::Options queue_options(const QueueCell& cell, Side side, const std::string& socket) {
    memif::Options options;
    options.socket = socket;
    options.role = side == Side::initiator ? memif::SocketRole::client : memif::SocketRole::server;
    options.queues = static_cast<std::uint16_t>(cell.queues);
    options.reconnect_interval = std::chrono::milliseconds(1);
    options.refuse_strangers = true;  // a stranger would be signalled with more care
    return options;
}

void await_connection(memif::Interface& interface, const QueueCell& cell) {
    Wait wait("memif handshake", queue_patience);
    while (!interface.connected()) {
        pollfd ready{.fd = interface.descriptor(), .events = POLLIN, .revents = 0};
        ::poll(&ready, 1, static_cast<int>(glance_interval.count()));
        interface.service();
        wait.glance();
    }
    if (interface.queues() != cell.queues)
        throw Refused("memif handshake",
                      fmt::format("{} queues instead of {}", interface.queues(), cell.queues));
}

QueueSide::QueueSide(memif::Interface& interface, const QueueCell& cell, Side side)
    : interface_(interface),
      cell_(cell),
      lanes_(cell.queues),
      all_received_(must(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        lanes_[i].queue = static_cast<std::uint16_t>(i);
        lanes_[i].packet.resize(cell.size_bytes);
        if (side == Side::responder)
            interface_.receive(lanes_[i].queue)
                .mode(cell.mode == QueueMode::polling ? memif::Mode::polling
                                                      : memif::Mode::interrupt);
    }
}

void QueueSide::play(Player& player, const Leg& leg) {
    left_.store(leg.messages, std::memory_order::relaxed);
    eventfd_t ignored = 0;
    ::eventfd_read(all_received_.get(), &ignored);
    for (Lane& lane : lanes_) lane.packets = lane.mismatches = 0;
    in_threads(player, player.side() == Side::initiator ? &QueueSide::send : &QueueSide::receive);

    SideReport& report = player.report();
    report.mismatches = 0;
    for (const Lane& lane : lanes_) {
        report.mismatches += lane.mismatches;
        report.queue_messages.at(lane.queue) = lane.packets;
    }
}

void QueueSide::in_threads(Player& player, Work work) {
    if (cell_.threads == QueueThreads::one) {
        player.measure([&] { (this->*work)(lanes_); });
        return;
    }
    std::vector<std::exception_ptr> errors(lanes_.size());
    std::latch start(1);
    std::vector<std::jthread> threads;
    threads.reserve(lanes_.size());
    for (std::size_t i = 0; i < lanes_.size(); ++i)
        threads.emplace_back([&, i] {
            start.wait();
            try {
                (this->*work)(std::span(lanes_).subspan(i, 1));
            } catch (...) {
                errors[i] = std::current_exception();
            }
        });
    // The process's first thread sleeps meanwhile.
    player.measure([&] {
        start.count_down();
        threads.clear();
    });
    for (const std::exception_ptr& error : errors)
        if (error) std::rethrow_exception(error);
}

void QueueSide::send(std::span<Lane> lanes) {
    Idle idle(interface_, cell_.threads);
    for (bool all_sent = false; !all_sent;) {
        bool sent = false;
        all_sent = true;
        for (Lane& lane : lanes) {
            sent |= send_burst(lane);
            all_sent &= lane.in_hand == 0;
        }
        all_sent &= left_.load(std::memory_order::relaxed) == 0;
        if (sent)
            idle.over();
        else if (!all_sent)
            idle.turn();
    }
}

bool QueueSide::send_burst(Lane& lane) {
    if (lane.in_hand == 0) lane.in_hand = take(left_, cell_.burst);
    memif::TransmitQueue& queue = interface_.transmit(lane.queue);
    const Bytes packet = lane.packet.bytes();
    const std::uint64_t before = lane.packets;
    while (lane.in_hand > 0) {
        if (!lane.is_filled) payload::fill(packet, sequence_on(lane.queue, lane.number));
        lane.is_filled = !queue.send(packet);
        if (lane.is_filled) break;
        ++lane.number;
        ++lane.packets;
        --lane.in_hand;
    }
    if (lane.packets == before) return false;
    queue.flush();
    return true;
}

void QueueSide::receive(std::span<Lane> lanes) {
    Idle idle(interface_, cell_.threads);
    while (left_.load(std::memory_order::relaxed) > 0) {
        bool received = false;
        for (Lane& lane : lanes) received |= receive_burst(lane);
        if (received) {
            idle.over();
        } else if (cell_.mode == QueueMode::polling) {
            idle.turn();
        } else if (left_.load(std::memory_order::relaxed) > 0) {
            sleep(lanes);
            idle.glance();
        }
    }
}

bool QueueSide::receive_burst(Lane& lane) {
    memif::ReceiveQueue& queue = interface_.receive(lane.queue);
    const Bytes packet = lane.packet.bytes();
    std::uint64_t received = 0;
    while (received < cell_.burst) {
        const std::optional<std::size_t> size_bytes = queue.receive(packet);
        if (!size_bytes) break;
        const bool good = *size_bytes == packet.size() &&
                          payload::check(packet, sequence_on(lane.queue, lane.number));
        lane.mismatches += good ? 0 : 1;
        ++lane.number;
        ++received;
    }
    if (received == 0) return false;
    queue.release();
    lane.packets += received;
    if (left_.fetch_sub(received, std::memory_order::relaxed) == received)
        ::eventfd_write(all_received_.get(), 1);
    return true;
}

/// Until a packet may have come, or the others have received the last one.
void QueueSide::sleep(std::span<Lane> lanes) {
    std::array<pollfd, queues_limit + 1> watched{};
    watched[0] = {.fd = all_received_.get(), .events = POLLIN, .revents = 0};
    for (std::size_t i = 0; i < lanes.size(); ++i)
        watched.at(i + 1) = {
            .fd = interface_.receive(lanes[i].queue).descriptor(), .events = POLLIN, .revents = 0};
    ::poll(watched.data(), lanes.size() + 1, static_cast<int>(glance_interval.count()));
    for (std::size_t i = 0; i < lanes.size(); ++i)
        if (watched.at(i + 1).revents != 0) interface_.receive(lanes[i].queue).drain();
}

}  // namespace ipclab
