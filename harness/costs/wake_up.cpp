// What it costs to sleep until the other process has something to say.
//
// Two processes exchange a byte, or a post of a semaphore, back and forth. Each, once woken, is
// busy for a while before it wakes the other, so that the other has slept for that long: a CPU that
// has been idle for 10 ms has gone to a deeper sleep than one that is called at once, and has
// lost more of its caches. Half of what is left of a round trip is one wake-up.
#include "harness/costs/conduit.hpp"
#include "harness/costs/list.hpp"
#include "harness/statistics.hpp"
#include "mechanisms/waiting/flag_semaphores.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"

namespace ipclab {
namespace {

/// An Exchange is attached in each process; `tell` wakes the other side, `hear` waits until it has
/// told; `in_process_ns` is what both take, less the waiting, where that can be told apart.
template <class Exchange>
class WakeUp : public Cost {
  public:
    explicit WakeUp(const CostCell& cell) : slept_ns_(cell.slept_ns) {}

  private:
    enum Figure : std::size_t { wake_up, overlap };

    void attach(Side side) override {
        exchange_.attach(side);
        if (side == Side::initiator) in_process_ns_ = exchange_.in_process_ns();
    }

    void pass(Side side, Laps& laps) override {
        if (side == Side::responder) {
            exchange_.hear(side);
            be_busy();
            exchange_.tell(side);
            return;
        }
        be_busy();
        const std::int64_t then_ns = now_ns();
        exchange_.tell(side);
        exchange_.hear(side);
        const double round_trip_ns = static_cast<double>(now_ns() - then_ns) - laps.clock_ns();
        const double rest_ns =
            (round_trip_ns - static_cast<double>(slept_ns_)) / 2 - in_process_ns_;
        laps.note(wake_up, rest_ns);
        laps.note(overlap, -rest_ns);
    }

    void be_busy() const {
        if (slept_ns_ == 0) return;
        const std::int64_t start_ns = now_ns();
        while (now_ns() - start_ns < slept_ns_) {
        }
    }

    std::int64_t slept_ns_;
    Exchange exchange_;
    double in_process_ns_ = 0;
};

/// Writing a byte into an object and reading it again, in a process that is both sides and that
/// sends to and fro, as a conversation does: the median.
template <class Conduit>
class ByteInOneProcess {
  public:
    double measure_ns() {
        conduit_.attach(Side::initiator);
        conduit_.attach(Side::responder);
        std::vector<double> batches_ns(51);
        for (double& batch_ns : batches_ns) {
            const std::int64_t start_ns = now_ns();
            for (int i = 0; i < exchanges_of_a_batch; ++i)
                for (const Side sender : {Side::initiator, Side::responder}) send_from(sender);
            batch_ns = static_cast<double>(now_ns() - start_ns) / (2 * exchanges_of_a_batch);
        }
        return median(batches_ns);
    }

  private:
    void send_from(Side sender) {
        auto& way = conduit_.from(sender);
        way.begin({&byte_, 1});
        way.send_round();
        way.expect({&byte_, 1});
        way.receive_round();
    }

    static constexpr int exchanges_of_a_batch = 25;
    Conduit conduit_{1};
    std::byte byte_{1};
};

/// A byte through the mechanism's own calls, which sleep as they do in any conversation.
template <class M, class Conduit>
class ByByte {
  public:
    void attach(Side side) { endpoint_.emplace(mechanism_.attach({.side = side})); }
    double in_process_ns() { return alone_.measure_ns(); }
    void tell(Side) { endpoint_->send({&byte_, 1}); }
    void hear(Side) { endpoint_->receive({&byte_, 1}); }

  private:
    M mechanism_ = M::create({.message_bytes_max = 1});
    std::optional<EndpointOf<M>> endpoint_;
    ByteInOneProcess<Conduit> alone_;
    std::byte byte_{1};
};

/// A message of no bytes through a mailbox: its length, and the four semaphores of a conversation.
template <class Set>
class BySemaphores {
    struct State {
        struct alignas(64) Message {
            std::uint64_t bytes;
        };
        std::array<Message, 2> by_side;
        typename Set::State semaphores;
    };

