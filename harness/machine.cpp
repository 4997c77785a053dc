#include "harness/machine.hpp"

#include "harness/statistics.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace ipclab {
namespace {

namespace fs = std::filesystem;
using Text = std::optional<std::string>;

std::string trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\n");
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(" \t\n") - first + 1));
}

Text file_text(const fs::path& path) {
    std::ifstream file(path);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file.is_open() || file.bad()) return std::nullopt;
    return text;
}

/// The first line, without the spaces around it. Nothing if it is empty.
Text first_line(const fs::path& path) {
    const Text text = file_text(path);
    if (!text) return std::nullopt;
    std::string line = trimmed(text->substr(0, text->find('\n')));
    if (line.empty()) return std::nullopt;
    return line;
}

template <class Number>
std::optional<Number> parse(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

template <class Number>
std::optional<Number> number(const fs::path& path) {
    const Text line = first_line(path);
    return line ? parse<Number>(*line) : std::nullopt;
}

std::optional<bool> on_or_off(const fs::path& path) {
    const auto value = number<int>(path);
    return value ? std::optional(*value != 0) : std::nullopt;
}

std::vector<std::string> words(std::string_view text) {
    std::istringstream stream{std::string(text)};
    return {std::istream_iterator<std::string>(stream), {}};
}

/// Of "always [madvise] never": madvise.
Text chosen(const fs::path& path) {
    const Text line = first_line(path);
    if (!line) return std::nullopt;
    const auto open = line->find('[');
    const auto close = line->find(']');
    if (open == std::string::npos || close == std::string::npos || close < open)
        return std::nullopt;
    return line->substr(open + 1, close - open - 1);
}

/// The value of the first line "name : value" or "name: value".
Text field(const Text& text, std::string_view name) {
    if (!text) return std::nullopt;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
        const auto colon = line.find(':');
        if (colon != std::string::npos && trimmed(line.substr(0, colon)) == name)
            return trimmed(line.substr(colon + 1));
    }
    return std::nullopt;
}

std::vector<fs::path> entries(const fs::path& folder) {
    std::error_code error;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder, error)) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
}

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

fs::path cpu_folder(const fs::path& root, int cpu) {
    return root / fmt::format("sys/devices/system/cpu/cpu{}", cpu);
}

// ---- Processors ---------------------------------------------------------------------------------

/// The most CPUs' worth of time that the control group of this process (cgroup version 2) may use.
std::optional<double> cpu_quota(const fs::path& root) {
    const Text group = field(file_text(root / "proc/self/cgroup"), "0");  // "0::/path"
    if (!group) return std::nullopt;
    const fs::path below = fs::path(group->substr(group->find(':') + 1)).relative_path();
    const Text line = first_line(root / "sys/fs/cgroup" / below / "cpu.max");
    if (!line) return std::nullopt;
    const auto parts = words(*line);  // "50000 100000" or "max 100000", in µs
    if (parts.size() != 2) return std::nullopt;
    const auto quota_us = parse<double>(parts[0]);
    const auto period_us = parse<double>(parts[1]);
    if (!quota_us || !period_us || *period_us <= 0) return std::nullopt;
    return *quota_us / *period_us;
}

std::vector<Cache> caches(const fs::path& root, const std::vector<int>& cpus) {
    std::vector<Cache> found;
    std::set<std::tuple<int, std::string, std::vector<int>>> seen;
    for (const int cpu : cpus) {
        for (const auto& folder : entries(cpu_folder(root, cpu) / "cache")) {
            const auto level = number<int>(folder / "level");
            const Text type = first_line(folder / "type");
            const Text size = first_line(folder / "size");
            const Text shared = first_line(folder / "shared_cpu_list");
            if (!level || !type || !size || !size->ends_with('K')) continue;
            const auto kib = parse<std::uint64_t>(size->substr(0, size->size() - 1));
            if (!kib) continue;
            auto sharers = shared ? parse_cpu_list(*shared) : std::vector<int>{};
            if (seen.emplace(*level, *type, sharers).second)
                found.push_back({*level, *type, *kib * 1024, std::move(sharers)});
        }
    }
    return found;
}

