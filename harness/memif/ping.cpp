#include "harness/memif/ping.hpp"

#include "harness/memif/port.hpp"
#include "mechanisms/os/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <limits>
#include <string>
#include <unistd.h>
#include <vector>

namespace ipclab {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

/// The round trips, summed up as ping(8) does.
class RoundTrips {
  public:
    void add(Milliseconds time) {
        least_ = std::min(least_, time.count());
        most_ = std::max(most_, time.count());
        sum_ += time.count();
        squares_ += time.count() * time.count();
        ++count_;
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::string summary() const {
        const auto n = static_cast<double>(count_);
        const double mean = sum_ / n;
        const double deviation = std::sqrt(std::max(0.0, squares_ / n - mean * mean));
        return fmt::format("rtt min/avg/max/mdev = {:.3f}/{:.3f}/{:.3f}/{:.3f} ms", least_, mean,
                           most_, deviation);
    }

  private:
    double least_ = std::numeric_limits<double>::infinity();
    double most_ = 0;
    double sum_ = 0;
    double squares_ = 0;
    std::uint64_t count_ = 0;
};

class Ping {
  public:
    explicit Ping(const PingOptions& options)
        : options_(options),
          port_(options.interface, options.mode),
          loop_({&port_}),
          identifier_(static_cast<std::uint16_t>(::getpid())),
          data_(options.data_bytes),
          frame_(frame_bytes_max),
          sent_at_(sequences) {
        for (std::size_t i = 0; i < data_.size(); ++i) data_[i] = static_cast<std::byte>(i);
    }

    int run() {
        await_connection();
        if (running_ && !resolve()) {
            fmt::print(stderr, "{}: nobody answers for {} (ARP)\n", port_.socket(),
                       format_ipv4(options_.target));
            return none_received;
        }
        fmt::print("PING {0} ({0}) {1}({2}) bytes of data.\n", format_ipv4(options_.target),
                   data_.size(), data_.size() + sizeof(ip) + sizeof(icmphdr));
        started_ = Clock::now();
        while (running_ && !done()) {
            if (may_send() && Clock::now() >= next_send_) send_echo();
            turn(patience());
        }
        print_summary();
        return trips_.count() > 0 ? 0 : none_received;
    }

  private:
    static constexpr int none_received = 1;
    static constexpr std::size_t sequences = std::size_t{1} << 16;

    void await_connection() {
        const auto deadline = Clock::now() + options_.connect_timeout;
        while (running_ && !port_.connected()) {
            if (Clock::now() >= deadline) throw Refused("memif ping", port_.reason());
            turn(deadline - Clock::now());
        }
    }
    /// Three questions, a second apart.
    bool resolve() {
        constexpr std::chrono::seconds question_interval{1};
        for (int tries = 0; running_ && tries < 3; ++tries) {
            const auto until = Clock::now() + question_interval;
            // A client gives its server buffers only a moment after it has connected.
            while (running_ && !ask() && Clock::now() < until) turn(std::chrono::milliseconds(1));
            while (running_ && !target_mac_ && Clock::now() < until) turn(until - Clock::now());
            if (target_mac_) return true;
        }
        return !running_;
    }
    /// Returns whether there was room for the question.
    bool ask() {
        const std::size_t size =
            write_arp(frame_, mac_broadcast,
                      {true, options_.own_mac, options_.own, MacAddress{}, options_.target});
        if (!port_.send(0, View(frame_).first(size))) return false;
        port_.flush();
        asked_on_ = port_.connections();
        return true;
    }

    [[nodiscard]] bool may_send() const { return !options_.count || sent_ < *options_.count; }
    [[nodiscard]] bool done() const {
        return !may_send() &&
               (trips_.count() >= sent_ || Clock::now() - last_sent_ >= options_.linger);
    }
    [[nodiscard]] std::chrono::nanoseconds patience() const {
        const auto until = may_send() ? next_send_ : last_sent_ + options_.linger;
        return std::max(std::chrono::nanoseconds{}, std::chrono::nanoseconds(until - Clock::now()));
    }

