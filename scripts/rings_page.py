"""The generated parts of docs/rings.md, from the committed run of the scenario rings."""

import json
import math
import os
import pathlib
import re

from results import Selection, count_of_pairs, rate_text, size_text, time_text

NO_LIMITS = ("*No comparison with the limits is committed yet; `ipclab_benchmark --benchmark_filter=^ring/ "
             "--benchmark_out=FILE` makes one.*")
LABEL = re.compile(r"(?:(within|outside) the bound; )?beside (.+); (.+), (\d+) pairs")
NO_RUN = "*No run of rings is committed yet; `ipclab run rings` makes one.*"
PICTURES = {"ring-capacity": "Throughput of rings by their capacity, with the sizes of the caches",
            "ring-batch": "Round trip and throughput of rings by the size of a batch"}
PLACEMENT = "two_cpus"


def parts(run, folder, page):
    """By their names; `page` is the folder of the page."""
    return {"round-trips": by_size(run, "ping_pong", lambda row: row["round_trip_ns"]["p50"], lambda _: time_text),
            "streams": by_size(run, "stream", lambda row: row["bytes_per_s"], rate_of),
            "limits": limits(folder / "limits.json"),
            **{name: picture(name, title, folder, page) for name, title in PICTURES.items()}}


def limits(file):
    """What ipclab_benchmark said of the fast ring beside its limits."""
    if not file.exists():
        return NO_LIMITS
    said = json.loads(file.read_text(encoding="utf-8"))
    context = said["context"]
    lines = ["| | costs | beside it | which costs | ratio | asked |", "| --- | --- | --- | --- | --- | --- |",
             *(limit(row) for row in said["benchmarks"])]
    note = (f"{context['cpu_model']}, {context['date'][:10]}, commit `{context['commit']}`; over pairs of processes the "
            "medians, of the ratio with its 95 % interval. The ratio is of times for a round trip, and of rates for a "
            "stream. Medians of times and of ratios are taken apart.")
    return "\n".join([*lines, "", note])


def limit(row):
    _, pattern, size, name = row["name"].split("/")[:4]
    what = f"{pattern.replace('_', '-')}, {size_text(int(size))}, `{name}`"
    if row.get("error_occurred", False):
        return f"| {what} | – | {row['error_message']} | – | – | – |"
    verdict, reference, distance, pairs = LABEL.fullmatch(row["label"]).groups()
    asked = "–"
    if verdict:
        sign = "≤" if pattern == "ping_pong" else "≥"
        asked = f"{sign} {row['bound']:.3g}" + ("" if verdict == "within" else ", missed")
    ratio = f"{row['ratio']:.3g} [{row['ratio_low']:.3g}, {row['ratio_high']:.3g}]"
    return (f"| {what} | {time_text(row['real_time'])} | {reference} ({distance}, {pairs} pairs) | "
            f"{time_text(row['reference_ns'])} | {ratio} | {asked} |")


def picture(name, title, folder, page):
    """Leads to the SVG, in which the small print can be read; says so where there is none."""
    path = folder / "plots" / f"{name}-{PLACEMENT}"
    if not path.with_suffix(".svg").exists():
        return f"*`scripts/plot.py` drew no {name} of this run.*"
    stem = pathlib.PurePosixPath(os.path.relpath(path, page))
    return f"[![{title}]({stem}.png)]({stem}.svg)"


def rate_of(size):
    """Small messages by their number."""
    if size >= 1024:
        return rate_text
    return lambda bytes_per_s: f"{bytes_per_s / size / 1e6:.3g} M/s"


def by_size(run, pattern, value, text_of):
    """A line for each mechanism and access that was asked for nothing, a column for each size."""
    picked = Selection(run, pattern, PLACEMENT)
    if not picked.series:
        return "*This run has no undisturbed figure.*"
    lines = [["mechanism", "access", "waits", *map(size_text, picked.sizes)]]
    lines.append(["---"] * len(lines[0]))
    for series in sorted(picked.series):
        points = {size: (median, low, high) for size, median, low, high in picked.points(series, value)}
        cells = [cell(points.get(size, (math.nan,) * 3), text_of(size)) for size in picked.sizes]
        lines.append([f"`{series.mechanism}`" + "".join(f" {setting}" for setting in series.settings),
                      series.access.replace("_", " "), series.waiting, *cells])
    counts = [len(rows) for cells in picked.series.values() for rows in cells.values()]
    note = (f"Medians of {count_of_pairs(min(counts), max(counts))}, with their 95 % intervals where there are six or "
            f"more; class “{picked.reference_class}”.")
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", note])


def cell(point, text):
    median, low, high = point
    if math.isnan(median):
        return "–"
    return text(median) + ("" if math.isnan(low) else f" [{text(low)}, {text(high)}]")
