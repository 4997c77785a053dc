#include "harness/memif/command_line.hpp"

#include "harness/memif/forward.hpp"
#include "harness/memif/packets.hpp"
#include "harness/memif/ping.hpp"
#include "harness/memif/respond.hpp"
#include "harness/quantity.hpp"
#include "mechanisms/os/error.hpp"

#include <CLI/CLI.hpp>
#include <bit>
#include <cstdio>
#include <fmt/format.h>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ipclab {
namespace {

constexpr std::string_view memif_example = R"(Examples, in two terminals:
  ipclab memif respond @demo               a host at 10.0.0.1 that answers pings
  ipclab memif ping @demo 10.0.0.1         ping it
SOCKET is where the two ends meet: a path, or @NAME for an abstract one. One end is the server, which
listens; the other is the client, which connects and brings the memory. DPDK and VPP speak the same
protocol: see docs/memif.md for dpdk-testpmd as a peer.)";
constexpr std::string_view respond_example =
    "Example: ipclab memif respond --address 10.0.0.1 @demo";
constexpr std::string_view ping_example =
    "Example: ipclab memif ping -c 3 @demo 10.0.0.1\n"
    "Ends as ping does: 0 where a reply came, 1 where none did, 2 where nothing could be sent.";
constexpr std::string_view forward_example =
    "Example: ipclab memif forward @left @right, then ipclab memif respond --client @left\n"
    "         and ipclab memif ping @right 10.0.0.1\n"
    "A packet for which the other side has no room is dropped and counted, unless --hold is given.";

/// One socket and what is said about it.
struct SocketWords {
    std::string socket;
    bool server = false;
    bool client = false;
    std::uint32_t id = 0;
    std::string secret;
};

/// What is said about all of a program's sockets.
struct SharedWords {
    std::uint16_t queues = 1;
    std::uint32_t ring_slots = 1024;
    std::uint16_t buffer_bytes = 2048;
    bool admit_unsealed = false;
    bool poll = false;
};

void add_role(CLI::App& command, SocketWords& words, const std::string& suffix,
              const std::string& whose, std::string_view usual_role) {
    const auto described = [&](std::string_view text, bool usual) {
        return fmt::format("{}{}{}", whose, text, usual ? " (the default)" : "");
    };
    CLI::Option* const server = command.add_flag("--server" + suffix, words.server,
                                                 described("Listen", usual_role == "server"));
    command
        .add_flag("--client" + suffix, words.client,
                  described("Connect, and try again until it works", usual_role == "client"))
        ->excludes(server);
    command
        .add_option("--id" + suffix, words.id,
                    described("Number of the interface at this socket (default: 0)", false))
        ->type_name("N");
    command
        .add_option("--secret" + suffix, words.secret,
                    described("What both ends must know, at most 23 bytes", false))
        ->type_name("WORD");
}

void add_shared(CLI::App& command, SharedWords& words) {
    command.add_option("--queues", words.queues, "Each way (default: 1)")
        ->check(CLI::Range(1, 256))
        ->type_name("N");
    command
        .add_option("--ring-slots", words.ring_slots,
                    "Of each ring, a power of two; the client's word counts (default: 1024)")
        ->check(CLI::Range(2, 16384))
        ->type_name("N");
    command
        .add_option("--buffer-size", words.buffer_bytes,
                    "Bytes of a buffer; larger packets are chained; the client's word counts "
                    "(default: 2048)")
        ->check(CLI::Range(64, 65535))
        ->type_name("N");
    command.add_flag("--admit-unsealed", words.admit_unsealed,
                     "As a server: take memory that the client could shrink (DPDK's zero-copy)");
    command.add_flag("--poll", words.poll,
                     "Look for packets all the time instead of sleeping until one is signalled");
}

memif::Options options_of(const SocketWords& words, const SharedWords& shared,
                          memif::SocketRole usual_role) {
    if (!std::has_single_bit(shared.ring_slots))
        throw std::invalid_argument(
            fmt::format("--ring-slots: {} is not a power of two", shared.ring_slots));
    memif::Options options;
    options.socket = words.socket;
    options.role = words.server   ? memif::SocketRole::server
                   : words.client ? memif::SocketRole::client
                                  : usual_role;
    options.id = words.id;
    options.secret = words.secret;
    options.queues = shared.queues;
    options.log2_ring_size = static_cast<unsigned>(std::countr_zero(shared.ring_slots));
    options.buffer_bytes = shared.buffer_bytes;
    options.admit_unsealed_regions = shared.admit_unsealed;
    options.reconnect_interval = std::chrono::milliseconds(500);
    return options;
}

memif::Mode mode_of(const SharedWords& words) {
    return words.poll ? memif::Mode::polling : memif::Mode::interrupt;
}

/// What to call ourselves where the user did not say: the next address, or the one before.
Ipv4Address neighbour_of(Ipv4Address address) {
    constexpr std::uint8_t last_host = 254;
    address[3] = static_cast<std::uint8_t>(address[3] < last_host ? address[3] + 1 : last_host - 1);
    return address;
}

std::chrono::nanoseconds seconds(double value) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(value));
}

}  // namespace

struct MemifCommands::Words {
    CLI::App* respond = nullptr;
    CLI::App* ping = nullptr;
    CLI::App* forward = nullptr;

    SocketWords socket;  ///< of respond and ping, and the first of forward
    SocketWords other;   ///< the second of forward
    SharedWords shared;
    std::string address;
    std::string mac;
    std::string target;
    std::uint64_t count = 0;
    double interval_s = 1;
    double linger_s = 1;
    double connect_s = 10;
    std::size_t data_bytes = 56;
    bool quiet = false;
    bool hold = false;

