"""The plots of copy-vs-map, from copy-or-map.json. Colour and marker are the mechanism that copies or the way to
map, the same on all of them. Each plot below opens with how to read it; that also stands under the figure."""

import inspect
import math
from collections import defaultdict

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from copy_or_map_data import (POPULATED, WAYS, Findings, about_text, estimate, interval_of, interval_text, remaps,
                              threshold_text, thresholds)
from drawing import INTERVALS, MARGIN, MORE_COLOURS, NothingToDraw, dress, log_axis, put_caption, size_axis
from results import size_text, time_text

STYLES = {"pipe": ("#D55E00", "s"), "unix-stream": ("#E69F00", "D"), "sysv-mq": ("#8A6D00", "v"),
          "process-vm": ("#000000", "P"), "persistent": ("#009E73", "o"),
          "receiver-remaps": ("#0072B2", "^"), "receiver-remaps/populated": ("#56B4E9", "<"),
          "sender-remaps": ("#CC79A7", "X"), "sender-remaps/populated": ("#5D3A9B", ">"),
          "fresh-object": ("#999999", "h")}
OTHER_STYLES = (("#B22222", "p"), ("#00A0A0", "*"), ("#7F6000", "d"), ("#004D40", "H"))
TERMS = {"fill": ("#D9D9D9", ""), "copy in": ("#D55E00", ""), "copy out": ("#E69F00", ""),
         "check": ("#A6A6A6", ""), "wake-up": ("#0072B2", ""), "wake-ups of further rounds": ("#56B4E9", ""),
         "map": ("#009E73", ""), "first touch": ("#CC79A7", ""), "unmap": ("#8A6D00", ""),
         "map there": ("#009E73", "////"), "first touch there": ("#CC79A7", "////"),
         "unmap there": ("#8A6D00", "////"), "make the object": ("#5D3A9B", ""),
         "free the object": ("#5D3A9B", "////"), "pass the descriptor": ("#000000", ""),
         "receive the descriptor": ("#000000", "////")}
WHISKERS = INTERVALS.format("Whiskers")
BANDS = INTERVALS.format("Bands")
K_NOTE = "k is the number of messages for which a mapping is used before it is made anew."
PROMISE = {"same_cpu": 0.15, "two_cpus": 0.25}
UNTOLD = {"undecided": "No crossing can be told", "no_figures": "No figures",
          "map_in_between": "Mapping is cheaper at sizes in between only"}
FURTHEST = 1.0  # residuals beyond ±100 % stand at the edge
LABEL_INCHES, LETTER_INCHES = 0.95, 0.0445  # of "26 KiB [22 KiB, 31 KiB]", and of a letter of a threshold's name
LABEL_BAND = 0.16  # the share of a panel below its lines


def pages(found, run):
    """(name, figure) of each plot; says which are missing, and why."""
    findings = Findings(found)
    wanted = [(f"copy-or-map-{name}-{place.stem}", plot, (place,)) for place in findings.places
              for name, plot in (("components", components), ("total", total), ("cpu", cpu))]
    wanted += [(f"copy-or-map-crossings-{copy}", crossings, (copy,)) for copy in copies_crossed(findings)]
    wanted.append(("copy-or-map-residuals", residuals, ()))
    for name, plot, arguments in wanted if findings.places else ():
        try:
            yield name, plot(findings, run, *arguments)
        except NothingToDraw as reason:
            print(f"plot.py: no {name}: {reason}")


