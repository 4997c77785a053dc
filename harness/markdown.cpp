#include "harness/markdown.hpp"

#include <fmt/format.h>

namespace ipclab {

std::string markdown_cell(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '|' || c == '*' || c == '~' || c == '<') safe += '\\';
        safe += c == '\n' ? ' ' : c;
    }
    return safe;
}

void append_markdown_row(std::string& text, const std::vector<std::string>& row) {
    text += '|';
    for (const std::string& entry : row) text += fmt::format(" {} |", entry);
    text += '\n';
}

void append_markdown_header(std::string& text, const std::vector<std::string>& header) {
    append_markdown_row(text, header);
    append_markdown_row(text, std::vector<std::string>(header.size(), "---"));
}

}  // namespace ipclab
