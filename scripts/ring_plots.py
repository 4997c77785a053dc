"""The plots of the rings, from rows for which a capacity or a batch was asked. There is a row of panels for each
design, on the same scales, and grey lines for the others; colour and marker tell a design's mechanisms apart, a
hollow marker is use in place, and the line's style is how the two processes wait. Each plot below opens with how to
read it; that also stands under the figure."""

import math
import textwrap

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from drawing import MARGIN, PALETTE, NotAsked, NothingToDraw, dress, log_axis, size_axis
from results import count_of_pairs, family_of, median_interval, rate_text, size_text, time_text
from series import BANDS, draw_line, finish, key_handles, put_titles, select

CAPACITY, BATCH = "capacity_asked_bytes", "batch_messages_asked"
CACHES = (("L1d", "l1d_bytes"), ("L2", "l2_bytes"), ("L3", "l3_bytes"))
BEYOND = 4  # a cache that is larger than all capacities by more than this stands in the caption
WIDTH, HEIGHT, GAP, LEGEND = 3.1, 1.75, (0.75, 0.55), 2.2  # inches


class Panel:
    """One column of the page: a comparison of its own, with the points of each series, and how many process pairs
    stand behind each point."""

    def __init__(self, picked, title, points, stars, pairs, text, label):
        self.picked, self.title, self.points, self.stars = picked, title, points, stars
        self.pairs, self.text, self.label = pairs, text, label


def ring_capacity(run, placement, _):
    """Each point is the payload throughput of a ring that was asked for room for so many unread bytes; the star
    is the mechanism's default, at what was found; higher is better. Dotted: the sizes of this machine's caches. A
    ring that fits into L1 or L2 is written and read in lines that the other core still has dirty; one that is
    larger than both has had them evicted to the cache that both share by the time it comes round."""
    sizes = sizes_asked(run, "stream", placement, CAPACITY)
    panels = [panel(select(run, "stream", placement, size, by=CAPACITY), CAPACITY, f"messages of {size_text(size)}",
                    lambda row: row["bytes_per_s"], lambda row: row.get("capacity_bytes"), rate_text,
                    "throughput (median)") for size in sizes]
    asked = sorted({x for one in panels for points in one.points.values() for x, *_ in points})
    caches = [(name, (run.context.get("caches") or {}).get(key)) for name, key in CACHES]
    shown = [(name, size) for name, size in caches if size and asked[0] / BEYOND <= size <= asked[-1] * BEYOND]
    unshown = ", ".join(f"{name} {size_text(size)}" for name, size in caches if size and (name, size) not in shown)

    def dress_x(axes, last):
        size_axis(axes, sorted({*asked, *(size for _, size in shown), *star_places(panels)}), asked)
        axes.set_xlabel("ring capacity asked for" if last else "", fontsize=8)
        for _, size in shown:
            axes.axvline(size, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.5)

    page = draw(run, panels, "Throughput of rings by their capacity", dress_x,
                [(f"{name} {size_text(size)}", size) for name, size in shown])
    return finish(page, panels[0].picked, ring_capacity, unshown and f"Not shown: {unshown}.", BANDS)


def ring_batch(run, placement, _):
    """Left, each point is the median time in which so many messages go there and as many come back, handed over
    together each way; lower is better, and a level line means that a batch costs no more than one message. Right,
    the messages per second of a stream that is handed over in such batches; higher is better, and the star is the
    mechanism's default, at the number of messages that it hands over together."""
    sizes = [sizes_asked(run, pattern, placement, BATCH)[0] for pattern in ("ping_pong", "stream")]
    panels = [panel(select(run, "ping_pong", placement, sizes[0], by=BATCH), BATCH,
                    f"latency, {size_text(sizes[0])}", lambda row: row["round_trip_ns"]["p50"], lambda row: None,
                    time_text, "time there and back (median)"),
              panel(select(run, "stream", placement, sizes[1], by=BATCH), BATCH,
                    f"throughput, {size_text(sizes[1])}", lambda row: row["messages_per_s"],
                    lambda row: row.get("publish_every"), count_text, "messages/s (median)")]
    asked = sorted({x for one in panels for points in one.points.values() for x, *_ in points})

    def dress_x(axes, last):
        axes.set_xscale("log", base=2)
        reach = [*asked, *star_places(panels)]
        axes.set_xlim(min(reach) / 1.5, max(reach) * 1.5)
        axes.xaxis.set_major_locator(FixedLocator(asked))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("messages in a batch" if last else "", fontsize=8)

    page = draw(run, panels, "Batches: what they cost in latency, and bring in throughput", dress_x, ())
    return finish(page, panels[0].picked, ring_batch, BANDS)


PLOTS = {"ring-capacity": ring_capacity, "ring-batch": ring_batch}


def count_text(per_s):
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_s >= scale * 0.9995:
            return f"{per_s / scale:.3g} {unit}"
    return f"{per_s:.3g}"


def sizes_asked(run, pattern, placement, key):
    """Of two ring mechanisms or more, in this pattern; one ring among other mechanisms is no such comparison."""
    rows = [row for row in run.rows if row.get(key) and family_of(row) == "rings"
            and row["pattern"] == pattern and row["placement"] == placement]
    if len({row["mechanism"] for row in rows}) < 2:
        raise NotAsked
    return sorted({row["size_bytes"] for row in rows})


