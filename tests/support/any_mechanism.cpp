#include "tests/support/any_mechanism.hpp"

#include "mechanisms/catalog.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <iterator>
#include <stdexcept>

namespace ipclab {

#define IPCLAB_DECLARE_ENTRIES(family)                                                             \
    namespace family {                                                                             \
    std::vector<test::Entry> entries();                                                            \
    }
IPCLAB_FOR_EACH_FAMILY(IPCLAB_DECLARE_ENTRIES)
#undef IPCLAB_DECLARE_ENTRIES

namespace test {
const std::vector<Entry>& catalog() {
    static const std::vector<Entry> entries = [] {
        std::vector<Entry> all;
        const auto append = [&](const std::vector<Entry>& more) {
            all.insert(all.end(), more.begin(), more.end());
        };
#define IPCLAB_APPEND(family) append(family::entries());
        IPCLAB_FOR_EACH_FAMILY(IPCLAB_APPEND)
#undef IPCLAB_APPEND
        return all;
    }();
    return entries;
}

std::optional<std::string> why_exempt_from_messages(const Entry& entry) {
    if (entry.notifies)
        return fmt::format("{} carries no payload, only notifications", entry.facts.name);
    if (entry.facts.delivery == Delivery::may_lose)
        return fmt::format("{} loses messages that it has no room for", entry.facts.name);
    return std::nullopt;
}

std::optional<std::string> why_impossible(const Entry& entry) {
    try {
        (void)entry.create({});
        return std::nullopt;
    } catch (const Unsupported& reason) {
        return reason.what();
    }
}

std::vector<Entry> catalog_where(const std::function<bool(const Entry&)>& holds) {
    std::vector<Entry> found;
    std::copy_if(catalog().begin(), catalog().end(), std::back_inserter(found), holds);
    return found;
}

const Entry& entry_of(std::string_view name) {
    for (const Entry& entry : catalog())
        if (entry.facts.name == name) return entry;
    throw std::runtime_error(fmt::format("no mechanism is called {}", name));
}

std::string test_name(const testing::TestParamInfo<Entry>& info) {
    std::string name(info.param.facts.name);
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    return name;
}

void PrintTo(const Entry& entry, std::ostream* out) { *out << entry.facts.name; }

}  // namespace test
}  // namespace ipclab
