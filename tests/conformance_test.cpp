// One contract for every mechanism of the catalogue: messages arrive whole, once and in order, and
// who waits for a peer that is gone, dead or stopped is told so in time.
#include "mechanisms/message_queues/posix_mq.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/rings/spsc_ring.hpp"
#include "mechanisms/rounds.hpp"
#include "mechanisms/shared_memory/posix_shm.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/posix_semaphores.hpp"
#include "mechanisms/waiting/spin.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/peers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <deque>
#include <fmt/format.h>
#include <future>
#include <random>
#include <thread>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::AnyOf;
using testing::IsEmpty;

// ---------------------------------------------------------------------------------------------
// What the two sides do.

std::vector<Manner> manners(const AnyEndpoint& endpoint) {
    if (endpoint.lends()) return {Manner::as_it_is, Manner::staged};
    return {Manner::as_it_is};
}

/// Every interesting size, in every pair of manners, first one way and then the other.
void exchange_all_sizes(AnyEndpoint& endpoint, Side mine) {
    const std::size_t capacity = endpoint.capacity_bytes();
    const std::size_t sizes[] = {1, 7, 64, 0, capacity - 1, capacity, capacity + 1, 1 << 20};
    for (const Side speaking : {Side::initiator, Side::responder}) {
        Speaker speaker(endpoint);
        Listener listener(endpoint);
        for (const Manner said : manners(endpoint))
            for (const Manner heard : manners(endpoint))
                for (const std::size_t size : sizes)
                    if (speaking == mine)
                        speaker.say(size, said);
                    else
                        listener.hear(size, heard);
    }
}
constexpr Job all_sizes{"all-sizes", exchange_all_sizes};

/// Two threads: one speaks while the other listens.
void exchange_both_ways(AnyEndpoint& endpoint, Side /*mine*/) {
    constexpr std::uint64_t messages = 2000;
    const auto size_of = [](std::uint64_t message) {
        return message % 100 == 99 ? 20'000 : scramble(message) % 300;
    };
    auto speaking = std::async(std::launch::async, [&] {
        for (Speaker speaker(endpoint); speaker.said() < messages;)
            speaker.say_later(size_of(speaker.said()));
        endpoint.flush();
    });
    for (Listener listener(endpoint); listener.heard() < messages;)
        listener.hear(size_of(listener.heard()));
    speaking.get();
}
constexpr Job both_ways_at_once{"both-ways-at-once", exchange_both_ways};

/// Most messages small, some large, each side in whatever manner comes.
void exchange_random_sizes(AnyEndpoint& endpoint, Side mine) {
    // Where each has to wait for the last but one, fewer will do: who waits spinning, on a CPU that
    // others want too, waits a time slice each time.
    const int messages = endpoint.largest_messages() < 4 ? 3'000 : 30'000;
    std::mt19937_64 sizes(1);
    const auto draw_size = [&] {
        const auto lot = sizes() % 1000;
        return sizes() % (lot < 900 ? 256 : lot < 995 ? 4096 : 65536);
    };
    std::mt19937_64 manner(mine == Side::initiator ? 2 : 3);
    const auto draw_manner = [&] { return manner() % 2 == 0 ? Manner::as_it_is : Manner::staged; };
    Speaker speaker(endpoint);
    Listener listener(endpoint);
    for (int i = 0; i < messages; ++i)
        if (mine == Side::initiator)
            speaker.say_later(draw_size(), draw_manner());
        else
            listener.hear(draw_size(), draw_manner());
    if (mine == Side::initiator) speaker.flush();
}
constexpr Job random_sizes{"random-sizes", exchange_random_sizes};

/// Says as much as finds room unread, and leaves.
void fill(AnyEndpoint& endpoint, Side /*mine*/) {
    for (Speaker speaker(endpoint); speaker.said() < endpoint.largest_messages();)
        speaker.say(endpoint.largest_message());
}
constexpr Job fill_and_leave{"fill-and-leave", fill};

/// Stays, and neither speaks nor listens.
void stay(AnyEndpoint& /*endpoint*/, Side /*mine*/) {
    for (;;) ::pause();
}
constexpr Job idle{"idle", stay};

