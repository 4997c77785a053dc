#include "harness/pair.hpp"

#include <ctime>
#include <fstream>
#include <sys/resource.h>

namespace ipclab {
namespace {

constexpr std::chrono::seconds probe_timeout{10};
constexpr std::uint32_t probe_round_trips = 2000;
constexpr std::uint32_t probe_round_trips_asleep = 100;
constexpr std::int64_t hiccup_probe_ns = 500'000;
constexpr std::int64_t hiccup_ns = 1000;

/// Looks at the clock for a while, and notes when somebody else had the CPU.
Hiccups probe_hiccups() {
    Hiccups hiccups;
    const std::int64_t start_ns = now_ns();
    std::int64_t lost_ns = 0;
    for (std::int64_t then_ns = start_ns; then_ns - start_ns < hiccup_probe_ns;) {
        const std::int64_t this_ns = now_ns();
        const std::int64_t gap_ns = this_ns - then_ns;
        if (gap_ns > hiccup_ns) lost_ns += gap_ns;
        hiccups.longest_ns = std::max(hiccups.longest_ns, gap_ns);
        then_ns = this_ns;
    }
    hiccups.share = static_cast<double>(lost_ns) / static_cast<double>(now_ns() - start_ns);
    return hiccups;
}

}  // namespace

Order Player::next() {
    while (control_.order_number.load(std::memory_order::acquire) == order_seen_)
        SystemAtomics::futex_wait(control_.order_number, order_seen_, std::chrono::seconds(1));
    ++order_seen_;
    return control_.order;
}

void Player::before_attach() {
    meet();
    faults_before_attach_ = usage_so_far().minor_faults;
    step_began_ns_ = now_ns();
}

void Player::after_attach() {
    report_.attach_ns = now_ns() - step_began_ns_;
    report_.attach_minor_faults = usage_so_far().minor_faults - faults_before_attach_;
}

void Player::before_detach() { step_began_ns_ = now_ns(); }

void Player::after_detach() { report_.detach_ns = now_ns() - step_began_ns_; }

void Player::answer() {
    answered_ = true;
    control_.answers.fetch_add(1, std::memory_order::release);
    SystemAtomics::futex_wake(control_.answers);
}

void Player::meet() {
    meetings_ += 2;
    control_.meetings.fetch_add(1, std::memory_order::acq_rel);
    while (static_cast<std::int32_t>(control_.meetings.load(std::memory_order::acquire) -
                                     meetings_) < 0) {
        if (same_cpu_)
            SystemAtomics::yield();
        else
            SystemAtomics::relax();
    }
}

void Player::probe() {
    Wait wait("reference probe", probe_timeout);
    const bool first = side_ == Side::initiator;
    if (same_cpu_) {
        if (first) report_.hiccups = probe_hiccups();
        meet();
        if (first)
            report_.round_trip_ns = control_.distance.ping_asleep(probe_round_trips_asleep, wait);
        else
            control_.distance.pong_asleep(probe_round_trips_asleep, wait);
    } else {
        report_.hiccups = probe_hiccups();
        meet();
        if (first)
            report_.round_trip_ns = control_.distance.ping(probe_round_trips, wait);
        else
            control_.distance.pong(probe_round_trips, wait);
    }
}

std::int64_t Player::run_queue_so_far_ns() {
    // "time on the CPU, time waiting on a run queue, time slices"
    // (Documentation/scheduler/sched-stats)
    std::int64_t on_cpu_ns = 0;
    std::int64_t waiting_ns = 0;
    std::ifstream("/proc/self/schedstat") >> on_cpu_ns >> waiting_ns;
    return waiting_ns;
}

SideUsage Player::usage_so_far() {
    rusage used{};
    must(::getrusage(RUSAGE_SELF, &used), "getrusage");
    timespec cpu{};
    must(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu), "clock_gettime");
    return {.cpu_ns = cpu.tv_sec * 1'000'000'000 + cpu.tv_nsec,
            .voluntary_switches = used.ru_nvcsw,
            .involuntary_switches = used.ru_nivcsw,
            .minor_faults = used.ru_minflt,
            .major_faults = used.ru_majflt};
}

void Player::report_counters(std::span<const Counter> before, std::span<const Counter> after) {
    if (after.size() > report_.counters.size())
        throw std::length_error("more counters than there is room for");
    for (std::size_t i = 0; i < after.size(); ++i) {
        CounterReport& told = report_.counters[i];
        told = {.value = after[i].value - before[i].value};
        after[i].name.copy(told.name.data(), told.name.size() - 1);
    }
}

void Player::report_usage(const SideUsage& before, std::int64_t run_queue_ns) {
    const SideUsage after = usage_so_far();
    report_.usage = {.cpu_ns = after.cpu_ns - before.cpu_ns,
                     .run_queue_ns = run_queue_so_far_ns() - run_queue_ns,
                     .voluntary_switches = after.voluntary_switches - before.voluntary_switches,
                     .involuntary_switches =
                         after.involuntary_switches - before.involuntary_switches,
                     .minor_faults = after.minor_faults - before.minor_faults,
                     .major_faults = after.major_faults - before.major_faults};
}

}  // namespace ipclab
