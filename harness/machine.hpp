// What the figures of a run owe to the machine: everything that can be read about it without being
// root. The results' context and the doctor are made of this. What cannot be read is absent here
// (an empty optional, list or map) and null in JSON, never 0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ipclab {

/// One cache, listed once for all CPUs that share it.
struct Cache {
    int level;
    std::string type;  ///< as the kernel says it: Data, Instruction, Unified
    std::uint64_t bytes;
    std::vector<int> cpus;
};

/// What a CPU did since the machine started, from /proc/stat, in ticks of 1/sysconf(_SC_CLK_TCK) s:
/// mostly 10 ms. `steal` is the time in which the CPU had work and the hypervisor ran something
/// else.
struct CpuTicks {
    int cpu;
    std::uint64_t busy;  ///< user, nice, system and interrupts
    std::uint64_t idle;  ///< with waiting for disks
    std::uint64_t steal;
};

struct HugePages {
    std::uint64_t page_kib;
    std::uint64_t total;
    std::uint64_t free;
};

/// The switch of the turbo or boost clock, which drivers keep in different files.
struct Boost {
    bool on;
    std::string file;       ///< where it is switched: /sys/…
    std::string off_value;  ///< what to write there to switch it off
};

inline constexpr std::uint64_t unlimited = UINT64_MAX;

struct Machine {
    // Processors
    std::optional<std::string> cpu_model;
    std::vector<int> cpus_online;
    std::vector<int> cpus_allowed;    ///< those that this process may run on
    std::optional<double> cpu_quota;  ///< of the control group, in CPUs; absent if it has none
    std::vector<Cache> caches;
    std::optional<std::string> smt;  ///< on, off, notsupported …
    std::optional<std::string>
        governor;  ///< of the clock; several if CPUs differ: "ondemand, powersave"
    std::optional<Boost> boost;
    std::optional<std::string> idle_governor;
    std::optional<std::uint64_t>
        idle_exit_us_max;  ///< to wake from the deepest sleep that is allowed
    std::map<std::string, std::string> mitigations;  ///< vulnerability → what is done about it
    std::optional<bool> virtual_machine;
    std::optional<std::string> hypervisor;  ///< of a virtual machine: kvm, xen, … or "unnamed"
    std::vector<CpuTicks> cpu_ticks;
    std::optional<std::array<double, 3>> load_average;  ///< of 1, 5 and 15 minutes

    // Kernel
    std::optional<std::string> kernel;  ///< its release
    std::optional<std::string> clock_source;
    std::vector<std::string> clock_sources;  ///< that could be chosen
    std::optional<std::string> thp;          ///< transparent huge pages: always, madvise, never
    std::optional<std::string> thp_shared_memory;  ///< the same for shared memory
    std::vector<HugePages> huge_pages;
    std::optional<bool> autogroup;
    std::optional<int> perf_event_paranoid;
    bool perf_installed = false;
    bool root = false;  ///< this process is root's
    std::optional<bool> tracefs_in_kernel;
    bool syscall_tracepoint = false;  ///< raw_syscalls:sys_enter can be reached
    std::optional<bool> hardware_counters;

    /// Limits by name, units last, in the order in which they are printed; `unlimited` is a value.
    std::vector<std::pair<std::string, std::optional<std::uint64_t>>> limits;

    /// The limit of this name. Throws std::out_of_range for a name that is not in the list.
    [[nodiscard]] std::optional<std::uint64_t> limit(std::string_view name) const;
};

/// Reads the machine from the proc, sys and dev folders under `root`, so that a test can show it a
/// machine of its own. The limits of this process, and the type of hypervisor that only the CPU
/// tells, come from the running machine whatever the root.
Machine read_machine(const std::filesystem::path& root = "/");

/// "0-2,5" → {0, 1, 2, 5}. Empty for what is not such a list.
std::vector<int> parse_cpu_list(std::string_view list);
/// {0, 1, 2, 5} → "0-2,5". `cpus` ascends.
std::string format_cpu_list(const std::vector<int>& cpus);

std::vector<CpuTicks> read_cpu_ticks(const std::filesystem::path& root = "/");

/// Time stolen from these CPUs since the machine started, in steps of a tick (mostly 10 ms).
/// Nothing if one of the CPUs is not listed.
std::optional<std::uint64_t> steal_ns(const std::vector<int>& cpus,
                                      const std::filesystem::path& root = "/");

/// The commit that the sources in `folder` are at, shortened, and whether they differ from it.
/// "unknown" and nothing without git, or where there is no repository.
struct Commit {
    std::string name;
    std::optional<bool> dirty;
};
Commit source_commit(const std::string& folder);

/// What reading CLOCK_MONOTONIC costs (the median of batches) and the smallest step between two
/// readings that differ. Takes a few milliseconds.
struct ClockCost {
    double read_ns;
    double step_ns;
};
ClockCost measure_clock();

/// The machine's part of the context line of run.jsonl: time, host, commit, machine, compiler,
/// clock.
nlohmann::ordered_json describe_machine();
nlohmann::ordered_json describe(const Machine& machine);

}  // namespace ipclab
