#include "harness/benchmark/rings.hpp"

#include "harness/benchmark/attempt.hpp"
#include "harness/benchmark/plain_ring.hpp"
#include "harness/session.hpp"
#include "harness/statistics.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <string_view>

namespace ipclab {
namespace {

enum class Kind : int {
    one_line,   // two processes write one line in turn
    two_lines,  // each its own, with a pause after each look in vain
    copy,       // one core's memcpy
    fill,       // one core's filling of as much memory as a bulk ring has, which nobody reads
    plain_ring,
    spin,
    each,  // spin, each message handed over by itself
    futex,
    latency,
    bulk,
    plain_stores,
    non_temporal,
};

/// What others are compared with.
constexpr std::string_view name_of_reference(Kind kind) {
    switch (kind) {
    case Kind::one_line:
        return "a ping-pong on one line";
    case Kind::two_lines:
        return "a ping-pong on two lines";
    case Kind::copy:
        return "one core's memcpy";
    case Kind::fill:
        return "filling 8 MiB that nobody reads";
    case Kind::plain_ring:
        return "the well-known design";
    case Kind::plain_stores:
        return "plain stores";
    default:
        return "spsc-ring/spin";
    }
}

struct Row {
    Pattern pattern;
    std::size_t size_bytes;
    Kind kind;
    Kind reference;
    double bound;  // of a round trip the largest ratio, of a stream the smallest; 0: none is set
    const char* name;
};

constexpr std::size_t large_bytes_max = std::size_t{1} << 20;

// ---------------------------------------------------------------------------------------------
// The kernels: of a size that the compiler knows where a message is short, since there the
// harness's own, for all sizes, would be half of what is measured. The same for all rings.

template <std::size_t size_bytes>
void write_words(Bytes message, std::uint64_t sequence, Stores stores) {
    if constexpr (size_bytes > payload::small_bytes) {
        payload::fill(message, sequence, stores);
    } else {
        for (std::size_t i = 0; i < size_bytes / payload::word_bytes; ++i) {
            const std::uint64_t value = payload::word(sequence, i);
            std::memcpy(message.data() + i * payload::word_bytes, &value, sizeof value);
        }
    }
}

template <std::size_t size_bytes>
bool words_are(View message, std::uint64_t sequence) {
    if (message.size() != size_bytes) return false;
    if constexpr (size_bytes > payload::small_bytes) return payload::check(message, sequence);
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < size_bytes / payload::word_bytes; ++i) {
        std::uint64_t value = 0;
        std::memcpy(&value, message.data() + i * payload::word_bytes, sizeof value);
        wrong |= value ^ payload::word(sequence, i);
    }
    return wrong == 0;
}

template <std::size_t size_bytes, class Ring>
[[gnu::always_inline]] inline void say(Ring& ring, std::uint64_t sequence) {
    const Bytes room = ring.loan(size_bytes);
    write_words<size_bytes>(room, sequence, stores_of(ring));
    ring.publish(size_bytes);
}

template <std::size_t size_bytes, class Ring>
[[gnu::always_inline]] inline bool hear(Ring& ring, std::uint64_t sequence) {
    const bool good = words_are<size_bytes>(ring.take(), sequence);
    ring.release();
    return good;
}

// Each loop is a function by itself, as a user's is: in one that holds the loops of all rings, the
// compiler no longer inlines the rings' own functions. They return how many messages were wrong.

template <std::size_t size_bytes, class Ring>
[[gnu::noinline, gnu::aligned(64)]] std::uint64_t say_all(Ring& ring, Leg leg) {
    for (std::uint64_t i = leg.first; i < leg.first + leg.messages; ++i) say<size_bytes>(ring, i);
    flush(ring);
    return 0;
}

template <std::size_t size_bytes, class Ring>
[[gnu::noinline, gnu::aligned(64)]] std::uint64_t hear_all(Ring& ring, Leg leg) {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = leg.first; i < leg.first + leg.messages; ++i)
        wrong += hear<size_bytes>(ring, i) ? 0 : 1;
    return wrong;
}

