// What an Interface is behind its face: the control channels and the queues.
#pragma once

#include "mechanisms/rings/memif/channel.hpp"
#include "mechanisms/rings/memif/interface.hpp"

#include <map>
#include <mutex>
#include <variant>

namespace ipclab::memif {

class Interface::State {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr auto never = Clock::time_point::max();

    State(Options options, Fd listener);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();
    void service();
    [[nodiscard]] std::shared_ptr<Connection> present_connection() const;

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
    void watch(const Fd& fd, std::uint64_t what) const;
    /// While all places are taken, who comes next waits in the socket's queue.
    void watch_listener(bool accepting) const;
    Channel& add_channel(Fd socket, std::variant<ServerHandshake, ClientHandshake> handshake);

    // Beginnings.
    void accept_one();
    void start_to_connect();

    // Packets.
    void hear(std::uint64_t number);
    Step step_for(std::uint64_t number, Channel& channel, Packet packet);
    void take(std::uint64_t number, Channel& channel, const Step& step);
    [[nodiscard]] std::vector<Outgoing> script_of(const Connection& connection) const;
    void put_up(std::uint64_t number, Channel& channel);

    // Ends.
    static void say_goodbye(const Channel& channel, std::string_view why);
    void end(std::uint64_t number, Ending how, std::string_view why);
    void note_ending(Ending how, std::string_view why);
    void see_to_violations();

    // Time.
    void look_at_the_clock();
    void set_timer();

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

    std::shared_ptr<Lobby> lobby_;
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

}  // namespace ipclab::memif
