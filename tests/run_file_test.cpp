#include "harness/run_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <thread>

namespace {

using namespace ipclab;
using nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

ordered_json context() { return {{"type", "context"}, {"schema", run_schema}, {"host", "vm"}}; }
ordered_json row(int number) { return {{"type", "row"}, {"mechanism", "pipe"}, {"round", number}}; }
ordered_json end_line() { return {{"type", "end"}, {"stopped_by", "width"}}; }

std::string text_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Each test in a folder of its own, gone afterwards.
class RunFileTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "run-file-test-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        file_ = folder_ / "run.jsonl";
    }
    void TearDown() override { fs::remove_all(folder_); }

    void put(const std::string& text) const { std::ofstream(file_, std::ios::binary) << text; }

    /// What read_run says against the text.
    std::string refusal(const std::string& text) const {
        put(text);
        try {
            (void)read_run(file_);
            return "";
        } catch (const RunFileError& error) {
            return error.what();
        }
    }

    fs::path folder_;
    fs::path file_;
};

// ---- the folder ----

TEST_F(RunFileTest, TheFolderIsNamedAfterTimeHostAndCommit) {
    const auto made =
        make_run_folder(folder_ / "new" / "results", "2026-11-21T13:00:00Z", "vm", "abc1234");
    EXPECT_EQ(made, folder_ / "new" / "results" / "20261121T130000Z-vm-abc1234");
    EXPECT_TRUE(fs::is_directory(made));
}

TEST_F(RunFileTest, ATakenFolderGetsASuffix) {
    const auto make = [this] {
        return make_run_folder(folder_, "2026-11-21T13:00:00Z", "vm", "abc1234");
    };
    EXPECT_EQ(make().filename(), "20261121T130000Z-vm-abc1234");
    EXPECT_EQ(make().filename(), "20261121T130000Z-vm-abc1234-2");
    EXPECT_EQ(make().filename(), "20261121T130000Z-vm-abc1234-3");
}

TEST_F(RunFileTest, AHostNameCannotLeaveTheResultsFolder) {
    EXPECT_EQ(make_run_folder(folder_, "2026-11-21T13:00:00Z", "../a b", "c").filename(),
              "20261121T130000Z-.._a_b-c");
}

TEST_F(RunFileTest, AFolderThatCannotBeMadeIsAClearError) {
    put("a file, not a folder\n");
    try {
        (void)make_run_folder(file_, "2026-11-21T13:00:00Z", "vm", "abc1234");
        FAIL() << "made a folder in a file";
    } catch (const RunFileError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr(file_.string()), HasSubstr("cannot create")));
    }
}

// ---- writing ----

TEST_F(RunFileTest, WhatIsWrittenIsReadBack) {
    RunWriter writer(file_);
    writer.write(context());
    writer.write(row(1));
    writer.write(row(2));
    writer.write(end_line());

    for (const fs::path& path : {file_, folder_}) {
        const RecordedRun run = read_run(path);
        EXPECT_EQ(run.context, context());
        ASSERT_EQ(run.rows.size(), 2U);
        EXPECT_EQ(run.rows[1], row(2));
        EXPECT_EQ(run.end, end_line());
        EXPECT_FALSE(run.torn_tail);
    }
}

TEST_F(RunFileTest, ALineIsReadableWhileTheRunGoesOn) {
    RunWriter writer(file_);
    writer.write(context());
    writer.write(row(1));
    const RecordedRun run = read_run(file_);
    EXPECT_EQ(run.rows.size(), 1U);
    EXPECT_EQ(run.end, std::nullopt);
    EXPECT_FALSE(run.torn_tail);
}

TEST_F(RunFileTest, KeysStayInTheOrderInWhichTheyWereWritten) {
    RunWriter writer(file_);
    writer.write({{"type", "context"}, {"schema", 1}, {"zebra", 1}, {"ant", nullptr}});
    EXPECT_EQ(text_of(file_), "{\"type\":\"context\",\"schema\":1,\"zebra\":1,\"ant\":null}\n");
    EXPECT_EQ(read_run(file_).context.dump(),
              R"({"type":"context","schema":1,"zebra":1,"ant":null})");
}

TEST_F(RunFileTest, NoTextBreaksALine) {
    const std::string reason = "two\nlines, \"quotes\" and a byte that is not UTF-8: \xff";
    RunWriter writer(file_);
    writer.write(context());
    writer.write({{"type", "row"}, {"reason", reason}});
    const RecordedRun run = read_run(file_);
    EXPECT_EQ(run.rows.at(0).at("reason"),
              "two\nlines, \"quotes\" and a byte that is not UTF-8: \uFFFD");
}

