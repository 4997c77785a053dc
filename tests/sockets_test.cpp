// What sockets promise beyond the common contract: who may come, what is lost and what is not.
#include "mechanisms/sockets/tcp.hpp"
#include "mechanisms/sockets/udp.hpp"
#include "mechanisms/sockets/udp_credit.hpp"
#include "mechanisms/sockets/unix_dgram.hpp"
#include "mechanisms/sockets/unix_seqpacket.hpp"
#include "mechanisms/sockets/unix_stream.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr uid_t nobody = 65534;

bool can_become_nobody() {
    return Process::forked([] { ::_exit(::setuid(nobody) == 0 ? 0 : 1); }).wait() == 0;
}

/// What `action` threw, as words.
template <class Error>
std::string words_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    } catch (const IpcError& error) {
        return fmt::format("another error: {}", error.what());
    }
    return "nothing was thrown";
}

void expect_in_child(bool holds, std::string_view what) {
    if (!holds) throw std::runtime_error(std::string(what));
}

View view_of(const std::uint64_t& number) { return std::as_bytes(std::span(&number, 1)); }

/// Receives one number.
template <class E>
std::uint64_t hear(E& endpoint) {
    std::uint64_t number = 0;
    EXPECT_EQ(endpoint.receive(std::as_writable_bytes(std::span(&number, 1))), sizeof number);
    return number;
}

// ---------------------------------------------------------------------------------------------
// UDP.

constexpr std::uint64_t flood = 2000;

/// Sends the numbers below `flood`, and one more when it is told to.
Process flooding_peer(Udp& udp, const Flare& flooded, const Flare& go_on) {
    return Process::forked([&] {
        auto endpoint = udp.attach({Side::initiator});
        for (std::uint64_t number = 0; number < flood; ++number) endpoint.send(view_of(number));
        flooded.raise();
        go_on.wait();
        endpoint.send(view_of(flood));
    });
}

TEST(BareUdp, ReportsAsManyLostAsWereSentAndNotReceived) {
    Needs needs;
    needs.timeout = 2s;
    Udp udp = Udp::create(needs);
    const Flare flooded;
    const Flare go_on;
    Process peer = flooding_peer(udp, flooded, go_on);
    auto endpoint = udp.attach({Side::responder});
    flooded.wait();
    std::uint64_t received = 0;
    std::uint64_t lost = 0;
    try {
        for (;; ++received) ASSERT_EQ(hear(endpoint), received);
    } catch (const Lost& report) {
        lost = report.count;
    }
    EXPECT_GT(received, 0U);
    EXPECT_GT(lost, 0U) << "the buffer was large enough";
    EXPECT_EQ(received + lost, flood);
    go_on.raise();
    EXPECT_EQ(hear(endpoint), flood) << "and goes on after the loss";
}

TEST(BareUdp, ReportsALossBeforeTheNextMessage) {
    Needs needs;
    needs.timeout = 2s;
    Udp udp = Udp::create(needs);
    const Flare flooded;
    const Flare go_on;
    Process peer = flooding_peer(udp, flooded, go_on);
    auto endpoint = udp.attach({Side::responder});
    flooded.wait();
    std::uint64_t received = 0;
    // Many, because the kernel takes its time to let go of what was read.
    for (; received < 150; ++received) ASSERT_EQ(hear(endpoint), received);
    go_on.raise();
    EXPECT_EQ(peer.wait(), 0);
    try {
        for (;; ++received) ASSERT_EQ(hear(endpoint), received);
    } catch (const Lost& report) {
        EXPECT_EQ(received + report.count, flood);
    }
    EXPECT_EQ(hear(endpoint), flood);
}

