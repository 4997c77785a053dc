// The villas-queue, between processes: several producers and consumers, the pool's conservation,
// whatever happens to a peer, and each weakness of the original that is mended here.
#include "mechanisms/rings/villas/meeting.hpp"
#include "mechanisms/rings/villas/villas_queue.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <gnu/libc-version.h>
#include <new>
#include <random>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using villas::DirectionOptions;
using villas::DirectionView;
using villas::Holder;
using villas::Mode;
using villas::NamedPair;
using villas::Outcome;

using Queues = VillasQueue<Mode::futex>;  // whatever the mode of the object
using Ref = DirectionView::Ref;

constexpr Mode all_modes[] = {Mode::polling, Mode::pthread, Mode::futex};
std::string name_of(Mode mode) {
    return mode == Mode::polling ? "polling" : mode == Mode::pthread ? "pthread" : "futex";
}
std::string name_of_mode(const testing::TestParamInfo<Mode>& about) { return name_of(about.param); }

/// Something that forked children share.
template <class T>
class SharedWithChildren {
  public:
    SharedWithChildren()
        : value_(new (must(
              ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
              "mmap")) T{}) {}
    SharedWithChildren(const SharedWithChildren&) = delete;
    SharedWithChildren& operator=(const SharedWithChildren&) = delete;
    ~SharedWithChildren() { ::munmap(value_, sizeof(T)); }
    T* operator->() const { return value_; }
    T& operator*() const { return *value_; }

  private:
    T* value_;
};

/// A direction with a name, which goes with this object.
class Direction {
  public:
    explicit Direction(const DirectionOptions& options)
        : name_(ObjectKind::posix_shm, fresh_name("villas-test")) {
        villas::give_name(villas::make_direction(options), name_.name());
    }
    [[nodiscard]] DirectionView view(Holder me) const { return {name_.name(), me}; }
    [[nodiscard]] const std::string& name() const { return name_.name(); }

  private:
    NamedObject name_;
};

void put_number(DirectionView& view, const Ref& ref, std::uint64_t number) {
    write_message({ref.sample->values(), view.samples().sample_bytes()}, number);
    ref.sample->sequence = number;
}
void push(DirectionView& view, const Ref& ref) {
    DirectionView::Samples::let_pass(ref);
    ASSERT_EQ(view.queue().push(reinterpret_cast<const std::byte*>(ref.sample)), Outcome::done);
    view.queue().ring();
}
/// Waits for the next sample; nothing once the queue is closed and empty.
std::optional<Ref> pull(DirectionView& view, std::chrono::milliseconds timeout = 20s) {
    Wait wait("pull", timeout);
    std::byte* item = nullptr;
    if (view.queue().await(item, [&] { wait.glance(); }) == Outcome::closed) return std::nullopt;
    return view.samples().admit(item);
}
Ref get(DirectionView& view) {
    Wait wait("get", 20s);
    return view.samples().get([&] { wait.glance(); });
}

class Villas : public testing::Test {
  protected:
    void TearDown() override {
        sweep_leftovers();
        EXPECT_THAT(objects_of(::getpid()), IsEmpty());
    }
};
class VillasInMode : public testing::TestWithParam<Mode> {
  protected:
    void TearDown() override {
        sweep_leftovers();
        EXPECT_THAT(objects_of(::getpid()), IsEmpty());
    }
    static VillasOptions options(std::uint64_t queuelen = 0) {
        VillasOptions made;
        made.queuelen = queuelen;
        made.by_initiator = made.by_responder = GetParam();
        return made;
    }
};
INSTANTIATE_TEST_SUITE_P(, VillasInMode, testing::ValuesIn(all_modes), name_of_mode);

constexpr std::uint64_t size = 40;
void say(Queues::Endpoint& endpoint, std::uint64_t number) {
    write_message(endpoint.loan(size), number);
    endpoint.publish(size);
}
void expect(Queues::Endpoint& endpoint, std::uint64_t number) {
    expect_message(endpoint.take(), size, number);
    endpoint.release();
}
void expect_all_free(DirectionView& view) {
    const auto census = view.census();
    EXPECT_EQ(census.free, view.options().queuelen);
    EXPECT_EQ(census.on_the_way, 0U);
    EXPECT_EQ(census.held, 0U);
}

// ---------------------------------------------------------------------------------------------
// Several producers and several consumers.

constexpr std::uint64_t producers = 3;
constexpr std::uint64_t consumers = 2;
constexpr std::uint64_t each = 300;

