// The command line: run, list, doctor, report, cat, memif, ps, clean.
#include "harness/doctor.hpp"
#include "harness/listing.hpp"
#include "harness/memif/command_line.hpp"
#include "harness/netcat.hpp"
#include "harness/objects.hpp"
#include "harness/quantity.hpp"
#include "harness/runner.hpp"
#include "harness/scenario.hpp"
#include "harness/subject.hpp"
#include "harness/summary.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fmt/format.h>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ipclab {
namespace {

// Exit statuses.
constexpr int failed = 1;
constexpr int bad_usage = 2;

/// The words that follow `ipclab run`. What is empty stays as the scenarios say.
struct RunWords {
    std::vector<std::string> scenarios;
    std::vector<std::string> mechanisms;
    std::vector<std::string> sizes;
    std::vector<std::string> capacities;
    std::vector<std::string> batches;
    std::vector<std::string> stores;
    std::string rounds;
    std::string seed;
    std::string out;
    bool quick = false;
    bool keep_awake = false;
    bool raise_autogroup = false;
};

/// The words that follow `ipclab cat`.
struct CatWords {
    std::string mechanism;
    std::string address;
    bool listen = false;
};

/// All parts of "64,4KiB" and "1MiB", in which each value stands once: a cell measured twice would
/// weigh twice.
template <class Value>
std::vector<Value> values_of(const std::vector<std::string>& lists, auto&& read) {
    std::vector<Value> values;
    for (const std::string& list : lists) {
        for (std::size_t begin = 0; begin <= list.size();) {
            const std::size_t comma = std::min(list.find(',', begin), list.size());
            Value value = read(list.substr(begin, comma - begin));
            if (std::find(values.begin(), values.end(), value) == values.end())
                values.push_back(std::move(value));
            begin = comma + 1;
        }
    }
    return values;
}

template <class Number>
Number whole_number(std::string_view text, Number least) {
    Number number{};
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (stop != end || error != std::errc() || number < least)
        throw std::invalid_argument(fmt::format("{:?} is not a whole number between {} and {}",
                                                text, least, std::numeric_limits<Number>::max()));
    return number;
}

/// Calls `read` and puts the option's name before its complaint.
auto option(std::string_view name, auto&& read) {
    try {
        return read();
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(fmt::format("{}: {}", name, error.what()));
    }
}

RunOptions read_run_words(const RunWords& words) {
    RunOptions options;
    options.keep_awake = words.keep_awake;
    options.raise_autogroup = words.raise_autogroup;
    if (!words.out.empty()) options.out = words.out;
    if (!words.seed.empty())
        options.seed = option("--seed", [&] { return whole_number<std::uint64_t>(words.seed, 0); });
    Instead instead;
    instead.mechanisms = option("--mechanism", [&] {
        return values_of<std::string>(words.mechanisms, [](const std::string& name) {
            match_mechanisms({name});
            return name;
        });
    });
    instead.sizes_bytes =
        option("--size", [&] { return values_of<std::size_t>(words.sizes, parse_message_size); });
    instead.capacities_bytes = option(
        "--capacity", [&] { return values_of<std::size_t>(words.capacities, parse_capacity); });
    instead.batches_messages = option(
        "--batch-messages", [&] { return values_of<std::size_t>(words.batches, parse_batch); });
    instead.stores = option(
        "--stores", [&] { return values_of<std::optional<Stores>>(words.stores, parse_stores); });
    const int rounds_max = option(
        "--rounds", [&] { return words.rounds.empty() ? 0 : whole_number<int>(words.rounds, 1); });

    for (const std::string& word : words.scenarios) {
        Scenario scenario = read_scenario(find_scenario(word), words.quick);
        narrow(scenario, instead);
        if (rounds_max > 0) scenario.rounds_max = rounds_max;
        const bool is_experiment = scenario.experiment != Experiment::cells;
        if (is_experiment ? scenario.mechanisms.empty() : cells_of(scenario).empty())
            throw std::invalid_argument(fmt::format(
                "{}: nothing to measure: none of these mechanisms {}", word,
                scenario.measures.empty() && !is_experiment
                    ? "lends memory to use in_place; add \"copy\" to the scenario's access, or "
                      "take others"
                    : "is among those that it measures"));
        for (const Scenario& other : options.scenarios)
            if (other.name == scenario.name)
                throw std::invalid_argument(
                    fmt::format("two scenarios are named {:?}; run them one by one", other.name));
        options.scenarios.push_back(std::move(scenario));
    }
    return options;
}

/// Output that does not go to a terminal is not wrapped, so that a line stays a mechanism.
std::size_t terminal_columns() {
    winsize size{};
    const bool told = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return told ? size.ws_col : any_width;
}

int print_list(bool markdown) {
    const std::vector<Facts>& mechanisms = catalog_facts();
    fmt::print("{}", markdown ? list_as_markdown(mechanisms)
                              : list_as_text(mechanisms, terminal_columns()));
    return 0;
}

int print_costs(bool markdown) {
    const std::vector<CostEntry>& costs = all_costs();
    fmt::print("{}",
               markdown ? costs_as_markdown(costs) : costs_as_text(costs, terminal_columns()));
    return 0;
}

constexpr std::string_view run_example =
    "Example: ipclab run latency --mechanism 'spsc-ring/*' --mechanism pipe --size 64,4KiB";
constexpr std::string_view list_example = "Example: ipclab list";
constexpr std::string_view doctor_example = "Example: ipclab doctor";
constexpr std::string_view report_example =
    "Example: ipclab report results/20261121T130000Z-host-abc1234";
constexpr std::string_view examples = R"(Examples:
  ipclab run                        compare all mechanisms, in about a minute
  ipclab run latency --quick        answer one scenario's question, roughly
  ipclab run throughput --mechanism 'spsc-ring/*' --mechanism pipe --size 64,4KiB
  ipclab list                       what each mechanism promises
  ipclab doctor                     what on this machine will disturb the figures
  ipclab report results/reference   show the table of a run again
  ipclab cat --listen fifo demo     wait for another `ipclab cat fifo demo`, and converse
  ipclab memif respond @demo        answer pings in packets, such as DPDK's
  ipclab ps                         which objects of ipclab there are on this machine
  ipclab clean                      remove those of dead processes)";
