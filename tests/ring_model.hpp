// What the rings' models share: Relacy in the place of the atomics, and the tests of a model.
//
// A test on this machine cannot tell whether a ring's memory orders suffice: its processors reorder
// less than C++ allows, and a wrong order shows once in a billion messages. Relacy runs the threads
// of a model one operation at a time, chooses each time who goes on and which of the values that
// C++ allows a load returns, and reports data races and threads that sleep for ever.
//
// What is run is the source that ships; Relacy's are the atomics below it, the payload above it,
// and the two futex calls. It must pass; and with any one of its memory orders made one step
// weaker, it must fail.
//
// To be included last, since Relacy makes macros of `new`, `delete`, `free`, `errno` and others.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

// ---------------------------------------------------------------------------------------------
// The places in the source where an order is said.

enum class Operation { load, store, read_modify_write, fence };

constexpr std::string_view name_of(Operation operation) {
    constexpr std::array names{"load", "store", "read-modify-write", "fence"};
    return names.at(static_cast<std::size_t>(operation));
}

inline std::string_view name_of(std::memory_order order) {
    switch (order) {
    case std::memory_order::relaxed:
        return "relaxed";
    case std::memory_order::acquire:
        return "acquire";
    case std::memory_order::release:
        return "release";
    case std::memory_order::acq_rel:
        return "acq_rel";
    case std::memory_order::seq_cst:
        return "seq_cst";
    default:
        return "another order";
    }
}

struct Site {
    const char* file = "";
    unsigned line = 0;
    Operation operation = Operation::load;
    std::memory_order order{};

    bool operator==(const Site& other) const {
        return line == other.line && operation == other.operation && order == other.order &&
               std::string_view(file) == other.file;
    }
    /// One step: two ways where acquire and release are said at once.
    [[nodiscard]] std::vector<std::memory_order> weaker() const {
        switch (order) {
        case std::memory_order::seq_cst:
            return {operation == Operation::load    ? std::memory_order::acquire
                    : operation == Operation::store ? std::memory_order::release
                                                    : std::memory_order::acq_rel};
        case std::memory_order::acq_rel:
            return {std::memory_order::acquire, std::memory_order::release};
        default:
            return {std::memory_order::relaxed};
        }
    }
};

struct Weakening {
    Site site;
    std::memory_order order;
};
inline void PrintTo(const Weakening& weakening, std::ostream* out) {
    const Site& site = weakening.site;
    *out << std::filesystem::path(site.file).filename().string() << ':' << site.line << ": "
         << name_of(site.operation) << ", " << name_of(site.order) << " made "
         << name_of(weakening.order);
}

/// The sites that a simulation has passed, and the one that it is to weaken. No containers: memory
/// that a model allocates is Relacy's.
class Sites {
  public:
    rl::memory_order order_at(const Site& site) {
        if (site.order != std::memory_order::relaxed && std::find(begin(), end(), site) == end())
            seen_.at(count_++) = site;
        return relacys(weakened != nullptr && weakened->site == site ? weakened->order
                                                                     : site.order);
    }
    [[nodiscard]] const Site* begin() const { return seen_.data(); }
    [[nodiscard]] const Site* end() const { return seen_.data() + count_; }

    const Weakening* weakened = nullptr;

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

    std::array<Site, 64> seen_{};
    std::size_t count_ = 0;
};
inline Sites sites;

// ---------------------------------------------------------------------------------------------
// What stands in for the machine: as SystemAtomics (mechanisms/os/atomics.hpp).

struct ModelAtomics {
    using File = const char*;

    template <class T>
    class Atomic {
      public:
        Atomic(T value = T()) : value_(value) {}  // NOLINT(google-explicit-constructor)

