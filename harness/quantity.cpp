#include "harness/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <system_error>
#include <utility>

namespace ipclab {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array<Unit, 4> size_units{
    {{"B", 1}, {"KiB", 1ULL << 10U}, {"MiB", 1ULL << 20U}, {"GiB", 1ULL << 30U}}};
constexpr std::array<Unit, 5> duration_units{
    {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}}};
constexpr std::array<Unit, 1> percent_units{{{"%", 1}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// ASCII only, whatever the locale: names of mechanisms and units are ASCII.
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

[[noreturn]] void refuse(std::string_view text, std::string_view what) {
    throw BadQuantity(fmt::format("{:?}: {}", text, what));
}

/// A quantity cut in two; both are parts of the text, and the unit may be empty.
struct Parts {
    std::string_view number;
    std::string_view unit;
};

/// Cuts "4 KiB" into "4" and "KiB". `example` shows what would be right.
Parts split(std::string_view text, std::string_view example) {
    constexpr std::string_view blanks = " \t";
    std::string_view rest = text;
    rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
    if (rest.starts_with('-')) refuse(text, fmt::format("must be more than 0, as in {}", example));
    const std::size_t end = std::min(rest.find_first_not_of("0123456789."), rest.size());
    if (end == 0) refuse(text, fmt::format("does not begin with a number; write {}", example));
    Parts parts{rest.substr(0, end), rest.substr(end)};
    parts.unit.remove_prefix(std::min(parts.unit.find_first_not_of(blanks), parts.unit.size()));
    parts.unit = parts.unit.substr(0, parts.unit.find_last_not_of(blanks) + 1);
    return parts;
}

/// Damerau's distance in its restricted form: no part of the word is edited twice.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last;
    std::vector<std::size_t> last;
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        before_last = std::exchange(last, row);
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
            const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                                 lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
    }
    return row[b.size()];
}

/// Units with the same first letter come before all others: "k" and "kb" mean KiB, not B.
std::optional<std::string> unit_meant(std::string_view word, std::span<const Unit> units) {
    std::vector<std::string> names;
    const Unit* nearest = nullptr;
    for (const Unit& unit : units) {
        names.emplace_back(unit.name);
        if (lower(word[0]) != lower(unit.name[0])) continue;
        if (nearest == nullptr || distance(word, unit.name) < distance(word, nearest->name))
            nearest = &unit;
    }
    if (nearest != nullptr) return std::string(nearest->name);
    return nearest_name(word, names);
}

std::uint64_t factor_of(std::string_view text, std::string_view word, std::span<const Unit> units) {
    for (const Unit& unit : units)
        if (unit.name == word) return unit.factor;
    std::string known;
    for (const Unit& unit : units)
        known += fmt::format("{}{}", known.empty() ? "" : ", ", unit.name);
    if (word.empty()) refuse(text, fmt::format("the unit is missing; known: {}", known));
    const auto meant = unit_meant(word, units);
    refuse(text,
           meant ? fmt::format("unknown unit {:?}, nearest is {}; known: {}", word, *meant, known)
                 : fmt::format("unknown unit {:?}; known: {}", word, known));
}

/// A plain decimal number: digits, and perhaps one point with digits after it.
double parse_decimal(std::string_view text, std::string_view number, std::string_view example) {
    double value = 0;
    const char* const end = number.data() + number.size();
    const auto [stop, error] = std::from_chars(number.data(), end, value, std::chars_format::fixed);
    if (stop != end || !is_digit(number.front()) || !is_digit(number.back()))
        refuse(text, fmt::format("{:?} is not a number; write {}", number, example));
    if (error != std::errc()) refuse(text, "is too large or too small");
    return value;
}

/// Rounds before it chooses the prefix, so that 999.9 ns is "1 µs" and not "1000 ns".
std::string three_digits(double value, std::span<const std::string_view> units) {
    std::size_t unit = 0;
    while (unit + 1 < units.size() && std::abs(value) >= 999.5) {
        value /= 1000;
        ++unit;
    }
    const bool long_number = std::abs(value) >= 999.5;
    return (long_number ? fmt::format("{:.0f} ", value) : fmt::format("{:.3g} ", value)) +
           std::string(units[unit]);
}

