// The work that is the same for all: who sends writes every byte, who receives reads and checks
// every byte.
//
// A message's 64-bit words are made of its sequence number and of their place in it, so that a
// message that is old, torn, shifted or somebody else's is found out. Made to be cheap, since what
// it costs is in every row; that cost is measured, and rows that it bounds are marked.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/stores.hpp"

#include <cstdint>
#include <utility>

namespace ipclab {

/// What of the payload is touched. `header`, its first eight bytes only, is there to show how such
/// a measurement misleads.
enum class Touch { all, header };

constexpr std::string_view name_of(Touch touch) { return touch == Touch::all ? "all" : "header"; }

namespace payload {

constexpr std::size_t word_bytes = sizeof(std::uint64_t);
constexpr std::size_t small_bytes = 64;

/// Calls do_word(i) for each i < words, of which there are no more than in small_bytes. Not a loop:
/// the compiler would make one of vectors, and to prepare that costs more than so few words do.
inline void for_each_of_few(std::size_t words, auto&& do_word) {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
        (void)((i < words && (do_word(i), true)) && ...);
    }
    (std::make_index_sequence<small_bytes / word_bytes>());
}

constexpr std::uint64_t word(std::uint64_t sequence, std::size_t index) {
    return (sequence + 1) * 0x9E3779B97F4A7C15U + index;  // the golden ratio; never all zero
}

/// The kernels for larger messages, compiled for the vector units that this CPU has.
void fill_words(std::byte* message, std::size_t words, std::uint64_t sequence);
bool check_words(const std::byte* message, std::size_t words, std::uint64_t sequence);

/// What is less than a word. A call with nothing to do would cost as much as a short message.
inline void fill_rest(Bytes message, std::size_t words, std::uint64_t sequence) {
    if (message.size() % word_bytes == 0) return;
    const std::uint64_t last = word(sequence, words);
    std::memcpy(message.data() + words * word_bytes, &last, message.size() % word_bytes);
}

/// Past the caches, to be followed by a fence.
void fill_non_temporal(Bytes message, std::uint64_t sequence);

inline void fill(Bytes message, std::uint64_t sequence) {
    const std::size_t words = message.size() / word_bytes;
    if (message.size() > small_bytes) {
        fill_words(message.data(), words, sequence);
    } else {
        for_each_of_few(words, [&](std::size_t i) {
            const std::uint64_t value = word(sequence, i);
            std::memcpy(message.data() + i * word_bytes, &value, word_bytes);
        });
    }
    fill_rest(message, words, sequence);
}

/// Likewise, and with the stores that the endpoint wants.
inline void fill(Bytes message, std::uint64_t sequence, Stores stores) {
    if (stores == Stores::plain)
        fill(message, sequence);
    else
        fill_non_temporal(message, sequence);
}

/// Whether `message` is what fill made of this sequence number.
inline bool check(View message, std::uint64_t sequence) {
    const std::size_t words = message.size() / word_bytes;
    std::uint64_t wrong = 0;
    if (message.size() > small_bytes) {
        if (!check_words(message.data(), words, sequence)) return false;
    } else {
        for_each_of_few(words, [&](std::size_t i) {
            std::uint64_t value = 0;
            std::memcpy(&value, message.data() + i * word_bytes, word_bytes);
            wrong |= value ^ word(sequence, i);
        });
    }
    if (message.size() % word_bytes == 0) return wrong == 0;
    const std::uint64_t last = word(sequence, words);
    return wrong == 0 && std::memcmp(&last, message.data() + words * word_bytes,
                                     message.size() % word_bytes) == 0;
}

/// What the kernels cost on one message of this size, warm: the median over batches.
struct Cost {
    double fill_ns;
    double check_ns;
};
Cost measure_cost(std::size_t size_bytes);

}  // namespace payload
}  // namespace ipclab
