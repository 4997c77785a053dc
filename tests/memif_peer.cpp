// A peer for tests of memif: sends numbered packets and compares, byte by byte, what comes back.
//
//   memif_peer echo SOCKET     the peer returns every packet (testpmd's io forwarding)
//   memif_peer send SOCKET     the peer only takes them (rxonly)
//   memif_peer receive SOCKET  the peer only sends (txonly): what comes must be alike
//   memif_peer reflect SOCKET  returns every packet
//
// For each connection it prints a line of JSON: what was sent and received, and what was wrong with
// it. Then it keeps the connection until a line, or the end, comes on standard input, so that the
// peer's counters can be read.
#include "harness/memif/port.hpp"
#include "mechanisms/os/error.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <fmt/format.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace ipclab {
namespace {

using Clock = std::chrono::steady_clock;

struct Words {
    std::string what = "echo";
    memif::Options interface;
    bool client = false;
    bool poll = false;
    std::uint64_t packets = 1000;
    std::size_t least_bytes = 64;
    std::size_t most_bytes = 64;
    std::uint32_t ring_slots = 1024;
    int connections = 1;
    double patience_s = 20;
};

struct Tally {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t bytes = 0;
    std::uint64_t wrong = 0;   ///< not what was sent, or not in the order of its queue
    std::uint64_t stalls = 0;  ///< times that packets lay there for a second without a signal
};

/// A number that looks like noise, the same for the same `value` (Steele's splitmix64).
std::uint64_t noise(std::uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

class Peer {
  public:
    explicit Peer(const Words& words)
        : words_(words),
          port_(words.interface, words.poll ? memif::Mode::polling : memif::Mode::interrupt),
          loop_({&port_}),
          ahead_(words.interface.queues) {}

    /// Returns whether all went well.
    bool run() {
        bool well = true;
        for (int connection = 1; connection <= words_.connections; ++connection) {
            const auto connected = static_cast<std::uint64_t>(connection);
            if (!turn_until([&] { return port_.connections() >= connected; })) {
                fmt::print(stderr, "memif_peer: no connection: {}\n", port_.reason());
                return false;
            }
            tally_ = {};
            for (auto& expected : ahead_) expected.clear();
            slots_ahead_ = 0;
            const bool done = turn_until([&] { return !port_.connected() || exchange(); });
            print_tally();
            well = well && done && tally_.wrong == 0;
            stay();
            if (connection < words_.connections && !turn_until([&] { return !port_.connected(); }))
                return false;
        }
        return well;
    }

  private:
    /// Until `done()` or the end of patience; false: that, or a signal.
    template <class Done>
    bool turn_until(Done done) {
        const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                 std::chrono::duration<double>(words_.patience_s));
        any_ = false;
        while (!done()) {
            const auto before = Clock::now();
            if (before >= deadline) return false;
            if (!loop_.wait(any_ ? std::chrono::nanoseconds{} : pause())) return false;
            const bool waited = Clock::now() - before >= stall;
            any_ = port_.receive([&](std::uint16_t queue, View packet) { take(queue, packet); });
            if (any_ && waited) ++tally_.stalls;
            if (any_) port_.flush();
        }
        return true;
    }
    /// A sender that finds no room is not told when there is some.
    [[nodiscard]] std::chrono::nanoseconds pause() const {
        return blocked_ ? std::chrono::nanoseconds(std::chrono::microseconds(100))
                        : std::chrono::nanoseconds(stall);
    }

    /// Sends what may be sent; returns whether all has been sent and received.
    bool exchange() {
        blocked_ = false;
        if (words_.what == "receive") return tally_.received >= words_.packets;
        if (words_.what == "reflect") return false;
        const bool echo = words_.what == "echo";
        while (tally_.sent < words_.packets) {
            make(tally_.sent);
            const std::size_t slots = slots_of(packet_.size());
            // No more on the way than the rings hold: testpmd drops what it has no room for.
            if (echo && slots_ahead_ + slots > words_.ring_slots) break;
            const auto queue = static_cast<std::uint16_t>(tally_.sent % ahead_.size());
            if (!port_.send(queue, packet_)) {
                blocked_ = true;
                break;
            }
            if (echo) {
                ahead_[queue].push_back(tally_.sent);
                slots_ahead_ += slots;
            }
            ++tally_.sent;
        }
        port_.flush();
        return tally_.sent == words_.packets && (!echo || tally_.received >= tally_.sent);
    }
    [[nodiscard]] std::size_t slots_of(std::size_t bytes) const {
        return (bytes + words_.interface.buffer_bytes - 1) / words_.interface.buffer_bytes;
    }
    /// The packet of that number: the smallest, the largest, then any size between.
    void make(std::uint64_t number) {
        const std::size_t sizes = words_.most_bytes - words_.least_bytes + 1;
        const std::size_t more = number == 0 ? 0 : number == 1 ? sizes - 1 : noise(number) % sizes;
        packet_.resize(words_.least_bytes + more);
        std::uint64_t word = noise(~number);
        for (std::size_t at = 0; at < packet_.size(); at += sizeof word, word += number | 1)
            std::memcpy(&packet_[at], &word, std::min(sizeof word, packet_.size() - at));
        std::memcpy(packet_.data(), &number, sizeof number);
    }

    void take(std::uint16_t queue, View packet) {
        ++tally_.received;
        tally_.bytes += packet.size();
        if (words_.what == "echo") {
            if (ahead_[queue].empty()) {
                ++tally_.wrong;
                return;
            }
            make(ahead_[queue].front());
            ahead_[queue].pop_front();
            slots_ahead_ -= slots_of(packet_.size());
            if (!std::equal(packet.begin(), packet.end(), packet_.begin(), packet_.end()))
                ++tally_.wrong;
        } else if (words_.what == "receive") {
            if (tally_.received == 1) first_.assign(packet.begin(), packet.end());
            if (!std::equal(packet.begin(), packet.end(), first_.begin(), first_.end()))
                ++tally_.wrong;
        } else if (words_.what == "reflect") {
            // Waits for room: for whoever takes the packets at the other end.
            while (!port_.send(queue, packet) && port_.connected()) {
                port_.flush();
                port_.service();
                ::usleep(100);
            }
            ++tally_.sent;
        }
    }

    void print_tally() const {
        const memif::Statistics statistics = port_.statistics();
        fmt::print("{{\"sent\": {}, \"received\": {}, \"bytes\": {}, \"wrong\": {}, \"stalls\": "
                   "{}, \"violations\": {}, \"first\": \"{:02x}\"}}\n",
                   tally_.sent, tally_.received, tally_.bytes, tally_.wrong, tally_.stalls,
                   statistics.violations, fmt::join(bytes_of(first_), ""));
        std::fflush(stdout);
    }
    static std::vector<unsigned> bytes_of(View bytes) {
        std::vector<unsigned> values;
        values.reserve(bytes.size());
        for (const std::byte byte : bytes) values.push_back(std::to_integer<unsigned>(byte));
        return values;
    }
    static void stay() {
        char letter = 0;
        while (::read(STDIN_FILENO, &letter, 1) == 1 && letter != '\n') {
        }
    }

    static constexpr std::chrono::seconds stall{1};

    const Words& words_;
    Port port_;
    PortLoop loop_;
    std::vector<std::deque<std::uint64_t>> ahead_;  ///< of each queue: sent, not yet back
    std::size_t slots_ahead_ = 0;
    std::vector<std::byte> packet_;
    std::vector<std::byte> first_;
    Tally tally_;
    bool any_ = false;
    bool blocked_ = false;
};

int command_line(int argc, char** argv) {
    Words words;
    memif::Options& interface = words.interface;
    CLI::App app("A peer for tests of memif", "memif_peer");
    app.add_option("what", words.what)
        ->required()
        ->check(CLI::IsMember({"echo", "send", "receive", "reflect"}));
    app.add_option("socket", interface.socket)->required();
    app.add_flag("--client", words.client);
    app.add_flag("--poll", words.poll);
    app.add_option("--packets", words.packets);
    app.add_option("--least", words.least_bytes)->check(CLI::Range(8, 1 << 16));
    app.add_option("--most", words.most_bytes);
    app.add_option("--ring-slots", words.ring_slots);
    app.add_option("--buffer-size", interface.buffer_bytes);
    app.add_option("--queues", interface.queues);
    app.add_option("--id", interface.id);
    app.add_option("--secret", interface.secret);
    app.add_flag("--admit-unsealed", interface.admit_unsealed_regions);
    app.add_option("--connections", words.connections);
    app.add_option("--patience", words.patience_s);
    CLI11_PARSE(app, argc, argv);
    words.most_bytes = std::max(words.most_bytes, words.least_bytes);
    interface.role = words.client ? memif::SocketRole::client : memif::SocketRole::server;
    interface.log2_ring_size = static_cast<unsigned>(std::countr_zero(words.ring_slots));
    interface.reconnect_interval = std::chrono::milliseconds(100);
    return Peer(words).run() ? 0 : 1;
}

}  // namespace
}  // namespace ipclab

int main(int argc, char** argv) {
    try {
        return ipclab::command_line(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "memif_peer: {}\n", error.what());
        return 1;
    }
}
