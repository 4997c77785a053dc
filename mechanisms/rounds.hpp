// Rounds: how a message crosses that is larger than the mechanism can hold.
//
// It is cut into fragments of the largest size that travels whole. The first begins with the length
// of the message; the receiver puts the fragments together until it has that many bytes. Every
// message costs at least one copy more than the mechanism's own, on either side.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/error.hpp"

#include <vector>

namespace ipclab {

template <class E>
class Rounds {
    using Length = std::uint64_t;

  public:
    explicit Rounds(E& endpoint)
        : endpoint_(endpoint),
          fragment_bytes_(fragment_bytes(endpoint)),
          out_(fragment_bytes_),
          in_(fragment_bytes_) {}

    /// How many fragments a message of `bytes` travels in.
    static std::size_t count(const E& endpoint, std::size_t bytes) {
        const std::size_t fragment = fragment_bytes(endpoint);
        return (sizeof(Length) + bytes + fragment - 1) / fragment;
    }

    void send(View out) {
        const Length length = out.size();
        std::size_t header_bytes = sizeof length;
        do {
            const std::size_t body_bytes = std::min(out.size(), fragment_bytes_ - header_bytes);
            put(endpoint_, Bytes(out_).first(header_bytes + body_bytes), [&](Bytes fragment) {
                std::memcpy(fragment.data(), &length, header_bytes);
                if (body_bytes > 0)
                    std::memcpy(fragment.data() + header_bytes, out.data(), body_bytes);
            });
            out = out.subspan(body_bytes);
            header_bytes = 0;
        } while (!out.empty());
    }

    std::size_t receive(Bytes in) {
        Length length = 0;
        std::size_t received = 0;
        std::size_t header_bytes = sizeof length;
        do {
            get(endpoint_, in_, [&](View fragment) {
                if (fragment.size() < header_bytes)
                    throw Refused("receive", "a first fragment without a length");
                std::memcpy(&length, fragment.data(), header_bytes);
                const View body = fragment.subspan(header_bytes);
                if (length > in.size() || body.size() > length - received)
                    throw Refused("receive", "fragments of a message that does not fit the buffer");
                if (!body.empty()) std::memcpy(in.data() + received, body.data(), body.size());
                received += body.size();
            });
            header_bytes = 0;
        } while (received < length);
        return length;
    }
    void flush() { ipclab::flush(endpoint_); }

  private:
    /// Never less than a header and a byte; never more than is worth a buffer.
    static std::size_t fragment_bytes(const E& endpoint) {
        return std::clamp(endpoint.message_bytes_max(), sizeof(Length) + 1, std::size_t{1} << 26);
    }

    E& endpoint_;
    std::size_t fragment_bytes_;
    std::vector<std::byte> out_;
    std::vector<std::byte> in_;
};

}  // namespace ipclab
