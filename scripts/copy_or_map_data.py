"""What copy-or-map.json holds, as its plots and pages ask for it."""

import math
import pathlib
import tomllib
from collections import defaultdict
from dataclasses import dataclass

from results import size_text

THRESHOLDS = pathlib.Path(__file__).resolve().parent / "thresholds.toml"
WAYS = ("persistent", "receiver-remaps", "receiver-remaps/populated", "sender-remaps",
        "sender-remaps/populated", "fresh-object")
POPULATED = "/populated"
PLACES = {"same_cpu": "one CPU", "two_cpus": "two CPUs"}
STATES = {"only_disturbed": "Disturbed each time", "other_distance": "With the CPUs at another distance only",
          "skipped": "Skipped", "failed": "Failed"}
REASONS_TOLD = 6


@dataclass(frozen=True, order=True)
class Place:
    placement: str
    waiting: str

    @property
    def label(self):
        does = {"sleeps": "both sides sleep", "spins": "both sides spin"}.get(self.waiting, self.waiting)
        return f"{PLACES.get(self.placement, self.placement)}, {does}"

    @property
    def stem(self):
        return f"{self.placement}-{self.waiting}"


@dataclass(frozen=True)
class Line:
    """What is drawn as one line: a mechanism that copies, or a way to map and how often a mapping is used."""

    way: str
    mechanism: str = ""
    k: int = 0

    @property
    def name(self):
        return self.mechanism or self.way

    @property
    def label(self):
        return f"{self.name}, k = {self.k}" if remaps(self.way) else self.name

    @property
    def style(self):
        """Of all ways in which a mechanism waits."""
        return self.mechanism.split("/")[0] if self.mechanism else self.way


def remaps(way):
    return way.startswith(("receiver-remaps", "sender-remaps"))


class Findings:
    """The transfers by place, line and size. Those of an A/A comparison, which have an arm, are left out."""

    def __init__(self, found):
        self.found = found
        self.cells = defaultdict(lambda: defaultdict(dict))
        for cell in found.get("transfers") or ():
            if not cell.get("arm"):
                self.cells[place_of(cell)][line_of(cell)][cell["size_bytes"]] = cell
        self.places = [place for place in map(place_of, found.get("places") or ()) if place in self.cells]
        self.places += sorted(set(self.cells) - set(self.places))
        self.sizes = sorted({size for lines in self.cells.values() for cells in lines.values() for size in cells})

    def lines(self, place):
        """Copies first, then the ways in their order, each by how often a mapping is used."""
        def order(line):
            return (bool(not line.mechanism), WAYS.index(line.way) if line.way in WAYS else len(WAYS),
                    line.name if not line.mechanism else "", line.k)
        return sorted(self.cells[place], key=order)  # copies stay in the order of measuring

    def counts(self, place):
        """How many messages a mapping is used for, of the ways that remap: 1, 10, 100, 1000."""
        return sorted({line.k for line in self.cells[place] if remaps(line.way)})

    def measured(self, place, line):
        """The cells with figures that count, by size."""
        return {size: cell for size, cell in sorted(self.cells[place].get(line, {}).items()) if counts(cell)}

    def points(self, place, line):
        """(size, median, low, high) at each size of the run; nan where there is no figure."""
        cells = self.measured(place, line)
        return [(size, *(estimate(cells[size], "transfer_ns") if size in cells else (math.nan,) * 3))
                for size in self.sizes]

    def crossings(self, place, source=None):
        return [crossing for crossing in self.found.get("crossings") or () if place_of(crossing) == place
                and source in (None, crossing["source"])]

    def pairs(self, places):
        counted = [cell["pairs"] for place in places for cells in self.cells[place].values()
                   for cell in cells.values() if counts(cell)]
        if not counted:
            return "no process pair"
        few, many = min(counted), max(counted)
        count = f"{many}" if few == many else f"{few} to {many}"
        return f"{count} process pair{'s' if many > 1 else ''}"

    def omissions(self, places, wanted=lambda line: True):
        """Sentences: which transfers have no figure that counts, and why."""
        missing = defaultdict(lambda: defaultdict(list))
        for place in places:
            for line, cells in self.cells[place].items():
                for size, cell in cells.items():
                    if wanted(line) and not counts(cell):
                        missing[why(cell)][line.label, place].append(size)
        for number, (reason, lines) in enumerate(missing.items()):
            if number == REASONS_TOLD:
                yield f"{len(missing) - number} more reasons stand in summary.md."
                return
            by_place = defaultdict(lambda: defaultdict(list))
            for (label, place), sizes in lines.items():
                by_place[place][self.name_sizes(sizes)].append(label)
            told = (f"{', '.join(labels)} ({sizes}{'; ' + place.label if len(places) > 1 else ''})"
                    for place, groups in by_place.items() for sizes, labels in groups.items())
            yield f"{reason}: {'; '.join(told)}."

    def name_sizes(self, sizes):
        """"64 B, 4 KiB to 1 MiB": neighbours among the sizes of the run become a range."""
        ranges = []
        for index in sorted(self.sizes.index(size) for size in set(sizes)):
            if ranges and ranges[-1][1] == index - 1:
                ranges[-1][1] = index
            else:
                ranges.append([index, index])
        text = [[size_text(self.sizes[end]) for end in ends] for ends in ranges]
        return ", ".join(first if first == last else f"{first} to {last}" for first, last in text)


def place_of(item):
    return Place(item["placement"], item["waiting"])


def line_of(cell):
    k = cell["messages_per_mapping"] if remaps(cell["way"]) else 0
    return Line(cell["way"], cell["mechanism"] or "", k or 0)


def counts(cell):
    return cell["state"] == "measured" and isinstance(cell.get("transfer_ns"), (int, float))


def why(cell):
    state = STATES.get(cell["state"], cell["state"].replace("_", " ") if cell["state"] != "measured" else "No figure")
    return f"{state} ({cell['reason']})" if cell.get("reason") else state


def estimate(cell, key):
    """(median, low, high); nan where fewer than six pairs give no interval."""
    return tuple(math.nan if cell.get(name) is None else cell[name] for name in (key, "low_ns", "high_ns"))


def thresholds():
    return sorted(tomllib.loads(THRESHOLDS.read_text(encoding="utf-8"))["threshold"],
                  key=lambda each: each["size_bytes"])


def threshold_text(threshold):
    """10 kB is not 9.8 KiB to those who wrote "around 10 KB"."""
    size = threshold["size_bytes"]
    return f"{size // 1000} kB" if size % 1000 == 0 else size_text(size)


def about_text(size_bytes):
    """A size that is no round number, to two digits or three: "47 KiB", "2.1 KiB", "840 B"."""
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= scale * 0.9995:
            value = size_bytes / scale
            return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.2g} {unit}"
    return f"{size_bytes:.0f} B"


def interval_of(crossing, ends):
    """Its two ends; that which lies beyond the sizes measured at the end of what is shown; None if it has none."""
    low, high = crossing.get("low_bytes"), crossing.get("high_bytes")
    if low is None and high is None:
        return None
    return ends[0] if low is None else low, ends[1] if high is None else high


def interval_text(crossing):
    """"26 KiB [22 KiB, 31 KiB]"."""
    if crossing.get("low_bytes") is None and crossing.get("high_bytes") is None:
        return about_text(crossing["size_bytes"])
    low, high = ("…" if crossing.get(end) is None else about_text(crossing[end]) for end in ("low_bytes", "high_bytes"))
    return f"{about_text(crossing['size_bytes'])} [{low}, {high}]"
