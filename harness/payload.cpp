#include "harness/payload.hpp"

#include "harness/statistics.hpp"

#include <chrono>
#include <vector>

// One copy of each kernel for every vector width; the loader chooses. Sanitizers cannot run before
// the loader has chosen.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
#define IPCLAB_VECTOR_CLONES
#else
#define IPCLAB_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

// As few instructions as there can be: a core asks the caches for the lines that it will need some
// 300 instructions ahead (Zen 4: 320), and at seven for each line the loop is what a reader of the
// L3 waits for. So it is four lines a turn, of three or four instructions each.
#ifdef __clang__
#define IPCLAB_FOUR_AT_A_TIME
#else
#define IPCLAB_FOUR_AT_A_TIME _Pragma("GCC unroll 4")
#endif

namespace ipclab::payload {

IPCLAB_VECTOR_CLONES
void fill_words(std::byte* message, std::size_t words, std::uint64_t sequence) {
    std::uint64_t value = word(sequence, 0);
    IPCLAB_FOUR_AT_A_TIME
    for (std::size_t i = 0; i < words; ++i, ++value)
        std::memcpy(message + i * word_bytes, &value, word_bytes);
}

void fill_non_temporal(Bytes message, std::uint64_t sequence) {
    const WholeLines lines(message);
    if (lines.begin % word_bytes != 0) return fill(message, sequence);  // lines would split words
    const std::size_t words = message.size() / word_bytes;
    const std::size_t begin = lines.begin / word_bytes;
    const std::size_t end = lines.end / word_bytes;
    const auto fill_plainly = [&](std::size_t from, std::size_t to) {
        for (std::size_t i = from; i < to; ++i) {
            const std::uint64_t value = word(sequence, i);
            std::memcpy(message.data() + i * word_bytes, &value, word_bytes);
        }
    };
    fill_plainly(0, begin);
    for (std::size_t i = begin; i < end; i += 2) {
        const auto low = static_cast<std::int64_t>(word(sequence, i));
        const auto high = static_cast<std::int64_t>(word(sequence, i + 1));
        _mm_stream_si128(reinterpret_cast<__m128i*>(message.data() + i * word_bytes),
                         _mm_set_epi64x(high, low));
    }
    fill_plainly(end, words);
    fill_rest(message, words, sequence);
}

IPCLAB_VECTOR_CLONES
bool check_words(const std::byte* message, std::size_t words, std::uint64_t sequence) {
    std::uint64_t wrong = 0;
    std::uint64_t expected = word(sequence, 0);
    IPCLAB_FOUR_AT_A_TIME
    for (std::size_t i = 0; i < words; ++i, ++expected) {
        std::uint64_t value = 0;
        std::memcpy(&value, message + i * word_bytes, word_bytes);
        wrong |= value ^ expected;
    }
    return wrong == 0;
}

Cost measure_cost(std::size_t size_bytes) {
    using Clock = std::chrono::steady_clock;
    std::vector<std::byte> message(size_bytes);
    bool good = true;
    const auto time_ns = [&](auto&& kernel) {
        // As many calls a batch as take some 20 µs: the clock's own cost then does not show.
        const std::size_t calls = 1 + 200'000 / (size_bytes + 20);
        std::vector<double> batches_ns;
        for (std::uint64_t batch = 0; batch < 15; ++batch) {
            const auto start = Clock::now();
            for (std::size_t i = 0; i < calls; ++i) kernel(i);
            const std::chrono::duration<double, std::nano> took = Clock::now() - start;
            batches_ns.push_back(took.count() / static_cast<double>(calls));
        }
        return median(batches_ns);
    };
    // The compiler must not see that the same bytes are written again and again.
    const auto escape = [&] { asm volatile("" : : "r"(message.data()) : "memory"); };
    Cost cost{};
    cost.fill_ns = time_ns([&](std::uint64_t i) {
        fill(message, i);
        escape();
    });
    fill(message, 1);
    cost.check_ns = time_ns([&](std::uint64_t) {
        escape();
        good &= check(message, 1);
    });
    if (!good) throw std::logic_error("the payload kernels disagree");
    return cost;
}

}  // namespace ipclab::payload
