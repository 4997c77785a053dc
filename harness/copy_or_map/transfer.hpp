// One message, from one process to another, whole: by copying it, or by mapping the memory that it
// is in.
#pragma once

#include "harness/cell.hpp"
#include "harness/row.hpp"
#include "harness/session.hpp"
#include "mechanisms/mechanism.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// How the message comes across.
enum class Way {
    copy,             ///< a mechanism of the catalogue carries it, and copies it
    persistent,       ///< both have the memory mapped all the time
    receiver_remaps,  ///< the receiver maps it, reads, and unmaps it after so many messages
    receiver_remaps_populated,  ///< likewise, with all pages entered at once (MAP_POPULATE)
    sender_remaps,              ///< the sender maps it, writes, and unmaps it
    sender_remaps_populated,
    fresh_object,  ///< the sender makes an object for each message, and passes its descriptor
};

inline constexpr std::array ways{Way::copy,
                                 Way::persistent,
                                 Way::receiver_remaps,
                                 Way::receiver_remaps_populated,
                                 Way::sender_remaps,
                                 Way::sender_remaps_populated,
                                 Way::fresh_object};

constexpr std::string_view name_of(Way way) {
    switch (way) {
    case Way::copy:
        return "copy";
    case Way::persistent:
        return "persistent";
    case Way::receiver_remaps:
        return "receiver-remaps";
    case Way::receiver_remaps_populated:
        return "receiver-remaps/populated";
    case Way::sender_remaps:
        return "sender-remaps";
    case Way::sender_remaps_populated:
        return "sender-remaps/populated";
    case Way::fresh_object:
        break;
    }
    return "fresh-object";
}

/// Whether a mapping is used for a number of messages and then made anew.
constexpr bool remaps(Way way) {
    return way == Way::receiver_remaps || way == Way::receiver_remaps_populated ||
           way == Way::sender_remaps || way == Way::sender_remaps_populated;
}

struct Transfer {
    Way way = Way::copy;
    std::string mechanism{};  ///< that copies; empty for what maps
    /// Of both sides: sleeps or spins. That of a copy is its mechanism's.
    Waiting waiting = Waiting::sleeps;
    /// How many messages a mapping is used for; 0 where nothing is mapped anew, 1 for a fresh
    /// object.
    std::uint64_t messages_per_mapping = 0;
    std::size_t size_bytes = 0;
    Placement placement = Placement::two_cpus;
    /// "a" or "b" where one transfer is measured under two names; else empty.
    std::string arm{};

    bool operator==(const Transfer&) const = default;
};

/// Why this transfer is not measured here; nothing where it is. `cpus` as reason_to_skip()'s.
std::optional<std::string> reason_to_skip(const Transfer& transfer, std::size_t cpus);

/// A row without figures.
Row transfer_row_without_figures(const Transfer& transfer, const Conditions& conditions, int round,
                                 RowStatus status, const std::string& reason);

/// One pair of processes that send such messages to and fro, one at a time: a row of type
/// "transfer". Its figure, "transfer_ns", is half the median round trip, each sample a whole number
/// of mappings' lives; its parts, "phases_ns", come from a leg that is stamped (stamped.hpp).
/// Skipped and failed as measure() tells. Throws Interrupted.
Row measure_transfer(const Transfer& transfer, const Conditions& conditions, int round, int attempt,
                     SessionMemory& memory);

}  // namespace ipclab