/// Says as much as finds room unread, and stops: that it sleeps would not tell that it has said
/// all.
constexpr Job fill_and_stop{"fill-and-stop", [](AnyEndpoint& endpoint, Side mine) {
                                fill(endpoint, mine);
                                must(::raise(SIGSTOP), "raise");
                            }};

constexpr std::size_t small = 64;

constexpr Job speak_for_ever{"speak-for-ever", [](AnyEndpoint& endpoint, Side /*mine*/) {
                                 for (Speaker speaker(endpoint);;) speaker.say(small);
                             }};
constexpr Job listen_for_ever{"listen-for-ever", [](AnyEndpoint& endpoint, Side /*mine*/) {
                                  for (Listener listener(endpoint);;) listener.hear(small);
                              }};

constexpr auto deadline = 300ms;
constexpr auto slow_deadline = 1000ms;

/// What a slow listener is told: six times what finds room, in one message where that travels
/// whole.
constexpr std::size_t slow_pieces = 6;
std::size_t slow_messages(const AnyEndpoint& endpoint) {
    return endpoint.stream() ? 1 : slow_pieces * endpoint.largest_messages();
}
std::size_t slow_message_bytes(const AnyEndpoint& endpoint) {
    return endpoint.stream() ? slow_pieces * endpoint.capacity_bytes() : endpoint.largest_message();
}

/// Makes room now and then, always before the speaker's deadline.
void hear_slowly(AnyEndpoint& endpoint, Side /*mine*/) {
    if (!endpoint.stream()) {
        for (Listener listener(endpoint); listener.heard() < slow_messages(endpoint);) {
            if (listener.heard() % endpoint.largest_messages() == 0)
                std::this_thread::sleep_for(slow_deadline / 4);
            listener.hear(slow_message_bytes(endpoint));
        }
        return;
    }
    // By hand: the endpoint would read a whole message as fast as it comes.
    std::vector<std::byte> piece(endpoint.capacity_bytes() / 2);
    for (std::size_t left = slow_message_bytes(endpoint); left > 0;) {
        std::this_thread::sleep_for(slow_deadline / 8);
        const auto got = ::read(endpoint.stream()->input, piece.data(), piece.size());
        if (got == -1 && errno == EAGAIN) continue;
        left -= std::min(left, static_cast<std::size_t>(must(got, "read")));
    }
}
constexpr Job listen_slowly{"listen-slowly", hear_slowly};

// ---------------------------------------------------------------------------------------------
// What the tests ask.

/// What an action threw, by its type.
enum class Outcome { returned, closed, peer_gone, timed_out, refused, another_error };

void PrintTo(Outcome outcome, std::ostream* out) {  // NOLINT(readability-identifier-naming)
    constexpr const char* words[] = {"returned", "Closed",  "PeerGone",
                                     "TimedOut", "Refused", "another error"};
    *out << words[static_cast<int>(outcome)];
}

Outcome outcome_of(const std::function<void()>& action) {
    try {
        action();
        return Outcome::returned;
    } catch (const IpcError& error) {
        EXPECT_FALSE(error.call().empty());
        EXPECT_THAT(error.what(), testing::StartsWith(error.call()));
        if (dynamic_cast<const Closed*>(&error) != nullptr) return Outcome::closed;
        if (dynamic_cast<const PeerGone*>(&error) != nullptr) return Outcome::peer_gone;
        if (dynamic_cast<const TimedOut*>(&error) != nullptr) return Outcome::timed_out;
        if (dynamic_cast<const Refused*>(&error) != nullptr) return Outcome::refused;
        ADD_FAILURE() << error.what();
        return Outcome::another_error;
    }
}

class Conformance : public testing::TestWithParam<Entry> {
  protected:
    void SetUp() override {
        if (const auto why = why_exempt_from_messages(GetParam())) GTEST_SKIP() << *why;
        if (const auto why = why_impossible(GetParam())) GTEST_SKIP() << *why;
    }
    void TearDown() override {
        sweep_leftovers();  // a peer that was killed may have left what it alone had registered
        EXPECT_THAT(objects_of(::getpid()), IsEmpty());
        EXPECT_THAT(system_v_ids(), IsEmpty());
    }

