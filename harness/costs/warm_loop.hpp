// For work on memory that takes less time than looking at the clock.
#pragma once

#include "harness/pattern.hpp"

namespace ipclab {

/// The mean time of a call, in ns, over as many as move 256 KiB together: some microseconds, of
/// which the clock takes one per cent. `call` returns the memory that it has worked on.
double mean_ns(std::size_t size_bytes, auto&& call) {
    const std::size_t calls = 1 + (std::size_t{256} << 10) / std::max<std::size_t>(size_bytes, 1);
    const std::int64_t start_ns = now_ns();
    for (std::size_t i = 0; i < calls; ++i) {
        // The compiler must not see that the same bytes are worked on again and again.
        asm volatile("" : : "r"(call()) : "memory");
    }
    return static_cast<double>(now_ns() - start_ns) / static_cast<double>(calls);
}

}  // namespace ipclab
