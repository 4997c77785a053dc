#include "harness/copy_or_map/ways.hpp"

#include "harness/copy_or_map/fresh_object.hpp"
#include "harness/copy_or_map/mapped.hpp"
#include "mechanisms/waiting/flag_semaphores.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"

namespace ipclab {
namespace {

/// `Attach` makes the endpoint of a side out of what both have inherited.
template <class Inherited, class Attach>
class WaySubject : public Subject {
  public:
    WaySubject(std::unique_ptr<Inherited> inherited, std::size_t size_bytes, Attach attach)
        : inherited_(std::move(inherited)), size_bytes_(size_bytes), attach_(attach) {}

    void stand_aside() override {
        if constexpr (requires { inherited_->stand_aside(); }) inherited_->stand_aside();
    }

    void converse(Player& player) override {
        player.before_attach();
        {
            auto endpoint = attach_(*inherited_, player.side());
            player.after_attach();
            player.answer();
            player.serve([&](const Order& order) {
                if (order.variant == stamped_leg)
                    player.play_stamped(endpoint, size_bytes_, order.leg);
                else
                    player.play(endpoint, Pattern::ping_pong, size_bytes_, order.leg);
            });
            player.before_detach();
        }
        player.after_detach();
    }

  private:
    std::unique_ptr<Inherited> inherited_;
    std::size_t size_bytes_;
    Attach attach_;
};

template <class Inherited, class Attach>
std::unique_ptr<Subject> make_subject(std::unique_ptr<Inherited> inherited, std::size_t size_bytes,
                                      Attach attach) {
    return std::make_unique<WaySubject<Inherited, Attach>>(std::move(inherited), size_bytes,
                                                           attach);
}

template <SemaphoreSet Set>
std::unique_ptr<Subject> create_mapped(const Transfer& transfer) {
    using Rooms = SharedRooms<Set>;
    auto rooms = std::make_unique<Rooms>(transfer.size_bytes);
    const std::uint64_t messages = transfer.messages_per_mapping;
    const bool populated = transfer.way == Way::receiver_remaps_populated ||
                           transfer.way == Way::sender_remaps_populated;
    const int populate = populated ? MAP_POPULATE : 0;

    const auto receiver_remaps = [=](Rooms& memory, Side side) {
        return memory.attach(
            side, KeptMapping(memory.room_of(side)),
            RemadeMapping(memory.room_of(other(side)), PROT_READ, populate, messages));
    };
    const auto sender_remaps = [=](Rooms& memory, Side side) {
        return memory.attach(
            side, RemadeMapping(memory.room_of(side), PROT_READ | PROT_WRITE, populate, messages),
            KeptMapping(memory.room_of(other(side))));
    };
    const auto persistent = [](Rooms& memory, Side side) {
        return memory.attach(side, KeptMapping(memory.room_of(side)),
                             KeptMapping(memory.room_of(other(side))));
    };
    switch (transfer.way) {
    case Way::receiver_remaps:
    case Way::receiver_remaps_populated:
        return make_subject(std::move(rooms), transfer.size_bytes, receiver_remaps);
    case Way::sender_remaps:
    case Way::sender_remaps_populated:
        return make_subject(std::move(rooms), transfer.size_bytes, sender_remaps);
    default:
        return make_subject(std::move(rooms), transfer.size_bytes, persistent);
    }
}

/// The mechanism in the dialect that copies least: what lends on one side is used in place there.
std::unique_ptr<Subject> create_copying(const Transfer& transfer) {
    const Facts& facts = facts_of(transfer.mechanism);
    const bool lends = facts.sender == Dialect::lends || facts.receiver == Dialect::lends;
    return create_subject(Cell{.mechanism = transfer.mechanism,
                               .pattern = Pattern::ping_pong,
                               .size_bytes = transfer.size_bytes,
                               .access = lends ? Access::in_place : Access::copy,
                               .placement = transfer.placement});
}

}  // namespace

std::unique_ptr<Subject> create_subject(const Transfer& transfer) {
    if (transfer.way == Way::copy) return create_copying(transfer);
    if (transfer.way == Way::fresh_object)
        return make_subject(std::make_unique<ObjectSockets>(transfer.size_bytes, transfer.waiting),
                            transfer.size_bytes,
                            [](ObjectSockets& sockets, Side side) { return sockets.attach(side); });
    if (transfer.waiting == Waiting::spins) return create_mapped<FlagSemaphores<Spin>>(transfer);
    return create_mapped<PureFutexSemaphores>(transfer);
}

}  // namespace ipclab
