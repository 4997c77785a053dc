// Rounds: how a message crosses that is larger than the mechanism can hold.
//
// It is cut into fragments of the largest size that travels whole. The first begins with the length
// of the message; the receiver puts the fragments together until it has that many bytes. Where the
// mechanism copies, it does so from and to the message itself, but for the first fragment, and for
// a last one that leaves no room for a whole fragment.
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
            send_fragment(View(std::as_bytes(std::span(&length, 1))).first(header_bytes),
                          out.first(body_bytes));
            out = out.subspan(body_bytes);
            header_bytes = 0;
        } while (!out.empty());
    }

    std::size_t receive(Bytes in) {
        Length length = 0;
        std::size_t received = 0;
        get(endpoint_, in_, [&](View fragment) {
            if (fragment.size() < sizeof length)
                throw Refused("receive", "a first fragment without a length");
            std::memcpy(&length, fragment.data(), sizeof length);
            if (length > in.size()) throw Refused::too_small("receive", length, in.size());
            received = append(fragment.subspan(sizeof length), in.first(length));
        });
        while (received < length)
            received += receive_fragment(in.subspan(received, length - received));
        return length;
    }
    void flush() { ipclab::flush(endpoint_); }
    /// How many messages, of several fragments each, become visible together; at least one.
    [[nodiscard]] std::size_t publish_every(std::size_t message_bytes) const {
        return std::max<std::size_t>(1, ipclab::publish_every(endpoint_, fragment_bytes_) /
                                            count(endpoint_, message_bytes));
    }
    [[nodiscard]] auto counters() const { return counters_of(endpoint_); }

  private:
    void send_fragment(View header, View body) {
        if constexpr (CopyingSender<E>)
            if (header.empty()) return endpoint_.send(body);
        put(endpoint_, Bytes(out_).first(header.size() + body.size()), [&](Bytes fragment) {
            if (!header.empty()) std::memcpy(fragment.data(), header.data(), header.size());
            if (!body.empty())
                std::memcpy(fragment.data() + header.size(), body.data(), body.size());
        });
    }

    /// Receives a fragment after the first to where the message misses `rest`.
    std::size_t receive_fragment(Bytes rest) {
        if constexpr (CopyingReceiver<E>)
            if (rest.size() >= fragment_bytes_)
                return endpoint_.receive(rest.first(fragment_bytes_));
        return get(endpoint_, in_, [&](View fragment) { return append(fragment, rest); });
    }

    static std::size_t append(View body, Bytes rest) {
        if (body.size() > rest.size())
            throw Refused("receive", "more fragments than the message is long");
        if (!body.empty()) std::memcpy(rest.data(), body.data(), body.size());
        return body.size();
    }

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