TEST_F(RunFileTest, TheFileIsPlainAndNotInherited) {
    const ::mode_t umask_before = ::umask(022);
    const RunWriter writer(file_);
    ::umask(umask_before);
    struct stat status {};
    ASSERT_EQ(::stat(file_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0644U);

    bool seen = false;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        if (fs::read_symlink(entry.path(), gone) != file_) continue;
        seen = true;
        const int fd = std::stoi(entry.path().filename().string());
        EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
        EXPECT_TRUE(::fcntl(fd, F_GETFL) & O_APPEND);
    }
    EXPECT_TRUE(seen);
}

/// How often this process has called write(2) so far; -1 where the kernel does not count.
long write_calls() {
    std::ifstream stream("/proc/self/io");
    std::string name;
    for (long count = 0; stream >> name >> count;)
        if (name == "syscw:") return count;
    return -1;
}

TEST_F(RunFileTest, ALineIsOneWriteHoweverLong) {
    if (write_calls() < 0) GTEST_SKIP() << "/proc/self/io: this kernel does not count writes";
    RunWriter writer(file_);
    writer.write(context());
    ordered_json long_row = row(1);
    long_row["reason"] = std::string(1'000'000, 'x');
    const long before = write_calls();
    for (int i = 0; i < 10; ++i) writer.write(long_row);
    EXPECT_EQ(write_calls() - before, 10);
}

TEST_F(RunFileTest, ARunIsNeverAppendedToAnother) {
    RunWriter(file_).write(context());
    EXPECT_THROW(RunWriter second(file_), RunFileError);
    EXPECT_EQ(read_run(file_).context, context());
}

TEST_F(RunFileTest, AFileThatCannotBeOpenedIsAClearError) {
    try {
        RunWriter writer(folder_ / "nowhere" / "run.jsonl");
        FAIL() << "opened a file in no folder";
    } catch (const RunFileError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("nowhere/run.jsonl"), HasSubstr("ENOENT")));
    }
}

TEST_F(RunFileTest, AFullDiskIsAClearError) {
    RunWriter writer("/dev/full");
    try {
        writer.write(context());
        FAIL() << "wrote to a full disk";
    } catch (const RunFileError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("/dev/full"),
                                        HasSubstr("No space left on device"), HasSubstr("ENOSPC")));
    }
}

/// Runs the body in a child process and gives its exit status as waitpid does.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = -1;
    ::waitpid(child, &status, 0);
    return status;
}

TEST_F(RunFileTest, ADiskThatFillsInTheMiddleOfALineLeavesNoTornLine) {
    // The limit on a file's size stands for the disk: it takes part of a line, then refuses.
    const int status = in_child([this] {
        RunWriter writer(file_);
        writer.write(context());
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit full{100, RLIM_INFINITY};
        const rlimit roomy{RLIM_INFINITY, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &full);
        ordered_json long_row = row(1);
        long_row["reason"] = std::string(1000, 'x');
        try {
            writer.write(long_row);
            return 1;
        } catch (const RunFileError&) {
        }
        ::setrlimit(RLIMIT_FSIZE, &roomy);
        writer.write(row(2));
        return 0;
    });
    ASSERT_EQ(status, 0);
    const RecordedRun run = read_run(file_);
    EXPECT_FALSE(run.torn_tail);
    ASSERT_EQ(run.rows.size(), 1U);
    EXPECT_EQ(run.rows[0], row(2));
}

// ---- reading ----

TEST_F(RunFileTest, ATearAtAnyByteCostsAtMostTheLastLine) {
    const std::string head = context().dump() + '\n';
    const std::string whole =
        head + row(1).dump() + '\n' + row(2).dump() + '\n' + end_line().dump() + '\n';
    for (std::size_t length = head.size(); length <= whole.size(); ++length) {
        const std::string kept = whole.substr(0, length);
        put(kept);
        const RecordedRun run = read_run(file_);
        const auto lines = std::count(kept.begin(), kept.end(), '\n');
        EXPECT_EQ(run.torn_tail, kept.back() != '\n') << length;
        EXPECT_EQ(1 + run.rows.size() + (run.end ? 1 : 0), static_cast<std::size_t>(lines))
            << length;
    }
}

