// memif interfaces in processes of their own: what crosses between them, and what happens when one
// ends.
#include "mechanisms/rings/memif/interface.hpp"
#include "tests/memif_by_hand.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/messages.hpp"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>

namespace ipclab::memif {
namespace {

using namespace std::chrono_literals;
using test::Process;
using test::wait_until;
using testing::HasSubstr;

void await_connection(Interface& interface) {
    wait_until(
        [&] {
            interface.service();
            return interface.connected();
        },
        "a connection");
}

/// Any bytes that tell which packet they are.
void write_packet(Bytes packet, std::uint64_t number) {
    for (std::size_t i = 0; i < packet.size(); ++i)
        packet[i] = static_cast<std::byte>(number * 31 + i);
}
bool is_packet(View packet, std::uint64_t number) {
    for (std::size_t i = 0; i < packet.size(); ++i)
        if (packet[i] != static_cast<std::byte>(number * 31 + i)) return false;
    return true;
}

/// Sends back what comes, on every queue, for ever.
[[noreturn]] void echo(Options options) {
    Interface interface(std::move(options));
    std::vector<std::byte> packet(1 << 20);
    for (unsigned turn = 0;; ++turn) {
        if (!interface.connected() || turn % 256 == 0) interface.service();
        for (std::uint16_t queue = 0; queue < interface.queues(); ++queue) {
            const auto size = interface.receive(queue).receive(packet);
            if (!size) continue;
            while (!interface.transmit(queue).send(View(packet).first(*size)) &&
                   interface.connected())
                interface.service();
            interface.transmit(queue).flush();
        }
        if (turn % 64 == 0) std::this_thread::yield();
    }
}

struct Pair {
    const char* name;
    SocketRole role = SocketRole::server;
    std::uint16_t queues = 1;
    unsigned log2_ring_size = 10;
    std::size_t packets = 3000;
    std::size_t bytes_max = 2048;
    std::uint16_t buffer_bytes = 2048;
};
void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.name; }

class MemifPair : public testing::TestWithParam<Pair> {
  protected:
    [[nodiscard]] Options options(SocketRole role) const {
        return {.socket = socket_,
                .role = role,
                .id = 5,
                .secret = "psst",
                .queues = GetParam().queues,
                .log2_ring_size = GetParam().log2_ring_size,
                .buffer_bytes = GetParam().buffer_bytes,
                .reconnect_interval = 5ms};
    }
    std::string socket_ = fresh_socket("memif-pair");
};

TEST_P(MemifPair, EchoesEveryPacketOnItsQueueInOrder) {
    const Pair& pair = GetParam();
    const SocketRole other =
        pair.role == SocketRole::server ? SocketRole::client : SocketRole::server;
    Process peer = Process::forked([&] { echo(options(other)); });
    Interface mine(options(pair.role));
    await_connection(mine);
    ASSERT_EQ(mine.queues(), pair.queues);
    std::vector<std::byte> packet(pair.bytes_max);
    std::vector<std::uint64_t> sent(pair.queues);
    std::vector<std::uint64_t> received(pair.queues);
    const auto size_of = [&](std::uint64_t number) {
        return number % 3 == 0 ? pair.bytes_max : 1 + number * 7919 % pair.bytes_max;
    };
    wait_until(
        [&] {
            bool done = true;
            for (std::uint16_t queue = 0; queue < pair.queues; ++queue) {
                for (; sent[queue] < pair.packets; ++sent[queue]) {
                    const Bytes room = Bytes(packet).first(size_of(sent[queue]));
                    write_packet(room, sent[queue] + queue);
                    if (!mine.transmit(queue).send(room)) break;
                }
                mine.transmit(queue).flush();
                while (const auto size = mine.receive(queue).receive(packet)) {
                    EXPECT_EQ(*size, size_of(received[queue]));
                    EXPECT_TRUE(is_packet(View(packet).first(*size), received[queue] + queue));
                    ++received[queue];
                }
                done = done && received[queue] == pair.packets;
            }
            mine.service();
            return done || HasFailure() || !mine.connected();
        },
        "all packets");
    for (const std::uint64_t count : received) EXPECT_EQ(count, pair.packets);
    const Statistics all = mine.statistics();
    EXPECT_EQ(all.sent.packets, pair.packets * pair.queues);
    EXPECT_EQ(all.received.bytes, all.sent.bytes);
    EXPECT_EQ(all.received.dropped + all.violations + all.disconnections, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    , MemifPair,
    testing::Values(Pair{"AsServer"}, Pair{"AsClient", SocketRole::client},
                    // More than 65536 slots: the indices wrap.
                    Pair{"WrapsAsServer", SocketRole::server, 1, 10, 140'000, 8, 64},
                    Pair{"WrapsAsClient", SocketRole::client, 1, 10, 140'000, 8, 64},
                    Pair{"TwoSlotsAsServer", SocketRole::server, 1, 1, 500},
                    Pair{"TwoSlotsAsClient", SocketRole::client, 1, 1, 500},
                    Pair{"ManySlotsAsServer", SocketRole::server, 1, 14, 40'000, 64},
                    Pair{"ManySlotsAsClient", SocketRole::client, 1, 14, 40'000, 64},
                    Pair{"ChainsAsServer", SocketRole::server, 1, 6, 2000, 9000, 256},
                    Pair{"ChainsAsClient", SocketRole::client, 1, 6, 2000, 9000, 256},
                    Pair{"TwoQueuesAsServer", SocketRole::server, 2},
                    Pair{"TwoQueuesAsClient", SocketRole::client, 2},
                    Pair{"FourQueuesAsServer", SocketRole::server, 4},
                    Pair{"FourQueuesAsClient", SocketRole::client, 4}),
    [](const auto& about) { return about.param.name; });

// ---------------------------------------------------------------------------------------------

class Memif : public testing::Test {
  protected:
    [[nodiscard]] Options server() const { return {.socket = socket_, .reconnect_interval = 5ms}; }
    [[nodiscard]] Options client() const {
        Options options = server();
        options.role = SocketRole::client;
        return options;
    }
    /// Why a server is refused its socket's name.
    [[nodiscard]] std::string refusal() const {
        try {
            const Interface refused(server());
        } catch (const Refused& why) {
            return why.what();
        }
        return "none";
    }
    static void expect_an_echo(Interface& interface) {
        std::array<std::byte, 100> packet{};
        await_connection(interface);
        write_packet(packet, 7);
        wait_until([&] { return interface.transmit(0).send(packet); }, "room");
        interface.transmit(0).flush();
        std::optional<std::size_t> size;
        wait_until([&] { return (size = interface.receive(0).receive(packet)).has_value(); },
                   "an echo");
        EXPECT_TRUE(is_packet(View(packet).first(*size), 7));
    }
    std::string socket_ = fresh_socket("memif");
};

TEST_F(Memif, GoesOnWithANewPeerAfterOneIsKilled) {
    open_the_registry();
    for (const SocketRole role : {SocketRole::server, SocketRole::client}) {
        socket_ = fresh_socket("memif");
        const Options theirs = role == SocketRole::server ? client() : server();
        std::optional<Interface> mine(role == SocketRole::server ? server() : client());
        std::size_t descriptors = 0;
        for (int life = 0; life < 4; ++life) {
            Process peer = Process::forked([&] {
                mine.reset();
                echo(theirs);
            });
            expect_an_echo(*mine);
            if (life == 0) descriptors = open_descriptors();
            EXPECT_EQ(open_descriptors(), descriptors) << "in life " << life;
            peer.kill();
            turn_until(
                *mine, [&] { return !mine->connected(); }, "the news of a death");
            EXPECT_EQ(mine->last_ending(), Ending::died);
        }
        EXPECT_EQ(mine->statistics().connections, 4U);
    }
}

TEST_F(Memif, ReadsWhatAPeerSentBeforeItLeft) {
    Interface mine(server());
    Process peer = Process::forked([&] {
        Interface theirs(client());
        await_connection(theirs);
        for (std::uint64_t i = 0; i < 100; ++i) {
            std::array<std::byte, 50> packet{};
            write_packet(packet, i);
            if (!theirs.transmit(0).send(packet)) throw std::runtime_error("no room");
        }
        theirs.transmit(0).flush();
    });
    await_connection(mine);
    EXPECT_EQ(peer.wait(), 0);
    turn_until(
        mine, [&] { return !mine.connected(); }, "the news of its leave");
    EXPECT_EQ(mine.last_ending(), Ending::left);
    EXPECT_EQ(mine.receive_queues(), 0) << "of the present connection";
    std::array<std::byte, 50> packet{};
    for (std::uint64_t i = 0; i < 100; ++i) {
        ASSERT_EQ(mine.receive(0).receive(packet), 50U);
        EXPECT_TRUE(is_packet(packet, i));
    }
    EXPECT_FALSE(mine.receive(0).receive(packet).has_value());
    EXPECT_FALSE(mine.transmit(0).send(packet));
}

TEST_F(Memif, TurnsASecondClientAwayWhileItHasOne) {
    Process peer = Process::forked([&] { echo(server()); });
    wait_until(
        [&] {
            Interface probe(client());
            return probe.last_ending() != Ending::failed;
        },
        "the server");
    Interface first(client());
    await_connection(first);
    Interface second(client());
    turn_until(
        second, [&] { return second.last_ending() == Ending::left; }, "a refusal");
    EXPECT_THAT(second.last_disconnect(), HasSubstr("already connected"));
    expect_an_echo(first);
}

TEST_F(Memif, IsRefusedByItsServerForIdAndSecret) {
    Options options = server();
    options.secret = "psst";
    Interface listening(options);
    const auto refusal_of = [&](const Options& asking) {
        Interface refused(asking);
        turn_until(
            listening,
            [&] {
                refused.service();
                return refused.last_ending() == Ending::left;
            },
            "a refusal");
        return refused.last_disconnect();
    };
    EXPECT_THAT(refusal_of(client()), HasSubstr("incorrect secret"));
    Options asking = client();
    asking.secret = "psst";
    asking.id = 3;
    EXPECT_THAT(refusal_of(asking), HasSubstr("id not found"));
}

/// Many rounds of two packets, each side asleep in between: a lost wake-up would leave one lying.
TEST_F(Memif, LosesNoWakeUpInInterruptMode) {
    constexpr std::uint64_t rounds = 10'000;
    constexpr int patience_ms = 5000;
    // Returns whether a packet came before patience ended.
    const auto hear_two = [](Interface& interface, std::uint64_t round) {
        ReceiveQueue& queue = interface.receive(0);
        std::array<std::byte, 16> packet{};
        for (std::uint64_t heard = 0; heard < 2;) {
            if (const auto size = queue.receive(packet)) {
                if (!is_packet(View(packet).first(*size), 2 * round + heard++)) return false;
                continue;
            }
            queue.mode(Mode::interrupt);
            pollfd signalled{queue.descriptor(), POLLIN, 0};
            if (queue.receive(packet)) {
                ++heard;
            } else {
                if (::poll(&signalled, 1, patience_ms) != 1) return false;
                queue.drain();
            }
            queue.mode(Mode::polling);
        }
        return true;
    };
    const auto say_two = [](Interface& interface, std::uint64_t round) {
        for (const std::uint64_t number : {2 * round, 2 * round + 1}) {
            std::array<std::byte, 16> packet{};
            write_packet(packet, number);
            interface.transmit(0).send(packet);
            interface.transmit(0).flush();
        }
    };
    Process peer = Process::forked([&] {
        Interface theirs(client());
        await_connection(theirs);
        for (std::uint64_t round = 0; round < rounds; ++round) {
            if (!hear_two(theirs, round)) throw std::runtime_error("a wake-up was lost");
            say_two(theirs, round);
        }
    });
    Interface mine(server());
    await_connection(mine);
    wait_until([&] { return mine.transmit(0).slots() != 0 && !mine.transmit(0).loan(1).empty(); },
               "buffers");
    for (std::uint64_t round = 0; round < rounds; ++round) {
        say_two(mine, round);
        ASSERT_TRUE(hear_two(mine, round)) << "in round " << round;
    }
    EXPECT_EQ(peer.wait(), 0);
    EXPECT_GT(mine.statistics().received.signals, 0U) << "nobody ever slept";
}

TEST_F(Memif, MayBeUsedByAThreadForEachQueueWhilePeersComeAndGo) {
    constexpr std::uint16_t queues = 2;
    Options options = server();
    options.queues = queues;
    Interface mine(options);
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> received{0};
    std::vector<std::thread> threads;
    for (std::uint16_t queue = 0; queue < queues; ++queue)
        threads.emplace_back([&, queue] {
            std::array<std::byte, 100> packet{};
            while (!done) {
                mine.transmit(queue).send(packet);
                mine.transmit(queue).flush();
                if (mine.receive(queue).receive(packet)) ++received;
                std::this_thread::yield();
            }
        });
    for (int life = 0; life < 5; ++life) {
        Options theirs = client();
        theirs.queues = queues;
        Process peer = Process::forked([&] { echo(theirs); });
        const std::uint64_t before = received;
        turn_until(
            mine, [&] { return received > before + 1000; }, "echoes");
        peer.kill();
        turn_until(
            mine, [&] { return !mine.connected(); }, "the news of a death");
    }
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(mine.statistics().violations, 0U);
}

TEST_F(Memif, GivesBuffersBackInBatchesAndKeepsNone) {
    constexpr std::uint16_t slots = 64;
    constexpr int batch = slots / 8;
    ServerByHand peer(socket_);
    Options options = client();
    options.log2_ring_size = 6;
    Interface mine(options);
    peer.get_connected(mine);
    ReceiveQueue& queue = mine.receive(0);
    std::uint16_t sent = 0;
    const auto send = [&](int packets, std::uint16_t flags = 0) {
        for (; packets > 0; --packets) {
            peer.m2s.slots[sent % slots].length = 10;
            peer.m2s.slots[sent % slots].flags = flags;
            ++sent;
        }
        peer.m2s.header->tail = sent;
    };
    const auto take = [&] {
        ASSERT_TRUE(queue.peek());
        queue.release_in_batches();
    };
    const auto given_back = [&] { return peer.m2s.header->head - slots; };

    send(20);
    for (int taken = 1; taken < 20; ++taken) {
        take();
        EXPECT_EQ(given_back(), taken / batch * batch);
    }
    take();
    EXPECT_EQ(given_back(), 20) << "all that was seen has been taken";

    send(2);
    send(1, flag_next);
    take();
    take();
    EXPECT_EQ(given_back(), 20);
    EXPECT_FALSE(queue.peek()) << "a chain without its end";
    EXPECT_EQ(given_back(), 22) << "there is nothing to receive";
    EXPECT_TRUE(mine.connected());
}

// ---------------------------------------------------------------------------------------------
// The socket's file.

TEST_F(Memif, GuardsItsSocketsFileAndRemovesIt) {
    socket_ = fmt::format("{}/{}", runtime_folder(), fresh_name("memif"));
    {
        const Interface mine(server());
        struct stat status {};
        ASSERT_EQ(::stat(socket_.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 0777U, 0600U);
        EXPECT_THAT(refusal(), HasSubstr(fmt::format("a program listens on {} already; choose "
                                                     "another path, or stop that program",
                                                     socket_)));
    }
    EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(Memif, RemovesAFileToWhichNobodyListens) {
    socket_ = fmt::format("{}/{}", runtime_folder(), fresh_name("memif"));
    Process peer = Process::forked([&] { echo(server()); });
    wait_until([&] { return std::filesystem::exists(socket_); }, "a socket");
    peer.kill();
    EXPECT_TRUE(std::filesystem::exists(socket_));
    { const Interface mine(server()); }
    EXPECT_FALSE(std::filesystem::exists(socket_));

    const Fd file(must(::open(socket_.c_str(), O_CREAT | O_CLOEXEC, 0600), "open"));
    EXPECT_THAT(refusal(), HasSubstr(fmt::format("{} is there and is no socket", socket_)));
    EXPECT_TRUE(std::filesystem::exists(socket_)) << "it is not ours to remove";
    ::unlink(socket_.c_str());
}

TEST_F(Memif, RefusesAnAbstractNameOnWhichSomebodyListens) {
    const Interface mine(server());
    EXPECT_THAT(refusal(), HasSubstr(fmt::format("a program listens on {} already; choose another "
                                                 "name, or stop that program",
                                                 socket_)));
}

TEST_F(Memif, RefusesAFileThatAProgramHasOpenWithoutListening) {
    socket_ = fmt::format("{}/{}", runtime_folder(), fresh_name("memif"));
    const sockets::UnixAddress address(socket_);
    const Fd datagrams(must(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    const NamedObject name = address.bind(datagrams.get());
    EXPECT_THAT(refusal(), HasSubstr(fmt::format("a program has the socket {} open", socket_)));
    EXPECT_TRUE(std::filesystem::exists(socket_));
}

TEST_F(Memif, RefusesOptionsOutOfTheirRange) {
    const auto with = [&](auto&& adjust) {
        Options options = server();
        adjust(options);
        Interface made(std::move(options));
    };
    EXPECT_THROW(with([](Options& options) { options.queues = 0; }), Refused);
    EXPECT_THROW(with([](Options& options) { options.queues = 257; }), Refused);
    EXPECT_THROW(with([](Options& options) { options.log2_ring_size = 0; }), Refused);
    EXPECT_THROW(with([](Options& options) { options.log2_ring_size = 15; }), Refused);
    EXPECT_THROW(with([](Options& options) { options.secret = std::string(24, 'x'); }), Refused);
    EXPECT_THROW(with([](Options& options) { options.name = std::string(32, 'x'); }), Refused);
}

// ---------------------------------------------------------------------------------------------
// Messages as others send them.

std::string leading_bytes(const Message& message, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i)
        text += fmt::format("{:02x} ", std::to_integer<unsigned>(message[i]));
    return text;
}

TEST(MemifMessages, LieAsOthersSendThem) {
    const Message hello = encoded(Hello{.name = Text<32>("DPDK 22.11.11"),
                                        .max_region = 255,
                                        .max_m2s_ring = 255,
                                        .max_s2m_ring = 255,
                                        .max_log2_ring_size = 14});
    EXPECT_EQ(leading_bytes(hello, 7), "02 00 44 50 44 4b 20 ");
    Message tail{};
    std::copy(hello.begin() + 34, hello.end(), tail.begin());
    EXPECT_EQ(leading_bytes(tail, 12), "00 02 00 02 ff 00 ff 00 ff 00 0e 00 ");
    EXPECT_EQ(leading_bytes(encoded(Init{.id = 7, .secret = {}, .name = {}}), 10),
              "03 00 00 02 07 00 00 00 00 00 ");
    EXPECT_EQ(leading_bytes(encoded(Init{.id = 0, .secret = Text<24>("abc"), .name = {}}), 13),
              "03 00 00 02 00 00 00 00 00 61 62 63 00 ");
    EXPECT_EQ(leading_bytes(encoded(AddRegion{0, 33'024}), 12),
              "04 00 00 00 00 81 00 00 00 00 00 00 ");
    EXPECT_EQ(leading_bytes(encoded(AddRegion{1, 4 << 20}), 12),
              "04 00 01 00 00 00 40 00 00 00 00 00 ");
    EXPECT_EQ(leading_bytes(encoded(AddRing{1, 0, 0, 0, 10}), 15),
              "05 00 01 00 00 00 00 00 00 00 00 00 0a 00 00 ");
    EXPECT_EQ(leading_bytes(encoded(AddRing{0, 0, 0, 16'512, 10}), 15),
              "05 00 00 00 00 00 00 00 80 40 00 00 0a 00 00 ");
    EXPECT_EQ(leading_bytes(encoded(Connect{.name = Text<32>("mb0")}), 6), "06 00 6d 62 30 00 ");
    EXPECT_EQ(leading_bytes(encoded(Ack{}), 4), "01 00 00 00 ");
}

}  // namespace
}  // namespace ipclab::memif

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    ipclab::test::withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
