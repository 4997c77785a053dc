// Threads that share one queue and one pool on one mapping, for ThreadSanitizer to watch: whatever
// crosses without its order being said is reported. Without it, this checks what comes out.
#include "mechanisms/rings/villas/pool.hpp"

#include <array>
#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#define IPCLAB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPCLAB_TSAN 1
#endif
#endif

namespace ipclab::villas {
namespace {

constexpr auto timeout = std::chrono::seconds(60);
constexpr std::size_t samplelen = 4;

/// A queue and a pool in this process's own memory. Positions begin at `start`.
template <class Atomics>
class Shared {
  public:
    using Queue = SignalledQueue<Atomics>;
    using Samples = Pool<Atomics>;

    Shared(std::uint64_t queuelen, Mode mode, std::uint64_t start)
        : queuelen_(queuelen),
          mode_(mode),
          cells_(2 * cells_for(queuelen)),
          memory_(queuelen * Samples::stride_of(samplelen) / 64) {
        std::memset(static_cast<void*>(&states_), 0, sizeof states_);
        for (int i = 0; i < 2; ++i) {
            Queue::initialise(states_[i], cells_of(i), cells_for(queuelen_), mode_);
            Queue::Queue::initialise(states_[i].queue, cells_of(i), cells_for(queuelen_), start);
        }
        samples(nobody).initialise();
    }

    Queue queue() { return queue_at(0); }
    Samples samples(Holder me) {
        return {queue_at(1), reinterpret_cast<std::byte*>(memory_.data()), queuelen_, samplelen,
                me};
    }

  private:
    struct alignas(64) Line {
        std::byte bytes[64];
    };
    typename Queue::Cell* cells_of(int i) {
        return cells_.data() + static_cast<std::size_t>(i) * cells_for(queuelen_);
    }
    Queue queue_at(int i) { return {states_[i], cells_of(i), cells_for(queuelen_), mode_}; }

