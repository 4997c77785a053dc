// Private memory for a message, at the same place in its page every time.
//
// A copy whose destination lies 8 bytes further into its page than its source can take four times
// as long as any other: loads are held up by stores, just made, whose addresses end in the same 12
// bits ("4 KiB aliasing"). Large blocks from malloc(3) begin 16 bytes into a page, and the first
// page of a pipe or a segment holds 8 bytes of length before the payload: just that. Reading 1 MiB
// out of a pipe then took 380 µs, and takes 100 µs from anywhere else in the page. So where a
// message lies is not left to chance.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/mapping.hpp"

#include <vector>

namespace ipclab {

/// Zeroed at first, so that no use of it finds a page missing.
class MessageBuffer {
    /// Far from the beginning of a page, where the kernel's and everybody's copies begin.
    static constexpr std::size_t place_in_page = 256;

  public:
    MessageBuffer() = default;
    MessageBuffer(const MessageBuffer&) = delete;
    MessageBuffer& operator=(const MessageBuffer&) = delete;
    ~MessageBuffer() = default;

    /// Its contents are lost where the size changes.
    void resize(std::size_t size_bytes) {
        if (size_bytes == bytes_.size()) return;
        memory_.assign(size_bytes + page_bytes(), std::byte{0});
        const std::size_t found = reinterpret_cast<std::uintptr_t>(memory_.data()) % page_bytes();
        const std::size_t skipped = (page_bytes() + place_in_page - found) % page_bytes();
        bytes_ = Bytes(memory_).subspan(skipped, size_bytes);
    }
    [[nodiscard]] Bytes bytes() const { return bytes_; }

  private:
    std::vector<std::byte> memory_;
    Bytes bytes_;
};

}  // namespace ipclab
