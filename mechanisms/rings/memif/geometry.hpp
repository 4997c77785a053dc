// How many buffers a memif ring of ours has, and how large they are.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/rings/memif/data_path.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace ipclab {

/// How many buffers, and how large, for what is asked.
struct MemifGeometry {
    unsigned log2_ring_size;
    std::uint16_t buffer_bytes;

    static constexpr std::size_t slots_max = std::size_t{1} << memif::log2_ring_size_max;
    static constexpr std::size_t padding_bytes = 1;

    /// Throws LimitReached where no ring has room for so much.
    static MemifGeometry of(const Needs& needs) {
        constexpr std::size_t default_capacity_bytes = std::size_t{2} << 20;
        const std::size_t at_least =
            (needs.capacity_bytes + slots_max - 1) / slots_max;  // with as many slots as can be
        if (at_least + padding_bytes > memif::slot_bytes_max)
            throw LimitReached(
                "attach", "a memif ring",
                fmt::format("at most {} buffers of {} bytes", slots_max, memif::slot_bytes_max),
                "ask for less");
        const std::size_t buffer =
            buffer_for(std::max({needs.message_bytes_max, at_least, std::size_t{1}}),
                       needs.message_bytes_max == 0 && at_least <= default_buffer_bytes);
        const std::size_t capacity =
            needs.capacity_bytes > 0 ? needs.capacity_bytes : default_capacity_bytes;
        const std::size_t message = buffer - padding_bytes;
        const std::size_t slots =
            std::max((capacity + message - 1) / message, std::min(needs.batch_messages, slots_max));
        const std::size_t enough =
            needs.capacity_bytes > 0 ? slots : std::min(slots, slots_by_default);
        return {static_cast<unsigned>(
                    std::bit_width(std::bit_ceil(std::max(enough, std::size_t{2}))) - 1),
                static_cast<std::uint16_t>(buffer)};
    }

  private:
    static constexpr std::size_t default_buffer_bytes = 2048;
    static constexpr std::size_t slots_by_default = 1024;

    /// Whole cache lines, unless the last possible bytes are asked for.
    static std::size_t buffer_for(std::size_t message, bool any) {
        constexpr std::size_t line = 64;
        constexpr std::size_t whole_lines_max = memif::slot_bytes_max / line * line;
        if (any) return default_buffer_bytes;
        const std::size_t wanted = round_up(message + padding_bytes, line);
        if (wanted <= whole_lines_max) return wanted;
        return message + padding_bytes <= memif::slot_bytes_max ? memif::slot_bytes_max
                                                                : whole_lines_max;
    }
};

}  // namespace ipclab