constexpr std::string_view cat_example = R"(Example, in two terminals:
  ipclab cat --listen fifo demo < file
  ipclab cat fifo demo > copy
The listener makes the object, the other opens it. Both may send. ADDRESS is what the mechanism is
found by (see ipclab list): a path for a file name or the key of a file, a name for an object name,
@NAME for an abstract name, a number for a port.)";
constexpr std::string_view ps_example = "Example: ipclab ps";
constexpr std::string_view clean_example = "Example: ipclab clean";

CLI::App* add_run(CLI::App& app, RunWords& words) {
    CLI::App* const command = app.add_subcommand("run", "Measure, and leave a folder of results");
    command->footer(std::string(run_example));
    const auto add_list = [command](const char* name, std::vector<std::string>& list,
                                    const char* description) {
        return command->add_option(name, list, description)->allow_extra_args(false);
    };
    command
        ->add_option("scenario", words.scenarios,
                     "latency, throughput, quick (the default), or TOML files")
        ->type_name("");
    add_list("--mechanism", words.mechanisms, "Only these: names or globs; may be repeated")
        ->type_name("GLOB");
    add_list("--size", words.sizes, "Only messages of these sizes: 64,4KiB,1MiB")
        ->type_name("LIST");
    add_list("--capacity", words.capacities,
             "Ask the mechanisms for room for so many unread bytes: default,64KiB,1MiB")
        ->type_name("LIST");
    add_list("--batch-messages", words.batches,
             "Ask them to hand over so many messages together: default,1,32")
        ->type_name("LIST");
    add_list("--stores", words.stores,
             "Ask how to store where a message is made in place: default,plain,non-temporal")
        ->type_name("LIST");
    command->add_flag("--quick", words.quick, "Shorten the scenarios to their [quick] tables");
    command->add_option("--rounds", words.rounds, "At most so many pairs of processes per cell")
        ->type_name("N");
    command->add_option("--seed", words.seed, "Of the random order of the cells (default: 1)")
        ->type_name("N");
    command
        ->add_option("--out", words.out,
                     "Folder for the results (default: results/<time>-<host>-<commit>)")
        ->type_name("DIR");
    command->add_flag("--keep-awake", words.keep_awake,
                      "Keep the CPUs from halting, with spinners of idle priority");
    command->add_flag("--raise-autogroup", words.raise_autogroup,
                      "Come before other sessions' load (root only)");
    return command;
}

CLI::App* add_cat(CLI::App& app, CatWords& words) {
    CLI::App* const command = app.add_subcommand(
        "cat", "Copy standard input to another cat, and what that sends to standard output");
    command->footer(std::string(cat_example));
    command->add_flag("--listen", words.listen, "Make the object, and wait for the other");
    command->add_option("mechanism", words.mechanism, "One that has an address")->type_name("NAME");
    command->add_option("address", words.address, "Where the two meet")->type_name("ADDRESS");
    return command;
}

