#!/usr/bin/python3
"""Draws the plots of one run: RESULTS-DIR/run.jsonl becomes RESULTS-DIR/plots/*.svg and *.png.

Colour is the mechanism's family, the marker is the mechanism, a hollow marker is use in place, and
the line's style is how the two processes wait. More series than a reader can tell apart get a panel
for each family, on the same axes, in which colour is the mechanism. Each plot below opens with how to read it; that
sentence also stands under the figure.
"""

import argparse
import math
import re
from pathlib import Path

import drawing  # first: it says what to install where matplotlib is missing

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

import copy_or_map_plots
import multi_queue_plots
import ring_plots
from drawing import (INTERVALS, MARGIN, MORE_COLOURS, PALETTE, NotAsked, NothingToDraw, dress, log_axis, save,
                     set_up, size_axis)
from results import (NO_PAYLOAD, BadResults, common_size, cpu_ns_per_message, figure, load, load_copy_or_map,
                     median_interval, percentile_points, rate_text, size_text, time_text)
from series import (BANDS, FAMILIES, PATTERNS, colour_of, draw_line, finish, key_handles, put_titles, select)

SIDES = ("initiator", "responder")
SERIES_ON_A_SHEET = 12
AXES_WIDTH = 6.4  # inches


def latency(run, placement, _):
    """Each point is the median over process pairs of the median round trip, there and back, of a
    message of that size; lower is better, and a straight slope of one means a cost per byte."""
    picked = select(run, "ping_pong", placement)
    lines = {series: picked.points(series, lambda row: row["round_trip_ns"]["p50"]) for series in picked.series}

    def scales(axes):
        size_axis(axes, picked.sizes)
        log_axis(axes, time_text, "round-trip time (median)")

    axes = line_sheet(picked, "Round-trip time by message size", lines, scales)
    return finish(axes, picked, latency, BANDS, averaged(picked))


def throughput(run, placement, _):
    """Each point is the median over process pairs of the payload bytes per second that one process
    streams to another in messages of that size; higher is better."""
    picked = select(run, "stream", placement)
    lines = {series: picked.points(series, lambda row: row["bytes_per_s"]) for series in picked.series}

    def scales(axes):
        size_axis(axes, picked.sizes)
        log_axis(axes, rate_text, "payload throughput (median)")

    axes = line_sheet(picked, "Throughput by message size", lines, scales)
    return finish(axes, picked, throughput, BANDS)


def distribution(run, placement, size):
    """Each point says that this share of the round trips took at most this long: the further right
    a line stays flat, the rarer are its slow messages."""
    picked = select(run, "ping_pong", placement, size or common_size(run, "ping_pong", placement))
    lines = {series: percentile_points(rows) for series, cells in picked.series.items()
             for rows in cells.values()}
    if not any(lines.values()):
        raise NothingToDraw("no row has percentiles")

    def scales(axes):
        percent_axis(axes)
        log_axis(axes, time_text, "round-trip time")

    axes = line_sheet(picked, f"Distribution of round-trip times at {size_text(picked.size)}",
                      lines, scales)
    return finish(axes, picked, distribution, "Each percentile is the median over process pairs, "
                  "shown where half of them have enough samples for it.",
                  BANDS, averaged(picked), closed_loop(picked))


def cpu_ping_pong(run, placement, size):
    """Each pair of bars is the CPU time that the two processes spend per message in a ping-pong,
    where a round trip is two messages; shorter is better. A process that spins is never idle."""
    return cpu(run, "ping_pong", placement, size, cpu_ping_pong)


def cpu_stream(run, placement, size):
    """Each pair of bars is the CPU time that the sending process (initiator) and the receiving one
    (responder) spend per message of a stream; shorter is better."""
    return cpu(run, "stream", placement, size, cpu_stream)


def capacity_stream(run, placement, size):
    """Each point is the payload throughput when the mechanism was asked for room for so many unread
    bytes; the star is the mechanism's default, at the capacity that was found; higher is better."""
    return capacity(run, "stream", placement, size, capacity_stream)


