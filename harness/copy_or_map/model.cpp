#include "harness/copy_or_map/model.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <utility>

namespace ipclab {
namespace {

constexpr double one_cpu_tolerance = 0.15;
constexpr double two_cpus_tolerance = 0.25;
constexpr double page_bytes_min = 4096;

/// Adds up terms, and remembers the first cost that is missing.
class Sum {
  public:
    Sum(const Costs& costs, Placement placement) : costs_(costs), placement_(placement) {}

    /// Where the figure is taken from; `size_bytes` and `slept_ns` as Costs::find_ns has them.
    struct From {
        std::string cost;
        std::string figure;
        Placement placement;
        double size_bytes = 0;
        double slept_ns = 0;
    };

    /// 0 where there is none.
    [[nodiscard]] double find_ns(const From& from) const { return find(from).value_or(0); }

    void add(std::string name, Phase phase, const From& from, double times = 1) {
        const auto found_ns = find(from);
        if (found_ns)
            modelled_.terms.push_back({std::move(name), *found_ns * times, phase, from.cost});
        else if (modelled_.missing.empty())
            modelled_.missing =
                fmt::format("{}, {}, has no figure here", from.cost, name_of(from.placement));
    }

    [[nodiscard]] double total_ns() const { return modelled_.total_ns(); }
    [[nodiscard]] Placement placement() const { return placement_; }
    Modelled done() && { return std::move(modelled_); }

  private:
    [[nodiscard]] std::optional<double> find(const From& from) const {
        return costs_.find_ns(from.cost, from.figure, from.placement, from.size_bytes,
                              from.slept_ns);
    }

