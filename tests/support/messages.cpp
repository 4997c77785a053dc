#include "tests/support/messages.hpp"

#include <cstring>
#include <fmt/format.h>
#include <stdexcept>

namespace ipclab::test {
namespace {

/// Calls `each(offset, word, bytes)` for the content of message `number`, eight bytes at a time.
void for_each_word(std::size_t size, std::uint64_t number, auto&& each) {
    std::uint64_t word = scramble(number);
    for (std::size_t at = 0; at < size; at += sizeof word, word = word * 0x5851f42d4c957f2d + 1)
        each(at, word, std::min(sizeof word, size - at));
}

/// Room for a message; never a null pointer, and exactly its size at the end of an allocation.
Bytes scratch(std::vector<std::byte>& buffer, std::size_t size) {
    if (buffer.size() < size || buffer.empty()) buffer.resize(size + 1);
    return Bytes(buffer).last(size);
}

}  // namespace

std::uint64_t scramble(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

void write_message(Bytes out, std::uint64_t number) {
    for_each_word(out.size(), number, [&](std::size_t at, std::uint64_t word, std::size_t bytes) {
        std::memcpy(out.data() + at, &word, bytes);
    });
}

void expect_message(View in, std::size_t size, std::uint64_t number) {
    if (in.size() != size)
        throw std::runtime_error(
            fmt::format("message {} has {} bytes, not {}", number, in.size(), size));
    for_each_word(size, number, [&](std::size_t at, std::uint64_t word, std::size_t bytes) {
        if (std::memcmp(in.data() + at, &word, bytes) != 0)
            throw std::runtime_error(
                fmt::format("message {} of {} bytes differs at byte {}", number, size, at));
    });
}

void Speaker::say(std::size_t size, Manner manner) {
    say_later(size, manner);
    flush();
}

void Speaker::say_later(std::size_t size, Manner manner) {
    endpoint_.put_later(scratch(buffer_, size), manner, [&](Bytes out) {
        if (out.size() != size) throw std::runtime_error("room for another size was lent");
        write_message(out, next_);
    });
    ++next_;
}

void Listener::hear(std::size_t size, Manner manner) {
    const std::size_t whole_max = endpoint_.message_bytes_max();
    const std::size_t slack = next_ % 2 == 0 || size > whole_max
                                  ? 0
                                  : std::min<std::size_t>(scramble(next_) % 5000, whole_max - size);
    endpoint_.get(scratch(buffer_, size + slack), manner,
                  [&](View in) { expect_message(in, size, next_); });
    ++next_;
}

}  // namespace ipclab::test