    void add_respond(CLI::App& memif) {
        respond = memif.add_subcommand("respond", "Answer ARP and ping, as a host would");
        respond->footer(std::string(respond_example));
        add_own_address(*respond, "10.0.0.1");
        add_role(*respond, socket, "", "", "server");
        add_shared(*respond, shared);
        respond->add_option("socket", socket.socket, "Where to meet")->type_name("SOCKET");
    }
    void add_ping(CLI::App& memif) {
        ping = memif.add_subcommand("ping", "Ping a host, and print the round trips");
        ping->footer(std::string(ping_example));
        ping->add_option("-c,--count", count, "End after so many (default: Ctrl-C ends)")
            ->check(CLI::PositiveNumber)
            ->type_name("N");
        ping->add_option(
                "-i,--interval", interval_s,
                "Seconds from one to the next; 0: as soon as there is a reply (default: 1)")
            ->check(CLI::Range(0.0, 3600.0))
            ->type_name("S");
        ping->add_option("-s,--size", data_bytes, "Bytes of data (default: 56)")
            ->check(CLI::Range(std::size_t{0}, echo_data_bytes_max))
            ->type_name("N");
        ping->add_option("-W,--linger", linger_s, "Seconds to wait for the last reply (default: 1)")
            ->check(CLI::Range(0.0, 3600.0))
            ->type_name("S");
        ping->add_option("--connect-timeout", connect_s,
                         "Seconds to wait for the other end to be there (default: 10)")
            ->check(CLI::Range(0.0, 3600.0))
            ->type_name("S");
        ping->add_flag("-q,--quiet", quiet, "Print the summary alone");
        add_own_address(*ping, "the neighbour of ADDRESS");
        add_role(*ping, socket, "", "", "client");
        add_shared(*ping, shared);
        ping->add_option("socket", socket.socket, "Where to meet")->type_name("SOCKET");
        ping->add_option("target", target, "IPv4 address to ping")->type_name("ADDRESS");
    }
    void add_forward(CLI::App& memif) {
        forward = memif.add_subcommand("forward", "Bridge two interfaces");
        forward->footer(std::string(forward_example));
        forward->add_flag("--hold", hold,
                          "Let a packet wait for room, and its sender with it; drop none");
        add_role(*forward, socket, "-a", "A: ", "server");
        add_role(*forward, other, "-b", "B: ", "server");
        add_shared(*forward, shared);
        forward->add_option("socket_a", socket.socket, "One side")->type_name("SOCKET_A");
        forward->add_option("socket_b", other.socket, "The other")->type_name("SOCKET_B");
    }
    void add_own_address(CLI::App& command, std::string_view usual) {
        command
            .add_option("--address", address,
                        fmt::format("Our own IPv4 address (default: {})", usual))
            ->type_name("IP");
        command
            .add_option("--mac", mac,
                        "Our own Ethernet address (default: 02:00 and the four bytes of the IP)")
            ->type_name("MAC");
    }

    int run_respond() const {
        const Ipv4Address own = parse_ipv4(address.empty() ? "10.0.0.1" : address);
        return run_responder(options_of(socket, shared, memif::SocketRole::server), mode_of(shared),
                             own, mac.empty() ? mac_for(own) : parse_mac(mac));
    }
    int run_ping_command() const {
        if (target.empty())
            throw std::invalid_argument("ping whom? Such as ipclab memif ping @demo 10.0.0.1");
        PingOptions options;
        options.interface = options_of(socket, shared, memif::SocketRole::client);
        options.mode = mode_of(shared);
        options.target = parse_ipv4(target);
        options.own = address.empty() ? neighbour_of(options.target) : parse_ipv4(address);
        options.own_mac = mac.empty() ? mac_for(options.own) : parse_mac(mac);
        if (count > 0) options.count = count;
        options.interval = seconds(interval_s);
        options.linger = seconds(linger_s);
        options.connect_timeout = seconds(connect_s);
        options.data_bytes = data_bytes;
        options.quiet = quiet;
        try {
            return run_ping(options);
        } catch (const IpcError& error) {
            fmt::print(stderr, "ipclab: {}\n", error.what());
            return 2;  // as ping(8)
        }
    }
    int run_forward() const {
        if (other.socket.empty())
            throw std::invalid_argument("forward from where to where? Name two sockets");
        return run_forwarder(options_of(socket, shared, memif::SocketRole::server),
                             options_of(other, shared, memif::SocketRole::server), mode_of(shared),
                             hold ? WhenFull::hold : WhenFull::drop);
    }
};

MemifCommands::MemifCommands(CLI::App& app)
    : command_(app.add_subcommand("memif", "Talk to DPDK, to VPP or to itself in packets")),
      words_(std::make_unique<Words>()) {
    command_->footer(std::string(memif_example));
    command_->require_subcommand(0, 1);
    words_->add_respond(*command_);
    words_->add_ping(*command_);
    words_->add_forward(*command_);
}

MemifCommands::~MemifCommands() = default;

bool MemifCommands::given() const { return command_->parsed(); }

int MemifCommands::run() {
    const bool any = *words_->respond || *words_->ping || *words_->forward;
    if (!any)
        throw std::invalid_argument(
            "a command is missing: respond, ping or forward; see ipclab memif --help");
    if (words_->socket.socket.empty())
        throw std::invalid_argument("which socket? A path, or @NAME for an abstract one, such as "
                                    "ipclab memif respond @demo");
    if (*words_->respond) return words_->run_respond();
    return *words_->ping ? words_->run_ping_command() : words_->run_forward();
}

}  // namespace ipclab
