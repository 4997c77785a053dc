#include "mechanisms/rings/memif/queue.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

namespace ipclab::memif {

void TransmitQueue::look_up() {
    std::shared_ptr<Connection> old;  // let go of after the lock
    const std::lock_guard lock(lobby_->mutex);
    epoch_ = lobby_->epoch.load(std::memory_order::relaxed);
    old = std::move(connection_);
    here_ = nullptr;
    if (lobby_->condition != Lobby::Condition::stands || lobby_->violation != nullptr) return;
    connection_ = lobby_->connection;
    if (index_ < connection_->transmit.size()) here_ = &connection_->transmit[index_];
}

bool TransmitQueue::could_not_send(std::size_t bytes) {
    look_for_a_violation();
    if (here_ == nullptr || (bytes > 0 && !here_->ring.never_fits(bytes))) return false;
    counts_.add_dropped();
    return true;
}

void TransmitQueue::look_for_a_violation() {
    if (const char* const how = here_->ring.violation()) report(how);
}

void TransmitQueue::report(const char* how) {
    here_ = nullptr;
    lobby_->report(*connection_, how);
}

/// The eventfd is the peer's as much as ours: it may have made it blocking, or full. A peer of our
/// own user could stop us by a signal as well; there it is enough to look first, which costs less.
/// One that is readable says already what we would say.
void TransmitQueue::signal() {
    if (lobby_->admits_strangers) {
        if (const char* const how = lobby_->bell.ring(here_->event, lobby_->alarm))
            return report(how);
    } else {
        pollfd event{here_->event.get(), POLLIN | POLLOUT, 0};
        if (::poll(&event, 1, 0) != 1 || event.revents != POLLOUT) return;
        ::eventfd_write(event.fd, 1);
    }
    counts_.add_signal();
}

// ---------------------------------------------------------------------------------------------

void ReceiveQueue::look_up() {
    std::shared_ptr<Connection> old;
    {
        const std::lock_guard lock(lobby_->mutex);
        epoch_ = lobby_->epoch.load(std::memory_order::relaxed);
        has_left_ = lobby_->condition == Lobby::Condition::has_left;
        const bool may_read =
            lobby_->condition != Lobby::Condition::none && lobby_->violation == nullptr;
        const auto now = may_read ? lobby_->connection : nullptr;
        if (now != nullptr && now == connection_) return;
        old = std::exchange(connection_, now);
        here_ = nullptr;
        peeked_ = false;
        if (connection_ != nullptr && index_ < connection_->receive.size())
            here_ = &connection_->receive[index_];
    }
    if (here_ != nullptr) here_->ring.ask_for_signals(mode_ == Mode::interrupt);
}

/// The sender may be waiting for what has not been given back yet.
void ReceiveQueue::found_nothing() {
    if (const char* const how = here_->ring.violation()) {
        here_ = nullptr;
        lobby_->report(*connection_, how);
    } else if (has_left_) {
        if (peeked_) return;
        here_ = nullptr;
        connection_.reset();
    } else if (!peeked_) {
        here_->ring.release();
    }
}

void ReceiveQueue::mode(Mode mode) {
    mode_ = mode;
    if (is_usable()) here_->ring.ask_for_signals(mode == Mode::interrupt);
}

int ReceiveQueue::descriptor() { return is_usable() ? here_->event.get() : -1; }

/// Without waiting, whatever the peer has made of the eventfd's flags.
void ReceiveQueue::drain() {
    if (!is_usable()) return;
    std::uint64_t signals = 0;
    const iovec into{&signals, sizeof signals};
    if (::preadv2(here_->event.get(), &into, 1, -1, RWF_NOWAIT) > 0) counts_.add_signal();
}

}  // namespace ipclab::memif
