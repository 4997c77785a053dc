// Names put together by the compiler: "posix-shm/" and "futex" are "posix-shm/futex".
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace ipclab {

/// The parts are objects with static storage duration, such as static members.
template <const std::string_view&... parts>
class Joined {
    static constexpr auto characters = [] {
        std::array<char, (parts.size() + ...)> all{};
        auto* at = all.data();
        ((at = std::copy(parts.begin(), parts.end(), at)), ...);
        return all;
    }();

  public:
    static constexpr std::string_view view{characters.data(), characters.size()};
};

}  // namespace ipclab