    static void expect_both_sides_do(const Job& job, const Needs& needs = {}) {
        for_each_peer(GetParam(), [&](Peer kind) {
            Conversation talk(GetParam(), kind, job, needs);
            job.run(*talk.attach(), talk.mine());
            EXPECT_EQ(talk.peer().wait(), 0);
        });
    }

    /// Why nobody may rely on being told of a death; nothing where one may. What such a mechanism
    /// does then, a test of its own shows.
    static std::optional<std::string> why_perhaps_not_told() {
        const Facts& facts = GetParam().facts;
        if (facts.after_a_kill == AfterAKill::survivor_is_told) return std::nullopt;
        return fmt::format("after a kill inside {} the survivor may hang, as its lesson tells",
                           facts.name);
    }

    /// Attaches to a peer that does `job` and that is killed during `action`. The contract: whoever
    /// waits is told within a second.
    static void expect_told_of_a_death(const Job& job,
                                       const std::function<void(AnyEndpoint&)>& action) {
        if (const auto why = why_perhaps_not_told()) GTEST_SKIP() << *why;
        for_each_peer(GetParam(), [&](Peer kind) {
            Conversation talk(GetParam(), kind, job);
            const auto endpoint = talk.attach();
            talk.wait_until_peer_attached();
            std::atomic<Clock::time_point> killed_at{Clock::time_point::max()};
            auto killer = std::async(std::launch::async, [&] {
                std::this_thread::sleep_for(100ms);
                killed_at = Clock::now();
                talk.peer().kill();
            });
            EXPECT_THAT(outcome_of([&] { action(*endpoint); }), is_told_of_a_death());
            const auto told_at = Clock::now();
            EXPECT_GE(told_at, killed_at.load()) << "told of a death before it happened";
            EXPECT_LT(told_at, killed_at.load() + 1s);
            killer.get();
        });
    }

    /// Attaches to a peer that is stopped. `action` notes when its last wait began.
    static void expect_timed_out_at_the_deadline(
        const std::function<void(AnyEndpoint&, Clock::time_point& began)>& action) {
        Needs needs;
        needs.timeout = deadline;
        for_each_peer(GetParam(), [&](Peer kind) {
            Conversation talk(GetParam(), kind, idle, needs);
            const auto endpoint = talk.attach();
            talk.wait_until_peer_attached();
            talk.peer().stop();
            Clock::time_point began;
            EXPECT_EQ(outcome_of([&] { action(*endpoint, began); }), Outcome::timed_out);
            const auto waited = Clock::now() - began;
            EXPECT_GE(waited, deadline);
            EXPECT_LT(waited, deadline + 500ms);
        });
    }

    /// A kernel object that outlives its users has no end of file: what is known of a peer is what
    /// it wrote about itself, and who was killed did not say goodbye. A stream ends in the same way
    /// whether its writer was killed or closed it; some streams tell more.
    static testing::Matcher<Outcome> is_told_of_a_death() {
        if (GetParam().facts.lifetime == Lifetime::kernel) return Outcome::peer_gone;
        return AnyOf(Outcome::peer_gone, Outcome::closed);
    }
};
INSTANTIATE_TEST_SUITE_P(Catalog, Conformance, testing::ValuesIn(catalog()), test_name);

class ConformanceByAddress : public Conformance {};
INSTANTIATE_TEST_SUITE_P(
    Catalog, ConformanceByAddress,
    testing::ValuesIn(catalog_where([](const Entry& e) { return e.addressed; })), test_name);

// ---------------------------------------------------------------------------------------------
// Messages.

TEST_P(Conformance, KeepsOrderAndContentAtEverySize) { expect_both_sides_do(all_sizes); }

TEST_P(Conformance, KeepsOrderAndContentWithLittleRoom) {
    Needs needs;
    needs.capacity_bytes = 16'384;
    expect_both_sides_do(all_sizes, needs);
}

TEST_P(Conformance, CarriesBothWaysAtOnce) { expect_both_sides_do(both_ways_at_once); }

TEST_P(Conformance, CarriesManyMessagesOfRandomSizes) { expect_both_sides_do(random_sizes); }

