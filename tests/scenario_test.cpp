#include "harness/scenario.hpp"

#include "harness/copy_or_map/experiment.hpp"
#include "harness/listing.hpp"
#include "harness/multi_queue/measurement.hpp"
#include "harness/subject.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace ipclab;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

/// A scenario file that is gone at the end of its test.
class File {
  public:
    explicit File(std::string_view text, const std::string& name = "case") {
        std::string folder = (fs::temp_directory_path() / "ipclab-scenario-XXXXXX").string();
        if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = fs::path(folder) / (name + ".toml");
        std::ofstream(path_, std::ios::binary) << text;
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        std::error_code ignored;
        fs::remove_all(path_.parent_path(), ignored);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

Scenario read(std::string_view text, bool quick = false) {
    return read_scenario(File(text).path(), quick);
}

/// What a reader is told, from the line on: "3:9: unknown …"; "" if the file is taken.
std::string complaint(std::string_view text) {
    const File file(text);
    try {
        (void)read_scenario(file.path(), false);
        return "";
    } catch (const ScenarioError& error) {
        const std::string message = error.what();
        const std::string place = file.path().string() + ":";
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        EXPECT_EQ(message.substr(0, place.size()), place);
        return message.substr(std::min(place.size(), message.size()));
    }
}

constexpr std::string_view whole = R"(# What does it cost?
mechanisms = ["pipe"]
patterns = ["ping_pong"]
sizes = ["64 B", 4096]
access = ["copy"]
placements = ["two_cpus"]
rounds_max = 12
batch = "20 ms"
budget = "60 s"
interval_width_target = "5 %"
)";

/// `whole` with line `number` (from 1) replaced.
std::string with_line(int number, std::string_view line) {
    std::string text(whole);
    std::size_t begin = 0;
    for (int i = 1; i < number; ++i) begin = text.find('\n', begin) + 1;
    text.replace(begin, text.find('\n', begin) - begin, line);
    return text;
}

// ---- what is read ----

TEST(ReadScenario, TakesEveryKey) {
    const Scenario scenario = read_scenario(File(whole, "my-question").path(), false);
    EXPECT_EQ(scenario.name, "my-question");
    EXPECT_EQ(scenario.question, "What does it cost?");
    EXPECT_THAT(scenario.mechanisms, ElementsAre("pipe"));
    EXPECT_THAT(scenario.patterns, ElementsAre(Pattern::ping_pong));
    EXPECT_THAT(scenario.sizes_bytes, ElementsAre(64U, 4096U));
    EXPECT_THAT(scenario.access, ElementsAre(Access::copy));
    EXPECT_THAT(scenario.placements, ElementsAre(Placement::two_cpus));
    EXPECT_EQ(scenario.rounds_max, 12);
    EXPECT_EQ(scenario.batch, 20ms);
    EXPECT_EQ(scenario.budget, 60s);
    EXPECT_DOUBLE_EQ(scenario.interval_width_target, 0.05);
}

TEST(ReadScenario, MeansAllMechanismsWhereNoneIsNamed) {
    EXPECT_THAT(read(with_line(2, "")).mechanisms, ElementsAre("*"));
}

TEST(ReadScenario, TakesTheKeysOfLessons) {
    EXPECT_EQ(read(whole).touch, Touch::all);
    EXPECT_FALSE(read(whole).pure_spin_on_one_cpu);
    const Scenario lesson =
        read(std::string(whole) + "touch = \"header\"\npure_spin_on_one_cpu = true\n");
    EXPECT_EQ(lesson.touch, Touch::header);
    EXPECT_TRUE(lesson.pure_spin_on_one_cpu);
}

TEST(ReadScenario, TakesSizesUpTo64MiB) {
    EXPECT_THAT(read(with_line(4, R"(sizes = [1, "64 MiB"])")).sizes_bytes,
                ElementsAre(1U, 64U << 20U));
}

TEST(ReadScenario, JoinsTheLinesOfTheQuestion) {
    EXPECT_EQ(
        read(with_line(1, "\n# What does it\n#   cost,\r\n# and why?\n\n# A remark.")).question,
        "What does it cost, and why?");
    EXPECT_EQ(read(with_line(1, "# What does it cost?\n#\n# A remark.")).question,
              "What does it cost?");
    EXPECT_EQ(read(with_line(1, "\xEF\xBB\xBF# Was kostet das?")).question, "Was kostet das?");
}

TEST(ReadScenario, QuickReplacesWhatItNames) {
    const std::string text =
        std::string(whole) + "[quick]\nsizes = [1]\nrounds_max = 3\nbudget = \"5 s\"\n";
    const Scenario quick = read(text, true);
    EXPECT_THAT(quick.sizes_bytes, ElementsAre(1U));
    EXPECT_EQ(quick.rounds_max, 3);
    EXPECT_EQ(quick.budget, 5s);
    EXPECT_EQ(quick.batch, 20ms);
    EXPECT_EQ(quick.question, "What does it cost?");

    const Scenario slow = read(text, false);
    EXPECT_THAT(slow.sizes_bytes, ElementsAre(64U, 4096U));
    EXPECT_EQ(slow.rounds_max, 12);
    EXPECT_EQ(read(whole, true).rounds_max, 12);
}

// ---- what is refused, where, and what is proposed instead ----

TEST(ScenarioErrors, UnknownKey) {
    EXPECT_EQ(complaint(with_line(4, "sizs = [1]")),
              R"(4:1: unknown key "sizs"; did you mean sizes?)");
    EXPECT_EQ(complaint(with_line(7, "  round_max = 12")),
              R"(7:3: unknown key "round_max"; did you mean rounds_max?)");
    EXPECT_EQ(complaint(with_line(7, "colour = 12")),
              R"(7:1: unknown key "colour"; known: mechanisms, patterns, sizes, capacity, )"
              "batch_messages, stores, access, placements, rounds_max, batch, budget, "
              "interval_width_target, touch, "
              "pure_spin_on_one_cpu, experiment, measure, quick");
    EXPECT_EQ(complaint(std::string(whole) + "[quik]\n"),
              R"(11:2: unknown key "quik"; did you mean quick?)");
}

TEST(ScenarioErrors, MissingKey) {
    EXPECT_EQ(complaint(with_line(4, "")),
              R"(1:1: sizes is missing; write sizes = ["64 B", "4 KiB"])");
    EXPECT_EQ(complaint(with_line(8, "")), R"(1:1: batch is missing; write batch = "20 ms")");
    for (const int line : {3, 4, 5, 6, 7, 8, 9, 10})
        EXPECT_THAT(complaint(with_line(line, "")), HasSubstr("is missing; write ")) << line;
    EXPECT_THAT(complaint(with_line(8, "") + "[quick]\nbatch = \"1 ms\"\n"),
                HasSubstr("batch is missing"));
}

TEST(ScenarioErrors, UnknownMechanism) {
    EXPECT_EQ(complaint(with_line(2, R"(mechanisms = ["pipe", "spsc-ring/futx"])")),
              R"(2:23: unknown mechanism "spsc-ring/futx"; did you mean spsc-ring/futex?)");
    EXPECT_EQ(complaint(with_line(2, R"(mechanisms = ["spsc-rings"])")),
              R"(2:15: unknown mechanism "spsc-rings"; did you mean spsc-ring?)");
    EXPECT_THAT(complaint(with_line(2, R"(mechanisms = ["carrier-pigeon*"])")),
                HasSubstr(R"(2:15: unknown mechanism "carrier-pigeon*"; known: pipe, )"));
    EXPECT_THAT(complaint(with_line(2, R"(mechanisms = [""])")),
                HasSubstr("2:15: unknown mechanism"));
}

TEST(ScenarioErrors, UnknownWord) {
    EXPECT_EQ(complaint(with_line(3, R"(patterns = ["stream", "pingpong"])")),
              R"(3:23: unknown pattern "pingpong"; did you mean ping_pong?)");
    EXPECT_EQ(complaint(with_line(5, R"(access = ["in-place"])")),
              R"(5:11: unknown access "in-place"; did you mean in_place?)");
    EXPECT_EQ(complaint(with_line(6, R"(placements = ["same_core"])")),
              R"(6:15: unknown placement "same_core"; did you mean same_cpu?)");
    EXPECT_EQ(complaint(with_line(6, R"(placements = ["numa"])")),
              R"(6:15: unknown placement "numa"; known: same_cpu, two_cpus)");
}

TEST(ScenarioErrors, Quantities) {
    EXPECT_EQ(complaint(with_line(4, R"(sizes = ["64 B", "4 KB"])")),
              R"(4:18: "4 KB": unknown unit "KB", nearest is KiB; known: B, KiB, MiB, GiB)");
    EXPECT_EQ(complaint(with_line(8, R"(batch = "20 msec")")),
              R"(8:9: "20 msec": unknown unit "msec", nearest is ms; known: ns, us, ms, s, min)");
    EXPECT_EQ(complaint(with_line(9, R"(budget = "60")")),
              R"(9:10: "60": the unit is missing; known: ns, us, ms, s, min)");
    EXPECT_EQ(complaint(with_line(10, R"(interval_width_target = "5")")),
              R"(10:25: "5": the unit is missing; known: %)");
}

TEST(ScenarioErrors, OutOfBounds) {
    EXPECT_EQ(complaint(with_line(4, "sizes = [64, 0]")), R"(4:14: "0": must be at least 1 B)");
    EXPECT_THAT(complaint(with_line(4, "sizes = [-1]")),
                HasSubstr(R"(4:10: "-1": must be more than 0)"));
    EXPECT_EQ(complaint(with_line(4, R"(sizes = ["65 MiB"])")),
              R"(4:10: "65 MiB": must be at most 64 MiB)");
    EXPECT_EQ(complaint(with_line(4, "sizes = [67108865]")),
              R"(4:10: "67108865": must be at most 64 MiB)");
    EXPECT_EQ(complaint(with_line(7, "rounds_max = 0")),
              "7:14: rounds_max must be between 1 and 2147483647");
    EXPECT_EQ(complaint(with_line(7, "rounds_max = -3")),
              "7:14: rounds_max must be between 1 and 2147483647");
    EXPECT_THAT(complaint(with_line(7, "rounds_max = 2147483648")), HasSubstr("7:14: "));
    EXPECT_THAT(complaint(with_line(8, R"(batch = "0 ms")")),
                HasSubstr("8:9: \"0 ms\": must be at least"));
    EXPECT_THAT(complaint(with_line(9, R"(budget = "-5 s")")),
                HasSubstr("9:10: \"-5 s\": must be more than 0"));
    EXPECT_THAT(complaint(with_line(10, R"(interval_width_target = "0 %")")),
                HasSubstr("10:25: \"0 %\": must be more than 0 %"));
    EXPECT_THAT(complaint(with_line(10, R"(interval_width_target = "101 %")")),
                HasSubstr("must be at most 100 %"));
}

TEST(ScenarioErrors, WrongType) {
    EXPECT_EQ(
        complaint(with_line(2, R"(mechanisms = "pipe")")),
        R"(2:14: mechanisms must be a list, not a string; write mechanisms = ["pipe", "spsc-ring/*"])");
    EXPECT_EQ(complaint(with_line(2, "mechanisms = [\"pipe\", 3]")),
              "2:23: mechanisms must be a list of strings, not a whole number; write mechanisms = "
              R"(["pipe", "spsc-ring/*"])");
    EXPECT_EQ(complaint(with_line(3, "patterns = [true]")),
              "3:13: patterns must be a list of strings, not a boolean; write patterns = "
              R"(["ping_pong", "stream"])");
    EXPECT_EQ(complaint(with_line(4, "sizes = [1.5]")),
              "4:10: sizes must be a list of strings or whole numbers, not a number with a point; "
              R"(write sizes = ["64 B", "4 KiB"])");
    EXPECT_EQ(complaint(with_line(7, R"(rounds_max = "12")")),
              "7:14: rounds_max must be a whole number, not a string; write rounds_max = 12");
    EXPECT_EQ(complaint(with_line(8, "batch = 20")),
              R"(8:9: batch must be a string, not a whole number; write batch = "20 ms")");
    EXPECT_EQ(complaint(with_line(9, "budget = [60]")),
              R"(9:10: budget must be a string, not a list; write budget = "60 s")");
    EXPECT_EQ(complaint(with_line(9, "budget = 2026-11-21")),
              R"(9:10: budget must be a string, not a date or a time; write budget = "60 s")");
    EXPECT_THAT(
        complaint(with_line(10, "interval_width_target = 0.05")),
        HasSubstr("10:25: interval_width_target must be a string, not a number with a point"));
    EXPECT_EQ(complaint(std::string(whole) + "quick = true\n"),
              "11:9: quick must be a table, not a boolean; write [quick]");
}

TEST(ScenarioErrors, KeysOfLessons) {
    EXPECT_EQ(complaint(std::string(whole) + "touch = \"headers\"\n"),
              R"(11:9: unknown touch "headers"; did you mean header?)");
    EXPECT_EQ(complaint(std::string(whole) + "pure_spin_on_one_cpu = 1\n"),
              "11:24: pure_spin_on_one_cpu must be a boolean, not a whole number; write "
              "pure_spin_on_one_cpu = true");
}

TEST(ScenarioErrors, EmptyLists) {
    EXPECT_EQ(complaint(with_line(2, "mechanisms = []")),
              R"(2:14: mechanisms is empty; write mechanisms = ["pipe", "spsc-ring/*"])");
    for (const auto& [line, key] :
         {std::pair(3, "patterns"), {4, "sizes"}, {5, "access"}, {6, "placements"}})
        EXPECT_THAT(complaint(with_line(line, std::string(key) + " = []")),
                    HasSubstr(std::string(key) + " is empty; write "));
}

TEST(ScenarioErrors, Duplicates) {
    EXPECT_EQ(complaint(with_line(2, R"(mechanisms = ["pipe", "p*", "pipe"])")),
              "2:29: mechanisms holds this value twice");
    EXPECT_EQ(complaint(with_line(3, R"(patterns = ["stream", "stream"])")),
              "3:23: patterns holds this value twice");
    EXPECT_EQ(complaint(with_line(4, R"(sizes = [4096, "4 KiB"])")),
              "4:16: sizes holds this value twice");
    EXPECT_THAT(complaint(with_line(7, "rounds_max = 12\nrounds_max = 13")), HasSubstr("redefine"));
}

TEST(ScenarioErrors, TheQuickTableIsHeldToTheSameRules) {
    EXPECT_EQ(complaint(std::string(whole) + "[quick]\nbudged = \"5 s\"\n"),
              R"(12:1: unknown key "budged"; did you mean budget?)");
    EXPECT_EQ(complaint(std::string(whole) + "[quick]\n\nsizes = [\"1 b\"]\n"),
              R"(13:10: "1 b": unknown unit "b", nearest is B; known: B, KiB, MiB, GiB)");
    EXPECT_THAT(complaint(std::string(whole) + "[quick]\n[quick.quick]\n"),
                HasSubstr("12:8: unknown key \"quick\""));
}

TEST(ScenarioErrors, Capacities) {
    EXPECT_EQ(complaint(with_line(5, "access = [\"copy\"]\ncapacity = [\"64 KB\"]")),
              R"(6:13: "64 KB": unknown unit "KB", nearest is KiB; known: B, KiB, MiB, GiB)");
    EXPECT_EQ(complaint(std::string(whole) + "capacity = \"64 KiB\"\n"),
              "11:12: capacity must be a list, not a string; write capacity = "
              R"(["default", "64 KiB"])");
    EXPECT_EQ(complaint(std::string(whole) + "capacity = [65536, \"64 KiB\"]\n"),
              "11:20: capacity holds this value twice");
}

TEST(ScenarioErrors, BatchesAndStores) {
    EXPECT_EQ(complaint(std::string(whole) + "batch_messages = [0]\n"),
              R"(11:19: "0": must be a whole number of messages between 1 and 4096, or "default")");
    EXPECT_THAT(complaint(std::string(whole) + "batch_messages = [1, \"all\"]\n"),
                HasSubstr(R"(11:22: "all": must be a whole number of messages)"));
    EXPECT_EQ(complaint(std::string(whole) + "batch_messages = 8\n"),
              "11:18: batch_messages must be a list, not a whole number; write batch_messages = "
              R"(["default", 1, 32])");
    EXPECT_EQ(complaint(std::string(whole) + "batch_messages = [8, \"8\"]\n"),
              "11:22: batch_messages holds this value twice");
    EXPECT_EQ(complaint(std::string(whole) + "stores = [\"nontemporal\"]\n"),
              R"(11:11: unknown stores "nontemporal"; did you mean non-temporal?)");
    EXPECT_EQ(complaint(std::string(whole) + "stores = [1]\n"),
              "11:11: stores must be a list of strings, not a whole number; write stores = "
              R"(["plain", "non-temporal"])");
}

TEST(ScenarioErrors, GroupsAreHeldToTheSameRules) {
    const std::string text(whole);
    EXPECT_EQ(complaint(text + "[[measure]]\nsizs = [1]\n"),
              R"(12:1: unknown key "sizs"; did you mean sizes?)");
    EXPECT_EQ(complaint(text + "[[measure]]\n[[measure]]\nmechanisms = [\"pip\"]\n"),
              R"(13:15: unknown mechanism "pip"; did you mean pipe?)");
    EXPECT_EQ(complaint(text + "[[measure]]\nbudget = \"5 s\"\n"),
              "12:1: budget holds for the whole scenario; write it above the first [[measure]]");
    EXPECT_EQ(complaint(text + "[measure]\n"),
              "11:1: measure must be an array of tables, not a table; write [[measure]]");
    EXPECT_EQ(complaint(text + "[quick]\nmeasure = 1\n"),
              "12:11: measure must be an array of tables, not a whole number; write "
              "[[quick.measure]]");
    EXPECT_EQ(complaint(with_line(4, "") + "[[measure]]\nsizes = [1]\n[[measure]]\n"),
              R"(1:1: sizes is missing; write sizes = ["64 B", "4 KiB"])");
    EXPECT_EQ(complaint(with_line(4, "") + "[[measure]]\nsizes = [1]\n"), "");
}

TEST(ScenarioErrors, NoQuestion) {
    const std::string expected =
        "1:1: the file must begin with a comment that asks its question; write # What does …?";
    EXPECT_EQ(complaint(with_line(1, "")), expected);
    EXPECT_EQ(complaint(with_line(1, "#")), expected);
    EXPECT_EQ(
        complaint(
            with_line(2, "mechanisms = [\"pipe\"]\n# Too late?").substr(whole.find('\n') + 1)),
        expected);
    EXPECT_EQ(complaint(""), expected);
}

TEST(ScenarioErrors, Syntax) {
    EXPECT_THAT(complaint(with_line(4, "sizes = [\"64 B\"")), HasSubstr("5:"));
    EXPECT_THAT(complaint(with_line(9, "budget = \"60 s")), HasSubstr("9:"));
    EXPECT_THAT(complaint(with_line(4, "sizes 64")), HasSubstr("4:7: "));
    EXPECT_THAT(complaint("# What is \xff?\n"), HasSubstr("1:10: "));
}

TEST(ScenarioErrors, FilesThatCannotBeRead) {
    const auto message = [](const fs::path& path) -> std::string {
        try {
            (void)read_scenario(path, false);
            return "";
        } catch (const ScenarioError& error) {
            return error.what();
        }
    };
    EXPECT_EQ(message("/nowhere/x.toml"), "/nowhere/x.toml: No such file or directory");
    EXPECT_EQ(message("/tmp"), "/tmp: Is a directory");
}

// ---- the experiment copy-vs-map ----

constexpr std::string_view experiment = R"(# Copy or map?
experiment = "copy-vs-map"
mechanisms = ["pipe", "pipe/spin"]
sizes = ["64 B", "1 MiB"]
messages_per_mapping = [1, 100]
placements = ["same_cpu", "two_cpus"]
rounds_max = 12
batch = "20 ms"
budget = "60 s"
interval_width_target = "5 %"
)";

std::string experiment_with(std::string_view part, std::string_view other) {
    const std::size_t begin = experiment.find(part);
    return fmt::format("{}{}{}", experiment.substr(0, begin), other,
                       experiment.substr(begin + part.size()));
}
std::string experiment_and(std::string_view line) {
    return fmt::format("{}{}\n", experiment, line);
}

TEST(Experiment, HasItsKeys) {
    const Scenario scenario = read(experiment);
    EXPECT_EQ(scenario.experiment, Experiment::copy_vs_map);
    EXPECT_THAT(scenario.messages_per_mapping, ElementsAre(1U, 100U));
    EXPECT_FALSE(scenario.a_a);
    EXPECT_TRUE(read(experiment_and("a_a = true")).a_a);
    EXPECT_THAT(cells_of(scenario), IsEmpty());
    EXPECT_THAT(
        read(experiment_and("[quick]\nmessages_per_mapping = [10]"), true).messages_per_mapping,
        ElementsAre(10U));
    EXPECT_EQ(read(whole).experiment, Experiment::cells);
    EXPECT_THAT(transfers_of(read(whole)), IsEmpty());
}

TEST(Experiment, SendsByEachWayAsleepAndWhereThereAreTwoCpusSpinning) {
    // A size on one CPU: pipe, persistent, 4 ways × 2, fresh; on two both of the pipes, and twice
    // as many of the others.
    const std::vector<Transfer> transfers = transfers_of(read(experiment));
    EXPECT_EQ(transfers.size(), 2U * ((1 + 10) + (2 + 2 * 10)));
    for (const Transfer& transfer : transfers) {
        EXPECT_EQ(std::count(transfers.begin(), transfers.end(), transfer), 1);
        EXPECT_EQ(transfer.way == Way::copy, !transfer.mechanism.empty());
        EXPECT_TRUE(transfer.waiting == Waiting::sleeps ||
                    transfer.placement == Placement::two_cpus);
        if (transfer.mechanism == "pipe/spin") {
            EXPECT_EQ(transfer.waiting, Waiting::spins);
        }
        if (remaps(transfer.way))
            EXPECT_TRUE(transfer.messages_per_mapping == 1 || transfer.messages_per_mapping == 100);
        else
            EXPECT_EQ(transfer.messages_per_mapping, transfer.way == Way::fresh_object ? 1U : 0U);
    }
    EXPECT_EQ(transfers_of(read(experiment_and("a_a = true"))).size(), 2 * transfers.size());
}

TEST(Experiment, SkipsWhatCannotBeMeasured) {
    Transfer transfer{.way = Way::receiver_remaps,
                      .messages_per_mapping = 64,
                      .size_bytes = std::size_t{1} << 20};
    EXPECT_EQ(reason_to_skip(transfer, 2), std::nullopt);
    EXPECT_EQ(reason_to_skip(transfer, 1), "this process may use one CPU only");
    transfer.messages_per_mapping = 65;
    EXPECT_EQ(reason_to_skip(transfer, 2),
              "65 messages of 1 MiB in one mapping take longer than a pair has; the model stands "
              "in");
    transfer = {.way = Way::persistent, .waiting = Waiting::spins, .size_bytes = 64};
    transfer.placement = Placement::same_cpu;
    EXPECT_THAT(reason_to_skip(transfer, 2).value_or(""), HasSubstr("a pure spinner"));
}

TEST(Experiment, OptionsNarrowIt) {
    Scenario scenario = read(experiment);
    narrow(scenario, {.mechanisms = {"pipe/*", "fifo"}, .sizes_bytes = {4096}});
    EXPECT_THAT(scenario.mechanisms, ElementsAre("pipe/spin"));
    EXPECT_THAT(scenario.sizes_bytes, ElementsAre(4096U));
    EXPECT_THROW(narrow(scenario, {.capacities_bytes = {65536}}), std::invalid_argument);
    EXPECT_THROW(narrow(scenario, {.batches_messages = {8}}), std::invalid_argument);
    EXPECT_THROW(narrow(scenario, {.stores = {Stores::plain}}), std::invalid_argument);
}

TEST(ExperimentErrors, KeysThatHaveNoPlace) {
    for (const std::string_view line :
         {"patterns = [\"ping_pong\"]", "access = [\"copy\"]", "capacity = [\"64 KiB\"]",
          "batch_messages = [8]", "stores = [\"plain\"]", "touch = \"header\"",
          "pure_spin_on_one_cpu = true", "[[measure]]"})
        EXPECT_THAT(complaint(experiment_and(line)),
                    testing::AllOf(testing::StartsWith("11:"),
                                   HasSubstr(" has no place in the experiment copy-vs-map, "),
                                   EndsWith("; leave it out")))
            << line;
    EXPECT_EQ(complaint(std::string(whole) + "a_a = true\n"),
              "11:1: a_a is for an experiment; write experiment = \"copy-vs-map\" as well, or "
              "leave it out");
    EXPECT_EQ(complaint(experiment_and("[quick]\nexperiment = \"copy-vs-map\"")),
              "12:1: the experiment is the same with --quick; write it above [quick]");
    EXPECT_THAT(complaint(experiment_and("colour = 1")),
                HasSubstr("known: mechanisms, sizes, placements, rounds_max, batch, budget, "
                          "interval_width_target, experiment, messages_per_mapping, a_a, quick"));
}

TEST(ExperimentErrors, MissingKeys) {
    EXPECT_EQ(complaint(experiment_with("messages_per_mapping = [1, 100]", "")),
              "1:1: messages_per_mapping is missing; write messages_per_mapping = [1, 10, 100]");
    EXPECT_THAT(complaint(experiment_with("mechanisms = [\"pipe\", \"pipe/spin\"]", "")),
                HasSubstr("1:1: mechanisms is missing; write "));
}

TEST(ExperimentErrors, Values) {
    EXPECT_EQ(complaint(experiment_with("\"copy-vs-map\"", "\"copy-vs-mop\"")),
              R"(2:14: unknown experiment "copy-vs-mop"; did you mean copy-vs-map?)");
    EXPECT_EQ(complaint(experiment_with("[1, 100]", "[1, 0]")),
              "5:28: messages_per_mapping must be between 1 and 1000000");
    EXPECT_EQ(complaint(experiment_with("[1, 100]", "[1, 1]")),
              "5:28: messages_per_mapping holds this value twice");
    EXPECT_EQ(complaint(experiment_with("[1, 100]", "[\"1\"]")),
              "5:25: messages_per_mapping must be a list of whole numbers, not a string; write "
              "messages_per_mapping = [1, 10, 100]");
    EXPECT_EQ(complaint(experiment_and("a_a = 1")),
              "11:7: a_a must be a boolean, not a whole number; write a_a = true");
}

// ---- the experiment multi-queue ----

constexpr std::string_view queue_experiment = R"(# One queue or several?
experiment = "multi-queue"
queues = [1, 4]
threads = ["one", "per_queue"]
modes = ["polling", "interrupt"]
sizes = ["64 B", 1514]
bursts = [1, 32]
rounds_max = 12
batch = "20 ms"
budget = "60 s"
interval_width_target = "5 %"
)";

std::string queue_experiment_with(std::string_view part, std::string_view other) {
    const std::size_t begin = queue_experiment.find(part);
    return fmt::format("{}{}{}", queue_experiment.substr(0, begin), other,
                       queue_experiment.substr(begin + part.size()));
}

TEST(MultiQueueExperiment, CombinesItsKeys) {
    const Scenario scenario = read(queue_experiment);
    EXPECT_EQ(scenario.experiment, Experiment::multi_queue);
    const std::vector<QueueCell> cells = queue_cells_of(scenario);
    // One queue has one thread.
    EXPECT_EQ(cells.size(), (1U + 2U) * 2U * 2U * 2U);
    EXPECT_THAT(cells, testing::Contains(
                           QueueCell{4, QueueThreads::per_queue, QueueMode::interrupt, 1514, 32}));
    EXPECT_THAT(cells, testing::Not(testing::Contains(
                           QueueCell{1, QueueThreads::per_queue, QueueMode::polling, 64, 1})));
    const auto alone = queue_experiment_with(R"(["one", "per_queue"])", R"(["per_queue"])");
    EXPECT_EQ(queue_cells_of(read(alone)).size(), 2U * 2U * 2U * 2U);
    EXPECT_THAT(cells_of(scenario), IsEmpty());
    EXPECT_THAT(transfers_of(scenario), IsEmpty());
    EXPECT_THAT(queue_cells_of(read(whole)), IsEmpty());
}

TEST(MultiQueueExperiment, SizesAreAllThatOptionsNarrow) {
    Scenario scenario = read(queue_experiment);
    narrow(scenario, {.sizes_bytes = {4096}});
    EXPECT_THAT(scenario.sizes_bytes, ElementsAre(4096U));
    EXPECT_THROW(narrow(scenario, {.mechanisms = {"pipe"}}), std::invalid_argument);
    EXPECT_THROW(narrow(scenario, {.capacities_bytes = {65536}}), std::invalid_argument);
}

TEST(MultiQueueErrors, SayWhatIsWrongInOneLine) {
    EXPECT_EQ(complaint(queue_experiment_with("[1, 4]", "[0]")),
              "3:11: queues must be between 1 and 16");
    EXPECT_EQ(complaint(queue_experiment_with("[1, 4]", "[1, 1]")),
              "3:14: queues holds this value twice");
    EXPECT_EQ(complaint(queue_experiment_with("[1, 4]", "4")),
              "3:10: queues must be a list, not a whole number; write queues = [1, 2, 4]");
    EXPECT_EQ(complaint(queue_experiment_with("[1, 32]", "[1025]")),
              "7:11: bursts must be between 1 and 1024");
    EXPECT_EQ(complaint(queue_experiment_with("\"per_queue\"", "\"per_quene\"")),
              R"(4:19: unknown kind of threads "per_quene"; did you mean per_queue?)");
    EXPECT_EQ(complaint(queue_experiment_with("\"polling\"", "\"pulling\"")),
              R"(5:10: unknown mode "pulling"; did you mean polling?)");
    EXPECT_EQ(complaint(queue_experiment_with("bursts = [1, 32]", "")),
              "1:1: bursts is missing; write bursts = [1, 32]");
    EXPECT_EQ(complaint(queue_experiment_with("bursts", "placements = [\"same_cpu\"]\nbursts")),
              "7:1: placements has no place in the experiment multi-queue, which streams packets "
              "over queues of memif, on two CPUs; leave it out");
    EXPECT_EQ(complaint(fmt::format("{}queues = [1]\n", whole)),
              "11:1: queues is for an experiment; write experiment = \"multi-queue\" as well, or "
              "leave it out");
}

TEST(ExperimentErrors, MechanismsThatCannotBeHeldAgainstTheOthers) {
    EXPECT_EQ(complaint(experiment_with("\"pipe/spin\"", "\"process-vm\"")),
              "3:23: process-vm spins then sleeps: its time cannot be held against what only "
              "sleeps or only spins; name others");
    EXPECT_EQ(complaint(experiment_with("\"pipe/spin\"", "\"eventfd\"")),
              "3:23: eventfd does not copy; name mechanisms that do");
    EXPECT_EQ(complaint(experiment_with("\"pipe/spin\"", "\"posix-shm/semaphore\"")),
              "3:23: posix-shm/semaphore does not copy; name mechanisms that do");
    EXPECT_EQ(complaint(experiment_with("\"pipe/spin\"", "\"process-vm/*\"")), "");
}

// ---- mechanisms ----

TEST(MatchMechanisms, NamesAndGlobsInTheCataloguesOrder) {
    EXPECT_THAT(match_mechanisms({"unix-stream", "pipe"}), ElementsAre("pipe", "unix-stream"));
    EXPECT_THAT(match_mechanisms({"spsc-ring/f*", "pipe", "p?pe"}),
                ElementsAre("pipe", "spsc-ring/futex"));
    EXPECT_EQ(match_mechanisms({"*"}).size(), catalog_facts().size());
    EXPECT_THAT(match_mechanisms({}), IsEmpty());
}

TEST(MatchMechanisms, ABareNameMeansAllItsForms) {
    const auto forms = ElementsAre("spsc-ring/spin", "spsc-ring/spin-yield", "spsc-ring/futex",
                                   "spsc-ring/latency", "spsc-ring/bulk");
    EXPECT_THAT(match_mechanisms({"spsc-ring"}), forms);
    EXPECT_THAT(match_mechanisms({"spsc-ring/*"}), forms);
    EXPECT_THAT(match_mechanisms({"spsc-ring/spin"}), ElementsAre("spsc-ring/spin"));
}

TEST(MatchMechanisms, AMechanismsNameMeansThatAlone) {
    EXPECT_THAT(match_mechanisms({"pipe"}), ElementsAre("pipe"));
    EXPECT_THAT(match_mechanisms({"pipe*"}), testing::Contains("pipe/spin"));
}

TEST(MatchMechanisms, EachNameMustMeanOne) {
    EXPECT_THROW(match_mechanisms({"pipe", "spsc-*", "nothing*"}), std::invalid_argument);
    EXPECT_THROW(match_mechanisms({"spsc"}), std::invalid_argument);
}

// ---- cells ----

TEST(CellsOf, OnlyWhatLendsIsUsedInPlace) {
    Scenario scenario = read(with_line(5, R"(access = ["copy", "in_place"])"));
    scenario.mechanisms = {"*"};
    std::set<std::pair<std::string, Access>> found;
    for (const Cell& cell : cells_of(scenario)) found.emplace(cell.mechanism, cell.access);
    for (const Facts& facts : catalog_facts()) {
        const std::string name(facts.name);
        const bool lends = facts.sender == Dialect::lends || facts.receiver == Dialect::lends;
        EXPECT_TRUE(found.contains({name, Access::copy})) << name;
        EXPECT_EQ(found.contains({name, Access::in_place}), lends) << name;
    }
}

TEST(CellsOf, AreAllCombinationsOnce) {
    Scenario scenario = read(whole);
    scenario.mechanisms = {"spsc-ring/futex", "spsc-ring", "pipe"};
    scenario.patterns = {Pattern::ping_pong, Pattern::stream};
    scenario.access.assign(accesses.begin(), accesses.end());
    scenario.placements.assign(placements.begin(), placements.end());
    const std::vector<Cell> cells = cells_of(scenario);
    EXPECT_EQ(cells.size(), (5U * 2U + 1U) * 2U * 2U * 2U);
    for (const Cell& cell : cells) EXPECT_EQ(std::count(cells.begin(), cells.end(), cell), 1);

    scenario.mechanisms = {"pipe"};
    scenario.access = {Access::in_place};
    EXPECT_THAT(cells_of(scenario), IsEmpty());
}

TEST(CellsOf, EachCapacityIsACell) {
    const std::vector<Cell> cells =
        cells_of(read(std::string(whole) + "capacity = [\"default\", \"64 KiB\"]\n"));
    ASSERT_EQ(cells.size(), 4U);
    EXPECT_EQ(cells[0].capacity_bytes, 0U);
    EXPECT_EQ(cells[1].capacity_bytes, 65536U);
    EXPECT_EQ(cells_of(read(whole))[0].capacity_bytes, 0U);
}

TEST(CellsOf, EachBatchIsACellButOfALife) {
    Scenario scenario = read(std::string(whole) + "batch_messages = [\"default\", 1, 32]\n");
    scenario.sizes_bytes = {64};
    scenario.patterns = {Pattern::ping_pong, Pattern::stream, Pattern::lifecycle};
    std::vector<std::size_t> batches;
    std::vector<std::size_t> per_exchange;
    for (const Cell& cell : cells_of(scenario)) {
        batches.push_back(cell.batch_messages);
        per_exchange.push_back(cell.messages_per_exchange());
    }
    EXPECT_THAT(batches, ElementsAre(0U, 1U, 32U, 0U, 1U, 32U, 0U));
    EXPECT_THAT(per_exchange, ElementsAre(1U, 1U, 32U, 1U, 1U, 1U, 1U));
}

TEST(CellsOf, OnlyWhoLendsCanBeToldHowToStore) {
    Scenario scenario = read(std::string(whole) + "stores = [\"plain\", \"non-temporal\"]\n");
    scenario.sizes_bytes = {64};
    scenario.mechanisms = {"pipe"};
    ASSERT_THAT(cells_of(scenario), testing::SizeIs(1));
    EXPECT_EQ(cells_of(scenario)[0].stores, std::nullopt);
    scenario.mechanisms = {"spsc-ring/futex"};
    ASSERT_THAT(cells_of(scenario), testing::SizeIs(2));
    EXPECT_EQ(cells_of(scenario)[0].stores, Stores::plain);
    EXPECT_EQ(cells_of(scenario)[1].stores, Stores::non_temporal);
}

TEST(CellsOf, GroupsTakeWhatTheyDoNotSayFromAboveAndShareNoCellTwice) {
    const std::string text = std::string(whole) + "[[measure]]\npatterns = [\"lifecycle\"]\n"
                                                  "[[measure]]\nsizes = [1, 64]\n"
                                                  "[[measure]]\nsizes = [64]\n";
    const Cell life{"pipe", Pattern::lifecycle, 64, Access::copy, Placement::two_cpus};
    Cell large_life = life;
    large_life.size_bytes = 4096;
    Cell exchange = life;
    exchange.pattern = Pattern::ping_pong;
    Cell small_exchange = exchange;
    small_exchange.size_bytes = 1;
    EXPECT_EQ(cells_of(read(text)), (std::vector{life, large_life, small_exchange, exchange}));
}

TEST(CellsOf, TheQuickTableMayReplaceTheGroups) {
    const std::string text =
        std::string(whole) + "[quick]\nsizes = [8]\n[[measure]]\npatterns = [\"stream\"]\n";
    EXPECT_EQ(cells_of(read(text, true)).at(0).size_bytes, 8U);
    EXPECT_EQ(cells_of(read(text, true)).at(0).pattern, Pattern::stream);
    const std::string more = text + "[[quick.measure]]\nsizes = [9]\n";
    EXPECT_EQ(cells_of(read(more, true)).at(0).size_bytes, 9U);
    EXPECT_EQ(cells_of(read(more, true)).at(0).pattern, Pattern::ping_pong);
    EXPECT_EQ(cells_of(read(more, false)).at(0).pattern, Pattern::stream);
}

TEST(CellsOf, ALifeIsLivedInTheMechanismsOwnDialect) {
    Scenario scenario = read(with_line(5, R"(access = ["copy", "in_place"])"));
    scenario.mechanisms = {"pipe", "spsc-ring/futex"};
    scenario.patterns = {Pattern::lifecycle};
    scenario.sizes_bytes = {64};
    std::vector<Access> found;
    for (const Cell& cell : cells_of(scenario)) found.push_back(cell.access);
    EXPECT_THAT(found, ElementsAre(Access::copy, Access::in_place));
}

TEST(CellsOf, WhatCarriesNoPayloadHasNeitherSizeNorCapacity) {
    Scenario scenario = read(whole);
    scenario.mechanisms = {"*"};
    scenario.capacities_bytes = {0, 65536};
    scenario.batches_messages = {0, 8};
    for (const Cell& cell : cells_of(scenario)) {
        const bool payload = facts_of(cell.mechanism).sender != Dialect::notifies;
        EXPECT_EQ(cell.size_bytes > 0, payload) << cell.mechanism;
        EXPECT_TRUE(payload || cell.capacity_bytes == 0) << cell.mechanism;
        EXPECT_TRUE(payload || cell.batch_messages == 0) << cell.mechanism;
    }
}

TEST(Narrow, TakesTheNamesForOneGroupAndTheirShareOfSeveral) {
    Scenario one = read(whole);
    narrow(one, {.mechanisms = {"posix-*"},
                 .sizes_bytes = {1},
                 .capacities_bytes = {65536},
                 .batches_messages = {8}});
    EXPECT_THAT(cells_of(one), Not(IsEmpty()));
    for (const Cell& cell : cells_of(one)) {
        EXPECT_TRUE(cell.mechanism.starts_with("posix-"));
        EXPECT_EQ(cell.size_bytes, 1U);
        EXPECT_EQ(cell.capacity_bytes, 65536U);
        EXPECT_EQ(cell.batch_messages, 8U);
    }
    Scenario two = read(std::string(whole) + "[[measure]]\nmechanisms = [\"posix-*\", \"pipe\"]\n"
                                             "[[measure]]\npatterns = [\"stream\"]\n");
    narrow(two, {.mechanisms = {"posix-mq"}});
    EXPECT_EQ(cells_of(two).size(), 2U);
    for (const Cell& cell : cells_of(two)) {
        EXPECT_EQ(cell.mechanism, "posix-mq");
        EXPECT_EQ(cell.pattern, Pattern::ping_pong);
    }
}

// ---- the scenarios that are shipped ----

TEST(ShippedScenarios, ParseAskAQuestionAndMeasure) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(IPCLAB_SOURCE_DIR) / "scenarios")) {
        for (const bool quick : {false, true}) {
            const Scenario scenario = read_scenario(entry.path(), quick);
            EXPECT_THAT(scenario.question, EndsWith("?")) << entry.path();
            EXPECT_FALSE(cells_of(scenario).empty() && transfers_of(scenario).empty() &&
                         queue_cells_of(scenario).empty())
                << entry.path();
            EXPECT_LT(scenario.batch, scenario.budget) << entry.path();
        }
        names.insert(entry.path().stem());
    }
    for (const std::string name : {"latency", "throughput", "quick"})
        EXPECT_TRUE(names.contains(name)) << name;
}

TEST(ShippedScenarios, TheAARunComparesTwoHundredTransfers) {
    const std::vector<Transfer> transfers =
        transfers_of(read_scenario(find_scenario("a-a"), false));
    EXPECT_EQ(transfers.size(), 400U);
    std::size_t twins = 0;
    for (const Transfer& transfer : transfers) {
        EXPECT_EQ(reason_to_skip(transfer, 2), std::nullopt);
        Transfer twin = transfer;
        twin.arm = std::string("b");
        twins += transfer.arm == "a" && std::count(transfers.begin(), transfers.end(), twin) == 1;
    }
    EXPECT_EQ(twins, 200U);
}

TEST(ShippedScenarios, QuickIsShorter) {
    for (const std::string name : {"latency", "throughput"}) {
        const Scenario slow = read_scenario(find_scenario(name), false);
        const Scenario quick = read_scenario(find_scenario(name), true);
        EXPECT_LT(quick.budget, slow.budget);
        EXPECT_LT(cells_of(quick).size(), cells_of(slow).size());
    }
    EXPECT_LE(read_scenario(find_scenario("quick"), false).budget, 60s);
}

TEST(FindScenario, NamesAndPaths) {
    EXPECT_EQ(find_scenario("latency"), fs::path(IPCLAB_SOURCE_DIR) / "scenarios/latency.toml");
    EXPECT_EQ(find_scenario("mine.toml"), "mine.toml");
    EXPECT_EQ(find_scenario("./latency"), "./latency");
    try {
        (void)find_scenario("latancy");
        FAIL() << "latancy is no scenario";
    } catch (const std::invalid_argument& error) {
        EXPECT_STREQ(error.what(), R"(unknown scenario "latancy"; did you mean latency?)");
    }
}

// ---- the list ----

TEST(Listing, HoldsEveryMechanismAndLesson) {
    const std::string text = list_as_text(catalog_facts());
    const std::string page = list_as_markdown(catalog_facts());
    for (const Facts& facts : catalog_facts()) {
        EXPECT_THAT(text, HasSubstr(fmt::format("\n{} ", facts.name)));
        EXPECT_THAT(page, HasSubstr(fmt::format("| `{}` |", facts.name)));
        EXPECT_THAT(page, HasSubstr(std::string(facts.lesson)));
    }
}

TEST(Listing, FitsTheTerminal) {
    const std::string text = list_as_text(catalog_facts(), 100);
    std::size_t width = 0;
    for (const char c : text) {
        width = c == '\n' ? 0 : width + ((c & 0xC0) != 0x80 ? 1 : 0);
        EXPECT_LE(width, 100U);
    }
}

}  // namespace
