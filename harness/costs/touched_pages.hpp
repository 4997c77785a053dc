// A word of each page: the least that makes the kernel enter the page in the page table.
#pragma once

#include "mechanisms/os/mapping.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace ipclab {

/// The largest message that is measured.
inline constexpr std::size_t transfer_bytes_max = std::size_t{64} << 20;

/// The whole pages that a message of this size lies in, in bytes.
inline std::size_t paged_bytes(std::size_t size_bytes) {
    return round_up(std::max<std::size_t>(size_bytes, 1), page_bytes());
}

namespace detail {

/// Were it always the first word, then the words of all pages would fall into the same few sets of
/// the cache, and push one another out: the touch would cost a cache miss as well.
template <class Word>
Word& word_of_page(std::size_t page, Word* start, std::size_t bytes_a_page) {
    constexpr std::size_t line_bytes = 64;
    constexpr std::size_t lines_a_page = 64;
    const std::size_t offset_bytes = page * bytes_a_page + page % lines_a_page * line_bytes;
    return start[offset_bytes / sizeof(Word)];
}

}  // namespace detail

/// `bytes` is a multiple of `bytes_a_page`.
inline void read_each_page(const void* memory, std::size_t bytes, std::size_t bytes_a_page) {
    const auto* words = static_cast<const volatile std::uint64_t*>(memory);
    for (std::size_t page = 0; page < bytes / bytes_a_page; ++page)
        [[maybe_unused]] const std::uint64_t word = detail::word_of_page(page, words, bytes_a_page);
}

inline void write_each_page(void* memory, std::size_t bytes, std::size_t bytes_a_page) {
    auto* words = static_cast<volatile std::uint64_t*>(memory);
    for (std::size_t page = 0; page < bytes / bytes_a_page; ++page)
        detail::word_of_page(page, words, bytes_a_page) = page;
}

}  // namespace ipclab
