#include "harness/copy_or_map/recorded.hpp"

#include "harness/row_fields.hpp"

#include <array>
#include <cmath>

namespace ipclab {
namespace {

constexpr std::array waitings{Waiting::sleeps, Waiting::spins, Waiting::spins_yielding,
                              Waiting::spins_then_sleeps};

/// An undisturbed row has figures; a disturbed one has, where it got so far.
bool promises_figures(const RowBasis& row, bool has_some) {
    return row.status == RowStatus::ok || (row.status == RowStatus::disturbed && has_some);
}

RecordedCost read_cost(const Fields& fields) {
    RecordedCost row;
    static_cast<RowBasis&>(row) = read_basis(fields);
    row.cell = {fields.needed_text("cost"), row.placement, fields.needed_size("size_bytes"),
                static_cast<std::int64_t>(fields.number({"slept_ns"}).value_or(0))};
    const auto* const figures = fields.find({"figures_ns"});
    row.has_figures = promises_figures(row, figures != nullptr);
    if (!row.has_figures) return row;
    if (figures == nullptr || !figures->is_object()) fields.refuse("figures_ns", figures);
    for (const auto& [name, value] : figures->items()) {
        if (value.is_null()) continue;
        if (!value.is_number() || !(value.template get<double>() >= 0))
            fields.refuse("figures_ns", figures);
        row.figures_ns.emplace(name, value.template get<double>());
    }
    return row;
}

/// What both sides used between them, per message. An exchange is two messages, and each side sends
/// one of them; half of what the initiator used stands for the sender, of the responder for the
/// receiver.
void read_usage(const Fields& fields, RecordedTransfer& row) {
    const auto exchanges = fields.number({"messages"});
    if (!exchanges || !(*exchanges > 0)) return;
    const auto per_message = [&](std::string_view side, std::string_view key) {
        const auto total = fields.number({side, key});
        return total ? std::optional(*total / *exchanges / 2) : std::nullopt;
    };
    constexpr std::array<std::string_view, 2> sides{"initiator", "responder"};
    double switches = 0;
    bool told = true;
    for (std::size_t i = 0; i < sides.size(); ++i) {
        row.cpu_ns[i] = per_message(sides[i], "cpu_ns");
        for (const std::string_view key : {"voluntary_switches", "involuntary_switches"}) {
            const auto count = per_message(sides[i], key);
            told = told && count.has_value();
            switches += count.value_or(0);
        }
    }
    if (told) row.switches = switches;
}

RecordedTransfer read_transfer(const Fields& fields) {
    RecordedTransfer row;
    static_cast<RowBasis&>(row) = read_basis(fields);
    row.transfer = {fields.one_of("way", ways),         fields.text({"mechanism"}).value_or(""),
                    fields.one_of("waiting", waitings), fields.needed_size("messages_per_mapping"),
                    fields.needed_size("size_bytes"),   row.placement,
                    fields.text({"arm"}).value_or("")};
    if (row.transfer.way == Way::copy && row.transfer.mechanism.empty())
        fields.refuse("mechanism", fields.find({"mechanism"}));
    row.has_figures = promises_figures(row, fields.number({"transfer_ns"}).has_value());
    if (!row.has_figures) return row;
    row.transfer_ns = fields.needed_positive("transfer_ns");
    for (std::size_t i = 0; i < phases.size(); ++i)
        row.phases_ns[i] = fields.number({"phases_ns", name_of(phases[i])});
    read_usage(fields, row);
    return row;
}

}  // namespace

std::vector<RecordedCost> read_costs(const RecordedRun& run) {
    std::vector<RecordedCost> rows;
    for_each_row(run, "cost", [&](const Fields& fields) { rows.push_back(read_cost(fields)); });
    return rows;
}

std::vector<RecordedTransfer> read_transfers(const RecordedRun& run) {
    std::vector<RecordedTransfer> rows;
    for_each_row(run, "transfer",
                 [&](const Fields& fields) { rows.push_back(read_transfer(fields)); });
    return rows;
}

}  // namespace ipclab