/// Whether the name holds the word, capitals apart.
bool contains(std::string_view name, std::string_view word) {
    const auto same = [](char a, char b) { return lower(a) == lower(b); };
    return word.size() >= 2 &&
           std::search(name.begin(), name.end(), word.begin(), word.end(), same) != name.end();
}

}  // namespace

std::uint64_t parse_size(std::string_view text) {
    const Parts parts = split(text, "64 B or 4 KiB");
    const std::uint64_t factor = parts.unit.empty() ? 1 : factor_of(text, parts.unit, size_units);
    std::uint64_t count = 0;
    const char* const end = parts.number.data() + parts.number.size();
    const auto [stop, error] = std::from_chars(parts.number.data(), end, count);
    if (stop != end)
        refuse(text, fmt::format("{:?} is not a whole number; write 64 B or 4 KiB", parts.number));
    if (error != std::errc() || count > std::numeric_limits<std::uint64_t>::max() / factor)
        refuse(text, "is more bytes than 64 bits can count");
    if (count == 0) refuse(text, "must be at least 1 B");
    return count * factor;
}

std::chrono::nanoseconds parse_duration(std::string_view text) {
    constexpr std::string_view example = "250 ms or 1.5 s";
    Parts parts = split(text, example);
    for (const std::string_view micro : {"\u00b5s", "\u03bcs"})  // micro sign, Greek mu
        if (parts.unit == micro) parts.unit = "us";
    const auto factor = static_cast<double>(factor_of(text, parts.unit, duration_units));
    const double time_ns = std::round(parse_decimal(text, parts.number, example) * factor);
    if (time_ns < 1) refuse(text, "must be at least 1 ns");
    if (time_ns >= 0x1p63) refuse(text, "is longer than 292 years");
    return std::chrono::nanoseconds(static_cast<std::int64_t>(time_ns));
}

double parse_percent(std::string_view text) {
    const Parts parts = split(text, "5 %");
    factor_of(text, parts.unit, percent_units);
    const double percent = parse_decimal(text, parts.number, "5 %");
    if (percent == 0) refuse(text, "must be more than 0 %");
    if (percent > 100) refuse(text, "must be at most 100 %");
    return percent / 100;
}

std::string format_size(std::uint64_t bytes) {
    const Unit* largest = &size_units[0];
    for (const Unit& unit : size_units)
        if (bytes >= unit.factor && bytes % unit.factor == 0) largest = &unit;
    return fmt::format("{} {}", bytes / largest->factor, largest->name);
}

std::string format_size_about(double bytes, int digits) {
    const auto rounded = [digits](double value) {
        if (value <= 0) return 0.0;
        const double step = std::pow(10, std::floor(std::log10(value)) + 1 - digits);
        return std::round(value / step) * step;
    };
    const Unit* largest = &size_units[0];
    for (const Unit& unit : size_units)
        if (rounded(bytes / static_cast<double>(unit.factor)) >= 1) largest = &unit;
    return fmt::format("{:.6g} {}", rounded(bytes / static_cast<double>(largest->factor)),
                       largest->name);
}

std::string format_time_ns(double time_ns) {
    constexpr std::array<std::string_view, 4> units{"ns", "µs", "ms", "s"};
    return three_digits(time_ns, units);
}

std::string format_bytes_per_s(double bytes_per_s) {
    constexpr std::array<std::string_view, 5> units{"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};
    return three_digits(bytes_per_s, units);
}

std::string format_messages_per_s(double messages_per_s) {
    constexpr std::array<std::string_view, 4> units{"/s", "k/s", "M/s", "G/s"};
    return three_digits(messages_per_s, units);
}

std::optional<std::string> nearest_name(std::string_view word,
                                        const std::vector<std::string>& candidates) {
    const std::string* nearest = nullptr;
    std::size_t least = 0;
    for (const std::string& name : candidates) {
        const std::size_t apart = distance(word, name);
        const std::size_t letters = std::max(word.size(), name.size());
        if (apart >= letters || apart > std::max<std::size_t>(1, letters / 3)) continue;
        if (nearest == nullptr || apart < least) {
            nearest = &name;
            least = apart;
        }
    }
    if (nearest != nullptr) return *nearest;
    for (const std::string& name : candidates)
        if (contains(name, word)) return name;
    return std::nullopt;
}

}  // namespace ipclab