def capacity_ping_pong(run, placement, size):
    """Each point is the median round trip when the mechanism was asked for room for so many unread
    bytes; the star is the mechanism's default, at the capacity that was found; lower is better."""
    return capacity(run, "ping_pong", placement, size, capacity_ping_pong)


def lifecycle(run, placement, _):
    """Each panel is one step in the life of a mechanism's objects; each point is the median over
    process pairs, by the size of the message for which the object was made. Attach and detach are
    those of the side that takes longer; attaching may include waiting for the peer."""
    if not any(row["pattern"] == "lifecycle" for row in run.rows):
        raise NotAsked
    picked = select(run, "lifecycle", placement)
    steps = {"create": ("create_ns",), "attach": ("attach_initiator_ns", "attach_responder_ns"),
             "first message": ("first_message_ns",),
             "detach": ("detach_initiator_ns", "detach_responder_ns"), "destroy": ("destroy_ns",)}
    series_names = sorted(picked.series)
    colours = {series: MORE_COLOURS[number % len(MORE_COLOURS)]
               for number, series in enumerate(series_names)}
    panels = grid(picked, "The steps of a life by message size", len(steps) + 1, legend_width=0)
    handles = {}
    for axes, (step, keys) in zip(panels, steps.items()):
        lines = {series: picked.points(series, lambda row, keys=keys: max(
            figure(row, f"lifecycle.{key}") or math.nan for key in keys)) for series in series_names}
        for series, points in lines.items():
            handles[series] = draw_line(axes, series, points, run, colours[series], picked.sizes)
        axes.set_title(step, loc="left", fontsize=9.5, weight="bold")
        size_axis(axes, picked.sizes)
    share_y(panels[:-1], time_text, "time (median)")
    panels[-1].set_axis_off()
    panels[-1].legend(handles=list(handles.values()) + key_handles(handles), loc="upper left",
                      bbox_to_anchor=(-0.12, 1.08), frameon=False, fontsize=8.5, handlelength=3.6,
                      borderaxespad=0)
    return finish(panels[0], picked, lifecycle, BANDS)


PLOTS = {"latency": latency, "throughput": throughput, "distribution": distribution,
         "cpu-ping_pong": cpu_ping_pong, "cpu-stream": cpu_stream,
         "capacity-ping_pong": capacity_ping_pong, "capacity-stream": capacity_stream,
         "lifecycle": lifecycle, **ring_plots.PLOTS}


def cpu(run, pattern, placement, size, plot):
    picked = select(run, pattern, placement, size or common_size(run, pattern, placement))
    bars = {series: [median_interval(cpu_ns_per_message(rows, side)) for side in SIDES]
            for series, cells in picked.series.items() for rows in cells.values()}
    bars = {series: sides for series, sides in bars.items()
            if not any(math.isnan(median) for median, _, _ in sides)}
    if not bars:
        raise NothingToDraw("no row has CPU times")
    title = f"CPU time per message at {size_text(picked.size)}, {PATTERNS[pattern]}"
    crowded = len(bars) > 2 * SERIES_ON_A_SHEET
    axes = sheet(picked, title, height=0.6 + (0.28 if crowded else 0.44) * len(bars),
                 left=3.2 if crowded else 2)
    draw_bars(axes, bars, run)
    return finish(axes, picked, plot, INTERVALS.format("Whiskers"))


