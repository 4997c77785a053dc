#include "harness/copy_or_map/sentences.hpp"

#include "harness/quantity.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>
#include <utility>

namespace ipclab {
namespace {

using Strings = std::vector<std::string>;

/// "41 to 55 KiB", or "900 B to 1.2 KiB".
std::string range_in_words(double low_bytes, double high_bytes, int digits = 2) {
    const std::string low = format_size_about(low_bytes, digits);
    const std::string high = format_size_about(high_bytes, digits);
    if (low == high) return digits < 3 ? range_in_words(low_bytes, high_bytes, 3) : low;
    const std::size_t number = low.find(' ');
    const bool same_unit = low.substr(number) == high.substr(high.find(' '));
    return fmt::format("{} to {}", same_unit ? low.substr(0, number) : low, high);
}

std::string all_sizes(const Crossing& crossing) {
    return fmt::format("from {} to {}", format_size(crossing.smallest_bytes),
                       format_size(crossing.largest_bytes));
}

/// Of what is always so, as far as its interval says otherwise.
std::string certainty(const Crossing& crossing) {
    if (crossing.sure || !crossing.has_interval) return {};
    const bool map = crossing.state == CrossingState::map_always;
    const auto& end_bytes = map ? crossing.high_bytes : crossing.low_bytes;
    if (!end_bytes) return ", though not for certain";
    const std::string size = format_size_about(*end_bytes);
    return map ? fmt::format(", for certain from {} on", size)
               : fmt::format(", for certain below {}", size);
}

/// The sizes between which mapping is cheaper, where it is not at the largest.
std::string in_between(const std::vector<double>& sizes_bytes) {
    Strings parts;
    std::size_t i = 0;
    if (sizes_bytes.size() % 2 == 1)
        parts.push_back(fmt::format("below {}", format_size_about(sizes_bytes[i++])));
    for (; i + 1 < sizes_bytes.size(); i += 2)
        parts.push_back(fmt::format("between {} and {}", format_size_about(sizes_bytes[i]),
                                    format_size_about(sizes_bytes[i + 1])));
    return fmt::format("{}", fmt::join(parts, " and "));
}

std::string times_in_words(std::uint64_t times) {
    switch (times) {
    case 10:
        return "ten";
    case 100:
        return "a hundred";
    case 1000:
        return "a thousand";
    default:
        return fmt::format("{}", times);
    }
}

std::string copying_in_words(const std::string& mechanism) {
    if (mechanism == "pipe") return "copying through a pipe";
    if (mechanism == "pipe/spin") return "copying through a pipe that both sides poll";
    if (mechanism.starts_with("process-vm")) return "copying with process_vm_readv";
    return fmt::format("copying through {}", mechanism);
}

/// Mapping anew to read, for each message, against the copy.
std::string first_clause(const Crossing& crossing, const std::string& copying) {
    constexpr std::string_view mapping = "mapping anew for each message";
    switch (crossing.state) {
    case CrossingState::crosses: {
        const std::string interval = interval_in_words(crossing);
        const std::string at = fmt::format("{}{}{}", format_size_about(crossing.size_bytes),
                                           interval.empty() ? "" : " ", interval);
        if (crossing.all_sizes_bytes.size() > 1)
            return fmt::format("from {} on {} beats {} for good", at, mapping, copying);
        return fmt::format("below {} {} beats {}", at, copying, mapping);
    }
    case CrossingState::undecided:
        return fmt::format("between {} and {} no difference is seen", copying, mapping);
    case CrossingState::no_figures:
        return {};
    case CrossingState::map_always:
    case CrossingState::copy_always:
    case CrossingState::map_in_between:
        break;
    }
    return fmt::format("against {}, {} {}", copying, mapping, predicate_of(crossing));
}

/// The numbers of messages per mapping for which a way was measured here.
std::set<std::uint64_t> reuses_of(const CopyOrMap& found, const Place& place,
                                  const std::string& copy, Way way) {
    std::set<std::uint64_t> reuses;
    for (const CrossingFinding& finding : found.crossings)
        if (!finding.from_model && finding.place == place && finding.copy == copy &&
            finding.way == way && finding.messages_per_mapping &&
            finding.crossing.state != CrossingState::no_figures)
            reuses.insert(*finding.messages_per_mapping);
    return reuses;
}

/// What can be said of the mappings that are used more than once; those of which the same can be
/// said, together.
Strings reuse_clauses(const CopyOrMap& found, const Place& place, const std::string& copy) {
    std::vector<std::pair<Strings, std::string>> groups;  // of which all say the same
    std::set<std::uint64_t> reuses = reuses_of(found, place, copy, Way::receiver_remaps);
    reuses.erase(1);
    for (const std::uint64_t times : reuses) {
        const std::string predicate =
            predicate_of(crossing_of(found, place, copy, Way::receiver_remaps, times)->crossing);
        if (groups.empty() || groups.back().second != predicate)
            groups.emplace_back(Strings{}, predicate);
        groups.back().first.push_back(times_in_words(times));
    }
    Strings clauses;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        const auto& [times, predicate] = groups[i];
        const bool to_the_end = times.size() > 1 && i + 1 == groups.size();
        clauses.push_back(
            fmt::format("{} that is reused {} times{} {}", i == 0 ? "a mapping" : "one",
                        to_the_end ? times.front() : fmt::format("{}", fmt::join(times, " or ")),
                        to_the_end ? " or more" : "", predicate));
    }
    return clauses;
}

/// Of mapping anew to write.
std::string write_clause(const CopyOrMap& found, const Place& place, const std::string& copy) {
    const std::set<std::uint64_t> reuses = reuses_of(found, place, copy, Way::sender_remaps);
    if (reuses.empty()) return {};
    const auto predicate = [&](std::uint64_t times) {
        return predicate_of(crossing_of(found, place, copy, Way::sender_remaps, times)->crossing);
    };
    const std::uint64_t fewest = *reuses.begin();
    const std::uint64_t most = *reuses.rbegin();
    const std::string first = predicate(fewest);
    const bool all_alike = std::all_of(reuses.begin(), reuses.end(), [&](std::uint64_t times) {
        return predicate(times) == first;
    });
    std::string clause = fewest == 1
                             ? fmt::format("mapping anew to write {}", first)
                             : fmt::format("mapping anew to write, for {} messages at a time, {}",
                                           times_in_words(fewest), first);
    if (reuses.size() > 1 && all_alike)
        clause += ", however often the mapping is reused";
    else if (reuses.size() > 1)
        clause += fmt::format(", and for {} messages at a time it {}", times_in_words(most),
                              predicate(most));
    return clause;
}

std::string clause_of(std::string_view subject, const CrossingFinding* finding) {
    if (finding == nullptr || finding->crossing.state == CrossingState::no_figures) return {};
    return fmt::format("{} {}", subject, predicate_of(finding->crossing));
}

std::string sentence_of(std::string_view head, Strings clauses) {
    std::erase(clauses, "");
    if (clauses.empty()) return {};
    return fmt::format("{}{}.", head, fmt::join(clauses, "; "));
}

}  // namespace

