// The ways to bring a message across, as something that a pair of processes can be told to do.
#pragma once

#include "harness/copy_or_map/transfer.hpp"
#include "harness/subject.hpp"

#include <memory>

namespace ipclab {

/// Creates what the transfer takes: kernel objects without names, or the mechanism that copies.
/// Throws IpcError, and std::invalid_argument for an unknown mechanism.
std::unique_ptr<Subject> create_subject(const Transfer& transfer);

}  // namespace ipclab
