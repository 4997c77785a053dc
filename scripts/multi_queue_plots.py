"""The plots of multi-queue, from the rows of run.jsonl. Colour and marker are the receiver's mode and who serves
the queues. Each plot below opens with how to read it; that also stands under the figure."""

import inspect
import math
from collections import Counter, defaultdict

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from drawing import INTERVALS, MARGIN, NothingToDraw, dress, put_caption
from results import class_of, median_interval, size_text

STYLES = {("polling", "one"): ("#0072B2", "o", "-"), ("polling", "per_queue"): ("#56B4E9", "s", (0, (5, 2))),
          ("interrupt", "one"): ("#D55E00", "^", "-"), ("interrupt", "per_queue"): ("#E69F00", "D", (0, (5, 2)))}
THREADS = {"one": "one thread", "per_queue": "a thread per queue"}
BANDS = INTERVALS.format("Bands and whiskers")
SHARED_CPU = "The threads of a process share its CPU."


class Streams:
    """The comparable rows, by size, burst, line (mode, threads) and queues, and what was left out."""

    def __init__(self, run):
        rows = [row for row in run.experiment_rows if row["type"] == "multi_queue"]
        classes = Counter(class_of(row) for row in rows if row["status"] == "ok")
        self.distance = min(classes, key=lambda name: (-classes[name], name), default=None)
        self.rows = [row for row in rows if row["status"] == "ok" and class_of(row) == self.distance]
        self.left_out = Counter(row["status"] if row["status"] != "ok" else f"of class “{class_of(row)}”"
                                for row in rows if row not in self.rows)
        self.reasons = sorted({f"{row['status']}: {row.get('reason')}" for row in rows
                               if row["status"] in ("skipped", "failed")})
        self.cells = defaultdict(list)
        for row in self.rows:
            self.cells[row["size_bytes"], row["burst"], (row["mode"], row["threads"]), row["queues"]].append(row)
        self.sizes, self.bursts, self.lines, self.queues = (sorted({cell[part] for cell in self.cells})
                                                            for part in range(4))

    def points(self, size, burst, line, value, fewest=1):
        """(queues, median, low, high). With one queue, one thread is a thread per queue."""
        for queues in self.queues:
            mode, _ = line
            rows = self.cells.get((size, burst, line, queues)) or (
                self.cells.get((size, burst, (mode, "one"), 1)) if queues == 1 else None)
            if rows and queues >= fewest:
                yield (queues, *median_interval([value(row) for row in rows]))

    def omissions(self):
        if self.left_out:
            yield "Rows left out: " + ", ".join(f"{count} {why}" for why, count in self.left_out.items()) + "."
        yield from (f"{reason[0].upper()}{reason[1:]}." for reason in self.reasons)


def pages(run):
    """(name, figure) of each plot; says which are missing, and why."""
    if not any(row["type"] == "multi_queue" for row in run.experiment_rows):
        return
    streams = Streams(run)
    for name, plot in (("multi-queue", throughput), ("multi-queue-fairness", fairness)):
        try:
            if not streams.rows:
                raise NothingToDraw(" ".join(["no comparable row.", *streams.omissions()]))
            yield name, plot(streams, run)
        except NothingToDraw as reason:
            print(f"plot.py: no {name}: {reason}")


def throughput(streams, run):
    """Each point is how many packets a second one process streams to another over so many queues of a memif
    interface; higher is better. A line that rises: more queues bring more; one that falls: serving them costs
    more than they bring. Dashed lines have a thread per queue, solid ones one thread that looks at all queues
    in turn (with one queue that is the same). A burst is how many packets are published, and signalled, together."""
    page, panels = sheet(streams, run, "Packets a second by queues", throughput)
    for (size, burst), axes in panels.items():
        draw(axes, streams, size, burst, lambda row: row["messages_per_s"])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: rate_text(rate)))
    for size in streams.sizes:  # one scale for the bursts of a size
        top = max(panels[size, burst].dataLim.ymax for burst in streams.bursts)
        for burst in streams.bursts:
            panels[size, burst].set_ylim(0, top * 1.08)
    return page


