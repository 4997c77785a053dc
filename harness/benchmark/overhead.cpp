#include "harness/benchmark/overhead.hpp"

#include "harness/benchmark/attempt.hpp"
#include "harness/benchmark/by_hand.hpp"
#include "harness/session.hpp"
#include "harness/statistics.hpp"
#include "mechanisms/message_queues/posix_mq.hpp"
#include "mechanisms/message_queues/sysv_mq.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/sockets/tcp.hpp"
#include "mechanisms/sockets/unix_stream.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <fmt/format.h>

#include <alloca.h>
#include <array>
#include <cmath>
#include <concepts>
#include <numbers>

namespace ipclab {
namespace {

/// The loops that the same two processes run in turn, over the same descriptors or shared memory.
enum Variant : int { the_harness, spelled_out, the_harness_again, unframed };

// ---------------------------------------------------------------------------------------------

struct Comparison {
    Pattern pattern;
    std::size_t size_bytes;
    Placement placement;
};

/// One mechanism, and all variants of the loop over it.
template <class M>
class OverheadSubject : public Subject {
  public:
    /// `layout`: any number; another one lays out the stack in another way.
    OverheadSubject(const Comparison& what, int layout)
        : what_(what),
          layout_(layout),
          mechanism_(M::create({.message_bytes_max = what.size_bytes})) {}

    void stand_aside() override { ipclab::stand_aside(mechanism_); }

    /// Where the stack lies against a page decides which stores and loads take each other for the
    /// same address, and makes one loop up to 4 % faster than the other for as long as the program
    /// runs (Mytkowicz et al., "Producing Wrong Data Without Doing Anything Obviously Wrong!",
    /// 2009). So each pair has it somewhere else.
    void converse(Player& player) override {
        constexpr std::size_t page = 4096;
        constexpr std::size_t step = 208;  // twenty of them are a page, nearly
        const auto turn = static_cast<std::size_t>(layout_);
        const std::size_t shift = player.side() == Side::initiator ? 0 : page / 2;
        void* const unused = ::alloca((turn * step + shift) % page);
        asm volatile("" : : "r"(unused) : "memory");
        converse_here(player);
    }

  private:
    [[gnu::noinline]] void converse_here(Player& player) {
        auto endpoint = mechanism_.attach({.side = player.side()});
        player.answer();  // attached
        player.serve([&](const Order& order) {
            if (order.variant == the_harness || order.variant == the_harness_again)
                return play(player, endpoint, order.leg);
            auto talk = talk_by_hand(player, endpoint, order.variant);
            const std::uint64_t end = order.leg.first + order.leg.messages;
            player.measure([&] {
                by_hand::converse_by_hand(talk, what_.pattern, player.side(), order.leg.first, end);
            });
            player.report().samples = 0;
            player.report().mismatches = talk.mismatches;
        });
    }

    template <class Endpoint>
    auto talk_by_hand(Player& player, Endpoint& endpoint, int variant) {
        const auto [out, in] = player.scratch(what_.size_bytes);
        const std::vector<std::byte> piece(
            endpoint.message_bytes_max() < what_.size_bytes ? endpoint.message_bytes_max() : 0);
        if constexpr (requires { endpoint.stream(); })
            return by_hand::StreamByHand{endpoint.stream().input(), endpoint.stream().output(), out,
                                         in, variant != unframed};
        else if constexpr (std::same_as<M, PosixMq>)
            return by_hand::PosixMqByHand{
                endpoint.input(), endpoint.output(), out, in, endpoint.message_bytes_max(), piece};
        else if constexpr (std::same_as<M, SysvMq>)
            return by_hand::SysvMqByHand{endpoint.id(),
                                         endpoint.to_peer(),
                                         endpoint.to_me(),
                                         out,
                                         in,
                                         endpoint.message_bytes_max(),
                                         piece};
        else
            return by_hand::RingByHand<Endpoint>{endpoint, what_.size_bytes};
    }

    /// The harness's own loop, over rounds where it would take those.
    template <class Endpoint>
    void play(Player& player, Endpoint& endpoint, const Leg& leg) {
        if (what_.size_bytes <= endpoint.message_bytes_max())
            return player.play(endpoint, what_.pattern, what_.size_bytes, leg);
        Rounds rounds(endpoint);
        player.play(rounds, what_.pattern, what_.size_bytes, leg);
    }

    Comparison what_;
    int layout_;
    M mechanism_;
};

/// Long against the tens of microseconds that it takes to start a leg, and short enough that most
/// legs pass between two interruptions, even on a machine that has other things to do.
constexpr std::chrono::milliseconds leg_duration{2};
constexpr int process_pairs = 20;
constexpr int quads_per_pair = 8;
constexpr double bound_share = 0.03;

/// What variant A costs over what variant B costs, from quads ABBA, so that what changes steadily
/// meanwhile cancels out. For each process pair the median over its quads.
using Ratios = std::vector<double>;

struct Figures {
    Ratios harness_to_hand;
    Ratios harness_to_itself;
    Ratios framed_to_unframed;
    std::vector<double> harness_ns;  ///< per exchange, of each pair
    std::vector<double> by_hand_ns;
    CpuDistance distance = CpuDistance::same_cpu;
};

/// Compares variants in one pair.
class Comparer {
  public:
    Comparer(Session& session, Pattern pattern) : session_(session), pattern_(pattern) {
        typical_ns_ = ns_per_exchange(session.warm_up(leg_duration));
    }

