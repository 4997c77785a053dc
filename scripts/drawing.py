"""What all plots have in common: the palette, axes of bytes and of times, captions, and how files are written."""

import io
import os
import re
import sys
import textwrap

try:
    from matplotlib import rcParams
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
except ImportError as missing:
    sys.exit(f"plot.py: {missing}; apt install python3-matplotlib")

from results import size_text

# The palette of Okabe and Ito, which people with any colour blindness can tell apart, and some more.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A6D00")
MORE_COLOURS = (*PALETTE, "#999999", "#5D3A9B", "#B22222", "#00A0A0")
PLACEMENTS = {"two_cpus": "two CPUs", "same_cpu": "same CPU"}
INTERVALS = ("{} are bootstrap 95 % intervals of the median over process pairs; fewer than six "
             "pairs give none.")
MARGIN = 0.8  # inches; on saving the page is cropped or extended to what is drawn


class NotAsked(Exception):
    """The run asked no such question; nobody misses the plot."""


class NothingToDraw(Exception):
    """Why there is no such plot."""


def set_up():
    rcParams["svg.hashsalt"] = "ipclab"  # the same rows give the same file
    rcParams["text.parse_math"] = False  # a reason may hold dollar signs


def dress(axes):
    axes.grid(True, which="major", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def size_axis(axes, sizes, ticks=None):
    sizes = [size for size in sizes if size] or [1]
    axes.set_xscale("log", base=2)
    axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    width = axes.get_position().width * axes.figure.get_figwidth()
    room = (sizes[-1] / sizes[0]) ** (0.5 / width)  # a label's width, as a factor on this axis
    labelled = []
    for size in sorted(ticks or sizes, key=lambda size: (size.bit_count() > 1, size)):  # round ones
        if all(max(size, other) >= min(size, other) * room for other in labelled):
            labelled.append(size)
    axes.xaxis.set_major_locator(FixedLocator(labelled))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: size_text(int(size))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("message size")


def log_axis(axes, text, label):
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1, 2, 5, 10)
    axes.yaxis.set_major_locator(
        LogLocator(10, (1,), numticks=20) if high > 200 * low
        else LogLocator(10, steps[:3], numticks=20) if high > 5 * low
        else MaxNLocator(6, steps=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(label)


def put_caption(page, lines, width=150):
    """Under the figure; a line each, wrapped."""
    text = "\n".join(textwrap.fill(unbroken(line), width, break_on_hyphens=False) for line in lines if line)
    page.text(0.1 / page.get_figwidth(), (MARGIN - 0.62) / page.get_figheight(), text, va="top",
              fontsize=7.5, color="0.25", linespacing=1.4, gid="caption")


def unbroken(line):
    """No line may break between a number and its unit, or inside the name of a series."""
    glued = line.replace(" · ", "\u00a0·\u00a0").replace("in place", "in\u00a0place")
    return re.sub(r"(\d) (?=\S)", "\\1\u00a0", glued)


def save(page, stem):
    """Both files appear whole or not at all."""
    for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
        drawn = io.BytesIO()
        page.savefig(drawn, format=suffix[1:], dpi=160, bbox_inches="tight", pad_inches=0.15,
                     metadata=metadata)
        part = stem.with_name(f".{stem.name}{suffix}.part")
        try:
            part.write_bytes(drawn.getvalue())
            os.replace(part, f"{stem}{suffix}")
        finally:
            part.unlink(missing_ok=True)
