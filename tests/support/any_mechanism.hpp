// The catalogue with its types forgotten, so that a test is compiled once and not once a mechanism.
// Nothing here is timed.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <cstdint>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab::test {

/// How an endpoint that lends is used; one that copies has one manner only.
enum class Manner { as_it_is, staged };

class AnyEndpoint {
  public:
    using Fill = std::function<void(Bytes)>;
    using Use = std::function<void(View)>;

    AnyEndpoint() = default;
    AnyEndpoint(const AnyEndpoint&) = delete;
    AnyEndpoint& operator=(const AnyEndpoint&) = delete;
    virtual ~AnyEndpoint() = default;

    [[nodiscard]] virtual std::size_t message_bytes_max() const = 0;
    [[nodiscard]] virtual std::size_t capacity_bytes() const = 0;
    [[nodiscard]] virtual bool lends() const = 0;

    /// ipclab::put, with a flush, and ipclab::get; in rounds if `scratch` is larger than what
    /// travels whole. One that carries no payload notifies and waits, whatever is put.
    virtual void put(Bytes scratch, Manner manner, const Fill& fill) = 0;
    virtual void get(Bytes scratch, Manner manner, const Use& use) = 0;
    /// Likewise without a flush, and the flush.
    virtual void put_later(Bytes scratch, Manner manner, const Fill& fill) = 0;
    virtual void flush() = 0;

    /// The bare endpoint's send, or Staged's, and a flush; nothing is cut into rounds.
    virtual void send(View message) = 0;
    virtual std::size_t receive(Bytes buffer) = 0;

    /// Where whole messages are our own framing: the descriptors of the stream of bytes below.
    struct Stream {
        int input;
        int output;
    };
    [[nodiscard]] virtual std::optional<Stream> stream() const = 0;

    /// The largest message that certainly finds room in an empty mechanism.
    [[nodiscard]] std::size_t largest_message() const {
        return std::min(message_bytes_max(), capacity_bytes());
    }
    /// How many of those.
    [[nodiscard]] std::size_t largest_messages() const {
        return capacity_bytes() / largest_message();
    }
};

class AnyMechanism {
  public:
    AnyMechanism() = default;
    AnyMechanism(const AnyMechanism&) = delete;
    AnyMechanism& operator=(const AnyMechanism&) = delete;
    virtual ~AnyMechanism() = default;

    virtual std::unique_ptr<AnyEndpoint> attach(Role role) = 0;
    virtual void stand_aside() = 0;
    /// Empty where the mechanism is not Addressed.
    [[nodiscard]] virtual Address address() const = 0;
};

/// One mechanism of the catalogue.
struct Entry {
    Facts facts;
    bool addressed;
    bool sender_copies, sender_lends, receiver_copies, receiver_lends;  ///< as its endpoint's type
    bool notifies;                                                      ///< likewise
    std::unique_ptr<AnyMechanism> (*create)(const Needs& needs);
    std::unique_ptr<AnyMechanism> (*open)(const Address& where, const Needs& needs);
};

/// Why the contract of messages does not hold for this one; nothing where it does.
std::optional<std::string> why_exempt_from_messages(const Entry& entry);

/// Why this machine cannot make one; nothing where it can.
std::optional<std::string> why_impossible(const Entry& entry);

/// All of them, in the catalogue's order.
const std::vector<Entry>& catalog();
/// Those of which something holds.
std::vector<Entry> catalog_where(const std::function<bool(const Entry&)>& holds);
/// Throws std::runtime_error for an unknown name.
const Entry& entry_of(std::string_view name);

/// For INSTANTIATE_TEST_SUITE_P: "spsc-ring/futex" becomes "spsc_ring_futex".
std::string test_name(const testing::TestParamInfo<Entry>& info);
void PrintTo(const Entry& entry, std::ostream* out);  // NOLINT(readability-identifier-naming)

}  // namespace ipclab::test
