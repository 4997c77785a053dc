#include "harness/summary_rows.hpp"

#include "harness/row_fields.hpp"

#include <string_view>

namespace ipclab {
namespace {

constexpr std::array<std::string_view, 2> side_names{"initiator", "responder"};

SideCost read_side(const Fields& fields, std::string_view side, double exchanges) {
    const auto per_exchange = [&](std::string_view key) -> std::optional<double> {
        const auto total = fields.number({side, key});
        return total ? std::optional(*total / exchanges) : std::nullopt;
    };
    return {per_exchange("cpu_ns"), per_exchange("voluntary_switches"),
            per_exchange("involuntary_switches"), per_exchange("minor_faults")};
}

std::vector<CounterFigure> read_counters(const Fields& fields, std::string_view side,
                                         double messages) {
    std::vector<CounterFigure> counters;
    const Fields::Json* const found = fields.find({"counters", side});
    if (found == nullptr || !found->is_object()) return counters;
    for (const auto& [name, value] : found->items())
        if (value.is_number()) counters.push_back({name, value.get<double>() / messages});
    return counters;
}

PairFigures read_pair(const Fields& fields, const Cell& cell) {
    const Pattern pattern = cell.pattern;
    PairFigures pair;
    pair.round = static_cast<int>(fields.number({"round"}).value_or(0));
    const double messages = fields.needed_positive("messages");
    pair.exchanges = messages / static_cast<double>(cell.messages_per_exchange());
    if (pattern == Pattern::ping_pong) {
        const auto median_ns = fields.number({"round_trip_ns", "p50"});
        if (!median_ns || !(*median_ns > 0)) fields.refuse("round_trip_ns", nullptr);
        pair.figure_ns = *median_ns;
        pair.tail = {
            fields.number({"round_trip_ns", "p90"}), fields.number({"round_trip_ns", "p99"}),
            fields.number({"round_trip_ns", "p99_9"}), fields.number({"round_trip_ns", "max"})};
    } else if (pattern == Pattern::stream) {
        pair.figure_ns = fields.needed_positive("message_ns");
    } else {
        pair.figure_ns = fields.needed_positive("life_ns");
        for (std::size_t i = 0; i < life_steps.size(); ++i) {
            const auto step_ns = fields.number({"lifecycle", life_steps[i].key});
            if (!step_ns) fields.refuse("lifecycle", fields.find({"lifecycle"}));
            pair.life_ns[i] = *step_ns;
        }
        const auto first = fields.number({"lifecycle", "attach_initiator_minor_faults"});
        const auto second = fields.number({"lifecycle", "attach_responder_minor_faults"});
        if (first && second) pair.attach_faults = *first + *second;
    }
    pair.stride = fields.number({"stride"}).value_or(1);
    pair.fragments = fields.number({"fragments"}).value_or(1);
    for (std::size_t side = 0; side < side_names.size(); ++side)
        pair.sides[side] = read_side(fields, side_names[side], pair.exchanges);
    for (std::size_t side = 0; side < side_names.size(); ++side)
        pair.counters[side] = read_counters(fields, side_names[side], messages);
    return pair;
}

RecordedRow read_row(const Fields& fields) {
    RecordedRow row;
    static_cast<RowBasis&>(row) = read_basis(fields);
    row.cell = {fields.needed_text("mechanism"),
                fields.one_of("pattern", patterns),
                fields.needed_size("size_bytes"),
                fields.one_of("access", accesses),
                row.placement,
                static_cast<std::size_t>(fields.number({"capacity_asked_bytes"}).value_or(0)),
                static_cast<std::size_t>(fields.number({"batch_messages_asked"}).value_or(0))};
    if (fields.text({"stores_asked"})) row.cell.stores = fields.one_of("stores_asked", all_stores);
    row.waiting = fields.text({"waiting"}).value_or("");

    const bool whole = fields.number({"messages"}).has_value();
    if (row.status == RowStatus::ok || (row.status == RowStatus::disturbed && whole)) {
        row.has_figures = true;
        row.pair = read_pair(fields, row.cell);
        if (row.waiting.empty()) fields.refuse("waiting", fields.find({"waiting"}));
    }
    row.touch = fields.text({"touch"}).value_or("all");
    row.capacity_bytes = fields.number({"capacity_bytes"});
    row.publish_every = fields.number({"publish_every"});
    row.stores = fields.text({"stores"});
    row.bound_by = fields.text({"bound_by"});
    row.closed_loop = fields.is_true({"closed_loop"});
    row.pair.reference_ns = row.reference_ns;
    return row;
}

}  // namespace

std::vector<RecordedRow> read_rows(const RecordedRun& run) {
    std::vector<RecordedRow> rows;
    rows.reserve(run.rows.size());
    for_each_row(run, "row", [&](const Fields& fields) { rows.push_back(read_row(fields)); });
    return rows;
}

}  // namespace ipclab
