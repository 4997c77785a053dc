// The byte ring's counters under Relacy: see ring_model.hpp.
#include "mechanisms/rings/byte_ring.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

#include "tests/ring_model.hpp"

namespace ipclab {
namespace {

struct NoWait {
    static void glance() {}
};
NoWait begin_wait() { return {}; }

/// A conversation of four messages, six bytes in all, through a ring of two: three laps, during
/// which the ring is empty and full, and the counters wrap at 2^64. (Positions are multiples of
/// eight: a byte of the ring stands for eight.)
template <template <class> class WaitStrategy>
struct Conversation : rl::test_suite<Conversation<WaitStrategy>, 2> {
    using Indices = RingIndices<ModelAtomics, WaitStrategy>;
    static constexpr unsigned messages = 4;
    static constexpr std::uint64_t unit = 8;
    static constexpr std::uint64_t capacity = 2 * unit;
    static constexpr std::uint64_t start = std::uint64_t{0} - capacity;
    static constexpr std::uint64_t size_of(unsigned message) { return unit * (1 + message % 2); }

    // Relacy allocates a model without regard for its alignment.
    std::unique_ptr<Indices> indices = std::make_unique<Indices>(start);
    std::array<rl::var<unsigned>, 2> ring;
    rl::var<unsigned>& at(std::uint64_t position) { return ring[position / unit % 2]; }

    void thread(unsigned index) {
        if (index == 0)
            produce();
        else
            consume();
    }
    void produce() {
        RingProducer<ModelAtomics, WaitStrategy> producer(*indices, Side::initiator, capacity,
                                                          start);
        for (unsigned message = 0; message < messages; ++message) {
            const std::uint64_t position = producer.reserve(size_of(message), begin_wait);
            for (std::uint64_t i = 0; i < size_of(message); i += unit)
                at(position + i)($) = message;
            producer.append(size_of(message));
            // The second waits for the third, or for a producer that finds no room.
            if (message == 3)
                producer.hand_over();
            else if (message != 1)
                producer.hand_over_and_go_on();
        }
    }
    void consume() {
        RingConsumer<ModelAtomics, WaitStrategy> consumer(*indices, Side::initiator, capacity,
                                                          start);
        for (unsigned message = 0; message < messages; ++message) {
            const std::uint64_t position = consumer.await(begin_wait);
            RL_ASSERT(consumer.unread_bytes() >= size_of(message));
            RL_ASSERT(consumer.unread_bytes() <= capacity);
            for (std::uint64_t i = 0; i < size_of(message); i += unit)
                RL_ASSERT(at(position + i)($) == message);
            consumer.release(size_of(message));
        }
    }
};

/// Question and answer, on the line: who has heard the one has the line for the other, and the one
/// who has heard that for the next question.
template <template <class> class WaitStrategy>
struct Dialogue : rl::test_suite<Dialogue<WaitStrategy>, 2> {
    using Indices = RingIndices<ModelAtomics, WaitStrategy>;
    static constexpr std::uint64_t bytes = ring_record::bytes_on_the_line;
    static constexpr std::uint64_t capacity = 64 * bytes;
    static constexpr std::uint64_t start = std::uint64_t{0} - bytes;

    std::unique_ptr<Indices> indices = std::make_unique<Indices>(start);
    rl::var<unsigned> line;

    void thread(unsigned index) {
        const Side mine = index == 0 ? Side::initiator : Side::responder;
        RingProducer<ModelAtomics, WaitStrategy> producer(*indices, mine, capacity, start);
        RingConsumer<ModelAtomics, WaitStrategy> consumer(*indices, other(mine), capacity, start);
        if (mine == Side::initiator) {
            say(producer, 1);
            hear(consumer, 2);
            say(producer, 3);
        } else {
            hear(consumer, 1);
            say(producer, 2);
        }
    }
    void say(auto& producer, unsigned message) {
        producer.reserve(bytes, begin_wait);
        line($) = message;
        producer.append(bytes);
        producer.hand_over(ring_record::tag_of(message));
    }
    void hear(auto& consumer, unsigned message) {
        consumer.await(begin_wait);
        RL_ASSERT(consumer.tag() == ring_record::tag_of(message));
        RL_ASSERT(consumer.unread_bytes() == bytes);
        RL_ASSERT(line($) == message);
        consumer.release(bytes);
    }
};

/// Who receives and who sends may be two threads of a process: the one that has read what lies on
/// the line gives it to the other, who may then write there.
struct Turn : rl::test_suite<Turn, 3> {
    static constexpr std::size_t capacity = 1024;
    static constexpr std::size_t message_bytes = 8;

