#include "harness/subject.hpp"

#include "harness/family_subjects.hpp"

#include <fmt/format.h>
#include <stdexcept>

namespace ipclab {
namespace {

/// All families' makers, in the catalogue's order.
const std::vector<SubjectMaker>& catalog() {
    static const std::vector<SubjectMaker> makers = [] {
        std::vector<SubjectMaker> all;
        const auto append = [&](const std::vector<SubjectMaker>& more) {
            all.insert(all.end(), more.begin(), more.end());
        };
#define IPCLAB_APPEND(family) append(family::subject_makers());
        IPCLAB_FOR_EACH_FAMILY(IPCLAB_APPEND)
#undef IPCLAB_APPEND
        return all;
    }();
    return makers;
}

}  // namespace

std::unique_ptr<Subject> create_subject(const Cell& cell) {
    for (const SubjectMaker& maker : catalog())
        if (maker.facts.name == cell.mechanism) return maker.make(cell);
    throw std::invalid_argument(fmt::format("there is no mechanism called {}", cell.mechanism));
}

std::unique_ptr<Line> open_line(std::string_view mechanism, const Needs& needs, LineEnd end) {
    for (const SubjectMaker& maker : catalog()) {
        // Of what comes in several kinds, the first, if none is named.
        const bool is_a_kind_of_it = maker.facts.name.starts_with(fmt::format("{}/", mechanism));
        if (maker.facts.name != mechanism && !is_a_kind_of_it) continue;
        if (maker.open_line != nullptr) return maker.open_line(needs, end);
        throw std::invalid_argument(
            fmt::format("{} {}", mechanism,
                        maker.facts.addressing == Addressing::inherited
                            ? "has no address: only a process's own children can inherit it"
                            : "carries no payload"));
    }
    throw std::invalid_argument(fmt::format("there is no mechanism called {}", mechanism));
}

std::optional<std::string> reason_to_skip(const Cell& cell, std::size_t cpus,
                                          bool pure_spin_on_one_cpu) {
    const Facts& facts = facts_of(cell.mechanism);
    const Waiting waiting = facts.waiting;
    const bool one_cpu = cell.placement == Placement::same_cpu;
    if (!one_cpu && cpus < 2) return "this process may use one CPU only";
    if (one_cpu && waiting == Waiting::spins && !pure_spin_on_one_cpu)
        return "a pure spinner would use up its time slice while its peer waits for the CPU";
    if (!one_cpu && waiting == Waiting::spins_yielding)
        return "yielding is for CPUs that are shared";
    if (cell.pattern == Pattern::stream && facts.sender == Dialect::notifies)
        return "it carries no payload, and what is said twice may be heard once";
    if ((cell.pattern == Pattern::stream || cell.messages_per_exchange() > 1) &&
        facts.delivery == Delivery::may_lose)
        return "it loses messages that it has no room for";
    return std::nullopt;
}

const std::vector<Facts>& catalog_facts() {
    static const std::vector<Facts> facts = [] {
        std::vector<Facts> all;
        for (const SubjectMaker& maker : catalog()) all.push_back(maker.facts);
        return all;
    }();
    return facts;
}

const Facts& facts_of(std::string_view mechanism) {
    for (const Facts& facts : catalog_facts())
        if (facts.name == mechanism) return facts;
    throw std::invalid_argument(fmt::format("there is no mechanism called {}", mechanism));
}

}  // namespace ipclab
