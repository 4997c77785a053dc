// Whole messages over a stream of bytes.
//
// A pipe or a stream socket does not know where a message ends. So each is preceded by its length,
// in the same system call (writev(2)); the receiver reads length and payload in one call as well,
// into the caller's buffer. Should that bring bytes of the message after, they are kept for the
// next call.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/patience.hpp"

#include <limits>
#include <sys/uio.h>
#include <vector>

namespace ipclab {

/// Sends and receives messages over two descriptors, which may be one and the same, and which it
/// does not own. A blocked call must come back now and then with EINTR or EAGAIN, so that the
/// deadline can be kept (tick.hpp, or SO_RCVTIMEO and SO_SNDTIMEO). Where they do not block at all,
/// calls are repeated at once, and `calls_between_glances` says how often in vain before a look at
/// the clock. After TimedOut in the middle of a message the stream has lost its place: the
/// conversation is over.
class FramedStream {
  public:
    using Length = std::uint64_t;

    FramedStream(int input, int output, std::chrono::milliseconds timeout,
                 int calls_between_glances = 1)
        : input_(input),
          output_(output),
          timeout_(timeout),
          calls_between_glances_(calls_between_glances) {}

    // Inlined by order: left to the compiler, which finds them too large, the calls cost a message
    // of 4 KiB between two processes on one CPU 3 % of its time.
    [[gnu::always_inline]] void send(View out) {
        Length length = out.size();
        iovec parts[] = {{&length, sizeof length},
                         {const_cast<std::byte*>(out.data()), out.size()}};
        std::size_t left = sizeof length + out.size();
        for (;;) {
            const std::size_t written = write_some(parts);
            left -= written;
            if (left == 0) return;
            advance(parts, written);
        }
    }

    [[gnu::always_inline]] std::size_t receive(Bytes in) {
        Length length = 0;
        std::size_t header_bytes = surplus_.take(std::as_writable_bytes(std::span(&length, 1)));
        std::size_t body_bytes = 0;
        while (header_bytes < sizeof length) {
            iovec parts[] = {{reinterpret_cast<std::byte*>(&length) + header_bytes,
                              sizeof length - header_bytes},
                             {in.data(), in.size()}};
            const std::size_t got = read_some(parts, 2, header_bytes > 0);
            const std::size_t of_header = std::min(got, sizeof length - header_bytes);
            header_bytes += of_header;
            body_bytes = got - of_header;
        }
        if (length > in.size()) throw Refused::too_small("receive", length, in.size());
        if (body_bytes == 0) body_bytes = surplus_.take(in.first(length));
        while (body_bytes < length) {
            iovec rest = {in.data() + body_bytes, length - body_bytes};
            body_bytes += read_some(&rest, 1, true);
        }
        if (body_bytes > length) surplus_.keep(in.subspan(length, body_bytes - length));
        return length;
    }

    static constexpr std::size_t message_bytes_max() {
        return std::numeric_limits<std::size_t>::max() - sizeof(Length);
    }

    [[nodiscard]] int input() const { return input_; }
    [[nodiscard]] int output() const { return output_; }

  private:
    /// Bytes that were read together with the message before.
    class Surplus {
      public:
        std::size_t take(Bytes to) {
            const std::size_t n = std::min(to.size(), bytes_.size() - taken_);
            if (n > 0) std::memcpy(to.data(), bytes_.data() + taken_, n);
            taken_ += n;
            return n;
        }
        void keep(View more) {
            bytes_.assign(more.begin(), more.end());
            taken_ = 0;
        }

      private:
        std::vector<std::byte> bytes_;
        std::size_t taken_ = 0;
    };

    // Each call may take until the deadline: it limits how long the peer stands still, not how long
    // a large message takes.
    [[gnu::always_inline]] std::size_t write_some(const iovec (&parts)[2]) const {
        Wait wait("send", timeout_);
        for (int in_vain = 1;; ++in_vain) {
            const ssize_t written = ::writev(output_, parts, 2);
            if (written != -1) return static_cast<std::size_t>(written);
            if (errno == EPIPE || errno == ECONNRESET) throw PeerGone("writev", errno);
            pause("writev", wait, in_vain);
        }
    }
    [[gnu::always_inline]] std::size_t read_some(const iovec* parts, int count,
                                                 bool inside_a_message) const {
        Wait wait("receive", timeout_);
        for (int in_vain = 1;; ++in_vain) {
            const ssize_t got = ::readv(input_, parts, count);
            if (got > 0) return static_cast<std::size_t>(got);
            if (got == 0) {
                if (inside_a_message) throw PeerGone("readv");
                throw Closed("readv");
            }
            if (errno == ECONNRESET) throw PeerGone("readv", errno);
            pause("readv", wait, in_vain);
        }
    }

    void pause(const char* call, Wait& wait, int& in_vain) const {
        if (errno != EINTR && errno != EAGAIN) throw SystemError(call, errno);
        if (in_vain < calls_between_glances_) return;
        in_vain = 0;
        wait.glance();
    }

    static void advance(iovec (&parts)[2], std::size_t written) {
        for (iovec& part : parts) {
            const std::size_t n = std::min(written, part.iov_len);
            part.iov_base = static_cast<std::byte*>(part.iov_base) + n;
            part.iov_len -= n;
            written -= n;
        }
    }

    int input_;
    int output_;
    std::chrono::milliseconds timeout_;
    int calls_between_glances_;
    Surplus surplus_;
};

}  // namespace ipclab
