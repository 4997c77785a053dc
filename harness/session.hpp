// Commands a pair of processes: starts them pinned, gives them orders, collects what they found,
// and ends them whatever happens.
#pragma once

#include "harness/cell.hpp"
#include "harness/pair.hpp"
#include "harness/subject.hpp"

#include <array>
#include <chrono>
#include <span>
#include <stdexcept>
#include <sys/types.h>

namespace ipclab {

/// A process of the pair failed or died: one line that says which and why.
struct PairFailed : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// One of them refuses what is asked of the mechanism before anything has been exchanged: a limit,
/// or what the mechanism cannot do.
struct PairRefused : PairFailed {
    using PairFailed::PairFailed;
};
/// Ctrl-C, SIGTERM or SIGHUP.
struct Interrupted : std::runtime_error {
    Interrupted() : std::runtime_error("interrupted") {}
};

/// Makes those signals set a flag instead of ending this process. Once per program.
void catch_interrupts();
[[nodiscard]] bool interrupted();

/// The CPUs of the initiator and of the responder.
using CpuPair = std::array<int, 2>;
/// Of those that this process may use: the last for both, or the first two.
CpuPair cpus_for(Placement placement);
/// How many this process may use.
std::size_t usable_cpus();

struct LegResult {
    Leg leg;
    std::int64_t elapsed_ns = 0;  ///< of a stream: until the last message was consumed
    std::span<const std::int64_t>
        samples_ns{};                   ///< valid until the next leg; each of `stride` exchanges
    std::array<SideReport, 2> sides{};  ///< initiator, responder
};

struct Reference {
    double round_trip_ns = 0;
    CpuDistance distance = CpuDistance::same_cpu;
    Hiccups hiccups;  ///< of the CPU with the longer one
};

/// Memory shared with the processes of one session at a time; kept from session to session.
class SessionMemory {
  public:
    static constexpr std::size_t samples_max = std::size_t{1} << 19;
    SessionMemory();
    SessionMemory(const SessionMemory&) = delete;
    SessionMemory& operator=(const SessionMemory&) = delete;
    ~SessionMemory();

    PairControl& reset();
    [[nodiscard]] PairControl& control() const { return *control_; }
    [[nodiscard]] std::span<std::int64_t> samples_ns() const;

  private:
    PairControl* control_ = nullptr;
};

class Session {
  public:
    /// Forks both processes and waits until they are attached. `subject` and `memory` must outlive
    /// it. Throws PairFailed, PairRefused, Interrupted.
    Session(Subject& subject, CpuPair cpus, SessionMemory& memory);

    /// Sequence numbers go on from leg to leg. `batch` as in Leg. Throws PairFailed when a process
    /// fails or finds a wrong payload, Interrupted.
    LegResult run_leg(std::uint64_t messages, std::uint64_t stride = 1, Touch touch = Touch::all,
                      int variant = 0, std::uint64_t batch = 1);

    /// Legs of growing length until one takes `at_least`; the last is returned.
    LegResult warm_up(std::chrono::nanoseconds at_least, Touch touch = Touch::all,
                      std::uint64_t batch = 1);

    Reference probe();

    /// Lets both processes detach in good order. How long that took either stands in its report
    /// (SessionMemory::control) then.
    void quit();

  private:
    /// Kills and reaps in its destructor what still runs.
    struct Children {
        Children() = default;
        Children(const Children&) = delete;
        Children& operator=(const Children&) = delete;
        ~Children();
        std::array<pid_t, 2> pids{};  ///< 0: not running
    };

    void start(Subject& subject, Side side, int cpu);
    void order(const Order& order);
    void await_answers();
    void look_after_children();
    [[noreturn]] void fail();

    SessionMemory& memory_;
    PairControl& control_;
    bool same_cpu_;
    Children children_;
    std::uint64_t sequence_ = 0;
};

}  // namespace ipclab
