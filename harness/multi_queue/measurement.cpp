#include "harness/multi_queue/measurement.hpp"

#include "harness/multi_queue/side.hpp"
#include "harness/quantity.hpp"

#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <numeric>
#include <unistd.h>

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

constexpr Placement placement = Placement::two_cpus;
constexpr std::uint64_t packets_min = 4096;
/// Half of what a queue's default buffers hold: a packet must find room while others are read.
constexpr std::size_t size_limit = std::size_t{1} << 20;
/// A row in which the payload's kernels take more than this is bound by them.
constexpr double bound_share = 0.5;

class QueueSubject : public Subject {
  public:
    explicit QueueSubject(const QueueCell& cell) : cell_(cell), socket_(unused_memif_socket()) {}

    void stand_aside() override {}

    void converse(Player& player) override {
        player.before_attach();
        {
            memif::Interface interface(queue_options(cell_, player.side(), socket_));
            await_connection(interface, cell_);
            QueueSide side(interface, cell_, player.side());
            player.after_attach();
            player.answer();
            player.serve([&](const Order& order) { side.play(player, order.leg); });
            player.before_detach();
        }
        player.after_detach();
    }

  private:
    QueueCell cell_;
    std::string socket_;
};

bool shares_a_cpu(const QueueCell& cell) {
    return cell.threads == QueueThreads::per_queue && cell.queues > 1;
}

Json header(const QueueCell& cell, const Conditions& conditions, int round, int attempt) {
    return {{"type", "multi_queue"},
            {"scenario", conditions.scenario},
            {"queues", cell.queues},
            {"threads", name_of(cell.threads)},
            {"threads_share_a_cpu", shares_a_cpu(cell)},
            {"mode", name_of(cell.mode)},
            {"size_bytes", cell.size_bytes},
            {"burst", cell.burst},
            {"access", name_of(Access::copy)},
            {"placement", name_of(placement)},
            {"round", round},
            {"attempt", attempt}};
}

LegResult run_batch(Session& session, const Conditions& conditions) {
    const LegResult warm = session.warm_up(conditions.batch / 4);
    const double packet_ns =
        static_cast<double>(warm.elapsed_ns) / static_cast<double>(warm.leg.messages);
    const auto wanted =
        static_cast<std::uint64_t>(static_cast<double>(conditions.batch.count()) / packet_ns);
    return session.run_leg(std::max(packets_min, wanted));
}

/// Threads that share a CPU wait for each other there: what a polling side lost is what none of its
/// threads used. What one that sleeps lost beyond what the host stole, nothing tells.
void look_for_losses(Batch& batch, const QueueCell& cell) {
    if (!shares_a_cpu(cell) || cell.mode != QueueMode::polling) return;
    const auto elapsed_ns = static_cast<double>(batch.result.elapsed_ns);
    for (const SideReport& side : batch.result.sides)
        batch.lost_share =
            std::max(batch.lost_share, 1 - static_cast<double>(side.usage.cpu_ns) / elapsed_ns);
    batch.disturbed = why_disturbed(batch.before, batch.after, batch.lost_share);
}

/// Sender and receiver work side by side.
Json bound_by(const QueueCell& cell, const Conditions& conditions, double packet_ns) {
    const auto cost = conditions.payload_costs.find(cell.size_bytes);
    if (cost == conditions.payload_costs.end()) return nullptr;
    const auto [fill_ns, check_ns] = cost->second;
    if (std::max(fill_ns, check_ns) < bound_share * packet_ns) return nullptr;
    return fill_ns >= check_ns ? "fill" : "check";
}

void add_queues(Json& json, const QueueCell& cell, const SideReport& receiver) {
    const auto counts = std::span(receiver.queue_messages).first(cell.queues);
    json["queue_messages"] = counts;
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    json["fairness"] =
        static_cast<double>(*least) / static_cast<double>(std::max<std::uint64_t>(1, *most));
}

