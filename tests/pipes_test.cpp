// What the lessons of the pipes say beyond their facts.
#include "mechanisms/os/limits.hpp"
#include "mechanisms/pipes/fifo.hpp"
#include "mechanisms/pipes/pipe.hpp"
#include "mechanisms/pipes/vmsplice.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

/// Runs `action` in a process that holds no capability, and returns what it threw.
std::string told_without_capabilities(const std::function<void()>& action) {
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC), "pipe2");
    Fd told(ends[0]);
    Fd telling(ends[1]);
    Process process = Process::forked([&] {
        if (::geteuid() == 0) must(::setuid(65534), "setuid");
        try {
            action();
        } catch (const LimitReached& limit) {
            const std::string words = limit.what();
            must(::write(telling.get(), words.data(), words.size()), "write");
        }
    });
    telling.reset();
    EXPECT_EQ(process.wait(), 0);
    char words[1000];
    const auto length = must(::read(told.get(), words, sizeof words), "read");
    return {words, static_cast<std::size_t>(length)};
}

Needs room_for(std::size_t bytes) {
    Needs needs;
    needs.capacity_bytes = bytes;
    return needs;
}

TEST(PipeCapacity, IsWhatWasAskedForOrMore) {
    for (const std::size_t bytes : {1UL, 4088UL, 4089UL, 65'528UL, 65'529UL, 200'000UL}) {
        Pipe mechanism = Pipe::create(room_for(bytes));
        EXPECT_GE(mechanism.attach({Side::initiator}).capacity_bytes(), bytes);
    }
}

TEST(PipeCapacity, NamesTheLimitOfOnePipe) {
    const std::size_t most = limits::pipe_bytes().value;
    EXPECT_THAT(told_without_capabilities([&] { Pipe::create(room_for(most + 1)); }),
                AllOf(HasSubstr("/proc/sys/fs/pipe-max-size"), HasSubstr(std::to_string(most))));
    EXPECT_THROW(Pipe::create(room_for(std::size_t{1} << 40)), LimitReached) << "for anybody";
}

TEST(PipeCapacity, NamesTheLimitOfAllPipesOfAUser) {
    const std::size_t pages = limits::pipe_pages_of_a_user().value;
    const std::size_t most = limits::pipe_bytes().value;
    if (pages == 0) GTEST_SKIP() << "fs.pipe-user-pages-soft is 0: no limit";
    EXPECT_THAT(told_without_capabilities([&] {
                    std::vector<Pipe> pipes;
                    for (std::size_t taken = 0; taken <= pages; taken += 2 * most / page_bytes())
                        pipes.push_back(Pipe::create(room_for(most - 8)));
                }),
                HasSubstr("/proc/sys/fs/pipe-user-pages-soft"));
}

// ---------------------------------------------------------------------------------------------
// The fifo.

TEST(Fifo, IsMadeWhereTheUserWantsItAndNowhereElse) {
    const fs::path folder = fs::temp_directory_path() / fresh_name("fifo-test");
    fs::create_directory(folder);
    Needs needs;
    needs.address.name = (folder / "demo").string();
    {
        const Fifo fifo = Fifo::create(needs);
        EXPECT_EQ(fifo.address().name, needs.address.name);
        EXPECT_TRUE(fs::is_fifo(folder / "demo") && fs::is_fifo(folder / "demo.back"));
    }
    EXPECT_TRUE(fs::is_empty(folder));
    std::ofstream(folder / "demo") << "somebody's";
    EXPECT_THROW(Fifo::create(needs), Refused);
    EXPECT_EQ(fs::file_size(folder / "demo"), 10U) << "what was there before is left alone";
    EXPECT_THROW(Fifo::open(needs.address, {}).attach({Side::initiator}), Refused) << "no fifo";
    fs::remove_all(folder);
}

TEST(Fifo, LetsAnotherTakeThePlaceOfWhoWasKilled) {
    Fifo fifo = Fifo::create({});
    const auto say = [&](std::byte word) {
        return Process::forked([&, word] {
            Fifo::Endpoint endpoint = Fifo::open(fifo.address(), {}).attach({Side::initiator});
            endpoint.send(View(&word, 1));
            for (;;) ::pause();
        });
    };
    Process first = say(std::byte{1});
    Fifo::Endpoint endpoint = fifo.attach({Side::responder});
    std::byte heard{};
    endpoint.receive(Bytes(&heard, 1));
    EXPECT_EQ(heard, std::byte{1});
    first.kill();
    EXPECT_THROW(endpoint.receive(Bytes(&heard, 1)), Closed);
    const Process second = say(std::byte{2});
    wait_until(
        [&] {
            try {
                return endpoint.receive(Bytes(&heard, 1)) == 1;
            } catch (const Closed&) {
                return false;  // not here yet
            }
        },
        "the second speaker");
    EXPECT_EQ(heard, std::byte{2});
}

// ---------------------------------------------------------------------------------------------
// Pages that were given.

/// What the reader reads of a message of 'a's if the sender writes 'b's over it right after.
template <class M>
char read_after_the_sender_scribbled() {
    Needs needs;
    needs.message_bytes_max = 4000;
    M mechanism = M::create(needs);
    Flare scribbled;
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC), "pipe2");
    const Fd told(ends[0]);
    const Fd telling(ends[1]);
    Process reader = Process::forked([&] {
        auto endpoint = mechanism.attach({Side::responder});
        scribbled.wait();
        std::byte message[4000];
        endpoint.receive(message);
        must(::write(telling.get(), &message[2000], 1), "write");
    });
    auto endpoint = mechanism.attach({Side::initiator});
    std::vector<std::byte> own(4000);
    Bytes message = own;
    if constexpr (LendingSender<EndpointOf<M>>) message = endpoint.loan(own.size());
    std::fill(message.begin(), message.end(), std::byte{'a'});
    if constexpr (LendingSender<EndpointOf<M>>)
        endpoint.publish(message.size());
    else
        endpoint.send(message);
    std::fill(message.begin(), message.end(), std::byte{'b'});
    scribbled.raise();
    EXPECT_EQ(reader.wait(), 0);
    char word = 0;
    must(::read(told.get(), &word, 1), "read");
    return word;
}

TEST(PipeVmsplice, ShowsTheReaderWhatTheSenderWritesAfterwards) {
    EXPECT_EQ(read_after_the_sender_scribbled<PipeVmsplice>(), 'b') << "the page itself was given";
    EXPECT_EQ(read_after_the_sender_scribbled<Pipe>(), 'a') << "write(2) has copied it";
}

TEST(PipeVmsplice, LendsNoPageThatTheReaderMayStillRead) {
    Needs needs;
    needs.timeout = 100ms;
    PipeVmsplice mechanism = PipeVmsplice::create(needs);
    Process reader = Process::forked([&] {
        const auto endpoint = mechanism.attach({Side::responder});
        for (;;) ::pause();
    });
    auto endpoint = mechanism.attach({Side::initiator});
    const std::size_t slots = (endpoint.capacity_bytes() + 8) / page_bytes();
    std::set<const std::byte*> given;
    for (std::size_t i = 0; i < slots; ++i) {
        EXPECT_TRUE(given.insert(endpoint.loan(1).data()).second) << "after " << i << " messages";
        endpoint.publish(1);
    }
    EXPECT_FALSE(given.contains(endpoint.loan(1).data()));
    EXPECT_THROW(endpoint.publish(1), TimedOut) << "a slot is a page, and all are taken";
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
