// What is measured: one cell of a scenario's table.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ipclab {

enum class Pattern {
    ping_pong,  ///< a message there and one of the same size back, one at a time
    stream,     ///< one way, as fast as the receiver consumes
    lifecycle,  ///< create, attach, first message, detach, destroy: each step once
};
enum class Access {
    copy,  ///< the message is made and read in private memory, and copied to and from the mechanism
    in_place,  ///< it is made and read in the memory that both processes share
};
enum class Placement { same_cpu, two_cpus };

inline constexpr std::array patterns{Pattern::ping_pong, Pattern::stream, Pattern::lifecycle};
inline constexpr std::array accesses{Access::copy, Access::in_place};
inline constexpr std::array placements{Placement::same_cpu, Placement::two_cpus};
inline constexpr std::array all_stores{Stores::plain, Stores::non_temporal};

constexpr std::string_view name_of(Pattern p) {
    switch (p) {
    case Pattern::ping_pong:
        return "ping_pong";
    case Pattern::stream:
        return "stream";
    case Pattern::lifecycle:
        break;
    }
    return "lifecycle";
}
constexpr std::string_view name_of(Access a) { return a == Access::copy ? "copy" : "in_place"; }
constexpr std::string_view name_of(Placement p) {
    return p == Placement::same_cpu ? "same_cpu" : "two_cpus";
}
constexpr std::string_view name_of(Stores s) {
    return s == Stores::plain ? "plain" : "non-temporal";
}

struct Cell {
    std::string mechanism;
    Pattern pattern = Pattern::ping_pong;
    std::size_t size_bytes = 0;  ///< 0 where the mechanism carries no payload
    Access access = Access::copy;
    Placement placement = Placement::two_cpus;
    std::size_t capacity_bytes = 0;  ///< asked of the mechanism; 0: its default
    /// Asked of the mechanism, to be handed over together; 0: its default. A ping-pong sends so
    /// many there before it sends as many back.
    std::size_t batch_messages = 0;
    std::optional<Stores> stores{};  ///< asked of the mechanism; nothing: its default

    bool operator==(const Cell&) const = default;

    /// Messages each way in an exchange of a ping-pong.
    [[nodiscard]] std::size_t messages_per_exchange() const {
        return pattern == Pattern::ping_pong && batch_messages > 0 ? batch_messages : 1;
    }
};

}  // namespace ipclab