def panel(picked, key, title, value, place_of_default, text, label):
    """The points by what was asked for under `key`; the default apart, as a star at `place_of_default`."""
    points, stars, pairs = {}, {}, []
    for series, cells in picked.series.items():
        if series.family != "rings":
            continue
        by_asked = {}
        for row in (row for rows in cells.values() for row in rows):
            by_asked.setdefault(row.get(key) or 0, []).append(row)
        default = by_asked.pop(0, [])
        if by_asked:
            points[series] = [(at, *median_interval([value(row) for row in by_asked[at]])) for at in sorted(by_asked)]
            pairs += map(len, by_asked.values())
            places = [place for place in map(place_of_default, default) if place]
            if places:
                stars[series] = (median_interval(places)[0], median_interval([value(row) for row in default])[0])
    if not points:
        raise NothingToDraw("no row of a ring that may be compared")
    return Panel(picked, title, points, stars, pairs, text, label)


def star_places(panels):
    return [int(x) for one in panels for x, _ in one.stars.values()]


def draw(run, panels, title, dress_x, marks):
    """A row for each design, a column for each panel. `marks` name places on the x axes, over the first row."""
    designs = {}
    for series in sorted({series for one in panels for series in one.points}):
        designs.setdefault(series.mechanism.split("/")[0], []).append(series)
    total = (MARGIN + len(panels) * (WIDTH + GAP[0]) + LEGEND, 0.7 + MARGIN + len(designs) * (HEIGHT + GAP[1]))
    page = Figure(figsize=total)
    columns = [[] for _ in panels]
    for number, (design, members) in enumerate(designs.items()):
        bottom = MARGIN + (len(designs) - 1 - number) * (HEIGHT + GAP[1])
        mechanisms = list(dict.fromkeys(series.mechanism for series in members))
        colours = {series: PALETTE[mechanisms.index(series.mechanism) % len(PALETTE)] for series in members}
        handles = {}
        for at, (one, column) in enumerate(zip(panels, columns)):
            axes = page.add_axes(((MARGIN + at * (WIDTH + GAP[0])) / total[0], bottom / total[1],
                                  WIDTH / total[0], HEIGHT / total[1]))
            column.append(axes)
            dress(axes)
            handles |= draw_panel(axes, one, members, colours, run)
            axes.set_title(one.title if number == 0 else "", loc="left", fontsize=9, pad=14 if marks else 6)
            dress_x(axes, number == len(designs) - 1)
            axes.tick_params(labelsize=7.5)
            if not any(series in one.points for series in members):
                say_why_empty(axes, one, design)
            for name, place in marks if number == 0 else ():
                axes.text(place, 1.02, name, transform=axes.get_xaxis_transform(), fontsize=6.5, color="0.35",
                          ha="center", va="bottom")
        axes.legend(handles=list(handles.values()), title=design, title_fontproperties={"weight": "bold", "size": 9.5},
                    alignment="left", loc="upper left", bbox_to_anchor=(1.02, 1.05), frameon=False, fontsize=7.5,
                    handlelength=3.4, borderaxespad=0, labelspacing=0.35)
    for one, column in zip(panels, columns):
        share_scale(column, one)
    top = page.add_axes((MARGIN / total[0], (total[1] - 0.75) / total[1], 1 / total[0], 0.01))
    top.set_axis_off()
    put_titles(top, panels[0].picked, title, 0.01 * total[1], pairs_of(panels))
    keys = key_handles({series: () for one in panels for series in one.points})
    page.legend(handles=[*keys, Line2D([], [], color="0.86", label="the other designs")], loc="upper right", ncols=2,
                frameon=False, fontsize=7.5, handlelength=3.2, bbox_to_anchor=(0.995, 0.995))
    return columns[0][0]


def pairs_of(panels):
    counts = [count for one in panels for count in one.pairs]
    return count_of_pairs(min(counts), max(counts))


def draw_panel(axes, one, members, colours, run):
    for series, points in one.points.items():
        if series not in members:
            axes.plot([x for x, *_ in points], [y for _, y, *_ in points], color="0.86", linewidth=0.7, zorder=1)
    handles = {}
    for series in members:
        if series not in one.points:
            continue
        handles[series] = draw_line(axes, series, one.points[series], run, colours[series], ())
        handles[series].set_gid(f"{series.gid}@{one.title}")
        if series in one.stars:
            axes.plot(*([place] for place in one.stars[series]), marker="*", markersize=10, linestyle="", zorder=4,
                      color=colours[series], markeredgecolor="black", markeredgewidth=0.5)
    return handles


def say_why_empty(axes, one, design):
    """A panel without a line says what the rows say that were to be its points."""
    reasons = {(row.get("reason") or row["status"]).removeprefix(f"{row['mechanism']}: ") for row in one.picked.left_out
               if row["mechanism"].split("/")[0] == design}
    text = "\n".join(textwrap.fill(reason, 52) for reason in sorted(reasons)) or "not asked for"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=7, color="0.3", zorder=5,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8})


def share_scale(column, one):
    """The scale of a column is that of all its panels."""
    values = [y for points in one.points.values() for _, y, *_ in points] + [y for _, y in one.stars.values()]
    values = [y for y in values if not math.isnan(y)]
    for axes in column:
        axes.set_ylim(min(values) / 1.4, max(values) * 1.4)
        log_axis(axes, one.text, one.label)
        axes.set_ylim(min(values) / 1.4, max(values) * 1.4)
        axes.yaxis.label.set_fontsize(8)
