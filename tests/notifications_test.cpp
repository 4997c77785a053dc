// What the lessons of the notifications say beyond their facts. The suite of the messages is not
// for them, so that they notice a peer's end is tested here.
#include "mechanisms/notifications/eventfd.hpp"
#include "mechanisms/notifications/signal.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;

Needs patient_for(std::chrono::milliseconds timeout) {
    Needs needs;
    needs.timeout = timeout;
    return needs;
}

template <class M>
class Notifications : public testing::Test {
  protected:
    /// A peer that attaches, does `part(endpoint)`, and says so.
    Process peer_that(auto&& part) {
        return Process::forked([&] {
            auto endpoint = mechanism_.attach({Side::initiator});
            part(endpoint);
            done_.raise();
        });
    }
    EndpointOf<M> attach() { return mechanism_.attach({Side::responder}); }
    void wait_for_peer() const { done_.wait(); }

  private:
    M mechanism_ = M::create(patient_for(300ms));
    Flare done_;
};
using Each = testing::Types<EventFd, Signal>;
TYPED_TEST_SUITE(Notifications, Each);

constexpr auto say_nothing = [](auto& /*endpoint*/) {};
constexpr auto stay = [](auto& /*endpoint*/) {
    for (;;) ::pause();
};

TYPED_TEST(Notifications, ArePassedOn) {
    Process peer = this->peer_that([](auto& endpoint) {
        endpoint.wait();
        endpoint.notify();
    });
    auto endpoint = this->attach();
    endpoint.notify();
    endpoint.wait();
    EXPECT_EQ(peer.wait(), 0);
}

TYPED_TEST(Notifications, OfAPeerThatStandsStillAreGivenUpAtTheDeadline) {
    const Process peer = this->peer_that(stay);
    auto endpoint = this->attach();
    const auto start = Clock::now();
    EXPECT_THROW(endpoint.wait(), TimedOut);
    EXPECT_GE(Clock::now(), start + 300ms);
    EXPECT_LT(Clock::now(), start + 1s);
}

TYPED_TEST(Notifications, EndWithThePeer) {
    Process peer = this->peer_that(say_nothing);
    auto endpoint = this->attach();
    EXPECT_EQ(peer.wait(), 0);
    EXPECT_THROW(endpoint.wait(), Closed);
}

TYPED_TEST(Notifications, EndWithThePeersDeath) {
    Process peer = this->peer_that(stay);
    auto endpoint = this->attach();
    peer.kill();
    EXPECT_THROW(endpoint.wait(), PeerGone);
}

TYPED_TEST(Notifications, OutliveWhoMadeThem) {
    Process peer = this->peer_that([](auto& endpoint) { endpoint.notify(); });
    auto endpoint = this->attach();
    EXPECT_EQ(peer.wait(), 0);
    EXPECT_NO_THROW(endpoint.wait());
    EXPECT_THROW(endpoint.wait(), Closed);
}

using EventFds = Notifications<EventFd>;
TEST_F(EventFds, ThreeMayBeOne) {
    const Process peer = peer_that([](auto& endpoint) {
        for (int i = 0; i < 3; ++i) endpoint.notify();
    });
    auto endpoint = attach();
    wait_for_peer();
    EXPECT_EQ(endpoint.wait(), 3U);
    EXPECT_THROW(endpoint.wait(), IpcError) << "there is no second";
}

using Signals = Notifications<Signal>;
TEST_F(Signals, ThreeAreThreeAndInOrder) {
    const Process peer = peer_that([](auto& endpoint) {
        for (const int value : {7, 5, 6}) endpoint.notify(value);
    });
    const auto endpoint = attach();
    wait_for_peer();
    EXPECT_EQ(endpoint.wait(), 7);
    EXPECT_EQ(endpoint.wait(), 5);
    EXPECT_EQ(endpoint.wait(), 6);
    EXPECT_THROW(endpoint.wait(), IpcError) << "there is no fourth";
}

TEST_F(Signals, OfAStrangerAreNotTakenForThePeers) {
    const Process peer = peer_that([](auto& endpoint) {
        endpoint.wait();
        endpoint.notify(7);
        stay(endpoint);
    });
    const auto endpoint = attach();
    EXPECT_EQ(Process::forked([] {
                  must(::sigqueue(::getppid(), Signal::number(), {6}), "sigqueue");
              }).wait(),
              0);
    endpoint.notify();
    EXPECT_EQ(endpoint.wait(), 7);
}

TEST(SignalFacts, UrgentOnesOvertake) {
    ASSERT_TRUE(Signal::facts.priorities);
    Process process = Process::forked([] {
        sigset_t both;
        ::sigemptyset(&both);
        for (const int number : {Signal::number(), Signal::number() + 1})
            ::sigaddset(&both, number);
        ::pthread_sigmask(SIG_BLOCK, &both, nullptr);
        must(::sigqueue(::getpid(), Signal::number() + 1, {}), "sigqueue");
        must(::sigqueue(::getpid(), Signal::number(), {}), "sigqueue");
        ::_exit(::sigwaitinfo(&both, nullptr) == Signal::number() ? 0 : 1);
    });
    EXPECT_EQ(process.wait(), 0) << "the lower number comes first";
}

TEST(SignalFacts, NamesTheLimit) {
    Process process = Process::forked([] {
        const rlimit few{20, 20};
        must(::setrlimit(RLIMIT_SIGPENDING, &few), "setrlimit");
        Signal mechanism = Signal::create({});
        const Process peer = Process::forked([&] {
            const auto endpoint = mechanism.attach({Side::initiator});
            for (;;) ::pause();
        });
        const auto endpoint = mechanism.attach({Side::responder});
        try {
            for (int i = 0; i < 100; ++i) endpoint.notify();
            throw std::runtime_error("a hundred were queued");
        } catch (const LimitReached& limit) {
            const std::string words = limit.what();
            if (words.find("RLIMIT_SIGPENDING is 20") == std::string::npos)
                throw std::runtime_error(words);
        }
    });
    EXPECT_EQ(process.wait(), 0);
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
