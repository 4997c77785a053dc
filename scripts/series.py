"""How a series looks on every plot of rows, and what stands over and under such a plot."""

import inspect
import math

from matplotlib.lines import Line2D

from drawing import INTERVALS, PLACEMENTS, NothingToDraw, put_caption
from results import NO_PAYLOAD, Selection, figure, median_interval, size_text, time_text

FAMILIES = {"rings": "#E69F00", "pipes": "#D55E00", "message_queues": "#009E73",
            "sockets": "#0072B2", "shared_memory": "#CC79A7", "notifications": "#56B4E9",
            "files": "#7F6000", "cross_memory": "#5D3A9B"}
MARKERS = "os^DvPXp<>h*"
LINE_STYLES = {"sleeps": "-", "spins": (0, (5, 2)), "spins then sleeps": (0, (1, 1.2)),
               "spins, yielding": (0, (5, 1.5, 1, 1.5))}
OTHER_LINE_STYLE = (0, (9, 2, 1, 2, 1, 2))
PATTERNS = {"ping_pong": "ping-pong", "stream": "stream", "lifecycle": "life-cycle"}
BANDS = INTERVALS.format("Bands and whiskers")


def select(run, pattern, placement, size=None, by=None):
    picked = Selection(run, pattern, placement, size, by)
    if not picked.series:
        at = f" at {size_text(size)}" if size else ""
        raise NothingToDraw(" ".join([f"no comparable {PATTERNS[pattern]} row{at}.",
                                      *picked.omissions()]))
    return picked


def put_titles(axes, picked, title, height, pairs=None):
    """Over the axes, which are so many inches high. `pairs` says how many pairs there are where it is not so many for
    each size."""
    run = picked.run.context
    cpus = "/".join(map(str, dict.fromkeys((run.get("cpus") or {}).get(picked.placement, ()))))
    where = PLACEMENTS.get(picked.placement, picked.placement) + (f" ({cpus})" if cpus else "")
    machine = [run.get("host"), run.get("cpu_model"),
               run.get("hypervisor") and f"{run['hypervisor']} guest", where,
               f"n = {pairs or picked.pairs()}"]
    axes.text(0, 22 / 72 / height + 1, title, fontsize=12, weight="bold", transform=axes.transAxes)
    axes.text(0, 6 / 72 / height + 1, "  ·  ".join(filter(None, machine)), fontsize=8.5,
              transform=axes.transAxes)


def colour_of(series):
    return FAMILIES.get(series.family, "#000000")


def draw_line(axes, series, points, run, colour, sizes):
    """A missing figure leaves a gap. Without payload there is no size: a level over all of them."""
    if points and points[0][0] == 0:
        payload = [size for size in sizes if size] or [1]
        points = [(size, *points[0][1:]) for size in dict.fromkeys((payload[0], payload[-1]))]
    x, y, low, high = zip(*points)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    intervals = [(at, *ends) for at, _, *ends in points if not math.isnan(ends[0])]
    if intervals:
        axes.vlines(*zip(*intervals), color=colour, linewidth=1, zorder=1.9)
    line, = axes.plot(
        x, y, label=series.label, gid=series.gid, color=colour, linewidth=1.5, markersize=5.5,
        linestyle=LINE_STYLES.get(series.waiting, OTHER_LINE_STYLE), zorder=3,
        marker=MARKERS[run.mechanisms.index(series.mechanism) % len(MARKERS)],
        markerfacecolor="white" if series.access == "in_place" else colour)
    return line


def key_handles(lines):
    present = {series.waiting for series in lines}
    waits = [wait for wait in LINE_STYLES if wait in present]
    waits += sorted(present - set(LINE_STYLES))
    accesses = sorted({series.access for series in lines} - {NO_PAYLOAD})
    return [Line2D([], [], color="0.3", label=f"waiting: {wait}",
                   linestyle=LINE_STYLES.get(wait, OTHER_LINE_STYLE)) for wait in waits] + [
            Line2D([], [], color="0.3", linestyle="", marker="o", label=access.replace("_", " "),
                   markerfacecolor="white" if access == "in_place" else "0.3")
            for access in accesses]


def finish(axes, picked, plot, *notes):
    """Puts the caption under the figure: how to read it, what was left out, where it comes from."""
    reference_ns = [figure(row, "reference_before.round_trip_ns") for row in picked.rows]
    reference_ns = [ns for ns in reference_ns if ns]
    kind = figure(picked.rows[0], "reference_before.kind") or ""
    pieces = picked.where(lambda row: (row.get("fragments") or 1) > 1)
    bound = picked.where(lambda row: row.get("bound_by"))
    run, end = picked.run.context, picked.run.end
    lines = [
        " ".join([inspect.cleandoc(plot.__doc__).replace("\n", " "), *filter(None, notes)]),
        reference_ns and f"Reference measured beside these rows: {kind.replace('_', ' ')} there "
        f"and back {time_text(median_interval(reference_ns)[0])}, class “{picked.reference_class}”.",
        pieces and f"Messages travel in several pieces: {pieces}.",
        bound and f"Bound by filling or checking the payload, not by the mechanism: {bound}.",
        *picked.omissions(),
        f"From run.jsonl of {run.get('utc')}, commit {run.get('commit')}"
        + (" with local changes" if run.get("dirty") else "")
        + (f"; measuring stopped by {end.get('stopped_by')}." if end else "; the run did not end."),
    ]
    put_caption(axes.figure, lines)
    return axes.figure