    void send_echo() {
        // A peer that came back may have another address: it is asked again, and the old one used
        // until it has answered.
        if (port_.connected() && asked_on_ != port_.connections()) ask();
        if (!target_mac_) return;
        Echo echo;
        echo.source_mac = options_.own_mac;
        echo.destination_mac = *target_mac_;
        echo.source = options_.own;
        echo.destination = options_.target;
        echo.request = true;
        echo.identifier = identifier_;
        echo.sequence = static_cast<std::uint16_t>(++sent_);
        echo.data = data_;
        const std::size_t size = write_echo(frame_, echo);
        last_sent_ = Clock::now();
        // One that finds no room, or no peer, counts as sent: as lost, that is.
        sent_at_[echo.sequence] = last_sent_;
        if (port_.send(0, View(frame_).first(size))) port_.flush();
        constexpr std::chrono::milliseconds flood_interval{10};
        next_send_ = last_sent_ + (floods() ? flood_interval : options_.interval);
    }
    [[nodiscard]] bool floods() const { return options_.interval.count() == 0; }

    void turn(std::chrono::nanoseconds patience) {
        running_ = loop_.wait(more_ ? std::chrono::nanoseconds{} : patience);
        more_ = port_.receive([&](std::uint16_t queue, View frame) { take(queue, frame); });
    }
    void take(std::uint16_t queue, View frame) {
        const auto now = Clock::now();
        if (const auto arp = parse_arp(frame)) {
            if (arp->sender == options_.target) target_mac_ = arp->sender_mac;
            if (arp->request && arp->target == options_.own) answer(queue, *arp);
        } else if (const auto echo = parse_echo(frame);
                   echo && !echo->request && echo->identifier == identifier_ &&
                   echo->source == options_.target && echo->destination == options_.own) {
            take_reply(*echo, now);
        }
    }
    void answer(std::uint16_t queue, const Arp& question) {
        std::vector<std::byte> reply(arp_frame_bytes);
        write_arp(reply, question.sender_mac,
                  {false, options_.own_mac, options_.own, question.sender_mac, question.sender});
        if (port_.send(queue, reply)) port_.flush();
    }
    void take_reply(const Echo& echo, Clock::time_point now) {
        const auto behind =
            static_cast<std::uint16_t>(static_cast<std::uint16_t>(sent_) - echo.sequence);
        if (behind >= sent_) return;  // an answer to what was never asked
        Clock::time_point& sent_at = sent_at_[echo.sequence];
        const bool duplicate = sent_at == Clock::time_point{};
        const bool intact =
            std::equal(echo.data.begin(), echo.data.end(), data_.begin(), data_.end());
        std::string line =
            fmt::format("{} bytes from {}: icmp_seq={} ttl={}", echo.data.size() + sizeof(icmphdr),
                        format_ipv4(echo.source), echo.sequence, echo.ttl);
        if (duplicate) {
            ++duplicates_;
            line += " (DUP!)";
        } else {
            const Milliseconds time = now - sent_at;
            trips_.add(time);
            sent_at = {};
            line += fmt::format(" time={:.3f} ms", time.count());
        }
        if (!intact) {
            ++corrupted_;
            line += " (other data than sent!)";
        }
        if (!options_.quiet) {
            fmt::print("{}\n", line);
            std::fflush(stdout);
        }
        if (floods()) next_send_ = {};
    }

    void print_summary() const {
        const Milliseconds time = Clock::now() - started_;
        const std::uint64_t lost = sent_ - std::min(sent_, trips_.count());
        fmt::print("\n--- {} ping statistics ---\n", format_ipv4(options_.target));
        fmt::print("{} packets transmitted, {} received", sent_, trips_.count());
        if (duplicates_ > 0) fmt::print(", +{} duplicates", duplicates_);
        if (corrupted_ > 0) fmt::print(", +{} corrupted", corrupted_);
        if (sent_ > 0)
            fmt::print(", {:.4g}% packet loss",
                       100.0 * static_cast<double>(lost) / static_cast<double>(sent_));
        fmt::print(", time {:.0f}ms\n", time.count());
        if (trips_.count() > 0) fmt::print("{}\n", trips_.summary());
    }

    const PingOptions& options_;
    Port port_;
    PortLoop loop_;
    std::uint16_t identifier_;
    std::vector<std::byte> data_;
    std::vector<std::byte> frame_;
    std::vector<Clock::time_point> sent_at_;  ///< by sequence; the epoch where answered
    std::optional<MacAddress> target_mac_;
    std::uint64_t asked_on_ = 0;
    bool running_ = true;
    bool more_ = false;
    Clock::time_point started_{};
    Clock::time_point last_sent_{};
    Clock::time_point next_send_{};
    std::uint64_t sent_ = 0;
    std::uint64_t duplicates_ = 0;
    std::uint64_t corrupted_ = 0;
    RoundTrips trips_;
};

}  // namespace

int run_ping(const PingOptions& options) { return Ping(options).run(); }

}  // namespace ipclab
