// The villas-queue's queue, bell and count of references under Relacy: see ring_model.hpp.
#include "mechanisms/rings/villas/pool.hpp"

#include "tests/ring_model.hpp"

namespace ipclab {
namespace {

/// A word that is no atomic: whoever writes it while another reads it has made a data race.
template <class T>
class ModelWord {
  public:
    T load() const { return value_($); }
    void store(T value) { value_($) = value; }

  private:
    mutable rl::var<T> value_;
};

using Queue = villas::BoundedQueue<ModelAtomics, ModelWord>;
using villas::Outcome;

/// A queue of two cells, whose positions wrap at 2^64 on the way, and a few items of which it
/// carries pointers. Each item is written by who pushes it and read by who pulls it.
template <unsigned items>
struct Shared {
    static constexpr std::uint64_t start = std::uint64_t{0} - 2;
    static constexpr std::uint64_t cells_count = 2;

    // Relacy allocates a model without regard for its alignment.
    std::unique_ptr<Queue::State> state = std::make_unique<Queue::State>();
    std::array<Queue::Cell, cells_count> cells;
    std::array<rl::var<unsigned>, items> payload;

    void initialise() { Queue::initialise(*state, cells.data(), cells_count, start); }
    Queue queue() { return {*state, cells.data(), cells_count}; }

    /// Whether it was taken, that is, not refused because the queue is closed.
    bool push(unsigned item, std::memory_order publish = std::memory_order::release) {
        payload[item]($) = item;
        for (;;) {
            const Outcome outcome =
                sound(queue().push(reinterpret_cast<const std::byte*>(&payload[item]), publish));
            if (outcome != Outcome::full) return outcome == Outcome::done;
            ModelAtomics::yield();
        }
    }
    Outcome pull(unsigned& item, std::memory_order look = std::memory_order::acquire) {
        std::byte* place = nullptr;
        const Outcome outcome = sound(queue().pull(place, look));
        if (outcome == Outcome::done) {
            item =
                static_cast<unsigned>(reinterpret_cast<rl::var<unsigned>*>(place) - payload.data());
            RL_ASSERT(payload[item]($) == item);
        }
        return outcome;
    }

  private:
    /// What the queue finds inconsistent is a failure of the model.
    static Outcome sound(Outcome outcome) {
        RL_ASSERT(outcome != Outcome::broken);
        return outcome;
    }
};

/// Two producers, one of them with two items, and a consumer: one lap and a half.
struct TwoProducers : rl::test_suite<TwoProducers, 3> {
    Shared<3> shared;
    unsigned seen = 0;

    void before() { shared.initialise(); }
    void thread(unsigned index) {
        if (index == 0) {
            shared.push(0);
            shared.push(1);
        } else if (index == 1) {
            shared.push(2);
        } else {
            unsigned last_of_the_first = 0;
            for (int pulled = 0; pulled < 3;) {
                unsigned item = 0;
                if (shared.pull(item) == Outcome::empty) {
                    ModelAtomics::yield();
                    continue;
                }
                ++pulled;
                seen |= 1U << item;
                if (item == 1) RL_ASSERT(last_of_the_first == 1);
                if (item == 0) last_of_the_first = 1;
            }
        }
    }
    void after() { RL_ASSERT(seen == 7); }
};

/// Two consumers, who get each item once between them.
struct TwoConsumers : rl::test_suite<TwoConsumers, 3> {
    Shared<3> shared;
    unsigned seen[2]{};

    void before() { shared.initialise(); }
    void thread(unsigned index) {
        if (index == 2) {
            for (unsigned item = 0; item < 3; ++item) shared.push(item);
            shared.queue().close();
            return;
        }
        for (unsigned item = 0;;) {
            const Outcome outcome = shared.pull(item);
            if (outcome == Outcome::closed) return;
            if (outcome == Outcome::done)
                seen[index] |= 1U << item;
            else
                ModelAtomics::yield();
        }
    }
    void after() {
        RL_ASSERT((seen[0] | seen[1]) == 7);
        RL_ASSERT((seen[0] & seen[1]) == 0);
    }
};

/// One who closes while another pushes: what was taken is delivered, whatever the moment.
struct CloseWhilePushing : rl::test_suite<CloseWhilePushing, 3> {
    Shared<3> shared;
    unsigned pushed = 0;
    unsigned pulled = 0;

    void before() { shared.initialise(); }
    void thread(unsigned index) {
        if (index == 0) {
            for (unsigned item = 0; item < 3; ++item)
                if (shared.push(item)) ++pushed;
        } else if (index == 1) {
            shared.queue().close();
        } else {
            for (unsigned item = 0;;) {
                const Outcome outcome = shared.pull(item);
                if (outcome == Outcome::closed) return;
                if (outcome == Outcome::done)
                    ++pulled;
                else
                    ModelAtomics::yield();
            }
        }
    }
    void after() { RL_ASSERT(pulled == pushed); }
};

/// Two consumers that sleep, one until it has two items, and a producer: whoever is not woken
/// sleeps for ever.
struct Sleepers : rl::test_suite<Sleepers, 3> {
    using Bell = villas::FutexBell<ModelAtomics>;
    Shared<3> shared;
    Bell bell;
    unsigned seen[2]{};

    void before() { shared.initialise(); }
    void thread(unsigned index) {
        if (index == 2) {
            for (unsigned item = 0; item < 3; ++item) {
                shared.push(item, Bell::publish);
                bell.ring();
            }
            return;
        }
        for (unsigned items = 0; items <= index; ++items) {
            unsigned item = 0;
            bell.sleep_until(
                [&](std::memory_order order) { return shared.pull(item, order) == Outcome::done; },
                [] {});
            seen[index] |= 1U << item;
        }
    }
    void after() { RL_ASSERT((seen[0] | seen[1]) == 7); }
};

/// Two readers of a sample. The last to let go uses it anew; and once too often is refused.
struct LastOneOut : rl::test_suite<LastOneOut, 2> {
    villas::References<ModelAtomics> references;
    rl::var<unsigned> payload;
    unsigned last = 0;

    void before() {
        references.begin();
        references.add();
        payload($) = 1;
    }
    void thread(unsigned /*index*/) {
        const std::uint32_t generation = references.generation();
        RL_ASSERT(payload($) == 1);
        const villas::Dropped outcome = references.drop(generation);
        RL_ASSERT(outcome != villas::Dropped::none_was_held);
        if (outcome != villas::Dropped::last) return;
        payload($) = 2;
        ++last;
        RL_ASSERT(references.drop(generation) == villas::Dropped::none_was_held);
    }
    void after() {
        RL_ASSERT(last == 1);
        RL_ASSERT(references.count() == 0);
    }
};

// Of the queue: a cell is published and looked at, each way. The bell adds: to arm it, to look
// whether it is armed, and to publish before and to look after with the same order.
INSTANTIATE_TEST_SUITE_P(
    Villas, RingModel,
    testing::Values(Model{"TwoProducers", run<TwoProducers>, 4, 100'000, 20'000, 1},
                    Model{"TwoConsumers", run<TwoConsumers>, 4, 100'000, 20'000, 0},
                    Model{"CloseWhilePushing", run<CloseWhilePushing>, 4, 100'000, 20'000, 0},
                    Model{"Sleepers", run<Sleepers>, 7, 100'000, 20'000, 0},
                    Model{"LastOneOut", run<LastOneOut>, 1, 100'000}),
    name_of_model);

}  // namespace
}  // namespace ipclab
