#include "tests/support/any_mechanism.hpp"

#include "mechanisms/catalog.hpp"
#include "mechanisms/rounds.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <iterator>
#include <stdexcept>

namespace ipclab::test {
namespace {

template <class M>
class EndpointOfItsType final : public AnyEndpoint {
    using E = EndpointOf<M>;
    static constexpr bool lends_both_ways = LendingSender<E> && LendingReceiver<E>;

  public:
    EndpointOfItsType(M& mechanism, Role role) : endpoint_(mechanism.attach(role)) {}

    [[nodiscard]] std::size_t message_bytes_max() const override {
        return endpoint_.message_bytes_max();
    }
    [[nodiscard]] std::size_t capacity_bytes() const override { return endpoint_.capacity_bytes(); }
    [[nodiscard]] bool lends() const override { return lends_both_ways; }

    void put(Bytes scratch, Manner manner, const Fill& fill) override {
        in_manner(manner, [&](auto& endpoint) {
            if (scratch.size() <= message_bytes_max()) return ipclab::put(endpoint, scratch, fill);
            fill(scratch);
            Rounds(endpoint).send(scratch);
        });
    }
    void get(Bytes scratch, Manner manner, const Use& use) override {
        in_manner(manner, [&](auto& endpoint) {
            if (scratch.size() <= message_bytes_max()) return ipclab::get(endpoint, scratch, use);
            use(scratch.first(Rounds(endpoint).receive(scratch)));
        });
    }
    void send(View message) override {
        in_manner(Manner::staged, [&](auto& endpoint) {
            if constexpr (requires { endpoint.send(message); }) endpoint.send(message);
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
        if constexpr (lends_both_ways) {
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

const std::vector<Entry>& catalog() {
    static const std::vector<Entry> entries = [] {
        std::vector<Entry> made;
        Catalog::for_each([&]<class M>() { made.push_back(entry<M>()); });
        return made;
    }();
    return entries;
}

std::vector<Entry> catalog_where(const std::function<bool(const Entry&)>& holds) {
    std::vector<Entry> found;
    std::copy_if(catalog().begin(), catalog().end(), std::back_inserter(found), holds);
    return found;
}

const Entry& entry_of(std::string_view name) {
    for (const Entry& entry : catalog())
        if (entry.facts.name == name) return entry;
    throw std::runtime_error(fmt::format("no mechanism is called {}", name));
}

std::string test_name(const testing::TestParamInfo<Entry>& info) {
    std::string name(info.param.facts.name);
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    return name;
}

void PrintTo(const Entry& entry, std::ostream* out) { *out << entry.facts.name; }

}  // namespace ipclab::test