std::string in_words(const Place& place) {
    const std::string_view waiting = place.waiting == Waiting::sleeps  ? "asleep"
                                     : place.waiting == Waiting::spins ? "spinning"
                                                                       : name_of(place.waiting);
    if (place.placement == Placement::same_cpu)
        return fmt::format("with both processes on one CPU and {} while they wait", waiting);
    return fmt::format("with a CPU for each process and both {} while they wait", waiting);
}

std::string first_copy_of(const CopyOrMap& found, const Place& place) {
    std::string first;
    for (const CrossingFinding& finding : found.crossings) {
        if (finding.place != place) continue;
        if (first.empty() || (finding.copy.starts_with("pipe") && !first.starts_with("pipe")))
            first = finding.copy;
    }
    return first;
}

const CrossingFinding* crossing_of(const CopyOrMap& found, const Place& place,
                                   const std::string& copy, Way way,
                                   std::optional<std::uint64_t> messages_per_mapping,
                                   bool from_model) {
    for (const CrossingFinding& finding : found.crossings)
        if (finding.place == place && finding.copy == copy && finding.way == way &&
            finding.messages_per_mapping == messages_per_mapping &&
            finding.from_model == from_model)
            return &finding;
    return nullptr;
}

std::string interval_in_words(const Crossing& crossing) {
    Strings parts;
    if (crossing.low_bytes && crossing.high_bytes)
        parts.push_back(range_in_words(*crossing.low_bytes, *crossing.high_bytes));
    else if (crossing.low_bytes)
        parts.push_back(fmt::format("at least {}", format_size_about(*crossing.low_bytes)));
    else if (crossing.high_bytes)
        parts.push_back(fmt::format("at most {}", format_size_about(*crossing.high_bytes)));
    else if (crossing.has_interval)
        parts.push_back(fmt::format("anywhere {}", all_sizes(crossing)));
    if (crossing.nearly_parallel) parts.emplace_back("nearly parallel, so a rough size");
    return parts.empty() ? "" : fmt::format("({})", fmt::join(parts, "; "));
}

std::string predicate_of(const Crossing& crossing) {
    const std::string up_to = fmt::format("up to {}", format_size(crossing.largest_bytes));
    switch (crossing.state) {
    case CrossingState::crosses: {
        const std::string interval = interval_in_words(crossing);
        return fmt::format(
            "wins {}from {} on{}{}", crossing.all_sizes_bytes.size() > 1 ? "for good " : "",
            format_size_about(crossing.size_bytes), interval.empty() ? "" : " ", interval);
    }
    case CrossingState::map_always:
        return fmt::format("wins at every size {}{}", up_to, certainty(crossing));
    case CrossingState::copy_always:
        return fmt::format("never wins {}{}", up_to, certainty(crossing));
    case CrossingState::map_in_between:
        return fmt::format("wins only {}", in_between(crossing.all_sizes_bytes));
    case CrossingState::undecided:
        return "shows no difference";
    case CrossingState::no_figures:
        break;
    }
    return "was not measured";
}

std::vector<std::string> sentences_of(const CopyOrMap& found) {
    Strings sentences;
    for (const Place& place : places_of(found)) {
        const std::string copy = first_copy_of(found, place);
        if (copy.empty()) continue;
        const std::string copying = copying_in_words(copy);
        Strings reading;
        if (const auto* each = crossing_of(found, place, copy, Way::receiver_remaps, 1))
            reading.push_back(first_clause(each->crossing, copying));
        for (std::string& clause : reuse_clauses(found, place, copy))
            reading.push_back(std::move(clause));
        const std::string here = fmt::format("On this machine, now, {}", in_words(place));
        const std::string first = sentence_of(fmt::format("{}: ", here), reading);
        sentences.push_back(first);
        sentences.push_back(
            sentence_of(fmt::format("{}, against {}: ", first.empty() ? here : "There", copying),
                        {write_clause(found, place, copy),
                         clause_of("a fresh object for each message",
                                   crossing_of(found, place, copy, Way::fresh_object, 1)),
                         clause_of("memory that both keep mapped",
                                   crossing_of(found, place, copy, Way::persistent, 0))}));
    }
    std::erase(sentences, "");
    return sentences;
}

}  // namespace ipclab
