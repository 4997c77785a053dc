// Whether the ring's memory orders suffice, and whether each is needed.
//
// A test on this machine cannot tell: its processors reorder less than C++ allows, and a wrong
// order shows once in a billion messages. Relacy runs the two threads of a model one operation at a
// time, chooses each time who goes on and which of the values that C++ allows a load returns, and
// reports data races and threads that sleep for ever.
//
// What is run is the source that ships, the ring's counters and the waits; Relacy's are the atomics
// below it, the payload above it, and the two futex calls. It must pass; and with any one of its
// memory orders made one step weaker, it must fail.
#include "mechanisms/rings/byte_ring.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>

// Last, since it makes macros of `new`, `delete`, `free`, `errno` and others.
#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno

namespace ipclab {
namespace {

// ---------------------------------------------------------------------------------------------
// The places in the source where an order is said.

struct Site {
    const char* file = "";
    unsigned line = 0;
    bool store = false;
    std::memory_order order{};

    bool operator==(const Site& other) const {
        return line == other.line && order == other.order && std::string_view(file) == other.file;
    }
    [[nodiscard]] std::memory_order one_step_weaker() const {
        if (order != std::memory_order::seq_cst) return std::memory_order::relaxed;
        return store ? std::memory_order::release : std::memory_order::acquire;
    }
};

std::string name(std::memory_order order) {
    switch (order) {
    case std::memory_order::relaxed:
        return "relaxed";
    case std::memory_order::acquire:
        return "acquire";
    case std::memory_order::release:
        return "release";
    case std::memory_order::seq_cst:
        return "seq_cst";
    default:
        return "another order";
    }
}
void PrintTo(const Site& site, std::ostream* out) {
    *out << std::filesystem::path(site.file).filename().string() << ':' << site.line << ": "
         << (site.store ? "store, " : "load, ") << name(site.order) << " made "
         << name(site.one_step_weaker());
}

/// The sites that a simulation has passed, and the one that it is to weaken. No containers: memory
/// that a model allocates is Relacy's.
class Sites {
  public:
    rl::memory_order order_at(const Site& site) {
        if (site.order != std::memory_order::relaxed && std::find(begin(), end(), site) == end())
            seen_.at(count_++) = site;
        return relacys(weakened != nullptr && *weakened == site ? site.one_step_weaker()
                                                                : site.order);
    }
    [[nodiscard]] const Site* begin() const { return seen_.data(); }
    [[nodiscard]] const Site* end() const { return seen_.data() + count_; }

    const Site* weakened = nullptr;

  private:
    static rl::memory_order relacys(std::memory_order order) {
        switch (order) {
        case std::memory_order::relaxed:
            return rl::mo_relaxed;
        case std::memory_order::acquire:
            return rl::mo_acquire;
        case std::memory_order::release:
            return rl::mo_release;
        case std::memory_order::acq_rel:
            return rl::mo_acq_rel;
        default:
            return rl::mo_seq_cst;
        }
    }

    std::array<Site, 32> seen_{};
    std::size_t count_ = 0;
};
Sites sites;

// ---------------------------------------------------------------------------------------------
// What stands in for the machine.

struct ModelAtomics {
    template <class T>
    class Atomic {
      public:
        Atomic(T value) : value_(value) {}  // NOLINT(google-explicit-constructor)

        T load(std::memory_order order, const char* file = __builtin_FILE(),
               unsigned line = __builtin_LINE()) const {
            return value_.load(sites.order_at({file, line, false, order}), {"load", file, line});
        }
        void store(T value, std::memory_order order, const char* file = __builtin_FILE(),
                   unsigned line = __builtin_LINE()) {
            value_.store(value, sites.order_at({file, line, true, order}), {"store", file, line});
        }

      private:
        friend ModelAtomics;
        rl::atomic<T> value_;
        // The kernel's: who sleeps on this word.
        rl::mutex lock_;
        rl::condition_variable sleepers_;
    };