def components(findings, run, place):
    """Each bar is one message's time as the model puts it together from the costs of its steps, each measured
    apart; the diamond is the time that the whole transfer was measured to take. A diamond to the right of its
    bar: the transfer takes longer than its parts. Every panel is one message size, with a scale of its own;
    grey is the payload's own work, which is the same for all. Hatched: the same step at the receiver."""
    bars = [line for line in findings.lines(place) if line.k in (0, min(findings.counts(place), default=0))
            and POPULATED not in line.way]
    sizes = [size for size in findings.sizes if any(size in findings.cells[place][line] for line in bars)]
    modelled = [cell for line in bars for cell in findings.measured(place, line).values()]
    names = list(dict.fromkeys(term["name"] for cell in modelled for term in (cell["model"] or {}).get("terms") or ()))
    if not names:
        raise NothingToDraw("no transfer here has a model")
    others = [name for name in names if name not in TERMS]
    looks = TERMS | {name: (MORE_COLOURS[number % len(MORE_COLOURS)], "..") for number, name in enumerate(others)}
    names.sort(key=lambda name: list(looks).index(name))
    height = max(0.24 * len(bars) + 0.25, 0.19 * (len(names) + 1) / -(-len(sizes) // 3))  # room for the legend
    page, panels = small_multiples(len(sizes), columns=3, width=2.9, height=height, left=1.95, gap=(0.4, 0.62),
                                   legend_width=2.0)
    put_titles(page, run, findings, f"What a message's time is made of: {place.label}", (place,))
    for number, (axes, size) in enumerate(zip(panels, sizes)):
        draw_components(axes, findings, place, bars, size, looks)
        axes.set_title(size_text(size), loc="left", fontsize=9.5, weight="bold")
        axes.set_yticks(range(len(bars)), [line.label for line in bars] if number % 3 == 0 else [], fontsize=8)
        axes.tick_params(axis="y", length=0)
    handles = [Patch(facecolor=looks[name][0], hatch=looks[name][1], edgecolor="white", linewidth=0, label=name)
               for name in names]
    put_legend(page, panels, [*handles, Line2D([], [], color="black", marker="D", markersize=5,
                                               markerfacecolor="white", label="measured, whole")], 3, 2.0)
    caption(page, run, components, K_NOTE if any(remaps(line.way) for line in bars) else "", WHISKERS,
            notes=findings.omissions((place,), lambda line: line in bars))
    return page


def draw_components(axes, findings, place, bars, size, looks):
    ends = [0.0]
    for row, line in enumerate(bars):
        cell = findings.measured(place, line).get(size)
        if not cell:
            axes.text(0, row, " no figure", va="center", fontsize=7, color="0.45", style="italic")
            continue
        left, model = 0.0, cell["model"] or {}
        whole = not model.get("missing")
        for term in model.get("terms") or () if whole else ():
            colour, hatch = looks[term["name"]]
            axes.barh(row, term["ns"], 0.72, left=left, color=colour, hatch=hatch, edgecolor="white", linewidth=0,
                      gid=f"term:{line.label}|{size}|{term['name']}")
            left += term["ns"]
        if not whole:
            axes.text(0, row, " no model", va="center", fontsize=7, color="0.45", style="italic")
        median, low, high = estimate(cell, "transfer_ns")
        if not math.isnan(low):
            axes.hlines(row, low, high, color="black", linewidth=1.2, zorder=4)
        axes.plot([median], [row], marker="D", markersize=4.5, color="black", markerfacecolor="white", linestyle="",
                  zorder=5, gid=f"measured:{line.label}|{size}")
        ends += [left, median] + ([] if math.isnan(high) else [high])
    axes.set_xlim(0, 1.06 * max(ends) or 1)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: time_text(ns) if ns else "0"))
    axes.tick_params(labelsize=7.5)


