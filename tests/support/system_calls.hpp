// How many system calls a message costs, counted by strace(1).
#pragma once

#include "tests/support/any_mechanism.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ipclab::test {

struct CallCounts {
    int by_sender;
    int by_receiver;
    std::string listing;  ///< the last calls of both, for a person
};

/// Runs a sender and a receiver of `messages` messages under strace.
///
/// `awake`: each message is sent while the receiver looks elsewhere, and received once it is there:
/// nobody waits. Else each is sent when the receiver has been seen asleep.
///
/// Not counted: what the two do to keep in step (they sleep, and read /proc/PID/stat); yields and
/// waits that ended in vain, since they are as many as time permits; the same for the looks at a
/// peer's presence and the returns from the handler of a tick.
CallCounts count_system_calls(const Entry& entry, bool awake, int messages);

/// Why calls cannot be counted here; empty where they can.
std::optional<std::string> why_not_countable();

/// To be called at the start of main: in the process that is counted, sends and receives, and
/// returns the exit status; else nothing.
std::optional<int> run_as_counted(const std::vector<std::string>& arguments);

}  // namespace ipclab::test
