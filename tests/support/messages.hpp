// Messages that can be told from one another, and the two halves of a conversation about them.
#pragma once

#include "tests/support/any_mechanism.hpp"

#include <cstdint>
#include <vector>

namespace ipclab::test {

/// Any number in, one that looks random out (a step of SplitMix64; Steele, Lea and Flood 2014).
std::uint64_t scramble(std::uint64_t x);

void write_message(Bytes out, std::uint64_t number);
/// Throws unless `in` is message `number`, of `size` bytes.
void expect_message(View in, std::size_t size, std::uint64_t number);

/// Sends messages that tell their number.
class Speaker {
  public:
    explicit Speaker(AnyEndpoint& endpoint) : endpoint_(endpoint) {}
    void say(std::size_t size, Manner manner = Manner::as_it_is);
    /// Likewise without a flush, and the flush.
    void say_later(std::size_t size, Manner manner = Manner::as_it_is);
    void flush() { endpoint_.flush(); }
    [[nodiscard]] std::uint64_t said() const { return next_; }

  private:
    AnyEndpoint& endpoint_;
    std::vector<std::byte> buffer_;
    std::uint64_t next_ = 0;
};

/// Hears them, and throws at the first that is not what was said. Listens into a buffer that fits,
/// or one that is larger, by turns.
class Listener {
  public:
    explicit Listener(AnyEndpoint& endpoint) : endpoint_(endpoint) {}
    void hear(std::size_t size, Manner manner = Manner::as_it_is);
    [[nodiscard]] std::uint64_t heard() const { return next_; }

  private:
    AnyEndpoint& endpoint_;
    std::vector<std::byte> buffer_;
    std::uint64_t next_ = 0;
};

}  // namespace ipclab::test
