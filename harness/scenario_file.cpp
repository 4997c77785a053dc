// What a scenario's file may say, and how it is read.
#include "harness/scenario.hpp"

#include "harness/quantity.hpp"
#include "harness/subject.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <limits>
#include <system_error>
#include <toml++/toml.h>

namespace ipclab {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const toml::source_region& where, std::string_view what) {
    throw ScenarioError(fmt::format("{}:{}:{}: {}", where.path ? *where.path : std::string(),
                                    where.begin.line, where.begin.column, what));
}

/// Whether a key must, may or must not stand.
enum class Need { required, optional, none };

/// One key of a scenario: how to write its value, and how to read it. A key of a group may stand in
/// [[measure]] as well.
struct Key {
    std::string_view name;
    std::string_view example;
    Need of_cells;
    Need of_copy_vs_map;
    void (*read_group)(const Key& key, const toml::node& value, CellGroup& group);
    void (*read_scenario)(const Key& key, const toml::node& value, Scenario& scenario);
    Need of_multi_queue = Need::none;
};

std::string_view type_of(const toml::node& value) {
    switch (value.type()) {
    case toml::node_type::table:
        return "a table";
    case toml::node_type::array:
        return "a list";
    case toml::node_type::string:
        return "a string";
    case toml::node_type::integer:
        return "a whole number";
    case toml::node_type::floating_point:
        return "a number with a point";
    case toml::node_type::boolean:
        return "a boolean";
    default:
        return "a date or a time";
    }
}

[[noreturn]] void refuse_type(const Key& key, const toml::node& value, std::string_view needed) {
    refuse(value.source(), fmt::format("{} must be {}, not {}; write {} = {}", key.name, needed,
                                       type_of(value), key.name, key.example));
}

const std::string& string_of(const Key& key, const toml::node& value, std::string_view needed) {
    if (const auto* text = value.as_string()) return text->get();
    refuse_type(key, value, needed);
}

/// Calls a parser of quantities and adds the place to its refusal.
template <class Parser>
auto parsed(const toml::node& value, const std::string& text, Parser parse) {
    try {
        return parse(text);
    } catch (const BadQuantity& error) {
        refuse(value.source(), error.what());
    }
}

/// A list of one element at least, and of no two that are the same.
template <class Element>
std::vector<Element> list_of(const Key& key, const toml::node& value, auto&& read_element) {
    const toml::array* const list = value.as_array();
    if (list == nullptr) refuse_type(key, value, "a list");
    if (list->empty())
        refuse(value.source(),
               fmt::format("{} is empty; write {} = {}", key.name, key.name, key.example));
    std::vector<Element> elements;
    for (const toml::node& item : *list) {
        Element element = read_element(item);
        if (std::find(elements.begin(), elements.end(), element) != elements.end())
            refuse(item.source(), fmt::format("{} holds this value twice", key.name));
        elements.push_back(std::move(element));
    }
    return elements;
}

/// The value of an enumeration that a word names.
template <class Enum, std::size_t count>
Enum word_of(const Key& key, std::string_view kind, const toml::node& value,
             const std::array<Enum, count>& all, std::string_view needed) {
    const std::string& word = string_of(key, value, needed);
    std::vector<std::string> names;
    for (const Enum candidate : all) {
        if (name_of(candidate) == word) return candidate;
        names.emplace_back(name_of(candidate));
    }
    refuse(value.source(), unknown(kind, word, names));
}

template <class Enum, std::size_t count>
std::vector<Enum> words_of(const Key& key, std::string_view kind, const toml::node& value,
                           const std::array<Enum, count>& all) {
    return list_of<Enum>(key, value, [&](const toml::node& item) {
        return word_of(key, kind, item, all, "a list of strings");
    });
}

void read_mechanisms(const Key& key, const toml::node& value, CellGroup& group) {
    group.mechanisms = list_of<std::string>(key, value, [&](const toml::node& item) {
        const std::string& name = string_of(key, item, "a list of strings");
        try {
            match_mechanisms({name});
        } catch (const std::invalid_argument& error) {
            refuse(item.source(), error.what());
        }
        return name;
    });
}

