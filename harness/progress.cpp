#include "harness/progress.hpp"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace ipclab {
namespace {

constexpr std::chrono::milliseconds redraw_interval{100};

double seconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

}  // namespace

Progress::Progress() : terminal_(::isatty(STDOUT_FILENO) == 1) {
    winsize size{};
    if (terminal_ && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns_ = size.ws_col;
}

Progress::~Progress() { clear(); }

void Progress::before_row(std::string_view scenario, std::string_view task, int round,
                          std::size_t rows_done, std::size_t rows_left,
                          std::chrono::nanoseconds elapsed, std::chrono::nanoseconds budget) {
    const auto now = Clock::now();
    if (!terminal_ || now - last_drawn_ < redraw_interval) return;
    last_drawn_ = now;
    const double spent_s = seconds(elapsed);
    const double at_this_pace_s =
        rows_done == 0 ? seconds(budget)
                       : spent_s / static_cast<double>(rows_done) * static_cast<double>(rows_left);
    const double left_s = std::clamp(seconds(budget) - spent_s, 0.0, at_this_pace_s);
    std::string line = fmt::format("{:3.0f} %  {:.0f} s left  {} round {}: {}",
                                   100 * spent_s / std::max(spent_s + left_s, 1e-9), left_s,
                                   scenario, round, task);
    line.resize(std::min(line.size(), columns_ - 1));
    fmt::print("\r{}\x1b[K", line);
    std::fflush(stdout);
}

void Progress::after_round(std::string_view scenario, int round, int rounds_max,
                           std::size_t cells_left, std::chrono::nanoseconds elapsed,
                           std::chrono::nanoseconds budget) {
    if (terminal_) return;
    fmt::print(
        "{}: round {} of at most {} done, {} cells still to be narrowed, {:.1f} s of {:.0f} s\n",
        scenario, round, rounds_max, cells_left, seconds(elapsed), seconds(budget));
    std::fflush(stdout);
}

void Progress::say(std::string_view line) {
    clear();
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

void Progress::clear() {
    if (!terminal_) return;
    fmt::print("\r\x1b[K");
    std::fflush(stdout);
}

}  // namespace ipclab