TEST_F(RunFileTest, ALastLineThatIsNotJsonIsATornTail) {
    put(context().dump() + '\n' + row(1).dump() + "\n{\"type\":\"ro\n");
    const RecordedRun run = read_run(file_);
    EXPECT_TRUE(run.torn_tail);
    EXPECT_EQ(run.rows.size(), 1U);
}

TEST_F(RunFileTest, AnyOtherBadLineIsAnErrorWithItsPlace) {
    const std::string good = context().dump() + '\n';
    const std::string place = file_.string() + ":2: ";
    EXPECT_EQ(refusal(good + "{\"type\":\n" + row(1).dump() + '\n'), place + "not JSON");
    EXPECT_EQ(refusal(good + "\n" + row(1).dump() + '\n'), place + "not JSON");
    EXPECT_EQ(refusal(good + "{\"type\":\n{\"type\":"), place + "not JSON");
    EXPECT_EQ(refusal(good + "42\n"), place + "not an object with a \"type\"");
    EXPECT_EQ(refusal(good + "{\"type\":7}\n"), place + "not an object with a \"type\"");
    EXPECT_EQ(refusal(good + "{\"kind\":\"row\"}\n"), place + "not an object with a \"type\"");
    EXPECT_EQ(refusal(good + "{\"type\":\"raw\"}\n"), place + "unexpected type \"raw\"");
    EXPECT_EQ(refusal(good + good), place + "unexpected type \"context\"");
    EXPECT_EQ(refusal(good + end_line().dump() + '\n' + row(1).dump() + '\n'),
              file_.string() + ":3: a line after the end");
}

TEST_F(RunFileTest, ARunWithoutItsContextIsAnError) {
    EXPECT_THAT(refusal(""), HasSubstr("no context"));
    EXPECT_THAT(refusal("{\"type\":\"cont"), HasSubstr("no context"));
    EXPECT_THAT(refusal(row(1).dump() + '\n'), HasSubstr(":1: the first line is not the context"));
}

TEST_F(RunFileTest, AnotherSchemaIsRefused) {
    EXPECT_THAT(refusal("{\"type\":\"context\",\"schema\":2}\n"),
                HasSubstr(":1: schema 2, and this program reads 1"));
    EXPECT_THAT(refusal("{\"type\":\"context\"}\n"), HasSubstr(":1: schema null"));
}

TEST_F(RunFileTest, AMissingFileIsAClearError) {
    try {
        (void)read_run(folder_);
        FAIL() << "read a file that is not there";
    } catch (const RunFileError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr(file_.string()), HasSubstr("ENOENT")));
    }
}

// ---- killed at any moment ----

/// Writes lines of many sizes as fast as it can, until it is killed.
[[noreturn]] void write_for_ever(const fs::path& file) {
    RunWriter writer(file);
    writer.write(context());
    for (int number = 0;; ++number) {
        ordered_json line = row(number);
        line["reason"] = std::string(static_cast<std::size_t>(number) * 7919 % 60'000, 'x');
        writer.write(line);
    }
}

TEST_F(RunFileTest, AKillAtAnyMomentTearsAtMostTheLastLine) {
    std::mt19937_64 random(7);
    std::uniform_int_distribution<int> delay_us(0, 15'000);
    std::size_t rows = 0;
    for (int kill = 0; kill < 40; ++kill) {
        const fs::path file = folder_ / ("run-" + std::to_string(kill) + ".jsonl");
        const pid_t child = ::fork();
        if (child == 0) write_for_ever(file);
        ASSERT_GT(child, 0);
        std::this_thread::sleep_for(std::chrono::microseconds(delay_us(random)));
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";

        // Every line with a newline is whole; what follows the last newline is the torn tail.
        std::size_t lines = 0;
        std::string tail = fs::exists(file) ? text_of(file) : "";
        for (std::size_t newline = 0; (newline = tail.find('\n')) != std::string::npos; ++lines) {
            ASSERT_TRUE(ordered_json::accept(tail.substr(0, newline))) << file << ':' << lines + 1;
            tail.erase(0, newline + 1);
        }
        if (lines == 0) {
            EXPECT_THROW((void)read_run(file), RunFileError);
        } else {
            const RecordedRun run = read_run(file);
            EXPECT_EQ(run.rows.size() + 1, lines);
            EXPECT_EQ(run.torn_tail, !tail.empty());
            EXPECT_EQ(run.end, std::nullopt);
            rows += run.rows.size();
        }
        fs::remove(file);
    }
    EXPECT_GT(rows, 0U);
}

}  // namespace