void read_patterns(const Key& key, const toml::node& value, CellGroup& group) {
    group.patterns = words_of(key, "pattern", value, patterns);
}

void read_access(const Key& key, const toml::node& value, CellGroup& group) {
    group.access = words_of(key, "access", value, accesses);
}

void read_placements(const Key& key, const toml::node& value, CellGroup& group) {
    group.placements = words_of(key, "placement", value, placements);
}

void read_sizes(const Key& key, const toml::node& value, CellGroup& group) {
    group.sizes_bytes = list_of<std::size_t>(key, value, [&](const toml::node& item) {
        const std::string text = item.is_integer()
                                     ? fmt::format("{}", item.as_integer()->get())
                                     : string_of(key, item, "a list of strings or whole numbers");
        return parsed(item, text, parse_message_size);
    });
}

void read_capacity(const Key& key, const toml::node& value, CellGroup& group) {
    group.capacities_bytes = list_of<std::size_t>(key, value, [&](const toml::node& item) {
        const std::string text = item.is_integer()
                                     ? fmt::format("{}", item.as_integer()->get())
                                     : string_of(key, item, "a list of strings or whole numbers");
        return parsed(item, text, parse_capacity);
    });
}

void read_batch_messages(const Key& key, const toml::node& value, CellGroup& group) {
    group.batches_messages = list_of<std::size_t>(key, value, [&](const toml::node& item) {
        const std::string text = item.is_integer()
                                     ? fmt::format("{}", item.as_integer()->get())
                                     : string_of(key, item, "a list of whole numbers");
        return parsed(item, text, parse_batch);
    });
}

void read_stores(const Key& key, const toml::node& value, CellGroup& group) {
    group.stores = list_of<std::optional<Stores>>(key, value, [&](const toml::node& item) {
        return parsed(item, string_of(key, item, "a list of strings"), parse_stores);
    });
}

void read_rounds_max(const Key& key, const toml::node& value, Scenario& scenario) {
    if (!value.is_integer()) refuse_type(key, value, "a whole number");
    const std::int64_t rounds = value.as_integer()->get();
    if (rounds < 1 || rounds > std::numeric_limits<int>::max())
        refuse(value.source(), fmt::format("{} must be between 1 and {}", key.name,
                                           std::numeric_limits<int>::max()));
    scenario.rounds_max = static_cast<int>(rounds);
}

void read_batch(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.batch = parsed(value, string_of(key, value, "a string"), parse_duration);
}

void read_budget(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.budget = parsed(value, string_of(key, value, "a string"), parse_duration);
}

void read_interval_width_target(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.interval_width_target =
        parsed(value, string_of(key, value, "a string"), parse_percent);
}

void read_touch(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.touch =
        word_of(key, "touch", value, std::array{Touch::all, Touch::header}, "a string");
}

void read_pure_spin_on_one_cpu(const Key& key, const toml::node& value, Scenario& scenario) {
    if (!value.is_boolean()) refuse_type(key, value, "a boolean");
    scenario.pure_spin_on_one_cpu = value.as_boolean()->get();
}

void read_experiment(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.experiment =
        word_of(key, "experiment", value,
                std::array{Experiment::copy_vs_map, Experiment::multi_queue}, "a string");
}

void read_messages_per_mapping(const Key& key, const toml::node& value, Scenario& scenario) {
    constexpr std::int64_t messages_max = 1'000'000;
    scenario.messages_per_mapping = list_of<std::uint64_t>(key, value, [&](const toml::node& item) {
        if (!item.is_integer()) refuse_type(key, item, "a list of whole numbers");
        const std::int64_t messages = item.as_integer()->get();
        if (messages < 1 || messages > messages_max)
            refuse(item.source(),
                   fmt::format("{} must be between 1 and {}", key.name, messages_max));
        return static_cast<std::uint64_t>(messages);
    });
}

void read_a_a(const Key& key, const toml::node& value, Scenario& scenario) {
    if (!value.is_boolean()) refuse_type(key, value, "a boolean");
    scenario.a_a = value.as_boolean()->get();
}

// ---- the experiment multi-queue ----

