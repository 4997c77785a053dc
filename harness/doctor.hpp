// What on this machine will disturb the figures of a run or limit what can be measured, and what
// the reader can do about each point.
#pragma once

#include "harness/machine.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ipclab {

enum class Verdict {
    fine,
    disturbs,  ///< figures scatter, or hold only for the state that the machine is in
    limits,    ///< something cannot be measured, or only below a bound
    unknown,   ///< this machine does not tell
};

struct Finding {
    std::string what;
    std::string found;
    Verdict verdict;
    std::string consequence = {};  ///< for the figures; may be empty if the verdict is fine
    std::string remedy = {};       ///< what to do; never empty if it disturbs or limits
    std::string command = {};      ///< what to type for it, line by line; empty if that is nothing
};

/// What the CPUs did while the doctor watched, in CPUs: 1.5 is one and a half.
struct Load {
    double busy;
    double stolen;
};
/// Nothing where the two readings do not list the same CPUs, or no tick lies between them.
std::optional<Load> load_between(const std::vector<CpuTicks>& before,
                                 const std::vector<CpuTicks>& after);

/// One finding per point, always all of them, in the same order. `load` is of programs other than
/// this one; `build_type` is this program's.
std::vector<Finding> examine(const Machine& machine, std::optional<Load> load,
                             const std::string& build_type);

/// The findings as a text for people, at most 100 columns wide except commands, which stand whole.
std::string format_findings(const std::vector<Finding>& findings);

/// Watches the machine for a second, prints what it found, changes nothing. Returns the program's
/// exit status: 0, because a finding is advice.
int run_doctor();

}  // namespace ipclab
