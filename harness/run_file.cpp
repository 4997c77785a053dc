#include "harness/run_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace ipclab {
namespace {

using nlohmann::ordered_json;

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view what, int error) {
    throw RunFileError(fmt::format("{}: {}: {} ({})", path.string(), what,
                                   std::generic_category().message(error),
                                   ::strerrorname_np(error)));
}

[[noreturn]] void fail_at(const std::filesystem::path& path, std::size_t line,
                          std::string_view what) {
    throw RunFileError(fmt::format("{}:{}: {}", path.string(), line, what));
}

std::string without_punctuation(std::string_view utc) {
    std::string text(utc);
    std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
    return text;
}

std::string fit_for_a_name(std::string text) {
    for (char& c : text)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
    return text;
}

std::string read_whole(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) fail(file, "cannot open", errno);
    std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
    if (stream.bad()) fail(file, "cannot read", EIO);
    return text;
}

/// Puts a whole line in its place in the run.
void sort_in(RecordedRun& run, ordered_json object, const std::filesystem::path& file,
             std::size_t line) {
    const auto type_field = object.is_object() ? object.find("type") : object.end();
    if (!object.is_object() || type_field == object.end() || !type_field->is_string())
        fail_at(file, line, "not an object with a \"type\"");
    const auto type = type_field->get<std::string>();

    if (line == 1) {
        if (type != "context") fail_at(file, line, "the first line is not the context");
        if (object.value("schema", ordered_json()) != run_schema)
            fail_at(
                file, line,
                fmt::format("schema {}, and this program reads {}; use the version that wrote it",
                            object.value("schema", ordered_json()).dump(), run_schema));
        run.context = std::move(object);
    } else if (run.end) {
        fail_at(file, line, "a line after the end");
    } else if (type == "row" || type == "cost" || type == "transfer" || type == "multi_queue") {
        run.rows.push_back(std::move(object));
    } else if (type == "end") {
        run.end = std::move(object);
    } else {
        fail_at(file, line, fmt::format("unexpected type {:?}", type));
    }
}

}  // namespace

std::filesystem::path make_run_folder(const std::filesystem::path& results, std::string_view utc,
                                      std::string_view host, std::string_view commit) {
    std::error_code error;
    std::filesystem::create_directories(results, error);
    if (error) fail(results, "cannot create", error.value());

    const std::string name =
        fit_for_a_name(fmt::format("{}-{}-{}", without_punctuation(utc), host, commit));
    for (int attempt = 1;; ++attempt) {
        auto folder = results / (attempt == 1 ? name : fmt::format("{}-{}", name, attempt));
        if (::mkdir(folder.c_str(), 0755) == 0) return folder;
        if (errno != EEXIST) fail(folder, "cannot create", errno);
    }
}

RunWriter::RunWriter(std::filesystem::path file)
    : file_(std::move(file)),
      fd_(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
    if (!fd_) fail(file_, "cannot open", errno);
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) fail(file_, "cannot look at", errno);
    if (status.st_size > 0)
        throw RunFileError(fmt::format("{}: already holds a run; choose another", file_.string()));
}

void RunWriter::write(const ordered_json& object) {
    if (torn_) throw RunFileError(fmt::format("{}: ends in a torn line", file_.string()));
    const std::string line =
        object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + '\n';

    std::size_t written = 0;
    while (written < line.size()) {  // a second turn only where the disk took a part
        const ssize_t part = ::write(fd_.get(), line.data() + written, line.size() - written);
        if (part >= 0) {
            written += static_cast<std::size_t>(part);
        } else if (errno != EINTR) {
            const int error = errno;
            struct stat status {};
            torn_ = written > 0 &&
                    (::fstat(fd_.get(), &status) != 0 ||
                     ::ftruncate(fd_.get(), status.st_size - static_cast<off_t>(written)) != 0);
            fail(file_, "cannot write", error);
        }
    }
}

RecordedRun read_run(const std::filesystem::path& path) {
    const auto file = std::filesystem::is_directory(path) ? path / "run.jsonl" : path;
    const std::string text = read_whole(file);
    RecordedRun run;
    std::size_t line = 0;
    for (std::size_t start = 0; start < text.size();) {
        ++line;
        const std::size_t newline = text.find('\n', start);
        if (newline == std::string::npos) {
            run.torn_tail = true;
            break;
        }
        const std::string_view words(text.data() + start, newline - start);
        start = newline + 1;
        auto object = ordered_json::parse(words, nullptr, /*allow_exceptions=*/false);
        if (object.is_discarded()) {
            if (start < text.size()) fail_at(file, line, "not JSON");
            run.torn_tail = true;
            break;
        }
        sort_in(run, std::move(object), file, line);
    }
    if (run.context.is_null())
        throw RunFileError(fmt::format(
            "{}: holds no context: the run ended before it could measure anything", file.string()));
    return run;
}

}  // namespace ipclab
