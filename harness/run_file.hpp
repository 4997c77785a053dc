// run.jsonl, the one source of every figure: a context line, then a row per line as it is measured,
// then an end line. Whatever kills the program, the lines written so far stay, and at most the last
// one is torn; a reader counts a line only when it is whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "mechanisms/os/fd.hpp"

namespace ipclab {

/// The context's "schema" that this program writes and reads.
constexpr int run_schema = 1;

/// One line: the file, the line where there is one, what is wrong, and the errno text.
struct RunFileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Makes `results/<utc>-<host>-<commit>`, and `results` where it is missing; ends the name in -2,
/// -3 … where it is taken. `utc` is written as 2026-11-21T13:00:00Z and stands in the name without
/// its punctuation, 20261121T130000Z; a character that file names do not like becomes an
/// underscore. Throws RunFileError.
std::filesystem::path make_run_folder(const std::filesystem::path& results, std::string_view utc,
                                      std::string_view host, std::string_view commit);

/// Appends lines to a run file. One writer to a file. The lines survive the death of this process,
/// not that of the machine: nothing is forced to the disk.
class RunWriter {
  public:
    /// Creates the file, mode 0644 under the umask. Throws RunFileError where that fails, or where
    /// the file already holds something.
    explicit RunWriter(std::filesystem::path file);

    /// Writes one object as one line, keys in their order, with one write(2). Where that fails (a
    /// full disk) it throws RunFileError and takes back what was written of the line, so that the
    /// file stays whole and a later line may succeed. Text that is not UTF-8 is mended with
    /// U+FFFD.
    void write(const nlohmann::ordered_json& object);

    [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  private:
    std::filesystem::path file_;
    Fd fd_;
    bool torn_ = false;  // part of a line is stuck in the file: another would make it unreadable
};

/// What a run file holds.
struct RecordedRun {
    nlohmann::ordered_json context;
    std::vector<nlohmann::ordered_json> rows;   // of all types, from the file's second line on
    std::optional<nlohmann::ordered_json> end;  // absent after a kill
    bool torn_tail = false;                     // the last line was torn, and is left out
};

/// Reads a run file, or the run.jsonl in a folder. The last line may be torn: without its newline,
/// or not JSON. Any other line that is not a context, a row or an end in its place throws
/// RunFileError, and so does a file without a context, or with one of another schema.
RecordedRun read_run(const std::filesystem::path& path);

}  // namespace ipclab