def total(findings, run, place):
    """Each line is the time that a message takes, whole: written by the sender, carried or mapped, read and
    checked by the receiver; lower is better. Where the line of a way to map (solid) falls below that of the
    pipe (dashed, squares), a drop marks the crossing and tells its size with the interval ("…": an end
    beyond the sizes measured): mapping wins to the right of it, until the lines cross again. Small rings mark
    crossings with the other copies. Grey verticals are sizes at which others switch; see below."""
    lines = [line for line in findings.lines(place) if findings.measured(place, line)]
    rows = findings.counts(place) or [0]
    kinds = [False, True] if any(POPULATED in line.way for line in lines) else [False]
    page, panels = small_multiples(len(rows) * len(kinds), columns=len(kinds), width=4.4, height=3.0, left=0.85,
                                   gap=(0.35, 0.6), legend_width=2.1, top=1.28)
    put_titles(page, run, findings, f"Time of a message by its size: {place.label}", (place,))
    for number, axes in enumerate(panels):
        k, populated = rows[number // len(kinds)], kinds[number % len(kinds)]
        shown = [line for line in lines if not remaps(line.way) and (line.way != "fresh-object" or (
            number < len(kinds) and not populated)) or remaps(line.way) and line.k == k
            and (POPULATED in line.way) == populated]
        how = ", populated (MAP_POPULATE)" if populated else ", page by page" if len(kinds) > 1 else ""
        axes.set_title(f"k = {k}{how}" if k else "no remapping", loc="left", fontsize=9.5, weight="bold",
                       pad=31 if number < len(kinds) else 6)
        for line in shown:
            draw_line(axes, findings, place, line, f"|{number}")
        size_axis(axes, findings.sizes)
        axes.set_xlabel("message size" if number >= len(panels) - len(kinds) else "")
    level_scales(panels, len(kinds), band=LABEL_BAND)
    for number, axes in enumerate(panels):
        draw_thresholds(axes, findings.sizes, number < len(kinds))
        draw_drops(axes, findings, place, rows[number // len(kinds)], kinds[number % len(kinds)],
                   number < len(kinds))
    put_legend(page, panels, line_handles(findings, lines), len(kinds), 2.1)
    caption(page, run, total, K_NOTE, BANDS, notes=[*findings.omissions((place,)), sources(findings.sizes)])
    return page


def draw_line(axes, findings, place, line, suffix=""):
    """A missing figure leaves a gap."""
    colour, marker = style_of(line.style)
    x, y, low, high = zip(*findings.points(place, line))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, y, color=colour, marker=marker, markersize=4.5, linewidth=1.3, zorder=3,
              linestyle=(0, (4, 1.6)) if line.mechanism else "-", gid=f"series:{line.label}{suffix}")


def draw_drops(axes, findings, place, k, populated, first):
    bottom, drops, decided = axes.get_ylim()[0], [], []
    for crossing in findings.crossings(place, "measured"):
        way = crossing["way"]
        here = crossing["messages_per_mapping"] == k and (POPULATED in way) == populated if remaps(way) else (
            not populated if way == "persistent" else first and not populated)
        copy = next((line for line in findings.lines(place) if line.mechanism == crossing["copy"]), None)
        if not here or not copy:
            continue
        if copy.style == "pipe":
            decided.append((way, crossing["state"]))
        points = findings.points(place, copy)
        for size in marked_sizes(crossing, findings.sizes):
            if copy.style == "pipe":
                drops.append((size, height_at(points, size), crossing))
            else:
                axes.plot([size], [height_at(points, size)], marker="o", markersize=7, markerfacecolor="none",
                          color=style_of(way)[0], markeredgewidth=0.9, linestyle="", zorder=4,
                          gid=f"ring:{crossing['copy']}|{way}|k={k}")
    room, taken = LABEL_INCHES * octaves(findings.sizes) / inches_wide(axes), []
    for x, height, crossing in sorted(drops, key=lambda drop: drop[0]):
        colour = style_of(crossing["way"])[0]
        axes.plot([x, x], [height, bottom], color=colour, linestyle=(0, (1, 1.2)), linewidth=1.2, zorder=3.5,
                  gid=f"crossing:{crossing['copy']}|{crossing['way']}|k={k}")
        axes.plot([x], [height], marker="o", markersize=9, markerfacecolor="none", color=colour, zorder=4,
                  markeredgewidth=1.4, linestyle="")
        main = x == crossing["size_bytes"]
        interval = interval_of(crossing, axes.get_xlim())
        if main and interval:
            axes.plot(interval, [bottom] * 2, color=colour, linewidth=5, solid_capstyle="butt", alpha=0.6,
                      clip_on=False, zorder=3.5)
        left = x * 2 ** room > findings.sizes[-1] * 1.5  # no room at the right
        level = first_level(taken, math.log2(x) - room * left, room)
        axes.text(x * (0.93 if left else 1.07), 0.045 + 0.055 * level, interval_text(crossing) if main else
                  about_text(x), fontsize=6.5,
                  color=colour, transform=axes.get_xaxis_transform(), va="center", ha="right" if left else "left",
                  zorder=6, bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.4})
    for height, state, said in ((0.97, "map_always", "below the pipe at every size: "),
                                (0.915, "copy_always", "above the pipe at every size: ")):
        ways = [way for way, what in decided if what == state]
        if ways:
            axes.text(0.02, height, said + ", ".join(ways), fontsize=6.2, color="0.3", transform=axes.transAxes,
                      va="top", zorder=6, bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.4})


