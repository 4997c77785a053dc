// What only queues of messages promise: priorities, addresses, and limits that are told.
#include "mechanisms/message_queues/posix_mq.hpp"
#include "mechanisms/message_queues/sysv_mq.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sched.h>
#include <sys/resource.h>

namespace ipclab::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

/// What a refusal by a limit says; "" if nothing was refused.
std::string told_of_a_limit(const std::function<void()>& action) {
    try {
        action();
    } catch (const LimitReached& limit) {
        return limit.what();
    }
    return "";
}

/// Runs `body` where a limit of the process may be lowered: in a child. Fails if it throws.
void expect_in_a_child(const std::function<void()>& body) {
    EXPECT_EQ(Process::forked(body).wait(), 0);
}

void expect_that(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
}

View text(std::string_view words) { return std::as_bytes(std::span(words)); }

std::string hear(auto& endpoint, auto... from) {
    std::vector<std::byte> buffer(endpoint.message_bytes_max());
    const std::size_t size = endpoint.receive(buffer, from...);
    return {reinterpret_cast<const char*>(buffer.data()), size};
}

// ---------------------------------------------------------------------------------------------
// posix-mq

TEST(PosixMq, UrgentMessagesOvertake) {
    ASSERT_TRUE(PosixMq::facts.priorities);
    PosixMq mechanism = PosixMq::create({});
    auto initiator = mechanism.attach({Side::initiator});
    auto responder = mechanism.attach({Side::responder});
    initiator.send(text("at leisure"));
    initiator.send(text("soon"), Priority{1});
    initiator.send(text("now"), Priority{9});
    initiator.send(text("right after"), Priority{9});
    EXPECT_EQ(hear(responder), "now");
    EXPECT_EQ(hear(responder), "right after");
    EXPECT_EQ(hear(responder), "soon");
    EXPECT_EQ(hear(responder), "at leisure");
}

TEST(PosixMq, IsMadeAtTheNameThatTheUserGave) {
    for (const std::string slash : {"", "/"}) {
        const std::string name = fresh_name("demo");
        Needs needs;
        needs.address = {slash + name};
        PosixMq mechanism = PosixMq::create(needs);
        EXPECT_EQ(mechanism.address().name, name);
        EXPECT_TRUE(exists(ObjectKind::posix_mq, name + ".to-responder"));
        EXPECT_TRUE(exists(ObjectKind::posix_mq, name + ".to-initiator"));
        auto responder = mechanism.attach({Side::responder});
        auto opened = PosixMq::open({name}, {});
        opened.attach({Side::initiator}).send(text("hello"));
        EXPECT_EQ(hear(responder), "hello");

        EXPECT_THROW(PosixMq::create(needs), Refused) << "there is one of that name";
        EXPECT_TRUE(exists(ObjectKind::posix_mq, name + ".to-responder")) << "and it stays";
    }
    for (const std::string none : {"/", "a/b", "//a"}) {
        Needs needs;
        needs.address = {none};
        EXPECT_THROW(PosixMq::create(needs), Refused) << none;
    }
}

/// A process with CAP_SYS_RESOURCE gets what it asks for.
TEST(PosixMq, MeetsACapacityOrNamesTheLimit) {
    Needs needs;
    needs.message_bytes_max = 64;
    needs.capacity_bytes = 64 * (limits::posix_mq_messages().value + 1);
    std::size_t capacity = 0;
    const std::string told = told_of_a_limit([&] {
        PosixMq mechanism = PosixMq::create(needs);
        capacity = mechanism.attach({Side::initiator}).capacity_bytes();
    });
    if (told.empty())
        EXPECT_GE(capacity, needs.capacity_bytes);
    else
        EXPECT_THAT(told,
                    AllOf(HasSubstr("/proc/sys/fs/mqueue/msg_max is 10"),
                          HasSubstr("11 were asked for"), HasSubstr("sysctl fs.mqueue.msg_max=")));
    needs.capacity_bytes = 65;
    PosixMq mechanism = PosixMq::create(needs);
    EXPECT_EQ(mechanism.attach({Side::initiator}).capacity_bytes(), 128U) << "never rounded down";
}