TEST_P(Conformance, RefusesABufferThatIsTooSmall) {
    for_each_peer(GetParam(), [](Peer kind) {
        Conversation talk(GetParam(), kind, fill_and_stop);
        const auto endpoint = talk.attach();
        std::vector<std::byte> buffer(endpoint->largest_message() - 1);
        EXPECT_EQ(outcome_of([&] { endpoint->receive(buffer); }), Outcome::refused);
    });
}

// ---------------------------------------------------------------------------------------------
// Peers that leave.

TEST_P(Conformance, ReadsWhatAPeerSaidBeforeItLeft) {
    for_each_peer(GetParam(), [](Peer kind) {
        Conversation talk(GetParam(), kind, fill_and_leave);
        const auto endpoint = talk.attach();
        const bool may_leave = GetParam().facts.unread_outlives_sender;
        int status = may_leave ? talk.peer().wait() : 0;
        Listener listener(*endpoint);
        while (listener.heard() < endpoint->largest_messages())
            listener.hear(endpoint->largest_message());
        if (!may_leave) status = talk.peer().wait();
        EXPECT_EQ(status, 0);
        const auto start = Clock::now();
        EXPECT_EQ(outcome_of([&] { listener.hear(small); }), Outcome::closed);
        EXPECT_LT(Clock::now() - start, 1s);
    });
}

TEST_P(Conformance, SpeaksNotForEverToAPeerThatLeft) {
    for_each_peer(GetParam(), [](Peer kind) {
        Needs needs;
        // Who takes its message along stays for it to be read, as long as it waits for anything.
        if (!GetParam().facts.unread_outlives_sender) needs.timeout = slow_deadline;
        Conversation talk(GetParam(), kind, fill_and_leave, needs);
        const auto endpoint = talk.attach();
        EXPECT_EQ(talk.peer().wait(), 0);
        const auto start = Clock::now();
        EXPECT_THAT(outcome_of([&] {
                        for (Speaker speaker(*endpoint);;) speaker.say(endpoint->largest_message());
                    }),
                    AnyOf(Outcome::closed, Outcome::peer_gone));
        EXPECT_LT(Clock::now() - start, 1s);
    });
}

// ---------------------------------------------------------------------------------------------
// Peers that are killed.

TEST_P(Conformance, IsToldWhenThePeerIsKilledWhileWeWait) {
    expect_told_of_a_death(idle, [](AnyEndpoint& endpoint) { Listener(endpoint).hear(small); });
}

TEST_P(Conformance, IsToldWhenThePeerIsKilledWhileWeAreBlockedInSend) {
    expect_told_of_a_death(idle, [](AnyEndpoint& endpoint) {
        for (Speaker speaker(endpoint);;) speaker.say(endpoint.largest_message());
    });
}

TEST_P(Conformance, IsToldWhenThePeerIsKilledWhileItListens) {
    expect_told_of_a_death(listen_for_ever, [](AnyEndpoint& endpoint) {
        for (Speaker speaker(endpoint);;) speaker.say(small);
    });
}

TEST_P(Conformance, IsToldWhenThePeerIsKilledWhileItSpeaks) {
    expect_told_of_a_death(speak_for_ever, [](AnyEndpoint& endpoint) {
        for (Listener listener(endpoint);;) listener.hear(small);
    });
}

/// Where that does not die with the peer, as the facts tell.
TEST_P(Conformance, ReadsWhatAPeerSaidBeforeItWasKilled) {
    if (const auto why = why_perhaps_not_told()) GTEST_SKIP() << *why;
    for_each_peer(GetParam(), [](Peer kind) {
        Conversation talk(GetParam(), kind, fill_and_stop);
        const auto endpoint = talk.attach();
        talk.wait_until_peer_attached();
        wait_until([&] { return Process::state_of(talk.peer().pid()) == 'T'; },
                   "a peer that has said all");
        talk.peer().kill();
        const auto hear_all = [&] {
            for (Listener listener(*endpoint); listener.heard() < endpoint->largest_messages();)
                listener.hear(endpoint->largest_message());
        };
        EXPECT_EQ(outcome_of(hear_all),
                  GetParam().facts.unread_outlives_sender ? Outcome::returned : Outcome::peer_gone);
    });
}

