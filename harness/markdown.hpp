// Text in tables of Markdown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ipclab {

/// Text as it may stand in a table: that cannot hold a bar or a line's end, and a `~` may strike
/// text out.
std::string markdown_cell(std::string_view text);

void append_markdown_row(std::string& text, const std::vector<std::string>& row);
void append_markdown_header(std::string& text, const std::vector<std::string>& header);

}  // namespace ipclab