    const Costs& costs_;
    Placement placement_;
    Modelled modelled_;
};

/// What sender and receiver do on two CPUs with a message that is larger than the object holds. On
/// one CPU they can only alternate.
enum class OnTwoCpus {
    alternate,    ///< each sleeps while the other is at work
    stay_awake,   ///< neither sleeps for long enough to matter; what they share slows both down
    go_together,  ///< the receiver copies one piece out while the sender copies the next one in,
                  ///< where waking it takes less than filling the object; else they stay awake
};

/// What a copying mechanism takes from the costs, and how a message gets through.
struct Carrier {
    std::string copying;
    std::string waking;
    double round_bytes = 0;  ///< that the object takes before its reader must run; 0: any message
    OnTwoCpus on_two_cpus = OnTwoCpus::alternate;
    double piece_bytes = 0;  ///< of those who go together
};

/// Of a framed stream: the length that goes ahead.
constexpr double frame_bytes = 8;

std::optional<Carrier> carrier_of(const std::string& mechanism) {
    // 16 pages; and whoever copies holds the pipe's lock (fs/pipe.c), so that the sides alternate.
    constexpr double pipe_bytes = 65536;
    // net.core.wmem_default; and buffers of 32 KiB and a head (net/unix/af_unix.c).
    constexpr double socket_bytes = 212992;
    constexpr double socket_piece_bytes = 36 * 1024;
    // kernel.msgmax: a message that finds a receiver asleep wakes it (ipc/msg.c).
    constexpr double message_bytes = 8192;
    if (mechanism == "pipe") return Carrier{"kernel-copy/pipe", "wake-up/pipe", pipe_bytes};
    if (mechanism == "pipe/spin")
        return Carrier{"kernel-copy/pipe", "wake-up/pipe-spin", pipe_bytes};
    if (mechanism == "unix-stream")
        return Carrier{"kernel-copy/unix-stream", "wake-up/unix-stream", socket_bytes,
                       OnTwoCpus::go_together, socket_piece_bytes};
    if (mechanism == "sysv-mq")
        return Carrier{"kernel-copy/sysv-mq", "wake-up/sysv-mq", message_bytes,
                       OnTwoCpus::stay_awake};
    if (mechanism == "process-vm/futex-pure")
        return Carrier{"kernel-copy/process-vm", "wake-up/futex"};
    if (mechanism == "process-vm/spin") return Carrier{"kernel-copy/process-vm", "wake-up/spin"};
    return std::nullopt;
}

/// Sender and receiver one after the other: one wake-up, and two more for each further round.
void add_rounds(Sum& sum, const Carrier& carrier, double n) {
    const Placement here = sum.placement();
    if (carrier.round_bytes > 0)
        sum.add("copy in", Phase::send, {carrier.copying, "copy_in", here, n});
    // Who spins inside the call that copies has done a part of it when the message comes.
    const Sum::From out{carrier.copying, "copy_out", here, n};
    const double out_ns = sum.find_ns(out);
    const double done_ns = sum.find_ns({carrier.waking, "overlap", here, 0, out_ns});
    sum.add("copy out", Phase::hand_over, out, out_ns > done_ns ? 1 - done_ns / out_ns : 0);
    const double work_ns = sum.total_ns();
    const bool whole = carrier.round_bytes == 0 ||
                       (here == Placement::two_cpus && carrier.on_two_cpus != OnTwoCpus::alternate);
    const double rounds = whole ? 1 : std::ceil((n + frame_bytes) / carrier.round_bytes);
    sum.add("wake-up", Phase::hand_over, {carrier.waking, "wake_up", here, 0, work_ns});
    if (rounds > 1)
        sum.add("wake-ups of further rounds", Phase::hand_over,
                {carrier.waking, "wake_up", here, 0, work_ns / rounds / 2}, 2 * (rounds - 1));
}

/// Whether a receiver that has slept while the object was filled once is there before it is again.
bool go_together(const Sum& sum, const Carrier& carrier, double n) {
    if (sum.placement() != Placement::two_cpus || carrier.on_two_cpus != OnTwoCpus::go_together)
        return false;
    const double fill_object_ns =
        sum.find_ns({carrier.copying, "copy_in", sum.placement(), n}) / n * carrier.round_bytes;
    return n > carrier.round_bytes &&
           fill_object_ns >
               sum.find_ns({carrier.waking, "wake_up", sum.placement(), 0, fill_object_ns});
}

/// Both at work, on two CPUs: whoever ends last has the other's first piece, or last one, to wait
/// for, and the receiver its wake-up.
void add_overlap(Sum& sum, const Carrier& carrier, double n) {
    const Placement here = sum.placement();
    const double pieces = std::ceil((n + frame_bytes) / carrier.piece_bytes);
    const Sum::From in{carrier.copying, "copy_in", here, n};
    const Sum::From out{carrier.copying, "copy_out", here, n};
    const Sum::From wake{carrier.waking, "wake_up", here, 0, sum.total_ns()};
    const double in_ns = sum.find_ns(in);
    const double out_ns = sum.find_ns(out);
    const bool receiver_ends_last =
        in_ns / pieces + sum.find_ns(wake) + out_ns > in_ns + out_ns / pieces;
    sum.add("copy in", Phase::send, in, receiver_ends_last ? 1 / pieces : 1);
    sum.add("copy out", Phase::hand_over, out, receiver_ends_last ? 1 : 1 / pieces);
    if (receiver_ends_last) sum.add("wake-up", Phase::hand_over, wake);
}

Modelled model_copy(const Transfer& transfer, const Costs& costs) {
    const auto carrier = carrier_of(transfer.mechanism);
    if (!carrier)
        return {.terms = {}, .missing = fmt::format("there is no model of {}", transfer.mechanism)};
    const auto n = static_cast<double>(transfer.size_bytes);
    const Placement here = transfer.placement;
    Sum sum(costs, here);
    sum.add("fill", Phase::produce, {carrier->copying, "fill", here, n});
    if (go_together(sum, *carrier, n))
        add_overlap(sum, *carrier, n);
    else
        add_rounds(sum, *carrier, n);
    sum.add("check", Phase::consume, {carrier->copying, "check", here, n});
    return std::move(sum).done();
}

void add_wake_up(Sum& sum, const std::string& cost) {
    const double slept_ns = sum.total_ns();
    sum.add("wake-up", Phase::hand_over, {cost, "wake_up", sum.placement(), 0, slept_ns});
}

/// Mapping anew, once for each `k` messages. What is done with the mapping is timed in one process;
/// the memory is in this CPU's cache or not all the same.
void add_mapping(Sum& sum, const std::string& cost, Phase mapped_in, Phase touched_in,
                 Phase unmapped_in, double bytes, double k) {
    const Placement one = Placement::same_cpu;
    sum.add("map", mapped_in, {cost, "map", one, bytes}, 1 / k);
    sum.add("first touch", touched_in, {cost, "touch", one, bytes}, 1 / k);
    sum.add("unmap", unmapped_in, {cost, "unmap", one, bytes}, 1 / k);
}

void add_fresh_object(Sum& sum, double bytes) {
    const std::string cost = "fresh/object";
    const Placement one = Placement::same_cpu;
    sum.add("make the object", Phase::prepare, {cost, "create", one, bytes});
    sum.add("map", Phase::prepare, {cost, "map", one, bytes});
    sum.add("first touch", Phase::produce, {cost, "touch", one, bytes});
    sum.add("pass the descriptor", Phase::send, {cost, "pass", one, bytes});
    sum.add("unmap", Phase::send, {cost, "unmap", one, bytes});
    sum.add("receive the descriptor", Phase::hand_over, {cost, "receive", one, bytes});
    sum.add("map there", Phase::hand_over, {cost, "map_there", one, bytes});
    sum.add("first touch there", Phase::consume, {cost, "touch_there", one, bytes});
    sum.add("unmap there", Phase::release, {cost, "unmap_there", one, bytes});
    sum.add("free the object", Phase::release, {cost, "close_there", one, bytes});
}

Modelled model_map(const Transfer& transfer, const Costs& costs) {
    const auto n = static_cast<double>(transfer.size_bytes);
    const double mapped_bytes = std::max(n, page_bytes_min);
    const auto k = static_cast<double>(std::max<std::uint64_t>(1, transfer.messages_per_mapping));
    const bool sleeps = transfer.waiting == Waiting::sleeps;
    Sum sum(costs, transfer.placement);
    // A fresh page has just been zeroed by the CPU that fills it.
    const Placement filled_at =
        transfer.way == Way::fresh_object ? Placement::same_cpu : transfer.placement;
    sum.add("fill", Phase::produce, {"payload/in-place", "fill", filled_at, n});
    sum.add("check", Phase::consume, {"payload/in-place", "check", transfer.placement, n});
    switch (transfer.way) {
    case Way::receiver_remaps:
        add_mapping(sum, "map/read", Phase::hand_over, Phase::consume, Phase::release, mapped_bytes,
                    k);
        break;
    case Way::receiver_remaps_populated:
        add_mapping(sum, "map/read-populated", Phase::hand_over, Phase::consume, Phase::release,
                    mapped_bytes, k);
        break;
    case Way::sender_remaps:
        add_mapping(sum, "map/write", Phase::prepare, Phase::produce, Phase::send, mapped_bytes, k);
        break;
    case Way::sender_remaps_populated:
        add_mapping(sum, "map/write-populated", Phase::prepare, Phase::produce, Phase::send,
                    mapped_bytes, k);
        break;
    case Way::fresh_object:
        add_fresh_object(sum, mapped_bytes);
        add_wake_up(sum, sleeps ? "wake-up/unix-stream" : "wake-up/pipe-spin");
        return std::move(sum).done();
    case Way::persistent:
    case Way::copy:
        break;
    }
    add_wake_up(sum, sleeps ? "wake-up/futex" : "wake-up/spin");
    return std::move(sum).done();
}

/// y at x on the line through two points, between logarithms; x and the points' x above 0.
double between(std::pair<double, double> a, std::pair<double, double> b, double x) {
    if (a.second <= 0 || b.second <= 0) return a.second;
    const double share =
        (std::log(x) - std::log(a.first)) / (std::log(b.first) - std::log(a.first));
    return std::exp(std::log(a.second) + share * (std::log(b.second) - std::log(a.second)));
}

/// At x, along points sorted by x. Below the first point: nothing, or the first.
std::optional<double> along(const std::vector<std::pair<double, double>>& points, double x,
                            bool first_below) {
    if (points.empty()) return std::nullopt;
    if (x <= points.front().first && (first_below || x == points.front().first))
        return points.front().second;
    if (x >= points.back().first && (first_below || x == points.back().first))
        return points.back().second;
    for (std::size_t i = 1; i < points.size(); ++i)
        if (points[i - 1].first <= x && x <= points[i].first)
            return between(points[i - 1], points[i], x);
    return std::nullopt;
}

}  // namespace

Costs::Costs(const std::vector<CostFinding>& findings) : findings_(findings) {}

std::optional<double> Costs::find_ns(const std::string& cost, const std::string& figure,
                                     Placement placement, double size_bytes,
                                     double slept_ns) const {
    std::vector<std::pair<double, double>> by_size;
    std::vector<std::pair<double, double>> by_sleep;
    for (const CostFinding& finding : findings_) {
        if (finding.cell.cost != cost || finding.figure != figure ||
            finding.cell.placement != placement || finding.pairs == 0)
            continue;
        if (finding.cell.size_bytes > 0)
            by_size.emplace_back(static_cast<double>(finding.cell.size_bytes),
                                 finding.value_ns.median);
        else  // the shift gives the sleep of no length a place on a logarithm's axis
            by_sleep.emplace_back(static_cast<double>(finding.cell.slept_ns) + 1000,
                                  finding.value_ns.median);
    }
    std::sort(by_size.begin(), by_size.end());
    std::sort(by_sleep.begin(), by_sleep.end());
    if (!by_size.empty()) return along(by_size, size_bytes, false);
    return along(by_sleep, slept_ns + 1000, true);
}

Modelled model(const Transfer& transfer, const Costs& costs) {
    return transfer.way == Way::copy ? model_copy(transfer, costs) : model_map(transfer, costs);
}

bool within_promise(const TransferFinding& finding) {
    if (!finding.model.missing.empty() || finding.transfer_ns.median <= 0) return false;
    const double total_ns = finding.model.total_ns();
    const double off = std::abs(total_ns - finding.transfer_ns.median) / finding.transfer_ns.median;
    if (finding.transfer.placement == Placement::same_cpu) return off <= one_cpu_tolerance;
    return off <= two_cpus_tolerance ||
           (finding.transfer_ns.interval && finding.transfer_ns.interval->contains(total_ns));
}

std::string suspect_of(const TransferFinding& finding) {
    // On one CPU nobody can see where sending ends and the switch to the receiver begins.
    const bool one_cpu = finding.transfer.placement == Placement::same_cpu;
    const auto clocked_as = [&](Phase phase) {
        return static_cast<std::size_t>(one_cpu && phase == Phase::send ? Phase::hand_over : phase);
    };
    std::array<double, phases.size()> off_ns{};  // model less clock
    std::array<const Term*, phases.size()> largest{};
    for (const Phase phase : phases)
        off_ns[clocked_as(phase)] -= finding.phases_ns[static_cast<std::size_t>(phase)];
    for (const Term& term : finding.model.terms) {
        const std::size_t i = clocked_as(term.phase);
        off_ns[i] += term.ns;
        if (largest[i] == nullptr || largest[i]->ns < term.ns) largest[i] = &term;
    }
    const Term* suspect = nullptr;
    double most_ns = -1;
    for (std::size_t i = 0; i < phases.size(); ++i) {
        if (largest[i] == nullptr || std::abs(off_ns[i]) <= most_ns) continue;
        most_ns = std::abs(off_ns[i]);
        suspect = largest[i];
    }
    return suspect == nullptr ? std::string() : suspect->name;
}

}  // namespace ipclab
