#include "harness/scenario.hpp"

#include "harness/quantity.hpp"
#include "harness/subject.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>
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

/// One key of a scenario: how to write its value, and how to read it. A key of a group may stand in
/// [[measure]] as well.
struct Key {
    std::string_view name;
    std::string_view example;
    bool required;
    void (*read_group)(const Key& key, const toml::node& value, CellGroup& group);
    void (*read_scenario)(const Key& key, const toml::node& value, Scenario& scenario);
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

constexpr std::string_view quick_table = "quick";
constexpr std::string_view measure_table = "measure";
constexpr bool required = true;
constexpr std::array keys{
    Key{"mechanisms", R"(["pipe", "spsc-ring/*"])", !required, read_mechanisms, nullptr},
    Key{"patterns", R"(["ping_pong", "stream"])", required, read_patterns, nullptr},
    Key{"sizes", R"(["64 B", "4 KiB"])", required, read_sizes, nullptr},
    Key{"capacity", R"(["default", "64 KiB"])", !required, read_capacity, nullptr},
    Key{"access", R"(["copy", "in_place"])", required, read_access, nullptr},
    Key{"placements", R"(["same_cpu", "two_cpus"])", required, read_placements, nullptr},
    Key{"rounds_max", "12", required, nullptr, read_rounds_max},
    Key{"batch", R"("20 ms")", required, nullptr, read_batch},
    Key{"budget", R"("60 s")", required, nullptr, read_budget},
    Key{"interval_width_target", R"("5 %")", required, nullptr, read_interval_width_target},
    Key{"touch", R"("header")", !required, nullptr, read_touch},
    Key{"pure_spin_on_one_cpu", "true", !required, nullptr, read_pure_spin_on_one_cpu},
};

/// Where a key stands.
enum class Level { file, quick, measure };

std::vector<std::string> key_names(Level level) {
    std::vector<std::string> names;
    for (const Key& key : keys)
        if (level != Level::measure || key.read_group != nullptr) names.emplace_back(key.name);
    if (level != Level::measure) names.emplace_back(measure_table);
    if (level == Level::file) names.emplace_back(quick_table);
    return names;
}

/// The key of this name; refuses what is none, or has no place here.
const Key& key_of(const toml::key& name, Level level) {
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [word = name.str()](const Key& k) { return k.name == word; });
    if (key == keys.end()) refuse(name.source(), unknown("key", name.str(), key_names(level)));
    if (level == Level::measure && key->read_group == nullptr)
        refuse(name.source(), fmt::format("{} holds for the whole scenario; write it above the "
                                          "first [[measure]]",
                                          key->name));
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
            const Key& key = key_of(key_name, Level::measure);
            key.read_group(key, value, group);
        }
    }
    return groups;
}

/// Reads a table's own keys, and then its [[measure]], which build on them.
void read_keys(const toml::table& table, Level level, Scenario& scenario) {
    for (const auto& [name, value] : table) {
        if (name == measure_table || (level == Level::file && name == quick_table)) continue;
        const Key& key = key_of(name, level);
        if (key.read_group != nullptr)
            key.read_group(key, value, scenario);
        else
            key.read_scenario(key, value, scenario);
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

std::string unknown(std::string_view kind, std::string_view word,
                    const std::vector<std::string>& names) {
    const auto meant = nearest_name(word, names);
    return fmt::format("unknown {} {:?}; {}", kind, word,
                       meant ? fmt::format("did you mean {}?", *meant)
                             : fmt::format("known: {}", fmt::join(names, ", ")));
}

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
    read_keys(table, Level::file, scenario);
    for (const Key& key : keys)
        if (key.required && !is_told(table, key.name))
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

void narrow(Scenario& scenario, const std::vector<std::string>& mechanisms,
            const std::vector<std::size_t>& sizes_bytes,
            const std::vector<std::size_t>& capacities_bytes) {
    const auto change = [&](CellGroup& group) {
        if (!sizes_bytes.empty()) group.sizes_bytes = sizes_bytes;
        if (!capacities_bytes.empty()) group.capacities_bytes = capacities_bytes;
    };
    change(scenario);
    if (!mechanisms.empty()) scenario.mechanisms = mechanisms;
    const std::vector<std::string> named = match_mechanisms(mechanisms);
    for (CellGroup& group : scenario.measures) {
        change(group);
        if (mechanisms.empty()) continue;
        group.mechanisms = match_mechanisms(group.mechanisms);
        std::erase_if(group.mechanisms, [&](const std::string& mechanism) {
            return std::find(named.begin(), named.end(), mechanism) == named.end();
        });
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
    for (const std::string& mechanism : match_mechanisms(group.mechanisms)) {
        const Facts& facts = facts_of(mechanism);
        const bool payload = facts.sender != Dialect::notifies;
        for (const Pattern pattern : group.patterns)
            for (const std::size_t size_bytes : payload ? group.sizes_bytes : none)
                for (const std::size_t capacity_bytes : payload ? group.capacities_bytes : none)
                    for (const Access access : accesses_of(facts, pattern, group.access))
                        for (const Placement placement : group.placements) {
                            Cell cell{mechanism, pattern,   size_bytes,
                                      access,    placement, capacity_bytes};
                            if (std::find(cells.begin(), cells.end(), cell) == cells.end())
                                cells.push_back(std::move(cell));
                        }
    }
}

}  // namespace

std::vector<Cell> cells_of(const Scenario& scenario) {
    std::vector<Cell> cells;
    if (scenario.measures.empty()) append_cells(scenario, cells);
    for (const CellGroup& group : scenario.measures) append_cells(group, cells);
    return cells;
}

}  // namespace ipclab
