// What a person sees while the figures are made: one line that is rewritten on a terminal, a line a
// round elsewhere.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace ipclab {

class Progress {
  public:
    using Clock = std::chrono::steady_clock;

    Progress();
    ~Progress();  ///< leaves the cursor at the start of a clean line
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// `task` is what the row is about; `rows_left` is how many rows are still to be measured if
    /// nothing is cut short; the time left is what they will take at the pace so far, or what the
    /// budget leaves, whichever is less.
    void before_row(std::string_view scenario, std::string_view task, int round,
                    std::size_t rows_done, std::size_t rows_left, std::chrono::nanoseconds elapsed,
                    std::chrono::nanoseconds budget);
    void after_round(std::string_view scenario, int round, int rounds_max, std::size_t cells_left,
                     std::chrono::nanoseconds elapsed, std::chrono::nanoseconds budget);
    /// A line that stays.
    void say(std::string_view line);

  private:
    void clear();

    bool terminal_;
    std::size_t columns_ = 80;
    Clock::time_point last_drawn_{};
};

}  // namespace ipclab