    std::unique_ptr<RingIndices<ModelAtomics, Spin>> indices =
        std::make_unique<RingIndices<ModelAtomics, Spin>>();
    LineTurn<ModelAtomics> of_the_asker{1};
    LineTurn<ModelAtomics> of_the_answerer{0};
    std::array<std::byte, 2 * capacity> questions{};
    std::array<std::byte, 2 * capacity> answers{};
    rl::var<unsigned> line;

    void thread(unsigned index) {
        if (index == 0) {
            RingSender<ModelAtomics, Spin> asker(*indices, Side::initiator, of_the_asker,
                                                 questions.data(), capacity, {});
            RL_ASSERT(say(asker, 1));
        } else if (index == 1) {
            RingReceiver<ModelAtomics, Spin> listener(*indices, Side::initiator, of_the_answerer,
                                                      questions.data(), capacity, {});
            RL_ASSERT(listener.take(begin_wait).data() == indices->line);
            RL_ASSERT(line($) == 1);
            listener.release();
        } else {
            RingSender<ModelAtomics, Spin> answerer(*indices, Side::responder, of_the_answerer,
                                                    answers.data(), capacity, {});
            say(answerer, 2);
        }
    }
    /// Whether it was said on the line.
    bool say(auto& sender, unsigned message) {
        const bool on_the_line = sender.loan(message_bytes, begin_wait).data() == indices->line;
        if (on_the_line) line($) = message;
        sender.publish(message_bytes);
        return on_the_line;
    }
};

/// A whole batch, handed over by a sender that then goes on, or stops.
template <template <class> class WaitStrategy, bool flushes>
struct Batch : rl::test_suite<Batch<WaitStrategy, flushes>, 2> {
    static constexpr std::size_t capacity = 1024;
    static constexpr std::size_t message_bytes = 100;  // too long for the line
    static constexpr int messages = 2;
    static constexpr RingTuning tuning{.batch_messages = messages};

    std::unique_ptr<RingIndices<ModelAtomics, WaitStrategy>> indices =
        std::make_unique<RingIndices<ModelAtomics, WaitStrategy>>();
    LineTurn<ModelAtomics> of_the_sender{1};
    LineTurn<ModelAtomics> of_the_receiver{0};
    std::array<std::byte, 2 * capacity> bytes{};

    void thread(unsigned index) {
        if (index == 0) {
            RingSender<ModelAtomics, WaitStrategy> sender(*indices, Side::initiator, of_the_sender,
                                                          bytes.data(), capacity, tuning);
            for (int message = 0; message < messages; ++message) {
                sender.loan(message_bytes, begin_wait);
                sender.publish(message_bytes);
            }
            if (flushes) sender.flush();
        } else {
            RingReceiver<ModelAtomics, WaitStrategy> receiver(
                *indices, Side::initiator, of_the_receiver, bytes.data(), capacity, tuning);
            for (int message = 0; message < messages; ++message) {
                RL_ASSERT(receiver.take(begin_wait).size() == message_bytes);
                receiver.release();
            }
        }
    }
};

// Each side stores its own index and loads the other's. One that may sleep loads it once more after
// it has armed the bell; arming the bell and looking at it are two more. A producer that goes
// on stores its index in another place. The turn is stored by the one thread and loaded by the
// other.
INSTANTIATE_TEST_SUITE_P(, RingModel,
                         testing::Values(Model{"Spin", run<Conversation<Spin>>, 4},
                                         Model{"SpinYield", run<Conversation<SpinYield>>, 4},
                                         Model{"Futex", run<Conversation<SpinThenFutex>>, 9},
                                         Model{"DialogueSpin", run<Dialogue<Spin>>, 2},
                                         Model{"Turn", run<Turn>, 4}),
                         name_of_model);

TEST(RingModelOfABatch, AConsumerMaySleepThroughItUntilTheFlush) {
    rl::test_params at_random;
    at_random.iteration_count = 20'000;
    EXPECT_THAT((run<Batch<SpinThenFutex, true>>(at_random)), Holds());
    EXPECT_THAT((run<Batch<SpinThenFutex, false>>(at_random)), testing::Not(Holds()));
    EXPECT_THAT((run<Batch<Spin, false>>(at_random)), Holds());
}

}  // namespace
}  // namespace ipclab
