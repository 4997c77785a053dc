// The front end for people who live in Google Benchmark: a benchmark for every mechanism, pattern,
// size, access and placement, as `pipe/ping_pong/64/copy/two_cpus`. An iteration is a round trip of
// a ping_pong, or a message of a stream.
//
// The library times with its own clock and sees its own process. Here two others converse, so the
// time is theirs (UseManualTime), its column "CPU" means nothing, and what they used up is in the
// counters. A repetition is a process pair.
#include "harness/benchmark/attempt.hpp"
#include "harness/benchmark/overhead.hpp"
#include "harness/benchmark/reporters.hpp"
#include "harness/benchmark/rings.hpp"
#include "harness/machine.hpp"
#include "harness/scenario.hpp"
#include "harness/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

namespace ipclab {
namespace {

constexpr std::size_t sizes_bytes[] = {8, 64, std::size_t{4} << 10, std::size_t{64} << 10,
                                       std::size_t{1} << 20};
constexpr std::chrono::milliseconds warm_up{20};

/// The pair of the cell that was measured last. The library calls a benchmark with growing counts
/// until one takes --benchmark_min_time, and for every further repetition with that count again:
/// so a larger count goes to the pair that is there, and the same count to a new one.
class CurrentPair {
  public:
    struct Result {
        LegResult leg;
        Reference reference;
    };
    /// Throws PairFailed, IpcError, Interrupted; the pair is gone then.
    Result run(const Cell& cell, std::uint64_t messages) {
        if (!pair_ || pair_->cell != cell || pair_->messages == messages) {
            end();
            pair_.emplace(cell, memory_);
        }
        pair_->messages = messages;
        try {
            // The library keeps means only: a single sample, so no look at the clock in the loop.
            const LegResult leg = pair_->session.run_leg(messages, messages);
            return {leg, pair_->session.probe()};
        } catch (...) {
            end();
            throw;
        }
    }
    void end() { pair_.reset(); }

  private:
    struct Pair {
        Pair(const Cell& its_cell, SessionMemory& memory)
            : cell(its_cell),
              subject(create_subject(cell)),
              session(*subject, cpus_for(cell.placement), memory) {
            session.warm_up(warm_up);
        }
        Cell cell;
        std::unique_ptr<Subject> subject;
        Session session;
        std::uint64_t messages = 0;  // of the last leg; 0: none yet
    };

    SessionMemory memory_;
    std::optional<Pair> pair_;
};

std::string benchmark_name(const Cell& cell) {
    return fmt::format("{}/{}/{}/{}/{}", cell.mechanism, name_of(cell.pattern), cell.size_bytes,
                       name_of(cell.access), name_of(cell.placement));
}

std::vector<Cell> all_cells() {
    Scenario everything;
    everything.mechanisms = {"*"};
    // A life cycle is lived once: there is nothing to repeat in a loop.
    everything.patterns = {Pattern::ping_pong, Pattern::stream};
    everything.sizes_bytes.assign(std::begin(sizes_bytes), std::end(sizes_bytes));
    everything.access.assign(accesses.begin(), accesses.end());
    everything.placements.assign(placements.begin(), placements.end());
    return cells_of(everything);
}

void report(benchmark::State& state, const Cell& cell, const LegResult& result,
            const Reference& reference) {
    const auto iterations = static_cast<std::int64_t>(result.leg.messages);
    const std::int64_t messages = iterations * (cell.pattern == Pattern::ping_pong ? 2 : 1);
    state.SetBytesProcessed(messages * static_cast<std::int64_t>(cell.size_bytes));
    using benchmark::Counter;
    state.counters["messages_per_second"] =
        Counter(static_cast<double>(messages), Counter::kIsRate);
    const auto per_iteration = [&](const char* side, const char* what, std::int64_t total) {
        state.counters[fmt::format("{}_{}", side, what)] =
            Counter(static_cast<double>(total), Counter::kAvgIterations);
    };
    const char* const sides[] = {"initiator", "responder"};
    for (std::size_t side = 0; side < 2; ++side) {
        const SideUsage& usage = result.sides[side].usage;
        per_iteration(sides[side], "cpu_ns", usage.cpu_ns);
        per_iteration(sides[side], "voluntary_switches", usage.voluntary_switches);
        per_iteration(sides[side], "involuntary_switches", usage.involuntary_switches);
    }
    state.counters["reference_round_trip_ns"] = reference.round_trip_ns;

    std::string label = fmt::format("{}; {}", name_of(facts_of(cell.mechanism).waiting),
                                    name_of(reference.distance));
    if (const std::uint64_t fragments = result.sides[0].fragments; fragments > 1)
        label += fmt::format("; in {} fragments", fragments);
    state.SetLabel(label);
}

void measure(benchmark::State& state, const Cell& cell, CurrentPair& pair) {
    if (const auto reason = reason_to_skip(cell, usable_cpus(), false))
        return state.SkipWithError(reason->c_str());
    attempt(state, [&] {
        while (state.KeepRunningBatch(state.max_iterations)) {
            const auto [leg, reference] =
                pair.run(cell, static_cast<std::uint64_t>(state.max_iterations));
            state.SetIterationTime(static_cast<double>(leg.elapsed_ns) * 1e-9);
            report(state, cell, leg, reference);
        }
    });
}

/// What of the machine's description is a single value; the library's own context has the caches.
void add_context() {
    const nlohmann::ordered_json machine = describe_machine();
    for (const auto& [key, value] : machine.items())
        if (value.is_primitive())
            benchmark::AddCustomContext(key, value.is_null()     ? "unknown"
                                             : value.is_string() ? value.get<std::string>()
                                                                 : value.dump());
    benchmark::AddCustomContext("cpu_time", "of the commanding process, which only waits; see the "
                                            "counters *_cpu_ns for the two that are measured");
}

/// Whether the words of the command line have one that begins so; the library keeps its flags to
/// itself.
bool has_flag(int argc, char** argv, std::string_view start) {
    return std::any_of(argv, argv + argc,
                       [&](const char* word) { return std::string_view(word).starts_with(start); });
}

int run_benchmarks(int argc, char** argv) {
    const bool csv_file = has_flag(argc, argv, "--benchmark_out=") &&
                          has_flag(argc, argv, "--benchmark_out_format=csv");
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    catch_interrupts();
    add_context();
    CurrentPair pair;
    for (const Cell& cell : all_cells())
        benchmark::RegisterBenchmark(benchmark_name(cell).c_str(), [cell, &pair](
                                                                       benchmark::State& state) {
            measure(state, cell, pair);
        })->UseManualTime();
    for (const auto& [name, measure_it] : overhead_benchmarks())
        benchmark::RegisterBenchmark(name.c_str(), measure_it)->Iterations(1)->UseManualTime();
    for (const auto& [name, measure_it] : ring_benchmarks())
        benchmark::RegisterBenchmark(name.c_str(), measure_it)->Iterations(1)->UseManualTime();

    Display display;
    CsvAtTheEnd file;
    const std::size_t matched = csv_file ? benchmark::RunSpecifiedBenchmarks(&display, &file)
                                         : benchmark::RunSpecifiedBenchmarks(&display);
    pair.end();
    benchmark::Shutdown();
    if (interrupted()) {
        fmt::print(stderr, "interrupted; the benchmarks that are not shown were not measured\n");
        return 130;
    }
    return matched == 0 || any_failed() ? 1 : 0;
}

}  // namespace
}  // namespace ipclab

int main(int argc, char** argv) {
    try {
        return ipclab::run_benchmarks(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "ipclab_benchmark: {}\n", error.what());
        return 1;
    }
}
