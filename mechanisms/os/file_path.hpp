// Where an object that has a path is made.
#pragma once

#include "mechanisms/os/named_object.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <string>

namespace ipclab {

/// The absolute form of the path that a user asked for; a fresh one, in a folder that is the user's
/// own, where that is empty.
inline std::string file_path(const std::string& asked, const std::string& word) {
    if (!asked.empty()) return std::filesystem::absolute(asked).string();
    return fmt::format("{}/{}", runtime_folder(), fresh_name(word));
}

}  // namespace ipclab
