#include "harness/session.hpp"

#include <csignal>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace ipclab {
namespace {

volatile std::sig_atomic_t interrupt_flag = 0;

constexpr std::size_t control_bytes = 8192;
static_assert(sizeof(PairControl) <= control_bytes);

/// How long the commander sleeps before it looks after its children.
constexpr std::chrono::milliseconds look_interval{20};

constexpr const char* name_of_side(std::size_t side) {
    return side == 0 ? "initiator" : "responder";
}

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    must(::sched_getaffinity(0, sizeof set, &set), "sched_getaffinity");
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    return cpus;
}

void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(::sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

}  // namespace

void catch_interrupts() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupt_flag = 1; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        must(::sigaction(signal, &action, nullptr), "sigaction");
}

bool interrupted() { return interrupt_flag != 0; }

std::size_t usable_cpus() { return allowed_cpus().size(); }

CpuPair cpus_for(Placement placement) {
    const std::vector<int> cpus = allowed_cpus();
    if (placement == Placement::same_cpu) return {cpus.back(), cpus.back()};
    return {cpus.front(), cpus.at(1)};
}

SessionMemory::SessionMemory() {
    void* memory =
        must(::mmap(nullptr, control_bytes + samples_max * sizeof(std::int64_t),
                    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
             "mmap");
    control_ = new (memory) PairControl;
}

SessionMemory::~SessionMemory() {
    ::munmap(control_, control_bytes + samples_max * sizeof(std::int64_t));
}

PairControl& SessionMemory::reset() { return *new (control_) PairControl; }

std::span<std::int64_t> SessionMemory::samples_ns() const {
    auto* start = reinterpret_cast<std::byte*>(control_) + control_bytes;
    return {reinterpret_cast<std::int64_t*>(start), samples_max};
}

Session::Session(Subject& subject, CpuPair cpus, SessionMemory& memory)
    : memory_(memory), control_(memory.reset()), same_cpu_(cpus[0] == cpus[1]) {
    start(subject, Side::initiator, cpus[0]);
    start(subject, Side::responder, cpus[1]);
    subject.stand_aside();
    await_answers();
}

Session::Children::~Children() {
    for (const pid_t pid : pids) {
        if (pid <= 0) continue;
        ::kill(pid, SIGKILL);
        while (::waitpid(pid, nullptr, 0) == -1 && errno == EINTR) {
        }
    }
}

void Session::start(Subject& subject, Side side, int cpu) {
    const pid_t commander = ::getpid();
    const pid_t child = must(::fork(), "fork");
    children_.pids[static_cast<std::size_t>(side)] = child;
    if (child != 0) return;

    // Ctrl-C reaches the whole process group; the commander decides what it means. Should the
    // commander be killed, so are we.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != commander) ::_exit(1);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
    Player player(control_, memory_.samples_ns(), side, same_cpu_);
    try {
        pin(cpu);
        subject.converse(player);
    } catch (const std::exception& error) {
        auto& text = player.report().error;
        *fmt::format_to_n(text.begin(), text.size() - 1, "{}", error.what()).out = '\0';
        player.report().refused =
            !player.has_answered() && dynamic_cast<const Refused*>(&error) != nullptr;
        player.answer();
        ::_exit(1);
    }
    ::_exit(0);
}

void Session::order(const Order& order) {
    control_.order = order;
    control_.answers.store(0, std::memory_order::relaxed);
    control_.order_number.fetch_add(1, std::memory_order::release);
    SystemAtomics::futex_wake(control_.order_number);
    SystemAtomics::futex_wake(control_.order_number);
}

void Session::await_answers() {
    for (std::uint32_t seen = 0; (seen = control_.answers.load(std::memory_order::acquire)) < 2;) {
        if (interrupted()) throw Interrupted();
        look_after_children();
        SystemAtomics::futex_wait(control_.answers, seen, look_interval);
    }
    for (const SideReport& report : control_.reports)
        if (report.error[0] != '\0') fail();
}

void Session::look_after_children() {
    for (pid_t& child : children_.pids) {
        int status = 0;
        if (child <= 0 || ::waitpid(child, &status, WNOHANG) <= 0) continue;
        child = 0;
        auto& text = control_.reports[&child - children_.pids.data()].error;
        if (text[0] == '\0')
            *fmt::format_to_n(text.begin(), text.size() - 1, "{}",
                              WIFSIGNALED(status)
                                  ? fmt::format("killed by signal {}", WTERMSIG(status))
                                  : fmt::format("ended with status {}", WEXITSTATUS(status)))
                 .out = '\0';
        fail();
    }
}

void Session::fail() {
    std::string text;
    for (const SideReport& report : control_.reports)
        if (report.refused) throw PairRefused(report.error.data());
    for (std::size_t side = 0; side < 2; ++side)
        if (const char* error = control_.reports[side].error.data(); *error != '\0')
            text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", name_of_side(side), error);
    throw PairFailed(text);
}

LegResult Session::run_leg(std::uint64_t messages, std::uint64_t stride, Touch touch, int variant,
                           std::uint64_t batch) {
    const Leg leg{
        .messages = messages, .first = sequence_, .stride = stride, .touch = touch, .batch = batch};
    sequence_ += messages;
    order({.kind = OrderKind::leg, .leg = leg, .variant = variant});
    await_answers();
    LegResult result{.leg = leg, .sides = {control_.reports[0], control_.reports[1]}};
    for (std::size_t side = 0; side < 2; ++side)
        if (result.sides[side].mismatches > 0)
            throw PairFailed(fmt::format("{}: {} of {} messages had a wrong payload",
                                         name_of_side(side), result.sides[side].mismatches,
                                         messages));
    // A stream has ended when its last message was consumed, a ping-pong when its last answer was:
    // whoever stops last.
    result.elapsed_ns =
        std::max(result.sides[0].ended_ns, result.sides[1].ended_ns) - result.sides[0].started_ns;
    result.samples_ns = memory_.samples_ns().first(result.sides[0].samples);
    return result;
}

LegResult Session::warm_up(std::chrono::nanoseconds at_least, Touch touch, std::uint64_t batch) {
    for (std::uint64_t exchanges = 1;; exchanges *= 2) {
        LegResult result = run_leg(exchanges * batch, std::max<std::uint64_t>(1, exchanges / 1024),
                                   touch, 0, batch);
        if (result.elapsed_ns >= at_least.count()) return result;
    }
}

Reference Session::probe() {
    order({.kind = OrderKind::probe});
    await_answers();
    const SideReport& first = control_.reports[0];
    const SideReport& second = control_.reports[1];
    return {.round_trip_ns = first.round_trip_ns,
            .distance =
                same_cpu_ ? CpuDistance::same_cpu : classify_round_trip(first.round_trip_ns),
            .hiccups = first.hiccups.longest_ns >= second.hiccups.longest_ns ? first.hiccups
                                                                             : second.hiccups};
}

void Session::quit() {
    order({.kind = OrderKind::quit});
    for (pid_t& child : children_.pids) {
        int status = 0;
        while (::waitpid(child, &status, 0) == -1)
            if (errno != EINTR) throw SystemError("waitpid", errno);
        child = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            throw PairFailed(fmt::format(
                "{}: did not detach in good order",
                name_of_side(static_cast<std::size_t>(&child - children_.pids.data()))));
    }
}

}  // namespace ipclab
