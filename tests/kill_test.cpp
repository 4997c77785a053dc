// SIGKILL, everywhere: whichever end it hits, and at whatever moment, the other end gets a typed
// error within a second, the sweep leaves nothing behind, and a new pair can converse.
//
// $IPCLAB_KILL_POINTS sets how many random moments each mechanism has to stand (10).
#include "mechanisms/os/named_object.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/peers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <future>
#include <random>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::AnyOf;
using testing::IsEmpty;

/// What is killed: an end whose mechanism the survivor made, or the responder that made it.
enum class Victim { initiator, responder, maker };
enum class Moment { before_it_attaches, while_it_sends, while_it_waits, after_it_detached };

constexpr std::array victims{Victim::initiator, Victim::responder, Victim::maker};
constexpr std::array moments{Moment::before_it_attaches, Moment::while_it_sends,
                             Moment::while_it_waits, Moment::after_it_detached};

constexpr std::string_view name_of(Victim victim) {
    constexpr std::string_view names[] = {"initiator", "responder", "maker"};
    return names[static_cast<std::size_t>(victim)];
}
constexpr std::string_view name_of(Moment moment) {
    constexpr std::string_view names[] = {"before it attaches", "while it sends", "while it waits",
                                          "after it detached"};
    return names[static_cast<std::size_t>(moment)];
}

constexpr std::size_t message_bytes = 64;

void say(AnyEndpoint& endpoint) {
    std::array<std::byte, message_bytes> scratch{};
    endpoint.put(scratch, Manner::as_it_is, [](Bytes) {});
}
/// What is lost on the way, while both live, is another test's matter.
void hear(AnyEndpoint& endpoint) {
    std::array<std::byte, message_bytes> scratch{};
    try {
        endpoint.get(scratch, Manner::as_it_is, [](View) {});
    } catch (const Lost&) {
        return;
    }
}

/// What an action threw, by its type.
std::string outcome_of(const std::function<void()>& action) {
    try {
        action();
        return "returned";
    } catch (const Closed&) {
        return "Closed";
    } catch (const PeerGone&) {
        return "PeerGone";
    } catch (const TimedOut&) {
        return "TimedOut";
    } catch (const IpcError& error) {
        return error.what();
    }
}

/// A word that a child tells its parent.
class Whisper {
  public:
    Whisper() {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC), "pipe2");
        in_ = Fd(ends[0]);
        out_ = Fd(ends[1]);
    }
    void tell(const std::string& word) const {
        must(::write(out_.get(), word.data(), word.size()), "write");
    }
    [[nodiscard]] std::string hear() const {
        std::array<char, 512> word{};
        const auto got = must(::read(in_.get(), word.data(), word.size()), "read");
        return {word.data(), static_cast<std::size_t>(got)};
    }

  private:
    Fd in_;
    Fd out_;
};

class Kill : public testing::TestWithParam<Entry> {
  protected:
    void SetUp() override {
        if (GetParam().facts.after_a_kill == AfterAKill::survivor_may_hang)
            GTEST_SKIP() << GetParam().facts.name
                         << ": who is left may hang, as its lesson tells and its own test shows";
        if (const auto why = why_impossible(GetParam())) GTEST_SKIP() << *why;
    }
    void TearDown() override {
        EXPECT_THAT(objects_of(::getpid()), IsEmpty());
        EXPECT_THAT(system_v_ids(), IsEmpty());
    }

    static void expect_nothing_left(pid_t victim) {
        sweep_until([&] { return objects_of(victim).empty(); });
    }

    static void expect_a_new_pair_to_converse() {
        const auto mechanism = GetParam().create({});
        Process peer = Process::forked([&] {
            const auto endpoint = mechanism->attach({Side::initiator});
            say(*endpoint);
            hear(*endpoint);
        });
        const auto endpoint = mechanism->attach({Side::responder});
        hear(*endpoint);
        say(*endpoint);
        EXPECT_EQ(peer.wait(), 0);
    }
};
INSTANTIATE_TEST_SUITE_P(Catalog, Kill, testing::ValuesIn(catalog()), test_name);

// ---------------------------------------------------------------------------------------------
// The matrix: each end, at each of four moments.

/// In the victim: goes as far as its moment, says so, and stays there.
void go_to(Moment moment, AnyMechanism& mechanism, Side side, const Flare& there) {
    if (moment != Moment::before_it_attaches) {
        auto endpoint = mechanism.attach({side});
        if (moment == Moment::after_it_detached) endpoint.reset();
        there.raise();
        if (moment == Moment::while_it_sends)
            for (;;) say(*endpoint);
        if (moment == Moment::while_it_waits)
            for (;;) hear(*endpoint);
    } else {
        there.raise();
    }
    for (;;) ::pause();
}

