// Two processes that converse, seen from inside one of them: the memory that they share with the
// process that commands them, and how an order is carried out.
//
// The commander writes an order and wakes both; they meet, carry it out, write what they found, and
// say that they are done. Nobody sleeps for a guessed time, and nobody is signalled.
#pragma once

#include "harness/cell.hpp"
#include "harness/message_buffer.hpp"
#include "harness/multi_queue/cell.hpp"
#include "harness/pattern.hpp"
#include "harness/stamped.hpp"
#include "mechanisms/os/cpu_distance.hpp"
#include "mechanisms/rounds.hpp"

#include <array>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <vector>

namespace ipclab {

/// What a process used up in a leg, read at its edges (getrusage(2), /proc/self/schedstat).
struct SideUsage {
    std::int64_t cpu_ns = 0;
    std::int64_t run_queue_ns = 0;  ///< ready to run, but another task had the CPU
    std::int64_t voluntary_switches = 0;
    std::int64_t involuntary_switches = 0;
    std::int64_t minor_faults = 0;
    std::int64_t major_faults = 0;
};

/// How a CPU kept its time while it had nothing to do but look at the clock.
struct Hiccups {
    std::int64_t longest_ns = 0;
    double share = 0;  ///< of the time looked at, lost in gaps of over a microsecond
};

/// What an endpoint counted in a leg, by a name that outlives the process.
struct CounterReport {
    std::array<char, 24> name{};  ///< empty: no counter
    std::uint64_t value = 0;
};

enum class OrderKind { probe, leg, quit };

struct Order {
    OrderKind kind = OrderKind::quit;
    Leg leg{};
    int variant = 0;  ///< which of several loops: 0 is the pattern's own, or stamped_leg
};

struct SideReport {
    SideUsage usage;
    Hiccups hiccups;
    double round_trip_ns = 0;  ///< of the reference; the initiator's to tell
    std::int64_t started_ns = 0;
    std::int64_t ended_ns = 0;
    std::uint64_t samples = 0;
    std::uint64_t mismatches = 0;
    std::uint64_t fragments = 1;  ///< that a message travels in
    std::uint64_t capacity_bytes = 0;
    std::uint64_t publish_every = 1;  ///< messages of the row's size
    Stores stores = Stores::plain;    ///< how the latest message was stored
    std::array<CounterReport, 12> counters{};
    std::int64_t attach_ns = 0;  ///< includes waiting for the peer where attaching has an order
    std::int64_t attach_minor_faults = 0;
    std::int64_t detach_ns = 0;  ///< known when the process has ended
    /// Of what has several to tell, as its loop numbers them; below 0: not this side's to tell.
    std::array<double, 16> figures_ns{};
    /// Of a stream over several queues: how many crossed each.
    std::array<std::uint64_t, queues_limit> queue_messages{};
    std::array<char, 400> error{};  ///< one line; empty while all is well
    bool refused = false;           ///< the error is a Refused, of before the process could answer
};

/// Lives in memory that the commander shares with both processes.
struct PairControl {
    std::atomic<std::uint32_t> order_number{0};
    std::atomic<std::uint32_t> answers{0};
    Order order;
    SideReport reports[2];
    alignas(64) std::atomic<std::uint32_t> meetings{0};
    CpuDistanceProbe distance;
};

/// Where a side of a stamped leg keeps what it sees of each hand-over: half of the room for
/// samples.
inline std::span<HandOverStamps> hand_overs_of(Side side, std::uint64_t messages,
                                               std::span<std::int64_t> samples_ns) {
    static_assert(sizeof(HandOverStamps) == 2 * sizeof(std::int64_t));
    const std::size_t half = samples_ns.size() / 2;
    if (2 * messages > half) throw std::length_error("more stamps than there is room for");
    auto* start = samples_ns.data() + (side == Side::initiator ? 0 : half);
    return {reinterpret_cast<HandOverStamps*>(start), messages};
}

/// One of the two processes.
class Player {
  public:
    Player(PairControl& control, std::span<std::int64_t> samples_ns, Side side, bool same_cpu)
        : control_(control),
          report_(control.reports[static_cast<int>(side)]),
          samples_ns_(samples_ns),
          side_(side),
          same_cpu_(same_cpu) {}

