// Compiled once per family of mechanisms, which IPCLAB_FAMILY names and IPCLAB_FAMILY_HEADER lists.
#include "mechanisms/rounds.hpp"
#include "tests/support/any_mechanism.hpp"

#include IPCLAB_FAMILY_HEADER

#include <fmt/format.h>
#include <stdexcept>

namespace ipclab::IPCLAB_FAMILY {
namespace {

using namespace ipclab::test;

template <class M>
class EndpointOfItsType final : public AnyEndpoint {
    using E = EndpointOf<M>;
    static constexpr bool lends_somewhere = LendingSender<E> || LendingReceiver<E>;

  public:
    EndpointOfItsType(M& mechanism, Role role) : endpoint_(mechanism.attach(role)) {}

    [[nodiscard]] std::size_t message_bytes_max() const override {
        if constexpr (Notifying<E>)
            return 0;
        else
            return endpoint_.message_bytes_max();
    }
    [[nodiscard]] std::size_t capacity_bytes() const override {
        if constexpr (Notifying<E>)
            return 0;
        else
            return endpoint_.capacity_bytes();
    }
    [[nodiscard]] bool lends() const override { return lends_somewhere; }

    void put(Bytes scratch, Manner manner, const Fill& fill) override {
        put_later(scratch, manner, fill);
        flush();
    }
    void flush() override { ipclab::flush(endpoint_); }
    void put_later(Bytes scratch, Manner manner, const Fill& fill) override {
        if constexpr (Notifying<E>) {
            fill({});
            endpoint_.notify();
        } else {
            in_manner(manner, [&](auto& endpoint) {
                if (scratch.size() <= message_bytes_max()) {
                    ipclab::put(endpoint, scratch, fill);
                } else {
                    fill(scratch);
                    Rounds(endpoint).send(scratch);
                }
            });
        }
    }
    void get(Bytes scratch, Manner manner, const Use& use) override {
        if constexpr (Notifying<E>) {
            endpoint_.wait();
            use({});
        } else {
            in_manner(manner, [&](auto& endpoint) {
                if (scratch.size() <= message_bytes_max())
                    return ipclab::get(endpoint, scratch, use);
                use(scratch.first(Rounds(endpoint).receive(scratch)));
            });
        }
    }
    void send(View message) override {
        in_manner(Manner::staged, [&](auto& endpoint) {
            if constexpr (requires { endpoint.send(message); }) {
                endpoint.send(message);
                ipclab::flush(endpoint);
            }
        });
    }
    std::size_t receive(Bytes buffer) override {
        std::size_t size = 0;
        in_manner(Manner::staged, [&](auto& endpoint) {
            if constexpr (requires { endpoint.receive(buffer); }) size = endpoint.receive(buffer);
        });
        return size;
    }
    [[nodiscard]] std::optional<Stream> stream() const override {
        if constexpr (requires { endpoint_.stream(); })
            return Stream{endpoint_.stream().input(), endpoint_.stream().output()};
        else
            return std::nullopt;
    }

  private:
    void in_manner(Manner manner, auto&& use) {
        if constexpr (lends_somewhere) {
            if (manner == Manner::staged) {
                Staged<E> staged{endpoint_};
                return use(staged);
            }
        }
        use(endpoint_);
    }

    E endpoint_;
};

template <class M>
class MechanismOfItsType final : public AnyMechanism {
  public:
    explicit MechanismOfItsType(const Needs& needs) : mechanism_(M::create(needs)) {}
    MechanismOfItsType(const Address& where, const Needs& needs) requires Addressed<M>
        : mechanism_(M::open(where, needs)) {}

    std::unique_ptr<AnyEndpoint> attach(Role role) override {
        return std::make_unique<EndpointOfItsType<M>>(mechanism_, role);
    }
    void stand_aside() override { ipclab::stand_aside(mechanism_); }
    [[nodiscard]] Address address() const override {
        if constexpr (Addressed<M>)
            return mechanism_.address();
        else
            return {};
    }

  private:
    M mechanism_;
};

template <class M>
Entry entry() {
    using E = EndpointOf<M>;
    return {
        .facts = M::facts,
        .addressed = Addressed<M>,
        .sender_copies = CopyingSender<E>,
        .sender_lends = LendingSender<E>,
        .receiver_copies = CopyingReceiver<E>,
        .receiver_lends = LendingReceiver<E>,
        .notifies = Notifying<E>,
        .create = [](const Needs& needs) -> std::unique_ptr<AnyMechanism> {
            return std::make_unique<MechanismOfItsType<M>>(needs);
        },
        .open = [](const Address& where, const Needs& needs) -> std::unique_ptr<AnyMechanism> {
            if constexpr (Addressed<M>)
                return std::make_unique<MechanismOfItsType<M>>(where, needs);
            else
                throw std::runtime_error(fmt::format("{} has no address", M::facts.name));
        },
    };
}

}  // namespace

std::vector<Entry> entries() {
    std::vector<Entry> made;
    Family::for_each([&]<class M>() { made.push_back(entry<M>()); });
    return made;
}

}  // namespace ipclab::IPCLAB_FAMILY