/// The creator does not come back to remove its objects: the next sweep does.
TEST_P(ConformanceByAddress, IsToldWhenTheCreatorIsKilledWhileWeWait) {
    if (const auto why = why_perhaps_not_told()) GTEST_SKIP() << *why;
    Process creator =
        Process::executed({own_executable(), "--create", std::string(GetParam().facts.name)});
    const auto opened = GetParam().open({creator.read_line()}, {});
    const auto endpoint = opened->attach({Side::initiator});
    EXPECT_EQ(creator.read_line(), "attached");
    const auto killed_at = Clock::now();
    const pid_t pid = creator.pid();
    creator.kill();
    EXPECT_THAT(outcome_of([&] { Listener(*endpoint).hear(small); }), is_told_of_a_death());
    EXPECT_LT(Clock::now(), killed_at + 1s);
    sweep_until([&] { return objects_of(pid).empty(); });
}

/// Nobody can tell a peer that was killed before it came from one that is late: where no kernel
/// object ends with it, the deadline does.
TEST_P(Conformance, IsToldWhenThePeerIsKilledBeforeItAttaches) {
    Needs needs;
    needs.timeout = deadline;
    for (const Side mine : {Side::initiator, Side::responder}) {
        const auto mechanism = GetParam().create(needs);
        Process::forked([] { ::pause(); }).kill();
        const auto start = Clock::now();
        EXPECT_THAT(outcome_of([&] { Listener(*mechanism->attach({mine})).hear(small); }),
                    AnyOf(Outcome::closed, Outcome::peer_gone, Outcome::timed_out));
        EXPECT_LT(Clock::now() - start, 1s);
    }
}

// ---------------------------------------------------------------------------------------------
// Peers that stand still.

TEST_P(Conformance, GivesUpListeningToAStoppedPeerAtTheDeadline) {
    expect_timed_out_at_the_deadline([](AnyEndpoint& endpoint, Clock::time_point& began) {
        began = Clock::now();
        Listener(endpoint).hear(small);
    });
}

TEST_P(Conformance, GivesUpSpeakingToAStoppedPeerAtTheDeadline) {
    expect_timed_out_at_the_deadline([](AnyEndpoint& endpoint, Clock::time_point& began) {
        for (Speaker speaker(endpoint);;) {
            began = Clock::now();
            speaker.say(endpoint.largest_message());
        }
    });
}

/// A deadline limits one wait, not a message: a peer that is slow, but not still, is waited for.
TEST_P(Conformance, WaitsForASlowPeer) {
    Needs needs;
    needs.timeout = slow_deadline;
    Conversation talk(GetParam(), Peer::forked_initiator, listen_slowly, needs);
    const auto endpoint = talk.attach();
    ASSERT_EQ(outcome_of([&] {
                  for (Speaker speaker(*endpoint); speaker.said() < slow_messages(*endpoint);)
                      speaker.say(slow_message_bytes(*endpoint));
              }),
              Outcome::returned);
    EXPECT_EQ(talk.peer().wait(), 0);
}

// ---------------------------------------------------------------------------------------------
// Peers that lie.

/// A shared-memory object as a hostile peer sees it.
struct RawMemory {
    explicit RawMemory(const Address& where) : mapping(map("/dev/shm/" + where.name)) {}

    static Mapping map(const std::string& path) {
        const Fd object(must(::open(path.c_str(), O_RDWR | O_CLOEXEC), "open"));
        return {object.get(), std::filesystem::file_size(path)};
    }
    void write(std::size_t offset, std::uint64_t value) const {
        std::memcpy(mapping.data() + offset, &value, sizeof value);
    }
    Mapping mapping;
};

constexpr std::uint64_t lengths_too_large[] = {65537, 1ULL << 32, 1ULL << 63, ~0ULL, ~0ULL - 7};