class Murder {
  public:
    Murder(const Entry& entry, Victim victim, Moment moment) {
        Needs needs;
        if (moment == Moment::before_it_attaches) needs.timeout = 300ms;
        const Side side = victim == Victim::initiator ? Side::initiator : Side::responder;
        if (victim == Victim::maker) {
            victim_.emplace(Process::forked([&] {
                const auto made = entry.create(needs);
                address_.tell(made->address().name);
                go_to(moment, *made, side, there_);
            }));
            mechanism_ = entry.open({address_.hear()}, needs);
        } else {
            mechanism_ = entry.create(needs);
            victim_.emplace(Process::forked([&] { go_to(moment, *mechanism_, side, there_); }));
        }
        pid_ = victim_->pid();
        if (moment == Moment::before_it_attaches) kill();
        auto survivor = std::async(std::launch::async, [&] {
            outcome_ = outcome_of([&] {
                const auto endpoint = mechanism_->attach({other(side)});
                for (;;) hear(*endpoint);
            });
            told_at_ = Clock::now();
        });
        if (moment != Moment::before_it_attaches) {
            there_.wait();
            std::this_thread::sleep_for(10ms);
            kill();
        }
        survivor.get();
    }

    [[nodiscard]] pid_t victim() const { return pid_; }
    [[nodiscard]] const std::string& outcome() const { return outcome_; }
    [[nodiscard]] Clock::duration time_to_tell() const { return told_at_ - killed_at_; }

  private:
    void kill() {
        killed_at_ = Clock::now();
        victim_->kill();
    }

    Whisper address_;
    Flare there_;
    std::unique_ptr<AnyMechanism> mechanism_;
    std::optional<Process> victim_;
    pid_t pid_ = 0;
    std::string outcome_;
    Clock::time_point killed_at_;
    Clock::time_point told_at_;
};

TEST_P(Kill, TheSurvivorIsToldWhicheverEndItHits) {
    for (const Victim victim : victims)
        for (const Moment moment : moments) {
            if (victim == Victim::maker && !GetParam().addressed) continue;
            SCOPED_TRACE(fmt::format("the {} is killed {}", name_of(victim), name_of(moment)));
            const Murder murder(GetParam(), victim, moment);
            // A peer that has not come yet cannot be told from one that never will, but by a
            // listening socket that is gone, or when somebody has swept the dead one's objects.
            if (moment == Moment::before_it_attaches)
                EXPECT_THAT(murder.outcome(),
                            AnyOf("Closed", "PeerGone", "TimedOut",
                                  testing::HasSubstr("(Connection refused)"),
                                  testing::HasSubstr("(No such file or directory)")));
            else
                EXPECT_THAT(murder.outcome(), AnyOf("Closed", "PeerGone"));
            EXPECT_LT(murder.time_to_tell(), 1s);
            expect_nothing_left(murder.victim());
            if (HasFailure()) return;
        }
    expect_a_new_pair_to_converse();
}

// ---------------------------------------------------------------------------------------------
// Moments that nobody has thought of.

int kill_points() {
    const char* const asked = std::getenv("IPCLAB_KILL_POINTS");
    return asked == nullptr ? 10 : std::atoi(asked);
}

void converse_for_ever(AnyEndpoint& endpoint, Side side) {
    if (side == Side::initiator) say(endpoint);
    for (;;) {
        hear(endpoint);
        say(endpoint);
    }
}

TEST_P(Kill, TheSurvivorIsToldWhateverTheMoment) {
    std::mt19937 random(::getpid());
    for (int point = 0; point < kill_points(); ++point) {
        const Side side = point % 2 == 0 ? Side::initiator : Side::responder;
        const auto delay = std::chrono::microseconds(random() % 15'000);
        SCOPED_TRACE(fmt::format("the {} is killed after {} us",
                                 side == Side::initiator ? "initiator" : "responder",
                                 delay.count()));
        Needs needs;
        needs.timeout = 500ms;
        auto mechanism = GetParam().create(needs);
        Process victim = Process::forked([&] {
            const auto endpoint = mechanism->attach({side});
            converse_for_ever(*endpoint, side);
        });
        const pid_t pid = victim.pid();
        std::string outcome;
        Clock::time_point told_at;
        auto survivor = std::async(std::launch::async, [&] {
            outcome = outcome_of([&] {
                const auto endpoint = mechanism->attach({other(side)});
                converse_for_ever(*endpoint, other(side));
            });
            told_at = Clock::now();
        });
        std::this_thread::sleep_for(delay);
        const auto killed_at = Clock::now();
        victim.kill();
        survivor.get();
        EXPECT_THAT(outcome, AnyOf("Closed", "PeerGone", "TimedOut"));
        EXPECT_LT(told_at - killed_at, 1s);
        mechanism.reset();
        expect_nothing_left(pid);
        if (HasFailure()) return;
    }
    expect_a_new_pair_to_converse();
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    ipclab::test::withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
