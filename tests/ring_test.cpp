// What the ring's bytes do at the edges: at the end of the ring, at the end of the counters, full
// and empty.
#include "tests/ring_both_ends.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ipclab {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::uint64_t end_of_32_bits = std::uint64_t{1} << 32;

class RingFrom : public testing::TestWithParam<std::uint64_t> {};

TEST_P(RingFrom, KeepsSizesContentsAndOrderOverSeveralLaps) {
    Ring ring(GetParam());
    for (int message = 0; message < 200; ++message) {
        const auto n = static_cast<std::size_t>(message * 37 % 900);
        ring.send(n, message);
        ring.send(n + 1, message + 1);
        ring.expect(n, message);
        ring.expect(n + 1, message + 1);
    }
}

TEST_P(RingFrom, IsFullAfterItsCapacityAndEmptyAfterAllIsReleased) {
    Ring ring(GetParam());
    for (int lap = 0; lap < 3; ++lap) {
        for (int message = 0; message < 8; ++message) ring.send(504, message);
        EXPECT_THROW(ring.loan(0), WouldWait);
        ring.expect(504, 0);
        ring.send(504, 8);
        EXPECT_THROW(ring.loan(0), WouldWait);
        for (int message = 1; message < 9; ++message) ring.expect(504, message);
        EXPECT_THROW(ring.take(), WouldWait);
    }
}

TEST_P(RingFrom, CarriesTheLargestMessageAnywhereInTheRing) {
    Ring ring(GetParam());
    for (int message = 0; message < 20; ++message) {
        ring.send(ring_record::payload_max(capacity), message);
        EXPECT_THROW(ring.loan(0), WouldWait);
        ring.expect(ring_record::payload_max(capacity), message);
        ring.advance(504 + 8);
    }
}

INSTANTIATE_TEST_SUITE_P(, RingFrom,
                         testing::Values(0, end_of_32_bits - 1024, std::uint64_t{0} - 1024),
                         [](const auto& about) -> std::string {
                             if (about.param == 0) return "Zero";
                             return about.param < end_of_32_bits ? "Below2To32" : "Below2To64";
                         });

TEST(Ring, RefusesAMessageThatItCouldNeverHold) {
    Ring ring;
    for (const std::size_t n : {ring_record::payload_max(capacity) + 1, capacity, SIZE_MAX}) {
        try {
            ring.loan(n);
            ADD_FAILURE() << n << " bytes were lent";
        } catch (const Refused& refused) {
            EXPECT_EQ(refused.error(), EMSGSIZE);
            EXPECT_THAT(refused.what(), HasSubstr("4032 bytes"));
        }
    }
    ring.send(1, 1);
    ring.expect(1, 1);
}

TEST(Ring, RunsOverItsEndIntoItsBeginning) {
    Ring ring;
    ring.advance(capacity - 16);
    const Bytes room = ring.loan(24);
    EXPECT_EQ(room.data(), ring.bytes() + capacity - 8);
    std::fill(room.begin(), room.end(), std::byte{7});
    ring.publish(24);
    EXPECT_THAT(View(ring.bytes(), 16), Each(std::byte{7})) << "the part beyond the end";
    ring.expect(24, 7);
}

TEST(Ring, CarriesAnEmptyMessage) {
    Ring ring;
    ring.send(0, 0);
    ring.send(3, 3);
    ring.expect(0, 0);
    ring.expect(3, 3);
}

TEST(Ring, LendsTheSamePlaceAgainUntilItIsPublished) {
    Ring ring;
    const Bytes first = ring.loan(500);
    std::fill(first.begin(), first.end(), std::byte{1});
    EXPECT_EQ(ring.loan(10).data(), first.data());
    ring.send(10, 2);
    ring.send(20, 3);
    ring.expect(10, 2);
    ring.expect(20, 3);
    EXPECT_THROW(ring.take(), WouldWait);
}

TEST(Ring, GivesBackWhatWasLentButNotPublished) {
    Ring ring;
    ring.loan(4000);
    ring.publish(0);
    ring.send(4000, 1);
    ring.expect(0, 0);
    ring.expect(4000, 1);
}

TEST(Ring, BeginsALongMessageOnALineOfItsOwn) {
    Ring ring;
    for (std::size_t n = 1; n < 100; n += 7) {
        ring.advance(8 + n / 8 * 8);
        for (const std::size_t length : {std::size_t{512}, 1000 + n}) {
            const Bytes room = ring.loan(length);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(room.data()) % cache_line_bytes, 0U);
            ring.send(length, 1);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ring.take().data()) % cache_line_bytes, 0U);
            ring.expect(length, 1);
        }
    }
}