TEST(PosixMq, NamesTheLimitOfAUsersBytes) {
    expect_in_a_child([] {
        const rlimit little{1000, 1000};
        must(::setrlimit(RLIMIT_MSGQUEUE, &little), "setrlimit");
        const std::string told = told_of_a_limit([] { PosixMq::create({}); });
        expect_that(told.find("RLIMIT_MSGQUEUE (bytes) is 1000; raise it with ulimit -q") !=
                        std::string::npos,
                    told);
    });
}

TEST(PosixMq, NamesTheLimitOfDescriptors) {
    expect_in_a_child([] {
        PosixMq mechanism = PosixMq::create({});
        const rlimit few{10, 10};
        must(::setrlimit(RLIMIT_NOFILE, &few), "setrlimit");
        std::vector<Fd> used;
        while (used.size() < 10)
            if (used.emplace_back(::open("/", O_PATH | O_CLOEXEC)); !used.back()) break;
        const std::string told = told_of_a_limit([&] { mechanism.attach({Side::initiator}); });
        expect_that(told.find("RLIMIT_NOFILE is 10") != std::string::npos, told);
    });
}

TEST(PosixMq, NamesTheLimitOfQueues) {
    std::vector<PosixMq> many;
    Needs small;
    small.message_bytes_max = 8;
    small.capacity_bytes = 8;
    const auto most = limits::posix_mq_queues().value;
    if (most > 1000) GTEST_SKIP() << "this machine admits " << most << " queues";
    const std::string told = told_of_a_limit([&] {
        while (many.size() <= most / 2) many.push_back(PosixMq::create(small));
    });
    if (told.empty()) GTEST_SKIP() << "this process may exceed queues_max (CAP_SYS_RESOURCE)";
    EXPECT_THAT(told, HasSubstr(fmt::format("/proc/sys/fs/mqueue/queues_max is {}", most)));
}

// ---------------------------------------------------------------------------------------------
// sysv-mq

TEST(SysvMq, CarriesThreeConversationsInOneQueue) {
    SysvMq mechanism = SysvMq::create({});
    std::vector<SysvMq::Endpoint> clients;
    std::vector<SysvMq::Endpoint> servers;
    for (const int index : {0, 1, 2}) {
        clients.push_back(mechanism.attach({Side::initiator, index}));
        servers.push_back(mechanism.attach({Side::responder, index}));
    }
    EXPECT_THROW(mechanism.attach({Side::initiator, 2}), Refused) << "somebody has this side";
    for (const int round : {1, 2}) {
        for (std::size_t i = 0; i < 3; ++i) {
            clients[i].send(text(fmt::format("question {} of client {}", round, i)));
            servers[i].send(text(fmt::format("answer {} to client {}", round, i)));
        }
    }
    // In an order that is not that of sending: each gets what is addressed to it, oldest first.
    for (const std::size_t i : {2U, 0U, 1U})
        for (const int round : {1, 2}) {
            EXPECT_EQ(hear(clients[i]), fmt::format("answer {} to client {}", round, i));
            EXPECT_EQ(hear(servers[i]), fmt::format("question {} of client {}", round, i));
        }
}

TEST(SysvMq, ConversationsShareTheRoom) {
    Needs needs;
    needs.timeout = std::chrono::milliseconds(100);
    SysvMq mechanism = SysvMq::create(needs);
    auto first = mechanism.attach({Side::initiator, 0});
    auto second = mechanism.attach({Side::initiator, 1});
    const std::vector<std::byte> message(first.message_bytes_max());
    for (std::size_t i = 0; i < first.capacity_bytes() / message.size(); ++i) first.send(message);
    EXPECT_THROW(second.send(text("me too")), TimedOut);
}

TEST(SysvMq, TheLowestTypeIsTheMostUrgent) {
    ASSERT_TRUE(SysvMq::facts.priorities);
    SysvMq mechanism = SysvMq::create({});
    auto speaker = mechanism.attach({Side::initiator});
    auto listener = mechanism.attach({Side::responder});
    speaker.send(text("at leisure"), 9);
    speaker.send(text("soon"), 5);
    speaker.send(text("too late"), 10);
    speaker.send(text("now"), 1);
    speaker.send(text("right after"), 1);
    for (const char* expected : {"now", "right after", "soon", "at leisure"})
        EXPECT_EQ(hear(listener, -9), expected);
    EXPECT_EQ(hear(listener, 0), "too late") << "any type";
}

