#include "harness/quiet.hpp"

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/error.hpp"

#include <csignal>
#include <cstdio>
#include <fstream>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ipclab {
namespace {

constexpr const char* autogroup_file = "/proc/self/autogroup";

[[noreturn]] void spin_idly(int cpu, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    const sched_param lowest{};
    if (::getppid() != parent || ::sched_setaffinity(0, sizeof set, &set) == -1 ||
        ::sched_setscheduler(0, SCHED_IDLE, &lowest) == -1)
        ::_exit(1);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
    for (;;) SystemAtomics::relax();
}

}  // namespace

KeepAwake::KeepAwake(const std::vector<int>& cpus) {
    const pid_t parent = ::getpid();
    for (const int cpu : cpus) {
        const pid_t child = must(::fork(), "fork");
        if (child == 0) spin_idly(cpu, parent);
        spinners_.push_back(child);
    }
}

KeepAwake::~KeepAwake() {
    for (const pid_t spinner : spinners_) {
        ::kill(spinner, SIGKILL);
        while (::waitpid(spinner, nullptr, 0) == -1 && errno == EINTR) {
        }
    }
}

AutogroupPriority::AutogroupPriority() {
    // "/autogroup-123 nice 0"
    std::string group;
    std::string word;
    if (!(std::ifstream(autogroup_file) >> group >> word >> nice_before_))
        throw Unsupported("autogroup",
                          "this kernel has none, or it is switched off; leave the option out");
    std::ofstream file(autogroup_file);
    file << nice << std::flush;
    if (!file)
        throw Unsupported("autogroup", "only root may raise it; leave the option out", EPERM);
}

AutogroupPriority::~AutogroupPriority() { std::ofstream(autogroup_file) << nice_before_; }

}  // namespace ipclab
