#include "harness/scenario.hpp"

#include "harness/quantity.hpp"
#include "harness/subject.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>
#include <system_error>

namespace ipclab {
namespace {

namespace fs = std::filesystem;

bool is_glob(std::string_view word) { return word.find_first_of("*?[") != std::string_view::npos; }

bool is_mechanism(const std::string& word) {
    const std::vector<Facts>& all = catalog_facts();
    return std::any_of(all.begin(), all.end(), [&](const Facts& f) { return f.name == word; });
}

/// A word that is no mechanism's name but begins several stands for all that it begins.
bool means(const std::string& word, const std::string& mechanism) {
    const std::string glob = is_glob(word) || is_mechanism(word) ? word : word + "/*";
    return ::fnmatch(glob.c_str(), mechanism.c_str(), 0) == 0;
}

/// The names, and what several of them have before their slash.
std::vector<std::string> mechanism_words() {
    std::vector<std::string> words;
    for (const Facts& mechanism : catalog_facts()) {
        const std::string name(mechanism.name);
        const std::string stem = name.substr(0, name.find('/'));
        if (std::find(words.begin(), words.end(), stem) == words.end()) words.push_back(stem);
        if (name != stem) words.push_back(name);
    }
    return words;
}

std::vector<std::string> shipped_scenarios(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored))
        if (entry.path().extension() == ".toml") names.push_back(entry.path().stem());
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace

std::size_t parse_message_size(std::string_view text) {
    const std::uint64_t bytes = parse_size(text);
    if (bytes > size_limit_bytes)
        throw BadQuantity(
            fmt::format("{:?}: must be at most {}", text, format_size(size_limit_bytes)));
    return bytes;
}

std::size_t parse_capacity(std::string_view text) {
    return text == "default" ? 0 : parse_message_size(text);
}

std::size_t parse_batch(std::string_view text) {
    if (text == "default") return 0;
    std::size_t messages = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, messages);
    if (stop != end || error != std::errc() || messages < 1 || messages > batch_limit_messages)
        throw BadQuantity(
            fmt::format("{:?}: must be a whole number of messages between 1 and {}, or \"default\"",
                        text, batch_limit_messages));
    return messages;
}

std::optional<Stores> parse_stores(std::string_view text) {
    if (text == "default") return std::nullopt;
    for (const Stores stores : all_stores)
        if (name_of(stores) == text) return stores;
    throw BadQuantity(unknown("stores", text, {"default", "plain", "non-temporal"}));
}

std::string unknown(std::string_view kind, std::string_view word,
                    const std::vector<std::string>& names) {
    const auto meant = nearest_name(word, names);
    return fmt::format("unknown {} {:?}; {}", kind, word,
                       meant ? fmt::format("did you mean {}?", *meant)
                             : fmt::format("known: {}", fmt::join(names, ", ")));
}

fs::path find_scenario(const std::string& word) {
    if (word.find('/') != std::string::npos || word.ends_with(".toml")) return word;
    const fs::path folder = fs::path(IPCLAB_SOURCE_DIR) / "scenarios";
    const std::vector<std::string> names = shipped_scenarios(folder);
    if (std::find(names.begin(), names.end(), word) == names.end())
        throw std::invalid_argument(unknown("scenario", word, names));
    return folder / (word + ".toml");
}

std::vector<std::string> match_mechanisms(const std::vector<std::string>& names) {
    std::vector<std::string> mechanisms;
    for (const Facts& facts : catalog_facts()) mechanisms.emplace_back(facts.name);
    for (const std::string& name : names) {
        const auto meant = [&](const std::string& mechanism) { return means(name, mechanism); };
        if (std::none_of(mechanisms.begin(), mechanisms.end(), meant))
            throw std::invalid_argument(unknown("mechanism", name, mechanism_words()));
    }
    const auto not_meant = [&](const std::string& mechanism) {
        return std::none_of(names.begin(), names.end(),
                            [&](const std::string& name) { return means(name, mechanism); });
    };
    mechanisms.erase(std::remove_if(mechanisms.begin(), mechanisms.end(), not_meant),
                     mechanisms.end());
    return mechanisms;
}

