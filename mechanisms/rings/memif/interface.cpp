#include "mechanisms/rings/memif/interface.hpp"

#include "mechanisms/rings/memif/state.hpp"

namespace ipclab::memif {

Interface::Interface(Options options) : state_(std::make_unique<State>(std::move(options), Fd())) {}
Interface::Interface(Options options, Fd listener)
    : state_(std::make_unique<State>(std::move(options), std::move(listener))) {}
Interface::Interface(Interface&&) noexcept = default;
Interface& Interface::operator=(Interface&&) noexcept = default;
Interface::~Interface() = default;

int Interface::descriptor() const { return state_->epoll_.get(); }
void Interface::service() { state_->service(); }
bool Interface::connected() const { return state_->lobby_->connected; }

std::string Interface::last_disconnect() const {
    const std::lock_guard lock(state_->ending_mutex_);
    return state_->why_ended_;
}
Ending Interface::last_ending() const {
    const std::lock_guard lock(state_->ending_mutex_);
    return state_->ending_;
}

std::string Interface::peer_name() const {
    const auto connection = state_->present_connection();
    return connection ? connection->peer_name : "";
}
std::uint16_t Interface::transmit_queues() const {
    const auto connection = state_->present_connection();
    return connection ? static_cast<std::uint16_t>(connection->transmit.size()) : std::uint16_t{0};
}
std::uint16_t Interface::receive_queues() const {
    const auto connection = state_->present_connection();
    return connection ? static_cast<std::uint16_t>(connection->receive.size()) : std::uint16_t{0};
}

TransmitQueue& Interface::transmit(std::uint16_t queue) { return *state_->transmit_.at(queue); }
ReceiveQueue& Interface::receive(std::uint16_t queue) { return *state_->receive_.at(queue); }

Statistics Interface::statistics() const {
    Statistics all;
    const auto add = [](QueueStatistics& sum, const QueueStatistics& more) {
        sum.packets += more.packets;
        sum.bytes += more.bytes;
        sum.dropped += more.dropped;
        sum.signals += more.signals;
    };
    for (const auto& queue : state_->transmit_) add(all.sent, queue->statistics());
    for (const auto& queue : state_->receive_) add(all.received, queue->statistics());
    all.connections = state_->connections_;
    all.disconnections = state_->disconnections_;
    all.violations = state_->violations_;
    return all;
}

}  // namespace ipclab::memif
