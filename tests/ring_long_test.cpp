// Long messages one after the other, where either side goes on as with the last: whatever comes
// between them, and however far away the other side is.
#include "mechanisms/rings/spsc_ring.hpp"
#include "tests/ring_both_ends.hpp"

#include <vector>

namespace ipclab {
namespace {

constexpr std::size_t far_behind = std::size_t{1} << 20;  // a reader that need not ask ahead
constexpr std::size_t large = 16 * capacity;              // gives back several messages at once

/// Of rings that differ in when they hand over, and in whether their reader asks ahead.
class LongMessages : public testing::TestWithParam<RingTuning> {
  protected:
    Ring ring{0, GetParam(), large};

    void exchange(const std::vector<std::size_t>& sizes) {
        for (std::size_t i = 0; i < sizes.size(); ++i) ring.send(sizes[i], static_cast<int>(i));
        ring.flush();
        for (std::size_t i = 0; i < sizes.size(); ++i) ring.expect(sizes[i], static_cast<int>(i));
        EXPECT_THROW(ring.take(), WouldWait);
    }
};

TEST_P(LongMessages, KeepSizesContentsAndOrderOverSeveralLaps) {
    for (const std::size_t size : {512, 513, 576, 600, 640, 1000, 1024, 1216})
        for (int lap = 0; lap < 100; ++lap) exchange({size, size, size});
}

TEST_P(LongMessages, AreAmongOthersOfAllSizes) {
    const std::vector<std::size_t> sizes{640, 8, 511, 512, 0, 700, 1024, 48, 513, 24, 640, 1000};
    for (std::size_t i = 0; i < 500; ++i) {
        const auto size = [&](std::size_t step) { return sizes[i * step % sizes.size()]; };
        exchange({640, size(1), 640, size(5)});
        exchange({size(1), size(1), size(1)});
    }
}

TEST_P(LongMessages, FillTheRingToItsEnd) {
    for (int lap = 0; lap < 20; ++lap) {
        int sent = 0;
        EXPECT_THROW(
            while (true) {
                ring.send(640, sent);
                ++sent;
            },
            WouldWait);
        EXPECT_GE(sent, 90);
        ring.flush();
        for (int received = 0; received < sent; ++received) ring.expect(640, received);
        EXPECT_THROW(ring.take(), WouldWait);
    }
}

TEST_P(LongMessages, KeepTheFirstBytesWhereLessIsPublishedThanWasLent) {
    for (const std::size_t published : {0, 8, 100, 511, 512, 600, 640}) {
        for (int message = 0; message < 2; ++message) ring.send(640, message);
        const Bytes room = ring.loan(640);
        std::fill(room.begin(), room.end(), std::byte{9});
        std::fill_n(room.begin(), published, std::byte{2});
        ring.publish(published);
        ring.send(640, 3);
        ring.flush();
        for (int message = 0; message < 2; ++message) ring.expect(640, message);
        ring.expect(published, 2);
        ring.expect(640, 3);
    }
}

TEST_P(LongMessages, AreLentAnewWhateverWasLentBefore) {
    for (const std::size_t before : {0, 8, 100, 512, 600, 1000}) {
        for (int message = 0; message < 2; ++message) ring.send(640, message);
        ring.loan(before);
        ring.send(640, 2);
        ring.loan(640);
        ring.flush();
        ring.send(before, 3);
        ring.flush();
        for (int message = 0; message < 3; ++message) ring.expect(640, message);
        ring.expect(before, 3);
    }
}

TEST_P(LongMessages, AreRefusedWhereTheRingCouldNeverHoldThem) {
    for (const std::size_t n : {ring_record::payload_max(large) + 1, large, SIZE_MAX - 64}) {
        exchange({640, 640});
        EXPECT_THROW(ring.loan(n), Refused);
        exchange({640, 640});
    }
}

INSTANTIATE_TEST_SUITE_P(
    , LongMessages,
    testing::Values(RingTuning{}, RingTuning{.publish_bytes = 2048},
                    RingTuning{.publish_bytes = far_behind}, RingTuning{.batch_messages = 2},
                    RingTuning{.publish_bytes = far_behind, .stores = Stores::non_temporal}),
    [](const auto& about) -> std::string {
        if (about.param.stores) return "NonTemporal";
        if (about.param.batch_messages != 0) return "InBatches";
        if (about.param.publish_bytes == 0) return "HandedOverAtOnce";
        return about.param.publish_bytes == far_behind ? "FarBehind" : "Near";
    });

TEST(LongMessagesOfBulk, AreTakenFarBehind) {
    EXPECT_GE(Bulk::publish_bytes(Bulk::capacity_bytes), far_behind);
}

/// A clock by which each look at the consumer's line takes as long as the test says.
struct Distant : SystemAtomics {
    static inline std::int64_t look_ns = 0;
    static inline int fences = 0;
    static void order_non_temporal_stores() { ++fences; }
    static std::int64_t now_ns() {
        static std::int64_t now = 0;
        return now += look_ns;
    }
};

TEST(StoresOfLongMessages, FollowTheConsumerAwayAndBack) {
    constexpr std::size_t message = 4096;
    RingInOneProcess<Distant, Spin> ring(16 * message, 0, {.publish_bytes = far_behind});
    const auto stores_in_the_end = [&](std::int64_t look_ns) {
        Distant::look_ns = look_ns;
        const auto wait = []() -> Throws { return {}; };
        Stores stores = Stores::plain;
        for (int i = 0; i < 200; ++i) {
            ring.sender.loan(message, wait);
            stores = ring.sender.stores();
            Distant::fences = 0;
            ring.sender.publish(message);
            EXPECT_EQ(Distant::fences, stores == Stores::non_temporal ? 1 : 0);
            ring.sender.flush();
            ring.receiver.take(wait);
            ring.receiver.release();
        }
        return stores;
    };
    EXPECT_EQ(stores_in_the_end(50), Stores::plain);
    EXPECT_EQ(stores_in_the_end(400), Stores::non_temporal);
    EXPECT_EQ(stores_in_the_end(50), Stores::plain);
}

}  // namespace
}  // namespace ipclab
