// Text in columns: for output that people read on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// Columns that UTF-8 text takes: its characters, not its bytes. Text of ours has none that are
/// wide or combining.
std::size_t width_of(std::string_view text);

/// Filled up with spaces to `width` columns, at its right end or at its left.
std::string flush_left(std::string_view text, std::size_t width);
std::string flush_right(std::string_view text, std::size_t width);

/// A paragraph in lines of at most `width` columns, each ended by a newline; a word that is longer
/// has a line of its own. The first line begins with `first`, the others with as many spaces.
std::string paragraph(std::string_view text, std::size_t width, std::string_view first = "");

/// Rows of cells, two spaces apart, in columns as wide as they need; each row ended by a newline.
std::string in_columns(const std::vector<std::vector<std::string>>& rows);

}  // namespace ipclab
