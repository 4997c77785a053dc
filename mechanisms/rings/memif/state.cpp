#include "mechanisms/rings/memif/state.hpp"

#include <algorithm>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

namespace ipclab::memif {
namespace {

/// Clients in the middle of a handshake; who else connects waits to be accepted.
constexpr std::size_t handshakes_max = 4;
/// So that one peer cannot keep service() busy for ever.
constexpr int events_per_service = 256;

Options checked(Options options) {
    const auto refuse_unless = [](bool good, std::string_view why) {
        if (!good) throw Refused("memif", why);
    };
    refuse_unless(options.queues >= 1 && options.queues <= queues_max, "1 to 256 queues");
    refuse_unless(options.log2_ring_size >= 1 && options.log2_ring_size <= log2_ring_size_max,
                  "rings of 2 to 16384 slots");
    refuse_unless(options.buffer_bytes >= 1, "buffers of at least a byte");
    refuse_unless(options.secret.size() < sizeof(Init::secret), "a secret of at most 23 bytes");
    refuse_unless(options.name.size() < sizeof(Init::name), "a name of at most 31 bytes");
    return options;
}

}  // namespace

Interface::State::State(Options options, Fd listener)
    : options_(checked(std::move(options))),
      address_(options_.socket),
      epoll_(must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(must(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create")),
      listener_{std::move(listener), {}},
      lobby_(std::make_shared<Lobby>(!options_.refuse_strangers)) {
    watch(timer_, Watched::timer);
    watch(lobby_->alarm, Watched::alarm);
    for (std::uint16_t i = 0; i < options_.queues; ++i) {
        transmit_.push_back(std::make_unique<TransmitQueue>(lobby_, i));
        receive_.push_back(std::make_unique<ReceiveQueue>(lobby_, i));
    }
    if (options_.role == SocketRole::client) {
        start_to_connect();
    } else {
        if (!listener_.socket) listener_ = Listener::listen(address_);
        watch(listener_.socket, Watched::listener);
    }
    set_timer();
}

Interface::State::~State() {
    for (const auto& [number, channel] : channels_) say_goodbye(channel, "interface closed");
}

void Interface::State::service() {
    // A connection is seen to stand, however soon it ends.
    const std::uint64_t connections = connections_;
    for (int left = events_per_service; left > 0 && connections_ == connections; --left) {
        epoll_event event{};
        const int ready = ::epoll_wait(epoll_.get(), &event, 1, 0);
        if (ready == -1 && errno != EINTR) throw SystemError("epoll_wait", errno);
        if (ready <= 0) break;
        if (event.data.u64 == Watched::listener)
            accept_one();
        else if (event.data.u64 == Watched::timer)
            look_at_the_clock();
        else if (event.data.u64 == Watched::alarm)
            see_to_violations();
        else
            hear(event.data.u64);
    }
    set_timer();
}

void Interface::State::watch(const Fd& fd, std::uint64_t what) const {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = what}};
    must(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event), "epoll_ctl");
}

void Interface::State::watch_listener(bool accepting) const {
    epoll_event event{.events = accepting ? EPOLLIN : 0U, .data = {.u64 = Watched::listener}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.socket.get(), &event);
}

Interface::State::Channel&
Interface::State::add_channel(Fd socket, std::variant<ServerHandshake, ClientHandshake> handshake) {
    watch(socket, next_channel_);
    Channel channel{std::move(socket), std::move(handshake), Clock::now() + options_.step_timeout};
    return channels_.emplace(next_channel_++, std::move(channel)).first->second;
}

// ---------------------------------------------------------------------------------------------
// Beginnings.

void Interface::State::accept_one() {
    std::optional<Fd> socket = accept(listener_.socket);
    if (!socket) return;
    try {
        if (options_.refuse_strangers) sockets::refuse_strangers(socket->get(), "accept");
        const Channel& channel = add_channel(
            std::move(*socket), ServerHandshake({.id = options_.id,
                                                 .secret = options_.secret,
                                                 .name = options_.name,
                                                 .queues = options_.queues,
                                                 .region_bytes_max = options_.region_bytes_max}));
        memif::send(channel.socket, std::get<ServerHandshake>(channel.handshake).hello());
    } catch (const PeerGone&) {
        // Its end is the next that is heard of it.
    } catch (const Refused& why) {
        note_ending(Ending::refused, why.what());
    }
    if (channels_.size() >= handshakes_max + 1) watch_listener(false);
}

void Interface::State::start_to_connect() {
    retry_at_ = never;
    try {
        Fd socket = memif::connect(address_);
        if (options_.refuse_strangers) sockets::refuse_strangers(socket.get(), "connect");
        add_channel(std::move(socket),
                    ClientHandshake(
                        {.queues = options_.queues, .log2_ring_size = options_.log2_ring_size}));
    } catch (const LimitReached&) {
        throw;
    } catch (const IpcError& why) {
        note_ending(Ending::failed, why.what());
        retry_at_ = Clock::now() + options_.reconnect_interval;
    }
}

// ---------------------------------------------------------------------------------------------
// Packets.

void Interface::State::hear(std::uint64_t number) {
    const auto found = channels_.find(number);
    if (found == channels_.end()) return;
    Channel& channel = found->second;
    try {
        std::optional<Packet> packet = memif::receive(channel.socket);
        if (!packet) return;
        if (packet->size == 0) return end(number, Ending::died, "the peer has gone");
        take(number, channel, step_for(number, channel, std::move(*packet)));
    } catch (const PeerGone& why) {
        end(number, Ending::died, why.what());
    } catch (const LimitReached& why) {
        say_goodbye(channel, why.what());
        end(number, Ending::failed, why.what());
        throw;
    } catch (const Refused& why) {
        say_goodbye(channel, why.what());
        QueueCounts::add(violations_, 1);
        end(number, Ending::refused, why.what());
    } catch (const IpcError& why) {
        say_goodbye(channel, why.what());
        end(number, Ending::failed, why.what());
    }
}

Step Interface::State::step_for(std::uint64_t number, Channel& channel, Packet packet) {
    if (channel.is_up) return step_while_up(packet);
    if (auto* const client = std::get_if<ClientHandshake>(&channel.handshake))
        return client->next(packet);
    // A client that starts anew may be heard before the end of its predecessor is.
    if (up_ != 0 && up_ != number) hear(up_);
    return std::get<ServerHandshake>(channel.handshake).next(std::move(packet), up_ != 0);
}

void Interface::State::take(std::uint64_t number, Channel& channel, const Step& step) {
    channel.deadline = Clock::now() + options_.step_timeout;
    switch (step.next) {
    case Step::Next::make_memory: {
        auto& client = std::get<ClientHandshake>(channel.handshake);
        channel.connection = std::make_shared<Connection>(client.terms(), options_.buffer_bytes);
        return memif::send(channel.socket, client.start(script_of(*channel.connection)));
    }
    case Step::Next::connect: {
        auto& server = std::get<ServerHandshake>(channel.handshake);
        if (up_ != 0) return take(number, channel, refusal("already connected", false));
        channel.connection = std::make_shared<Connection>(
            server.take_offer(), options_.admit_unsealed_regions, lobby_->alarm.get());
        memif::send(channel.socket, server.connected());
        return put_up(number, channel);
    }
    case Step::Next::up:
        channel.connection->peer_name = std::get<ClientHandshake>(channel.handshake).peer_name();
        channel.connection->post_buffers();
        return put_up(number, channel);
    case Step::Next::go_on:
        return memif::send(channel.socket, *step.reply);
    case Step::Next::refuse:
        say_goodbye(channel, step.reason);
        if (step.violation) QueueCounts::add(violations_, 1);
        return end(number, Ending::refused, step.reason);
    case Step::Next::end:
        return end(number, Ending::left, step.reason);
    }
}

std::vector<Outgoing> Interface::State::script_of(const Connection& connection) const {
    std::vector<Outgoing> script;
    script.reserve(connection.messages().size() + 2);
    script.push_back({encoded(Init{
        .id = options_.id, .secret = Text<24>(options_.secret), .name = Text<32>(options_.name)})});
    script.insert(script.end(), connection.messages().begin(), connection.messages().end());
    script.push_back({encoded(Connect{.name = Text<32>(options_.name)})});
    return script;
}

void Interface::State::put_up(std::uint64_t number, Channel& channel) {
    channel.is_up = true;
    channel.deadline = never;
    up_ = number;
    QueueCounts::add(connections_, 1);
    lobby_->change(Lobby::Condition::stands, std::move(channel.connection));
}

// ---------------------------------------------------------------------------------------------
// Ends.

void Interface::State::say_goodbye(const Channel& channel, std::string_view why) {
    try {
        memif::send(channel.socket, *refusal(why, false).reply);
    } catch (const IpcError&) {
        // It is gone.
    }
}

void Interface::State::end(std::uint64_t number, Ending how, std::string_view why) {
    if (number == up_) {
        up_ = 0;
        // Queues may still be reading; what the peer sent before it went is theirs to have.
        const bool readable = how == Ending::left || how == Ending::died;
        lobby_->change(readable ? Lobby::Condition::has_left : Lobby::Condition::none,
                       readable ? lobby_->connection : nullptr);
    }
    channels_.erase(number);
    QueueCounts::add(disconnections_, 1);
    note_ending(how, why);
    if (options_.role == SocketRole::client)
        retry_at_ = Clock::now() + options_.reconnect_interval;
    else
        watch_listener(true);
}

void Interface::State::note_ending(Ending how, std::string_view why) {
    const std::lock_guard lock(ending_mutex_);
    ending_ = how;
    why_ended_ = why;
}

void Interface::State::see_to_violations() {
    eventfd_t alarms = 0;
    ::eventfd_read(lobby_->alarm.get(), &alarms);
    const auto found = channels_.find(up_);
    if (found == channels_.end()) return;
    const char* how = nullptr;
    {
        const std::lock_guard lock(lobby_->mutex);
        how = lobby_->connection->is_memory_lost() ? "region truncated" : lobby_->violation;
    }
    if (how != nullptr) take(up_, found->second, refusal(how, true));
}

// ---------------------------------------------------------------------------------------------
// Time.

void Interface::State::look_at_the_clock() {
    std::uint64_t expirations = 0;
    [[maybe_unused]] const ssize_t got = ::read(timer_.get(), &expirations, sizeof expirations);
    timer_at_ = never;
    const auto now = Clock::now();
    std::vector<std::uint64_t> late;
    for (const auto& [number, channel] : channels_)
        if (channel.deadline <= now) late.push_back(number);
    for (const std::uint64_t number : late)
        take(number, channels_.at(number), refusal("nothing came in time", false));
    if (retry_at_ <= now) start_to_connect();
}

void Interface::State::set_timer() {
    auto next = retry_at_;
    for (const auto& [number, channel] : channels_) next = std::min(next, channel.deadline);
    if (next == timer_at_) return;
    timer_at_ = next;
    itimerspec at{};
    if (next != never) {
        // At least a nanosecond: zero would switch it off.
        const auto left =
            std::max<std::chrono::nanoseconds>(next - Clock::now(), std::chrono::nanoseconds(1));
        at.it_value = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    }
    must(::timerfd_settime(timer_.get(), 0, &at, nullptr), "timerfd_settime");
}

std::shared_ptr<Connection> Interface::State::present_connection() const {
    const std::lock_guard lock(lobby_->mutex);
    return lobby_->connected ? lobby_->connection : nullptr;
}

}  // namespace ipclab::memif
