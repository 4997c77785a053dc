// The fields of one line of run.jsonl.
#pragma once

#include "harness/run_file.hpp"

#include <cmath>
#include <cstddef>
#include <fmt/format.h>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ipclab {

/// A row whose fields may be missing, null, or of a wrong type.
class Fields {
  public:
    using Json = nlohmann::ordered_json;
    using Path = std::initializer_list<std::string_view>;

    Fields(const Json& row, std::size_t line) : row_(row), line_(line) {}

    [[noreturn]] void refuse(std::string_view key, const Json* found) const {
        throw RunFileError(fmt::format(
            "line {}: the row's {} is {}; a row of this status cannot be without it", line_, key,
            found == nullptr ? "missing"
                             : found->dump(-1, ' ', false, Json::error_handler_t::replace)));
    }

    [[nodiscard]] const Json* find(Path path) const {
        const Json* value = &row_;
        for (const std::string_view key : path) {
            if (!value->is_object()) return nullptr;
            const auto found = value->find(key);
            if (found == value->end()) return nullptr;
            value = &*found;
        }
        return value;
    }
    [[nodiscard]] std::optional<double> number(Path path) const {
        const Json* value = find(path);
        if (value == nullptr || !value->is_number()) return std::nullopt;
        return value->get<double>();
    }
    [[nodiscard]] std::optional<std::string> text(Path path) const {
        const Json* value = find(path);
        if (value == nullptr || !value->is_string()) return std::nullopt;
        return value->get<std::string>();
    }
    [[nodiscard]] bool is_true(Path path) const {
        const Json* value = find(path);
        return value != nullptr && value->is_boolean() && value->get<bool>();
    }
    [[nodiscard]] std::string needed_text(std::string_view key) const {
        if (const auto value = text({key})) return *value;
        refuse(key, find({key}));
    }
    [[nodiscard]] std::size_t needed_size(std::string_view key) const {
        const auto value = number({key});
        if (!value || !(*value >= 0) || std::isinf(*value)) refuse(key, find({key}));
        return static_cast<std::size_t>(*value);
    }
    [[nodiscard]] double needed_positive(std::string_view key) const {
        const auto value = number({key});
        if (!value || !(*value > 0) || std::isinf(*value)) refuse(key, find({key}));
        return *value;
    }

    /// The one of `all` that has this name.
    template <class All>
    auto one_of(std::string_view key, const All& all) const {
        const std::string word = needed_text(key);
        for (const auto candidate : all)
            if (name_of(candidate) == word) return candidate;
        refuse(key, find({key}));
    }

  private:
    const Json& row_;
    std::size_t line_;
};

/// The rows of one type, in the order in which they were measured.
void for_each_row(const RecordedRun& run, std::string_view type, auto&& read) {
    for (std::size_t i = 0; i < run.rows.size(); ++i)
        if (run.rows[i].value("type", "row") == type)
            read(Fields(run.rows[i], i + 2));  // the context is line 1
}

}  // namespace ipclab