template <std::size_t size_bytes, class Ring>
[[gnu::noinline, gnu::aligned(64)]] std::uint64_t ask_and_hear(Ring& ring, Leg leg) {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = leg.first; i < leg.first + leg.messages; ++i) {
        say<size_bytes>(ring, i);
        flush(ring);
        wrong += hear<size_bytes>(ring, i) ? 0 : 1;
    }
    return wrong;
}

template <std::size_t size_bytes, class Ring>
[[gnu::noinline, gnu::aligned(64)]] std::uint64_t hear_and_answer(Ring& ring, Leg leg) {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = leg.first; i < leg.first + leg.messages; ++i) {
        wrong += hear<size_bytes>(ring, i) ? 0 : 1;
        say<size_bytes>(ring, i);
        flush(ring);
    }
    return wrong;
}

template <std::size_t size_bytes, class Ring>
std::uint64_t converse(Ring& ring, Pattern pattern, Side side, const Leg& leg) {
    const bool first = side == Side::initiator;
    if (pattern == Pattern::stream)
        return first ? say_all<size_bytes>(ring, leg) : hear_all<size_bytes>(ring, leg);
    return first ? ask_and_hear<size_bytes>(ring, leg) : hear_and_answer<size_bytes>(ring, leg);
}

template <class Ring>
std::uint64_t converse(Ring& ring, const Row& row, Side side, const Leg& leg) {
    switch (row.size_bytes) {
    case 8:
        return converse<8>(ring, row.pattern, side, leg);
    case 48:
        return converse<48>(ring, row.pattern, side, leg);
    case 64:
        return converse<64>(ring, row.pattern, side, leg);
    case 4096:
        return converse<4096>(ring, row.pattern, side, leg);
    case 65536:
        return converse<65536>(ring, row.pattern, side, leg);
    default:
        return converse<large_bytes_max>(ring, row.pattern, side, leg);
    }
}

// ---------------------------------------------------------------------------------------------

/// Memory of the references that both processes see.
struct References {
    alignas(64) std::atomic<std::uint64_t> one_line{0};
    alignas(64) std::atomic<std::uint64_t> there{0};
    alignas(64) std::atomic<std::uint64_t> back{0};
    PlainRing rings[2];
};

void ping_pong_on_one_line(std::atomic<std::uint64_t>& line, Side side, const Leg& leg) {
    for (std::uint64_t i = leg.first; i < leg.first + leg.messages; ++i) {
        if (side == Side::initiator) line.store(2 * i + 1, std::memory_order::release);
        const std::uint64_t awaited = 2 * i + (side == Side::initiator ? 2 : 1);
        while (line.load(std::memory_order::acquire) != awaited) SystemAtomics::relax();
        if (side == Side::responder) line.store(2 * i + 2, std::memory_order::release);
    }
}

void ping_pong_on_two_lines(References& lines, Side side, const Leg& leg) {
    auto& mine = side == Side::initiator ? lines.there : lines.back;
    const auto& theirs = side == Side::initiator ? lines.back : lines.there;
    for (std::uint64_t i = leg.first + 1; i <= leg.first + leg.messages; ++i) {
        if (side == Side::initiator) mine.store(i, std::memory_order::release);
        while (theirs.load(std::memory_order::acquire) != i) SystemAtomics::relax();
        if (side == Side::responder) mine.store(i, std::memory_order::release);
    }
}

/// As in a ring, on lines of their own.
struct alignas(4096) Memory {
    std::array<std::byte, Bulk::capacity_bytes> bytes;
};

/// From lines to lines, at each distance that these may have within a page in turn, since how fast
/// a copy is depends on it: a load whose address has the lower twelve bits of an earlier store
/// waits. (The best distance is 5 to 10 % faster than their mean, on Zen 4.)
void copy_again_and_again(std::size_t bytes, std::uint64_t times) {
    static Memory memory;
    constexpr std::size_t middle = sizeof memory.bytes / 2;
    constexpr std::size_t page = 4096;
    static_assert(middle >= page + large_bytes_max);
    const std::byte* from = memory.bytes.data();
    for (std::uint64_t i = 0; i < times; ++i) {
        std::byte* to = memory.bytes.data() + middle + i * cache_line_bytes % page;
        std::memcpy(to, from, bytes);
        asm volatile("" : : "r"(to), "r"(from) : "memory");
    }
}