def capacity(run, pattern, placement, size, plot):
    asked = [row for row in run.rows if row.get("capacity_asked_bytes")
             and row["pattern"] == pattern and row["placement"] == placement]
    if not asked:
        raise NotAsked
    sizes = sorted({row["size_bytes"] for row in asked})
    size = size if size in sizes else sizes[0]
    picked = select(run, pattern, placement, size, by="capacity_asked_bytes")
    value = (lambda row: row["bytes_per_s"]) if pattern == "stream" else (
        lambda row: row["round_trip_ns"]["p50"])
    lines, defaults = {}, {}
    for series, cells in picked.series.items():
        by_capacity = {}
        for row in (row for rows in cells.values() for row in rows):
            by_capacity.setdefault(row.get("capacity_asked_bytes") or 0, []).append(row)
        rows = by_capacity.pop(0, None)
        if by_capacity:
            lines[series] = [(at, *median_interval([value(row) for row in by_capacity[at]]))
                             for at in sorted(by_capacity)]
            found = rows and median_interval([row.get("capacity_bytes") or 0 for row in rows])[0]
            if found:
                defaults[series] = (found, median_interval([value(row) for row in rows])[0])
    if not lines:
        raise NothingToDraw("no row with a capacity asked for that may be compared")
    what = "Throughput" if pattern == "stream" else "Round-trip time"
    axes = sheet(picked, f"{what} by capacity, messages of {size_text(size)}", rows=len(lines))
    draw_lines(axes, lines, run)
    for series, (x, y) in defaults.items():
        axes.plot([x], [y], marker="*", markersize=12, color=colour_of(series), linestyle="",
                  markeredgecolor="black", markeredgewidth=0.6, zorder=4)
    asked = sorted({x for points in lines.values() for x, *_ in points})
    size_axis(axes, sorted({*asked, *(int(x) for x, _ in defaults.values())}), asked)
    axes.set_xlabel("capacity asked for (star: default, at what was found)")
    log_axis(axes, *((rate_text, "payload throughput (median)") if pattern == "stream" else
                     (time_text, "round-trip time (median)")))
    return finish(axes, picked, plot, BANDS)


def sheet(picked, title, rows=0, height=0.0, left=0.9):
    """An empty figure with its titles; as high as the legend needs that will stand beside it."""
    height = height or max(4.2, 0.22 * rows + 1.9)
    page = Figure(figsize=(left + AXES_WIDTH + MARGIN, height + 2 * MARGIN))
    axes = page.add_axes((left / page.get_figwidth(), MARGIN / page.get_figheight(),
                          AXES_WIDTH / page.get_figwidth(), height / page.get_figheight()))
    put_titles(axes, picked, title, height)
    dress(axes)
    return axes


def grid(picked, title, count, legend_width=2.5):
    """Panels in two columns, or three where no legend stands beside each, under one title."""
    columns = 2 if legend_width else 3
    width, height, gap_x, gap_y = 3.7, 2.5, 0.85 + legend_width, 0.85
    rows = -(-count // columns)
    total = (MARGIN + columns * (width + gap_x), 0.5 + MARGIN + rows * (height + gap_y))
    page = Figure(figsize=total)
    panels = []
    for number in range(count):
        row, column = divmod(number, columns)
        bottom = MARGIN + 0.1 + (rows - 1 - row) * (height + gap_y)
        panels.append(page.add_axes(((MARGIN + column * (width + gap_x)) / total[0],
                                     bottom / total[1], width / total[0], height / total[1])))
        dress(panels[-1])
        panels[-1].tick_params(labelsize=8)
    top = page.add_axes((MARGIN / total[0], (total[1] - 0.7) / total[1], 1 / total[0],
                         0.01))
    top.set_axis_off()
    put_titles(top, picked, title, 0.01 * total[1])
    return panels


def share_y(panels, text, label):
    """One scale for all, labelled at the left."""
    limits = [axes.get_ylim() for axes in panels]
    low = min(axes.dataLim.ymin for axes in panels)
    high = max(top for _, top in limits)
    for axes in panels:
        axes.set_ylim(low / 1.5, high)
        log_axis(axes, text, label if axes.get_position().x0 < 0.15 else "")
        axes.set_ylim(low / 1.5, high * 1.3)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8.5)