int run_cat(const CatWords& words) {
    if (words.mechanism.empty() || words.address.empty())
        throw std::invalid_argument(
            "cat: name a mechanism and an address, such as ipclab cat --listen fifo demo");
    std::vector<std::string> names;
    bool known = false;
    for (const Facts& facts : catalog_facts()) {
        names.emplace_back(facts.name);
        known = known || facts.name == words.mechanism ||
                facts.name.starts_with(fmt::format("{}/", words.mechanism));
    }
    if (!known) throw std::invalid_argument(unknown("mechanism", words.mechanism, names));
    return run_netcat(words.mechanism, words.address,
                      words.listen ? LineEnd::listens : LineEnd::calls);
}

/// CLI11 collects what it does not know; this says what was meant. `path` is how the command is
/// called: "memif ping".
void refuse_unknown(const CLI::App& command, const std::string& path = "") {
    for (const CLI::App* subcommand : command.get_subcommands())
        refuse_unknown(*subcommand, path.empty()
                                        ? subcommand->get_name()
                                        : fmt::format("{} {}", path, subcommand->get_name()));
    const std::vector<std::string> words = command.remaining();
    if (words.empty()) return;
    const std::string word = words.front().substr(0, words.front().find('='));
    std::vector<std::string> names;
    if (word.starts_with('-')) {
        for (const CLI::Option* option : command.get_options())
            for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
        throw std::invalid_argument(unknown("option", word, names));
    }
    for (const CLI::App* subcommand : command.get_subcommands({}))
        names.push_back(subcommand->get_name());
    if (!names.empty()) throw std::invalid_argument(unknown("command", word, names));
    throw std::invalid_argument(
        fmt::format("{:?} is one word too many; see ipclab {} --help", word, path));
}

int command_line(int argc, char** argv) {
    CLI::App app("What copying costs and what sharing memory costs between processes on this "
                 "machine",
                 "ipclab");
    app.footer(std::string(examples));
    app.set_version_flag("--version", "ipclab " IPCLAB_VERSION, "Print the version and exit");
    app.allow_extras();
    app.require_subcommand(0, 1);

    RunWords run_words;
    const CLI::App* const run_command = add_run(app, run_words);

    CLI::App* const list = app.add_subcommand("list", "Show what each mechanism promises");
    list->footer(std::string(list_example));
    bool markdown = false;
    list->add_flag("--markdown", markdown, "As Markdown, for a page");
    bool costs = false;
    list->add_flag("--costs", costs,
                   "Show instead what each step of a transfer is measured by (copy-vs-map)");

    CLI::App* const doctor = app.add_subcommand(
        "doctor", "Show what on this machine will disturb or limit the figures, with remedies");
    doctor->footer(std::string(doctor_example));

    CLI::App* const report =
        app.add_subcommand("report", "Show the table of a run again, from its run.jsonl");
    report->footer(std::string(report_example));
    std::string results;
    report->add_option("results", results, "A results folder")->type_name("DIR");

    CatWords cat_words;
    const CLI::App* const cat_command = add_cat(app, cat_words);
    MemifCommands memif(app);
    CLI::App* const ps = app.add_subcommand(
        "ps", "List the objects of ipclab on this machine, their owners and their age");
    ps->footer(std::string(ps_example));
    CLI::App* const clean = app.add_subcommand(
        "clean", "Remove the objects that dead processes left behind, and only those");
    clean->footer(std::string(clean_example));

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
        throw;
    }
    refuse_unknown(app);

    if (*run_command) {
        if (run_words.scenarios.empty()) run_words.scenarios = {"quick"};
        return run(read_run_words(run_words));
    }
    if (*list) return costs ? print_costs(markdown) : print_list(markdown);
    if (*doctor) return run_doctor();
    if (*report) {
        if (results.empty())
            throw std::invalid_argument("report of which run? Name its folder under results/");
        return print_report(results);
    }
    if (*cat_command) return run_cat(cat_words);
    if (memif.given()) return memif.run();
    if (*ps) return list_objects();
    if (*clean) return clean_objects();
    throw std::invalid_argument(
        "a command is missing: run, list, doctor, report, cat, memif, ps or clean; see ipclab "
        "--help");
}

}  // namespace
}  // namespace ipclab

int main(int argc, char** argv) {
    try {
        return ipclab::command_line(argc, argv);
    } catch (const ipclab::IpcError& error) {
        fmt::print(stderr, "ipclab: {}\n", error.what());
        return ipclab::failed;
    } catch (const std::exception& error) {
        fmt::print(stderr, "ipclab: {}\n", error.what());
        return ipclab::bad_usage;
    }
}
