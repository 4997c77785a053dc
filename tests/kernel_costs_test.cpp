// The costs of the kernel's copies and wake-ups, measured in real pairs of processes: all figures
// are there, nobody sleeps who should not, and a wrong payload is found out.
#include "harness/costs/kernel_copy.hpp"

#include <gmock/gmock.h>

namespace ipclab {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::vector<CostCell> kernel_cells() {
    std::vector<CostCell> cells;
    for (const CostCell& cell :
         cost_cells({64, 4096, std::size_t{1} << 20}, {Placement::same_cpu, Placement::two_cpus})) {
        const std::string& name = cell.cost;
        const bool ours = name.starts_with("kernel-copy/") || name.starts_with("wake-up/") ||
                          name.starts_with("page-gift/") || name == "payload/in-place";
        const bool short_enough = cell.slept_ns <= 3'000 || cell.slept_ns == 100'000;
        if (ours && short_enough) cells.push_back(cell);
    }
    return cells;
}

std::string name_of_cell(const testing::TestParamInfo<CostCell>& info) {
    std::string name = fmt::format("{}_{}_{}B_{}ns", info.param.cost, name_of(info.param.placement),
                                   info.param.size_bytes, info.param.slept_ns);
    for (char& letter : name)
        if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
    return name;
}

class KernelCost : public testing::TestWithParam<CostCell> {
  protected:
    void SetUp() override {
        if (GetParam().placement == Placement::two_cpus && usable_cpus() < 2)
            GTEST_SKIP() << "only one CPU may be used";
    }
    [[nodiscard]] static bool sleeps_when_it_waits() {
        const std::string& cost = GetParam().cost;
        return cost.starts_with("wake-up/") && cost != "wake-up/spin" &&
               cost != "wake-up/pipe-spin";
    }
};

TEST_P(KernelCost, IsMeasured) {
    SessionMemory memory;
    Conditions conditions;
    conditions.scenario = "test";
    conditions.batch = 1ms;
    const Row row = measure_cost(GetParam(), conditions, 1, 1, memory);
    if (row.status == RowStatus::skipped) GTEST_SKIP() << row.json["reason"].get<std::string>();
    // Another program's doings are no failure of the microbenchmark.
    ASSERT_TRUE(row.status == RowStatus::ok || row.status == RowStatus::disturbed) << row.json;
    const auto& found = row.json["figures_ns"];
    const auto& promised = cost_called(GetParam().cost).facts.figures;
    EXPECT_EQ(found.size(), promised.size());
    for (const CostFigure& figure : promised) {
        ASSERT_TRUE(found[std::string(figure.name)].is_number()) << row.json;
        EXPECT_TRUE(std::isfinite(found[std::string(figure.name)].get<double>()));
        EXPECT_GE(found[std::string(figure.name)].get<double>(), 0);
    }

    const double passes = row.json["passes"].get<double>();
    double switches = 0;
    for (const char* side : {"initiator", "responder"}) {
        const double sleeps = row.json[side]["voluntary_switches"].get<double>();
        switches += sleeps + row.json[side]["involuntary_switches"].get<double>();
        if (!sleeps_when_it_waits()) {
            EXPECT_LT(sleeps, 0.1 * passes + 5) << side;
        } else if (GetParam().placement == Placement::two_cpus && GetParam().slept_ns >= 10'000) {
            EXPECT_GE(2 * sleeps, passes)
                << side;  // now and then it is late, and finds the call there
        }
        EXPECT_LT(row.json[side]["minor_faults"].get<double>(), 0.1 * passes + 20) << side;
    }
    // On one CPU who has woken the other is sometimes set aside before it sleeps itself.
    if (sleeps_when_it_waits() && GetParam().slept_ns > 0) {
        EXPECT_GE(switches, passes);
    }
}

INSTANTIATE_TEST_SUITE_P(Costs, KernelCost, testing::ValuesIn(kernel_cells()), name_of_cell);

/// A pipe that changes a bit on the way.
class LeakyConduit {
  public:
    explicit LeakyConduit(std::size_t message_bytes) : pipe_(message_bytes) {}
    void attach(Side side) { pipe_.attach(side); }

    struct Way {
        StreamWay& way;
        Bytes in{};
        void begin(View message) { way.begin(message); }
        bool send_round() { return way.send_round(); }
        void expect(Bytes buffer) {
            in = buffer;
            way.expect(buffer);
        }
        bool receive_round() {
            const bool whole = way.receive_round();
            if (whole) in.back() ^= std::byte{1};
            return whole;
        }
    };
    Way& from(Side sender) { return ways_[static_cast<std::size_t>(sender)]; }

  private:
    PipeConduit pipe_;
    std::array<Way, 2> ways_{Way{pipe_.from(Side::initiator)}, Way{pipe_.from(Side::responder)}};
};

TEST(MessageBuffer, LiesAtTheSamePlaceInItsPageAtEverySize) {
    MessageBuffer one;
    MessageBuffer other;
    other.resize(100);
    const auto place = [](const MessageBuffer& buffer) {
        return reinterpret_cast<std::uintptr_t>(buffer.bytes().data()) % page_bytes();
    };
    for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, std::size_t{1} << 20}) {
        one.resize(size);
        EXPECT_EQ(one.bytes().size(), size);
        EXPECT_EQ(place(one), place(other));
    }
}

TEST(KernelCopyOfALeakyPipe, Fails) {
    KernelCopy<LeakyConduit> cost({.cost = "kernel-copy/pipe", .size_bytes = 100'000});
    SessionMemory memory;
    Session session(cost, cpus_for(Placement::same_cpu), memory);
    try {
        session.run_leg(1);
        FAIL() << "a wrong payload went unnoticed";
    } catch (const PairFailed& error) {
        EXPECT_THAT(error.what(), HasSubstr("a message came that was not sent"));
    }
}

}  // namespace
}  // namespace ipclab