void narrow(Scenario& scenario, const Instead& instead) {
    const std::vector<std::string>& mechanisms = instead.mechanisms;
    const auto take = [](auto& ours, const auto& theirs) {
        if (!theirs.empty()) ours = theirs;
    };
    const auto change = [&](CellGroup& group) {
        take(group.sizes_bytes, instead.sizes_bytes);
        take(group.capacities_bytes, instead.capacities_bytes);
        take(group.batches_messages, instead.batches_messages);
        take(group.stores, instead.stores);
    };
    const std::vector<std::string> named = match_mechanisms(mechanisms);
    const auto keep_named = [&](CellGroup& group) {
        if (mechanisms.empty()) return;
        group.mechanisms = match_mechanisms(group.mechanisms);
        std::erase_if(group.mechanisms, [&](const std::string& mechanism) {
            return std::find(named.begin(), named.end(), mechanism) == named.end();
        });
    };
    change(scenario);
    const auto refuse_in_experiment = [&](std::string_view option, const auto& values) {
        if (scenario.experiment == Experiment::copy_vs_map && !values.empty())
            throw std::invalid_argument(
                fmt::format("{} has no place in {}, whose mechanisms are as they are by default",
                            option, scenario.name));
        if (scenario.experiment == Experiment::multi_queue && !values.empty())
            throw std::invalid_argument(
                fmt::format("{} has no place in {}, which measures memif with its default rings",
                            option, scenario.name));
    };
    refuse_in_experiment("--capacity", instead.capacities_bytes);
    refuse_in_experiment("--batch-messages", instead.batches_messages);
    refuse_in_experiment("--stores", instead.stores);
    if (scenario.experiment == Experiment::multi_queue)
        refuse_in_experiment("--mechanism", mechanisms);
    if (scenario.experiment == Experiment::copy_vs_map)
        keep_named(scenario);
    else if (!mechanisms.empty())
        scenario.mechanisms = mechanisms;
    for (CellGroup& group : scenario.measures) {
        change(group);
        keep_named(group);
    }
}

namespace {

/// The access in which a mechanism is measured for what is asked; none where that makes no sense.
std::vector<Access> accesses_of(const Facts& facts, Pattern pattern,
                                const std::vector<Access>& asked) {
    const bool lends = facts.sender == Dialect::lends || facts.receiver == Dialect::lends;
    const auto is_asked = [&](Access access) {
        return std::find(asked.begin(), asked.end(), access) != asked.end();
    };
    if (pattern == Pattern::lifecycle && lends && is_asked(Access::in_place))
        return {Access::in_place};
    if (lends) return asked;
    return is_asked(Access::copy) ? std::vector{Access::copy} : std::vector<Access>{};
}

void append_cells(const CellGroup& group, std::vector<Cell>& cells) {
    static const std::vector<std::size_t> none{0};
    static const std::vector<std::optional<Stores>> its_own{std::nullopt};
    const auto append = [&](const Cell& cell) {
        if (std::find(cells.begin(), cells.end(), cell) == cells.end()) cells.push_back(cell);
    };
    for (const std::string& mechanism : match_mechanisms(group.mechanisms)) {
        const Facts& facts = facts_of(mechanism);
        const bool payload = facts.sender != Dialect::notifies;
        const auto& all_stores_asked = facts.sender == Dialect::lends ? group.stores : its_own;
        for (const Pattern pattern : group.patterns) {
            const bool batched = payload && pattern != Pattern::lifecycle;
            for (const std::size_t size_bytes : payload ? group.sizes_bytes : none)
                for (const std::size_t capacity_bytes : payload ? group.capacities_bytes : none)
                    for (const std::size_t batch : batched ? group.batches_messages : none)
                        for (const std::optional<Stores>& stores : all_stores_asked)
                            for (const Access access : accesses_of(facts, pattern, group.access))
                                for (const Placement placement : group.placements)
                                    append({mechanism, pattern, size_bytes, access, placement,
                                            capacity_bytes, batch, stores});
        }
    }
}

}  // namespace

std::vector<Cell> cells_of(const Scenario& scenario) {
    std::vector<Cell> cells;
    if (scenario.experiment != Experiment::cells) return cells;
    if (scenario.measures.empty()) append_cells(scenario, cells);
    for (const CellGroup& group : scenario.measures) append_cells(group, cells);
    return cells;
}

}  // namespace ipclab