TEST(Ring, KeepsTheFirstBytesWhereLessIsPublishedThanWasLent) {
    for (const std::size_t lent : {100, 511, 512, 600, 4032})
        for (const std::size_t published : {0, 1, 100, 511, 512, 600, 4032}) {
            if (published > lent) continue;
            Ring ring;
            ring.advance(24);
            const Bytes room = ring.loan(lent);
            std::fill(room.begin(), room.end(), std::byte{9});
            std::fill_n(room.begin(), published, std::byte{1});
            ring.publish(published);
            ring.expect(published, 1);
            ring.send(8, 2);
            ring.expect(8, 2);
        }
}

TEST(Ring, ShowsTheSameMessageUntilItIsReleased) {
    Ring ring;
    ring.send(5, 5);
    EXPECT_EQ(ring.take().data(), ring.take().data());
    ring.expect(5, 5);
    EXPECT_THROW(ring.take(), WouldWait);
}

// ---------------------------------------------------------------------------------------------
// When messages are handed over, and the line.

TEST(Batches, AreHandedOverTogetherOrByAFlush) {
    Ring ring(0, {.batch_messages = 3});
    for (int message = 0; message < 2; ++message) ring.send(8, message);
    EXPECT_THROW(ring.take(), WouldWait);
    ring.send(8, 2);
    for (int message = 0; message < 3; ++message) ring.expect(8, message);
    ring.send(8, 3);
    EXPECT_THROW(ring.take(), WouldWait);
    ring.flush();
    ring.expect(8, 3);
}

TEST(Batches, StayWholeOverManyLaps) {
    Ring ring(0, {.batch_messages = 5});
    for (int batch = 0; batch < 1000; ++batch) {
        for (int message = 0; message < 4; ++message)
            ring.send(static_cast<std::size_t>(24 + batch % 7), message);
        EXPECT_THROW(ring.take(), WouldWait);
        ring.send(batch % 11 == 0 ? 600 : 24, 4);
        for (int message = 0; message < 4; ++message)
            ring.expect(static_cast<std::size_t>(24 + batch % 7), message);
        ring.expect(batch % 11 == 0 ? 600 : 24, 4);
        EXPECT_THROW(ring.take(), WouldWait);
    }
}

TEST(Batches, OfBytesHoldAsManyMessagesAsTheySay) {
    Ring ring(0, {.publish_bytes = 512});
    EXPECT_EQ(ring.publish_every(8), 32U);
    EXPECT_EQ(ring.publish_every(64), 8U);
    EXPECT_EQ(ring.publish_every(600), 1U);
    for (int message = 0; message < 31; ++message) ring.send(8, message);
    EXPECT_THROW(ring.take(), WouldWait);
    ring.send(8, 31);
    for (int message = 0; message < 32; ++message) ring.expect(8, message);
}

TEST(Batches, AreHandedOverByWhoFindsNoRoom) {
    Ring ring(0, {.batch_messages = 100});
    for (int message = 0; message < 8; ++message) ring.send(504, message);
    EXPECT_THROW(ring.take(), WouldWait);
    EXPECT_THROW(ring.loan(0), WouldWait);
    for (int message = 0; message < 8; ++message) ring.expect(504, message);
}

TEST_P(RingFrom, CarriesRunsOfMessagesOfOneSizeAndOfOthersBetweenThem) {
    Ring ring(GetParam(), {.publish_bytes = 512});
    int sent = 0;
    int received = 0;
    const auto size_of = [](int message) -> std::size_t {
        return message % 100 < 60 ? 24 : message % 100 < 80 ? 0 : message % 100 == 90 ? 700 : 40;
    };
    while (sent < 3000) {
        for (int burst = 0; burst < sent % 23; ++burst, ++sent) {
            ring.send(size_of(sent), sent);
            if (sent % 17 == 0) ring.flush();
        }
        ring.flush();
        ++sent;
        ring.send(size_of(sent - 1), sent - 1);
        ring.flush();
        for (; received < sent; ++received) ring.expect(size_of(received), received);
        EXPECT_THROW(ring.take(), WouldWait);
    }
}

