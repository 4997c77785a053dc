// Stores that go past the caches (MOVNT).
//
// A plain store first fetches the line that it writes to, then leaves it dirty in this core's
// cache, where the reader has to come for it. A non-temporal store gathers whole lines and sends
// them to memory without fetching them. That is the slower way for cores that share an L3, and the
// faster for large messages between cores that do not.
//
// Such stores obey no order but that of a fence: whoever publishes what they wrote says SFENCE
// first (Intel SDM vol. 1, 10.4.6.2; AMD64 APM vol. 2, 7.4). Only whole lines are sent past the
// cache; at both ends of a message, the part of a line that it shares with others is stored
// plainly.
#pragma once

#include "mechanisms/os/bytes.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <emmintrin.h>

namespace ipclab {

/// How a message is stored into memory that both processes see. Non-temporal stores go past the
/// caches; whoever publishes the message orders them first.
enum class Stores { plain, non_temporal };

/// What of `message` are whole lines; before and after lie at most 63 bytes each.
struct WholeLines {
    std::size_t begin;
    std::size_t end;

    explicit WholeLines(Bytes message) {
        constexpr std::size_t line = 64;
        const auto address = reinterpret_cast<std::uintptr_t>(message.data());
        begin = std::min((line - address % line) % line, message.size());
        end = begin + (message.size() - begin) / line * line;
    }
};

/// memcpy(3) past the caches; to be followed by a fence before the copy is published.
inline void copy_non_temporal(Bytes to, View from) {
    const WholeLines lines(to.first(from.size()));
    std::memcpy(to.data(), from.data(), lines.begin);
    for (std::size_t at = lines.begin; at < lines.end; at += sizeof(__m128i))
        _mm_stream_si128(reinterpret_cast<__m128i*>(to.data() + at),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(from.data() + at)));
    std::memcpy(to.data() + lines.end, from.data() + lines.end, from.size() - lines.end);
}

/// `to` must be at least as large as `from`.
inline void copy(Bytes to, View from, Stores stores) {
    if (stores == Stores::non_temporal)
        copy_non_temporal(to, from);
    else if (!from.empty())
        std::memcpy(to.data(), from.data(), from.size());
}

}  // namespace ipclab