Text governors(const fs::path& root, const std::vector<int>& cpus) {
    std::set<std::string> found;
    for (const int cpu : cpus)
        if (const Text governor = first_line(cpu_folder(root, cpu) / "cpufreq/scaling_governor"))
            found.insert(*governor);
    if (found.empty()) return std::nullopt;
    return fmt::format("{}", fmt::join(found, ", "));
}

std::optional<Boost> boost(const fs::path& root) {
    const std::string intel = "sys/devices/system/cpu/intel_pstate/no_turbo";
    if (const auto off = on_or_off(root / intel)) return Boost{!*off, "/" + intel, "1"};
    const std::string other = "sys/devices/system/cpu/cpufreq/boost";
    if (const auto on = on_or_off(root / other)) return Boost{*on, "/" + other, "0"};
    return std::nullopt;
}

std::optional<std::uint64_t> idle_exit_us_max(const fs::path& root, const std::vector<int>& cpus) {
    std::optional<std::uint64_t> slowest;
    for (const int cpu : cpus) {
        for (const auto& state : entries(cpu_folder(root, cpu) / "cpuidle")) {
            const auto latency_us = number<std::uint64_t>(state / "latency");
            if (latency_us && on_or_off(state / "disable") != true)
                slowest = std::max(slowest.value_or(0), *latency_us);
        }
    }
    return slowest;
}

std::map<std::string, std::string> mitigations(const fs::path& root) {
    std::map<std::string, std::string> found;
    for (const auto& file : entries(root / "sys/devices/system/cpu/vulnerabilities"))
        if (const Text line = first_line(file)) found.emplace(file.filename(), *line);
    return found;
}

/// The name of the hypervisor that the processor itself tells to a guest.
Text hypervisor_by_cpuid() {
#if defined(__x86_64__) || defined(__i386__)
    unsigned highest = 0;
    std::array<unsigned, 3> signature{};
    __cpuid(0x40000000, highest, signature[0], signature[1], signature[2]);
    const std::string_view name(reinterpret_cast<const char*>(signature.data()), sizeof signature);
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> known{{
        {"KVMKVMKVM", "kvm"},
        {"Linux KVM Hv", "kvm"},
        {"Microsoft Hv", "hyper-v"},
        {"VMwareVMware", "vmware"},
        {"XenVMMXenVMM", "xen"},
        {"TCGTCGTCGTCG", "qemu"},
        {"VBoxVBoxVBox", "virtualbox"},
        {"bhyve bhyve ", "bhyve"},
    }};
    for (const auto& [sign, hypervisor] : known)
        if (name.starts_with(sign)) return std::string(hypervisor);
#endif
    return std::nullopt;
}

/// The name of the hypervisor that the firmware tells, if the firmware is one's.
Text hypervisor_by_firmware(const fs::path& root) {
    const fs::path folder = root / "sys/class/dmi/id";
    const std::string firmware = lower(first_line(folder / "sys_vendor").value_or("") + " " +
                                       first_line(folder / "product_name").value_or(""));
    if (firmware.find(".metal") != std::string::npos) return std::nullopt;
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> known{{
        {"kvm", "kvm"},
        {"google compute engine", "kvm"},
        {"amazon ec2", "kvm"},
        {"openstack", "kvm"},
        {"qemu", "qemu"},
        {"vmware", "vmware"},
        {"virtualbox", "virtualbox"},
        {"xen", "xen"},
        {"microsoft corporation virtual machine", "hyper-v"},
        {"parallels", "parallels"},
    }};
    for (const auto& [sign, hypervisor] : known)
        if (firmware.find(sign) != std::string::npos) return std::string(hypervisor);
    return std::nullopt;
}

