// A machine is shown to the program as a folder of proc and sys files, so that each kind of machine
// can be had: what is read from it, what the results say of it, and what the doctor advises.
#include "harness/machine.hpp"

#include "harness/doctor.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace ipclab {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Optional;

/// A root folder that a test fills with the files of its machine. Removed at the end.
class FakeRoot {
  public:
    FakeRoot() {
        std::string name = (fs::temp_directory_path() / "machine-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    FakeRoot(const FakeRoot&) = delete;
    FakeRoot& operator=(const FakeRoot&) = delete;
    ~FakeRoot() { fs::remove_all(path_); }

    void write(const std::string& file, const std::string& text) {
        fs::create_directories((path_ / file).parent_path());
        std::ofstream(path_ / file) << text << '\n';
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

/// A server of bare metal with four CPUs, set up for measuring.
void write_quiet_server(FakeRoot& root) {
    const std::string cpu = "sys/devices/system/cpu/";
    root.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Test CPU 9000\nflags\t\t: fpu tsc\n");
    root.write("proc/self/status", "Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3");
    root.write("proc/self/cgroup", "0::/user.slice");
    root.write("sys/fs/cgroup/user.slice/cpu.max", "max 100000");
    root.write("proc/stat", "cpu  40 0 40 400 0 0 0 0 0 0\n"
                            "cpu0 10 0 10 100 0 0 0 0 0 0\ncpu1 10 0 10 100 0 0 0 0 0 0\n"
                            "cpu2 10 0 10 100 0 0 0 0 0 0\ncpu3 10 0 10 100 0 0 0 0 0 0\nintr 1");
    root.write("proc/loadavg", "0.10 0.20 0.30 1/85 4157");
    root.write("proc/filesystems", "nodev\ttracefs\n\text4");
    root.write("proc/sys/kernel/osrelease", "6.1.0-test");
    root.write("proc/sys/kernel/sched_autogroup_enabled", "1");
    root.write("proc/sys/kernel/perf_event_paranoid", "-1");
    root.write("proc/sys/kernel/msgmax", "65536");
    root.write("proc/sys/kernel/msgmnb", "1048576");
    root.write("proc/sys/kernel/sem", "32000\t1024000000\t500\t32001");
    root.write("proc/sys/fs/pipe-max-size", "1048576");
    root.write("proc/sys/fs/pipe-user-pages-soft", "16384");
    root.write("proc/sys/fs/mqueue/msg_max", "64");
    root.write("proc/sys/fs/mqueue/msgsize_max", "65536");
    root.write(cpu + "online", "0-3");
    root.write(cpu + "smt/control", "off");
    root.write(cpu + "intel_pstate/no_turbo", "1");
    root.write(cpu + "cpuidle/current_governor_ro", "menu");
    root.write(cpu + "vulnerabilities/meltdown", "Not affected");
    for (const std::string number : {"0", "1", "2", "3"}) {
        const std::string one = fmt::format("{}cpu{}", cpu, number);
        root.write(one + "/cpufreq/scaling_governor", "performance");
        root.write(one + "/cpuidle/state1/latency", "2");
        root.write(one + "/cpuidle/state2/latency", "130");
        root.write(one + "/cpuidle/state2/disable", "1");
        const auto cache = [&](const std::string& index, const std::string& level,
                               const std::string& type, const std::string& size,
                               const std::string& cpus) {
            const std::string folder = fmt::format("{}/cache/{}", one, index);
            root.write(folder + "/level", level);
            root.write(folder + "/type", type);
            root.write(folder + "/size", size);
            root.write(folder + "/shared_cpu_list", cpus);
        };
        cache("index0", "1", "Data", "48K", number);
        cache("index1", "1", "Instruction", "32K", number);
        cache("index2", "2", "Unified", "2048K", number);
        cache("index3", "3", "Unified", "36864K", "0-3");
    }
    const std::string clock = "sys/devices/system/clocksource/clocksource0/";
    root.write(clock + "current_clocksource", "tsc");
    root.write(clock + "available_clocksource", "tsc hpet acpi_pm");
    root.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    root.write("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always advise [never] force");
    root.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64");
    root.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "60");
    root.write("sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "348");
    root.write("sys/bus/event_source/devices/cpu/type", "4");
    root.write("usr/bin/perf", "");
    fs::create_directories(root.path() / "dev/shm");
}

constexpr Load quiet{0.0, 0.0};

Finding finding(const std::vector<Finding>& findings, const std::string& what) {
    const auto found = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& one) { return one.what == what; });
    if (found == findings.end()) throw std::out_of_range("no finding is called " + what);
    return *found;
}

/// The finding on one point of the quiet server after `file` was changed.
Finding after_writing(const std::string& what, const std::string& file, const std::string& text) {
    FakeRoot root;
    write_quiet_server(root);
    root.write(file, text);
    return finding(examine(read_machine(root.path()), quiet, "Release"), what);
}

TEST(CpuList, ReadsWhatTheKernelWrites) {
    EXPECT_THAT(parse_cpu_list("0-2,5"), ElementsAre(0, 1, 2, 5));
    EXPECT_THAT(parse_cpu_list("7"), ElementsAre(7));
    EXPECT_THAT(parse_cpu_list(""), IsEmpty());
    EXPECT_THAT(parse_cpu_list("3-1"), IsEmpty());
    EXPECT_THAT(parse_cpu_list("all"), IsEmpty());
}

TEST(CpuList, WritesRanges) {
    EXPECT_EQ(format_cpu_list({0, 1, 2, 5}), "0-2,5");
    EXPECT_EQ(format_cpu_list({4}), "4");
    EXPECT_EQ(format_cpu_list({}), "");
}

TEST(Machine, IsReadFromItsFiles) {
    FakeRoot root;
    write_quiet_server(root);
    const Machine machine = read_machine(root.path());
    EXPECT_THAT(machine.cpu_model, Optional(std::string("Test CPU 9000")));
    EXPECT_THAT(machine.cpus_allowed, ElementsAre(0, 1, 2, 3));
    EXPECT_EQ(machine.cpu_quota, std::nullopt);
    EXPECT_EQ(machine.virtual_machine, false);
    EXPECT_THAT(machine.governor, Optional(std::string("performance")));
    EXPECT_EQ(machine.boost->on, false);
    EXPECT_EQ(machine.idle_exit_us_max, 2U) << "the deeper state is disabled";
    EXPECT_EQ(machine.clock_source, "tsc");
    EXPECT_EQ(machine.thp, "madvise");
    EXPECT_EQ(machine.limit("mqueue_msg_max"), 64U);
    EXPECT_EQ(machine.limit("sysv_semmni"), 32001U);
    EXPECT_EQ(machine.limit("sysv_shmmax_bytes"), std::nullopt);
    EXPECT_THROW(static_cast<void>(machine.limit("no_such_limit")), std::out_of_range);
}

TEST(Machine, ListsACacheOnceForAllItsCpus) {
    FakeRoot root;
    write_quiet_server(root);
    const Machine machine = read_machine(root.path());
    EXPECT_EQ(machine.caches.size(), 3U * 4 + 1);
    const auto shared = std::find_if(machine.caches.begin(), machine.caches.end(),
                                     [](const Cache& cache) { return cache.level == 3; });
    EXPECT_EQ(shared->bytes, 36864U * 1024);
    EXPECT_THAT(shared->cpus, ElementsAre(0, 1, 2, 3));
}

TEST(Machine, DescribesItselfAsJson) {
    FakeRoot root;
    write_quiet_server(root);
    const auto json = describe(read_machine(root.path()));
    EXPECT_EQ(json["cpus_online"], 4);
    EXPECT_EQ(json["caches"]["l1d_bytes"], 48 * 1024) << "not the instruction cache";
    EXPECT_EQ(json["caches"]["l3_cpus"], "0-3");
    EXPECT_EQ(json["hypervisor"], nullptr);
    EXPECT_EQ(json["mitigations"]["meltdown"], "Not affected");
    EXPECT_EQ(json["limits"]["pipe_max_size_bytes"], 1048576);
    EXPECT_EQ(json["huge_pages"][0]["free"], 60);
    EXPECT_EQ(json["steal_ticks"]["3"], 0);
}

TEST(Machine, WhatCannotBeReadIsNullAndNeverZero) {
    const FakeRoot empty;
    const auto json = describe(read_machine(empty.path()));
    for (const char* key :
         {"cpu_model", "cpus_online", "cpus_allowed", "kernel", "hypervisor", "virtual_machine",
          "mitigations", "governor", "boost", "smt", "idle_exit_us_max", "clock_source", "thp",
          "huge_pages", "autogroup", "load_average", "steal_ticks", "perf_event_paranoid"})
        EXPECT_TRUE(json.at(key).is_null()) << key << " is " << json[key];
    for (const char* key : {"l1d_bytes", "l2_bytes", "l3_bytes"})
        EXPECT_TRUE(json["caches"].at(key).is_null()) << key;
    for (const auto& [name, value] : json["limits"].items()) {
        if (!name.starts_with("rlimit_")) {
            EXPECT_TRUE(value.is_null()) << name;
        }
    }
}

TEST(Machine, GarbageIsNotANumber) {
    FakeRoot root;
    root.write("proc/sys/fs/pipe-max-size", "12 apples");
    root.write("proc/loadavg", "high");
    root.write("sys/kernel/mm/transparent_hugepage/enabled", "]sometimes[");
    const Machine machine = read_machine(root.path());
    EXPECT_EQ(machine.limit("pipe_max_size_bytes"), std::nullopt);
    EXPECT_EQ(machine.load_average, std::nullopt);
    EXPECT_EQ(machine.thp, std::nullopt);
}

TEST(Machine, ThisOneCanBeDescribed) {
    const auto json = describe_machine();
    for (const char* key : {"utc", "host", "commit", "dirty", "cpu_model", "cpus_online", "caches",
                            "kernel", "hypervisor", "mitigations", "clock_source", "thp", "limits",
                            "compiler", "flags", "build_type", "clock_read_ns", "clock_step_ns"})
        EXPECT_TRUE(json.contains(key)) << key;
    EXPECT_THAT(json["utc"].get<std::string>(), testing::MatchesRegex("....-..-..T..:..:..Z"));
    EXPECT_GE(json["cpus_online"], 1);
    EXPECT_GT(json["clock_read_ns"], 0);
    EXPECT_GT(json["clock_step_ns"], 0);
    EXPECT_THAT(json["compiler"].get<std::string>(), HasSubstr("++ "));
}

TEST(Machine, StolenTimeIsSummedOverTheCpusAsked) {
    FakeRoot root;
    root.write("proc/stat", "cpu  1 1 1 1 1 1 1 7 0 0\n"
                            "cpu0 1 1 1 1 1 1 1 3 0 0\ncpu1 1 1 1 1 1 1 1 4 0 0");
    const auto tick_ns = 1'000'000'000U / static_cast<unsigned>(sysconf(_SC_CLK_TCK));
    EXPECT_EQ(steal_ns({0, 1}, root.path()), 7U * tick_ns);
    EXPECT_EQ(steal_ns({1}, root.path()), 4U * tick_ns);
    EXPECT_EQ(steal_ns({2}, root.path()), std::nullopt);
}

TEST(Machine, TheHypervisorIsNamed) {
    FakeRoot root;
    root.write("proc/cpuinfo", "model name : x\nflags : fpu hypervisor tsc");
    EXPECT_EQ(read_machine(root.path()).hypervisor, "unnamed");
    root.write("sys/class/dmi/id/sys_vendor", "QEMU");
    root.write("sys/class/dmi/id/product_name", "Standard PC (Q35 + ICH9, 2009)");
    EXPECT_EQ(read_machine(root.path()).hypervisor, "qemu");
    root.write("sys/hypervisor/type", "xen");
    EXPECT_EQ(read_machine(root.path()).hypervisor, "xen");
}

TEST(Machine, CloudFirmwareDoesNotMakeBareMetalVirtual) {
    FakeRoot root;
    root.write("proc/cpuinfo", "processor : 0\nFeatures : fp asimd");  // no flags: not x86
    root.write("sys/class/dmi/id/sys_vendor", "Amazon EC2");
    root.write("sys/class/dmi/id/product_name", "c7g.metal");
    EXPECT_EQ(read_machine(root.path()).virtual_machine, false);
    root.write("sys/class/dmi/id/product_name", "c7g.large");
    EXPECT_EQ(read_machine(root.path()).virtual_machine, true);
}

TEST(Commit, OfAFolderWithoutARepositoryIsUnknown) {
    const FakeRoot no_repository;
    const Commit commit = source_commit(no_repository.path());
    EXPECT_EQ(commit.name, "unknown");
    EXPECT_EQ(commit.dirty, std::nullopt);
}

TEST(Commit, KnowsACleanTreeFromAChangedOne) {
    FakeRoot root;
    const fs::path folder = root.path() / "it's a repository";
    fs::create_directories(folder);
    const std::string git = "git -C \"" + folder.string() + "\" ";
    ASSERT_EQ(std::system((git + "init -q && " + git +
                           "-c user.name=t -c user.email=t@t commit -q --allow-empty -m first")
                              .c_str()),
              0);
    EXPECT_THAT(source_commit(folder).name, testing::MatchesRegex("[0-9a-f]{7,}"));
    EXPECT_EQ(source_commit(folder).dirty, false);
    root.write("it's a repository/file", "new");
    EXPECT_EQ(source_commit(folder).dirty, true);
}

// ---- The doctor ---------------------------------------------------------------------------------

TEST(Doctor, FindsAQuietServerFine) {
    FakeRoot root;
    write_quiet_server(root);
    for (const Finding& finding : examine(read_machine(root.path()), quiet, "Release")) {
        if (finding.what == "/dev/shm") continue;  // as large as the disk under the fake root
        EXPECT_EQ(finding.verdict, Verdict::fine) << finding.what << ": " << finding.found;
    }
}

TEST(Doctor, HasARemedyForWhateverDisturbsOrLimits) {
    FakeRoot quiet_server;
    FakeRoot bare;
    write_quiet_server(quiet_server);
    const auto bare_machine = read_machine(bare.path());
    const auto here = read_machine();
    auto guest = read_machine(quiet_server.path());
    guest.virtual_machine = true;
    guest.hardware_counters = false;
    guest.cpu_quota = 0.5;
    guest.cpus_allowed = {0};
    for (const Machine& machine : {bare_machine, here, guest}) {
        for (const Finding& finding : examine(machine, Load{1.5, 0.2}, "Debug")) {
            const bool trouble =
                finding.verdict == Verdict::disturbs || finding.verdict == Verdict::limits;
            EXPECT_EQ(finding.remedy.empty(), !trouble) << finding.what;
            EXPECT_EQ(finding.consequence.empty(), finding.verdict == Verdict::fine)
                << finding.what;
            EXPECT_THAT(finding.found, Not(IsEmpty())) << finding.what;
        }
    }
}

TEST(Doctor, CallsUnknownWhatTheMachineDoesNotTell) {
    const FakeRoot empty;
    const auto findings = examine(read_machine(empty.path()), std::nullopt, "Release");
    for (const char* what : {"CPUs", "other load", "clock governor", "turbo clock",
                             "hardware threads", "virtual machine", "sleeping CPUs", "stolen time",
                             "mitigations", "clock source", "pipes", "perf: hardware counters"})
        EXPECT_EQ(finding(findings, what).verdict, Verdict::unknown) << what;
}

/// One file changed on the quiet server, the point that it spoils, and a part of the remedy.
struct Spoiled {
    std::string what;
    std::string file;
    std::string text;
    Verdict verdict;
    std::string command;
};
void PrintTo(const Spoiled& spoiled, std::ostream* out) {
    *out << spoiled.file << " = " << spoiled.text;
}

class DoctorFinds : public testing::TestWithParam<Spoiled> {};

TEST_P(DoctorFinds, TheSpoiledPointAndItsRemedy) {
    const Spoiled& spoiled = GetParam();
    const Finding found = after_writing(spoiled.what, spoiled.file, spoiled.text);
    EXPECT_EQ(found.verdict, spoiled.verdict) << found.found;
    EXPECT_THAT(found.command, HasSubstr(spoiled.command));
}

const std::string cpu_files = "sys/devices/system/cpu/";
INSTANTIATE_TEST_SUITE_P(
    OnePoint, DoctorFinds,
    testing::Values(
        Spoiled{"clock governor", cpu_files + "cpu1/cpufreq/scaling_governor", "powersave",
                Verdict::disturbs, "echo performance | sudo tee"},
        Spoiled{"turbo clock", cpu_files + "intel_pstate/no_turbo", "0", Verdict::disturbs,
                "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"},
        Spoiled{"hardware threads", cpu_files + "smt/control", "on", Verdict::disturbs,
                "echo off | sudo tee /sys/devices/system/cpu/smt/control"},
        Spoiled{"sleeping CPUs", cpu_files + "cpu0/cpuidle/state2/disable", "0", Verdict::disturbs,
                "cpupower idle-set --disable-by-latency"},
        Spoiled{"mitigations", cpu_files + "vulnerabilities/meltdown", "Mitigation: PTI",
                Verdict::disturbs, "update-grub"},
        Spoiled{"clock source", "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "hpet", Verdict::disturbs, "echo tsc | sudo tee"},
        Spoiled{"CPUs", "proc/self/status", "Cpus_allowed_list:\t2", Verdict::limits,
                "taskset -c 0-3"},
        Spoiled{"CPUs", "proc/self/status", "Cpus_allowed_list:\t2-3", Verdict::disturbs,
                "systemctl"},
        Spoiled{"CPU quota", "sys/fs/cgroup/user.slice/cpu.max", "150000 100000", Verdict::disturbs,
                "CPUQuota="},
        Spoiled{"virtual machine", "sys/hypervisor/type", "xen", Verdict::disturbs, "vcpupin"},
        Spoiled{"sleeping CPUs", "sys/hypervisor/type", "xen", Verdict::disturbs,
                "scripts/run --keep-awake"},
        Spoiled{"stolen time", "proc/stat", "cpu0 50 0 50 900 0 0 0 10 0 0", Verdict::disturbs,
                "--rounds"},
        Spoiled{"POSIX message queues", "proc/sys/fs/mqueue/msg_max", "10", Verdict::limits,
                "sysctl fs.mqueue.msg_max="},
        Spoiled{"System V message queues", "proc/sys/kernel/msgmnb", "16384", Verdict::limits,
                "sysctl kernel.msgmax="},
        Spoiled{"pipes", "proc/sys/fs/pipe-max-size", "65536", Verdict::limits,
                "sysctl fs.pipe-max-size=1048576"},
        Spoiled{"huge pages", "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0",
                Verdict::limits, "sysctl vm.nr_hugepages="},
        Spoiled{"transparent huge pages", "sys/kernel/mm/transparent_hugepage/enabled",
                "[always] madvise never", Verdict::disturbs, "echo madvise | sudo tee"}));

TEST(Doctor, AdvisesByTheRoomLeftInSharedMemory) {
    FakeRoot root;
    write_quiet_server(root);
    Machine machine = read_machine(root.path());
    const auto with = [&](std::uint64_t size, std::uint64_t free) {
        for (auto& [name, value] : machine.limits) {
            if (name == "dev_shm_bytes") value = size;
            if (name == "dev_shm_free_bytes") value = free;
        }
        return finding(examine(machine, quiet, "Release"), "/dev/shm");
    };
    constexpr std::uint64_t mib = 1 << 20;
    EXPECT_EQ(with(8192 * mib, 8000 * mib).verdict, Verdict::fine);
    EXPECT_THAT(with(64 * mib, 64 * mib).command, HasSubstr("remount,size=1G"));
    EXPECT_THAT(with(8192 * mib, 3 * mib).command, HasSubstr("ls -lt /dev/shm"));
    fs::remove_all(root.path() / "dev");
    machine = read_machine(root.path());
    EXPECT_EQ(finding(examine(machine, quiet, "Release"), "/dev/shm").found, "absent");
}

TEST(Doctor, AdvisesPerfByWhatIsMissing) {
    FakeRoot root;
    write_quiet_server(root);
    Machine machine = read_machine(root.path());
    const auto calls = [&] {
        return finding(examine(machine, quiet, "Release"), "perf: system calls");
    };
    machine.root = false;
    EXPECT_EQ(calls().verdict, Verdict::fine);
    machine.perf_event_paranoid = 2;
    EXPECT_THAT(calls().command, HasSubstr("perf_event_paranoid=-1"));
    machine.root = true;
    EXPECT_EQ(calls().verdict, Verdict::fine);
    machine.perf_installed = false;
    EXPECT_THAT(calls().command, HasSubstr("linux-perf"));
    machine.syscall_tracepoint = false;
    EXPECT_THAT(calls().command, HasSubstr("mount -t tracefs"));
    machine.tracefs_in_kernel = false;
    EXPECT_THAT(calls().remedy, HasSubstr("CONFIG_FTRACE_SYSCALLS"));
}

TEST(Doctor, MindsSessionGroupsOnlyWhileOthersAreBusy) {
    FakeRoot root;
    write_quiet_server(root);
    Machine machine = read_machine(root.path());
    const auto groups = [&](Load load) {
        return finding(examine(machine, load, "Release"), "session groups");
    };
    EXPECT_EQ(groups({0.01, 0}).verdict, Verdict::fine);
    EXPECT_EQ(groups({0.9, 0}).verdict, Verdict::disturbs);
    machine.root = true;
    EXPECT_EQ(groups({0.9, 0}).command, "scripts/run --raise-autogroup");
    machine.root = false;
    EXPECT_THAT(groups({0.9, 0}).command, HasSubstr("/proc/$$/autogroup"));
}

TEST(Doctor, WarnsOfABuildThatIsNotOptimised) {
    FakeRoot root;
    const auto findings = examine(read_machine(root.path()), quiet, "Debug");
    EXPECT_EQ(finding(findings, "build").verdict, Verdict::disturbs);
    EXPECT_EQ(finding(findings, "build").command, "scripts/run");
}

TEST(Doctor, CountsLoadInCpus) {
    const std::vector<CpuTicks> before{{0, 100, 500, 0}, {1, 100, 500, 0}};
    const std::vector<CpuTicks> after{{0, 200, 500, 0}, {1, 125, 550, 25}};
    const auto load = load_between(before, after);
    ASSERT_TRUE(load);
    EXPECT_DOUBLE_EQ(load->busy, 1.25);
    EXPECT_DOUBLE_EQ(load->stolen, 0.25);
    EXPECT_FALSE(load_between(before, before));
    EXPECT_FALSE(load_between(before, {{0, 200, 500, 0}}));
}

TEST(Doctor, PrintsCommandsWholeAndTextWithinAHundredColumns) {
    const std::string command(150, 'c');
    std::string sentence = "A";
    for (int i = 0; i < 60; ++i) sentence += " word";
    const std::string text =
        format_findings({{"point", "found", Verdict::limits, sentence, sentence, command}});
    EXPECT_THAT(text, HasSubstr("limits    point: found\n"));
    EXPECT_THAT(text, HasSubstr("$ " + command + "\n"));
    EXPECT_THAT(text, HasSubstr("remedy: A word"));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(command) == std::string::npos) {
            EXPECT_LE(line.size(), 100U) << line;
        }
    }
    EXPECT_THAT(text, HasSubstr("1 findings: disturb 0, limit 1, unknown 0, fine 0."));
}

}  // namespace
}  // namespace ipclab