def line_sheet(picked, title, lines, scales):
    """One sheet with all lines, or a panel per family. `scales` sets the axes' scales and labels."""
    lines = {series: points for series, points in lines.items() if points}
    if len(lines) <= SERIES_ON_A_SHEET:
        axes = sheet(picked, title, rows=len(lines))
        draw_lines(axes, lines, picked.run, picked.sizes)
        scales(axes)
        return axes
    groups = panel_groups(lines)
    panels = grid(picked, title, len(groups))
    for axes, (name, members) in zip(panels, groups):
        for series, points in lines.items():
            if series not in members and series.access != NO_PAYLOAD:
                axes.plot([x for x, *_ in points], [y for _, y, *_ in points], color="0.86",
                          linewidth=0.7, zorder=1)
        mechanisms = sorted({series.mechanism for series in members})
        handles = {series: draw_line(axes, series, lines[series], picked.run,
                                     PALETTE[mechanisms.index(series.mechanism) % len(PALETTE)],
                                     picked.sizes) for series in members}
        axes.set_title(name, loc="left", fontsize=9.5, weight="bold")
        order = sorted(members, key=lambda series: last_value(lines[series]), reverse=True)
        axes.legend(handles=[handles[series] for series in order], loc="upper left",
                    bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=7.5, handlelength=3.2,
                    borderaxespad=0, labelspacing=0.35)
        scales(axes)
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for number, axes in enumerate(panels):
        axes.set_ylim(low, high)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8.5)
        axes.tick_params(axis="x", labelrotation=0)
        if number % 2:
            axes.set_ylabel("")
    key = key_handles(lines)
    panels[0].figure.legend(handles=[*key, Line2D([], [], color="0.86", label="the other families")],
                            loc="upper right", ncols=3, frameon=False, fontsize=8,
                            handlelength=3.2, bbox_to_anchor=(0.995, 0.995))
    return panels[0]