        T load(std::memory_order order, File file = __builtin_FILE(),
               unsigned line = __builtin_LINE()) const {
            return value_.load(sites.order_at({file, line, Operation::load, order}),
                               {"load", file, line});
        }
        void store(T value, std::memory_order order, File file = __builtin_FILE(),
                   unsigned line = __builtin_LINE()) {
            value_.store(value, sites.order_at({file, line, Operation::store, order}),
                         {"store", file, line});
        }
        T exchange(T value, std::memory_order order, File file = __builtin_FILE(),
                   unsigned line = __builtin_LINE()) {
            return value_.exchange(
                value, sites.order_at({file, line, Operation::read_modify_write, order}),
                {"exchange", file, line});
        }
        T fetch_add(T value, std::memory_order order, File file = __builtin_FILE(),
                    unsigned line = __builtin_LINE()) {
            return value_.fetch_add(
                value, sites.order_at({file, line, Operation::read_modify_write, order}),
                {"fetch_add", file, line});
        }
        T fetch_sub(T value, std::memory_order order, File file = __builtin_FILE(),
                    unsigned line = __builtin_LINE()) {
            return value_.fetch_sub(
                value, sites.order_at({file, line, Operation::read_modify_write, order}),
                {"fetch_sub", file, line});
        }
        bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                                   std::memory_order failure, File file = __builtin_FILE(),
                                   unsigned line = __builtin_LINE()) {
            const rl::debug_info where{"compare_exchange_weak", file, line};
            return value_.compare_exchange_weak(
                expected, desired,
                sites.order_at({file, line, Operation::read_modify_write, success}), where,
                sites.order_at({file, line, Operation::load, failure}), where);
        }
        bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                                     std::memory_order failure, File file = __builtin_FILE(),
                                     unsigned line = __builtin_LINE()) {
            const rl::debug_info where{"compare_exchange_strong", file, line};
            return value_.compare_exchange_strong(
                expected, desired,
                sites.order_at({file, line, Operation::read_modify_write, success}), where,
                sites.order_at({file, line, Operation::load, failure}), where);
        }

      private:
        friend ModelAtomics;
        rl::atomic<T> value_;
        // The kernel's: who sleeps on this word.
        rl::mutex lock_;
        rl::condition_variable sleepers_;
    };

    static void fence(std::memory_order order, File file = __builtin_FILE(),
                      unsigned line = __builtin_LINE()) {
        rl::atomic_thread_fence(sites.order_at({file, line, Operation::fence, order}),
                                {"fence", file, line});
    }
    static void order_non_temporal_stores() {}
    static std::int64_t now_ns() { return 0; }
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
    static void futex_wake_all(Atomic<std::uint32_t>& word) {
        word.lock_.lock($);
        word.sleepers_.notify_all($);
        word.lock_.unlock($);
    }
};

// ---------------------------------------------------------------------------------------------
// The tests of a model.

struct Outcome {
    rl::test_result_e result;
    rl::iteration_t executions;
    std::string report;  ///< the execution that failed, operation by operation
};
inline void PrintTo(const Outcome& outcome, std::ostream* out) {
    *out << rl::test_result_str(outcome.result) << " in execution " << outcome.executions << '\n'
         << outcome.report;
}
MATCHER(Holds, "holds") { return arg.result == rl::test_result_success; }

/// `Suite` is an rl::test_suite.
template <class Suite>
Outcome run(rl::test_params params) {
    rl::ostringstream report;  // of Relacy's kind: it is written to while Relacy owns the heap
    params.output_stream = params.progress_stream = &report;
    params.execution_depth_limit = 20'000;
    rl::simulate<Suite>(params);
    return {params.test_result, params.stop_iteration, std::string(std::string_view(report.str()))};
}

struct Model {
    const char* name;
    Outcome (*run)(rl::test_params);
    int orders;  ///< in its source that are not relaxed
    rl::iteration_t executions = 500'000;
    /// Within so many, at random, a weakened order must be caught.
    rl::iteration_t executions_to_catch = 20'000;
    /// How often a thread may lose the processor against its will where all executions are run:
    /// their number grows with the length of the model to this power, and with that of the threads.
    /// 0: at random only.
    unsigned interruptions = 3;
};
inline void PrintTo(const Model& model, std::ostream* out) { *out << model.name; }
inline std::string name_of_model(const testing::TestParamInfo<Model>& about) {
    return about.param.name;
}

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

TEST_P(RingModel, HoldsAtRandom) { EXPECT_THAT(run_at_random(GetParam().executions), Holds()); }

TEST_P(RingModel, HoldsHoweverItIsInterrupted) {
    if (GetParam().interruptions == 0)
        GTEST_SKIP() << "a model that long, or of three threads, has too many executions";
    EXPECT_THAT(run_all(GetParam().interruptions), Holds());
}

TEST_P(RingModel, NeedsEveryOrderThatItSays) {
    run_at_random(1000);
    const Sites found = sites;
    EXPECT_EQ(found.end() - found.begin(), GetParam().orders);
    for (const Site& site : found)
        for (const std::memory_order order : site.weaker()) {
            const Weakening weakening{site, order};
            SCOPED_TRACE(testing::PrintToString(weakening));
            sites.weakened = &weakening;
            EXPECT_THAT(run_at_random(GetParam().executions_to_catch), testing::Not(Holds()));
        }
    sites.weakened = nullptr;
}

}  // namespace ipclab
