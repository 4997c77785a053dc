// What a process has left in the system. Other tests may run at the same time: what counts is what
// bears the number of this process, or lies in an IPC namespace of its own.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <sys/types.h>
#include <unistd.h>

namespace ipclab::test {

/// Gives this process System V ids and message queues that nobody else on the machine sees, and as
/// many bytes in queues as it likes. Does what is permitted: all of it for root, else nothing.
void withdraw_from_the_neighbours();

/// The registry file that process `pid` of user `uid` keeps, if any.
std::optional<std::filesystem::path> registry_of(pid_t pid, uid_t uid = ::geteuid());

/// Everything there is that process `pid` of user `uid` made, in the words of sweep_leftovers():
/// what bears its number where names can be listed, and what it registered where they cannot.
std::set<std::string> objects_of(pid_t pid, uid_t uid = ::geteuid());

/// Sweeps until `swept` holds: a process of another test beside this one may have begun to sweep
/// the same first, and be killed at it.
void sweep_until(const std::function<bool()>& swept);

/// Of an object as objects_of() tells it: its permissions, such as 0600.
mode_t mode_of(const std::string& object);

/// System V memory, semaphores and queues, as ipcs(1) would list them; none where they are not
/// this process's alone.
std::set<std::string> system_v_ids();

}  // namespace ipclab::test
