// Whole transfers: each way moves messages between two real processes, tells what went into them,
// and maps and unmaps as often as it says.
#include "harness/copy_or_map/transfer.hpp"

#include "harness/copy_or_map/experiment.hpp"
#include "harness/copy_or_map/fresh_object.hpp"
#include "harness/copy_or_map/mapped.hpp"
#include "harness/copy_or_map/ways.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <string>
#include <sys/time.h>

namespace ipclab {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

const Conditions conditions{
    .scenario = "test", .batch = 1ms, .autogroup_nice = {}, .payload_costs = {}};

/// All that a scenario of these sizes has.
std::vector<Transfer> transfers(std::vector<std::size_t> sizes_bytes) {
    Scenario scenario;
    scenario.experiment = Experiment::copy_vs_map;
    scenario.mechanisms = {
        "pipe", "pipe/spin", "unix-stream", "sysv-mq", "process-vm/futex-pure", "process-vm/spin"};
    scenario.sizes_bytes = std::move(sizes_bytes);
    scenario.messages_per_mapping = {1, 10};
    scenario.placements.assign(placements.begin(), placements.end());
    std::vector<Transfer> all = transfers_of(scenario);
    // Asleep on one CPU, spinning on two.
    std::erase_if(all, [](const Transfer& transfer) {
        return transfer.placement == Placement::two_cpus && transfer.waiting == Waiting::sleeps;
    });
    return all;
}

class EveryWay : public testing::TestWithParam<std::size_t> {};

TEST_P(EveryWay, MovesMessagesAndTellsWhereTheirTimeGoes) {
    SessionMemory memory;
    std::size_t measured = 0;
    for (const Transfer& transfer : transfers({GetParam()})) {
        if (reason_to_skip(transfer, usable_cpus())) continue;
        const Row row = measure_transfer(transfer, conditions, 3, 1, memory);
        SCOPED_TRACE(row.json.dump());
        if (row.status == RowStatus::skipped) {  // where memory may not be read, say
            EXPECT_FALSE(row.json["reason"].get<std::string>().empty());
            continue;
        }
        ++measured;
        ASSERT_TRUE(row.status == RowStatus::ok || row.status == RowStatus::disturbed);
        EXPECT_EQ(row.json["type"], "transfer");
        EXPECT_EQ(row.json["way"], name_of(transfer.way));
        EXPECT_EQ(row.json["round"], 3);
        EXPECT_GT(row.figure_ns, 0);
        EXPECT_EQ(row.json["transfer_ns"], row.figure_ns);
        const auto messages = row.json["messages"].get<std::uint64_t>();
        const auto stride = row.json["stride"].get<std::uint64_t>();
        EXPECT_GE(messages / stride, transfer.messages_per_mapping > 1 ? 3U : 5U);
        EXPECT_EQ(stride % std::max<std::uint64_t>(1, transfer.messages_per_mapping), 0U);
        const auto& parts = row.json["phases_ns"];
        if (parts.is_null()) {
            EXPECT_LT(row.figure_ns, 1000) << "only what is too short is not stamped";
            continue;
        }
        double sum_ns = 0;
        for (const Phase phase : phases) {
            const double ns = parts.at(std::string(name_of(phase)));
            EXPECT_GE(ns, 0) << name_of(phase);
            sum_ns += ns;
        }
        const double stamped_ns = row.json["stamped_transfer_ns"];
        // The first stamp comes a little after the leg's beginning.
        EXPECT_NEAR(sum_ns, stamped_ns, 1e-6 * stamped_ns);
        EXPECT_GT(parts.at("produce"), 0.0);
        EXPECT_GT(parts.at("consume"), 0.0);
        const bool is_lent = transfer.way != Way::copy;
        EXPECT_EQ(parts.at("release") > 0.0, is_lent);
    }
    EXPECT_GT(measured, 0U);
}

INSTANTIATE_TEST_SUITE_P(OfSize, EveryWay, testing::Values(64, 4096, 1 << 20),
                         testing::PrintToStringParamName());

constexpr std::size_t pages = 64;

/// Page faults per message of a pair's initiator, which sends as many as it receives.
double faults_per_message(Way way, std::uint64_t messages_per_mapping) {
    SessionMemory memory;
    const Transfer transfer{.way = way,
                            .messages_per_mapping = messages_per_mapping,
                            .size_bytes = pages * page_bytes(),
                            .placement = Placement::same_cpu};
    const Row row = measure_transfer(transfer, conditions, 1, 1, memory);
    return row.json.at("initiator").at("minor_faults").get<double>() /
           row.json.at("messages").get<double>();
}

TEST(Faults, AreTakenOncePerPageAndMapping) {
    // A few, which the process takes for its own code, are nobody's.
    EXPECT_LT(faults_per_message(Way::persistent, 0), 2);
    EXPECT_GE(faults_per_message(Way::sender_remaps, 1), pages);
    EXPECT_GE(faults_per_message(Way::sender_remaps, 10), pages / 10.0);
    EXPECT_LT(faults_per_message(Way::sender_remaps, 10), pages / 2.0);
    EXPECT_GE(faults_per_message(Way::fresh_object, 1), pages);
}

TEST(Faults, AreFewerWhereTheKernelEntersNeighboursAsWell) {
    for (const Way way :
         {Way::receiver_remaps, Way::receiver_remaps_populated, Way::sender_remaps_populated}) {
        const double each_time = faults_per_message(way, 1);
        EXPECT_GE(each_time, 1) << name_of(way);
        EXPECT_LT(each_time, pages) << name_of(way);
    }
}

// ---------------------------------------------------------------------------------------------
// Both sides in one process.

/// How many pages of memfds this process has mapped. (Mappings cannot be counted: two that happen
/// to touch may be shown as one.)
std::size_t mapped_pages() {
    std::ifstream maps("/proc/self/maps");
    std::size_t bytes = 0;
    for (std::string line; std::getline(maps, line);) {
        if (line.find("/memfd:ipclab") == std::string::npos) continue;
        const std::size_t dash = line.find('-');
        bytes += std::stoull(line.substr(dash + 1), nullptr, 16) - std::stoull(line, nullptr, 16);
    }
    return bytes / page_bytes();
}

std::ptrdiff_t open_descriptors() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

using Rooms = SharedRooms<PureFutexSemaphores>;

TEST(Mapping, OfTheReceiverLastsForAsManyMessagesAsItSays) {
    constexpr int messages = 3;
    const std::size_t before = mapped_pages();
    Rooms rooms(100);
    auto sender = rooms.attach(Side::initiator, KeptMapping(rooms.room_of(Side::initiator)),
                               KeptMapping(rooms.room_of(Side::responder)));
    auto receiver =
        rooms.attach(Side::responder, KeptMapping(rooms.room_of(Side::responder)),
                     RemadeMapping(rooms.room_of(Side::initiator), PROT_READ, 0, messages));
    const std::size_t kept = mapped_pages();
    EXPECT_GT(kept, before);
    for (int i = 0; i < 3 * messages; ++i) {
        sender.loan(100)[99] = std::byte(i);
        sender.publish(100);
        EXPECT_EQ(mapped_pages(), kept + (i % messages > 0 ? 1U : 0U)) << i;
        const View message = receiver.take();
        EXPECT_EQ(message.size(), 100U);
        EXPECT_EQ(message[99], std::byte(i));
        EXPECT_EQ(mapped_pages(), kept + 1) << i;
        receiver.release();
        EXPECT_EQ(mapped_pages(), kept + (i % messages < messages - 1 ? 1U : 0U)) << i;
    }
}

TEST(Mapping, OfTheSenderIsGoneWhenTheReceiverHearsOfTheMessage) {
    Rooms rooms(100);
    auto sender = rooms.attach(
        Side::initiator,
        RemadeMapping(rooms.room_of(Side::initiator), PROT_READ | PROT_WRITE, MAP_POPULATE, 1),
        KeptMapping(rooms.room_of(Side::responder)));
    auto receiver = rooms.attach(Side::responder, KeptMapping(rooms.room_of(Side::responder)),
                                 KeptMapping(rooms.room_of(Side::initiator)));
    const std::size_t kept = mapped_pages();
    sender.loan(100)[99] = std::byte{7};
    EXPECT_EQ(mapped_pages(), kept + 1);
    sender.publish(100);
    EXPECT_EQ(mapped_pages(), kept);
    EXPECT_EQ(receiver.take()[99], std::byte{7});
    receiver.release();
    EXPECT_THROW(sender.loan(page_bytes() + 1), Refused);
}

TEST(Mapping, EndsWithItsEndpoint) {
    const std::size_t before = mapped_pages();
    const auto descriptors = open_descriptors();
    {
        Rooms rooms(100);
        auto sender = rooms.attach(
            Side::initiator,
            RemadeMapping(rooms.room_of(Side::initiator), PROT_READ | PROT_WRITE, 0, 10),
            KeptMapping(rooms.room_of(Side::responder)));
        sender.loan(100);
        EXPECT_GT(mapped_pages(), before);
    }
    EXPECT_EQ(mapped_pages(), before);
    EXPECT_EQ(open_descriptors(), descriptors);
}

struct Sockets {
    Sockets() {
        std::array<int, 2> both{};
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both.data()),
             "socketpair");
        ends = {Fd(both[0]), Fd(both[1])};
    }
    std::array<Fd, 2> ends;
};