def fairness(streams, run):
    """Each point is the packets of the queue that carried the fewest as a share of those of the queue that
    carried the most, in one batch: 1 where all carried the same, 0 where one carried none. A packet goes to
    whichever queue has room first."""
    if not any(row["queues"] > 1 for row in streams.rows):
        raise NothingToDraw("no row has several queues")
    page, panels = sheet(streams, run, "Fairness among queues", fairness)
    for (size, burst), axes in panels.items():
        draw(axes, streams, size, burst, lambda row: row["fairness"], fewest=2)
        axes.set_ylim(0, 1.05)
    return page


def draw(axes, streams, size, burst, value, fewest=1):
    for line in streams.lines:
        points = list(streams.points(size, burst, line, value, fewest))
        if not points:
            continue
        colour, marker, style = STYLES[line]
        x, y, low, high = zip(*points)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        ends = [(at, *interval) for at, _, *interval in points if not math.isnan(interval[0])]
        if ends:
            axes.vlines(*zip(*ends), color=colour, linewidth=1, zorder=1.9)
        axes.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=1.5, linestyle=style, zorder=3,
                  gid=f"line:{size}|{burst}|{'|'.join(line)}")
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(streams.queues) / 1.2, max(streams.queues) * 1.2)
    axes.xaxis.set_major_locator(FixedLocator(streams.queues))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda queues, _: f"{queues:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def sheet(streams, run, title, plot):
    """A panel for each size and burst, with titles, legend and caption."""
    width, height, left, gap_x, gap_y, legend = 3.1, 2.1, 0.9, 0.7, 0.75, 2.2
    columns, rows = len(streams.bursts), len(streams.sizes)
    total = (left + columns * (width + gap_x) + legend, 0.9 + rows * (height + gap_y) - gap_y + MARGIN)
    page = Figure(figsize=total)
    panels = {}
    for row, size in enumerate(streams.sizes):
        for column, burst in enumerate(streams.bursts):
            bottom = MARGIN + (rows - 1 - row) * (height + gap_y)
            axes = page.add_axes(((left + column * (width + gap_x)) / total[0], bottom / total[1],
                                  width / total[0], height / total[1]))
            dress(axes)
            axes.set_title(f"{size_text(size)}, bursts of {burst}", loc="left", fontsize=9.5, weight="bold")
            panels[size, burst] = axes
            if row == rows - 1:
                axes.set_xlabel("queues")
    context = run.context
    pairs = [len(cell) for cell in streams.cells.values()]
    cpus = "/".join(map(str, (context.get("cpus") or {}).get("two_cpus", ())))
    machine = [context.get("host"), context.get("cpu_model"),
               context.get("hypervisor") and f"{context['hypervisor']} guest",
               "two CPUs" + (f" ({cpus})" if cpus else ""),
               f"n = {min(pairs)} to {max(pairs)} process pairs" if min(pairs) < max(pairs)
               else f"n = {max(pairs)} process pair{'s' if max(pairs) > 1 else ''}"]
    page.text(left / total[0], 1 - 0.2 / total[1], title, fontsize=12, weight="bold", va="top")
    page.text(left / total[0], 1 - 0.44 / total[1], "  ·  ".join(filter(None, machine)), fontsize=8.5, va="top")
    handles = [Line2D([], [], color=STYLES[line][0], marker=STYLES[line][1], linestyle=STYLES[line][2],
                      markersize=5, label=f"{line[0]}, {THREADS[line[1]]}") for line in reversed(streams.lines)]
    panels[streams.sizes[0], streams.bursts[-1]].legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.04, 1), borderaxespad=0, frameon=False, fontsize=8.5,
        handlelength=3.6)
    end = run.end
    put_caption(page, [
        " ".join([inspect.cleandoc(plot.__doc__).replace("\n", " "), SHARED_CPU, BANDS]),
        f"CPUs of class “{streams.distance}”.", *streams.omissions(),
        f"From run.jsonl of {context.get('utc')}, commit {context.get('commit')}"
        + (" with local changes" if context.get("dirty") else "")
        + (f"; measuring stopped by {end.get('stopped_by')}." if end else "; the run did not end.")],
        width=max(100, int(total[0] * 16)))
    return page, panels


def rate_text(per_second):
    for unit, scale in ((" M", 1e6), (" k", 1e3)):
        if abs(per_second) >= scale * 0.9995:
            return f"{per_second / scale:.3g}{unit}/s"
    return f"{per_second:.3g}/s" if per_second else "0"