TEST(Runs, OfTheReaderGiveBackStepByStep) {
    Ring ring(0, {.publish_bytes = capacity});
    constexpr std::size_t message = 8;
    constexpr std::size_t steps = 8;
    constexpr std::size_t messages = capacity / ring_record::short_bytes(message) / steps;
    for (std::size_t sent = 0; sent < steps * messages; ++sent) ring.send(message, 1);
    for (std::size_t step = 0; step < steps; ++step) {
        for (std::size_t read = 0; read < messages; ++read) {
            EXPECT_THROW(ring.send(message, 2), WouldWait) << step << ", " << read;
            ring.expect(message, 1);
        }
        for (std::size_t sent = 0; sent < messages; ++sent) ring.send(message, 2);
        EXPECT_THROW(ring.send(message, 2), WouldWait);
    }
}

TEST(Runs, EndAtAFlushEvenWithAMessageLent) {
    Ring ring(0, {.publish_bytes = 512});
    for (int message = 0; message < 3; ++message) ring.send(24, message);
    const Bytes room = ring.loan(24);
    std::fill(room.begin(), room.end(), std::byte{3});
    ring.flush();
    ring.publish(24);
    ring.flush();
    for (int message = 0; message < 4; ++message) ring.expect(24, message);
}

TEST(Runs, EndWhereTheRoomDoes) {
    Ring ring(0, {.publish_bytes = capacity});
    for (int lap = 0; lap < 5; ++lap) {
        for (int message = 0; message < 128; ++message) ring.send(24, message);
        EXPECT_THROW(ring.loan(24), WouldWait);
        for (int message = 0; message < 128; ++message) ring.expect(24, message);
    }
}

TEST(Runs, EndWithAMessageOfWhichOnlyAPartIsPublished) {
    Ring ring(0, {.publish_bytes = 512});
    for (int message = 0; message < 3; ++message) ring.send(24, message);
    const Bytes room = ring.loan(600);
    std::fill(room.begin(), room.end(), std::byte{3});
    ring.publish(24);
    ring.flush();
    for (int message = 0; message < 4; ++message) ring.expect(24, message);
}

/// Two processes' ends, in one.
class Dialogue {
  public:
    explicit Dialogue(const RingTuning& tuning = {.publish_bytes = 512}) : tuning_(tuning) {}
    void say(Side side, std::size_t n, int value) {
        const Bytes room = end(side).sender.loan(n, [] { return Throws(); });
        std::fill(room.begin(), room.end(), std::byte(value));
        on_line_ = room.data() == indices_.line;
        end(side).sender.publish(n);
    }
    void flush(Side side) { end(side).sender.flush(); }
    void hear(Side side, std::size_t n, int value) {
        const View message = end(side).receiver.take([] { return Throws(); });
        EXPECT_THAT(message, SizeIs(n));
        EXPECT_THAT(message, Each(std::byte(value)));
        end(side).receiver.release();
    }
    [[nodiscard]] bool was_on_the_line() const { return on_line_; }
    /// Of which nothing comes.
    void loan(Side side, std::size_t n) {
        (void)end(side).sender.loan(n, [] { return Throws(); });
    }

  private:
    using Indices = RingIndices<SystemAtomics, Spin>;
    struct End {
        End(Indices& indices, Side mine, std::byte* out, std::byte* in, const RingTuning& tuning)
            : turn(mine == Side::initiator ? 1 : 0),
              sender(indices, mine, turn, out, capacity, tuning),
              receiver(indices, other(mine), turn, in, capacity, tuning) {}
        LineTurn<SystemAtomics> turn;
        RingSender<SystemAtomics, Spin> sender;
        RingReceiver<SystemAtomics, Spin> receiver;
    };
    End& end(Side side) { return side == Side::initiator ? initiator_ : responder_; }

    RingTuning tuning_;
    Indices indices_;
    RingInOneProcess<SystemAtomics, Spin> there_{capacity, 0};  // for their bytes
    RingInOneProcess<SystemAtomics, Spin> back_{capacity, 0};
    End initiator_{indices_, Side::initiator, there_.bytes(), back_.bytes(), tuning_};
    End responder_{indices_, Side::responder, back_.bytes(), there_.bytes(), tuning_};
    bool on_line_ = false;
};