TEST(SysvMq, MakesTheFileThatTheUserNamedIfItIsMissing) {
    const std::string path = fmt::format("{}/{}", runtime_folder(), fresh_name("key"));
    Needs needs;
    needs.address = {path};
    {
        SysvMq mechanism = SysvMq::create(needs);
        EXPECT_TRUE(exists(ObjectKind::file, path));
        EXPECT_EQ(mechanism.address().name, path);
        EXPECT_THROW(SysvMq::create(needs), Refused) << "the key is taken";
        auto responder = mechanism.attach({Side::responder});
        SysvMq opened = SysvMq::open({path}, {});
        opened.attach({Side::initiator}).send(text("hello"));
        EXPECT_EQ(hear(responder), "hello");
    }
    EXPECT_FALSE(exists(ObjectKind::file, path));
    EXPECT_THAT(system_v_ids(), IsEmpty());
}

TEST(SysvMq, LeavesTheFileThatWasThere) {
    const NamedObject file =
        key_file::make(fmt::format("{}/{}", runtime_folder(), fresh_name("key")));
    Needs needs;
    needs.address = {std::filesystem::relative(file.name()).string()};
    {
        const SysvMq mechanism = SysvMq::create(needs);
        EXPECT_TRUE(std::filesystem::path(mechanism.address().name).is_absolute())
            << "good in any folder";
    }
    EXPECT_TRUE(exists(ObjectKind::file, file.name()));
    EXPECT_THAT(system_v_ids(), IsEmpty());
}

/// What ftok(3) says of its own file may be the key of somebody else's queue.
TEST(SysvMq, LeavesAStrangersQueueAlone) {
    const NamedObject file =
        key_file::make(fmt::format("{}/{}", runtime_folder(), fresh_name("key")));
    const int strangers =
        must(::msgget(key_of_file(file.name()), IPC_CREAT | IPC_EXCL | 0600), "msgget");
    Needs needs;
    needs.address = {file.name()};
    EXPECT_THROW(SysvMq::create(needs), Refused);
    EXPECT_NE(::msgctl(strangers, IPC_RMID, nullptr), -1) << "it was removed";
}

TEST(SysvMq, MeetsACapacityOrNamesTheLimit) {
    const std::size_t most = limits::sysv_mq_bytes().value;
    Needs needs;
    needs.capacity_bytes = most + 1;
    std::size_t capacity = 0;
    const std::string told = told_of_a_limit([&] {
        SysvMq mechanism = SysvMq::create(needs);
        capacity = mechanism.attach({Side::initiator}).capacity_bytes();
    });
    if (told.empty())
        EXPECT_GE(capacity, needs.capacity_bytes);  // CAP_SYS_RESOURCE
    else
        EXPECT_THAT(told, AllOf(HasSubstr(fmt::format("/proc/sys/kernel/msgmnb is {}", most)),
                                HasSubstr("sysctl kernel.msgmnb=")));
    needs.capacity_bytes = 100;
    SysvMq mechanism = SysvMq::create(needs);
    EXPECT_EQ(mechanism.attach({Side::initiator}).capacity_bytes(), 100U);
}

/// In an IPC namespace of its own, whose limits only its own root sets.
TEST(SysvMq, NamesTheLimitOfQueues) {
    expect_in_a_child([] {
        const std::string file = "/proc/sys/kernel/msgmni";
        if (::unshare(CLONE_NEWIPC) == -1) return;
        if (!(std::ofstream(file) << 2).flush()) return;
        std::vector<SysvMq> many;
        const std::string told = told_of_a_limit([&] {
            while (many.size() < 3) many.push_back(SysvMq::create({}));
        });
        expect_that(told.find("msgmni is 2; raise it with sysctl kernel.msgmni=") !=
                        std::string::npos,
                    told);
    });
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    ipclab::test::withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
