// A peer of the spsc-ring that lies: whatever it writes, no byte outside the ring is read or
// written.
#include "tests/ring_both_ends.hpp"

namespace ipclab {
namespace {

/// From where both sides begin to count.
class LyingRing : public testing::TestWithParam<std::uint64_t> {};

TEST_P(LyingRing, RefusesALengthBeyondWhatWasPublished) {
    const ring_record::Length published = 64;
    for (const ring_record::Length length :
         {published - 7, published, ring_record::Length{capacity}, ring_record::on_the_line + 49,
          ring_record::Length{0} - 1, ring_record::Length{0} - 7, ring_record::Length{0} - 8,
          ring_record::Length{0} - 64}) {
        Ring ring(GetParam());
        ring.write_length(GetParam() % capacity, length);
        ring.claim_published(GetParam() + published);
        EXPECT_THROW(ring.take(), Refused) << length;
        EXPECT_THROW(ring.take(), Refused) << length << ", and again";
    }
}

TEST(Ring, RefusesALongMessageThatOnlyFitsWithoutItsGap) {
    Ring ring;
    ring.write_length(0, 592);
    ring.claim_published(600);
    EXPECT_THROW(ring.take(), Refused);
}

TEST_P(LyingRing, RefusesALengthBeyondWhatWasPublishedAfterAForeseenOne) {
    for (const ring_record::Length length :
         {ring_record::Length{57}, ring_record::Length{SIZE_MAX}, ring_record::on_the_line + 49}) {
        Ring ring(GetParam(), {.publish_bytes = 512});
        for (int message = 0; message < 4; ++message) ring.send(24, message);
        ring.flush();
        ring.expect(24, 0);
        ring.expect(24, 1);
        ring.write_length((GetParam() + 64) % capacity, length);
        EXPECT_THROW(ring.take(), Refused) << length;
        EXPECT_THROW(ring.take(), Refused) << length << ", and again";
    }
}

TEST_P(LyingRing, RefusesALengthBeyondWhatWasPublishedAfterAForeseenLongOne) {
    constexpr std::size_t record = 704;
    constexpr std::size_t large = 16 * capacity;  // of which the reader gives back several at once
    for (const ring_record::Length length :
         {ring_record::Length{641}, ring_record::Length{SIZE_MAX}, ring_record::on_the_line + 49}) {
        const std::uint64_t start = GetParam() / cache_line_bytes * cache_line_bytes;
        Ring ring(start, {.publish_bytes = std::size_t{1} << 20}, large);
        for (int message = 0; message < 4; ++message) ring.send(640, message);
        ring.flush();
        for (int message = 0; message < 3; ++message) ring.expect(640, message);
        ring.write_length((start + 3 * record) % large, length);
        EXPECT_THROW(ring.take(), Refused) << length;
        EXPECT_THROW(ring.take(), Refused) << length << ", and again";
    }
}

TEST_P(LyingRing, BelievesALengthUpToWhatWasPublished) {
    Ring ring(GetParam());
    ring.write_length(GetParam() % capacity, 56);
    ring.claim_published(GetParam() + 64);
    EXPECT_THAT(ring.take(), testing::SizeIs(56));
}

TEST_P(LyingRing, RefusesMorePublishedThanTheRingHolds) {
    for (const std::uint64_t published :
         {std::uint64_t{capacity} + 8, std::uint64_t{1} << 32, std::uint64_t{1} << 60}) {
        Ring ring(GetParam());
        ring.claim_published(GetParam() + published);
        EXPECT_THROW(ring.take(), Refused) << published;
    }
}

TEST_P(LyingRing, RefusesLessPublishedThanBefore) {
    Ring ring(GetParam());
    ring.advance(64);
    ring.claim_published(GetParam() + 56);
    EXPECT_THROW(ring.take(), Refused);
}

TEST_P(LyingRing, RefusesALengthOnTheLineThatItCannotHold) {
    for (std::uint64_t tag = ring_record::tag_of(49); tag <= published_word::tag_mask; ++tag) {
        Ring ring(GetParam());
        ring.claim_published(GetParam() + 8, tag);
        EXPECT_THROW(ring.take(), Refused) << tag;
    }
}

TEST_P(LyingRing, IsNotMovedByALengthThatChangesAfterTheLook) {
    Ring ring(GetParam());
    ring.send(24, 1);
    ring.send(40, 2);
    EXPECT_THAT(ring.take(), testing::SizeIs(24));
    ring.write_length(GetParam() % capacity, 4000);
    ring.release();
    ring.expect(40, 2);
}

TEST_P(LyingRing, GivesNoRoomForMoreReleasedThanThereWas) {
    for (const std::uint64_t released :
         {std::uint64_t{1}, std::uint64_t{8}, std::uint64_t{1} << 63}) {
        Ring ring(GetParam());
        for (int message = 0; message < 8; ++message) ring.send(504, message);
        ring.claim_released(GetParam() + capacity + released);
        EXPECT_THROW(ring.loan(0), WouldWait) << released;
    }
}

TEST_P(LyingRing, GivesNoRoomForLessReleasedThanBefore) {
    Ring ring(GetParam());
    ring.advance(512);  // given back at once
    for (int message = 0; message < 8; ++message) ring.send(504, message);
    ring.claim_released(GetParam() + 504);
    EXPECT_THROW(ring.loan(0), WouldWait);
}

INSTANTIATE_TEST_SUITE_P(, LyingRing, testing::Values(0, std::uint64_t{0} - 8),
                         [](const auto& about) {
                             return about.param == 0 ? "Zero" : "Below2To64";
                         });

}  // namespace
}  // namespace ipclab