void fill_again_and_again(std::size_t bytes, std::uint64_t times) {
    static Memory memory;
    for (std::uint64_t i = 0; i < times; ++i)
        payload::fill({memory.bytes.data() + i * bytes % memory.bytes.size(), bytes}, i);
}

enum Variant : int { the_row, its_reference };

class RingSubject : public Subject {
  public:
    explicit RingSubject(const Row& row)
        : row_(row),
          shared_(must(::mmap(nullptr, sizeof(References), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
                       "mmap")),
          references_(*new (shared_) References) {}
    RingSubject(const RingSubject&) = delete;
    RingSubject& operator=(const RingSubject&) = delete;
    ~RingSubject() override { ::munmap(shared_, sizeof(References)); }

    void stand_aside() override {}

    void converse(Player& player) override {
        const Role role{.side = player.side()};
        auto spin = spin_.attach(role);
        auto other_spin = other_spin_.attach(role);
        auto futex = futex_.attach(role);
        auto latency = latency_.attach(role);
        auto bulk = bulk_.attach(role);
        const bool first = role.side == Side::initiator;
        PlainRingEnd plain(references_.rings[first ? 0 : 1], references_.rings[first ? 1 : 0]);
        player.answer();  // attached
        player.serve([&](const Order& order) {
            std::uint64_t wrong = 0;
            const auto over = [&](auto& ring) {
                wrong = ipclab::converse(ring, row_, role.side, order.leg);
            };
            player.measure([&] {
                switch (order.variant == the_row ? row_.kind : row_.reference) {
                case Kind::one_line:
                    return ping_pong_on_one_line(references_.one_line, role.side, order.leg);
                case Kind::two_lines:
                    return ping_pong_on_two_lines(references_, role.side, order.leg);
                case Kind::copy:
                    return first ? copy_again_and_again(row_.size_bytes, order.leg.messages)
                                 : void();
                case Kind::fill:
                    return first ? fill_again_and_again(row_.size_bytes, order.leg.messages)
                                 : void();
                case Kind::plain_ring:
                    return over(plain);
                case Kind::futex:
                    return over(futex);
                case Kind::latency:
                    return over(latency);
                case Kind::bulk:
                    return over(bulk);
                case Kind::each:
                case Kind::non_temporal:
                    return over(other_spin);
                case Kind::spin:
                case Kind::plain_stores:
                    return over(spin);
                }
            });
            player.report().samples = 0;
            player.report().mismatches = wrong;
            if (row_.kind == Kind::bulk)
                player.report().figures_ns[0] =
                    static_cast<double>(bulk.publish_every(row_.size_bytes));
            else if (row_.kind == Kind::each || row_.kind == Kind::latency)
                player.report().figures_ns[0] = 1;
            else
                player.report().figures_ns[0] =
                    static_cast<double>(spin.publish_every(row_.size_bytes));
        });
    }

  private:
    [[nodiscard]] Needs needs(bool other) const {
        Needs needs{.message_bytes_max = row_.size_bytes};
        if (other && row_.kind == Kind::each) needs.batch_messages = 1;
        if (row_.kind == Kind::non_temporal)
            needs.stores = other ? Stores::non_temporal : Stores::plain;
        return needs;
    }

    Row row_;
    void* shared_;
    References& references_;
    SpscRing<Spin> spin_ = SpscRing<Spin>::create(needs(false));
    SpscRing<Spin> other_spin_ = SpscRing<Spin>::create(needs(true));
    SpscRing<SpinThenFutex> futex_ = SpscRing<SpinThenFutex>::create(needs(false));
    SpscRing<Spin, Latency> latency_ = SpscRing<Spin, Latency>::create({});
    SpscRing<Spin, Bulk> bulk_ = SpscRing<Spin, Bulk>::create(needs(false));
};

// ---------------------------------------------------------------------------------------------

constexpr int process_pairs = 9;
constexpr int process_pairs_min = 6;  // for an interval
constexpr int process_pairs_max = 3 * process_pairs;
constexpr int quads_per_pair = 6;
constexpr int quads_per_pair_min = 3;  // of a pair whose CPUs are moved
/// A bulk ring is a quarter full before anything is read: some 30 us, which must not show.
constexpr double leg_ns = 10e6;

double ns_per_message(const LegResult& result) {
    return static_cast<double>(result.elapsed_ns) / static_cast<double>(result.leg.messages);
}

/// Goes once through the whole ring, so that it lies in the L3 as it does in the middle of a
/// stream. While the other of the two was measured, other guests of the host may have taken its
/// place there, and to fetch it from memory again takes a tenth of a leg.
void warm_up(Session& session, const Row& row, Variant variant) {
    if (row.pattern == Pattern::stream)
        session.run_leg(Bulk::capacity_bytes / (row.size_bytes + sizeof(ring_record::Length)), 1,
                        Touch::all, variant);
}

/// So many messages as take a leg's time.
std::uint64_t messages_of_a_leg(Session& session, const Row& row, Variant variant) {
    warm_up(session, row, variant);
    for (std::uint64_t messages = 1;; messages *= 2) {
        const LegResult result = session.run_leg(messages, 1, Touch::all, variant);
        const auto took_ns = static_cast<double>(result.elapsed_ns);
        if (took_ns > leg_ns / 2)
            return 1 + static_cast<std::uint64_t>(static_cast<double>(messages) * leg_ns / took_ns);
    }
}

struct Figures {
    std::vector<double> ratios;  // of each pair the median over its quads
    std::vector<double> row_ns;
    std::vector<double> reference_ns;
    double publish_every = 1;
};
/// A host may move the virtual CPUs at any time: what was measured at one distance says nothing of
/// another.
using FiguresByDistance = std::map<CpuDistance, Figures>;

void compare(const Row& row, SessionMemory& memory, FiguresByDistance& all) {
    RingSubject subject(row);
    Session session(subject, cpus_for(Placement::two_cpus), memory);
    const CpuDistance distance = session.probe().distance;
    Figures figures;
    const std::array messages{messages_of_a_leg(session, row, the_row),
                              messages_of_a_leg(session, row, its_reference)};
    std::vector<double> ratios;
    std::array<std::vector<double>, 2> all_ns;
    for (int quad = 0; quad < quads_per_pair; ++quad) {
        std::array<double, 2> sum_ns{};
        for (const std::size_t place : {0, 1, 1, 0}) {
            const std::size_t which = quad % 2 == 0 ? place : 1 - place;  // ABBA, BAAB
            const Variant variant = which == 0 ? the_row : its_reference;
            warm_up(session, row, variant);
            const LegResult leg = session.run_leg(messages[which], 1, Touch::all, variant);
            if (which == 0) figures.publish_every = leg.sides[0].figures_ns[0];
            sum_ns[which] += ns_per_message(leg);
        }
        if (session.probe().distance != distance) break;
        ratios.push_back(row.pattern == Pattern::ping_pong ? sum_ns[0] / sum_ns[1]
                                                           : sum_ns[1] / sum_ns[0]);
        for (const std::size_t which : {0, 1}) all_ns[which].push_back(sum_ns[which] / 2);
    }
    session.quit();
    if (ratios.size() < quads_per_pair_min) return;
    Figures& kept = all[distance];
    kept.ratios.push_back(median(ratios));
    kept.row_ns.push_back(median(all_ns[0]));
    kept.reference_ns.push_back(median(all_ns[1]));
    kept.publish_every = figures.publish_every;
}

CpuDistance wanted_by(const Row& row) {
    return row.kind == Kind::non_temporal ? CpuDistance::far : CpuDistance::shared_l3;
}

/// At the distance that the row is about, or else at any.
FiguresByDistance::const_iterator find_enough(const FiguresByDistance& figures, const Row& row) {
    const auto enough = [](const auto& of) { return of.second.ratios.size() >= process_pairs_min; };
    const auto wanted = figures.find(wanted_by(row));
    if (wanted != figures.end() && enough(*wanted)) return wanted;
    if (row.kind == Kind::non_temporal) return figures.end();
    return std::find_if(figures.begin(), figures.end(), enough);
}

void report(benchmark::State& state, const Row& row, CpuDistance distance, const Figures& figures) {
    const double ratio = median(figures.ratios);
    const Interval interval = bootstrap_median_interval(figures.ratios).value();
    state.counters["ratio"] = ratio;
    state.counters["ratio_low"] = interval.low;
    state.counters["ratio_high"] = interval.high;
    const std::string label =
        fmt::format("beside {}; {}, {} pairs", name_of_reference(row.reference), name_of(distance),
                    figures.ratios.size());
    if (row.bound == 0) {
        state.SetLabel(label);
    } else {
        const bool within =
            row.pattern == Pattern::ping_pong ? ratio <= row.bound : ratio >= row.bound;
        state.counters["bound"] = row.bound;
        state.counters["within_bound"] = within ? 1 : 0;
        state.SetLabel(fmt::format("{} the bound; {}", within ? "within" : "outside", label));
    }
    state.counters["reference_ns"] = median(figures.reference_ns);
    state.counters["publish_every"] = figures.publish_every;
}

void measure(benchmark::State& state, const Row& row) {
    if (usable_cpus() < 2) return state.SkipWithError("this process may use one CPU only");
    attempt(state, [&] {
        while (state.KeepRunningBatch(state.max_iterations)) {
            SessionMemory memory;
            FiguresByDistance figures;
            for (int pair = 0; pair < process_pairs_max; ++pair) {
                compare(row, memory, figures);
                if (figures[wanted_by(row)].ratios.size() == process_pairs) break;
            }
            const auto found = find_enough(figures, row);
            if (found == figures.end())
                return state.SkipWithError(row.kind == Kind::non_temporal
                                               ? "the two CPUs were not far apart, where plain "
                                                 "stores are the slower ones"
                                               : "the host moved the CPUs too often");
            const auto& [distance, figures_there] = *found;
            state.SetIterationTime(median(figures_there.row_ns) * 1e-9);
            report(state, row, distance, figures_there);
        }
    });
}

constexpr std::array rows{
    Row{Pattern::ping_pong, 8, Kind::spin, Kind::two_lines, 1.5, "spin"},
    Row{Pattern::ping_pong, 48, Kind::spin, Kind::two_lines, 1.5, "spin"},
    Row{Pattern::ping_pong, 8, Kind::latency, Kind::one_line, 1.25, "latency"},
    Row{Pattern::ping_pong, 48, Kind::latency, Kind::one_line, 1.25, "latency"},
    Row{Pattern::stream, 8, Kind::spin, Kind::plain_ring, 4, "spin"},
    Row{Pattern::stream, 8, Kind::each, Kind::plain_ring, 0, "spin-each-message"},
    Row{Pattern::stream, 8, Kind::bulk, Kind::plain_ring, 4, "bulk"},
    Row{Pattern::stream, 64, Kind::spin, Kind::plain_ring, 5, "spin"},
    Row{Pattern::stream, 64, Kind::each, Kind::plain_ring, 0, "spin-each-message"},
    Row{Pattern::stream, 64, Kind::bulk, Kind::plain_ring, 5, "bulk"},
    Row{Pattern::stream, 4096, Kind::spin, Kind::copy, 0.6, "spin"},
    Row{Pattern::stream, 4096, Kind::bulk, Kind::copy, 0.85, "bulk"},
    Row{Pattern::stream, 4096, Kind::bulk, Kind::fill, 0, "bulk-beside-filling"},
    Row{Pattern::stream, 65536, Kind::spin, Kind::copy, 0.6, "spin"},
    Row{Pattern::stream, 65536, Kind::bulk, Kind::copy, 0.85, "bulk"},
    Row{Pattern::stream, large_bytes_max, Kind::spin, Kind::copy, 0.6, "spin"},
    Row{Pattern::stream, large_bytes_max, Kind::bulk, Kind::copy, 0.85, "bulk"},
    Row{Pattern::stream, 65536, Kind::non_temporal, Kind::plain_stores, 3, "non-temporal"},
    Row{Pattern::stream, 8, Kind::futex, Kind::spin, 0.95, "futex"},
    Row{Pattern::stream, 4096, Kind::futex, Kind::spin, 0.95, "futex"},
};

}  // namespace

std::vector<RingBenchmark> ring_benchmarks() {
    std::vector<RingBenchmark> all;
    all.reserve(rows.size());
    for (const Row& row : rows)
        all.push_back({fmt::format("ring/{}/{}/{}", name_of(row.pattern), row.size_bytes, row.name),
                       [&row](benchmark::State& state) { measure(state, row); }});
    return all;
}

}  // namespace ipclab