TEST_P(VillasInMode, ServesSeveralProducersAndConsumers) {
    struct Seen {
        std::atomic<int> times[producers * each];
    };
    const Direction direction({.queuelen = 5, .samplelen = 10, .mode = GetParam()});
    SharedWithChildren<Seen> seen;
    std::vector<Process> crowd;
    crowd.reserve(producers + consumers);
    for (std::uint64_t producer = 0; producer < producers; ++producer)
        crowd.push_back(Process::forked([&, producer] {
            DirectionView view = direction.view(static_cast<Holder>(1 + producer));
            for (std::uint64_t i = 0; i < each; ++i) {
                const Ref ref = get(view);
                put_number(view, ref, producer * each + i);
                push(view, ref);
            }
        }));
    for (std::uint64_t consumer = 0; consumer < consumers; ++consumer)
        crowd.push_back(Process::forked([&, consumer] {
            DirectionView view = direction.view(static_cast<Holder>(1 + producers + consumer));
            std::uint64_t next_of[producers]{};
            while (const auto ref = pull(view)) {
                const std::uint64_t number = ref->sample->sequence;
                expect_message({ref->sample->values(), view.samples().sample_bytes()},
                               view.samples().sample_bytes(), number);
                std::uint64_t& next = next_of[number / each];
                if (number % each < next) throw std::runtime_error("out of order");
                next = number % each + 1;
                ++seen->times[number];
                view.samples().drop(*ref);
            }
        }));
    for (std::uint64_t i = 0; i < producers; ++i) EXPECT_EQ(crowd[i].wait(), 0);
    DirectionView view = direction.view(99);
    view.queue().queue().close();
    view.queue().ring();
    for (std::uint64_t i = producers; i < crowd.size(); ++i) EXPECT_EQ(crowd[i].wait(), 0);
    for (const std::atomic<int>& times : seen->times) EXPECT_EQ(times, 1);
    expect_all_free(view);
}

TEST_P(VillasInMode, ConservesSamplesWhoeverOfACrowdIsKilled) {
    std::mt19937 random(1);
    for (int round = 0; round < 8; ++round) {
        const Direction direction({.queuelen = 5, .samplelen = 10, .mode = GetParam()});
        SharedWithChildren<std::atomic<std::uint64_t>> passed;
        std::vector<Process> crowd;
        crowd.reserve(producers + consumers);
        for (std::uint64_t producer = 0; producer < producers; ++producer)
            crowd.push_back(Process::forked([&, producer] {
                DirectionView view = direction.view(static_cast<Holder>(1 + producer));
                for (std::uint64_t number = producer;; number += producers) {
                    const Ref ref = get(view);
                    put_number(view, ref, number);
                    push(view, ref);
                }
            }));
        for (std::uint64_t consumer = 0; consumer < consumers; ++consumer)
            crowd.push_back(Process::forked([&, consumer] {
                DirectionView view = direction.view(static_cast<Holder>(1 + producers + consumer));
                while (const auto ref = pull(view)) {
                    expect_message({ref->sample->values(), view.samples().sample_bytes()},
                                   view.samples().sample_bytes(), ref->sample->sequence);
                    ++*passed;
                    view.samples().drop(*ref);
                }
            }));
        wait_until([&] { return *passed > 100; }, "samples on their way");
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
        const std::size_t first = random() % crowd.size();
        for (std::size_t i = 0; i < crowd.size(); ++i) crowd[(first + i) % crowd.size()].kill();
        // Whoever comes after is alone. Nothing is lost, and what is readable is whole.
        DirectionView view = direction.view(99);
        view.rebuild({});
        EXPECT_EQ(view.census().all(), 5U);
        EXPECT_EQ(view.census().held, 0U);
        for (std::uint64_t left = view.census().on_the_way; left > 0; --left) {
            const Ref ref = pull(view).value();
            expect_message({ref.sample->values(), view.samples().sample_bytes()},
                           view.samples().sample_bytes(), ref.sample->sequence);
            view.samples().drop(ref, DirectionView::Samples::Ring::no);  // see CondvarBell
        }
        expect_all_free(view);
    }
}

// ---------------------------------------------------------------------------------------------
// Lengths.

class VillasQueuelen : public Villas, public testing::WithParamInterface<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(, VillasQueuelen,
                         testing::Values(1, 2, 3, 500, 512, 600, 700, 1000, 1025));

TEST_P(VillasQueuelen, IsHowManySamplesAreAccepted) {
    Needs needs;
    needs.timeout = 0ms;
    VillasOptions options;
    options.queuelen = GetParam();
    auto mechanism = Queues::create(needs, options);
    auto initiator = mechanism.attach({Side::initiator});
    auto responder = mechanism.attach({Side::responder});
    std::uint64_t said = 0;
    std::uint64_t heard = 0;
    for (int lap = 0; lap < 3; ++lap) {
        while (said < heard + GetParam()) say(initiator, said++);
        EXPECT_THROW(initiator.loan(size), TimedOut);
        expect(responder, heard++);
        say(initiator, said++);
        EXPECT_THROW(initiator.loan(size), TimedOut);
        while (heard < said) expect(responder, heard++);
        EXPECT_THROW(responder.take(), TimedOut);
    }
    expect_all_free(initiator.write());
}

