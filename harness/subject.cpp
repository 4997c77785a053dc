#include "harness/subject.hpp"

#include "mechanisms/catalog.hpp"

#include <stdexcept>

namespace ipclab {
namespace {

template <Mechanism M>
class CatalogSubject : public Subject {
  public:
    explicit CatalogSubject(const Cell& cell)
        : cell_(cell), mechanism_(M::create({.message_bytes_max = cell.size_bytes})) {}

    void stand_aside() override { ipclab::stand_aside(mechanism_); }

    void converse(Player& player) override {
        EndpointOf<M> endpoint = mechanism_.attach({.side = player.side()});
        player.report().capacity_bytes = endpoint.capacity_bytes();
        if (cell_.size_bytes > endpoint.message_bytes_max()) {
            if (cell_.access == Access::in_place)
                throw Refused(cell_.mechanism,
                              "a message that travels in rounds is not made in place");
            player.report().fragments = Rounds<EndpointOf<M>>::count(endpoint, cell_.size_bytes);
            Rounds rounds(endpoint);
            serve(player, rounds);
        } else {
            if constexpr (LendingSender<EndpointOf<M>> && LendingReceiver<EndpointOf<M>>)
                if (cell_.access == Access::copy) {
                    Staged<EndpointOf<M>> staged{endpoint};
                    return serve(player, staged);
                }
            serve(player, endpoint);
        }
    }

  private:
    template <class E>
    void serve(Player& player, E& endpoint) {
        player.answer();  // attached
        player.serve([&](const Order& order) {
            player.play(endpoint, cell_.pattern, cell_.size_bytes, order.leg);
        });
    }

    Cell cell_;
    M mechanism_;
};

}  // namespace

std::unique_ptr<Subject> create_subject(const Cell& cell) {
    std::unique_ptr<Subject> subject;
    Catalog::for_each([&]<class M>() {
        if (M::facts.name == cell.mechanism) subject = std::make_unique<CatalogSubject<M>>(cell);
    });
    if (!subject) throw std::invalid_argument("there is no mechanism called " + cell.mechanism);
    return subject;
}

std::optional<std::string> reason_to_skip(const Cell& cell, std::size_t cpus,
                                          bool pure_spin_on_one_cpu) {
    const Waiting waiting = facts_of(cell.mechanism).waiting;
    const bool one_cpu = cell.placement == Placement::same_cpu;
    if (!one_cpu && cpus < 2) return "this process may use one CPU only";
    if (one_cpu && waiting == Waiting::spins && !pure_spin_on_one_cpu)
        return "a pure spinner would use up its time slice while its peer waits for the CPU";
    if (!one_cpu && waiting == Waiting::spins_yielding)
        return "yielding is for CPUs that are shared";
    return std::nullopt;
}

const std::vector<Facts>& catalog_facts() {
    static const std::vector<Facts> facts = [] {
        std::vector<Facts> all;
        Catalog::for_each([&]<class M>() { all.push_back(M::facts); });
        return all;
    }();
    return facts;
}

const Facts& facts_of(std::string_view mechanism) {
    for (const Facts& facts : catalog_facts())
        if (facts.name == mechanism) return facts;
    throw std::invalid_argument("there is no mechanism called " + std::string(mechanism));
}

}  // namespace ipclab