void read_hypervisor(Machine& machine, const fs::path& root) {
    const Text cpuinfo = file_text(root / "proc/cpuinfo");
    const Text flags = field(cpuinfo, "flags");  // x86 only
    const Text by_firmware = hypervisor_by_firmware(root);
    machine.hypervisor = first_line(root / "sys/hypervisor/type");
    if (machine.hypervisor) {
        machine.virtual_machine = true;
    } else if (flags) {
        const auto all = words(*flags);
        machine.virtual_machine = std::find(all.begin(), all.end(), "hypervisor") != all.end();
        if (!*machine.virtual_machine) return;
        if (root == "/") machine.hypervisor = hypervisor_by_cpuid();
        if (!machine.hypervisor) machine.hypervisor = by_firmware.value_or("unnamed");
    } else if (is_there(root / "sys/class/dmi/id/sys_vendor")) {
        machine.virtual_machine = by_firmware.has_value();
        machine.hypervisor = by_firmware;
    }
}

// ---- Kernel -------------------------------------------------------------------------------------

std::optional<std::array<double, 3>> load_average(const fs::path& root) {
    const auto parts = words(first_line(root / "proc/loadavg").value_or(""));
    if (parts.size() < 3) return std::nullopt;
    std::array<double, 3> load{};
    for (std::size_t i = 0; i < load.size(); ++i) {
        const auto value = parse<double>(parts[i]);
        if (!value) return std::nullopt;
        load[i] = *value;
    }
    return load;
}

std::vector<HugePages> huge_pages(const fs::path& root) {
    std::vector<HugePages> found;
    for (const auto& folder : entries(root / "sys/kernel/mm/hugepages")) {
        const std::string name = folder.filename();  // hugepages-2048kB
        const auto dash = name.find('-');
        if (dash == std::string::npos || !name.ends_with("kB")) continue;
        const auto page_kib = parse<std::uint64_t>(name.substr(dash + 1, name.size() - dash - 3));
        const auto total = number<std::uint64_t>(folder / "nr_hugepages");
        const auto free = number<std::uint64_t>(folder / "free_hugepages");
        if (page_kib && total && free) found.push_back({*page_kib, *total, *free});
    }
    return found;
}

std::optional<bool> hardware_counters(const fs::path& root) {
    const auto devices = entries(root / "sys/bus/event_source/devices");
    if (devices.empty()) return std::nullopt;
    return std::any_of(devices.begin(), devices.end(), [](const fs::path& device) {
        const std::string name = device.filename();
        return name == "cpu" || name.starts_with("cpu_") || name.starts_with("arm");
    });
}

std::optional<bool> tracefs_in_kernel(const fs::path& root) {
    const Text systems = file_text(root / "proc/filesystems");
    if (!systems) return std::nullopt;
    const auto all = words(*systems);
    return std::find(all.begin(), all.end(), "tracefs") != all.end();
}

// ---- Limits -------------------------------------------------------------------------------------

std::optional<std::uint64_t> resource_limit(__rlimit_resource resource) {
    rlimit limit{};
    if (getrlimit(resource, &limit) != 0) return std::nullopt;
    return limit.rlim_cur == RLIM_INFINITY ? unlimited : limit.rlim_cur;
}

void read_limits(Machine& machine, const fs::path& root) {
    static constexpr std::array<std::pair<const char*, const char*>, 11> files{{
        {"pipe_max_size_bytes", "fs/pipe-max-size"},
        {"pipe_user_pages_soft", "fs/pipe-user-pages-soft"},
        {"mqueue_msg_max", "fs/mqueue/msg_max"},
        {"mqueue_msgsize_max_bytes", "fs/mqueue/msgsize_max"},
        {"mqueue_queues_max", "fs/mqueue/queues_max"},
        {"sysv_msgmax_bytes", "kernel/msgmax"},
        {"sysv_msgmnb_bytes", "kernel/msgmnb"},
        {"sysv_msgmni", "kernel/msgmni"},
        {"sysv_shmmax_bytes", "kernel/shmmax"},
        {"sysv_shmall_pages", "kernel/shmall"},
        {"sysv_shmmni", "kernel/shmmni"},
    }};
    auto& limits = machine.limits;
    for (const auto& [name, file] : files)
        limits.emplace_back(name, number<std::uint64_t>(root / "proc/sys" / file));

    const auto semaphores = words(first_line(root / "proc/sys/kernel/sem").value_or(""));
    static constexpr std::array names{"sysv_semmsl", "sysv_semmns", "sysv_semopm", "sysv_semmni"};
    for (std::size_t i = 0; i < names.size(); ++i)
        limits.emplace_back(names[i], semaphores.size() == names.size()
                                          ? parse<std::uint64_t>(semaphores[i])
                                          : std::nullopt);

    struct statvfs shared {};
    const bool there = statvfs((root / "dev/shm").c_str(), &shared) == 0;
    const auto bytes = [&](fsblkcnt_t blocks) {
        return there ? std::optional<std::uint64_t>(blocks * shared.f_frsize) : std::nullopt;
    };
    limits.emplace_back("dev_shm_bytes", bytes(shared.f_blocks));
    limits.emplace_back("dev_shm_free_bytes", bytes(shared.f_bavail));
    limits.emplace_back("rlimit_msgqueue_bytes", resource_limit(RLIMIT_MSGQUEUE));
    limits.emplace_back("rlimit_memlock_bytes", resource_limit(RLIMIT_MEMLOCK));
    limits.emplace_back("rlimit_nofile", resource_limit(RLIMIT_NOFILE));
}

