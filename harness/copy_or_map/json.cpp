#include "harness/copy_or_map/copy_or_map.hpp"
#include "harness/copy_or_map/sentences.hpp"

namespace ipclab {
namespace {

using Json = nlohmann::ordered_json;

constexpr int copy_or_map_schema = 1;

constexpr std::string_view name_of(CellState state) {
    switch (state) {
    case CellState::measured:
        return "measured";
    case CellState::only_disturbed:
        return "only_disturbed";
    case CellState::other_distance:
        return "other_distance";
    case CellState::failed:
        return "failed";
    case CellState::skipped:
        break;
    }
    return "skipped";
}

Json text_or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); }

/// `key`_ns, low_ns and high_ns: null where there is no figure, or no interval.
void add_estimate(Json& json, const std::string& key, const Estimate& estimate, std::size_t pairs) {
    json[key] = pairs > 0 ? Json(estimate.median) : Json(nullptr);
    json["low_ns"] = estimate.interval ? Json(estimate.interval->low) : Json(nullptr);
    json["high_ns"] = estimate.interval ? Json(estimate.interval->high) : Json(nullptr);
    json["pairs"] = pairs;
}

Json json_of(const CostFinding& finding) {
    Json json{{"cost", finding.cell.cost},
              {"figure", finding.figure},
              {"placement", ipclab::name_of(finding.cell.placement)},
              {"size_bytes", finding.cell.size_bytes},
              {"slept_ns", finding.cell.slept_ns},
              {"state", name_of(finding.state)},
              {"reason", text_or_null(finding.reason)}};
    add_estimate(json, "value_ns", finding.value_ns, finding.pairs);
    return json;
}

Json phases_of(const TransferFinding& finding) {
    Json json = Json::object();
    bool stamped = false;
    for (std::size_t i = 0; i < phases.size(); ++i) {
        json[std::string(ipclab::name_of(phases[i]))] = finding.phases_ns[i];
        stamped |= finding.phases_ns[i] > 0;
    }
    return stamped ? json : Json(nullptr);
}

Json json_of(const Modelled& modelled) {
    Json terms = Json::array();
    for (const Term& term : modelled.terms)
        terms.push_back({{"name", term.name},
                         {"ns", term.ns},
                         {"phase", ipclab::name_of(term.phase)},
                         {"cost", term.cost}});
    const bool whole = modelled.missing.empty();
    return {{"total_ns", whole ? Json(modelled.total_ns()) : Json(nullptr)},
            {"terms", std::move(terms)},
            {"missing", text_or_null(modelled.missing)}};
}

Json json_of(const TransferFinding& finding) {
    const Transfer& transfer = finding.transfer;
    const std::size_t pairs = finding.by_round_ns.size();
    const bool compared = pairs > 0 && finding.model.missing.empty();
    const auto cpu = [&](std::size_t side) {
        return finding.cpu_ns[side] > 0 ? Json(finding.cpu_ns[side]) : Json(nullptr);
    };
    Json json{{"way", ipclab::name_of(transfer.way)},
              {"mechanism", text_or_null(transfer.mechanism)},
              {"waiting", ipclab::name_of(transfer.waiting)},
              {"placement", ipclab::name_of(transfer.placement)},
              {"messages_per_mapping", transfer.messages_per_mapping},
              {"size_bytes", transfer.size_bytes},
              {"arm", transfer.arm},
              {"state", name_of(finding.state)},
              {"reason", text_or_null(finding.reason)}};
    add_estimate(json, "transfer_ns", finding.transfer_ns, pairs);
    json["phases_ns"] = phases_of(finding);
    json["cpu_ns"] = {{"sender", cpu(0)}, {"receiver", cpu(1)}};
    json["switches"] = finding.switches ? Json(*finding.switches) : Json(nullptr);
    json["model"] = json_of(finding.model);
    json["residual"] = compared ? Json(finding.residual) : Json(nullptr);
    json["within"] = compared ? Json(finding.within) : Json(nullptr);
    json["suspect"] = text_or_null(finding.suspect);
    return json;
}