Row measure_pair(const QueueCell& cell, const Conditions& conditions, int round, int attempt,
                 SessionMemory& memory, const QueueSubjectMaker& make) {
    const auto subject = make(cell);
    Session session(*subject, cpus_for(placement), memory);
    Batch batch =
        run_between_probes(session, placement, [&] { return run_batch(session, conditions); });
    look_for_losses(batch, cell);
    const LegResult& result = batch.result;
    const double packet_ns =
        static_cast<double>(result.elapsed_ns) / static_cast<double>(result.leg.messages);

    Row row{.figure_ns = packet_ns,
            .distance = batch.before.distance,
            .json = header(cell, conditions, round, attempt)};
    set_status(row, batch.disturbed);
    Json& json = row.json;
    const memif::Options options = queue_options(cell, Side::initiator, "");
    json["messages"] = result.leg.messages;
    json["elapsed_ns"] = result.elapsed_ns;
    json["message_ns"] = packet_ns;
    json["messages_per_s"] = 1e9 / packet_ns;
    json["bytes_per_s"] = 1e9 / packet_ns * static_cast<double>(cell.size_bytes);
    add_queues(json, cell, result.sides[1]);
    json["ring_slots"] = std::size_t{1} << options.log2_ring_size;
    json["buffer_bytes"] = options.buffer_bytes;
    json["bound_by"] = bound_by(cell, conditions, packet_ns);
    add_batch(json, batch);
    add_conditions(json, conditions);
    session.quit();
    return row;
}

}  // namespace

std::vector<QueueCell> queue_cells_of(const Scenario& scenario) {
    std::vector<QueueCell> cells;
    if (scenario.experiment != Experiment::multi_queue) return cells;
    const QueueGrid& grid = scenario.queue_grid;
    const bool has_one_thread = std::find(grid.threads.begin(), grid.threads.end(),
                                          QueueThreads::one) != grid.threads.end();
    for (const std::size_t queues : grid.queues)
        for (const QueueThreads threads : grid.threads) {
            if (queues == 1 && threads == QueueThreads::per_queue && has_one_thread) continue;
            for (const QueueMode mode : grid.modes)
                for (const std::size_t size_bytes : scenario.sizes_bytes)
                    for (const std::size_t burst : grid.bursts)
                        cells.push_back({queues, threads, mode, size_bytes, burst});
        }
    return cells;
}

std::string in_words(const QueueCell& cell) {
    return fmt::format("{} queue{}, {}, {}, {}, bursts of {}", cell.queues,
                       cell.queues == 1 ? "" : "s",
                       cell.threads == QueueThreads::one ? "one thread" : "a thread per queue",
                       name_of(cell.mode), format_size(cell.size_bytes), cell.burst);
}

std::optional<std::string> reason_to_skip(const QueueCell& cell, std::size_t cpus) {
    if (cpus < 2) return "this process may use one CPU only";
    if (cell.size_bytes > size_limit)
        return fmt::format("a packet of {} needs more than half of a queue's buffers",
                           format_size(cell.size_bytes));
    return std::nullopt;
}

std::string unused_memif_socket() {
    static std::atomic<unsigned> made{0};
    return fmt::format("@ipclab-multi-queue-{}-{}", ::getpid(), ++made);
}

std::unique_ptr<Subject> create_subject(const QueueCell& cell) {
    return std::make_unique<QueueSubject>(cell);
}

Row queue_row_without_figures(const QueueCell& cell, const Conditions& conditions, int round,
                              RowStatus status, const std::string& reason) {
    Row row{.status = status, .json = header(cell, conditions, round, 1)};
    row.json["status"] = name_of(status);
    row.json["reason"] = reason;
    return row;
}

Row measure_queues(const QueueCell& cell, const Conditions& conditions, int round, int attempt,
                   SessionMemory& memory, const QueueSubjectMaker& make) {
    const auto without_figures = [&](RowStatus status, const std::exception& error) {
        return queue_row_without_figures(cell, conditions, round, status, error.what());
    };
    try {
        return measure_pair(cell, conditions, round, attempt, memory, make);
    } catch (const PairRefused& error) {
        return without_figures(RowStatus::skipped, error);
    } catch (const PairFailed& error) {
        return without_figures(RowStatus::failed, error);
    } catch (const IpcError& error) {
        return without_figures(RowStatus::skipped, error);
    }
}

}  // namespace ipclab