TEST(HostilePeer, NamesALengthThatTheMailboxCannotHold) {
    constexpr std::size_t message_bytes_offset = 0;
    for (const std::uint64_t length : lengths_too_large) {
        using Mailboxes = PosixShm<PosixSemaphores>;
        Mailboxes mechanism = Mailboxes::create({});
        auto initiator = mechanism.attach({Side::initiator});
        auto responder = mechanism.attach({Side::responder});
        initiator.loan(8);
        initiator.publish(8);
        const RawMemory memory(mechanism.address());
        std::uint64_t told = 0;
        std::memcpy(&told, memory.mapping.data() + message_bytes_offset, sizeof told);
        ASSERT_EQ(told, 8U) << "the mailbox keeps its length elsewhere now";
        memory.write(message_bytes_offset, length);
        EXPECT_EQ(outcome_of([&] { responder.take(); }), Outcome::refused) << length;
    }
}

TEST(HostilePeer, WritesARecordThatLeavesTheRing) {
    for (const std::uint64_t length : lengths_too_large) {
        using Ring = SpscRing<Spin>;
        Ring mechanism = Ring::create({});
        auto initiator = mechanism.attach({Side::initiator});
        auto responder = mechanism.attach({Side::responder});
        constexpr std::size_t in_the_ring = 64;  // a short message would lie on the line
        initiator.loan(in_the_ring);
        initiator.publish(in_the_ring);
        initiator.flush();
        const RawMemory memory(mechanism.address());
        std::uint64_t told = 0;
        std::memcpy(&told, memory.mapping.data() + page_bytes(), sizeof told);
        ASSERT_EQ(told, in_the_ring) << "the ring keeps its records elsewhere now";
        memory.write(page_bytes(), length);
        EXPECT_EQ(outcome_of([&] { responder.take(); }), Outcome::refused) << length;
    }
}

TEST(HostilePeer, NamesALengthThatAStreamCannotMean) {
    for (const std::uint64_t length :
         {std::uint64_t{65}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        Pipe mechanism = Pipe::create({});
        Process peer = Process::forked([&] {
            auto endpoint = mechanism.attach({Side::initiator});
            must(::write(endpoint.stream().output(), &length, sizeof length), "write");
            for (;;) ::pause();
        });
        auto endpoint = mechanism.attach({Side::responder});
        std::byte buffer[64];
        EXPECT_EQ(outcome_of([&] { endpoint.receive(buffer); }), Outcome::refused) << length;
    }
}

TEST(HostilePeer, DiesInTheMiddleOfAMessage) {
    Pipe mechanism = Pipe::create({});
    Process peer = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::initiator});
        const std::uint64_t length = 64;
        must(::write(endpoint.stream().output(), &length, sizeof length), "write");
    });
    auto endpoint = mechanism.attach({Side::responder});
    std::byte buffer[64];
    EXPECT_EQ(outcome_of([&] { endpoint.receive(buffer); }), Outcome::peer_gone);
}

/// The rings that lie under a name, which read nothing from shared memory but their own counters
/// and lengths. (What glibc keeps there aborts or hangs the process when it makes no sense:
/// semaphores, and the condition variables of villas-queue, around which villas_test scribbles.)
class HostileRing : public testing::TestWithParam<Entry> {};
INSTANTIATE_TEST_SUITE_P(Catalog, HostileRing, testing::ValuesIn(catalog_where([](const Entry& e) {
                             return e.facts.family == "rings" &&
                                    e.facts.addressing == Addressing::object_name &&
                                    !e.facts.name.starts_with("villas-queue/") &&
                                    e.facts.name != "boost-spsc";  // as libraries do, it trusts
                         })),
                         test_name);

