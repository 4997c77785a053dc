#include "harness/doctor.hpp"

#include "harness/text.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <fmt/format.h>
#include <sstream>
#include <thread>

namespace ipclab {
namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;
constexpr double idle_cpus_max = 0.05;  // what a quiet machine's own services take

std::string bytes_text(std::uint64_t bytes) {
    const auto in = [&](std::uint64_t unit) {
        return static_cast<double>(bytes) / static_cast<double>(unit);
    };
    if (bytes == unlimited) return "unlimited";
    if (bytes >= gib) return fmt::format("{:.3g} GiB", in(gib));
    if (bytes >= mib) return fmt::format("{:.3g} MiB", in(mib));
    if (bytes >= kib) return fmt::format("{:.3g} KiB", in(kib));
    return fmt::format("{} B", bytes);
}

Finding fine(std::string what, std::string found) {
    return {std::move(what), std::move(found), Verdict::fine};
}

Finding unknown(std::string what, std::string found, std::string consequence) {
    return {std::move(what), std::move(found), Verdict::unknown, std::move(consequence)};
}

/// A part of the kernel that is missing altogether.
Finding not_in_kernel(std::string what, std::string consequence, const std::string& option) {
    return {std::move(what),
            "absent",
            Verdict::limits,
            std::move(consequence),
            "Boot a kernel that was built with CONFIG_" + option + ". Is this one?",
            "grep " + option + " /boot/config-$(uname -r)"};
}

Finding build(const std::string& build_type) {
    if (build_type == "Release") return fine("build", build_type);
    return {"build",
            build_type.empty() ? "without a build type" : build_type,
            Verdict::disturbs,
            "Only a Release build is optimised as the programs in use are.",
            "Build and run it so:",
            "scripts/run"};
}

Finding cpu_count(const Machine& machine) {
    const auto allowed = machine.cpus_allowed.size();
    const auto online = machine.cpus_online.size();
    if (allowed == 0) return unknown("CPUs", "not readable", "The placement may fail.");
    const std::string found = fmt::format("{} of {} may be used", allowed, online);
    if (allowed == 1 && online > 1)
        return {"CPUs",
                found,
                Verdict::limits,
                "Rows on two CPUs are skipped.",
                "Let it use them:",
                fmt::format("taskset -c {} scripts/run", format_cpu_list(machine.cpus_online))};
    if (allowed == 1)
        return {"CPUs", found, Verdict::limits, "Rows on two CPUs are skipped.",
                "Give the machine a second CPU, or measure on one that has two."};
    if (allowed == 2)
        return {"CPUs",
                found,
                Verdict::disturbs,
                "A pair takes both CPUs; whatever else runs, runs at the cost of the pair.",
                "Measure on a machine with four CPUs, or stop what can be stopped of these:",
                "systemctl list-units --type=service --state=running"};
    return fine("CPUs", found);
}

Finding quota(const Machine& machine) {
    if (!machine.cpu_quota) return fine("CPU quota", "none");
    const std::string found = fmt::format("{:.2f} CPUs", *machine.cpu_quota);
    const std::size_t wanted = std::max<std::size_t>(machine.cpus_allowed.size(), 2);
    if (*machine.cpu_quota >= static_cast<double>(wanted)) return fine("CPU quota", found);
    return {"CPU quota",
            found,
            Verdict::disturbs,
            "Once a period's quota is used up, both processes stand still until the next: gaps of "
            "tens of milliseconds.",
            "Start the container without --cpus and --cpu-quota, or lift a systemd unit's quota:",
            "sudo systemctl set-property --runtime UNIT CPUQuota="};
}

Finding other_load(std::optional<Load> load) {
    const char* what = "other load";
    if (!load) return unknown(what, "not readable", "Busy programs would scatter the figures.");
    const std::string found = fmt::format("{:.2f} CPUs busy during one second", load->busy);
    if (load->busy < idle_cpus_max) return fine(what, found);
    return {what,
            found,
            Verdict::disturbs,
            "Other programs preempt the pair and evict its cache lines.",
            "Stop them. The busiest stand first in:",
            "top -b -n 1 | head -15"};
}

Finding autogroup(const Machine& machine, std::optional<Load> load) {
    const char* what = "session groups";
    if (!machine.autogroup) return fine(what, "none in this kernel");
    if (!*machine.autogroup) return fine(what, "autogroup off");
    if (load && load->busy < idle_cpus_max) return fine(what, "autogroup on, other sessions idle");
    return {what,
            "autogroup on, other sessions busy",
            Verdict::disturbs,
            "Each session gets an equal share of a CPU, whatever its number of processes; nice "
            "counts within a session only.",
            machine.root ? "Let the run go first:"
                         : "Let this session go first. In the shell that will measure:",
            machine.root ? "scripts/run --raise-autogroup"
                         : "echo -20 | sudo tee /proc/$$/autogroup"};
}

Finding governor(const Machine& machine) {
    const char* what = "clock governor";
    if (!machine.governor)
        return unknown(what, machine.virtual_machine == true ? "the host decides" : "not readable",
                       "The clock may change during a run.");
    if (*machine.governor == "performance") return fine(what, *machine.governor);
    return {what,
            *machine.governor,
            Verdict::disturbs,
            "A CPU that waits is clocked down, and the next message pays for it.",
            "Keep the clock up:",
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"};
}

Finding turbo(const Machine& machine) {
    const char* what = "turbo clock";
    if (!machine.boost)
        return unknown(what, machine.virtual_machine == true ? "the host decides" : "not readable",
                       "The clock may depend on heat and on how many CPUs are busy.");
    if (!machine.boost->on) return fine(what, "off");
    return {what,
            "on",
            Verdict::disturbs,
            "The clock depends on heat and on how many CPUs are busy.",
            "Switch it off for the time of a run:",
            fmt::format("echo {} | sudo tee {}", machine.boost->off_value, machine.boost->file)};
}

Finding smt(const Machine& machine) {
    const char* what = "hardware threads";
    if (machine.virtual_machine == true)
        return unknown(what, "the host does not tell",
                       "Two CPUs may be threads of one core, and that may change during a run; the "
                       "reference beside each row shows its class.");
    if (!machine.smt) return unknown(what, "not readable", "Two CPUs may be threads of one core.");
    if (*machine.smt == "off" || *machine.smt == "forceoff") return fine(what, "switched off");
    if (*machine.smt != "on") return fine(what, "one per core");
    return {what,
            "on",
            Verdict::disturbs,
            "Two threads of one core share its caches and take each other's cycles.",
            "Switch the second threads off (on again: echo on):",
            "echo off | sudo tee /sys/devices/system/cpu/smt/control"};
}

Finding hypervisor(const Machine& machine) {
    const char* what = "virtual machine";
    if (!machine.virtual_machine)
        return unknown(what, "not readable", "A host may move and halt these CPUs.");
    if (!*machine.virtual_machine) return fine(what, "no");
    return {what,
            machine.hypervisor.value_or("unnamed"),
            Verdict::disturbs,
            "The host moves virtual CPUs between its own, so a cache line may take 55 ns to cross "
            "now and 480 ns a minute later. Rows of different reference classes are kept apart.",
            "Compare within one class only, measure on bare metal, or pin each virtual CPU on the "
            "host:",
            "virsh vcpupin DOMAIN 0 HOST_CPU"};
}

Finding sleeping_cpus(const Machine& machine) {
    const char* what = "sleeping CPUs";
    if (machine.virtual_machine == true)
        return {what,
                "halted while idle",
                Verdict::disturbs,
                "Waking a halted virtual CPU leads through the hypervisor: tens of microseconds in "
                "each row that sleeps on two CPUs.",
                "Keep them awake for the time of a run:",
                "scripts/run --keep-awake"};
    if (!machine.idle_exit_us_max)
        return unknown(what, "not readable", "To wake a CPU may take 100 µs and more.");
    const std::string found = fmt::format("awake within {} µs", *machine.idle_exit_us_max);
    if (*machine.idle_exit_us_max <= 10) return fine(what, found);
    return {what,
            found,
            Verdict::disturbs,
            "Rows in which a process sleeps contain the waking of its CPU, from a sleep whose "
            "depth the kernel guesses.",
            "Forbid the deep ones (undo: sudo cpupower idle-set --enable-all):",
            "sudo apt-get install linux-cpupower\n"
            "sudo cpupower idle-set --disable-by-latency 10"};
}

Finding steal(const Machine& machine, std::optional<Load> load) {
    const char* what = "stolen time";
    std::uint64_t busy = 0;
    std::uint64_t stolen = 0;
    for (const CpuTicks& ticks : machine.cpu_ticks) {
        busy += ticks.busy;
        stolen += ticks.steal;
    }
    if (busy + stolen == 0) return unknown(what, "not readable", "A host may run others here.");
    if (stolen == 0 && machine.virtual_machine == true)
        return unknown(what, "none reported", "Some hosts do not report what they take.");
    const double share = static_cast<double>(stolen) / static_cast<double>(busy + stolen);
    std::string found = fmt::format("{:.1f} % of the busy time since the start", share * 100);
    if (load) found += fmt::format(", {:.2f} CPUs now", load->stolen);
    if (share < 0.005 && (!load || load->stolen < 0.01)) return fine(what, found);
    return {what,
            found,
            Verdict::disturbs,
            "The host ran something else while these CPUs had work: gaps of milliseconds.",
            "Measure on a machine with CPUs of its own, or in more rounds; cells that were caught "
            "are measured again.",
            "scripts/run --rounds 30"};
}

Finding mitigations(const Machine& machine) {
    const char* what = "mitigations";
    if (machine.mitigations.empty())
        return unknown(what, "not readable", "System calls may cost more than elsewhere.");
    std::vector<std::string> active;
    for (const auto& [name, state] : machine.mitigations)
        if (state.starts_with("Mitigation")) active.push_back(name);
    if (active.empty()) return fine(what, "none active");
    return {what,
            fmt::format("{}", fmt::join(active, ", ")),
            Verdict::disturbs,
            "System calls cost more than without: mechanisms that go through the kernel compare "
            "worse here than on a machine that needs none.",
            "Compare with machines of the same mitigations only; run.jsonl has them. Where no "
            "foreign code ever runs, and only there: add mitigations=off to GRUB_CMDLINE_LINUX in "
            "/etc/default/grub, then:",
            "sudo update-grub && sudo reboot"};
}

Finding clock_source(const Machine& machine) {
    const char* what = "clock source";
    if (!machine.clock_source) return unknown(what, "not readable", "Its reading may be slow.");
    static constexpr std::array fast{"tsc", "kvm-clock", "hyperv_clocksource_tsc_page",
                                     "arch_sys_counter"};
    if (std::find(fast.begin(), fast.end(), *machine.clock_source) != fast.end())
        return fine(what, *machine.clock_source);
    Finding slow{what, *machine.clock_source, Verdict::disturbs,
                 "Each reading of this clock is a system call or a slow access to a device."};
    const auto& others = machine.clock_sources;
    if (std::find(others.begin(), others.end(), "tsc") != others.end()) {
        slow.remedy = "Choose the processor's own:";
        slow.command = "echo tsc | sudo tee "
                       "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    } else {
        slow.remedy = "See why the kernel does not use the processor's own:";
        slow.command = "sudo dmesg | grep -i -e tsc -e clocksource";
    }
    return slow;
}

Finding shared_memory(const Machine& machine) {
    const char* what = "/dev/shm";
    constexpr std::uint64_t enough = 256 * mib;
    const auto size = machine.limit("dev_shm_bytes");
    const auto free = machine.limit("dev_shm_free_bytes");
    if (!size || !free)
        return {what,
                "absent",
                Verdict::limits,
                "Mechanisms in POSIX shared memory are skipped.",
                "Mount it:",
                "sudo mkdir -p /dev/shm\n"
                "sudo mount -t tmpfs -o size=1G,mode=1777 tmpfs /dev/shm"};
    const std::string found = fmt::format("{} free of {}", bytes_text(*free), bytes_text(*size));
    if (*free >= enough) return fine(what, found);
    Finding small{what, found, Verdict::limits,
                  "The largest messages may not fit; their rows fail."};
    if (*size >= enough) {
        small.remedy = "Remove what nobody uses any more of these:";
        small.command = "ls -lt /dev/shm";
    } else {
        small.remedy = "Enlarge it (in Docker: docker run --shm-size=1g):";
        small.command = "sudo mount -o remount,size=1G /dev/shm";
    }
    return small;
}

Finding posix_queues(const Machine& machine) {
    const char* what = "POSIX message queues";
    const auto messages = machine.limit("mqueue_msg_max");
    const auto bytes = machine.limit("mqueue_msgsize_max_bytes");
    if (!messages || !bytes)
        return not_in_kernel(what, "Rows of posix-mq are skipped.", "POSIX_MQUEUE");
    std::string found = fmt::format("{} messages of {}", *messages, bytes_text(*bytes));
    if (const auto of_user = machine.limit("rlimit_msgqueue_bytes"))
        found += fmt::format(", {} per user", bytes_text(*of_user));
    if (*messages >= 64 && *bytes >= 64 * kib) return fine(what, found);
    return {
        what,
        found,
        Verdict::limits,
        fmt::format("A sender runs ahead by {} messages at most, and what is larger than {} "
                    "travels in pieces. Most machines have the kernel's defaults, 10 and 8 KiB.",
                    *messages, bytes_text(*bytes)),
        "For larger queues, in a root shell:",
        "sysctl fs.mqueue.msg_max=64 fs.mqueue.msgsize_max=65536; ulimit -q 16777216"};
}

Finding sysv_queues(const Machine& machine) {
    const char* what = "System V message queues";
    const auto message = machine.limit("sysv_msgmax_bytes");
    const auto queue = machine.limit("sysv_msgmnb_bytes");
    if (!message || !queue) return not_in_kernel(what, "They cannot be measured.", "SYSVIPC");
    const std::string found =
        fmt::format("{} a message, {} a queue", bytes_text(*message), bytes_text(*queue));
    if (*message >= 64 * kib && *queue >= mib) return fine(what, found);
    return {what,
            found,
            Verdict::limits,
            "Larger messages travel in pieces, and a queue holds few. Most machines have the "
            "kernel's defaults, 8 KiB and 16 KiB.",
            "For larger queues:",
            "sudo sysctl kernel.msgmax=65536 kernel.msgmnb=1048576"};
}

Finding pipes(const Machine& machine) {
    const char* what = "pipes";
    const auto size = machine.limit("pipe_max_size_bytes");
    const auto pages = machine.limit("pipe_user_pages_soft");
    if (!size || !pages)
        return unknown(what, "not readable", "Buffers may be smaller than a scenario asks.");
    const bool unbounded = *pages == 0;
    const std::string found =
        fmt::format("{} a pipe, {} per user", bytes_text(*size),
                    unbounded ? "unlimited" : fmt::format("{} pages", *pages));
    if (*size >= mib && (unbounded || *pages >= 1024)) return fine(what, found);
    return {what,
            found,
            Verdict::limits,
            "A pipe cannot be made as large as other buffers, or starts with two pages only.",
            "Set the kernel's defaults:",
            "sudo sysctl fs.pipe-max-size=1048576 fs.pipe-user-pages-soft=16384"};
}

Finding huge_pages(const Machine& machine) {
    const char* what = "huge pages";
    const char* consequence = "Nothing can be mapped with huge pages.";
    if (machine.huge_pages.empty()) return not_in_kernel(what, consequence, "HUGETLBFS");
    std::vector<std::string> sizes;
    bool any = false;
    for (const auto& [page_kib, total, free] : machine.huge_pages) {
        sizes.push_back(fmt::format("{} of {} free ({})", free, total, bytes_text(page_kib * kib)));
        any = any || free > 0;
    }
    const std::string found = fmt::format("{}", fmt::join(sizes, ", "));
    if (any) return fine(what, found);
    return {what,
            found,
            Verdict::limits,
            consequence,
            "Set some aside (undo: sudo sysctl vm.nr_hugepages=0):",
            "sudo sysctl vm.nr_hugepages=64"};
}

Finding transparent_huge_pages(const Machine& machine) {
    const char* what = "transparent huge pages";
    if (!machine.thp) return fine(what, "none in this kernel");
    const std::string shared = machine.thp_shared_memory.value_or("unknown");
    const std::string found = fmt::format("{}; in shared memory: {}", *machine.thp, shared);
    if (*machine.thp != "always" && shared != "always" && shared != "force")
        return fine(what, found);
    return {what,
            found,
            Verdict::disturbs,
            "Whether a large buffer gets huge pages is chance, and may change during a run.",
            "Leave them to programs that ask:",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled\n"
            "echo advise | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled"};
}

Finding call_counting(const Machine& machine) {
    const char* what = "perf: system calls";
    const char* consequence =
        "System calls per message are counted by strace, which slows down what it counts and so "
        "has a pass of its own.";
    if (!machine.syscall_tracepoint && machine.tracefs_in_kernel != true)
        return not_in_kernel(what, consequence, "FTRACE_SYSCALLS");
    if (!machine.syscall_tracepoint)
        return {what,
                "no raw_syscalls in tracefs, or it is not mounted",
                Verdict::limits,
                consequence,
                "Mount it. If it has no events/raw_syscalls then, this kernel was built without "
                "CONFIG_FTRACE_SYSCALLS.",
                "sudo mount -t tracefs tracefs /sys/kernel/tracing"};
    if (!machine.perf_installed)
        return {what,        "perf is not installed", Verdict::limits,
                consequence, "Install it:",           "sudo apt-get install linux-perf"};
    if (machine.root || machine.perf_event_paranoid == -1) return fine(what, "raw_syscalls");
    return {what,
            "raw_syscalls, for root only",
            Verdict::limits,
            consequence,
            "Let everybody count:",
            "sudo sysctl kernel.perf_event_paranoid=-1\n"
            "sudo mount -o remount,mode=755 /sys/kernel/tracing"};
}

Finding counters(const Machine& machine) {
    const char* what = "perf: hardware counters";
    const char* consequence = "Cache misses and instructions cannot be counted.";
    if (!machine.hardware_counters) return unknown(what, "not readable", consequence);
    if (!*machine.hardware_counters) {
        Finding absent{what, "absent", Verdict::limits, consequence};
        if (machine.virtual_machine == true) {
            absent.remedy = "Measure on bare metal, or let the host pass them on; QEMU does with:";
            absent.command = "qemu-system-x86_64 -enable-kvm -cpu host,pmu=on";
        } else {
            absent.remedy = "See whether the firmware or the kernel switched them off:";
            absent.command = "sudo dmesg | grep -i -e pmu -e perf";
        }
        return absent;
    }
    if (machine.root || machine.perf_event_paranoid.value_or(3) <= 2) return fine(what, "present");
    return {what,        "present, for root only", Verdict::limits,
            consequence, "Let everybody count:",   "sudo sysctl kernel.perf_event_paranoid=2"};
}

std::string_view word(Verdict verdict) {
    switch (verdict) {
    case Verdict::fine:
        return "fine";
    case Verdict::disturbs:
        return "disturbs";
    case Verdict::limits:
        return "limits";
    case Verdict::unknown:
        return "unknown";
    }
    return "";
}

}  // namespace

std::optional<Load> load_between(const std::vector<CpuTicks>& before,
                                 const std::vector<CpuTicks>& after) {
    if (before.size() != after.size()) return std::nullopt;
    Load load{};
    bool any = false;
    for (std::size_t i = 0; i < after.size(); ++i) {
        if (before[i].cpu != after[i].cpu) return std::nullopt;
        const double busy = static_cast<double>(after[i].busy - before[i].busy);
        const double stolen = static_cast<double>(after[i].steal - before[i].steal);
        // Idle time may be corrected downwards by a tick or two.
        const auto idle_after = std::max(after[i].idle, before[i].idle);
        const double all = busy + stolen + static_cast<double>(idle_after - before[i].idle);
        if (all <= 0) continue;
        any = true;
        load.busy += busy / all;
        load.stolen += stolen / all;
    }
    return any ? std::optional(load) : std::nullopt;
}

std::vector<Finding> examine(const Machine& machine, std::optional<Load> load,
                             const std::string& build_type) {
    return {build(build_type),
            cpu_count(machine),
            quota(machine),
            other_load(load),
            autogroup(machine, load),
            governor(machine),
            turbo(machine),
            smt(machine),
            hypervisor(machine),
            sleeping_cpus(machine),
            steal(machine, load),
            mitigations(machine),
            clock_source(machine),
            shared_memory(machine),
            posix_queues(machine),
            sysv_queues(machine),
            pipes(machine),
            huge_pages(machine),
            transparent_huge_pages(machine),
            call_counting(machine),
            counters(machine)};
}

std::string format_findings(const std::vector<Finding>& findings) {
    constexpr std::size_t columns = 100;
    constexpr std::string_view indent = "            ";
    std::string text;
    for (const Finding& finding : findings) {
        text += fmt::format("{:<10}{}: {}\n", word(finding.verdict), finding.what, finding.found);
        if (!finding.consequence.empty()) text += paragraph(finding.consequence, columns, indent);
        if (!finding.remedy.empty()) text += paragraph(finding.remedy, columns, "    remedy: ");
        std::istringstream commands(finding.command);
        for (std::string line; std::getline(commands, line);)
            text += fmt::format("{}$ {}\n", indent, line);
    }
    const auto count = [&](Verdict verdict) {
        return std::count_if(findings.begin(), findings.end(),
                             [&](const Finding& finding) { return finding.verdict == verdict; });
    };
    return text + fmt::format("\n{} findings: disturb {}, limit {}, unknown {}, fine {}.\n",
                              findings.size(), count(Verdict::disturbs), count(Verdict::limits),
                              count(Verdict::unknown), count(Verdict::fine));
}

int run_doctor() {
    const auto before = read_cpu_ticks();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const auto load = load_between(before, read_cpu_ticks());
    fmt::print("{}", format_findings(examine(read_machine(), load, IPCLAB_BUILD_TYPE)));
    return 0;
}

}  // namespace ipclab