TEST(Line, IsTakenAfterAFlushAlsoByWhoHandsOverOneByOne) {
    Dialogue talk(RingTuning{});
    const auto say_and_hear = [&](Side side, std::size_t n, int value) {
        talk.say(side, n, value);
        talk.flush(side);
        talk.hear(other(side), n, value);
    };
    for (int round = 0; round < 200; ++round) {
        for (const std::size_t n : {60, 60, 49, 60}) {
            say_and_hear(Side::initiator, n, round);
            EXPECT_FALSE(talk.was_on_the_line());
        }
        say_and_hear(Side::initiator, 48, round);
        EXPECT_TRUE(talk.was_on_the_line());
        say_and_hear(Side::initiator, 48, round);
        EXPECT_FALSE(talk.was_on_the_line()) << "it is the other's turn";
        say_and_hear(Side::initiator, 48, round);
        say_and_hear(Side::responder, 8, round);
        EXPECT_TRUE(talk.was_on_the_line());
    }
}

TEST(Line, IsLeftAloneUntilAFlushInAStreamHandedOverOneByOne) {
    Dialogue talk(RingTuning{});
    talk.say(Side::initiator, 8, 1);  // on the line
    talk.say(Side::initiator, 8, 2);
    talk.hear(Side::responder, 8, 1);
    talk.hear(Side::responder, 8, 2);
    talk.say(Side::responder, 8, 3);
    EXPECT_TRUE(talk.was_on_the_line());
    talk.hear(Side::initiator, 8, 3);
    talk.say(Side::initiator, 8, 4);
    EXPECT_FALSE(talk.was_on_the_line());
    talk.hear(Side::responder, 8, 4);
    talk.flush(Side::initiator);
    talk.say(Side::initiator, 8, 5);
    EXPECT_TRUE(talk.was_on_the_line());
    talk.hear(Side::responder, 8, 5);
}

TEST(Line, CarriesQuestionsAndAnswersThatAreShort) {
    Dialogue talk;
    for (int round = 0; round < 2000; ++round) {  // over several laps
        const auto n = static_cast<std::size_t>(round % 49);
        talk.say(Side::initiator, n, round);
        EXPECT_TRUE(talk.was_on_the_line());
        talk.hear(Side::responder, n, round);
        talk.say(Side::responder, 48 - n, round + 1);
        EXPECT_TRUE(talk.was_on_the_line());
        talk.hear(Side::initiator, 48 - n, round + 1);
    }
}

TEST(Line, IsLeftByWhatIsLongerAndByWhoHasNotBeenAnswered) {
    Dialogue talk;
    talk.say(Side::initiator, 8, 1);
    EXPECT_TRUE(talk.was_on_the_line());
    for (int message = 2; message < 200; ++message) {
        talk.say(Side::initiator, 508, message);
        EXPECT_FALSE(talk.was_on_the_line());
        if (message == 2) talk.hear(Side::responder, 8, 1);  // its length is in the ring by now
        talk.hear(Side::responder, 508, message);
    }
    talk.say(Side::responder, 49, 1);
    EXPECT_FALSE(talk.was_on_the_line());
    talk.say(Side::responder, 508, 2);
    talk.hear(Side::initiator, 49, 1);
    talk.hear(Side::initiator, 508, 2);
    talk.say(Side::responder, 48, 3);
    EXPECT_TRUE(talk.was_on_the_line());
    talk.hear(Side::initiator, 48, 3);
}

TEST(Line, IsLeftAndTakenByASecondLoanInPlaceOfTheFirst) {
    for (const std::size_t n : {49, 508, 1024}) {
        Dialogue talk;
        talk.loan(Side::initiator, 48);
        talk.say(Side::initiator, n, 1);
        EXPECT_FALSE(talk.was_on_the_line());
        talk.loan(Side::initiator, 48);
        talk.say(Side::initiator, n, 2);
        talk.flush(Side::initiator);
        talk.hear(Side::responder, n, 1);
        talk.hear(Side::responder, n, 2);
        talk.loan(Side::initiator, n);
        talk.say(Side::initiator, 48, 3);
        EXPECT_TRUE(talk.was_on_the_line());
        talk.hear(Side::responder, 48, 3);
    }
}

TEST(Line, IsNotWrittenToUntilItsMessageIsReleased) {
    Dialogue talk;
    talk.say(Side::initiator, 48, 1);
    talk.say(Side::responder, 48, 2);
    EXPECT_FALSE(talk.was_on_the_line());
    talk.hear(Side::responder, 48, 1);
}

}  // namespace
}  // namespace ipclab