TEST_F(Villas, LengthsAreObeyed) {
    VillasOptions options;
    options.samplelen = 16;
    auto asked = Queues::create({}, options);
    EXPECT_EQ(asked.attach({Side::initiator}).message_bytes_max(), 16U * 8);
    EXPECT_THROW(asked.attach({Side::initiator}).loan(16 * 8 + 1), Refused);
    EXPECT_EQ(Queues::create({}).attach({Side::initiator}).message_bytes_max(), 64U * 8);
    EXPECT_EQ(Queues::create({}).attach({Side::initiator}).capacity_bytes(), 512U * 64 * 8);
    Needs needs;
    needs.message_bytes_max = 13;
    needs.capacity_bytes = 100;
    auto fitted = Queues::create(needs);
    EXPECT_EQ(fitted.attach({Side::initiator}).message_bytes_max(), 16U);
    EXPECT_EQ(fitted.attach({Side::initiator}).capacity_bytes(), 112U);
    EXPECT_THROW(DirectionView(villas::make_direction({.queuelen = 0}), 1), Refused);
    EXPECT_THROW(villas::make_direction({.queuelen = ~0ULL}), Refused);
    EXPECT_THROW(villas::make_direction({.samplelen = ~0ULL}), Refused);
}

TEST_F(Villas, HandsOverTogetherWhatIsToBe) {
    Needs needs;
    needs.batch_messages = 4;
    needs.timeout = 0ms;
    VillasOptions options;
    options.queuelen = 6;
    auto mechanism = Queues::create(needs, options);
    auto initiator = mechanism.attach({Side::initiator});
    auto responder = mechanism.attach({Side::responder});
    EXPECT_EQ(initiator.publish_every(size), 4U);
    for (std::uint64_t i = 0; i < 3; ++i) say(initiator, i);
    EXPECT_THROW(responder.take(), TimedOut) << "three are kept back";
    say(initiator, 3);
    for (std::uint64_t i = 0; i < 4; ++i) expect(responder, i);
    say(initiator, 4);
    initiator.flush();
    expect(responder, 4);
    // A pool that runs dry before four are there would stop both.
    for (std::uint64_t i = 5; i < 11; ++i) say(initiator, i);
    EXPECT_THROW(initiator.loan(size), TimedOut);
    for (std::uint64_t i = 5; i < 11; ++i) expect(responder, i);
}

TEST_F(Villas, ShowsNothingBeforeThePushAndFreesNothingBeforeTheRelease) {
    Needs needs;
    needs.timeout = 0ms;
    auto mechanism = Queues::create(needs);
    auto initiator = mechanism.attach({Side::initiator});
    auto responder = mechanism.attach({Side::responder});
    initiator.loan(size);
    EXPECT_THROW(responder.take(), TimedOut);
    initiator.publish(size);
    responder.take();
    EXPECT_EQ(initiator.write().census().free, 511U);
    EXPECT_EQ(initiator.write().census().held, 1U);
    responder.release();
    expect_all_free(initiator.write());
}

// ---------------------------------------------------------------------------------------------
// References.

TEST_F(Villas, TheLastToLetGoReturnsASampleWhicheverProcessItIs) {
    const Direction direction({.queuelen = 2, .samplelen = 8});
    DirectionView mine = direction.view(1);
    const Ref first = get(mine);
    put_number(mine, first, 7);
    DirectionView::Samples::share(first);
    push(mine, first);
    push(mine, first);
    for (int reader = 0; reader < 2; ++reader) {
        EXPECT_EQ(mine.samples().free(), 1U) << "somebody may still read it";
        EXPECT_EQ(Process::forked([&] {
                      DirectionView theirs = direction.view(static_cast<Holder>(2 + reader));
                      const Ref ref = pull(theirs).value();
                      expect_message({ref.sample->values(), 64}, 64, 7);
                      theirs.samples().drop(ref);
                  }).wait(),
                  0);
    }
    expect_all_free(mine);
}

TEST_F(Villas, RefusesToReleaseTwice) {
    const Direction direction({.queuelen = 2, .samplelen = 8});
    DirectionView mine = direction.view(1);
    const Ref ref = get(mine);
    mine.samples().drop(ref);
    EXPECT_THROW(mine.samples().drop(ref), Refused);
    // Nor in another process, nor while the sample is somebody else's.
    const Ref others = get(mine);
    const Ref again = get(mine);
    const Ref& same = again.sample == ref.sample ? again : others;
    ASSERT_EQ(same.sample, ref.sample);
    EXPECT_EQ(Process::forked([&] {
                  try {
                      mine.samples().drop(ref);
                  } catch (const Refused&) {
                      ::_exit(3);
                  }
              }).wait(),
              3);
    mine.samples().drop(others);
    mine.samples().drop(again);
    expect_all_free(mine);
}