def marked_sizes(crossing, sizes):
    """All sizes at which the two curves cross; the one that decides is among them."""
    if crossing["state"] not in ("crosses", "map_in_between"):
        return []
    found = {*(crossing.get("all_sizes_bytes") or ()), *([crossing["size_bytes"]] if crossing["size_bytes"] else ())}
    return sorted(size for size in found if sizes[0] <= size <= sizes[-1])


def first_level(taken, start, room):
    """The lowest at which a label that is `room` octaves long may start, and takes it."""
    level = next(level for level in range(99) if all(start > end or start + room < begin
                                                     for at, begin, end in taken if at == level))
    taken.append((level, start, start + room))
    return level


def octaves(sizes):
    return math.log2(sizes[-1] / sizes[0] * 1.5 ** 2)


def inches_wide(axes):
    return axes.get_position().width * axes.figure.get_figwidth()


def height_at(points, x):
    """On a line whose points are joined straight on logarithmic axes."""
    known = [(size, y) for size, y, *_ in points if not math.isnan(y)]
    for (x0, y0), (x1, y1) in zip(known, known[1:]):
        if x0 <= x <= x1:
            return y0 * (y1 / y0) ** (math.log(x / x0) / math.log(x1 / x0))
    return known[0][1] if x < known[0][0] else known[-1][1]


def draw_thresholds(axes, sizes, labelled):
    """Labels over the axes, raised where they would overlap."""
    taken, octaves_per_inch = [], octaves(sizes) / inches_wide(axes)
    for threshold in (each for each in thresholds() if sizes[0] <= each["size_bytes"] <= sizes[-1]):
        x = threshold["size_bytes"]
        axes.axvline(x, color="0.7", linewidth=0.7, zorder=1, gid=f"threshold:{threshold['name']}")
        if labelled:
            text = f"{threshold['name']} {threshold_text(threshold)}"
            room = (len(text) * LETTER_INCHES + 0.04) * octaves_per_inch
            level = first_level(taken, math.log2(x) - room / 2, room)
            axes.text(x, 1.012 + 0.042 * level, text, fontsize=5.8, color="0.35",
                      transform=axes.get_xaxis_transform(), ha="center", va="bottom")


def sources(sizes):
    told = [f"{each['name']}, {threshold_text(each)}: {each['switches']} ({each['source']})" for each in thresholds()
            if sizes[0] <= each["size_bytes"] <= sizes[-1]]
    return f"Where others switch. {'. '.join(told)}." if told else ""


