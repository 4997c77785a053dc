// What the microbenchmarks of memory do is seen in the page faults that they take: a pair of real
// processes each, and no timing is looked at.
#include "harness/costs/cost.hpp"
#include "mechanisms/os/mapping.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <set>
#include <sys/prctl.h>

namespace ipclab {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::AnyOf;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;

const std::size_t page = page_bytes();
constexpr std::size_t mib = std::size_t{1} << 20;

Row measured(const std::string& cost, std::size_t size_bytes) {
    static SessionMemory memory;
    Conditions conditions;
    conditions.scenario = "test";
    conditions.batch = 2ms;
    return measure_cost({cost, Placement::same_cpu, size_bytes}, conditions, 0, 1, memory);
}

/// That the initiator took in a pass.
double faults(const Row& row) {
    return row.json["initiator"]["minor_faults"].get<double>() / row.json["passes"].get<double>();
}

bool needs_huge_pages(const std::string& cost) {
    return cost.ends_with("-thp") || cost.ends_with("-huge");
}
bool was_skipped(const Row& row) { return row.status == RowStatus::skipped; }
std::string reason(const Row& row) { return row.json.value("reason", ""); }

/// As ipcs(1) would list them.
std::vector<std::string> sysv_segments() {
    std::ifstream list("/proc/sysvipc/shm");
    std::vector<std::string> segments;
    std::string line;
    std::getline(list, line);  // the heads of the columns
    while (std::getline(list, line)) segments.push_back(line);
    return segments;
}

class MemoryCost : public testing::TestWithParam<std::string> {};

TEST_P(MemoryCost, HasAllItsFigures) {
    const CostFacts& facts = cost_called(GetParam()).facts;
    for (const std::size_t size_bytes : {std::size_t{64}, page, mib, 4 * mib}) {
        if (size_bytes < facts.size_bytes_min || size_bytes > facts.size_bytes_max) continue;
        SCOPED_TRACE(size_bytes);
        const Row row = measured(GetParam(), size_bytes);
        if (was_skipped(row) && needs_huge_pages(GetParam())) GTEST_SKIP() << reason(row);
        ASSERT_THAT(row.status, AnyOf(RowStatus::ok, RowStatus::disturbed)) << reason(row);
        ASSERT_EQ(row.json["figures_ns"].size(), facts.figures.size());
        for (const auto& [name, figure_ns] : row.json["figures_ns"].items()) {
            ASSERT_TRUE(figure_ns.is_number()) << name;
            EXPECT_TRUE(std::isfinite(figure_ns.get<double>())) << name;
            EXPECT_GE(figure_ns.get<double>(), 0) << name;
        }
        EXPECT_EQ(row.json["size_bytes"], size_bytes);
        EXPECT_GE(row.json["passes"].get<int>(), 5);
    }
}

INSTANTIATE_TEST_SUITE_P(, MemoryCost,
                         testing::Values("memory-copy", "payload/private", "map/untouched",
                                         "attach/sysv", "map/read", "map/write", "map/read-fresh",
                                         "map/write-fresh", "map/read-populated",
                                         "map/write-populated", "map/read-thp", "map/write-thp",
                                         "map/read-huge", "map/write-huge", "fresh/object"),
                         [](const auto& cost) {
                             std::string name = cost.param;
                             std::replace_if(
                                 name.begin(), name.end(),
                                 [](char c) { return c == '/' || c == '-'; }, '_');
                             return name;
                         });

TEST(Costs, AreToldApartByNameAndExplained) {
    std::set<std::string> names;
    for (const CostEntry& entry : all_costs()) {
        SCOPED_TRACE(entry.facts.name);
        EXPECT_TRUE(names.insert(entry.facts.name).second) << "a second one of this name";
        EXPECT_GE(entry.facts.explanation.size(), 200U);
        EXPECT_EQ(entry.facts.explanation.back(), '.');
        EXPECT_THAT(entry.facts.figures, Not(IsEmpty()));
        EXPECT_LE(entry.facts.figures.size(), std::tuple_size_v<decltype(SideReport::figures_ns)>);
        std::set<std::string_view> figures;
        for (const CostFigure& figure : entry.facts.figures)
            EXPECT_TRUE(figures.insert(figure.name).second) << figure.name;
    }
}

constexpr std::size_t pages = 64;
/// Now and then one has to do with the noting of the times alone.
constexpr double stray = 1;

TEST(PageFaults, AreNotTakenByWhatIsUsedAgain) {
    for (const char* cost : {"memory-copy", "payload/private"})
        EXPECT_LE(faults(measured(cost, pages * page)), stray) << cost;
}

TEST(PageFaults, AreNotTakenByWhatIsNotTouched) {
    EXPECT_LE(faults(measured("map/untouched", pages * page)), stray);
    EXPECT_LE(faults(measured("attach/sysv", pages * page)), stray);
}

TEST(PageFaults, OfWritingAreOneAPage) {
    EXPECT_THAT(faults(measured("map/write", pages * page)), AllOf(Ge(pages), Le(pages + stray)));
    EXPECT_THAT(faults(measured("map/write", 64)), AllOf(Ge(1), Le(1 + stray)))
        << "what is less than a page counts as one";
}

TEST(PageFaults, OfReadingEnterThePagesAround) {
    // At least one for each 64 KiB, unless the kernel was told otherwise.
    EXPECT_THAT(faults(measured("map/read", pages * page)), AllOf(Ge(1), Le(pages / 2)));
    EXPECT_THAT(faults(measured("map/read", 64)), AllOf(Ge(1), Le(1 + stray)));
}

TEST(PageFaults, OfWritingAreSparedByPopulating) {
    const Row row = measured("map/write-populated", pages * page);
    // Linux counts those that mmap(2) takes on behalf of the process: with their neighbours.
    EXPECT_LE(faults(row), pages / 2);
}

TEST(PageFaults, OfFreshPagesAreOneAPage) {
    for (const char* cost : {"map/read-fresh", "map/write-fresh"})
        EXPECT_THAT(faults(measured(cost, pages * page)), AllOf(Ge(pages), Le(pages + stray)))
            << cost;
}

TEST(PageFaults, OfAFreshObjectAreOneAPageForTheSender) {
    EXPECT_THAT(faults(measured("fresh/object", pages * page)),
                AllOf(Ge(pages + 1), Le(pages + pages / 2)))
        << "the receiver's enter the pages around";
}

TEST(PageFaults, OfHugePagesAreOneEach) {
    for (const char* cost : {"map/read-thp", "map/write-thp", "map/read-huge", "map/write-huge"}) {
        const Row row = measured(cost, 8 * mib);
        if (was_skipped(row)) continue;  // see MemoryCost
        EXPECT_THAT(faults(row), AllOf(Ge(1), Le(4 + stray))) << cost;
    }
}

TEST(SysvAttach, LeavesNoSegment) {
    if (::unshare(CLONE_NEWIPC) == -1)
        GTEST_SKIP() << "no IPC namespace of one's own: " << std::strerror(errno);
    const Row row = measured("attach/sysv", mib);
    EXPECT_THAT(row.status, AnyOf(RowStatus::ok, RowStatus::disturbed)) << reason(row);
    EXPECT_THAT(sysv_segments(), IsEmpty());
}

TEST(HugePages, AreNotTakenForGranted) {
    // Inherited by the pair.
    if (::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == -1)
        GTEST_SKIP() << "prctl(PR_SET_THP_DISABLE): " << std::strerror(errno);
    const Row row = measured("map/read-thp", 2 * mib);
    ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    ASSERT_EQ(row.status, RowStatus::skipped);
    EXPECT_THAT(reason(row), HasSubstr("0 of 2097152 bytes are in huge pages"));
    EXPECT_FALSE(row.json.contains("figures_ns"));
}

TEST(HugePages, SayHowTheyAreToBeHad) {
    for (const auto& [cost, remedy] :
         {std::pair("map/write-huge", "sysctl vm.nr_hugepages="),
          std::pair("map/read-thp", "/sys/kernel/mm/transparent_hugepage/shmem_enabled")}) {
        const Row row = measured(cost, 64 * mib);
        if (was_skipped(row)) {
            EXPECT_THAT(reason(row), HasSubstr(remedy));
        }
    }
}

}  // namespace
}  // namespace ipclab