/// A generation is 32 bits, and a free list of one sample gives it out again and again.
TEST_F(Villas, ASamplesGenerationWraps) {
    const Direction direction({.queuelen = 1, .samplelen = 8});
    DirectionView mine = direction.view(1);
    const std::uint64_t last_generation = 0xffff'ffffULL << 32;
    std::memcpy(static_cast<void*>(&mine.samples().sample(0).references), &last_generation,
                sizeof last_generation);
    const Ref last = get(mine);
    EXPECT_EQ(last.generation, 0xffff'ffffU);
    mine.samples().drop(last);
    const Ref first = get(mine);
    EXPECT_EQ(first.generation, 0U);
    EXPECT_THROW(mine.samples().drop(last), Refused);
    mine.samples().drop(first);
    expect_all_free(mine);
}

// ---------------------------------------------------------------------------------------------
// Ends.

TEST_P(VillasInMode, ClosingLetsReadWhatIsQueued) {
    auto mechanism = Queues::create({}, options());
    EXPECT_EQ(Process::forked([&] {
                  auto endpoint = mechanism.attach({Side::initiator});
                  for (std::uint64_t i = 0; i < 10; ++i) say(endpoint, i);
              }).wait(),
              0);
    auto endpoint = mechanism.attach({Side::responder});
    for (std::uint64_t i = 0; i < 10; ++i) expect(endpoint, i);
    EXPECT_THROW(endpoint.take(), Closed);
    expect_all_free(endpoint.read());
}

TEST_P(VillasInMode, WakesTheReaderWhenItCloses) {
    auto mechanism = Queues::create({}, options());
    auto mine = mechanism.attach({Side::responder});
    Flare attached;
    Process peer = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::initiator});
        attached.raise();
        std::this_thread::sleep_for(30ms);
    });
    attached.wait();
    EXPECT_THROW(mine.take(), Closed);
    EXPECT_EQ(peer.wait(), 0);
}

TEST_P(VillasInMode, TellsAReaderThatItsPeerWasKilled) {
    auto mechanism = Queues::create({}, options());
    auto mine = mechanism.attach({Side::responder});
    Flare said;
    Process peer = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::initiator});
        say(endpoint, 0);
        said.raise();
        for (;;) ::pause();
    });
    said.wait();
    std::thread killer([&] {
        std::this_thread::sleep_for(30ms);
        peer.kill();
    });
    expect(mine, 0);
    EXPECT_THROW(mine.take(), PeerGone);
    killer.join();
}

TEST_F(Villas, ASecondOfASideIsRefusedByNameAndHarmsNobody) {
    auto mechanism = Queues::create({});
    auto initiator = mechanism.attach({Side::initiator});
    auto responder = mechanism.attach({Side::responder});
    say(initiator, 0);
    write_message(initiator.loan(size), 1);
    responder.take();
    for (const auto& [side, words] :
         {std::pair{Side::initiator, "initiator"}, std::pair{Side::responder, "responder"}})
        try {
            mechanism.attach({side});
            ADD_FAILURE() << "there is a second " << words;
        } catch (const Refused& refused) {
            EXPECT_THAT(refused.what(),
                        testing::HasSubstr(
                            fmt::format("{} has its {} already", mechanism.address().name, words)));
        }
    EXPECT_EQ(initiator.write().census().held, 2U);
    initiator.publish(size);
    expect(responder, 0);
    expect(responder, 1);
    expect_all_free(initiator.write());
}

TEST_F(Villas, TheTwoDirectionsMayDifferInMode) {
    VillasOptions options;
    options.by_initiator = Mode::pthread;
    options.by_responder = Mode::polling;
    auto mechanism = Queues::create({}, options);
    Process peer = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::initiator});
        EXPECT_EQ(endpoint.write().options().mode, Mode::pthread);
        EXPECT_EQ(endpoint.read().options().mode, Mode::polling);
        for (std::uint64_t i = 0; i < 200; ++i) {
            say(endpoint, i);
            expect(endpoint, i);
        }
    });
    auto endpoint = mechanism.attach({Side::responder});
    for (std::uint64_t i = 0; i < 200; ++i) {
        expect(endpoint, i);
        say(endpoint, i);
    }
    EXPECT_EQ(peer.wait(), 0);
}

// ---------------------------------------------------------------------------------------------
// What the dead take along, and what can be had back.

