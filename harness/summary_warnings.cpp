#include "harness/copy_or_map/report.hpp"
#include "harness/multi_queue/findings.hpp"
#include "harness/summary_tables.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

namespace ipclab {
namespace {

/// "1 cell", "7 cells".
std::string counted(std::size_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

template <class Test>
std::size_t cells_where(const Summary& summary, Test&& test) {
    return static_cast<std::size_t>(
        std::count_if(summary.cells.begin(), summary.cells.end(), test));
}

std::size_t rows_left_out(const Summary& summary, std::size_t LeftOut::*reason) {
    std::size_t rows = 0;
    for (const CellSummary& cell : summary.cells) rows += cell.left_out.*reason;
    return rows;
}

// Each of these says nothing where there is nothing to say.

std::string of_build(const Summary& summary) {
    const auto type = summary.context.find("build_type");
    if (type == summary.context.end() || !type->is_string() || *type == "Release") return "";
    return fmt::format("The program was built as {}: its figures say little. Build the preset "
                       "`release` (scripts/run does).",
                       type->get<std::string>());
}

std::string of_distance(const Summary& summary, Placement placement) {
    const PlacementSummary& found = summary.placements.at(placement);
    if (found.other_distances.empty()) return "";
    std::size_t left_out = 0;
    std::string classes;
    for (const auto& [distance, rows] : found.other_distances) {
        left_out += rows;
        classes += fmt::format("{}{} in {}", classes.empty() ? "" : ", ", distance, rows);
    }
    const std::size_t lost = cells_where(summary, [&](const CellSummary& cell) {
        return cell.cell.placement == placement && cell.state == CellState::other_distance;
    });
    const auto hypervisor = summary.context.find("hypervisor");
    const bool guest = hypervisor != summary.context.end() && !hypervisor->is_null();
    std::string text = fmt::format(
        "{} {} {} not count: the reference beside {} says {}, where most say {}",
        counted(left_out, "row"), placement == Placement::same_cpu ? "on one CPU" : "on two CPUs",
        left_out == 1 ? "does" : "do", left_out == 1 ? "it" : "them", classes, found.distance);
    if (lost > 0) text += fmt::format("; that leaves {} without a figure", counted(lost, "cell"));
    return text + (guest ? ". The host moves the virtual CPUs: run again, and compare runs only "
                           "where the reference is of one class."
                         : ". Look for a changing clock with `ipclab doctor`, and run again.");
}

std::string of_disturbance(const Summary& summary) {
    const std::size_t left_out = rows_left_out(summary, &LeftOut::disturbed);
    const std::size_t only = cells_where(
        summary, [](const CellSummary& cell) { return cell.state == CellState::only_disturbed; });
    if (left_out + only == 0) return "";
    std::string text;
    if (left_out > 0)
        text += fmt::format("{} lost too much time to other load and {} not count. ",
                            counted(left_out, "row"), left_out == 1 ? "does" : "do");
    if (only > 0)
        text += fmt::format("{} shown from disturbed rows, for want of others (d). ",
                            counted(only, "cell") + (only == 1 ? " is" : " are"));
    return text + "Stop other work on this machine and run again; `ipclab doctor` says what "
                  "disturbs it.";
}

std::string of_failures(const Summary& summary) {
    const std::size_t rows = rows_left_out(summary, &LeftOut::failed);
    if (rows == 0) return "";
    const auto failed = std::find_if(summary.cells.begin(), summary.cells.end(),
                                     [](const CellSummary& c) { return c.left_out.failed > 0; });
    return fmt::format(
        "{} failed, first in {} ({}). See whether it does so again: `ipclab run {} "
        "--mechanism {}{}`.",
        counted(rows, "row"), failed->cell.mechanism,
        failed->reasons.empty() ? "no reason given" : failed->reasons.front(), failed->scenario,
        failed->cell.mechanism,
        failed->cell.size_bytes > 0 ? fmt::format(" --size {}", failed->cell.size_bytes) : "");
}

/// How the run ended, and what to do for narrower intervals.
std::tuple<std::string, std::string> end_and_remedy(const Summary& summary) {
    const std::string names = scenarios_of(summary);
    if (!summary.stopped_by)
        return {summary.torn_tail ? "The run was killed while it wrote a row, which is left out"
                                  : "The run was killed before its end",
                "Run it again to the end."};
    if (*summary.stopped_by == "interrupt")
        return {"The run was interrupted", "Run it again to the end."};
    if (*summary.stopped_by == "budget")
        return {"The budget was spent",
                fmt::format("Raise `budget` in the scenario ({}), measure "
                            "less at a time (--mechanism, --size), or close "
                            "other work.",
                            names)};
    if (*summary.stopped_by == "rounds")
        return {"All rounds were run",
                fmt::format("Raise `rounds_max` in the scenario ({}) or --rounds, or close other "
                            "work.",
                            names)};
    return {"Rows were left out", "Run again."};
}

std::string of_width(const Summary& summary) {
    const auto target = summary.context.find("interval_width_target");
    const bool has_target = target != summary.context.end() && target->is_number();
    const double width = has_target ? target->get<double>() : 0;
    std::size_t few = 0;
    std::size_t wide = 0;
    for (const CellSummary& cell : summary.cells) {
        if (!cell.has_figures()) continue;
        const auto& interval = cell.figure_ns.interval;
        if (!interval)
            ++few;
        else if (has_target && 2 * interval->half_width() > width * cell.figure_ns.median)
            ++wide;
    }
    const auto [end, remedy] = end_and_remedy(summary);
    const bool cut_short = !summary.stopped_by || *summary.stopped_by == "interrupt";
    if (few + wide == 0 && !cut_short) return "";
    std::string text = end;
    if (wide > 0)
        text += fmt::format("; {} with wider intervals than ±{:.3g} %", counted(wide, "cell"),
                            50 * width);
    if (few > 0)
        text += fmt::format("; {} with fewer than six pairs, and so with no interval",
                            counted(few, "cell"));
    return text + ". " + remedy;
}

std::string of_kernels(const Summary& summary) {
    const std::size_t bound =
        cells_where(summary, [](const CellSummary& c) { return c.bound_by.has_value(); });
    if (bound == 0) return "";
    return fmt::format("{} bounded by writing or checking the payload (*), which is the same work "
                       "for all: do not rank mechanisms by {}, use the other cells.",
                       counted(bound, "cell") + (bound == 1 ? " is" : " are"),
                       bound == 1 ? "it" : "them");
}

std::string of_outliers(const Summary& summary) {
    std::size_t outliers = 0;
    std::size_t pairs = 0;
    for (const CellSummary& cell : summary.cells) {
        outliers += cell.outliers;
        pairs += cell.pairs.size();
    }
    if (outliers == 0) return "";
    return fmt::format(
        "{} of {} lie far from the others of their cell. They are counted; for which "
        "cells, see summary.md.",
        outliers, counted(pairs, "pair"));
}

std::string of_closed_loop(const Summary& summary) {
    const bool closed = std::any_of(summary.cells.begin(), summary.cells.end(),
                                    [](const CellSummary& cell) { return cell.closed_loop; });
    if (!closed) return "";
    return "Percentiles of round trips are service times: a message is sent when the last was "
           "answered, so none ever queues (closed loop). Do not read them as delays under load; "
           "measure those at the rate at which your messages arrive.";
}

std::string of_no_rows(const Summary& summary) {
    if (summary.rows > 0) return "";
    return "The run ended before it measured anything. Run it again.";
}

}  // namespace

std::vector<std::string> warnings_of(const Summary& summary) {
    std::vector<std::string> all{of_build(summary), of_no_rows(summary)};
    if (summary.rows > 0) {
        for (const auto& [placement, found] : summary.placements)
            all.push_back(of_distance(summary, placement));
        for (const auto& warning :
             {of_disturbance(summary), of_failures(summary), of_width(summary), of_kernels(summary),
              of_outliers(summary), of_closed_loop(summary)})
            all.push_back(warning);
        if (summary.copy_or_map)
            for (const std::string& warning : warnings_of(*summary.copy_or_map))
                all.push_back(warning);
        if (summary.multi_queue)
            for (const std::string& warning : warnings_of(*summary.multi_queue))
                all.push_back(warning);
    }
    std::erase(all, "");
    return all;
}

}  // namespace ipclab