TEST_P(HostileRing, NeverLeadsOutOfItsMemory) {
    std::mt19937_64 random(1);
    int messages = 0;
    for (int round = 0; round < 100; ++round) {
        Needs needs;
        needs.timeout = 0ms;
        needs.capacity_bytes = 4096;
        const auto mechanism = GetParam().create(needs);
        const auto initiator = mechanism->attach({Side::initiator});
        const auto responder = mechanism->attach({Side::responder});
        const RawMemory memory(mechanism->address());
        std::byte first[100];
        initiator->put(first, Manner::as_it_is, [](Bytes room) { write_message(room, 0); });
        const bool all_over = round % 2 == 0;  // else here and there: much still looks right
        // Whole what governs the ring; of the payload behind it, which may be MiB, a part.
        const auto step = [](std::size_t at) { return at < (1 << 16) ? 8 : 8 * 37; };
        for (std::size_t at = 0; at < memory.mapping.size(); at += step(at))
            if (all_over ? random() % 4 != 0 : random() % 64 == 0)
                memory.write(at, random() >> (random() % 64));  // of any length
        try {
            for (int i = 0; i < 10; ++i) {
                responder->get({}, Manner::as_it_is, [&](View message) {
                    const std::vector<std::byte> copy(message.begin(), message.end());
                    if (copy.size() == message.size()) ++messages;
                });
                std::byte scratch[100];
                initiator->put(scratch, Manner::as_it_is,
                               [](Bytes room) { write_message(room, 0); });
            }
        } catch (const IpcError&) {
            continue;  // with a type, and in this process's own time
        }
    }
    EXPECT_GT(messages, 0) << "nothing was scribbled that looks like a message";
}

// ---------------------------------------------------------------------------------------------
// Rounds, over an endpoint that has room for 16 bytes a message.

struct Sixteen {
    std::deque<std::vector<std::byte>>& messages;

    void send(View out) const { messages.emplace_back(out.begin(), out.end()); }
    std::size_t receive(Bytes in) const {
        const std::vector<std::byte> message = messages.front();
        messages.pop_front();
        std::copy(message.begin(), message.end(), in.begin());
        return message.size();
    }
    static std::size_t message_bytes_max() { return 16; }
};

TEST(Rounds, TakesAsManyFragmentsAsItSays) {
    for (std::size_t size = 0; size < 200; ++size) {
        std::deque<std::vector<std::byte>> messages;
        Sixteen endpoint{messages};
        Rounds rounds(endpoint);
        std::vector<std::byte> out(size + 1);
        write_message(Bytes(out).first(size), size);
        rounds.send(Bytes(out).first(size));
        EXPECT_EQ(messages.size(), Rounds<Sixteen>::count(endpoint, size));
        std::vector<std::byte> in(size + 1);
        EXPECT_EQ(rounds.receive(in), size);
        expect_message(Bytes(in).first(size), size, size);
        EXPECT_THAT(messages, IsEmpty());
    }
}

TEST(Rounds, RefusesFragmentsThatDoNotFit) {
    const auto receive = [](std::uint64_t length, std::size_t first, std::size_t second) {
        std::deque<std::vector<std::byte>> messages{std::vector<std::byte>(first),
                                                    std::vector<std::byte>(second)};
        if (first >= sizeof length) std::memcpy(messages.front().data(), &length, sizeof length);
        Sixteen endpoint{messages};
        std::byte buffer[20];
        return outcome_of([&] { Rounds(endpoint).receive(buffer); });
    };
    EXPECT_EQ(receive(20, 16, 12), Outcome::returned);
    EXPECT_EQ(receive(21, 16, 13), Outcome::refused) << "longer than the buffer";
    EXPECT_EQ(receive(~0ULL, 16, 16), Outcome::refused) << "longer than the buffer";
    EXPECT_EQ(receive(20, 16, 13), Outcome::refused) << "longer than announced";
    EXPECT_EQ(receive(4, 16, 16), Outcome::refused) << "the first longer than announced";
    EXPECT_EQ(receive(20, 7, 16), Outcome::refused) << "no length";
}

/// In a process of its own: creates the mechanism, attaches and stays.
int create_and_stay(const Entry& entry) {
    const auto mechanism = entry.create({});
    fmt::print("{}\n", mechanism->address().name);
    std::fflush(stdout);
    const auto endpoint = mechanism->attach({Side::responder});
    fmt::print("attached\n");
    std::fflush(stdout);
    stay(*endpoint, Side::responder);
    return 0;
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    using namespace ipclab::test;
    const std::vector<std::string> arguments(argv, argv + argc);
    if (argc == 3 && arguments[1] == "--create") return create_and_stay(entry_of(arguments[2]));
    if (const auto status =
            run_as_peer(arguments, {all_sizes, both_ways_at_once, random_sizes, fill_and_leave,
                                    idle, fill_and_stop, speak_for_ever, listen_for_ever}))
        return *status;
    testing::InitGoogleMock(&argc, argv);
    withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
