// A mechanism under measurement, with its type forgotten. This is the one place where a call goes
// through a pointer, and it does so once in the life of a process; the loops inside are templates.
#pragma once

#include "harness/cell.hpp"
#include "harness/pair.hpp"
#include "mechanisms/mechanism.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

class Subject {
  public:
    Subject() = default;
    Subject(const Subject&) = delete;
    Subject& operator=(const Subject&) = delete;
    virtual ~Subject() = default;  ///< destroys the mechanism's objects

    /// In each of the two processes: attaches and carries out orders until told to quit.
    virtual void converse(Player& player) = 0;
    /// In the process that commands them.
    virtual void stand_aside() = 0;
};

/// Creates the cell's mechanism. Throws IpcError, and std::invalid_argument for an unknown name.
std::unique_ptr<Subject> create_subject(const Cell& cell);

/// Why this cell is not measured here; nothing where it is. `cpus` is how many the process may use.
std::optional<std::string> reason_to_skip(const Cell& cell, std::size_t cpus,
                                          bool pure_spin_on_one_cpu);

/// The facts of all mechanisms, in the catalogue's order.
const std::vector<Facts>& catalog_facts();
/// Throws std::invalid_argument for an unknown name.
const Facts& facts_of(std::string_view mechanism);

constexpr std::string_view name_of(Waiting waiting) {
    switch (waiting) {
    case Waiting::sleeps:
        return "sleeps";
    case Waiting::spins:
        return "spins";
    case Waiting::spins_yielding:
        return "spins, yielding";
    case Waiting::polls_sleeping:
        return "polls, sleeping";
    case Waiting::spins_then_sleeps:
        break;
    }
    return "spins then sleeps";
}

}  // namespace ipclab