Json json_of(const CrossingFinding& finding) {
    const Crossing& crossing = finding.crossing;
    const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
    return {{"placement", ipclab::name_of(finding.place.placement)},
            {"waiting", ipclab::name_of(finding.place.waiting)},
            {"copy", finding.copy},
            {"way", ipclab::name_of(finding.way)},
            {"messages_per_mapping", or_null(finding.messages_per_mapping)},
            {"source", finding.from_model ? "model" : "measured"},
            {"state", ipclab::name_of(crossing.state)},
            {"size_bytes",
             crossing.state == CrossingState::crosses ? Json(crossing.size_bytes) : Json(nullptr)},
            {"low_bytes", or_null(crossing.low_bytes)},
            {"high_bytes", or_null(crossing.high_bytes)},
            {"all_sizes_bytes", crossing.all_sizes_bytes},
            {"nearly_parallel", crossing.nearly_parallel},
            {"reason", text_or_null(finding.reason)}};
}

Json json_of(const Agreement& agreement) {
    const auto cells = static_cast<double>(agreement.cells);
    return {{"placement", ipclab::name_of(agreement.placement)},
            {"cells", agreement.cells},
            {"within", agreement.within},
            {"share", agreement.cells == 0 ? Json(nullptr)
                                           : Json(static_cast<double>(agreement.within) / cells)},
            {"misses", agreement.misses},
            {"without_model", agreement.without_model}};
}

Json json_of(const FalseAlarms& found) {
    Json alarms = Json::array();
    for (const auto& [transfer, comparison] : found.alarms)
        alarms.push_back({{"way", ipclab::name_of(transfer.way)},
                          {"mechanism", text_or_null(transfer.mechanism)},
                          {"waiting", ipclab::name_of(transfer.waiting)},
                          {"placement", ipclab::name_of(transfer.placement)},
                          {"messages_per_mapping", transfer.messages_per_mapping},
                          {"size_bytes", transfer.size_bytes},
                          {"ratio", comparison.ratio},
                          {"low", comparison.interval->low},
                          {"high", comparison.interval->high}});
    return {{"comparisons", found.comparisons},
            {"false_alarms", found.false_alarms},
            {"allowed", found.allowed},
            {"too_few_pairs", found.too_few_pairs},
            {"alarms", std::move(alarms)}};
}

}  // namespace

Json copy_or_map_json(const CopyOrMap& found) {
    Json json{{"schema", copy_or_map_schema}};
    Json& places = json["places"] = Json::array();
    for (const Place& place : places_of(found)) {
        const auto distance = found.distances.find(place.placement);
        places.push_back(
            {{"placement", ipclab::name_of(place.placement)},
             {"waiting", ipclab::name_of(place.waiting)},
             {"distance", distance == found.distances.end() ? "unknown" : distance->second}});
    }
    Json& costs = json["costs"] = Json::array();
    for (const CostFinding& finding : found.costs) costs.push_back(json_of(finding));
    Json& explanations = json["explanations"] = Json::object();
    for (const CostEntry& entry : all_costs())
        explanations[entry.facts.name] = entry.facts.explanation;
    Json& transfers = json["transfers"] = Json::array();
    for (const TransferFinding& finding : found.transfers) transfers.push_back(json_of(finding));
    Json& crossings = json["crossings"] = Json::array();
    for (const CrossingFinding& finding : found.crossings) crossings.push_back(json_of(finding));
    Json& agreements = json["agreement"] = Json::array();
    for (const Agreement& agreement : found.agreements) agreements.push_back(json_of(agreement));
    json["sentences"] = sentences_of(found);
    json["a_a"] = found.false_alarms ? json_of(*found.false_alarms) : Json(nullptr);
    return json;
}

}  // namespace ipclab
