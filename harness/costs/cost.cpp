#include "harness/costs/cost.hpp"

#include "harness/costs/list.hpp"
#include "harness/statistics.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <sys/mman.h>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t figures_max = std::tuple_size_v<decltype(SideReport::figures_ns)>;
/// Even where one pass takes longer than the whole batch.
constexpr std::uint64_t passes_min = 5;
constexpr std::uint64_t passes_max = 20'000;

/// What two looks at the clock, one after the other, say has passed between them.
double cost_of_a_lap_ns() {
    std::vector<double> gaps_ns(1001);
    for (double& gap_ns : gaps_ns) {
        const std::int64_t then_ns = now_ns();
        gap_ns = static_cast<double>(now_ns() - then_ns);
    }
    return midmean(gaps_ns);
}

Json header(const CostCell& cell, const Conditions& conditions, int round, int attempt) {
    return {{"type", "cost"},
            {"scenario", conditions.scenario},
            {"cost", cell.cost},
            {"placement", name_of(cell.placement)},
            {"size_bytes", cell.size_bytes},
            {"slept_ns", cell.slept_ns},
            {"round", round},
            {"attempt", attempt}};
}

LegResult run_passes(Session& session, const Conditions& conditions) {
    const LegResult warm = session.warm_up(conditions.batch / 4);
    const double pass_ns =
        static_cast<double>(warm.elapsed_ns) / static_cast<double>(warm.leg.messages);
    const auto wanted =
        static_cast<std::uint64_t>(static_cast<double>(conditions.batch.count()) / pass_ns);
    return session.run_leg(std::clamp(wanted, passes_min, passes_max));
}

Row measure_pair(const CostCell& cell, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory) {
    const CostEntry& entry = cost_called(cell.cost);
    const auto subject = entry.make(cell);
    Session session(*subject, cpus_for(cell.placement), memory);
    const Batch batch = run_between_probes(session, cell.placement,
                                           [&] { return run_passes(session, conditions); });

    Row row{.distance = batch.before.distance, .json = header(cell, conditions, round, attempt)};
    set_status(row, batch.disturbed);
    row.json["passes"] = batch.result.leg.messages;
    Json& figures = row.json["figures_ns"] = Json::object();
    for (std::size_t i = 0; i < entry.facts.figures.size(); ++i) {
        const double found_ns =
            std::max(batch.result.sides[0].figures_ns[i], batch.result.sides[1].figures_ns[i]);
        figures[std::string(entry.facts.figures[i].name)] =
            found_ns < 0 ? Json(nullptr) : Json(found_ns);
        if (i == 0) row.figure_ns = std::max(0.0, found_ns);
    }
    add_batch(row.json, batch);
    add_conditions(row.json, conditions);
    session.quit();
    return row;
}

}  // namespace

Laps::Laps() : times_ns_(figures_max), clock_ns_(cost_of_a_lap_ns()) {}

void Laps::clear() {
    for (std::vector<double>& times_ns : times_ns_) times_ns.clear();
}

void Laps::report(std::span<double> figures_ns) const {
    for (std::size_t i = 0; i < figures_ns.size(); ++i)
        figures_ns[i] = times_ns_[i].empty() ? -1 : std::max(0.0, midmean(times_ns_[i]));
}

struct Cost::Baton {
    alignas(64) std::atomic<std::uint32_t> turn{0};
};

Cost::Cost()
    : baton_(new (must(::mmap(nullptr, sizeof(Baton), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
                       "mmap")) Baton) {}

Cost::~Cost() { ::munmap(baton_, sizeof(Baton)); }

void Cost::await_turn(std::uint32_t turn) {
    while (baton_->turn.load(std::memory_order::acquire) != turn) {
        if (same_cpu_)
            SystemAtomics::yield();
        else
            SystemAtomics::relax();
    }
}

void Cost::hand_over() {
    // Only who has the turn writes.
    baton_->turn.store(baton_->turn.load(std::memory_order::relaxed) + 1,
                       std::memory_order::release);
}

void Cost::converse(Player& player) {
    same_cpu_ = player.same_cpu();
    player.before_attach();
    attach(player.side());
    player.after_attach();
    Laps laps;
    player.answer();
    player.serve([&](const Order& order) {
        laps.clear();
        player.measure([&] {
            for (std::uint64_t i = 0; i < order.leg.messages; ++i) pass(player.side(), laps);
        });
        laps.report(player.report().figures_ns);
    });
}

const std::vector<CostEntry>& all_costs() {
    static const std::vector<CostEntry> entries = [] {
        std::vector<CostEntry> all;
        for (const auto list :
             {system_call_costs, memory_copy_costs, payload_kernel_costs, mapping_costs,
              huge_page_costs, sysv_attach_costs, fresh_object_costs, in_place_costs,
              kernel_copy_costs, process_vm_costs, vmsplice_costs, wake_up_costs})
            for (CostEntry& entry : list()) all.push_back(std::move(entry));
        return all;
    }();
    return entries;
}

const CostEntry& cost_called(std::string_view name) {
    for (const CostEntry& entry : all_costs())
        if (entry.facts.name == name) return entry;
    throw std::invalid_argument(fmt::format("there is no cost called {}", name));
}

std::vector<CostCell> cost_cells(const std::vector<std::size_t>& sizes_bytes,
                                 const std::vector<Placement>& asked) {
    std::vector<CostCell> cells;
    for (const CostEntry& entry : all_costs()) {
        const CostFacts& facts = entry.facts;
        std::vector<std::size_t> sizes{0};
        if (facts.size_bytes_max > 0) {
            sizes = sizes_bytes;
            std::erase_if(sizes, [&](std::size_t size) {
                return size < facts.size_bytes_min || size > facts.size_bytes_max;
            });
        }
        for (const Placement placement : asked) {
            if (std::find(facts.placements.begin(), facts.placements.end(), placement) ==
                facts.placements.end())
                continue;
            for (const std::size_t size_bytes : sizes)
                for (const std::int64_t slept_ns : facts.sleeps_ns)
                    cells.push_back({facts.name, placement, size_bytes, slept_ns});
        }
    }
    return cells;
}

Row cost_row_without_figures(const CostCell& cell, const Conditions& conditions, int round,
                             RowStatus status, const std::string& reason) {
    Row row{.status = status, .json = header(cell, conditions, round, 1)};
    row.json["status"] = name_of(status);
    row.json["reason"] = reason;
    return row;
}

Row measure_cost(const CostCell& cell, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory) {
    try {
        return measure_pair(cell, conditions, round, attempt, memory);
    } catch (const PairRefused& error) {
        return cost_row_without_figures(cell, conditions, round, RowStatus::skipped, error.what());
    } catch (const PairFailed& error) {
        return cost_row_without_figures(cell, conditions, round, RowStatus::failed, error.what());
    } catch (const IpcError& error) {
        return cost_row_without_figures(cell, conditions, round, RowStatus::skipped, error.what());
    }
}

}  // namespace ipclab
