#include "harness/benchmark/overhead.hpp"

#include "harness/benchmark/attempt.hpp"
#include "harness/session.hpp"
#include "harness/statistics.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <fmt/format.h>

#include <alloca.h>
#include <array>
#include <cmath>
#include <numbers>
#include <sys/uio.h>
#include <unistd.h>

namespace ipclab {
namespace {

/// The loops that the same two processes run in turn, over the same descriptors or shared memory.
enum Variant : int { the_harness, by_hand, the_harness_again, unframed };

// ---------------------------------------------------------------------------------------------
// By hand: what somebody would write who has only a pipe to measure, or only this ring. The
// payload's kernels and the buffers are the harness's own; all else is spelled out.

struct PipeByHand {
    int input;
    int output;
    Bytes out;
    Bytes in;
    bool framed;
    std::uint64_t mismatches = 0;
};

/// Drops the first `n` bytes of what two parts describe.
void drop(iovec (&parts)[2], std::size_t n) {
    const std::size_t first = std::min(n, parts[0].iov_len);
    parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + first;
    parts[0].iov_len -= first;
    parts[1].iov_base = static_cast<char*>(parts[1].iov_base) + (n - first);
    parts[1].iov_len -= n - first;
}

void write_framed(int fd, void* message, std::size_t bytes) {
    std::uint64_t length = bytes;
    iovec parts[2] = {{&length, sizeof length}, {message, bytes}};
    for (std::size_t left = sizeof length + bytes; left > 0;) {
        const ssize_t n = ::writev(fd, parts, 2);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("writev", errno);
        left -= static_cast<std::size_t>(n);
        if (left > 0) drop(parts, static_cast<std::size_t>(n));
    }
}

/// The buffer is as large as the messages, so what comes after stays in the pipe.
std::size_t read_framed(int fd, void* message, std::size_t bytes) {
    std::uint64_t length = 0;
    iovec parts[2] = {{&length, sizeof length}, {message, bytes}};
    for (std::size_t got = 0; got < sizeof length || got < sizeof length + length;) {
        const ssize_t n = ::readv(fd, parts, 2);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("readv", errno);
        if (n == 0) throw Closed("readv");
        got += static_cast<std::size_t>(n);
        drop(parts, static_cast<std::size_t>(n));
    }
    return length;
}

void write_unframed(int fd, const std::byte* message, std::size_t bytes) {
    while (bytes > 0) {
        const ssize_t n = ::write(fd, message, bytes);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("write", errno);
        message += n;
        bytes -= static_cast<std::size_t>(n);
    }
}

std::size_t read_unframed(int fd, std::byte* message, std::size_t bytes) {
    for (std::size_t left = bytes; left > 0;) {
        const ssize_t n = ::read(fd, message, left);
        if (n == -1 && errno == EINTR) continue;
        if (n == -1) throw SystemError("read", errno);
        if (n == 0) throw Closed("read");
        message += n;
        left -= static_cast<std::size_t>(n);
    }
    return bytes;
}

void say(PipeByHand& pipe, std::uint64_t sequence) {
    payload::fill(pipe.out, sequence);
    if (pipe.framed)
        write_framed(pipe.output, pipe.out.data(), pipe.out.size());
    else
        write_unframed(pipe.output, pipe.out.data(), pipe.out.size());
}

void hear(PipeByHand& pipe, std::uint64_t sequence) {
    const std::size_t length = pipe.framed
                                   ? read_framed(pipe.input, pipe.in.data(), pipe.in.size())
                                   : read_unframed(pipe.input, pipe.in.data(), pipe.in.size());
    if (length != pipe.in.size() || !payload::check(pipe.in, sequence)) ++pipe.mismatches;
}

void converse_by_hand(PipeByHand& pipe, Pattern pattern, Side side, std::uint64_t first,
                      std::uint64_t end) {
    if (pattern == Pattern::ping_pong && side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) {
            say(pipe, i);
            hear(pipe, i);
        }
    else if (pattern == Pattern::ping_pong)
        for (std::uint64_t i = first; i < end; ++i) {
            hear(pipe, i);
            say(pipe, i);
        }
    else if (side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) say(pipe, i);
    else
        for (std::uint64_t i = first; i < end; ++i) hear(pipe, i);
}

template <class Endpoint>
struct RingByHand {
    Endpoint& ring;
    std::size_t bytes;
    std::uint64_t mismatches = 0;
};

template <class Endpoint>
void converse_by_hand(RingByHand<Endpoint>& talk, Pattern pattern, Side side, std::uint64_t first,
                      std::uint64_t end) {
    Endpoint& ring = talk.ring;
    const std::size_t bytes = talk.bytes;
    std::uint64_t mismatches = 0;
    if (pattern == Pattern::ping_pong && side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) {
            payload::fill(ring.loan(bytes), i);
            ring.publish(bytes);
            const View message = ring.take();
            if (message.size() != bytes || !payload::check(message, i)) ++mismatches;
            ring.release();
        }
    else if (pattern == Pattern::ping_pong)
        for (std::uint64_t i = first; i < end; ++i) {
            const View message = ring.take();
            if (message.size() != bytes || !payload::check(message, i)) ++mismatches;
            ring.release();
            payload::fill(ring.loan(bytes), i);
            ring.publish(bytes);
        }
    else if (side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) {
            payload::fill(ring.loan(bytes), i);
            ring.publish(bytes);
        }
    else
        for (std::uint64_t i = first; i < end; ++i) {
            const View message = ring.take();
            if (message.size() != bytes || !payload::check(message, i)) ++mismatches;
            ring.release();
        }
    talk.mismatches = mismatches;
}

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
                return player.play(endpoint, what_.pattern, what_.size_bytes, order.leg);
            auto talk = talk_by_hand(player, endpoint, order.variant);
            const std::uint64_t end = order.leg.first + order.leg.messages;
            player.measure([&] {
                converse_by_hand(talk, what_.pattern, player.side(), order.leg.first, end);
            });
            player.report().samples = 0;
            player.report().mismatches = talk.mismatches;
        });
    }

    auto talk_by_hand(Player& player, Pipe::Endpoint& pipe, int variant) {
        const auto [out, in] = player.scratch(what_.size_bytes);
        return PipeByHand{pipe.stream().input(), pipe.stream().output(), out, in,
                          variant != unframed};
    }
    template <class Endpoint>
    auto talk_by_hand(Player&, Endpoint& ring, int) {
        return RingByHand<Endpoint>{ring, what_.size_bytes};
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
        const auto harness_to_hand = comparer.compare(the_harness, by_hand);
        figures.harness_to_hand.push_back(harness_to_hand.ratio);
        figures.harness_ns.push_back(harness_to_hand.a_ns);
        figures.by_hand_ns.push_back(harness_to_hand.b_ns);
        figures.harness_to_itself.push_back(comparer.compare(the_harness, the_harness_again).ratio);
        if constexpr (std::same_as<M, Pipe>)
            figures.framed_to_unframed.push_back(comparer.compare(by_hand, unframed).ratio);
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
    return all;
}

}  // namespace ipclab
