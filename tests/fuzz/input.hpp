// A fuzzer's bytes, read as decisions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

namespace ipclab::fuzz {

/// Ends the program, with its place in the trace, where something does not hold that must.
#define MUST_HOLD(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);    \
            std::abort();                                                                          \
        }                                                                                          \
    } while (false)

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

    [[nodiscard]] bool empty() const { return left_.empty(); }

    /// Zero, or the zeroes that are missing, where nothing is left.
    template <class Number>
    Number take() {
        Number number{};
        std::memcpy(&number, left_.data(), std::min(sizeof number, left_.size()));
        left_ = left_.subspan(std::min(sizeof number, left_.size()));
        return number;
    }
    std::uint8_t byte() { return take<std::uint8_t>(); }
    /// From `low` to `high`, both of them possible.
    template <class Number>
    Number between(Number low, Number high) {
        return static_cast<Number>(low + take<Number>() % (high - low + 1));
    }
    /// At most so many.
    std::span<const std::uint8_t> bytes(std::size_t size) {
        const auto taken = left_.first(std::min(size, left_.size()));
        left_ = left_.subspan(taken.size());
        return taken;
    }

  private:
    std::span<const std::uint8_t> left_;
};

}  // namespace ipclab::fuzz
