"""Reads results/<run>/run.jsonl and picks from it the rows that may be compared. What else a run may hold, the
costs and transfers of an experiment, it counts; what they amount to stands in copy-or-map.json."""

import functools
import json
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy

SCHEMA = 1
STATUSES = ("ok", "disturbed", "skipped", "failed")
EXPERIMENT_ROWS = {"cost": ("cost", "placement"), "transfer": ("way", "placement"),
                   "multi_queue": ("threads", "mode", "placement")}
COPY_OR_MAP = "copy-or-map.json"
PAIRS_FOR_INTERVAL = 6
# Where a run holds one cell with several values of these, each value is a series of its own.
SETTINGS = ("waiting", "touch", "publish_every", "capacity_bytes", "stores")
# What may be asked of a mechanism beyond its defaults; rows of early runs do not tell of all.
ASKED = ("capacity_asked_bytes", "batch_messages_asked", "stores_asked")
NO_PAYLOAD = "no_payload"
FAMILIES = (  # the first pattern found in a mechanism's name decides
    ("ring", "rings"), ("pipe|fifo", "pipes"), ("mq", "message_queues"),
    ("unix|tcp|udp", "sockets"), ("shm|mem|map", "shared_memory"), ("event|signal", "notifications"),
    ("", "others"))
POSITIVE_FIGURES = {
    "ping_pong": ("messages", "round_trip_ns.p50"),
    "stream": ("messages", "bytes_per_s"),
    "lifecycle": ("messages", "life_ns"),
}


class BadResults(Exception):
    """One line for the user: where the results are bad, and how."""


@dataclass(frozen=True, order=True)
class Series:
    """What is drawn as one line or one pair of bars."""

    mechanism: str
    access: str
    waiting: str = ""
    settings: tuple = ()

    family: str = field(default="", compare=False)

    @property
    def gid(self):
        return "|".join((f"series:{self.mechanism}", self.access) + self.settings)

    @property
    def label(self):
        return " · ".join((self.mechanism, self.access.replace("_", " ")) + self.settings)


class Run:
    """One run.jsonl: its context, its rows in the order of measuring, those of an experiment apart, and
    how it ended."""

    def __init__(self, context, rows, end, experiment_rows=()):
        self.context, self.rows, self.end = context, rows, end
        self.experiment_rows = list(experiment_rows)
        self.mechanisms = sorted({row["mechanism"] for row in rows})
        self.sizes = sorted({row["size_bytes"] for row in rows})
        self.placements = sorted({row["placement"] for row in rows}, reverse=True)

    def reference_class(self, placement):
        """How far apart the CPUs were for most rows of a placement; the others are left out."""
        classes = Counter(class_of(row) for row in self.rows
                          if row["placement"] == placement and row["status"] == "ok")
        return min(classes, key=lambda name: (-classes[name], name), default=None)


