// Memory of a caller's: what it may write, and what it may read.
#pragma once

#include <cstddef>
#include <span>

namespace ipclab {

using Bytes = std::span<std::byte>;
using View = std::span<const std::byte>;

}  // namespace ipclab
