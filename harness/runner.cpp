#include "harness/runner.hpp"

#include "harness/machine.hpp"
#include "harness/progress.hpp"
#include "harness/quiet.hpp"
#include "harness/run_file.hpp"
#include "harness/statistics.hpp"
#include "harness/summary.hpp"
#include "harness/task.hpp"
#include "mechanisms/os/named_object.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>
#include <random>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

/// A disturbed pair is measured again, so often; all attempts are kept.
constexpr int attempts_max = 3;

enum class StoppedBy { width, rounds, budget, interrupt };

constexpr std::string_view name_of(StoppedBy reason) {
    switch (reason) {
    case StoppedBy::width:
        return "width";
    case StoppedBy::rounds:
        return "rounds";
    case StoppedBy::budget:
        return "budget";
    case StoppedBy::interrupt:
        break;
    }
    return "interrupt";
}

/// What is known of a task so far.
struct TaskProgress {
    Task task;
    bool done = false;
    std::map<CpuDistance, std::vector<double>> figures_ns{};  ///< of undisturbed pairs

    /// Whether the interval of the median, among pairs whose CPUs were as far apart, is narrow
    /// enough.
    [[nodiscard]] bool narrow(double width_target) const {
        return std::any_of(figures_ns.begin(), figures_ns.end(), [&](const auto& entry) {
            if (entry.second.size() < task.pairs_min) return false;
            const auto interval = bootstrap_median_interval(entry.second);
            return interval && 2 * interval->half_width() <= width_target * median(entry.second);
        });
    }
};

/// One scenario from its first round to its last.
class ScenarioRun {
  public:
    ScenarioRun(const Scenario& scenario, const RunOptions& options, const Conditions& conditions,
                RunWriter& writer, SessionMemory& memory, Progress& progress)
        : scenario_(scenario), seed_(options.seed), writer_(writer), progress_(progress) {
        std::vector<Task> tasks = tasks_of(scenario, conditions, memory);
        tasks_.reserve(tasks.size());
        for (Task& task : tasks) tasks_.push_back({.task = std::move(task)});
    }

    StoppedBy run() {
        skip_what_cannot_be();
        for (int round = 1; round <= scenario_.rounds_max; ++round) {
            for (const std::size_t index : order_of_round(tasks_.size(), seed_, round)) {
                TaskProgress& task = tasks_[index];
                if (task.done) continue;
                if (elapsed() >= scenario_.budget) return StoppedBy::budget;
                progress_.before_row(scenario_.name, task.task.description, round, rows_done_,
                                     rows_left(round), elapsed(), scenario_.budget);
                measure_undisturbed(task, round);
            }
            const std::size_t left = tasks_left();
            progress_.after_round(scenario_.name, round, scenario_.rounds_max, left, elapsed(),
                                  scenario_.budget);
            if (left == 0) return StoppedBy::width;
        }
        return StoppedBy::rounds;
    }

    [[nodiscard]] bool failed() const { return failed_; }

  private:
    [[nodiscard]] std::chrono::nanoseconds elapsed() const { return Clock::now() - start_; }
    [[nodiscard]] std::size_t tasks_left() const {
        return static_cast<std::size_t>(std::count_if(
            tasks_.begin(), tasks_.end(), [](const TaskProgress& task) { return !task.done; }));
    }
    [[nodiscard]] std::size_t rows_left(int round) const {
        return tasks_left() * static_cast<std::size_t>(scenario_.rounds_max - round + 1);
    }

    void skip_what_cannot_be() {
        for (TaskProgress& task : tasks_) {
            if (!task.task.skipped) continue;
            writer_.write(task.task.skipped->json);
            task.done = true;
        }
    }

    void measure_undisturbed(TaskProgress& task, int round) {
        for (int attempt = 1; attempt <= attempts_max; ++attempt) {
            const Row row = task.task.measure(round, attempt);
            writer_.write(row.json);
            ++rows_done_;
            if (row.status == RowStatus::disturbed && elapsed() < scenario_.budget) continue;
            if (row.status == RowStatus::ok) {
                task.figures_ns[row.distance].push_back(row.figure_ns);
                task.done = task.narrow(scenario_.interval_width_target);
            }
            if (row.status == RowStatus::failed || row.status == RowStatus::skipped)
                task.done = true;
            failed_ |= row.status == RowStatus::failed;
            return;
        }
    }

    const Scenario& scenario_;
    std::uint64_t seed_;
    RunWriter& writer_;
    Progress& progress_;
    std::vector<TaskProgress> tasks_;
    std::size_t rows_done_ = 0;
    bool failed_ = false;
    Clock::time_point start_ = Clock::now();
};