TEST(BareUdp, TheKernelChargesNoMoreThanIsTold) {
    const Fd receiver(must(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    const NamedObject port = sockets::bind_to_port(receiver.get(), "", ObjectKind::udp_port);
    const sockaddr_in where = sockets::loopback(port.name());
    const Fd sender(must(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    must(::connect(sender.get(), sockets::pointer_to(where), sizeof where), "connect");
    std::vector<std::byte> datagram(Udp::datagram_bytes_max);
    for (std::size_t bytes = 0; bytes <= datagram.size(); bytes += bytes < 4096 ? 1 : 61) {
        must(::send(sender.get(), datagram.data(), bytes, 0), "send");
        std::uint32_t figures[SK_MEMINFO_VARS]{};
        socklen_t size = sizeof figures;
        must(::getsockopt(receiver.get(), SOL_SOCKET, SO_MEMINFO, figures, &size), "getsockopt");
        ASSERT_LE(figures[SK_MEMINFO_RMEM_ALLOC], Udp::charge(bytes)) << bytes << " bytes";
        must(::recv(receiver.get(), datagram.data(), datagram.size(), 0), "recv");
    }
}

/// Both sides send, far more than either has room for, before either receives.
TEST(CreditedUdp, LosesNothingWhenBothSpeakAtOnce) {
    constexpr std::uint64_t messages = 20'000;
    UdpCredit udp = UdpCredit::create({});
    const auto converse = [](auto& endpoint) {
        auto speaking = std::async(std::launch::async, [&] {
            for (std::uint64_t i = 0; i < messages; ++i) endpoint.send(view_of(i));
        });
        for (std::uint64_t i = 0; i < messages; ++i)
            expect_in_child(hear(endpoint) == i, "in order");
        speaking.get();
    };
    Process peer = Process::forked([&] {
        auto endpoint = udp.attach({Side::initiator});
        converse(endpoint);
    });
    auto endpoint = udp.attach({Side::responder});
    converse(endpoint);
    EXPECT_EQ(peer.wait(), 0);
}

// ---------------------------------------------------------------------------------------------
// Ports.

template <class M>
struct Ports : testing::Test {};
using PortMechanisms = testing::Types<Tcp, Udp, UdpCredit>;
TYPED_TEST_SUITE(Ports, PortMechanisms);

TYPED_TEST(Ports, OneInUseIsRefusedByNumber) {
    const auto first = TypeParam::create({});
    Needs same;
    same.address = first.address();
    EXPECT_THAT(words_of<Refused>([&] { TypeParam::create(same); }),
                HasSubstr(fmt::format("port {} is in use", first.address().name)));
    EXPECT_THAT(words_of<Refused>([&] {
                    Needs odd;
                    odd.address = {"65536"};
                    TypeParam::create(odd);
                }),
                HasSubstr("65536 is not a port"));
}

// ---------------------------------------------------------------------------------------------
// Strangers.

void send_as_a_stranger(const Udp& udp) {
    const Fd stranger(must(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    const sockaddr_in where = sockets::loopback(udp.address().name);
    must(::sendto(stranger.get(), "strange", 8, 0, sockets::pointer_to(where), sizeof where),
         "sendto");
}
void send_as_a_stranger(const UnixDgram& dgram) {
    const Fd stranger(must(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    dgram.address().name.copy(where.sun_path, sizeof where.sun_path - 1);
    const auto sent = ::sendto(stranger.get(), "strange", 8, MSG_DONTWAIT,
                               reinterpret_cast<const sockaddr*>(&where), sizeof where);
    expect_in_child(sent == 8 || errno == EPERM, "the kernel may turn a stranger away");
}

template <class M>
struct Datagrams : testing::Test {};
using DatagramMechanisms = testing::Types<Udp, UnixDgram>;
TYPED_TEST_SUITE(Datagrams, DatagramMechanisms);

TYPED_TEST(Datagrams, OfAStrangerAreNotTakenForMessages) {
    TypeParam datagrams = TypeParam::create({});
    const auto come_a_stranger = [&] {
        EXPECT_EQ(Process::forked([&] { send_as_a_stranger(datagrams); }).wait(), 0);
    };
    come_a_stranger();  // before anybody was there
    const Flare attached;
    const Flare go_on;
    Process peer = Process::forked([&] {
        auto endpoint = datagrams.attach({Side::initiator});
        attached.raise();
        go_on.wait();
        endpoint.send(view_of(1));
        endpoint.send({});
        endpoint.send(view_of(2));
    });
    auto endpoint = datagrams.attach({Side::responder});
    attached.wait();
    come_a_stranger();  // in the middle of a conversation
    go_on.raise();
    EXPECT_EQ(hear(endpoint), 1U);
    EXPECT_EQ(endpoint.receive({}), 0U) << "an empty message is a message";
    EXPECT_EQ(hear(endpoint), 2U);
    EXPECT_EQ(peer.wait(), 0);
}

/// At both ends: whoever asks first says so, and the other finds the connection refused or closed.
TEST(AbstractNames, AnotherUserIsRefusedByCredentials) {
    if (!can_become_nobody()) GTEST_SKIP() << "this process may not become another user";
    const uid_t creator = ::geteuid();
    UnixStreamAbstract server = UnixStreamAbstract::create({});
    Process peer = Process::forked([&] {
        must(::setuid(nobody), "setuid");
        auto opened = UnixStreamAbstract::open(server.address(), {});
        const auto words = words_of<Refused>([&] { opened.attach({Side::initiator}); });
        expect_in_child(words.find(fmt::format("belongs to uid {}, this", creator)) !=
                            std::string::npos,
                        words);
    });
    EXPECT_THAT(words_of<Refused>([&] { server.attach({Side::responder}); }),
                HasSubstr("belongs to uid 65534, this one to "));
    EXPECT_EQ(peer.wait(), 0);
}

template <class M>
struct Paths : testing::Test {};
using PathMechanisms = testing::Types<UnixStream, UnixSeqpacket, UnixDgram>;
TYPED_TEST_SUITE(Paths, PathMechanisms);

/// In a folder that is open to all: it is the socket that keeps them out.
TYPED_TEST(Paths, AnotherUserIsRefusedByTheMode) {
    if (!can_become_nobody()) GTEST_SKIP() << "this process may not become another user";
    Needs needs;
    needs.address = {fmt::format("/tmp/{}", fresh_name("test"))};
    const auto server = TypeParam::create(needs);
    Process peer = Process::forked([&] {
        must(::setuid(nobody), "setuid");
        try {
            TypeParam::open(server.address(), {}).attach({Side::initiator});
        } catch (const IpcError& error) {
            expect_in_child(error.error() == EACCES, error.what());
            return;
        }
        throw std::runtime_error("another user was let in");
    });
    EXPECT_EQ(peer.wait(), 0);
}

TYPED_TEST(Paths, AreMadeAbsoluteAndNeverTakenOver) {
    Needs needs;
    needs.address = {
        std::filesystem::relative(fmt::format("{}/{}", runtime_folder(), fresh_name("test")))};
    const auto first = TypeParam::create(needs);
    EXPECT_TRUE(std::filesystem::path(first.address().name).is_absolute());
    EXPECT_THROW(TypeParam::create(needs), Refused);
    EXPECT_TRUE(std::filesystem::exists(first.address().name)) << "refused, and removed it";
}

TYPED_TEST(Paths, MayBeAbstractNames) {
    Needs needs;
    needs.address = {fmt::format("@{}", fresh_name("test"))};
    TypeParam server = TypeParam::create(needs);
    EXPECT_EQ(server.address().name, needs.address.name);
    EXPECT_THROW(TypeParam::create(needs), Refused);
    Process peer = Process::forked([&] {
        auto endpoint = TypeParam::open(needs.address, {}).attach({Side::initiator});
        endpoint.send(view_of(7));
    });
    auto endpoint = server.attach({Side::responder});
    EXPECT_EQ(hear(endpoint), 7U);
    EXPECT_EQ(peer.wait(), 0);
}

// ---------------------------------------------------------------------------------------------
// Room.

/// Both ends in this process.
template <class M>
std::size_t capacity_when_asked_for(std::size_t bytes, std::size_t message_bytes_max = 0) {
    Needs needs;
    needs.message_bytes_max = message_bytes_max;
    needs.capacity_bytes = bytes;
    M mechanism = M::create(needs);
    auto initiator = std::async(std::launch::async, [&] {
        return M::open(mechanism.address(), needs).attach({Side::initiator}).capacity_bytes();
    });
    const std::size_t capacity = mechanism.attach({Side::responder}).capacity_bytes();
    EXPECT_EQ(initiator.get(), capacity);
    return capacity;
}

template <class M>
struct Room : testing::Test {};
using RoomyMechanisms = testing::Types<UnixStream, UnixSeqpacket, UnixDgram, Tcp, Udp>;
TYPED_TEST_SUITE(Room, RoomyMechanisms);

TYPED_TEST(Room, IsNeverLessThanWasAskedFor) {
    for (const std::size_t bytes : {1, 4096, 20'000, 65'536, 100'000, 400'000})
        EXPECT_GE(capacity_when_asked_for<TypeParam>(bytes), bytes);
}

TYPED_TEST(Room, IsNotLessForSmallMessages) {
    EXPECT_GE(capacity_when_asked_for<TypeParam>(0, 8), capacity_when_asked_for<TypeParam>(0));
}

TYPED_TEST(Room, BeyondTheLimitIsRefusedByName) {
    Needs needs;
    needs.capacity_bytes = std::size_t{1} << 40;
    EXPECT_THAT(words_of<LimitReached>([&] { TypeParam::create(needs); }),
                HasSubstr("mem_max is "));
    // Within reach of who may pass the limit (CAP_NET_ADMIN), and of nobody else.
    needs.capacity_bytes = 4 * limits::socket_send_bytes().value;
    if (!can_become_nobody()) GTEST_SKIP() << "this process may not give up its privileges";
    Process unprivileged = Process::forked([&] {
        must(::setuid(nobody), "setuid");
        const auto words = words_of<LimitReached>([&] { TypeParam::create(needs); });
        expect_in_child(words.find("mem_max is ") != std::string::npos, words);
    });
    EXPECT_EQ(unprivileged.wait(), 0);
}

/// The limit of which the lecture on unix-dgram tells.
TEST(UnixDgramQueue, IsShortUnlessItIsConnectedBack) {
    std::ifstream file("/proc/sys/net/unix/max_dgram_qlen");
    int limit = 0;
    ASSERT_TRUE(file >> limit);
    const auto accepts = [](bool connected_back) {
        const Fd receiver(must(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
        const Fd sender(must(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
        const auto bind_and_connect = [](const Fd& bound, const Fd& connected) {
            sockaddr_un where{};
            where.sun_family = AF_UNIX;
            must(::bind(bound.get(), reinterpret_cast<sockaddr*>(&where), sizeof(sa_family_t)),
                 "bind");
            socklen_t size = sizeof where;
            auto* name = reinterpret_cast<sockaddr*>(&where);
            must(::getsockname(bound.get(), name, &size), "getsockname");
            must(::connect(connected.get(), name, size), "connect");
        };
        bind_and_connect(receiver, sender);
        if (connected_back) bind_and_connect(sender, receiver);
        int accepted = 0;
        while (::send(sender.get(), "x", 1, MSG_DONTWAIT) == 1) ++accepted;
        return accepted;
    };
    EXPECT_EQ(accepts(false), limit + 1);
    EXPECT_GT(accepts(true), 2 * limit);
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
