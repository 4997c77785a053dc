// Non-temporal stores: they leave what plain ones leave, and are ordered before the publication.
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/stores.hpp"
#include "mechanisms/waiting/spin.hpp"
#include "tests/ring_in_one_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ipclab {
namespace {

TEST(Stores, OfEitherKindCopyTheSameBytesAtAnyPlaceAndSize) {
    std::vector<std::byte> from(600);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
    for (std::size_t offset = 0; offset < 70; ++offset)
        for (const std::size_t size : {0, 1, 15, 16, 63, 64, 65, 127, 128, 200, 500}) {
            std::vector<std::byte> expected(600);
            std::vector<std::byte> to(600);
            const View message = View(from).subspan(offset / 2, size);
            copy(Bytes(expected).subspan(offset, size), message, Stores::plain);
            copy(Bytes(to).subspan(offset, size), message, Stores::non_temporal);
            SystemAtomics::order_non_temporal_stores();
            EXPECT_EQ(to, expected) << size << " bytes at " << offset;
        }
}

/// Writes down the order of fences and of stores of an index.
struct Recording : SystemAtomics {
    static inline std::string log;
    static void order_non_temporal_stores() { log += "fence "; }
    template <class T>
    struct Atomic : std::atomic<T> {
        using std::atomic<T>::atomic;
        void store(T value, std::memory_order order) {
            log += "store ";
            std::atomic<T>::store(value, order);
        }
    };
};

std::string publication_of(std::size_t bytes, std::optional<Stores> stores) {
    constexpr std::size_t capacity = 65536;
    RingInOneProcess<Recording, Spin> ring(capacity, 0, {.stores = stores});
    Recording::log.clear();
    ring.sender.loan(bytes, []() -> Wait { return {"loan", std::chrono::seconds(1)}; });
    EXPECT_EQ(ring.sender.stores(), stores.value_or(Stores::plain));
    ring.sender.publish(bytes);
    return Recording::log;
}

TEST(Stores, ThatAreNonTemporalAreFencedBeforeTheyArePublished) {
    EXPECT_EQ(publication_of(8192, Stores::non_temporal), "fence store ");
    EXPECT_EQ(publication_of(100, Stores::non_temporal), "fence store ");
    EXPECT_EQ(publication_of(8192, Stores::plain), "store ");
    EXPECT_EQ(publication_of(8192, std::nullopt), "store ") << "nobody knows yet how far they are";
}

TEST(Stores, FollowTheDistanceOnceItIsCertain) {
    StoresByDistance distance;
    distance.learn(150);
    distance.learn(150);
    EXPECT_FALSE(distance.far());
    distance.learn(150);
    EXPECT_TRUE(distance.far());
    for (int fetch = 0; fetch < 5; ++fetch) distance.learn(50);
    EXPECT_TRUE(distance.far());
    distance.learn(50);
    EXPECT_FALSE(distance.far());
}

}  // namespace
}  // namespace ipclab