/// What the payload's kernels cost at every size that the scenarios have.
std::map<std::size_t, payload::Cost> payload_costs(const std::vector<Scenario>& scenarios) {
    std::map<std::size_t, payload::Cost> costs;
    for (const Scenario& scenario : scenarios)
        for (const Cell& cell : cells_of(scenario))
            if (cell.size_bytes > 0 && costs.count(cell.size_bytes) == 0)
                costs.emplace(cell.size_bytes, payload::measure_cost(cell.size_bytes));
    for (const Scenario& scenario : scenarios)
        if (scenario.experiment == Experiment::multi_queue)
            for (const std::size_t size_bytes : scenario.sizes_bytes)
                costs.try_emplace(size_bytes, payload::measure_cost(size_bytes));
    return costs;
}

Json context_of(const RunOptions& options, const std::map<std::size_t, payload::Cost>& costs) {
    Json context{{"type", "context"}, {"schema", run_schema}};
    Json& scenarios = context["scenarios"] = Json::array();
    Json& questions = context["questions"] = Json::array();
    for (const Scenario& scenario : options.scenarios) {
        scenarios.push_back(scenario.name);
        questions.push_back(scenario.question);
    }
    context.update(describe_machine());
    Json& cpus = context["cpus"] = Json::object();
    for (const Placement placement : placements)
        if (placement == Placement::same_cpu || usable_cpus() > 1)
            cpus[std::string(name_of(placement))] = cpus_for(placement);
    context["seed"] = options.seed;
    // Of the first scenario; each row names its own.
    context["rounds_max"] = options.scenarios.front().rounds_max;
    context["budget_s"] = std::chrono::duration<double>(options.scenarios.front().budget).count();
    context["interval_width_target"] = options.scenarios.front().interval_width_target;
    Json& kernels = context["kernels"] = Json::array();
    for (const auto& [size, cost] : costs)
        kernels.push_back(
            {{"size_bytes", size}, {"fill_ns", cost.fill_ns}, {"check_ns", cost.check_ns}});
    return context;
}

std::vector<int> cpus_used() {
    if (usable_cpus() == 1) return {cpus_for(Placement::same_cpu)[0]};
    const CpuPair two = cpus_for(Placement::two_cpus);
    return {two[0], two[1]};
}

void say_what_was_swept() {
    const std::vector<std::string> removed = sweep_leftovers();
    for (const std::string& object : removed)
        fmt::print("removed what a killed run left behind: {}\n", object);
}

std::filesystem::path results_folder(const RunOptions& options, const Json& context) {
    if (!options.out)
        return make_run_folder(
            std::filesystem::path(IPCLAB_SOURCE_DIR) / "results", context["utc"].get<std::string>(),
            context["host"].get<std::string>(), context["commit"].get<std::string>());
    std::filesystem::create_directories(*options.out);
    return *options.out;
}

}  // namespace

std::vector<std::size_t> order_of_round(std::size_t cells, std::uint64_t seed, int round) {
    std::vector<std::size_t> order(cells);
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Fisher and Yates, spelled out: std::shuffle may differ from one library to the next.
    std::seed_seq seeds{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32),
                        static_cast<std::uint32_t>(round)};
    std::mt19937_64 random(seeds);
    for (std::size_t left = cells; left > 1; --left)
        std::swap(order[left - 1], order[random() % left]);
    return order;
}

int run(const RunOptions& options) {
    catch_interrupts();
    say_what_was_swept();
    const auto costs = payload_costs(options.scenarios);
    const Json context = context_of(options, costs);
    const std::filesystem::path folder = results_folder(options, context);
    RunWriter writer(folder / "run.jsonl");
    writer.write(context);

    std::optional<KeepAwake> keep_awake;
    std::optional<AutogroupPriority> autogroup;
    if (options.keep_awake) keep_awake.emplace(cpus_used());
    if (options.raise_autogroup) autogroup.emplace();

    const auto start = Clock::now();
    SessionMemory memory;
    StoppedBy stopped_by = StoppedBy::width;
    bool failed = false;
    {
        Progress progress;
        try {
            for (const Scenario& scenario : options.scenarios) {
                progress.say(fmt::format("{}: {}", scenario.name, scenario.question));
                Conditions conditions{.scenario = scenario.name,
                                      .batch = scenario.batch,
                                      .touch = scenario.touch,
                                      .keep_awake = options.keep_awake,
                                      .autogroup_nice = {},
                                      .payload_costs = costs};
                if (autogroup) conditions.autogroup_nice = AutogroupPriority::nice;
                ScenarioRun scenario_run(scenario, options, conditions, writer, memory, progress);
                stopped_by = std::max(stopped_by, scenario_run.run());
                failed |= scenario_run.failed();
            }
        } catch (const Interrupted&) {
            stopped_by = StoppedBy::interrupt;
        }
    }
    writer.write(Json{{"type", "end"},
                      {"stopped_by", name_of(stopped_by)},
                      {"elapsed_s", std::chrono::duration<double>(Clock::now() - start).count()}});
    write_summaries(folder);
    print_report(folder);
    fmt::print("results: {}\n", folder.string());
    if (stopped_by == StoppedBy::interrupt) return 130;
    return failed ? 1 : 0;
}

}  // namespace ipclab
