#include "harness/text.hpp"

#include <algorithm>

namespace ipclab {

std::size_t width_of(std::string_view text) {
    const auto begins_character = [](char c) { return (static_cast<unsigned char>(c) >> 6U) != 2; };
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string flush_left(std::string_view text, std::size_t width) {
    std::string flushed(text);
    flushed.append(width - std::min(width, width_of(text)), ' ');
    return flushed;
}

std::string flush_right(std::string_view text, std::size_t width) {
    std::string flushed(width - std::min(width, width_of(text)), ' ');
    return flushed.append(text);
}

std::string paragraph(std::string_view text, std::size_t width, std::string_view first) {
    std::string lines(first);
    std::size_t column = width_of(first);
    const std::size_t indent = column;
    for (;;) {
        text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
        if (text.empty()) break;
        const std::string_view word = text.substr(0, text.find_first_of(" \n"));
        text.remove_prefix(word.size());
        if (column > indent && column + 1 + width_of(word) > width) {
            lines.append("\n").append(indent, ' ');
            column = indent;
        } else if (column > indent) {
            lines.append(" ");
            ++column;
        }
        lines.append(word);
        column += width_of(word);
    }
    return lines.append("\n");
}

std::string in_columns(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) line += flush_left(row[i], widths[i] + 2);
        line.erase(line.find_last_not_of(' ') + 1);
        text.append(line).append("\n");
    }
    return text;
}

}  // namespace ipclab
