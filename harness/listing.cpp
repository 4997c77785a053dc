#include "harness/listing.hpp"

#include "harness/subject.hpp"
#include "harness/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>

namespace ipclab {
namespace {

struct Table {
    std::string title;
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;
    std::string note;
};

/// What several mechanisms of a family may share.
struct Lesson {
    std::vector<std::string_view> mechanisms;
    std::string folder;
    std::string sentence;
};

// ---- facts in words ----

std::string in_words(Dialect sender, Dialect receiver) {
    const auto word = [](Dialect d) {
        return d == Dialect::copies ? "copies" : d == Dialect::lends ? "lends" : "notifies";
    };
    return sender == receiver ? word(sender)
                              : fmt::format("{}, then {}", word(sender), word(receiver));
}

std::string in_words(SystemCalls calls) {
    return calls.peer_awake == calls.peer_asleep
               ? fmt::format("{}", calls.peer_awake)
               : fmt::format("{} / {}", calls.peer_awake, calls.peer_asleep);
}

std::string in_words(Addressing addressing) {
    switch (addressing) {
    case Addressing::inherited:
        return "inherited";
    case Addressing::object_name:
        return "object name";
    case Addressing::file_name:
        return "file name";
    case Addressing::key_file:
        return "key of a file";
    case Addressing::abstract_name:
        return "abstract name";
    case Addressing::port:
        break;
    }
    return "port";
}

std::string in_words(Naming naming) {
    return naming == Naming::direct ? "the process" : "the object";
}

std::string in_words(Guard guard) {
    switch (guard) {
    case Guard::inheritance:
        return "inheritance";
    case Guard::mode_0600:
        return "mode 0600";
    case Guard::peer_credentials:
        return "peer credentials";
    case Guard::ptrace_access:
        return "ptrace access";
    case Guard::nothing_but_the_port:
        break;
    }
    return "nothing but the port";
}

std::string in_words(Delivery delivery) {
    return delivery == Delivery::reliable ? "reliable" : "may lose";
}

std::string in_words(AfterAKill after) {
    return after == AfterAKill::survivor_is_told ? "is told" : "may hang";
}

std::string in_words(Connects connects) {
    return connects == Connects::any_process ? "any process" : "related processes";
}

std::string in_words(Lifetime lifetime) {
    switch (lifetime) {
    case Lifetime::process:
        return "process";
    case Lifetime::kernel:
        return "kernel";
    case Lifetime::file_system:
        break;
    }
    return "file system";
}

std::string in_words(bool yes) { return yes ? "yes" : "no"; }

std::string in_words(int senders, int receivers) {
    const auto word = [](int n) {
        return n == std::numeric_limits<int>::max() ? "many" : fmt::format("{}", n);
    };
    return fmt::format("{} × {}", word(senders), word(receivers));
}

Table costs(const std::vector<Facts>& mechanisms) {
    Table table{"What a message costs",
                {"mechanism", "dialect", "copies", "calls to send", "calls to receive", "waits",
                 "largest message", "capacity"},
                {},
                "copies: of the payload by the mechanism; what lends may be used in place, or be "
                "made to copy at both ends. calls: system calls per message, with the other side "
                "awake / asleep. largest message: that travels whole; larger ones travel in "
                "pieces. capacity: unread payload before a sender waits, unless more is asked."};
    for (const Facts& m : mechanisms)
        table.rows.push_back({std::string(m.name), in_words(m.sender, m.receiver),
                              fmt::format("{}", m.copies), in_words(m.send_calls),
                              in_words(m.receive_calls), std::string(name_of(m.waiting)),
                              std::string(m.message_bytes_max), std::string(m.capacity)});
    return table;
}

Table access(const std::vector<Facts>& mechanisms) {
    Table table{
        "Who may talk to whom",
        {"mechanism", "found by", "sender names", "connects", "guarded by", "senders × receivers"},
        {},
        "sender names: the process that is to receive (direct communication), or an object "
        "in between (indirect). guarded by: what keeps other users out."};
    for (const Facts& m : mechanisms)
        table.rows.push_back({std::string(m.name), in_words(m.addressing), in_words(m.naming),
                              in_words(m.connects), in_words(m.guard),
                              in_words(m.senders, m.receivers)});
    return table;
}

Table promises(const std::vector<Facts>& mechanisms) {
    Table table{"What it keeps",
                {"mechanism", "both ways", "boundaries", "priorities", "delivery",
                 "lives as long as", "unread outlives sender", "who survives a killed peer"},
                {},
                "both ways: one object carries both directions. boundaries: whether the kernel "
                "object itself keeps messages apart, before any framing of ours. delivery: whether "
                "a message that was sent may be lost while both live. unread outlives sender: "
                "whether it can be read after its sender was killed. who survives a killed peer: "
                "is told by an error within a second, or may wait for ever, as its lesson tells."};
    for (const Facts& m : mechanisms)
        table.rows.push_back({std::string(m.name), in_words(m.two_way),
                              in_words(m.keeps_boundaries), in_words(m.priorities),
                              in_words(m.delivery), in_words(m.lifetime),
                              in_words(m.unread_outlives_sender), in_words(m.after_a_kill)});
    return table;
}

std::vector<Lesson> lessons(const std::vector<Facts>& mechanisms) {
    std::vector<Lesson> all;
    for (const Facts& m : mechanisms) {
        if (!all.empty() && all.back().sentence == m.lesson)
            all.back().mechanisms.push_back(m.name);
        else
            all.push_back(
                {{m.name}, fmt::format("mechanisms/{}/", m.family), std::string(m.lesson)});
    }
    return all;
}

// ---- for a terminal ----

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (;;) {
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        if (text.empty()) return words;
        words.push_back(text.substr(0, text.find(' ')));
        text.remove_prefix(words.back().size());
    }
}

std::vector<std::string> lines_of(std::string_view text, std::size_t width) {
    std::istringstream wrapped(paragraph(text, width));
    std::vector<std::string> lines;
    for (std::string line; std::getline(wrapped, line);) lines.push_back(line);
    return lines;
}

constexpr std::size_t gap = 2;  // between two columns

/// As wide as the widest cell; then, while the table is too wide, the widest column gives way.
std::vector<std::size_t> column_widths(const Table& table, std::size_t columns) {
    std::vector<std::size_t> widths(table.header.size());
    std::vector<std::size_t> least(table.header.size());
    const auto make_room = [&](const std::vector<std::string>& row) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], width_of(row[i]));
            for (const std::string_view word : words_of(row[i]))
                least[i] = std::max(least[i], width_of(word));
        }
    };
    make_room(table.header);
    for (const auto& row : table.rows) make_room(row);

    const auto total = [&] {
        std::size_t sum = gap * (widths.size() - 1);
        for (const std::size_t width : widths) sum += width;
        return sum;
    };
    while (total() > columns) {
        std::size_t widest = widths.size();
        for (std::size_t i = 0; i < widths.size(); ++i)
            if (widths[i] > least[i] && (widest == widths.size() || widths[i] > widths[widest]))
                widest = i;
        if (widest == widths.size()) break;
        --widths[widest];
    }
    return widths;
}

