#include "harness/copy_or_map/copy_or_map.hpp"
#include "harness/summary.hpp"

#include <cerrno>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <string_view>
#include <system_error>

namespace ipclab {
namespace {

namespace fs = std::filesystem;

Summary summary_of(const fs::path& results) {
    const fs::path file = fs::is_directory(results) ? results / "run.jsonl" : results;
    if (!fs::exists(file))
        throw RunFileError(
            fmt::format("{}: {}; name a folder that `ipclab run` wrote", results.string(),
                        fs::exists(results) ? "holds no run.jsonl" : "does not exist"));
    const RecordedRun run = read_run(file);
    try {
        return summarise(run);
    } catch (const RunFileError& error) {
        throw RunFileError(fmt::format("{}: {}", file.string(), error.what()));
    }
}

std::string text_of(const nlohmann::ordered_json& json) {
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

/// So that a reader finds the old file or the new one, never half of one.
void write_whole(const fs::path& file, std::string_view text) {
    fs::path draft = file;
    draft += ".draft";
    const auto fail = [&](const std::error_code& error) {
        std::error_code ignored;
        fs::remove(draft, ignored);
        throw RunFileError(fmt::format("{}: cannot write: {}", file.string(), error.message()));
    };
    errno = 0;
    std::ofstream stream(draft, std::ios::binary);
    stream << text;
    stream.close();
    if (!stream) fail({errno == 0 ? EIO : errno, std::generic_category()});
    std::error_code error;
    fs::rename(draft, file, error);
    if (error) fail(error);
}

void write_copy_or_map(const fs::path& results, const Summary& summary) {
    write_whole(results / "copy-or-map.json", text_of(copy_or_map_json(*summary.copy_or_map)));
}

}  // namespace

void write_summaries(const fs::path& results) {
    const Summary summary = summary_of(results);
    write_whole(results / "summary.json", text_of(benchmark_json(summary)));
    if (summary.copy_or_map) write_copy_or_map(results, summary);
    write_whole(results / "summary.md", markdown_table(summary));
}

int print_report(const fs::path& results) {
    const Summary summary = summary_of(results);
    if (summary.copy_or_map && fs::is_directory(results)) {
        try {
            write_copy_or_map(results, summary);
        } catch (const RunFileError& error) {  // the report is no worse for it
            fmt::print(stderr, "{}\n", error.what());
        }
    }
    fmt::print("{}", terminal_table(summary));
    return 0;
}

}  // namespace ipclab
