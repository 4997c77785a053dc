#include "harness/machine.hpp"
#include "harness/summary.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <tuple>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

/// The context's value; null where it is missing.
const Json& value_of(const Json& context, std::string_view key) {
    static const Json nothing;
    const auto found = context.find(key);
    return found == context.end() ? nothing : *found;
}

std::string text_of(const Json& value) {
    return value.is_string() ? value.get<std::string>()
                             : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json caches_of(const Json& context) {
    Json caches = Json::array();
    const Json& known = value_of(context, "caches");
    const auto add = [&](std::string_view name, std::string_view type, int level) {
        const Json& bytes = value_of(known, fmt::format("{}_bytes", name));
        const Json& cpus = value_of(known, fmt::format("{}_cpus", name));
        if (!bytes.is_number()) return;
        const std::size_t sharing =
            cpus.is_string() ? parse_cpu_list(cpus.get<std::string>()).size() : 0;
        caches.push_back(
            {{"type", type}, {"level", level}, {"size", bytes}, {"num_sharing", sharing}});
    };
    if (!known.is_object()) return caches;
    add("l1d", "Data", 1);
    add("l2", "Unified", 2);
    add("l3", "Unified", 3);
    return caches;
}

Json context_of(const Summary& summary) {
    const Json& run = summary.context;
    std::string date = text_of(value_of(run, "utc"));
    if (date.ends_with('Z')) date.replace(date.size() - 1, 1, "+00:00");
    const Json& governor = value_of(run, "governor");
    const Json& load = value_of(run, "load_average");
    Json context{
        {"date", date},
        {"host_name", value_of(run, "host")},
        {"executable", "ipclab"},
        {"num_cpus", value_of(run, "cpus_online")},
        {"cpu_scaling_enabled", governor.is_string() && governor != "performance"},
        {"caches", caches_of(run)},
        {"load_avg", load.is_array() ? load : Json::array()},
        {"library_build_type", value_of(run, "build_type") == "Release" ? "release" : "debug"}};
    // What Google Benchmark calls a custom context is text.
    context["real_time"] = "a pair's median round trip, its time per streamed message, or a life "
                           "cycle from create to destroy";
    context["cpu_time"] = "of both processes, per round trip or message";
    for (const std::string_view key : {"commit", "dirty", "cpu_model", "kernel", "hypervisor",
                                       "compiler", "flags", "seed", "scenarios"})
        if (const Json& value = value_of(run, key); !value.is_null())
            context[std::string(key)] = text_of(value);
    context["stopped_by"] = summary.stopped_by.value_or("a kill");
    return context;
}

std::string name_of(const CellSummary& cell, bool with_scenario) {
    std::string name =
        fmt::format("{}/{}/{}/{}/{}", cell.cell.mechanism, ipclab::name_of(cell.cell.pattern),
                    cell.cell.size_bytes, ipclab::name_of(cell.cell.access),
                    ipclab::name_of(cell.cell.placement));
    if (cell.cell.capacity_bytes > 0) name += fmt::format("/capacity:{}", cell.cell.capacity_bytes);
    if (cell.cell.batch_messages > 0) name += fmt::format("/batch:{}", cell.cell.batch_messages);
    if (cell.cell.stores) name += fmt::format("/stores:{}", ipclab::name_of(*cell.cell.stores));
    if (!cell.variant.empty()) name += fmt::format("/{}", cell.variant);
    if (with_scenario) name += fmt::format("/{}", cell.scenario);
    std::replace(name.begin(), name.end(), ' ', '/');
    return name;
}

void add_number(Json& entry, const std::string& key, const std::optional<double>& value) {
    if (value) entry[key] = *value;
}

std::optional<double> sum(const std::optional<double>& a, const std::optional<double>& b) {
    return a && b ? std::optional(*a + *b) : std::nullopt;
}

/// Payload bytes that cross, and messages that do, per exchange: a round trip has two.
double messages_per_exchange(const Cell& cell) {
    const auto one_way = static_cast<double>(cell.messages_per_exchange());
    return cell.pattern == Pattern::ping_pong ? 2 * one_way : one_way;
}

void add_time(Json& entry, const Cell& cell, double figure_ns,
              const std::optional<double>& cpu_ns) {
    const double messages_per_s = messages_per_exchange(cell) * 1e9 / figure_ns;
    entry["real_time"] = figure_ns;
    // The schema has no word for "not known".
    entry["cpu_time"] = cpu_ns.value_or(0);
    entry["time_unit"] = "ns";
    if (cell.pattern == Pattern::lifecycle) return;  // it has no rate
    if (cell.size_bytes > 0)
        entry["bytes_per_second"] = messages_per_s * static_cast<double>(cell.size_bytes);
    entry["items_per_second"] = messages_per_s;
    entry["messages_per_second"] = messages_per_s;
}

/// Named as in ipclab_benchmark.
void add_counters(Json& entry, const std::array<SideCost, 2>& sides,
                  const std::optional<double>& reference_ns, const Tail& tail) {
    constexpr std::array<std::string_view, 2> names{"initiator", "responder"};
    for (std::size_t i = 0; i < sides.size(); ++i) {
        add_number(entry, fmt::format("{}_cpu_ns", names[i]), sides[i].cpu_ns);
        add_number(entry, fmt::format("{}_voluntary_switches", names[i]),
                   sides[i].voluntary_switches);
        add_number(entry, fmt::format("{}_involuntary_switches", names[i]),
                   sides[i].involuntary_switches);
    }
    add_number(entry, "reference_round_trip_ns", reference_ns);
    add_number(entry, "p90_ns", tail.p90);
    add_number(entry, "p99_ns", tail.p99);
    add_number(entry, "p99_9_ns", tail.p99_9);
    add_number(entry, "max_ns", tail.max);
}

std::string label_of(const CellSummary& cell) {
    std::string label = fmt::format("{}; {}", cell.waiting, cell.distance);
    if (cell.fragments > 1) label += fmt::format("; in {:.0f} fragments", cell.fragments);
    if (cell.bound_by) label += fmt::format("; bounded by the payload's {}", *cell.bound_by);
    if (cell.state == CellState::only_disturbed) label += "; only disturbed pairs";
    return label;
}

class Entries {
  public:
    Json take() { return std::move(entries_); }

    void add(const CellSummary& cell, const std::string& name, std::size_t index) {
        if (!cell.has_figures()) {
            add_gap(cell, name, index);
            return;
        }
        for (std::size_t i = 0; i < cell.pairs.size(); ++i) {
            const PairFigures& pair = cell.pairs[i];
            Json entry = head(name, name, index, "iteration", cell.pairs.size());
            entry["repetition_index"] = i;
            entry["threads"] = 1;
            entry["iterations"] = static_cast<std::uint64_t>(pair.exchanges);
            add_time(entry, cell.cell, pair.figure_ns,
                     sum(pair.sides[0].cpu_ns, pair.sides[1].cpu_ns));
            add_counters(entry, pair.sides, pair.reference_ns, pair.tail);
            if (cell.cell.pattern == Pattern::lifecycle)
                for (std::size_t step = 0; step < life_steps.size(); ++step)
                    entry[std::string(life_steps[step].key)] = pair.life_ns[step];
            entry["round"] = pair.round;
            entry["outlier"] = pair.outlier ? 1 : 0;
            entry["label"] = label_of(cell);
            entries_.push_back(std::move(entry));
        }
        add_median(cell, name, index);
    }

  private:
    static Json head(const std::string& name, const std::string& run_name, std::size_t index,
                     std::string_view type, std::size_t repetitions) {
        return {{"name", name},         {"family_index", index}, {"per_family_instance_index", 0},
                {"run_name", run_name}, {"run_type", type},      {"repetitions", repetitions}};
    }

    void add_median(const CellSummary& cell, const std::string& name, std::size_t index) {
        Json entry =
            head(fmt::format("{}_median", name), name, index, "aggregate", cell.pairs.size());
        entry["threads"] = 1;
        entry["aggregate_name"] = "median";
        entry["aggregate_unit"] = "time";
        entry["iterations"] = cell.pairs.size();
        add_time(entry, cell.cell, cell.figure_ns.median,
                 sum(cell.sides[0].cpu_ns, cell.sides[1].cpu_ns));
        add_counters(entry, cell.sides, cell.reference_ns, cell.tail_ns);
        if (cell.cell.pattern == Pattern::lifecycle)
            for (std::size_t step = 0; step < life_steps.size(); ++step)
                entry[std::string(life_steps[step].key)] = cell.life_ns[step].median;
        if (cell.figure_ns.interval) {
            entry["interval_low_ns"] = cell.figure_ns.interval->low;
            entry["interval_high_ns"] = cell.figure_ns.interval->high;
        }
        entry["label"] = label_of(cell);
        entries_.push_back(std::move(entry));
    }

    /// As Google Benchmark tells a benchmark that was skipped: the zeros are its schema's.
    void add_gap(const CellSummary& cell, const std::string& name, std::size_t index) {
        std::string why =
            cell.state == CellState::other_distance
                ? "measured only while the CPUs were not as far apart as in the other cells"
                : "";
        for (const std::string& reason : cell.reasons)
            why += fmt::format("{}{}", why.empty() ? "" : "; ", reason);
        Json entry = head(name, name, index, "iteration", 1);
        entry["repetition_index"] = 0;
        entry["threads"] = 1;
        entry["error_occurred"] = true;
        entry["error_message"] = why;
        entry["iterations"] = 0;
        entry["real_time"] = 0.0;
        entry["cpu_time"] = 0.0;
        entry["time_unit"] = "ns";
        entries_.push_back(std::move(entry));
    }

    Json entries_ = Json::array();
};

}  // namespace

Json benchmark_json(const Summary& summary) {
    std::set<std::string> scenarios;
    for (const CellSummary& cell : summary.cells) scenarios.insert(cell.scenario);
    Entries entries;
    for (std::size_t i = 0; i < summary.cells.size(); ++i)
        entries.add(summary.cells[i], name_of(summary.cells[i], scenarios.size() > 1), i);
    return {{"context", context_of(summary)}, {"benchmarks", entries.take()}};
}

}  // namespace ipclab