TEST_F(Villas, SamplesInTheHandsOfTheDeadAreReclaimedWhileOthersGoOn) {
    const Direction direction({.queuelen = 4, .samplelen = 8});
    DirectionView mine = direction.view(1);
    const Ref kept = get(mine);
    const Ref sent = get(mine);
    push(mine, sent);
    Flare holds;
    Process victim = Process::forked([&] {
        DirectionView theirs = direction.view(2);
        pull(theirs);
        get(theirs);
        holds.raise();
        for (;;) ::pause();
    });
    holds.wait();
    victim.kill();
    EXPECT_EQ(mine.census().free, 1U);
    EXPECT_EQ(mine.census().held, 3U);
    EXPECT_EQ(mine.samples().reclaim(2), 2U);
    EXPECT_EQ(mine.samples().reclaim(2), 0U);
    EXPECT_EQ(mine.census().free, 3U);
    mine.samples().drop(kept);
    expect_all_free(mine);
}

/// A process that was killed in the middle of a push or a pull cannot be had at will: its counter
/// is moved on here, as it does first, and the cell left as it was.
TEST_F(Villas, AKillInTheMiddleOfAnOperationStopsTheQueueUntilItIsRebuilt) {
    const Direction direction({.queuelen = 4, .samplelen = 8, .mode = Mode::polling});
    DirectionView mine = direction.view(1);
    auto& counters = mine.header().on_the_way.queue;
    for (std::uint64_t number = 0; number < 3; ++number) {
        if (number == 1) {
            get(mine).sample->holder = villas::nobody;
            counters.tail += 2;  // killed while it pushed this one
        }
        const Ref ref = get(mine);
        put_number(mine, ref, number);
        push(mine, ref);
        if (number == 2) break;
    }
    ASSERT_EQ(mine.samples().free(), 0U);
    const Ref first = pull(mine).value();
    EXPECT_EQ(first.sample->sequence, 0U);
    EXPECT_THROW(pull(mine, 60ms), TimedOut) << "two are behind the hole";
    counters.head += 2;  // killed while it pulled, past the hole and with no cell given back
    EXPECT_EQ(mine.rebuild({first}), 1U);
    for (std::uint64_t number = 1; number < 3; ++number) {
        const Ref ref = pull(mine).value();
        EXPECT_EQ(ref.sample->sequence, number);
        mine.samples().drop(ref);
    }
    mine.samples().drop(first);
    expect_all_free(mine);
}

TEST_F(Villas, EverySampleIsRecoveredAfterAKillAtAnyMoment) {
    std::mt19937 random(1);
    for (int round = 0; round < 12; ++round) {
        VillasOptions options;
        options.queuelen = 4;
        auto mechanism = Queues::create({}, options);
        auto mine = mechanism.attach({Side::responder});
        Flare attached;
        Process victim = Process::forked([&] {
            auto endpoint = mechanism.attach({Side::initiator});
            attached.raise();
            for (std::uint64_t i = 0;; ++i) {
                say(endpoint, i);
                say(endpoint, i);
                endpoint.take();
                endpoint.release();
            }
        });
        attached.wait();
        EXPECT_THROW(mine.recover(), Refused) << "it lives";
        std::thread killer([&, delay = random() % 3000] {
            std::this_thread::sleep_for(std::chrono::microseconds(delay));
            victim.kill();
        });
        EXPECT_THROW(
            for (std::uint64_t i = 0;; ++i) {
                mine.take();
                say(mine, i);
                mine.release();
                mine.take();
                mine.release();
            },
            PeerGone);
        killer.join();
        mine.recover();
        EXPECT_EQ(mine.write().census().all(), 4U);
        EXPECT_EQ(mine.read().census().all(), 4U);
        // Somebody takes the dead one's place.
        auto successor = mechanism.attach({Side::initiator});
        while (mine.read().census().on_the_way > 0) {
            mine.take();
            mine.release();
        }
        for (std::uint64_t i = 0; i < 20; ++i) {
            say(successor, i);
            expect(mine, i);
        }
        if (HasFailure()) return;
    }
}

// ---------------------------------------------------------------------------------------------
// The condition variable, as its lesson tells.