std::vector<std::size_t> counts_of(const Key& key, const toml::node& value, std::size_t most) {
    return list_of<std::size_t>(key, value, [&](const toml::node& item) {
        if (!item.is_integer()) refuse_type(key, item, "a list of whole numbers");
        const std::int64_t count = item.as_integer()->get();
        if (count < 1 || count > static_cast<std::int64_t>(most))
            refuse(item.source(), fmt::format("{} must be between 1 and {}", key.name, most));
        return static_cast<std::size_t>(count);
    });
}

void read_queues(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.queue_grid.queues = counts_of(key, value, queues_limit);
}

void read_bursts(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.queue_grid.bursts = counts_of(key, value, burst_limit);
}

void read_threads(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.queue_grid.threads = words_of(key, "kind of threads", value, all_queue_threads);
}

void read_modes(const Key& key, const toml::node& value, Scenario& scenario) {
    scenario.queue_grid.modes = words_of(key, "mode", value, all_queue_modes);
}

constexpr std::string_view quick_table = "quick";
constexpr std::string_view measure_table = "measure";
constexpr std::string_view experiment_key = "experiment";
constexpr std::array keys{
    Key{"mechanisms", R"(["pipe", "spsc-ring/*"])", Need::optional, Need::required, read_mechanisms,
        nullptr},
    Key{"patterns", R"(["ping_pong", "stream"])", Need::required, Need::none, read_patterns,
        nullptr},
    Key{"sizes", R"(["64 B", "4 KiB"])", Need::required, Need::required, read_sizes, nullptr,
        Need::required},
    Key{"capacity", R"(["default", "64 KiB"])", Need::optional, Need::none, read_capacity, nullptr},
    Key{"batch_messages", R"(["default", 1, 32])", Need::optional, Need::none, read_batch_messages,
        nullptr},
    Key{"stores", R"(["plain", "non-temporal"])", Need::optional, Need::none, read_stores, nullptr},
    Key{"access", R"(["copy", "in_place"])", Need::required, Need::none, read_access, nullptr},
    Key{"placements", R"(["same_cpu", "two_cpus"])", Need::required, Need::required,
        read_placements, nullptr},
    Key{"rounds_max", "12", Need::required, Need::required, nullptr, read_rounds_max,
        Need::required},
    Key{"batch", R"("20 ms")", Need::required, Need::required, nullptr, read_batch, Need::required},
    Key{"budget", R"("60 s")", Need::required, Need::required, nullptr, read_budget,
        Need::required},
    Key{"interval_width_target", R"("5 %")", Need::required, Need::required, nullptr,
        read_interval_width_target, Need::required},
    Key{"touch", R"("header")", Need::optional, Need::none, nullptr, read_touch},
    Key{"pure_spin_on_one_cpu", "true", Need::optional, Need::none, nullptr,
        read_pure_spin_on_one_cpu},
    Key{experiment_key, R"("copy-vs-map")", Need::optional, Need::optional, nullptr,
        read_experiment, Need::optional},
    Key{"messages_per_mapping", "[1, 10, 100]", Need::none, Need::required, nullptr,
        read_messages_per_mapping},
    Key{"a_a", "true", Need::none, Need::optional, nullptr, read_a_a},
    Key{"queues", "[1, 2, 4]", Need::none, Need::none, nullptr, read_queues, Need::required},
    Key{"threads", R"(["one", "per_queue"])", Need::none, Need::none, nullptr, read_threads,
        Need::required},
    Key{"modes", R"(["polling", "interrupt"])", Need::none, Need::none, nullptr, read_modes,
        Need::required},
    Key{"bursts", "[1, 32]", Need::none, Need::none, nullptr, read_bursts, Need::required},
};

Need need_of(const Key& key, Experiment experiment) {
    switch (experiment) {
    case Experiment::cells:
        return key.of_cells;
    case Experiment::copy_vs_map:
        return key.of_copy_vs_map;
    case Experiment::multi_queue:
        break;
    }
    return key.of_multi_queue;
}

/// Where a key stands.
enum class Level { file, quick, measure };

/// Of those that have a place there.
std::vector<std::string> key_names(Level level, Experiment experiment) {
    std::vector<std::string> names;
    for (const Key& key : keys) {
        if (need_of(key, experiment) == Need::none) continue;
        if (level == Level::measure && key.read_group == nullptr) continue;
        if (level == Level::quick && key.name == experiment_key) continue;
        names.emplace_back(key.name);
    }
    if (level != Level::measure && experiment == Experiment::cells)
        names.emplace_back(measure_table);
    if (level == Level::file) names.emplace_back(quick_table);
    return names;
}

[[noreturn]] void refuse_in_experiment(const toml::source_region& where, std::string_view key,
                                       Experiment experiment) {
    refuse(where, fmt::format("{} has no place in the experiment {}, which {}; leave it out", key,
                              name_of(experiment),
                              experiment == Experiment::copy_vs_map
                                  ? "sends whole messages there and back by ways of its own"
                                  : "streams packets over queues of memif, on two CPUs"));
}

/// The experiment that has this key, where cells have not.
Experiment experiment_with(const Key& key) {
    return key.of_copy_vs_map == Need::none ? Experiment::multi_queue : Experiment::copy_vs_map;
}

/// The key of this name; refuses what is none, or has no place here.
const Key& key_of(const toml::key& name, Level level, Experiment experiment) {
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [word = name.str()](const Key& k) { return k.name == word; });
    if (key == keys.end())
        refuse(name.source(), unknown("key", name.str(), key_names(level, experiment)));
    if (need_of(*key, experiment) == Need::none) {
        if (experiment != Experiment::cells)
            refuse_in_experiment(name.source(), key->name, experiment);
        refuse(name.source(), fmt::format("{} is for an experiment; write experiment = \"{}\" as "
                                          "well, or leave it out",
                                          key->name, name_of(experiment_with(*key))));
    }
    if (level == Level::measure && key->read_group == nullptr)
        refuse(name.source(), fmt::format("{} holds for the whole scenario; write it above the "
                                          "first [[measure]]",
                                          key->name));
    if (level == Level::quick && key->name == experiment_key)
        refuse(name.source(), "the experiment is the same with --quick; write it above [quick]");
    return *key;
}

/// The tables [[measure]], each with what stands above it for what it does not say itself.
std::vector<CellGroup> read_measures(const toml::node& node, std::string_view name,
                                     const CellGroup& above) {
    const toml::array* const tables = node.as_array();
    if (tables == nullptr || !tables->is_homogeneous<toml::table>())
        refuse(node.source(), fmt::format("{} must be an array of tables, not {}; write [[{}]]",
                                          measure_table, type_of(node), name));
    std::vector<CellGroup> groups;
    for (const toml::node& table : *tables) {
        CellGroup& group = groups.emplace_back(above);
        for (const auto& [key_name, value] : *table.as_table()) {
            const Key& key = key_of(key_name, Level::measure, Experiment::cells);
            key.read_group(key, value, group);
        }
    }
    return groups;
}

/// What the experiment copies with: both sides of a mechanism sleep, or both spin, so that it can
/// be held against what maps and waits in the same way.
void check_copying_mechanisms(const toml::node& list) {
    for (const toml::node& item : *list.as_array())
        for (const std::string& name : match_mechanisms({item.as_string()->get()})) {
            const Facts& facts = facts_of(name);
            if (facts.sender == Dialect::notifies || facts.copies == 0)
                refuse(item.source(),
                       fmt::format("{} does not copy; name mechanisms that do", name));
            if (facts.delivery == Delivery::may_lose)
                refuse(item.source(), fmt::format("{} may lose messages; name others", name));
            if (facts.waiting != Waiting::sleeps && facts.waiting != Waiting::spins)
                refuse(item.source(), fmt::format("{} {}: its time cannot be held against what "
                                                  "only sleeps or only spins; name others",
                                                  name, name_of(facts.waiting)));
        }
}

/// Reads a table's own keys, without its [[measure]], which build on them.
void read_keys(const toml::table& table, Level level, Scenario& scenario) {
    for (const auto& [name, value] : table) {
        if (level == Level::file && name == quick_table) continue;
        if (name == measure_table) {
            if (scenario.experiment == Experiment::cells) continue;
            refuse_in_experiment(name.source(), measure_table, scenario.experiment);
        }
        const Key& key = key_of(name, level, scenario.experiment);
        if (key.read_group != nullptr)
            key.read_group(key, value, scenario);
        else
            key.read_scenario(key, value, scenario);
        if (key.name == "mechanisms" && scenario.experiment == Experiment::copy_vs_map)
            check_copying_mechanisms(value);
    }
}

/// Whether a key stands above the tables [[measure]], or in every one of them.
bool is_told(const toml::table& table, std::string_view key) {
    if (table.contains(key)) return true;
    const toml::node* const node = table.get(measure_table);
    const toml::array* const measures = node == nullptr ? nullptr : node->as_array();
    return measures != nullptr && !measures->empty() &&
           std::all_of(measures->begin(), measures->end(), [&](const toml::node& measure) {
               return measure.is_table() && measure.as_table()->contains(key);
           });
}

std::string contents_of(const fs::path& file) {
    const auto refuse_file = [&](int error) {
        throw ScenarioError(
            fmt::format("{}: {}", file.string(), std::generic_category().message(error)));
    };
    if (fs::is_directory(file)) refuse_file(EISDIR);
    std::ifstream in(file, std::ios::binary);
    if (!in) refuse_file(errno);
    std::string text(std::istreambuf_iterator<char>(in), {});
    if (in.bad()) refuse_file(EIO);
    return text;
}

/// The first comment, its lines joined; nothing where something else comes first. A line with
/// nothing but the # ends it, so that remarks may follow.
std::string first_comment(std::string_view text) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    std::string comment;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto trim = [&line](std::string_view from_front) {
            line.remove_prefix(std::min(line.find_first_not_of(from_front), line.size()));
            line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
        };
        trim(" \t\r");
        if (line.empty() && comment.empty()) continue;
        if (!line.starts_with('#')) break;
        trim("# \t");
        if (line.empty() && !comment.empty()) break;
        if (!comment.empty()) comment += ' ';
        comment += line;
    }
    return comment;
}

}  // namespace

Scenario read_scenario(const fs::path& file, bool quick) {
    const std::string text = contents_of(file);
    toml::table table;
    try {
        table = toml::parse(text, file.string());
    } catch (const toml::parse_error& error) {
        refuse(error.source(), error.description());
    }

    Scenario scenario;
    scenario.name = file.stem();
    scenario.question = first_comment(text);
    if (scenario.question.empty())
        refuse(table.source(), "the file must begin with a comment that asks its question; write "
                               "# What does …?");
    scenario.mechanisms = {"*"};
    // First, since it decides what may stand beside it.
    if (const toml::node* const experiment = table.get(experiment_key))
        read_experiment(*std::find_if(keys.begin(), keys.end(),
                                      [](const Key& k) { return k.name == experiment_key; }),
                        *experiment, scenario);
    read_keys(table, Level::file, scenario);
    for (const Key& key : keys)
        if (need_of(key, scenario.experiment) == Need::required && !is_told(table, key.name))
            refuse(table.source(),
                   fmt::format("{} is missing; write {} = {}", key.name, key.name, key.example));
    const toml::node* const measures = table.get(measure_table);

    // Read in any case, so that a mistake in it does not wait for the first --quick.
    Scenario shortened = scenario;
    const toml::node* quick_measures = nullptr;
    if (const toml::node* const node = table.get(quick_table)) {
        const toml::table* const replacements = node->as_table();
        if (replacements == nullptr)
            refuse(node->source(),
                   fmt::format("quick must be a table, not {}; write [quick]", type_of(*node)));
        read_keys(*replacements, Level::quick, shortened);
        quick_measures = replacements->get(measure_table);
    }
    if (measures != nullptr) {
        scenario.measures = read_measures(*measures, "measure", scenario);
        shortened.measures = read_measures(*measures, "measure", shortened);
    }
    if (quick_measures != nullptr)
        shortened.measures = read_measures(*quick_measures, "quick.measure", shortened);
    return quick ? shortened : scenario;
}

}  // namespace ipclab
