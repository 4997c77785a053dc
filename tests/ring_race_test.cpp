// Two threads at the two ends of one ring, for ThreadSanitizer to watch: every byte that crosses
// without its order being said is reported. Without it, this checks what comes out.
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"
#include "tests/ring_in_one_process.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <random>
#include <thread>

#if defined(__SANITIZE_THREAD__)
#define IPCLAB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPCLAB_TSAN 1
#endif
#endif

namespace ipclab {
namespace {

constexpr std::size_t capacity = 4096;  // one page: it wraps and fills often
constexpr auto timeout = std::chrono::seconds(60);

/// The sizes and contents of a conversation, the same each time: both sides ask it.
class Script {
  public:
    /// Most of the messages are short, so that many lie in the ring, and half as long as the last
    /// one; the others have any size.
    std::size_t next_size() {
        const std::size_t largest = random_() % 4 != 0 ? 64 : ring_record::payload_max(capacity);
        value_ = static_cast<unsigned char>(random_());
        if (random_() % 2 == 0) size_ = random_() % (largest + 1);
        return size_;
    }
    [[nodiscard]] std::byte at(std::size_t i) const { return static_cast<std::byte>(value_ + i); }

  private:
    std::mt19937 random_{20260721};
    unsigned char value_ = 0;
    std::size_t size_ = 0;
};

/// Sends `messages` from one thread to another; returns how many did not come out as they went in.
template <class Atomics, template <class> class WaitStrategy, std::size_t publish_bytes = 0>
int wrong_after(int messages, std::uint64_t start) {
    RingInOneProcess<Atomics, WaitStrategy> ring(capacity, start, {.publish_bytes = publish_bytes});
    std::thread sender([&] {
        Script script;
        for (int message = 0; message < messages; ++message) {
            Wait wait("loan", timeout);
            const Bytes room =
                ring.sender.loan(script.next_size(), [&]() -> Wait& { return wait; });
            for (std::size_t i = 0; i < room.size(); ++i) room[i] = script.at(i);
            ring.sender.publish(room.size());
        }
        ring.sender.flush();
    });
    Script script;
    int wrong = 0;
    for (int message = 0; message < messages; ++message) {
        Wait wait("take", timeout);
        const View came = ring.receiver.take([&]() -> Wait& { return wait; });
        bool right = came.size() == script.next_size();
        for (std::size_t i = 0; i < came.size(); ++i) right = came[i] == script.at(i) && right;
        wrong += right ? 0 : 1;
        ring.receiver.release();
    }
    sender.join();
    return wrong;
}

// ---------------------------------------------------------------------------------------------

struct Case {
    const char* name;
    int (*wrong_after)(int messages, std::uint64_t start);
    std::uint64_t start;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class RingRace : public testing::TestWithParam<Case> {};

TEST_P(RingRace, EveryMessageComesOutAsItWentIn) {
    EXPECT_EQ(GetParam().wrong_after(600, GetParam().start), 0);
}

constexpr std::uint64_t below_2_to_32 = (std::uint64_t{1} << 32) - 3 * capacity;
constexpr std::uint64_t below_2_to_64 = std::uint64_t{0} - 3 * capacity;

INSTANTIATE_TEST_SUITE_P(
    , RingRace,
    testing::Values(
        Case{"Spin", wrong_after<SystemAtomics, Spin>, 0},
        Case{"SpinBelow2To32", wrong_after<SystemAtomics, Spin>, below_2_to_32},
        Case{"SpinBelow2To64", wrong_after<SystemAtomics, Spin>, below_2_to_64},
        Case{"SpinYield", wrong_after<SystemAtomics, SpinYield>, 0},
        Case{"SpinYieldBelow2To32", wrong_after<SystemAtomics, SpinYield>, below_2_to_32},
        Case{"SpinYieldBelow2To64", wrong_after<SystemAtomics, SpinYield>, below_2_to_64},
        Case{"Futex", wrong_after<SystemAtomics, SpinThenFutex>, 0},
        Case{"FutexBelow2To32", wrong_after<SystemAtomics, SpinThenFutex>, below_2_to_32},
        Case{"FutexBelow2To64", wrong_after<SystemAtomics, SpinThenFutex>, below_2_to_64},
        Case{"HoldingBack", wrong_after<SystemAtomics, Spin, 512>, 0},
        Case{"HoldingBackBelow2To32", wrong_after<SystemAtomics, SpinThenFutex, 512>,
             below_2_to_32},
        Case{"HoldingBackBelow2To64", wrong_after<SystemAtomics, Spin, 512>, below_2_to_64}),
    [](const auto& about) { return about.param.name; });

// ---------------------------------------------------------------------------------------------
// The tests above can fail: with atomics that say no order, ThreadSanitizer reports the payload.

struct SleepsAtOnce : SystemAtomics {
    static constexpr int turns_before_sleep = 0;
};

enum class Forgets { to_release, to_acquire };

template <Forgets what>
struct Forgetful : SystemAtomics {
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

class RingRaceDeathTest : public testing::TestWithParam<Case> {
  protected:
    RingRaceDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(RingRaceDeathTest, IsReported) {
#ifdef IPCLAB_TSAN
    EXPECT_EXIT(
        {
            GetParam().wrong_after(600, GetParam().start);
            std::exit(0);  // ThreadSanitizer makes it 66 where it has reported something
        },
        testing::ExitedWithCode(66), "WARNING: ThreadSanitizer: data race");
#else
    GTEST_SKIP() << "only ThreadSanitizer can report it: build the preset tsan";
#endif
}

INSTANTIATE_TEST_SUITE_P(
    , RingRaceDeathTest,
    testing::Values(
        Case{"SpinWithoutRelease", wrong_after<Forgetful<Forgets::to_release>, Spin>, 0},
        Case{"SpinWithoutAcquire", wrong_after<Forgetful<Forgets::to_acquire>, Spin>, 0},
        Case{"FutexWithoutRelease", wrong_after<Forgetful<Forgets::to_release>, SpinThenFutex>, 0},
        Case{"FutexWithoutAcquire", wrong_after<Forgetful<Forgets::to_acquire>, SpinThenFutex>, 0}),
    [](const auto& about) { return about.param.name; });

}  // namespace
}  // namespace ipclab