bool ends_within(const Process& process, std::chrono::milliseconds limit) {
    const auto start = Clock::now();
    while (Process::state_of(process.pid()) != 'Z') {
        if (Clock::now() - start > limit) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

class VillasCondvar : public testing::Test {
  protected:
    VillasCondvar() { bell->initialise(); }
    void sleep(std::chrono::milliseconds deadline) {
        Wait wait("sleep", deadline);
        bell->sleep_until([](std::memory_order) { return false; }, [&] { wait.glance(); });
    }
    Process sleeper(std::chrono::milliseconds deadline) {
        Process process = Process::forked([this, deadline] { sleep(deadline); });
        wait_until([&] { return Process::state_of(process.pid()) == 'S'; }, "a sleeper");
        return process;
    }
    Process ringer() {
        return Process::forked([this] { bell->ring(); });
    }
    static constexpr auto watchdog = 1s;
    SharedWithChildren<villas::CondvarBell> bell;
};

TEST_F(VillasCondvar, TheMutexSurvivesItsOwner) {
    Process::forked([&] {
        ::pthread_mutex_lock(&bell->mutex);
        ::raise(SIGKILL);
    }).wait();
    EXPECT_NO_THROW(bell->ring());
    EXPECT_THROW(sleep(60ms), TimedOut);
}

TEST_F(VillasCondvar, AStoppedOwnerOfTheMutexIsNotWaitedForForEver) {
    Flare locked;
    Process owner = Process::forked([&] {
        ::pthread_mutex_lock(&bell->mutex);
        locked.raise();
        for (;;) ::pause();
    });
    locked.wait();
    EXPECT_THROW(bell->ring(), TimedOut);
}

TEST_F(VillasCondvar, AKilledSleeperHangsWhoRingsForTheNext) {
    if (std::string_view(::gnu_get_libc_version()) != "2.36")
        GTEST_SKIP() << "the lesson tells what glibc 2.36 does, and this is "
                     << ::gnu_get_libc_version();
    Process killed = sleeper(60s);
    killed.kill();
    EXPECT_TRUE(ends_within(ringer(), watchdog)) << "the first broadcast is spent on the dead";
    const Process next = sleeper(100ms);
    const Process second = ringer();
    EXPECT_FALSE(ends_within(second, watchdog)) << "the lesson is out of date";
    EXPECT_FALSE(ends_within(next, watchdog)) << "it cannot even keep its deadline";
}

/// What is told of the others: a sleeper that is killed stops nobody.
TEST_F(Villas, AKilledSleeperOnAFutexStopsNobody) {
    const Direction direction({.queuelen = 4, .samplelen = 8, .mode = Mode::futex});
    DirectionView mine = direction.view(1);
    const auto start_sleeper = [&](Holder me) {
        Process process = Process::forked([&, me] {
            DirectionView theirs = direction.view(me);
            theirs.samples().drop(pull(theirs).value());
        });
        wait_until([&] { return Process::state_of(process.pid()) == 'S'; }, "a sleeper");
        return process;
    };
    Process killed = start_sleeper(2);
    Process other = start_sleeper(3);
    killed.kill();
    push(mine, get(mine));
    EXPECT_EQ(other.wait(), 0);
    Process next = start_sleeper(4);
    push(mine, get(mine));
    EXPECT_EQ(next.wait(), 0);
    expect_all_free(mine);
}

TEST_F(Villas, AFutexBellIsHeardWhenItsCountWraps) {
    const Direction direction({.queuelen = 4, .samplelen = 8, .mode = Mode::futex});
    DirectionView mine = direction.view(1);
    auto& word = mine.header().on_the_way.futex.word;
    word = 0xffff'fffe;  // the last before 0 that nobody sleeps on
    Process sleeper = Process::forked([&] {
        DirectionView theirs = direction.view(2);
        theirs.samples().drop(pull(theirs).value());
    });
    wait_until([&] { return word == 0xffff'ffff; }, "a sleeper");
    push(mine, get(mine));
    EXPECT_EQ(sleeper.wait(), 0);
    EXPECT_EQ(word & ~1U, 0U);
    expect_all_free(mine);
}

// ---------------------------------------------------------------------------------------------
// Meeting by two names.

class VillasMeeting : public Villas {
  protected:
    NamedPair meet(bool first, std::chrono::milliseconds timeout = 20s) const {
        return NamedPair::open(first ? one : two, first ? two : one,
                               {.queuelen = 4, .samplelen = 8}, timeout);
    }
    [[nodiscard]] bool any_left() const {
        return exists(ObjectKind::posix_shm, one) || exists(ObjectKind::posix_shm, two);
    }
    static void converse(NamedPair& pair, std::uint64_t number) {
        auto& endpoint = pair.endpoint();
        write_message(endpoint.loan(size), number);
        endpoint.publish(size);
        expect_message(endpoint.take(), size, number);
        endpoint.release();
    }
    const std::string one = fresh_name("villas-one");
    const std::string two = fresh_name("villas-two");
};

TEST_F(VillasMeeting, WhoeverComesFirst) {
    for (const auto head_start : {0ms, 30ms}) {
        Process peer = Process::forked([&] {
            NamedPair pair = meet(true);
            for (std::uint64_t i = 0; i < 20; ++i) converse(pair, i);
        });
        std::this_thread::sleep_for(head_start);
        NamedPair pair = meet(false);
        for (std::uint64_t i = 0; i < 20; ++i) converse(pair, i);
        EXPECT_EQ(peer.wait(), 0);
        EXPECT_THROW(pair.endpoint().take(), Closed);
    }
    EXPECT_FALSE(any_left());
}

TEST_F(VillasMeeting, OneNameForBothIsALoop) {
    NamedPair loop = NamedPair::open(one, one, {.queuelen = 4, .samplelen = 8}, 1s);
    for (std::uint64_t i = 0; i < 20; ++i) converse(loop, i);
}

TEST_F(VillasMeeting, NobodyIsWaitedForForEver) {
    EXPECT_THROW(meet(true, 100ms), TimedOut);
    EXPECT_FALSE(any_left());
}

TEST_F(VillasMeeting, ASignalDoesNotEndTheWait) {
    struct sigaction handler {};
    handler.sa_handler = [](int) {};
    Process waiting = Process::forked([&] {
        ::sigaction(SIGUSR1, &handler, nullptr);
        NamedPair pair = meet(true);
        converse(pair, 1);
    });
    wait_until([&] { return exists(ObjectKind::posix_shm, one); }, "the first to come");
    waiting.signal(SIGUSR1);
    std::this_thread::sleep_for(10ms);
    NamedPair pair = meet(false);
    converse(pair, 1);
    EXPECT_EQ(waiting.wait(), 0);
}

TEST_F(VillasMeeting, APartnerThatClosesAtOnceHasBeenMet) {
    for (int time = 0; time < 40; ++time) {
        Process peer = Process::forked([&] { meet(true); });
        ASSERT_NO_THROW({
            NamedPair pair = meet(false);
            EXPECT_THROW(pair.endpoint().take(), Closed);
        });
        EXPECT_EQ(peer.wait(), 0);
    }
}

TEST_F(VillasMeeting, WhatAKilledProcessLeftIsNoPartner) {
    Process killed = Process::forked([&] { meet(true, 60s); });
    wait_until([&] { return exists(ObjectKind::posix_shm, one); }, "the first to come");
    killed.kill();
    EXPECT_TRUE(exists(ObjectKind::posix_shm, one));
    EXPECT_THROW(meet(false, 100ms), TimedOut) << "it is dead";
    Process successor = Process::forked([&] {
        NamedPair pair = meet(true);
        converse(pair, 5);
    });
    NamedPair pair = meet(false);
    converse(pair, 5);
    EXPECT_EQ(successor.wait(), 0);
}

TEST_F(VillasMeeting, AKilledPartnerIsNoticedAndReplaced) {
    for (const bool first : {true, false}) {
        Process peer = Process::forked([&] {
            NamedPair pair = meet(true);
            converse(pair, 1);
            for (;;) ::pause();
        });
        {
            NamedPair pair = meet(false);
            converse(pair, 1);
            peer.kill();
            EXPECT_THROW(pair.endpoint().take(), PeerGone) << first;
        }
    }
}

TEST_F(VillasMeeting, AnotherOfTheSameNameIsRefusedAndHarmsNobody) {
    Process peer = Process::forked([&] {
        NamedPair pair = meet(true);
        for (std::uint64_t i = 0; i < 3; ++i) converse(pair, i);
    });
    NamedPair pair = meet(false);
    converse(pair, 0);
    EXPECT_THROW(meet(true, 1s), Refused) << "its writer lives";
    EXPECT_THROW(meet(false, 1s), Refused) << "its writer is this process";
    converse(pair, 1);
    EXPECT_THROW(NamedPair::open(fresh_name("villas-three"), one, {}, 1s), Refused)
        << "it has its reader";
    converse(pair, 2);
    EXPECT_EQ(peer.wait(), 0);
}

TEST_F(VillasMeeting, WhatIsNoPlaceToMeetIsLeftAlone) {
    const Direction other({});
    EXPECT_THROW(NamedPair::open(other.name(), one, {}, 100ms), Refused);
    const NamedObject foreign(ObjectKind::posix_shm, two);
    create_shm_object(two, 100);
    EXPECT_THROW(meet(false, 100ms), Refused);
    EXPECT_TRUE(exists(ObjectKind::posix_shm, two));
    EXPECT_TRUE(exists(ObjectKind::posix_shm, other.name()));
}

// ---------------------------------------------------------------------------------------------
// The external program.

TEST_F(Villas, StartsTheProgramWithItsArgumentsAndEndsIt) {
    VillasOptions options;
    options.exec = {own_executable(), "--answer", "{}"};
    pid_t pid = 0;
    {
        auto mechanism = Queues::create({}, options);
        pid = mechanism.program();
        auto endpoint = mechanism.attach({Side::responder});
        for (std::uint64_t i = 0; i < 10; ++i) {
            say(endpoint, i);
            expect(endpoint, i);
        }
        EXPECT_NE(Process::state_of(pid), '?');
    }
    EXPECT_EQ(Process::state_of(pid), '?') << "it has been reaped";
}

TEST_F(Villas, NoticesThatTheProgramCannotBeStarted) {
    const std::pair<std::string, int> cases[] = {{"/nowhere/ipclab-no-such-program", ENOENT},
                                                 {"ipclab-no-such-program", ENOENT},
                                                 {"/etc/passwd", EACCES},
                                                 {"/", EACCES}};
    for (const auto& [program, error] : cases) {
        VillasOptions options;
        options.exec = {program, "{}"};
        try {
            Queues::create({}, options);
            ADD_FAILURE() << program << " was started";
        } catch (const Refused& refused) {
            EXPECT_EQ(refused.error(), error) << program;
            EXPECT_THAT(refused.what(), testing::HasSubstr(program));
        }
        EXPECT_THAT(objects_of(::getpid()), IsEmpty());
        EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child of the failure is left";
    }
}

// ---------------------------------------------------------------------------------------------
// Peers that lie.

TEST_F(Villas, RefusesAnObjectOfAnotherSizeAndHarmsNobody) {
    const Direction direction({.queuelen = 4, .samplelen = 8});
    DirectionView mine = direction.view(1);
    put_number(mine, get(mine), 1);
    auto& header = mine.header();
    for (const std::uint64_t queuelen : {std::uint64_t{0}, std::uint64_t{500}, ~std::uint64_t{0}}) {
        header.queuelen = queuelen;
        EXPECT_THROW(direction.view(2), Refused) << queuelen;
    }
    header.queuelen = 4;
    for (const std::uint32_t mode : {0U, 4U, ~0U}) {
        header.mode = mode;
        EXPECT_THROW(direction.view(2), Refused) << mode;
    }
    header.mode = static_cast<std::uint32_t>(Mode::futex);
    EXPECT_NO_THROW(direction.view(2));
    EXPECT_EQ(mine.census().all(), 4U);
}

TEST_F(Villas, RefusesAPlaceWhereNoSampleIs) {
    const Direction direction({.queuelen = 4, .samplelen = 8, .mode = Mode::polling});
    DirectionView mine = direction.view(1);
    const std::byte* first = mine.samples().address_of(0);
    for (const std::ptrdiff_t offset : {std::ptrdiff_t{-1}, std::ptrdiff_t{1}, std::ptrdiff_t{-128},
                                        std::ptrdiff_t{4} * 128, std::ptrdiff_t{1} << 40}) {
        mine.queue().push(first + offset);
        EXPECT_THROW(pull(mine), Refused) << offset;
    }
    mine.queue().push(first);
    EXPECT_THROW(pull(mine), Refused) << "a sample that is free";
}

TEST_F(Villas, RefusesALengthThatASampleCannotHold) {
    auto mechanism = Queues::create({});
    auto initiator = mechanism.attach({Side::initiator});
    auto responder = mechanism.attach({Side::responder});
    for (const std::uint64_t length :
         {std::uint64_t{513}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
        initiator.loan(size);
        initiator.publish(length);
        EXPECT_THROW(responder.take(), Refused);
        responder.release();
    }
    expect_all_free(initiator.write());
}

/// All of it but the condition variables, which polling does not look at.
TEST_F(Villas, NeverLeadsOutOfItsMemory) {
    std::mt19937_64 random(1);
    int failures = 0;
    for (int round = 0; round < 200; ++round) {
        Needs needs;
        needs.timeout = 0ms;
        VillasOptions options;
        options.queuelen = 3;
        options.by_initiator = options.by_responder = Mode::polling;
        auto mechanism = Queues::create(needs, options);
        auto initiator = mechanism.attach({Side::initiator});
        auto responder = mechanism.attach({Side::responder});
        auto* words = reinterpret_cast<std::uint64_t*>(&initiator.write().header());
        const std::size_t count = villas::DirectionLayout(initiator.write().options()).bytes / 8;
        for (std::size_t i = 0; i < count; ++i)
            if (random() % 32 == 0) words[i] = random() >> (random() % 64);
        try {
            for (std::uint64_t i = 0; i < 10; ++i) {
                say(initiator, i);
                const View came = responder.take();
                const std::vector<std::byte> copy(came.begin(), came.end());
                responder.release();
            }
        } catch (const IpcError&) {
            ++failures;  // with a type, and in this process's own time
        }
    }
    EXPECT_GT(failures, 0);
}

}  // namespace

/// The program that is started: sends back what it is told.
int answer(const std::string& name) {
    auto mechanism = VillasQueue<villas::Mode::futex>::open({name}, {});
    auto endpoint = mechanism.attach({Side::initiator});
    for (;;) {
        const View came = endpoint.take();
        std::memcpy(endpoint.loan(came.size()).data(), came.data(), came.size());
        endpoint.publish(came.size());
        endpoint.release();
    }
}

}  // namespace ipclab::test

int main(int argc, char** argv) {
    using namespace ipclab::test;
    if (argc == 3 && std::string_view(argv[1]) == "--answer") try {
            return answer(argv[2]);
        } catch (const ipclab::Closed&) {
            return 0;
        }
    testing::InitGoogleMock(&argc, argv);
    withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
