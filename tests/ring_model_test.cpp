// The byte ring's counters under Relacy: see ring_model.hpp.
#include "mechanisms/rings/byte_ring.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

#include "tests/ring_model.hpp"

namespace ipclab {
namespace {

/// A conversation of four messages, six bytes in all, through a ring of two: three laps, during
/// which the ring is empty and full, and the counters wrap at 2^64.
template <template <class> class WaitStrategy>
struct Conversation : rl::test_suite<Conversation<WaitStrategy>, 2> {
    using Counters = RingCounters<ModelAtomics, WaitStrategy>;
    static constexpr unsigned messages = 4;
    static constexpr std::uint64_t capacity = 2;
    static constexpr std::uint64_t start = std::uint64_t{0} - 2;
    static constexpr std::uint64_t size_of(unsigned message) { return 1 + message % 2; }
    static void glance() {}

    // Relacy allocates a model without regard for its alignment.
    std::unique_ptr<Counters> counters = std::make_unique<Counters>(start);
    std::array<rl::var<unsigned>, capacity> ring;

    void thread(unsigned index) {
        if (index == 0)
            produce();
        else
            consume();
    }
    void produce() {
        RingProducer<ModelAtomics, WaitStrategy> producer(*counters, capacity, start);
        for (unsigned message = 0; message < messages; ++message) {
            const std::uint64_t position = producer.reserve(size_of(message), glance);
            for (std::uint64_t i = 0; i < size_of(message); ++i)
                ring[(position + i) % capacity]($) = message;
            producer.publish(size_of(message));
        }
    }
    void consume() {
        RingConsumer<ModelAtomics, WaitStrategy> consumer(*counters, start);
        for (unsigned message = 0; message < messages; ++message) {
            const std::uint64_t position = consumer.await(glance);
            RL_ASSERT(consumer.unread_bytes() >= size_of(message));
            RL_ASSERT(consumer.unread_bytes() <= capacity);
            for (std::uint64_t i = 0; i < size_of(message); ++i)
                RL_ASSERT(ring[(position + i) % capacity]($) == message);
            consumer.release(size_of(message));
        }
    }
};

// Each side stores its own index and loads the other's. One that may sleep loads it once more after
// it has armed the bell; arming the bell and looking at it are two more.
INSTANTIATE_TEST_SUITE_P(, RingModel,
                         testing::Values(Model{"Spin", run<Conversation<Spin>>, 4},
                                         Model{"SpinYield", run<Conversation<SpinYield>>, 4},
                                         Model{"Futex", run<Conversation<SpinThenFutex>>, 8}),
                         name_of_model);

}  // namespace
}  // namespace ipclab
