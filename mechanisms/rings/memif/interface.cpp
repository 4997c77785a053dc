#include "mechanisms/rings/memif/interface.hpp"

#include "mechanisms/rings/memif/channel.hpp"

#include <map>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <variant>

namespace ipclab::memif {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto never = Clock::time_point::max();
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

class Interface::State {
  public:
    State(Options options, Fd listener)
        : options_(checked(std::move(options))),
          address_(options_.socket),
          epoll_(must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
          timer_(must(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                      "timerfd_create")),
          listener_{std::move(listener), {}} {
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
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
        for (const auto& [number, channel] : channels_) say_goodbye(channel, "interface closed");
    }

    void service() {
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

    [[nodiscard]] std::shared_ptr<Connection> present_connection() const {
        const std::lock_guard lock(lobby_->mutex);
        return lobby_->connected ? lobby_->connection : nullptr;
    }

  private:
    /// One control channel, from its connection to its end.
    struct Channel {
        Fd socket;
        std::variant<ServerHandshake, ClientHandshake> handshake;
        Clock::time_point deadline;
        std::shared_ptr<Connection> connection{};
        bool is_up = false;
    };
    struct Watched {
        static constexpr std::uint64_t listener = 0;
        static constexpr std::uint64_t timer = 1;
        static constexpr std::uint64_t alarm = 2;
        static constexpr std::uint64_t first_channel = 3;
    };

    void watch(const Fd& fd, std::uint64_t what) const {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = what}};
        must(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event), "epoll_ctl");
    }
    /// While all places are taken, who comes next waits in the socket's queue.
    void watch_listener(bool accepting) const {
        epoll_event event{.events = accepting ? EPOLLIN : 0U, .data = {.u64 = Watched::listener}};
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.socket.get(), &event);
    }
    Channel& add_channel(Fd socket, std::variant<ServerHandshake, ClientHandshake> handshake) {
        watch(socket, next_channel_);
        Channel channel{std::move(socket), std::move(handshake),
                        Clock::now() + options_.step_timeout};
        return channels_.emplace(next_channel_++, std::move(channel)).first->second;
    }

    // -----------------------------------------------------------------------------------------
    // Beginnings.

    void accept_one() {
        std::optional<Fd> socket = accept(listener_.socket);
        if (!socket) return;
        try {
            if (options_.refuse_strangers) sockets::refuse_strangers(socket->get(), "accept");
            const Channel& channel =
                add_channel(std::move(*socket),
                            ServerHandshake({.id = options_.id,
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

    void start_to_connect() {
        retry_at_ = never;
        try {
            Fd socket = memif::connect(address_);
            if (options_.refuse_strangers) sockets::refuse_strangers(socket.get(), "connect");
            add_channel(std::move(socket),
                        ClientHandshake({.queues = options_.queues,
                                         .log2_ring_size = options_.log2_ring_size}));
        } catch (const LimitReached&) {
            throw;
        } catch (const IpcError& why) {
            note_ending(Ending::failed, why.what());
            retry_at_ = Clock::now() + options_.reconnect_interval;
        }
    }

    // -----------------------------------------------------------------------------------------
    // Packets.

    void hear(std::uint64_t number) {
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

    Step step_for(std::uint64_t number, Channel& channel, Packet packet) {
        if (channel.is_up) return step_while_up(packet);
        if (auto* const client = std::get_if<ClientHandshake>(&channel.handshake))
            return client->next(packet);
        // A client that starts anew may be heard before the end of its predecessor is.
        if (up_ != 0 && up_ != number) hear(up_);
        return std::get<ServerHandshake>(channel.handshake).next(std::move(packet), up_ != 0);
    }

    void take(std::uint64_t number, Channel& channel, const Step& step) {
        channel.deadline = Clock::now() + options_.step_timeout;
        switch (step.next) {
        case Step::Next::make_memory: {
            auto& client = std::get<ClientHandshake>(channel.handshake);
            channel.connection =
                std::make_shared<Connection>(client.terms(), options_.buffer_bytes);
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
            channel.connection->peer_name =
                std::get<ClientHandshake>(channel.handshake).peer_name();
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

    [[nodiscard]] std::vector<Outgoing> script_of(const Connection& connection) const {
        std::vector<Outgoing> script;
        script.reserve(connection.messages().size() + 2);
        script.push_back({encoded(Init{.id = options_.id,
                                       .secret = Text<24>(options_.secret),
                                       .name = Text<32>(options_.name)})});
        script.insert(script.end(), connection.messages().begin(), connection.messages().end());
        script.push_back({encoded(Connect{.name = Text<32>(options_.name)})});
        return script;
    }

    void put_up(std::uint64_t number, Channel& channel) {
        channel.is_up = true;
        channel.deadline = never;
        up_ = number;
        QueueCounts::add(connections_, 1);
        lobby_->change(Lobby::Condition::stands, std::move(channel.connection));
    }

    // -----------------------------------------------------------------------------------------
    // Ends.

    static void say_goodbye(const Channel& channel, std::string_view why) {
        try {
            memif::send(channel.socket, *refusal(why, false).reply);
        } catch (const IpcError&) {
            // It is gone.
        }
    }

    void end(std::uint64_t number, Ending how, std::string_view why) {
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

    void note_ending(Ending how, std::string_view why) {
        const std::lock_guard lock(ending_mutex_);
        ending_ = how;
        why_ended_ = why;
    }

    void see_to_violations() {
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

    // -----------------------------------------------------------------------------------------
    // Time.

    void look_at_the_clock() {
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

    void set_timer() {
        auto next = retry_at_;
        for (const auto& [number, channel] : channels_) next = std::min(next, channel.deadline);
        if (next == timer_at_) return;
        timer_at_ = next;
        itimerspec at{};
        if (next != never) {
            // At least a nanosecond: zero would switch it off.
            const auto left = std::max<std::chrono::nanoseconds>(next - Clock::now(),
                                                                 std::chrono::nanoseconds(1));
            at.it_value = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        }
        must(::timerfd_settime(timer_.get(), 0, &at, nullptr), "timerfd_settime");
    }

    Options options_;
    sockets::UnixAddress address_;
    Fd epoll_;
    Fd timer_;
    Listener listener_;
    std::uint64_t next_channel_ = Watched::first_channel;
    std::map<std::uint64_t, Channel> channels_;
    std::uint64_t up_ = 0;  ///< the number of the channel that is up, or 0
    Clock::time_point retry_at_ = never;
    Clock::time_point timer_at_ = never;

    std::shared_ptr<Lobby> lobby_ = std::make_shared<Lobby>();
    std::vector<std::unique_ptr<TransmitQueue>> transmit_;
    std::vector<std::unique_ptr<ReceiveQueue>> receive_;

    mutable std::mutex ending_mutex_;
    Ending ending_ = Ending::none;
    std::string why_ended_;
    QueueCounts::Count connections_{0};
    QueueCounts::Count disconnections_{0};
    QueueCounts::Count violations_{0};

    friend Interface;
};

// ---------------------------------------------------------------------------------------------

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