    std::uint64_t queuelen_;
    Mode mode_;
    typename Queue::State states_[2];
    std::vector<typename Queue::Cell> cells_;
    std::vector<Line> memory_;
};

constexpr std::uint64_t producers = 2;
constexpr std::uint64_t consumers = 2;
constexpr std::uint64_t each = 400;

/// What a sample says of itself, so that a mix of two is noticed.
struct Content {
    std::uint64_t producer;
    std::uint64_t number;
    std::uint64_t check;
    static Content of(std::uint64_t producer, std::uint64_t number) {
        return {producer, number, ~(producer * each + number)};
    }
    bool operator==(const Content& other) const {
        return producer == other.producer && number == other.number && check == other.check;
    }
};

/// Sends samples from some threads to others; returns how many did not come out as they went in, or
/// not once.
template <class Atomics>
std::uint64_t wrong_after(Mode mode, std::uint64_t start) {
    Shared<Atomics> shared(3, mode, start);
    std::array<std::atomic<int>, producers * each> seen{};
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint64_t> producing{producers};
    std::vector<std::thread> threads;
    threads.reserve(producers + consumers);
    for (std::uint64_t producer = 0; producer < producers; ++producer)
        threads.emplace_back([&, producer] {
            auto queue = shared.queue();
            auto samples = shared.samples(static_cast<Holder>(1 + producer));
            for (std::uint64_t number = 0; number < each; ++number) {
                Wait wait("get", timeout);
                const auto ref = samples.get([&] { wait.glance(); });
                const Content content = Content::of(producer, number);
                std::memcpy(ref.sample->values(), &content, sizeof content);
                samples.let_pass(ref);
                queue.push(reinterpret_cast<const std::byte*>(ref.sample));
                queue.ring();
            }
            if (--producing == 0) {
                queue.queue().close();
                queue.ring();
            }
        });
    for (std::uint64_t consumer = 0; consumer < consumers; ++consumer)
        threads.emplace_back([&, consumer] {
            auto queue = shared.queue();
            auto samples = shared.samples(static_cast<Holder>(1 + producers + consumer));
            std::byte* item = nullptr;
            for (;;) {
                Wait wait("await", timeout);
                if (queue.await(item, [&] { wait.glance(); }) == Outcome::closed) return;
                const auto ref = samples.admit(item);
                Content content{};
                std::memcpy(&content, ref.sample->values(), sizeof content);
                if (content.producer >= producers || content.number >= each ||
                    !(content == Content::of(content.producer, content.number)))
                    ++wrong;
                else
                    ++seen.at(content.producer * each + content.number);
                samples.drop(ref);
            }
        });
    for (std::thread& thread : threads) thread.join();
    for (const std::atomic<int>& times : seen) wrong += times == 1 ? 0 : 1;
    wrong += shared.samples(nobody).free() == 3 ? 0 : 1;
    return wrong;
}

struct Case {
    const char* name;
    std::uint64_t (*wrong_after)(Mode mode, std::uint64_t start);
    Mode mode;
    std::uint64_t start;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class VillasRace : public testing::TestWithParam<Case> {};

TEST_P(VillasRace, EverySampleComesOutOnceAsItWentIn) {
    EXPECT_EQ(GetParam().wrong_after(GetParam().mode, GetParam().start), 0U);
}

constexpr std::uint64_t below_2_to_32 = (std::uint64_t{1} << 32) - 64;
constexpr std::uint64_t below_2_to_64 = std::uint64_t{0} - 64;

/// Polling, for more threads than there may be CPUs.
struct Polite : SystemAtomics {
    static void relax() { yield(); }
};

INSTANTIATE_TEST_SUITE_P(
    , VillasRace,
    testing::Values(
        Case{"Polling", wrong_after<Polite>, Mode::polling, 0},
        Case{"PollingBelow2To32", wrong_after<Polite>, Mode::polling, below_2_to_32},
        Case{"PollingBelow2To64", wrong_after<Polite>, Mode::polling, below_2_to_64},
        Case{"Pthread", wrong_after<SystemAtomics>, Mode::pthread, 0},
        Case{"PthreadBelow2To64", wrong_after<SystemAtomics>, Mode::pthread, below_2_to_64},
        Case{"Futex", wrong_after<SystemAtomics>, Mode::futex, 0},
        Case{"FutexBelow2To64", wrong_after<SystemAtomics>, Mode::futex, below_2_to_64}),
    [](const auto& about) { return about.param.name; });

/// Who polls lets the core pause between two looks, and looks at the clock now and then.
struct CountsPauses : SystemAtomics {
    static inline int pauses = 0;
    static void relax() { ++pauses; }
};

TEST(VillasPolling, PausesBetweenLooksAndGlancesNowAndThen) {
    Shared<CountsPauses> shared(1, Mode::polling, 0);
    struct Enough {};
    int glances = 0;
    std::byte* item = nullptr;
    EXPECT_THROW(shared.queue().await(item,
                                      [&] {
                                          if (++glances == 3) throw Enough();
                                      }),
                 Enough);
    EXPECT_EQ(CountsPauses::pauses, 3 * turns_between_glances);
}

// ---------------------------------------------------------------------------------------------
// The tests above can fail: with atomics that say no order, ThreadSanitizer reports the payload.

enum class Forgets { to_release, to_acquire };

template <Forgets what>
struct Forgetful : SystemAtomics {
    static void relax() { yield(); }
    template <class T>
    struct Atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        T load(std::memory_order order) const {
            return std::atomic<T>::load(what == Forgets::to_acquire ? std::memory_order::relaxed
                                                                    : order);
        }
        void store(T value, std::memory_order order) {
            std::atomic<T>::store(value,
                                  what == Forgets::to_release ? std::memory_order::relaxed : order);
        }
    };
};

class VillasRaceDeathTest : public testing::TestWithParam<Case> {
  protected:
    VillasRaceDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(VillasRaceDeathTest, IsReported) {
#ifdef IPCLAB_TSAN
    EXPECT_EXIT(
        {
            GetParam().wrong_after(GetParam().mode, GetParam().start);
            std::exit(0);  // ThreadSanitizer makes it 66 where it has reported something
        },
        testing::ExitedWithCode(66), "WARNING: ThreadSanitizer: data race");
#else
    GTEST_SKIP() << "only ThreadSanitizer can report it: build the preset tsan";
#endif
}

INSTANTIATE_TEST_SUITE_P(
    , VillasRaceDeathTest,
    testing::Values(
        Case{"WithoutRelease", wrong_after<Forgetful<Forgets::to_release>>, Mode::polling, 0},
        Case{"WithoutAcquire", wrong_after<Forgetful<Forgets::to_acquire>>, Mode::polling, 0}),
    [](const auto& about) { return about.param.name; });

}  // namespace
}  // namespace ipclab::villas