def cpu(findings, run, place):
    """Each panel is one mechanism that copies or one way to map. The line is the time that a message takes; the
    markers are the CPU time that each of the two processes spends on it. Both below the line: somebody sleeps
    meanwhile. A process that spins spends all of the time, its own turn and the other's."""
    least = min(findings.counts(place), default=0)
    lines = [line for line in findings.lines(place) if line.k in (0, least) and has_cpu(findings, place, line)]
    if not lines:
        raise NothingToDraw("no transfer here has CPU times")
    page, panels = small_multiples(len(lines), columns=3, width=2.9, height=2.2, left=0.85, gap=(0.3, 0.55),
                                   legend_width=2.0)
    put_titles(page, run, findings, f"CPU time of both sides beside the time of a message: {place.label}", (place,))
    for number, (axes, line) in enumerate(zip(panels, lines)):
        colour, marker = style_of(line.style)
        x, y, low, high = zip(*findings.points(place, line))
        axes.fill_between(x, low, high, color="0.5", alpha=0.25, linewidth=0)
        axes.plot(x, y, color="0.25", linewidth=1.4, gid=f"series:{line.label}|wall")
        cells = findings.measured(place, line)
        for side, face in (("receiver", "none"), ("sender", colour)):
            spent = [((cells[size].get("cpu_ns") or {}).get(side) if size in cells else None) or math.nan for size in x]
            axes.plot(x, spent, color=colour, marker=marker, markersize=7 if side == "receiver" else 4, linewidth=0.6,
                      markerfacecolor=face, zorder=4, gid=f"series:{line.label}|{side}")
        axes.set_title(line.label, loc="left", fontsize=9.5, weight="bold", color=colour)
        size_axis(axes, findings.sizes)
        axes.set_xlabel("message size" if number >= len(lines) - 3 else "")
    level_scales(panels, 3, "time per message (median)")
    put_legend(page, panels, [
        Line2D([], [], color="0.25", linewidth=1.4, label="time of a message"),
        Line2D([], [], color="0.25", linewidth=0.6, marker="o", markersize=4, label="CPU time, sender"),
        Line2D([], [], color="0.25", linewidth=0.6, marker="o", markersize=7, markerfacecolor="none",
               label="CPU time, receiver")],
        3, 2.0)
    caption(page, run, cpu, K_NOTE, BANDS, notes=findings.omissions((place,), lambda line: line in lines))
    return page


def has_cpu(findings, place, line):
    return any((cell.get("cpu_ns") or {}).get("sender") for cell in findings.measured(place, line).values())


def copies_crossed(findings):
    """Mechanisms that copy, however they wait, in the order in which their crossings are told."""
    return list(dict.fromkeys(crossing["copy"].split("/")[0] for place in findings.places
                              for crossing in findings.crossings(place)))


def crossings(findings, run, copy):
    """Each point is the message size from which mapping beats this copy, by how often a mapping is used; lower
    is better for mapping. Small and filled: found by measuring whole transfers; large and hollow: by the model, which
    agrees where it lies around the other. ∞ is what is never
    mapped anew: measured, the persistent mapping; by the model, the limit of the ways that remap. At the upper
    edge, copying is cheaper at every size; at the lower edge, mapping is."""
    places = [place for place in findings.places
              if any(crossing["copy"].split("/")[0] == copy for crossing in findings.crossings(place))]
    page, panels = small_multiples(len(places), columns=min(3, len(places)), width=3.9, height=3.8, left=0.85,
                                   gap=(0.3, 0.6), legend_width=2.35)
    put_titles(page, run, findings, f"From which size on mapping beats {copy}, by how often a mapping is used", places)
    counts = sorted({k for place in places for k in findings.counts(place)} or {1})
    columns = {k: number for number, k in enumerate(counts)} | {0: len(counts), None: len(counts)}
    low, high = findings.sizes[0], findings.sizes[-1]
    ways, untold, spins = [], defaultdict(list), [line.name for place in places for line in findings.lines(place)
                                                  if line.style == copy]
    for number, (axes, place) in enumerate(zip(panels, places)):
        here = [crossing for crossing in findings.crossings(place) if crossing["copy"].split("/")[0] == copy]
        present = [way for way in WAYS if any(crossing["way"] == way for crossing in here)]
        ways += [way for way in present if way not in ways]
        for way in present:
            draw_way(axes, [crossing for crossing in here if crossing["way"] == way], columns, WAYS.index(way),
                     (low, high), untold, place)
        axes.set_title(place.label, loc="left", fontsize=9.5, weight="bold")
        axes.set_yscale("log", base=2)
        axes.set_ylim(low / 9, high * 4.2)
        axes.axhspan(low / 9, low / 1.5, color="0.94", zorder=0)
        axes.axhspan(high * 1.5, high * 4.2, color="0.94", zorder=0)
        for height, said in ((low / 6, "mapping cheaper at every size"), (high * 2.9, "copying cheaper at every size")):
            axes.text(0.5, height, said, transform=axes.get_yaxis_transform(), fontsize=6.5, color="0.5", ha="center",
                      va="center", zorder=0.5)
        ticks = findings.sizes[::max(1, len(findings.sizes) // 8)]
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _: size_text(int(size))))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlim(-0.5, len(counts) + 0.5)
        axes.set_xticks(range(len(counts) + 1), [*map(str, counts), "∞"])
        axes.set_xlabel("messages per mapping (k)", fontsize=8.5)
        axes.set_ylabel("" if number % 3 else "crossing size", fontsize=8.5)
        axes.tick_params(labelsize=8, labelleft=number % 3 == 0)
    handles = [Line2D([], [], color=style_of(way)[0], marker=style_of(way)[1], linestyle="", label=way) for way in ways]
    put_legend(page, panels, [*handles,
                              Line2D([], [], color="0.3", marker="o", markersize=5, linewidth=0.9, label="measured"),
                              Line2D([], [], color="0.3", marker="o", markersize=9, markerfacecolor="none",
                                     linewidth=0.9, linestyle=(0, (1, 1.5)), label="by the model"),
                              Line2D([], [], color="0.3", linewidth=1, label="95 % interval"),
                              Line2D([], [], color="0.3", linewidth=1, linestyle=(0, (2, 1)),
                                     label="interval, nearly parallel")], min(3, len(places)), 2.35)
    parallel = any(crossing.get("nearly_parallel") for place in places for crossing in findings.crossings(place))
    caption(page, run, crossings, "Intervals are bootstrap 95 % intervals over process pairs.",
            "Where the two curves are nearly parallel, a small change of either moves their crossing far." if parallel
            else "", f"The copy is {' or '.join(dict.fromkeys(spins))}, whichever waits as the mapping does."
            if len(set(spins)) > 1 else "",
            notes=[f"{state}: {'; '.join(labels)}." for state, labels in untold.items()])
    return page