TEST(FreshObjects, LeaveNeitherDescriptorsNorMappingsBehind) {
    Sockets sockets;
    FreshObjectEndpoint sender(std::move(sockets.ends[0]), 5000);
    FreshObjectEndpoint receiver(std::move(sockets.ends[1]), 5000);
    const auto descriptors = open_descriptors();
    const std::size_t mapped = mapped_pages();
    for (int i = 0; i < 100; ++i) {
        sender.loan(5000)[4999] = std::byte(i);
        sender.publish(5000);
        EXPECT_EQ(receiver.take()[4999], std::byte(i));
        receiver.release();
    }
    EXPECT_EQ(open_descriptors(), descriptors);
    EXPECT_EQ(mapped_pages(), mapped);
}

TEST(FreshObjects, AreRefusedWhereALoadBeyondTheirEndCouldKill) {
    Sockets sockets;
    const int raw = sockets.ends[0].get();
    FreshObjectEndpoint receiver(std::move(sockets.ends[1]), 5000);
    send_descriptor(raw, make_fresh_object(100).get());
    EXPECT_THROW(receiver.take(), Refused) << "too small";

    const Fd open(must(::memfd_create("ipclab", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
    must(::ftruncate(open.get(), 5000), "ftruncate");
    send_descriptor(raw, open.get());
    EXPECT_THROW(receiver.take(), Refused) << "not sealed";

    std::array<int, 2> pipe{};
    must(::pipe2(pipe.data(), O_CLOEXEC), "pipe2");
    const Fd out(pipe[0]);
    const Fd in(pipe[1]);
    send_descriptor(raw, out.get());
    EXPECT_THROW(receiver.take(), Refused) << "no memory at all";

    send_descriptor(raw, make_fresh_object(5000).get());
    EXPECT_EQ(receiver.take().size(), 5000U);
}

// ---------------------------------------------------------------------------------------------
// Pairs that fail.

std::string failure_of(Subject& subject, std::uint64_t messages) {
    SessionMemory memory;
    Session session(subject, cpus_for(Placement::same_cpu), memory);
    try {
        session.run_leg(messages, messages / 10);
    } catch (const PairFailed& failed) {
        return failed.what();
    }
    return "nothing failed";
}

/// Changes a byte of each message after it has been made.
struct Scribbler {
    FreshObjectEndpoint& endpoint;
    Bytes last{};

    Bytes loan(std::size_t n) { return last = endpoint.loan(n); }
    void publish(std::size_t n) {
        last.back() ^= std::byte{1};
        endpoint.publish(n);
    }
    View take() { return endpoint.take(); }
    void release() { endpoint.release(); }
};

TEST(Pair, AWrongByteFailsTheRow) {
    class Scribbling : public Subject {
      public:
        void stand_aside() override { sockets_.stand_aside(); }
        void converse(Player& player) override {
            FreshObjectEndpoint endpoint = sockets_.attach(player.side());
            Scribbler scribbler{endpoint};
            player.answer();
            player.serve([&](const Order& order) {
                if (player.side() == Side::responder)
                    player.play(scribbler, Pattern::ping_pong, 5000, order.leg);
                else
                    player.play(endpoint, Pattern::ping_pong, 5000, order.leg);
            });
        }

      private:
        ObjectSockets sockets_{5000, Waiting::sleeps};
    } subject;
    EXPECT_EQ(failure_of(subject, 10), "initiator: 10 of 10 messages had a wrong payload");
}

/// Another subject whose responder is killed in the middle of a leg.
class Killed : public Subject {
  public:
    explicit Killed(std::unique_ptr<Subject> subject) : subject_(std::move(subject)) {}
    void stand_aside() override { subject_->stand_aside(); }
    void converse(Player& player) override {
        if (player.side() == Side::responder) {
            const itimerval soon{{}, {0, 50'000}};
            ::setitimer(ITIMER_REAL, &soon, nullptr);
        }
        subject_->converse(player);
    }

  private:
    std::unique_ptr<Subject> subject_;
};

TEST(Pair, AKilledSideEndsIt) {
    for (const Transfer& transfer : transfers({4096})) {
        if (transfer.way == Way::copy || transfer.placement != Placement::same_cpu) continue;
        Killed subject(create_subject(transfer));
        // A socket tells the survivor before the commander looks.
        EXPECT_THAT(
            failure_of(subject, 100'000'000'000),
            testing::AnyOf(HasSubstr(fmt::format("responder: killed by signal {}", SIGALRM)),
                           HasSubstr("the peer is gone"), HasSubstr("Broken pipe")))
            << name_of(transfer.way);
    }
}

TEST(Pair, LeavesNothingBehind) {
    const auto objects = [] {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator("/dev/shm"))
            if (const std::string name = entry.path().filename();
                name.find(fmt::format("-{}-", ::getpid())) != std::string::npos)
                names.push_back(name);
        return names;
    };
    SessionMemory memory;
    const auto measure_all = [&] {
        for (const Transfer& transfer : transfers({4096}))
            if (!reason_to_skip(transfer, usable_cpus()))
                measure_transfer(transfer, conditions, 1, 1, memory);
        return open_descriptors();
    };
    const auto descriptors = measure_all();  // with the registry of what has a name
    EXPECT_EQ(measure_all(), descriptors);
    EXPECT_THAT(objects(), testing::IsEmpty());
    EXPECT_EQ(mapped_pages(), 0U);
}

}  // namespace
}  // namespace ipclab