// ---- Programs and JSON --------------------------------------------------------------------------

/// What the shell command prints. Nothing if it fails or cannot be started.
Text output_of(const std::string& command) {
    std::FILE* stream = popen(command.c_str(), "r");
    if (stream == nullptr) return std::nullopt;
    std::string text;
    std::array<char, 256> piece{};
    while (const std::size_t n = std::fread(piece.data(), 1, piece.size(), stream))
        text.append(piece.data(), n);
    if (pclose(stream) != 0) return std::nullopt;
    return text;
}

std::string shell_quoted(std::string_view text) {
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

template <class Value>
nlohmann::ordered_json or_null(const std::optional<Value>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

template <class List>
nlohmann::ordered_json or_null_if_empty(const List& list) {
    return list.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(list);
}

/// The caches that serve the first CPU that this process may use.
nlohmann::ordered_json describe_caches(const std::vector<Cache>& caches,
                                       const std::vector<int>& cpus) {
    nlohmann::ordered_json json;
    struct Wanted {
        std::string name;
        int level;
    };
    for (const auto& [name, level] : {Wanted{"l1d", 1}, Wanted{"l2", 2}, Wanted{"l3", 3}}) {
        const auto serves = [&, wanted = level](const Cache& cache) {
            const bool here =
                cpus.empty() || std::count(cache.cpus.begin(), cache.cpus.end(), cpus[0]);
            return cache.level == wanted && cache.type != "Instruction" && here;
        };
        const auto cache = std::find_if(caches.begin(), caches.end(), serves);
        const bool found = cache != caches.end();
        json[name + "_bytes"] = found ? nlohmann::ordered_json(cache->bytes) : nullptr;
        json[name + "_cpus"] =
            found ? nlohmann::ordered_json(format_cpu_list(cache->cpus)) : nullptr;
    }
    return json;
}

std::string compiler() {
#if defined(__clang__)
    return "clang++ " __clang_version__;
#else
    return "g++ " __VERSION__;
#endif
}

}  // namespace

std::optional<std::uint64_t> Machine::limit(std::string_view name) const {
    const auto found = std::find_if(limits.begin(), limits.end(),
                                    [&](const auto& limit) { return limit.first == name; });
    if (found == limits.end()) throw std::out_of_range("no limit is called " + std::string(name));
    return found->second;
}

Machine read_machine(const fs::path& root) {
    Machine machine;
    const fs::path cpu = root / "sys/devices/system/cpu";
    machine.cpu_model = field(file_text(root / "proc/cpuinfo"), "model name");
    machine.cpus_online = parse_cpu_list(first_line(cpu / "online").value_or(""));
    machine.cpus_allowed = parse_cpu_list(
        field(file_text(root / "proc/self/status"), "Cpus_allowed_list").value_or(""));
    machine.cpu_quota = cpu_quota(root);
    machine.caches = caches(root, machine.cpus_allowed);
    machine.smt = first_line(cpu / "smt/control");
    machine.governor = governors(root, machine.cpus_allowed);
    machine.boost = boost(root);
    machine.idle_governor = first_line(cpu / "cpuidle/current_governor_ro");
    machine.idle_exit_us_max = idle_exit_us_max(root, machine.cpus_allowed);
    machine.mitigations = mitigations(root);
    read_hypervisor(machine, root);
    machine.cpu_ticks = read_cpu_ticks(root);
    machine.load_average = load_average(root);

    const fs::path clock = root / "sys/devices/system/clocksource/clocksource0";
    const fs::path huge = root / "sys/kernel/mm/transparent_hugepage";
    machine.kernel = first_line(root / "proc/sys/kernel/osrelease");
    machine.clock_source = first_line(clock / "current_clocksource");
    machine.clock_sources = words(first_line(clock / "available_clocksource").value_or(""));
    machine.thp = chosen(huge / "enabled");
    machine.thp_shared_memory = chosen(huge / "shmem_enabled");
    machine.huge_pages = huge_pages(root);
    machine.autogroup = on_or_off(root / "proc/sys/kernel/sched_autogroup_enabled");
    machine.perf_event_paranoid = number<int>(root / "proc/sys/kernel/perf_event_paranoid");
    machine.perf_installed = is_there(root / "usr/bin/perf");
    machine.root = geteuid() == 0;
    machine.tracefs_in_kernel = tracefs_in_kernel(root);
    machine.syscall_tracepoint =
        is_there(root / "sys/kernel/tracing/events/raw_syscalls/sys_enter") ||
        is_there(root / "sys/kernel/debug/tracing/events/raw_syscalls/sys_enter");
    machine.hardware_counters = hardware_counters(root);
    read_limits(machine, root);
    return machine;
}

std::vector<int> parse_cpu_list(std::string_view list) {
    std::vector<int> cpus;
    std::istringstream ranges{std::string(list)};
    for (std::string range; std::getline(ranges, range, ',');) {
        const auto dash = range.find('-');
        const auto first = parse<int>(range.substr(0, dash));
        const auto last = dash == std::string::npos ? first : parse<int>(range.substr(dash + 1));
        if (!first || !last || *first < 0 || *last < *first) return {};
        for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    }
    return cpus;
}

std::string format_cpu_list(const std::vector<int>& cpus) {
    std::vector<std::string> ranges;
    for (std::size_t first = 0, last = 0; first < cpus.size(); first = last + 1) {
        last = first;
        while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
        ranges.push_back(first == last ? std::to_string(cpus[first])
                                       : fmt::format("{}-{}", cpus[first], cpus[last]));
    }
    return fmt::format("{}", fmt::join(ranges, ","));
}

std::vector<CpuTicks> read_cpu_ticks(const fs::path& root) {
    std::vector<CpuTicks> ticks;
    std::istringstream lines(file_text(root / "proc/stat").value_or(""));
    for (std::string line; std::getline(lines, line);) {
        const auto columns = words(line);  // cpu0 user nice system idle iowait irq softirq steal …
        if (columns.size() < 9 || !columns[0].starts_with("cpu")) continue;
        const auto cpu = parse<int>(columns[0].substr(3));
        if (!cpu) continue;  // the line "cpu" is the sum of all
        std::array<std::uint64_t, 8> time{};
        for (std::size_t i = 0; i < time.size(); ++i)
            time[i] = parse<std::uint64_t>(columns[i + 1]).value_or(0);
        ticks.push_back(
            {*cpu, time[0] + time[1] + time[2] + time[5] + time[6], time[3] + time[4], time[7]});
    }
    return ticks;
}

std::optional<std::uint64_t> steal_ns(const std::vector<int>& cpus, const fs::path& root) {
    const auto ticks = read_cpu_ticks(root);
    const auto tick_ns = 1'000'000'000 / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
    std::uint64_t sum_ns = 0;
    for (const int cpu : cpus) {
        const auto found = std::find_if(ticks.begin(), ticks.end(),
                                        [&](const CpuTicks& t) { return t.cpu == cpu; });
        if (found == ticks.end()) return std::nullopt;
        sum_ns += found->steal * tick_ns;
    }
    return sum_ns;
}

Commit source_commit(const std::string& folder) {
    // Without the lock that git status likes to take, a commit made meanwhile does not fail.
    const std::string git = "git --no-optional-locks -C " + shell_quoted(folder);
    const Text commit = output_of(git + " rev-parse --short HEAD 2>/dev/null");
    if (!commit) return {"unknown", std::nullopt};
    // What runs leave under results/ changes no figure.
    const Text changes = output_of(git + " status --porcelain -- ':!results' 2>/dev/null");
    return {trimmed(*commit), changes ? std::optional(!changes->empty()) : std::nullopt};
}

ClockCost measure_clock() {
    const auto now_ns = [] {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    };
    constexpr int batches = 21;
    constexpr int reads = 1000;
    std::vector<double> read_ns;
    std::int64_t step_ns = INT64_MAX;
    for (int batch = 0; batch < batches; ++batch) {
        const std::int64_t start = now_ns();
        std::int64_t last = start;
        for (int i = 0; i < reads; ++i) {
            const std::int64_t now = now_ns();
            if (now > last) step_ns = std::min(step_ns, now - last);
            last = now;
        }
        read_ns.push_back(static_cast<double>(last - start) / reads);
    }
    return {median(read_ns), static_cast<double>(step_ns)};
}

nlohmann::ordered_json describe(const Machine& machine) {
    nlohmann::ordered_json json;
    json["cpu_model"] = or_null(machine.cpu_model);
    json["cpus_online"] =
        machine.cpus_online.empty() ? nullptr : nlohmann::ordered_json(machine.cpus_online.size());
    json["cpus_allowed"] = or_null_if_empty(machine.cpus_allowed);
    json["cpu_quota"] = or_null(machine.cpu_quota);
    json["caches"] = describe_caches(machine.caches, machine.cpus_allowed);
    json["kernel"] = or_null(machine.kernel);
    json["virtual_machine"] = or_null(machine.virtual_machine);
    json["hypervisor"] = or_null(machine.hypervisor);
    json["mitigations"] = or_null_if_empty(machine.mitigations);
    json["smt"] = or_null(machine.smt);
    json["governor"] = or_null(machine.governor);
    json["boost"] = machine.boost ? nlohmann::ordered_json(machine.boost->on) : nullptr;
    json["idle_governor"] = or_null(machine.idle_governor);
    json["idle_exit_us_max"] = or_null(machine.idle_exit_us_max);
    json["clock_source"] = or_null(machine.clock_source);
    json["thp"] = or_null(machine.thp);
    json["thp_shared_memory"] = or_null(machine.thp_shared_memory);
    json["huge_pages"] = nullptr;
    for (const auto& [page_kib, total, free] : machine.huge_pages)
        json["huge_pages"].push_back({{"page_kib", page_kib}, {"total", total}, {"free", free}});
    json["autogroup"] = or_null(machine.autogroup);
    json["load_average"] = or_null(machine.load_average);
    json["steal_ticks"] = nullptr;
    for (const CpuTicks& ticks : machine.cpu_ticks)
        json["steal_ticks"][std::to_string(ticks.cpu)] = ticks.steal;
    json["perf_event_paranoid"] = or_null(machine.perf_event_paranoid);
    json["syscall_tracepoint"] = machine.syscall_tracepoint;
    json["hardware_counters"] = or_null(machine.hardware_counters);
    for (const auto& [name, value] : machine.limits)
        json["limits"][name] = value == unlimited ? "unlimited" : or_null(value);
    return json;
}

nlohmann::ordered_json describe_machine() {
    const Commit commit = source_commit(IPCLAB_SOURCE_DIR);
    const Machine machine = read_machine();
    const ClockCost clock = measure_clock();
    nlohmann::ordered_json json;
    json["utc"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    json["host"] = or_null(first_line("/proc/sys/kernel/hostname"));
    json["commit"] = commit.name;
    json["dirty"] = or_null(commit.dirty);
    json.update(describe(machine));
    json["compiler"] = compiler();
    json["flags"] = IPCLAB_COMPILE_FLAGS;
    json["build_type"] = IPCLAB_BUILD_TYPE;
    json["clock_read_ns"] = clock.read_ns;
    json["clock_step_ns"] = clock.step_ns;
    return json;
}

}  // namespace ipclab