def draw_way(axes, here, columns, rank, ends, untold, place):
    """Ways beside each other; what the model says is a larger hollow marker, around what is measured if they agree."""
    way = here[0]["way"]
    colour, marker = style_of(way)
    for source, face, size, linestyle in (("measured", colour, 5, "-"), ("model", "none", 9, (0, (1, 1.5)))):
        points = []
        for crossing in (each for each in here if each["source"] == source):
            k = crossing["messages_per_mapping"]
            x = (columns[1] if 1 in columns else 0) if way == "fresh-object" else columns.get(k)
            if x is None:
                continue
            x += 0.13 * (rank - (len(WAYS) - 1) / 2)
            edge = {"map_always": ends[0] / 2.3, "copy_always": ends[1] * 1.9}.get(crossing["state"])
            if crossing["state"] == "crosses":
                points.append((x, crossing["size_bytes"]))
                interval = interval_of(crossing, ends)
                if interval:
                    axes.vlines(x, *interval, color=colour, linewidth=1, zorder=2,
                                linestyle=(0, (2, 1)) if crossing.get("nearly_parallel") else "-")
            elif edge:
                points.append((x, edge))
            else:
                count = f", k = {k}" if remaps(way) and k else ""
                why = crossing.get("reason")
                state = UNTOLD.get(crossing["state"], crossing["state"])
                untold[f"{state}{f' ({why})' if why else ''}"].append(f"{way}{count}, {place.label}, {source}")
        points.sort()
        if points:
            axes.plot(*zip(*points), color=colour, marker=marker, markersize=size, markerfacecolor=face, linewidth=0.9,
                      linestyle=linestyle, zorder=3, gid=f"series:{way}|{place.stem}|{source}")