void append_line(std::string& text, std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
}

void append_row(std::string& text, const std::vector<std::string>& row,
                const std::vector<std::size_t>& widths) {
    std::vector<std::vector<std::string>> cells;
    std::size_t height = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
        cells.push_back(lines_of(row[i], widths[i]));
        height = std::max(height, cells.back().size());
    }
    for (std::size_t y = 0; y < height; ++y) {
        std::string line;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            line += flush_left(y < cells[i].size() ? cells[i][y] : "", widths[i] + gap);
        }
        append_line(text, line);
    }
}

// ---- for a page ----

/// A cell of a Markdown table cannot hold a bar or a line's end.
std::string cell(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (c == '|') escaped += '\\';
        escaped += c == '\n' ? ' ' : c;
    }
    return escaped;
}

void append_markdown_row(std::string& text, const std::vector<std::string>& row) {
    text += '|';
    for (const std::string& entry : row) text += fmt::format(" {} |", cell(entry));
    text += '\n';
}

}  // namespace

std::string list_as_text(const std::vector<Facts>& mechanisms, std::size_t columns) {
    const std::size_t prose = std::min<std::size_t>(columns, 100);
    std::string text;
    for (const Table& table : {costs(mechanisms), access(mechanisms), promises(mechanisms)}) {
        const std::vector<std::size_t> widths = column_widths(table, columns);
        text += table.title + "\n\n";
        append_row(text, table.header, widths);
        std::string rule;
        for (const std::size_t width : widths) rule += std::string(width, '-') + "  ";
        append_line(text, rule);
        for (const auto& row : table.rows) append_row(text, row, widths);
        text += '\n' + paragraph(table.note, prose) + '\n';
    }
    text += "What to remember\n\n";
    for (const Lesson& lesson : lessons(mechanisms)) {
        text += paragraph(fmt::format("{} ({})", fmt::join(lesson.mechanisms, ", "), lesson.folder),
                          prose);
        text += paragraph(lesson.sentence, prose, "    ");
    }
    return text;
}

std::string list_as_markdown(const std::vector<Facts>& mechanisms) {
    std::string text;
    for (Table& table : std::vector{costs(mechanisms), access(mechanisms), promises(mechanisms)}) {
        for (auto& row : table.rows) row.front() = fmt::format("`{}`", row.front());
        text += fmt::format("**{}**\n\n", table.title);
        append_markdown_row(text, table.header);
        append_markdown_row(text, std::vector<std::string>(table.header.size(), "---"));
        for (const auto& row : table.rows) append_markdown_row(text, row);
        text += fmt::format("\n{}\n\n", table.note);
    }
    text += "**What to remember**\n\n";
    for (const Lesson& lesson : lessons(mechanisms))
        text += fmt::format("- `{}` (`{}`): {}\n", fmt::join(lesson.mechanisms, "`, `"),
                            lesson.folder, lesson.sentence);
    return text;
}

}  // namespace ipclab