    struct Result {
        double ratio;  ///< of a to b
        double a_ns;   ///< per exchange
        double b_ns;
    };
    Result compare(Variant a, Variant b) {
        std::vector<double> ratios;
        std::array<std::vector<double>, 2> all_ns;
        for (int quad = 0; quad < quads_per_pair; ++quad) {
            const std::uint64_t messages = messages_of(quad);
            std::array<double, 2> sum_ns{};
            for (const std::size_t place : {0, 1, 1, 0}) {
                const std::size_t which = quad % 2 == 0 ? place : 1 - place;  // ABBA, BAAB
                const double ns = run(which == 0 ? a : b, messages);
                sum_ns[which] += ns;
                all_ns[which].push_back(ns);
            }
            ratios.push_back(sum_ns[0] / sum_ns[1]);
        }
        return {median(ratios), median(all_ns[0]), median(all_ns[1])};
    }

  private:
    static double ns_per_exchange(const LegResult& result) {
        return static_cast<double>(result.elapsed_ns) / static_cast<double>(result.leg.messages);
    }
    double run(Variant variant, std::uint64_t messages) {
        const std::uint64_t stride = pattern_ == Pattern::ping_pong ? stride_for(typical_ns_) : 1;
        return ns_per_exchange(session_.run_leg(messages, stride, Touch::all, variant));
    }
    /// From one to one and a half times as long, never the same twice: legs of one length would
    /// lead each variant to its own places in a ring, some of which are further from a CPU.
    [[nodiscard]] std::uint64_t messages_of(int quad) const {
        const double spread = std::fmod(quad * std::numbers::phi, 1.0) / 2;
        const auto duration_ns =
            static_cast<double>(std::chrono::nanoseconds(leg_duration).count());
        return 1 + static_cast<std::uint64_t>(duration_ns * (1 + spread) / typical_ns_);
    }

    Session& session_;
    Pattern pattern_;
    double typical_ns_;
};

template <class M>
Figures compare(const Comparison& what) {
    Figures figures;
    SessionMemory memory;
    for (int pair = 0; pair < process_pairs; ++pair) {
        OverheadSubject<M> subject(what, pair);
        Session session(subject, cpus_for(what.placement), memory);
        Comparer comparer(session, what.pattern);
        const auto harness_to_hand = comparer.compare(the_harness, spelled_out);
        figures.harness_to_hand.push_back(harness_to_hand.ratio);
        figures.harness_ns.push_back(harness_to_hand.a_ns);
        figures.by_hand_ns.push_back(harness_to_hand.b_ns);
        figures.harness_to_itself.push_back(comparer.compare(the_harness, the_harness_again).ratio);
        if constexpr (std::same_as<M, Pipe>)
            figures.framed_to_unframed.push_back(comparer.compare(spelled_out, unframed).ratio);
        figures.distance = session.probe().distance;
        session.quit();
    }
    return figures;
}

void report(benchmark::State& state, const Figures& figures) {
    const double ratio = median(figures.harness_to_hand);
    const Interval interval = bootstrap_median_interval(figures.harness_to_hand).value();
    const double cannot_see = aa_half_width(figures.harness_to_itself).value();
    const double bound = 1 + bound_share + cannot_see;
    const bool within = ratio <= bound;
    state.counters["ratio"] = ratio;
    state.counters["ratio_low"] = interval.low;
    state.counters["ratio_high"] = interval.high;
    state.counters["aa_ratio"] = median(figures.harness_to_itself);
    state.counters["aa_half_width"] = cannot_see;
    state.counters["bound"] = bound;
    state.counters["within_bound"] = within ? 1 : 0;
    state.counters["by_hand_ns"] = median(figures.by_hand_ns);
    if (!figures.framed_to_unframed.empty())
        state.counters["framing_cost"] = median(figures.framed_to_unframed) - 1;
    state.SetLabel(
        fmt::format("{} the bound; {}", within ? "within" : "outside", name_of(figures.distance)));
}

template <class M>
void measure(benchmark::State& state, const Comparison& what) {
    if (what.placement == Placement::two_cpus && usable_cpus() < 2)
        return state.SkipWithError("this process may use one CPU only");
    attempt(state, [&] {
        while (state.KeepRunningBatch(state.max_iterations)) {
            const Figures figures = compare<M>(what);
            state.SetIterationTime(median(figures.harness_ns) * 1e-9);
            report(state, figures);
        }
    });
}

}  // namespace

std::vector<OverheadBenchmark> overhead_benchmarks() {
    std::vector<OverheadBenchmark> all;
    const auto add = [&](std::string_view mechanism, const Comparison& what, auto measure_it) {
        all.push_back({fmt::format("overhead/{}/{}/{}/{}", mechanism, name_of(what.pattern),
                                   what.size_bytes, name_of(what.placement)),
                       [=](benchmark::State& state) { measure_it(state, what); }});
    };
    for (const Placement placement : placements)
        for (const Comparison& what : {Comparison{Pattern::ping_pong, 64, placement},
                                       Comparison{Pattern::stream, 4096, placement},
                                       Comparison{Pattern::stream, 65536, placement}}) {
            add("pipe", what, measure<Pipe>);
            add("spsc-ring", what,
                placement == Placement::two_cpus ? measure<SpscRing<Spin>>
                                                 : measure<SpscRing<SpinYield>>);
        }
    for (const Placement placement : placements)
        for (const Comparison& what : {Comparison{Pattern::ping_pong, 64, placement},
                                       Comparison{Pattern::stream, 65536, placement}}) {
            add("unix-stream", what, measure<UnixStream>);
            add("tcp", what, measure<Tcp>);
            add("posix-mq", what, measure<PosixMq>);
            add("sysv-mq", what, measure<SysvMq>);
        }
    return all;
}

}  // namespace ipclab