def residuals(findings, run):
    """Each marker is one transfer: how far the model's sum lies above (+) or below (−) the measured time. The
    bands are what the model promises: within ±15 % on one CPU, ±25 % on two. Hollow markers are outside, and
    outside the interval of the measured time as well; what is further off than ±100 % stands at the edge. Each
    way has its place beside the size; one that remaps has a marker for each k."""
    places = [place for place in findings.places if any(
        is_number(cell.get("residual")) for line in findings.lines(place)
        for cell in findings.measured(place, line).values())]
    if not places:
        raise NothingToDraw("no transfer has a model")
    page, panels = small_multiples(len(places), columns=1, width=8.2, height=2.5, left=0.85, gap=(0.3, 0.55),
                                   legend_width=2.2)
    put_titles(page, run, findings, "How far the model is off", places)
    styles, unmodelled = [], defaultdict(set)
    furthest = max(0.4, min(FURTHEST, max(abs(cell["residual"]) for place in places for line in findings.lines(place)
                                          for cell in findings.measured(place, line).values()
                                          if is_number(cell.get("residual")))))
    for number, (axes, place) in enumerate(zip(panels, places)):
        size_axis(axes, findings.sizes)
        axes.set_xlim(findings.sizes[0] / 2.4, findings.sizes[-1] * 2.4)
        promised = PROMISE.get(place.placement, 0.25)
        axes.axhspan(-promised, promised, color="#009E73", alpha=0.10, linewidth=0, zorder=0)
        if promised > 0.15:
            axes.axhspan(-0.15, 0.15, color="#009E73", alpha=0.10, linewidth=0, zorder=0)
        axes.axhline(0, color="0.4", linewidth=0.8, zorder=1)
        names = list(dict.fromkeys(line.style for line in findings.lines(place)))
        styles += [name for name in names if name not in styles]
        for line in findings.lines(place):
            draw_residuals(axes, findings, place, line, names)
            for cell in findings.measured(place, line).values():
                if (cell["model"] or {}).get("missing"):
                    unmodelled[cell["model"]["missing"]].add(line.name)
        axes.set_ylim(-furthest * 1.08, furthest * 1.08)
        axes.yaxis.set_major_locator(FixedLocator((-1, -0.75, -0.5, -0.25, -0.15, 0, 0.15, 0.25, 0.5, 0.75, 1)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:+.0f} %" if share else "0"))
        axes.set_title(f"{place.label}: {agreement(findings, place)}", loc="left", fontsize=9.5, weight="bold")
        axes.set_ylabel("(model − measured) / measured", fontsize=8)
        axes.tick_params(labelsize=7.5)
        axes.set_xlabel("message size" if number == len(places) - 1 else "")
    put_legend(page, panels, [Line2D([], [], color=style_of(name)[0], marker=style_of(name)[1], linestyle="", label=name)
                              for name in styles], 1, 2.2)
    notes = [f"No model of {', '.join(sorted(lines))}: {missing}." for missing, lines in list(unmodelled.items())[:6]]
    caption(page, run, residuals, notes=notes)
    return page


def draw_residuals(axes, findings, place, line, names):
    colour, marker = style_of(line.style)
    gap = min((math.log2(b / a) for a, b in zip(findings.sizes, findings.sizes[1:])), default=2)
    spread = 2 ** (0.7 * min(gap, 2) / len(names) * (names.index(line.style) - (len(names) - 1) / 2))
    for within in (True, False):
        points = [(size * spread, max(-FURTHEST, min(FURTHEST, cell["residual"])))
                  for size, cell in findings.measured(place, line).items()
                  if is_number(cell.get("residual")) and bool(cell.get("within")) == within]
        if points:
            axes.plot(*zip(*points), linestyle="", color=colour, marker=marker, markersize=4.5, alpha=0.85,
                      markeredgewidth=0.9, markerfacecolor=colour if within else "white", zorder=3, clip_on=False,
                      gid=f"series:{line.label}|{place.stem}|{'within' if within else 'outside'}")


def agreement(findings, place):
    cells = [cell for line in findings.lines(place) for cell in findings.measured(place, line).values()
             if is_number(cell.get("residual"))]
    return f"{sum(bool(cell.get('within')) for cell in cells)} of {len(cells)} transfers as promised"


def is_number(value):
    return isinstance(value, (int, float))


def style_of(name):
    if name in STYLES:
        return STYLES[name]
    return OTHER_STYLES[sum(map(ord, name)) % len(OTHER_STYLES)]


def line_handles(findings, lines):
    """A handle for each colour; what copies first."""
    handles = {line.style: Line2D([], [], color=style_of(line.style)[0], marker=style_of(line.style)[1], markersize=5,
                                  linestyle=(0, (4, 1.6)) if line.mechanism else "-", linewidth=1.3,
                                  label=line.name) for line in lines}
    return list(handles.values()) + [
        Line2D([], [], color="0.3", marker="o", markersize=9, markerfacecolor="none", linestyle="",
               label="crosses the pipe"),
        Line2D([], [], color="0.3", marker="o", markersize=6, markerfacecolor="none", linestyle="",
               label="crosses another copy"),
        Line2D([], [], color="0.55", linewidth=0.7, label="where others switch")]


def small_multiples(count, columns, width, height, left, gap, legend_width, top=0.95):
    """Panels in rows, all in inches, with room for the titles above and for a legend at the right."""
    rows = -(-count // columns)
    size = (left + columns * (width + gap[0]) + legend_width, MARGIN + rows * (height + gap[1]) - gap[1] + top)
    page = Figure(figsize=size)
    panels = []
    for number in range(count):
        row, column = divmod(number, columns)
        x, y = left + column * (width + gap[0]), MARGIN + (rows - 1 - row) * (height + gap[1])
        panels.append(page.add_axes((x / size[0], y / size[1], width / size[0], height / size[1])))
        dress(panels[-1])
        panels[-1].tick_params(labelsize=8)
        panels[-1].xaxis.label.set_fontsize(8.5)
    return page, panels


def level_scales(panels, columns, label="time of a message (median)", band=0.0):
    """One scale of time for all, labelled at the left; a share of each panel stays free below the lines."""
    low = min(axes.dataLim.ymin for axes in panels) / 1.6
    high = max(axes.dataLim.ymax for axes in panels) * (4 if band else 1.6)
    low /= (high / low) ** (band / (1 - band))
    for number, axes in enumerate(panels):
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        log_axis(axes, time_text, "" if number % columns else label)
        axes.set_ylim(low, high)
        axes.tick_params(axis="y", labelleft=number % columns == 0)
        axes.yaxis.label.set_fontsize(8.5)


def put_titles(page, run, findings, title, places):
    context = run.context
    named = context.get("cpus") or {}
    cpus = dict.fromkeys("/".join(map(str, dict.fromkeys(named[place.placement]))) for place in places
                         if named.get(place.placement))
    machine = [context.get("host"), context.get("cpu_model"),
               context.get("hypervisor") and f"{context['hypervisor']} guest",
               cpus and f"CPU {' and '.join(cpus)}", f"n = {findings.pairs(places)}"]
    width, height = page.get_size_inches()
    page.text(0.1 / width, (height - 0.28) / height, title, fontsize=12, weight="bold")
    page.text(0.1 / width, (height - 0.48) / height, "  ·  ".join(filter(None, machine)), fontsize=8.5)


def put_legend(page, panels, handles, columns, width):
    """At the right of the first row."""
    rightmost = panels[min(columns, len(panels)) - 1].get_position()
    page.legend(handles=handles, loc="upper left", frameon=False, fontsize=8, handlelength=2.4, borderaxespad=0,
                labelspacing=0.45, bbox_to_anchor=(rightmost.x1 + 0.15 / page.get_figwidth(), rightmost.y1))


def caption(page, run, plot, *remarks, notes=()):
    context, end = run.context, run.end
    put_caption(page, [
        " ".join([inspect.cleandoc(plot.__doc__).replace("\n", " "), *filter(None, remarks)]), *notes,
        f"From copy-or-map.json of the run of {context.get('utc')}, commit {context.get('commit')}"
        + (" with local changes" if context.get("dirty") else "")
        + (f"; measuring stopped by {end.get('stopped_by')}." if end else "; the run did not end.")],
        width=int(page.get_figwidth() * 17.5))