def panel_groups(lines):
    """(title, series) of each family, of at most as many mechanisms as there are colours."""
    families = {}
    for series in sorted(lines):
        families.setdefault(series.family, []).append(series)
    groups = []
    small = []  # families of one or two, which share a panel
    for family in sorted(families, key=lambda name: (list(FAMILIES).index(name)
                                                     if name in FAMILIES else len(FAMILIES), name)):
        members = families[family]
        mechanisms = sorted({series.mechanism for series in members})
        if len(mechanisms) <= 2 and len(families) > 3:
            small.append((family.replace("_", " "), members))
            continue
        parts = -(-len(mechanisms) // len(PALETTE))
        for part in range(parts):
            chosen = mechanisms[part * len(mechanisms) // parts:
                                (part + 1) * len(mechanisms) // parts]
            title = family.replace("_", " ") + (f" ({part + 1} of {parts})" if parts > 1 else "")
            groups.append((title, [series for series in members if series.mechanism in chosen]))
    for first in range(0, len(small), len(PALETTE) // 2):
        names, members = zip(*small[first:first + len(PALETTE) // 2])
        groups.append((", ".join(names), [series for family in members for series in family]))
    return groups


def last_value(points):
    return ([y for _, y, _, _ in points if not math.isnan(y)] or [math.nan])[-1]


def draw_lines(axes, lines, run, sizes=()):
    """Draws (x, median, low, high) points, with a legend in the order of the lines' ends."""
    lines = {series: points for series, points in lines.items() if points}
    handles = [draw_line(axes, series, lines[series], run, colour_of(series), sizes)
               for series in sorted(lines, key=lambda series: last_value(lines[series]),
                                    reverse=True)]
    names = axes.legend(handles=handles, title="As the lines end, from the top", **beside(1))
    axes.add_artist(names).set_clip_on(False)  # what is clipped to the axes is cropped on saving
    axes.legend(handles=key_handles(lines), title="How to tell them apart", **beside(0))


def beside(height):
    return {"loc": "upper left" if height else "lower left", "bbox_to_anchor": (1.02, height),
            "borderaxespad": 0, "frameon": False, "fontsize": 8.5, "title_fontsize": 8.5,
            "handlelength": 3.6, "alignment": "left"}


def draw_bars(axes, bars, run):
    order = sorted(bars, key=lambda series: sum(side[0] for side in bars[series]), reverse=True)
    glue = ", " if len(order) > 2 * SERIES_ON_A_SHEET else "\n"
    widest = max(top for sides in bars.values() for side in sides for top in side
                 if not math.isnan(top))
    for row, series in enumerate(order):
        for side, (median, low, high), shift in zip(SIDES, bars[series], (0.19, -0.19)):
            axes.barh(row + shift, median, 0.36, color=tint(colour_of(series), side),
                      gid=f"{series.gid}|{side}")
            end = median
            if not math.isnan(low):
                axes.hlines(row + shift, low, high, color="black", linewidth=1)
                end = max(median, high)
            axes.text(end + 0.01 * widest, row + shift, time_text(median), va="center", fontsize=7)
    axes.set_yticks(range(len(order)),
                    [f"{series.label}{glue}{series.waiting}" for series in order], fontsize=8)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(0, widest * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: time_text(ns) if ns else "0"))
    axes.grid(False, axis="y")
    axes.set_xlabel("CPU time per message (median)")
    axes.legend(handles=[Patch(color=tint("0.3", side), label=side) for side in SIDES], **beside(1))


def tint(colour, side):
    pale = 0 if side == "initiator" else 0.55
    return [pale + (1 - pale) * part for part in to_rgb(colour)]


def percent_axis(axes):
    percents = (50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([100 / (100 - percent) for percent in percents]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 - 100 / x:.6g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("share of round trips that took at most this long, %")


def averaged(picked):
    cells = picked.where(lambda row: (row.get("stride") or 1) > 1)
    return cells and f"Samples average several round trips, which blunts their tail: {cells}."


def closed_loop(picked):
    return any(row.get("closed_loop") for row in picked.rows) and (
        "Closed loop: a late message delays the next one, so these are service times.")


def size_bytes(text):
    match = re.fullmatch(r"(\d+) *(B|KiB|MiB|)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64, 4KiB or 1MiB")
    return int(match[1]) * {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}[match[2]]


def main():
    parser = argparse.ArgumentParser(
        description="Draw the plots of one run, as SVG and PNG, into RESULTS-DIR/plots/.",
        epilog="example: scripts/plot.py results/reference --size 4KiB")
    parser.add_argument("folder", metavar="RESULTS-DIR", type=Path, help="holds run.jsonl")
    parser.add_argument("--size", type=size_bytes, metavar="SIZE",
                        help="message size for the distribution and the CPU times (default: the "
                             "one near 64 B that most mechanisms have)")
    options = parser.parse_args()
    try:
        draw(options.folder, options.size)
    except BadResults as error:
        parser.exit(2, f"plot.py: {error}\n")
    except OSError as error:
        parser.exit(2, f"plot.py: {error.filename or options.folder}: {error.strerror}\n")


def draw(folder, size):
    run, found = load(folder), load_copy_or_map(folder)
    if size and size not in run.sizes:
        raise BadResults(f"--size {size_text(size)}: the run has "
                         + ", ".join(map(size_text, run.sizes)))
    set_up()
    for placement in run.placements:
        for name, plot in PLOTS.items():
            stem = folder / "plots" / f"{name}-{placement}"
            try:
                page = plot(run, placement, size)
            except NotAsked:
                continue
            except NothingToDraw as why:
                print(f"plot.py: no {stem.name}: {why}")
                continue
            put(page, stem)
    if found:
        for name, page in copy_or_map_plots.pages(found, run):
            put(page, folder / "plots" / name)
    for name, page in multi_queue_plots.pages(run):
        put(page, folder / "plots" / name)


def put(page, stem):
    stem.parent.mkdir(exist_ok=True)
    save(page, stem)
    print(f"{stem}.svg, .png")


if __name__ == "__main__":
    main()