    static void relax() { rl::yield(1, $); }
    static void yield() { rl::yield(1, $); }
    /// Relacy holds that after a yield a load returns no value that it has returned before. That
    /// would hide the very values from which a sleeper's last look before it sleeps can suffer.
    static constexpr int turns_before_sleep = 0;

    /// Looks at the word and falls asleep under the kernel's lock; may wake for no reason, but
    /// never because time has passed: whoever's wake-up was lost sleeps for ever.
    static void futex_wait(Atomic<std::uint32_t>& word, std::uint32_t expected,
                           std::chrono::nanoseconds /*timeout*/) {
        word.lock_.lock($);
        if (word.value_.load(rl::mo_relaxed, $) == expected) word.sleepers_.wait(word.lock_, $);
        word.lock_.unlock($);
    }
    static void futex_wake(Atomic<std::uint32_t>& word) {
        word.lock_.lock($);
        word.sleepers_.notify_one($);
        word.lock_.unlock($);
    }
};

// ---------------------------------------------------------------------------------------------
// The model.

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

// ---------------------------------------------------------------------------------------------

struct Outcome {
    rl::test_result_e result;
    rl::iteration_t executions;
    std::string report;  ///< the execution that failed, operation by operation
};
void PrintTo(const Outcome& outcome, std::ostream* out) {
    *out << rl::test_result_str(outcome.result) << " in execution " << outcome.executions << '\n'
         << outcome.report;
}
MATCHER_P(EndsIn, result, std::string("ends in ") + rl::test_result_str(result)) {
    return arg.result == result;
}

template <template <class> class WaitStrategy>
Outcome run(rl::test_params params) {
    rl::ostringstream report;  // of Relacy's kind: it is written to while Relacy owns the heap
    params.output_stream = params.progress_stream = &report;
    params.execution_depth_limit = 20'000;
    rl::simulate<Conversation<WaitStrategy>>(params);
    return {params.test_result, params.stop_iteration, std::string(std::string_view(report.str()))};
}

struct Model {
    const char* name;
    Outcome (*run)(rl::test_params);
    int orders;  ///< in its source that are not relaxed
};
void PrintTo(const Model& model, std::ostream* out) { *out << model.name; }

class RingModel : public testing::TestWithParam<Model> {
  protected:
    RingModel() { sites = {}; }

    static Outcome run_at_random(rl::iteration_t executions) {
        rl::test_params params;
        params.iteration_count = executions;
        return GetParam().run(params);
    }
    /// Every execution that takes the processor from a thread against its will at most so often.
    static Outcome run_all(unsigned interruptions) {
        rl::test_params params;
        params.search_type = rl::sched_bound;
        params.context_bound = interruptions;
        return GetParam().run(params);
    }
};

TEST_P(RingModel, HoldsAtRandom) {
    EXPECT_THAT(run_at_random(500'000), EndsIn(rl::test_result_success));
}

TEST_P(RingModel, HoldsHoweverItIsInterruptedThreeTimes) {
    EXPECT_THAT(run_all(3), EndsIn(rl::test_result_success));
}

TEST_P(RingModel, NeedsEveryOrderThatItSays) {
    run_at_random(1000);
    const Sites found = sites;
    EXPECT_EQ(found.end() - found.begin(), GetParam().orders);
    for (const Site& site : found) {
        SCOPED_TRACE(testing::PrintToString(site));
        sites.weakened = &site;
        EXPECT_THAT(run_at_random(20'000),
                    EndsIn(site.order == std::memory_order::seq_cst ? rl::test_result_deadlock
                                                                    : rl::test_result_data_race));
    }
    sites.weakened = nullptr;
}

// Each side stores its own index and loads the other's. One that may sleep loads it once more after
// it has armed the bell; arming the bell and looking at it are two more.
INSTANTIATE_TEST_SUITE_P(, RingModel,
                         testing::Values(Model{"Spin", run<Spin>, 4},
                                         Model{"SpinYield", run<SpinYield>, 4},
                                         Model{"Futex", run<SpinThenFutex>, 8}),
                         [](const auto& about) { return about.param.name; });

}  // namespace
}  // namespace ipclab
