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

}  // namespace ipclab
