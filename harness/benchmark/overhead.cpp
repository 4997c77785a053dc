#include "harness/benchmark/overhead.hpp"

#include "harness/benchmark/attempt.hpp"
#include "harness/session.hpp"
#include "harness/statistics.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <fmt/format.h>

#include <array>
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
void say(RingByHand<Endpoint>& talk, std::uint64_t sequence) {
    payload::fill(talk.ring.loan(talk.bytes), sequence);
    talk.ring.publish(talk.bytes);
}

template <class Endpoint>
void hear(RingByHand<Endpoint>& talk, std::uint64_t sequence) {
    const View message = talk.ring.take();
    if (message.size() != talk.bytes || !payload::check(message, sequence)) ++talk.mismatches;
    talk.ring.release();
}

template <class Endpoint>
void converse_by_hand(RingByHand<Endpoint>& talk, Pattern pattern, Side side, std::uint64_t first,
                      std::uint64_t end) {
    if (pattern == Pattern::ping_pong && side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) {
            say(talk, i);
            hear(talk, i);
        }
    else if (pattern == Pattern::ping_pong)
        for (std::uint64_t i = first; i < end; ++i) {
            hear(talk, i);
            say(talk, i);
        }
    else if (side == Side::initiator)
        for (std::uint64_t i = first; i < end; ++i) say(talk, i);
    else
        for (std::uint64_t i = first; i < end; ++i) hear(talk, i);
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
    explicit OverheadSubject(const Comparison& what)
        : what_(what), mechanism_(M::create({.message_bytes_max = what.size_bytes})) {}

    void stand_aside() override { ipclab::stand_aside(mechanism_); }

    void converse(Player& player) override {
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

  private:
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
    M mechanism_;
};

/// Legs are short against the seconds in which a machine changes its speed, and long against the
/// tens of microseconds that it takes to start one.
constexpr std::chrono::milliseconds leg_duration{6};
constexpr int process_pairs = 4;
constexpr int quads_per_pair = 12;
constexpr double bound_share = 0.03;

/// Ratios between two variants: of each quad ABBA the time of A over that of B, so that what
/// changes steadily meanwhile cancels out.
using Ratios = std::vector<double>;

struct Figures {
    Ratios harness_to_hand;
    Ratios harness_to_itself;
    Ratios framed_to_unframed;
    std::vector<double> harness_ns;  ///< per exchange
    std::vector<double> hand_ns;
};

class Comparer {
  public:
    Comparer(Session& session, Pattern pattern) : session_(session) {
        const LegResult warm = session.warm_up(leg_duration);
        const double exchange_ns = ns_per_exchange(warm);
        messages_ = 1 + static_cast<std::uint64_t>(std::chrono::nanoseconds(leg_duration).count() /
                                                   exchange_ns);
        if (pattern == Pattern::ping_pong) stride_ = stride_for(exchange_ns);
    }

    /// `turned`: BAAB. Each leg's time is added to the list that belongs to its variant.
    double quad(int a, int b, bool turned, std::vector<double>& a_ns, std::vector<double>& b_ns) {
        std::array<double, 2> sum_ns{};
        for (const int place : {0, 1, 1, 0}) {
            const bool is_a = (place == 0) != turned;
            const double ns =
                ns_per_exchange(session_.run_leg(messages_, stride_, Touch::all, is_a ? a : b));
            (is_a ? a_ns : b_ns).push_back(ns);
            sum_ns[is_a ? 0 : 1] += ns;
        }
        return sum_ns[0] / sum_ns[1];
    }

  private:
    static double ns_per_exchange(const LegResult& result) {
        return static_cast<double>(result.elapsed_ns) / static_cast<double>(result.leg.messages);
    }

    Session& session_;
    std::uint64_t messages_ = 1;
    std::uint64_t stride_ = 1;
};

template <class M>
Figures compare(const Comparison& what) {
    Figures figures;
    std::vector<double> not_shown;
    SessionMemory memory;
    for (int pair = 0; pair < process_pairs; ++pair) {
        OverheadSubject<M> subject(what);
        Session session(subject, cpus_for(what.placement), memory);
        Comparer comparer(session, what.pattern);
        for (int quad = 0; quad < quads_per_pair; ++quad) {
            const bool turned = quad % 2 == 1;
            figures.harness_to_hand.push_back(
                comparer.quad(the_harness, by_hand, turned, figures.harness_ns, figures.hand_ns));
            figures.harness_to_itself.push_back(
                comparer.quad(the_harness, the_harness_again, turned, not_shown, not_shown));
            if constexpr (std::same_as<M, Pipe>)
                figures.framed_to_unframed.push_back(
                    comparer.quad(by_hand, unframed, turned, not_shown, not_shown));
        }
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
    state.counters["by_hand_ns"] = median(figures.hand_ns);
    if (!figures.framed_to_unframed.empty())
        state.counters["framing_cost"] = median(figures.framed_to_unframed) - 1;
    state.SetLabel(within ? "within the bound" : "outside the bound");
}

template <class M>
void register_comparison(const char* mechanism, const Comparison& what) {
    const std::string name = fmt::format("overhead/{}/{}/{}/{}", mechanism, name_of(what.pattern),
                                         what.size_bytes, name_of(what.placement));
    benchmark::RegisterBenchmark(
        name.c_str(),
        [what](benchmark::State& state) {
            if (what.placement == Placement::two_cpus && usable_cpus() < 2)
                return state.SkipWithError("this process may use one CPU only");
            attempt(state, [&] {
                while (state.KeepRunningBatch(state.max_iterations)) {
                    const Figures figures = compare<M>(what);
                    state.SetIterationTime(median(figures.harness_ns) * 1e-9);
                    report(state, figures);
                }
            });
        })
        ->Iterations(1)
        ->UseManualTime();
}

}  // namespace

void register_overhead() {
    constexpr std::pair<Pattern, std::size_t> exchanges[] = {
        {Pattern::ping_pong, 64}, {Pattern::stream, 4096}, {Pattern::stream, 65536}};
    for (const Placement placement : placements)
        for (const auto& [pattern, size_bytes] : exchanges) {
            register_comparison<Pipe>("pipe", {pattern, size_bytes, placement});
            if (placement == Placement::two_cpus)
                register_comparison<SpscRing<Spin>>("spsc-ring", {pattern, size_bytes, placement});
            else
                register_comparison<SpscRing<SpinYield>>("spsc-ring",
                                                         {pattern, size_bytes, placement});
        }
}

}  // namespace ipclab