def load(folder):
    """A kill may tear the last line (no newline, or not JSON), which is left out; others may not."""
    path = folder / "run.jsonl"
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise BadResults(f"{path}: {error.strerror}; name a folder that “ipclab run” wrote"
                         ) from None
    if lines and not is_json(lines[-1]):
        lines.pop()
    items = [parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    rows = [item for item in items if item["type"] == "row"]
    of_experiment = [item for item in items if item["type"] in EXPERIMENT_ROWS]
    if not rows and not of_experiment:
        raise BadResults(f"{path}: no rows; the run ended before it measured any")
    for number, item in enumerate(items, 1):
        inside = ("row", *EXPERIMENT_ROWS) + ("end",) * (number == len(items))
        if item["type"] not in (("context",) if number == 1 else inside):
            raise BadResults(f"{path}:{number}: a line of type {item['type']!r} in the wrong place")
    if items[0].get("schema") != SCHEMA:
        raise BadResults(f"{path}:1: schema {items[0].get('schema')!r}, and this script reads "
                         f"{SCHEMA}; use the version that wrote it")
    return Run(items[0], rows, items[-1] if items[-1]["type"] == "end" else None, of_experiment)


def load_copy_or_map(folder):
    """What `ipclab report` derived from the costs and transfers of a run; None where it has none."""
    path = folder / COPY_OR_MAP
    try:
        found = json.loads(path.read_bytes(), parse_constant=refuse)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadResults(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadResults(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise BadResults(f"{path}: schema {schema!r}, and this script reads {SCHEMA}; write it anew with "
                         f"“ipclab report {folder}”")
    return found


def is_json(line):
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def parse(line, place):
    try:
        item = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadResults(f"{place}: not JSON ({error})") from None
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        raise BadResults(f"{place}: not an object with a type")
    problem = complaint(item) if item["type"] == "row" else (
        complaint_of_experiment(item) if item["type"] in EXPERIMENT_ROWS else None)
    if problem:
        raise BadResults(f"{place}: {problem}")
    return item


def refuse(constant):
    raise ValueError(f"{constant} is not a JSON number")


def complaint(row):
    """What a row lacks of that which is read here, or None."""
    for key in ("mechanism", "pattern", "access", "placement"):
        if not isinstance(row.get(key), str):
            return f"the row's {key} is {row.get(key)!r}"
    if row.get("status") not in STATUSES:
        return f"the row's status is {row.get('status')!r}"
    if not isinstance(row.get("size_bytes"), int) or row["size_bytes"] < 0:
        return f"the row's size_bytes is {row.get('size_bytes')!r}"
    if row["status"] != "ok":
        return None
    if not isinstance(row.get("waiting"), str):
        return f"the row's waiting is {row.get('waiting')!r}"
    for path in POSITIVE_FIGURES.get(row["pattern"], ()):
        value = figure(row, path)
        if not isinstance(value, (int, float)) or not 0 < value < math.inf:
            return f"the row's {path} is {value!r}"
    points = row.get("round_trip_ns_percentiles") or []
    if not isinstance(points, list) or not all(map(is_percentile, points)):
        return "the row's round_trip_ns_percentiles are not a list of [percent, ns]"
    return None


def complaint_of_experiment(row):
    for key in EXPERIMENT_ROWS[row["type"]]:
        if not isinstance(row.get(key), str):
            return f"the row's {key} is {row.get(key)!r}"
    if row.get("status") not in STATUSES:
        return f"the row's status is {row.get('status')!r}"
    return None


def is_percentile(point):
    return (isinstance(point, list) and len(point) == 2
            and all(isinstance(part, (int, float)) for part in point))


def figure(row, path):
    """figure(row, "round_trip_ns.p50"): the value, or None where the row has none."""
    for key in path.split("."):
        row = row.get(key) if isinstance(row, dict) else None
    return row


def class_of(row):
    return figure(row, "reference_before.class") or "unknown"


def asked_of(row):
    """In the order of ASKED: 0 or "" stands for the default."""
    return row.get(ASKED[0]) or 0, row.get(ASKED[1]) or 0, row.get(ASKED[2]) or ""


def asked_text(asked):
    """" capacity 64 KiB batch 8", with a blank before each word; "" where nothing was asked for."""
    words = zip(("capacity", "batch", "stores"), asked)
    return "".join(f" {word} {size_text(value) if word == 'capacity' else value}" for word, value in words if value)


def access_of(row):
    """As a series tells it: what carries no payload neither copies it nor uses it in place."""
    return row["access"] if row["size_bytes"] else NO_PAYLOAD


def family_of(row):
    """Rows of early runs do not tell; then the mechanism's name does."""
    if isinstance(row.get("family"), str):
        return row["family"]
    return next(family for words, family in FAMILIES if re.search(words, row["mechanism"]))


class Selection:
    """The comparable rows of one pattern and placement, by series and size, and the others."""

    def __init__(self, run, pattern, placement, size=None, by=None):
        """At one size, if given, with what carries no payload beside it. Rows for which more was asked
        than the default are comparisons of their own; they are left aside, but for those that differ
        in the key of ASKED that `by` names, unless there are no others."""
        rows = [row for row in run.rows if row["pattern"] == pattern
                and row["placement"] == placement and (size is None or row["size_bytes"] in (size, 0))]
        rows = [row for row in rows if not any(row.get(key) for key in ASKED if key != by)] or rows
        self.run, self.pattern, self.placement, self.size = run, pattern, placement, size
        self.sizes = sorted({row["size_bytes"] for row in rows})
        self.reference_class = run.reference_class(placement)
        self.rows = [row for row in rows
                     if row["status"] == "ok" and class_of(row) == self.reference_class]
        self.left_out = [row for row in rows
                         if row["status"] != "ok" or class_of(row) != self.reference_class]
        name = series_namer(self.rows)
        self.series = defaultdict(lambda: defaultdict(list))
        for row in self.rows:
            self.series[name(row)][row["size_bytes"]].append(row)

    def points(self, series, value):
        """(size, median, low, high) at each size of the placement; nan where there is no figure. What
        carries no payload has one point, at size 0."""
        cells = self.series[series]
        return [(size, *median_interval([value(row) for row in cells.get(size, [])]))
                for size in self.sizes if (size == 0) == (series.access == NO_PAYLOAD)]

    def pairs(self):
        """How many stand behind each point: "12 process pairs" or "7 to 12 process pairs"."""
        counts = [len(rows) for cells in self.series.values() for rows in cells.values()]
        return count_of_pairs(min(counts), max(counts))

    def where(self, test):
        """The series, with their sizes, in which most rows pass the test."""
        found = {series.label: [size for size, rows in cells.items()
                                if sum(map(bool, map(test, rows))) * 2 > len(rows)]
                 for series, cells in sorted(self.series.items())}
        return self.name_cells(found)

    def name_cells(self, sizes_by_label):
        labels_by_sizes = defaultdict(list)
        for label, sizes in sizes_by_label.items():
            if sizes:
                labels_by_sizes["" if self.size else f" ({self.name_sizes(sizes)})"].append(label)
        return "; ".join(", ".join(labels) + sizes for sizes, labels in labels_by_sizes.items())

    def name_sizes(self, sizes):
        """"64 B, 4 KiB to 1 MiB": neighbours among the sizes of the placement become a range."""
        ranges = []
        if set(sizes) == {0}:
            return "no payload"
        for index in sorted(self.sizes.index(size) for size in set(sizes)):
            if ranges and ranges[-1][1] == index - 1:
                ranges[-1][1] = index
            else:
                ranges.append([index, index])
        text = [[size_text(self.sizes[end]) for end in ends] for ends in ranges]
        return ", ".join(first if first == last else f"{first} to {last}" for first, last in text)

    def omissions(self):
        """Sentences: how many rows were left out and why, and which cells have none left."""
        counts = Counter(row["status"] if row["status"] != "ok" else f"of class “{class_of(row)}”"
                         for row in self.left_out)
        if counts:
            yield "Rows left out: " + ", ".join(f"{n} {why}" for why, n in counts.items()) + "."
        measured = {(row["mechanism"], row["access"], row["size_bytes"]) for row in self.rows}
        empty = defaultdict(lambda: defaultdict(list))
        for row in self.left_out:
            series = Series(row["mechanism"], access_of(row))
            if row["status"] in ("skipped", "failed"):
                why = f"{row['status'].capitalize()} ({row.get('reason') or 'no reason given'})"
                empty[why][series.label].append(row["size_bytes"])
            elif (row["mechanism"], row["access"], row["size_bytes"]) not in measured:
                empty["No row left"][series.label].append(row["size_bytes"])
        for why, cells in empty.items():
            yield f"{why}: {self.name_cells(cells)}."


def count_of_pairs(few, many):
    count = f"{many}" if few == many else f"{few} to {many}"
    return f"{count} process pair{'s' if many > 1 else ''}"


def series_namer(rows):
    """Names a row's series; the settings in which rows of one cell differ are part of the name."""
    values = defaultdict(set)
    for row in rows:
        for key in SETTINGS:
            cell = (row["mechanism"], row["access"], row["size_bytes"], asked_of(row))
            values[cell, key].add(str(row.get(key)))
    differing = {(mechanism, access, key)
                 for ((mechanism, access, *_), key), seen in values.items() if len(seen) > 1}

    def name(row):
        named = {key for key in SETTINGS if (row["mechanism"], row["access"], key) in differing}
        named |= {"touch"} if row.get("touch", "all") != "all" else set()
        settings = tuple(f"{key}={row.get(key)}" for key in SETTINGS if key in named)
        return Series(row["mechanism"], access_of(row), row["waiting"], settings, family_of(row))

    return name


def common_size(run, pattern, placement):
    """The size at which most mechanisms were measured; of several, the one nearest 64 B; 0 where
    nothing carries a payload."""
    cells = Selection(run, pattern, placement).series
    mechanisms = Counter(size for _, size in
                         {(series.mechanism, size) for series in cells for size in cells[series]
                          if size > 0})
    return min(mechanisms, default=0,
               key=lambda size: (-mechanisms[size], abs(math.log2(size / 64)), size))


def median_interval(values):
    """Median over pairs and its smoothed-bootstrap 95 % interval, as in harness/statistics.hpp."""
    if not values:
        return math.nan, math.nan, math.nan
    count, median = len(values), float(numpy.median(values))
    if count < PAIRS_FOR_INTERVAL:
        return median, math.nan, math.nan
    place = (count + 1) * lowest_median_of_uniforms(count)
    low, high = numpy.interp((place, count + 1 - place), range(1, count + 1), sorted(values))
    return median, float(low), float(high)


@functools.lru_cache(maxsize=None)
def lowest_median_of_uniforms(count):
    """The 2.5 % quantile of Beta((count + 1) / 2, (count + 1) / 2)."""
    at = numpy.linspace(0, 1, 200001)
    share = numpy.cumsum((4 * at * (1 - at)) ** ((count - 1) / 2))
    return float(numpy.interp(0.025, share / share[-1], at))


def cpu_ns_per_message(rows, side):
    messages = 2 if rows[0]["pattern"] == "ping_pong" else 1
    times = [(figure(row, f"{side}.cpu_ns"), row["messages"] * messages) for row in rows]
    return [ns / count for ns, count in times if isinstance(ns, (int, float))]


def percentile_points(rows):
    """(1 / (1 - p), median, low, high) for each percentile that half of the pairs have."""
    values = {}
    for row in rows:
        for percent, ns in row.get("round_trip_ns_percentiles") or ():
            values.setdefault(percent, []).append(ns)
    return [(100 / (100 - percent), *median_interval(pairs))
            for percent, pairs in sorted(values.items())
            if 50 <= percent < 100 and len(pairs) * 2 >= len(rows)]


def size_text(size_bytes):
    if size_bytes == 0:
        return "no payload"
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes % scale == 0:
            return f"{size_bytes // scale} {unit}"
    return f"{size_bytes} B"


def time_text(ns):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= scale * 0.9995:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns:.3g} ns"


def rate_text(bytes_per_s):
    for unit, scale in (("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)):
        if bytes_per_s >= scale * 0.9995:
            return f"{bytes_per_s / scale:.3g} {unit}"
    return f"{bytes_per_s:.3g} B/s"
