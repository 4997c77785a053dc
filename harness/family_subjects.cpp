// Compiled once per family of mechanisms, which IPCLAB_FAMILY names and IPCLAB_FAMILY_HEADER lists.
#include "harness/family_subjects.hpp"

#include IPCLAB_FAMILY_HEADER

namespace ipclab::IPCLAB_FAMILY {
namespace {

template <Mechanism M>
class CatalogSubject : public Subject {
  public:
    explicit CatalogSubject(const Cell& cell)
        : cell_(cell), mechanism_(M::create(needs_of(cell))) {}

    void stand_aside() override { ipclab::stand_aside(mechanism_); }

    void converse(Player& player) override {
        player.before_attach();
        {
            EndpointOf<M> endpoint = mechanism_.attach({.side = player.side()});
            player.after_attach();
            if constexpr (Notifying<EndpointOf<M>>)
                serve(player, endpoint);
            else
                converse_over(endpoint, player);
            player.before_detach();
        }
        player.after_detach();
    }

  private:
    /// A message travels whole, unless less room than that is asked for.
    static Needs needs_of(const Cell& cell) {
        const std::size_t whole_bytes = cell.capacity_bytes == 0
                                            ? cell.size_bytes
                                            : std::min(cell.size_bytes, cell.capacity_bytes);
        return {.message_bytes_max = whole_bytes,
                .capacity_bytes = cell.capacity_bytes,
                .batch_messages = cell.batch_messages,
                .stores = cell.stores};
    }

    template <class E>
    void converse_over(E& endpoint, Player& player) {
        player.report().capacity_bytes = endpoint.capacity_bytes();
        if (cell_.size_bytes > endpoint.message_bytes_max()) {
            if (cell_.access == Access::in_place)
                throw Refused(cell_.mechanism,
                              "a message that travels in rounds is not made in place");
            if (M::facts.delivery == Delivery::may_lose)
                throw Refused(cell_.mechanism,
                              "of a message that travels in rounds it may lose some");
            player.report().fragments = Rounds<E>::count(endpoint, cell_.size_bytes);
            Rounds rounds(endpoint);
            serve(player, rounds);
        } else {
            if constexpr (LendingSender<E> || LendingReceiver<E>)
                if (cell_.access == Access::copy) {
                    Staged<E> staged{endpoint};
                    return serve(player, staged);
                }
            serve(player, endpoint);
        }
    }

    template <class E>
    void serve(Player& player, E& endpoint) {
        player.answer();  // attached
        player.serve([&](const Order& order) {
            if constexpr (!Notifying<E>)
                if (order.variant == stamped_leg)
                    return player.play_stamped(endpoint, cell_.size_bytes, order.leg);
            player.play(endpoint, cell_.pattern, cell_.size_bytes, order.leg);
        });
    }

    Cell cell_;
    M mechanism_;
};

template <Addressed M>
class CatalogLine : public Line {
    using E = EndpointOf<M>;

  public:
    CatalogLine(const Needs& needs, LineEnd end)
        : mechanism_(end == LineEnd::listens ? M::create(needs) : M::open(needs.address, needs)),
          endpoint_(mechanism_.attach(
              {.side = end == LineEnd::listens ? Side::responder : Side::initiator})) {}

    void send(View message) override {
        with_copies([&](auto& endpoint) {
            endpoint.send(message);
            flush(endpoint);
        });
    }
    std::size_t receive(Bytes buffer) override {
        return with_copies([&](auto& endpoint) { return endpoint.receive(buffer); });
    }
    [[nodiscard]] std::size_t message_bytes_max() const override {
        return endpoint_.message_bytes_max();
    }

  private:
    auto with_copies(auto&& use) {
        if constexpr (LendingSender<E> || LendingReceiver<E>) {
            Staged<E> staged{endpoint_};
            return use(staged);
        } else {
            return use(endpoint_);
        }
    }

    M mechanism_;
    E endpoint_;
};

template <Mechanism M>
constexpr auto line_opener() -> std::unique_ptr<Line> (*)(const Needs&, LineEnd) {
    if constexpr (Addressed<M> && !Notifying<EndpointOf<M>>)
        return [](const Needs& needs, LineEnd end) -> std::unique_ptr<Line> {
            return std::make_unique<CatalogLine<M>>(needs, end);
        };
    else
        return nullptr;
}

}  // namespace

std::vector<SubjectMaker> subject_makers() {
    std::vector<SubjectMaker> makers;
    Family::for_each([&]<class M>() {
        makers.push_back({M::facts,
                          [](const Cell& cell) -> std::unique_ptr<Subject> {
                              return std::make_unique<CatalogSubject<M>>(cell);
                          },
                          line_opener<M>()});
    });
    return makers;
}

}  // namespace ipclab::IPCLAB_FAMILY