    [[nodiscard]] Side side() const { return side_; }
    [[nodiscard]] bool same_cpu() const { return same_cpu_; }
    [[nodiscard]] SideReport& report() { return report_; }

    /// Carries out orders until it is told to quit; `carry_out(const Order&)` is called for every
    /// leg.
    void serve(auto&& carry_out) {
        for (Order order = next(); order.kind != OrderKind::quit; order = next()) {
            if (order.kind == OrderKind::probe) probe();
            if (order.kind == OrderKind::leg) carry_out(order);
            answer();
        }
    }
    void answer();
    /// Whether it has answered yet: until it has, it is about to attach.
    [[nodiscard]] bool has_answered() const { return answered_; }

    /// Around the life of an endpoint, each once, in this order. Both sides meet before they
    /// attach, so that who has to wait for the other's attaching waits for nothing else.
    void before_attach();
    void after_attach();
    void before_detach();
    void after_detach();

    /// Meets the other side, runs `loop`, and reports when and at what cost.
    void measure(auto&& loop) {
        const std::int64_t run_queue_ns = run_queue_so_far_ns();
        meet();
        const SideUsage before = usage_so_far();
        report_.started_ns = now_ns();
        loop();
        report_.ended_ns = now_ns();
        report_usage(before, run_queue_ns);
    }

    /// Private memory for a message out and a message in; the same from leg to leg.
    struct Scratch {
        Bytes out;
        Bytes in;
    };
    Scratch scratch(std::size_t size_bytes) {
        out_.resize(size_bytes);
        in_.resize(size_bytes);
        return {out_.bytes(), in_.bytes()};
    }

    /// A leg of a pattern over any endpoint. The messages of a life cycle go one way.
    template <class E>
    void play(E& endpoint, Pattern pattern, std::size_t size_bytes, const Leg& leg) {
        if (pattern == Pattern::ping_pong && leg.exchanges() / leg.stride >= samples_ns_.size())
            throw std::length_error("more samples than there is room for");
        const auto [out, in] = scratch(size_bytes);
        Talker<E> talker{endpoint, out, in, leg.touch};
        const auto counted_before = counters_of(endpoint);
        measure([&] {
            const bool first = side_ == Side::initiator;
            if (pattern == Pattern::ping_pong && first)
                report_.samples = ping_pong_initiator(talker, leg, samples_ns_);
            else if (pattern == Pattern::ping_pong)
                ping_pong_responder(talker, leg);
            else if (first)
                stream_initiator(talker, leg);
            else
                stream_responder(talker, leg);
        });
        report_.mismatches = talker.mismatches;
        report_.publish_every = publish_every(endpoint, size_bytes);
        report_.stores = stores_of(endpoint);
        report_counters(counted_before, counters_of(endpoint));
    }

    /// A ping-pong whose phases are told: means per message, in the order of enum Phase.
    template <class E>
    void play_stamped(E& endpoint, std::size_t size_bytes, const Leg& leg) {
        const auto [out, in] = scratch(size_bytes);
        Talker<E> talker{endpoint, out, in, leg.touch};
        const auto hand_overs = hand_overs_of(side_, leg.messages, samples_ns_);
        Stamps stamps;
        measure([&] { stamps = stamped_ping_pong(talker, side_, leg, hand_overs); });
        stamps.report(report_.figures_ns, leg.messages);
        report_.mismatches = talker.mismatches;
    }

  private:
    Order next();
    void meet();
    void probe();
    static std::int64_t run_queue_so_far_ns();
    static SideUsage usage_so_far();
    void report_usage(const SideUsage& before, std::int64_t run_queue_ns);
    /// What was counted in between. More counters than there is room for are a mistake of the
    /// mechanism's author, who is told.
    void report_counters(std::span<const Counter> before, std::span<const Counter> after);

    PairControl& control_;
    SideReport& report_;
    std::span<std::int64_t> samples_ns_;
    Side side_;
    bool same_cpu_;
    std::uint32_t order_seen_ = 0;
    std::uint32_t meetings_ = 0;
    std::int64_t step_began_ns_ = 0;
    std::int64_t faults_before_attach_ = 0;
    bool answered_ = false;
    MessageBuffer out_;
    MessageBuffer in_;
};

}  // namespace ipclab