  public:
    BySemaphores()
        : state_(new (must(::mmap(nullptr, sizeof(State), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
                           "mmap")) State),
          objects_(Set::create(state_->semaphores)),
          semaphores_(state_->semaphores, objects_) {}
    BySemaphores(const BySemaphores&) = delete;
    BySemaphores& operator=(const BySemaphores&) = delete;
    ~BySemaphores() { ::munmap(state_, sizeof(State)); }

    void attach(Side) {}
    static double in_process_ns() { return 0; }
    void tell(Side mine) {
        semaphores_.wait(vacant(mine), [] {});
        length_of(mine) = 0;
        semaphores_.post(filled(mine));
    }
    void hear(Side mine) {
        semaphores_.wait(filled(other(mine)), [] {});
        if (length_of(other(mine)) != 0) throw Refused("wake-up", "a message came that is no call");
        semaphores_.post(vacant(other(mine)));
    }

  private:
    volatile std::uint64_t& length_of(Side side) {
        return state_->by_side[static_cast<std::size_t>(side)].bytes;
    }

    State* state_;
    typename Set::Objects objects_;
    Set semaphores_;
};

/// Not 0: who is called at once may not have fallen asleep yet.
const std::vector<std::int64_t> sleeps_ns{3'000,   10'000,    30'000,    100'000,
                                          300'000, 1'000'000, 10'000'000};

template <class Exchange>
CostEntry sleeping(std::string_view name, std::string_view explanation) {
    return {{.name = std::string(name),
             .figures = {{"wake_up", "wake-up"}},
             .explanation = explanation,
             .sleeps_ns = sleeps_ns,
             .placements = {Placement::same_cpu, Placement::two_cpus}},
            [](const CostCell& cell) -> std::unique_ptr<Subject> {
                return std::make_unique<WakeUp<Exchange>>(cell);
            }};
}

template <class Exchange>
CostEntry spinning(std::string_view name, std::string_view explanation) {
    CostEntry made = sleeping<Exchange>(name, explanation);
    made.facts.placements = {Placement::two_cpus};
    made.facts.sleeps_ns.front() = 0;
    made.facts.sleeps_ns.pop_back();
    return made;
}

CostEntry polling_a_pipe() {
    CostEntry made = spinning<ByByte<SpinningPipe, PipeConduit>>(
        "wake-up/pipe-spin",
        "Half the round trip of a byte through pipes that both sides read without blocking, over "
        "and over, less the other's busy time and less what writing and reading the byte costs one "
        "process. wake_up is what that leaves: the pipe's cache lines, which travel between the "
        "CPUs, the polling reader's hold on its lock, and a look that came too early. Where less "
        "than nothing is left, it is 0 and overlap tells how much less: the reader is inside the "
        "kernel already when the byte comes, and the writer finds its way out while the reader "
        "copies, so that of two calls a part goes on side by side.");
    made.facts.figures.push_back({"overlap", "wake-up"});
    return made;
}

}  // namespace

std::vector<CostEntry> wake_up_costs() {
    return {
        sleeping<BySemaphores<PureFutexSemaphores>>(
            "wake-up/futex",
            "Half the round trip of two processes that hand each other a message of no bytes, by "
            "semaphores that they sleep on (futex(2), waiting/futex_semaphores.hpp), less the time "
            "for which each, once woken, keeps busy: the other's sleep. It contains the post with "
            "FUTEX_WAKE, the scheduler's "
            "choice and the switch, on two CPUs the interrupt that rouses the halted one (in a "
            "virtual machine, by way of the host), the return from FUTEX_WAIT, and, on one CPU, "
            "the poster's own way to sleep (or out of the way: the scheduler often sets it aside "
            "as soon as it has posted); on two, that is over before it is woken. It leaves out "
            "any payload."),
        sleeping<ByByte<Pipe, PipeConduit>>(
            "wake-up/pipe",
            "The same with a byte in a pipe, by the calls of the mechanism: half the round trip, "
            "less the other's sleep, less what writing and reading that byte (with the 8 bytes of "
            "its length) costs a single process for which it is already there. So it is the "
            "reader's "
            "way to sleep inside readv(2), the wake-up by writev(2), and the way back: what has to "
            "be added to the copies for a reader who was asleep. It leaves out writers that sleep "
            "on a full pipe."),
        sleeping<ByByte<UnixStream, UnixStreamConduit>>(
            "wake-up/unix-stream",
            "As wake-up/pipe, through a Unix stream socket: the reader sleeps on the socket's "
            "queue, and the writer's writev(2) wakes it once the buffer hangs there. A buffer that "
            "has been read gives its writer room again, and so the kernel wakes the writer, who "
            "already sleeps for the answer on the same queue, finds nothing and sleeps again: on "
            "two CPUs that is a second wake-up in each transfer, and part of the figure. Left out "
            "are what writing and reading a byte costs awake, and senders that sleep on a "
            "full send buffer."),
        sleeping<ByByte<SysvMq, SysvMqConduit>>(
            "wake-up/sysv-mq",
            "As wake-up/pipe, through a System V queue. msgsnd(2) finds the receiver asleep and "
            "hands the message over without entering it in the queue, so a little of what is "
            "subtracted (entering and taking out) does not happen. The figure leaves out copying, "
            "and senders that sleep on a full queue."),
        sleeping<ByByte<PosixMq, PosixMqConduit>>(
            "wake-up/posix-mq",
            "As wake-up/pipe, through a POSIX queue. mq_send(3) hands the message to the sleeping "
            "receiver directly, which then has no lock to take; what a queued message costs is "
            "subtracted all the same. The figure leaves out copying, and senders that sleep on a "
            "full queue."),
        sleeping<ByByte<Tcp, TcpConduit>>(
            "wake-up/tcp",
            "As wake-up/pipe, through a loopback TCP connection: the wake-up happens in the soft "
            "interrupt in which the segment arrives, inside the sender's writev(2). The figure "
            "leaves out what the protocol costs when nobody sleeps, acknowledgements included "
            "where they come with the next byte."),
        spinning<BySemaphores<FlagSemaphores<Spin>>>(
            "wake-up/spin",
            "Half the round trip of two processes on two CPUs that hand each other a message of no "
            "bytes, and look at a flag in shared memory until it is set: the passages of the cache "
            "lines of two flags, filled and vacant, and of the length. Nobody sleeps and no call "
            "is made. For slept_ns the other side was busy, "
            "which is subtracted; the line, read over and over meanwhile, stays where it was."),
        polling_a_pipe(),
    };
}

}  // namespace ipclab
