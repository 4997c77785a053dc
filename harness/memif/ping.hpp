// `ipclab memif ping`: ping(8) on a memif interface, without a kernel in between.
#pragma once

#include "harness/memif/packets.hpp"
#include "mechanisms/rings/memif/interface.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace ipclab {

struct PingOptions {
    memif::Options interface;
    memif::Mode mode = memif::Mode::interrupt;
    Ipv4Address target{};
    Ipv4Address own{};
    MacAddress own_mac{};
    std::optional<std::uint64_t> count;  ///< nothing: until a signal
    std::chrono::nanoseconds interval{
        std::chrono::seconds(1)};                              ///< 0: at each reply, or after 10 ms
    std::size_t data_bytes = 56;                               ///< at most echo_data_bytes_max
    std::chrono::nanoseconds linger{std::chrono::seconds(1)};  ///< for the last reply
    std::chrono::nanoseconds connect_timeout{std::chrono::seconds(10)};
    bool quiet = false;  ///< only the summary
};

/// Returns the exit status of ping(8): 0 where a reply came, 1 where none did. Throws TimedOut or
/// Refused where there was no connection in time.
int run_ping(const PingOptions& options);

}  // namespace ipclab
