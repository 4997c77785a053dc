#!/usr/bin/python3
"""Do two runs agree? Compares each mechanism's figure, relative to a baseline, between two runs.

Usage: scripts/compare.py RESULTS-A RESULTS-B [--baseline MECHANISM]

Absolute figures of a machine whose CPUs are moved and shared do not last; the ratios within a run should.
For each cell that both runs have, with CPUs that were as far apart, the ratio to the baseline of the same
pattern, size, capacity, batch, stores and placement is taken in each run, with its interval: from the least to the
greatest ratio that the 95 % intervals of the two medians allow. A cell agrees where the first run's ratio lies within the
second run's interval, and the other way round; both are counted. Cells with fewer than six pairs have no
interval and are counted apart.

Of runs of copy-vs-map, the sizes from which mapping beats copying are compared as well. Two agree where their 95 %
intervals overlap, or where the curves are nearly parallel (so that little moves their crossing far) and the two
differ by a factor of 1.5 at most. That mapping is cheaper at every size counts as a crossing below all sizes, that
copying is as one beyond them.
"""
import argparse
import math
import pathlib
import sys
from collections import defaultdict

import copy_or_map_data
import results

PARALLEL_FACTOR = 1.5
FIGURES = {"ping_pong": "round_trip_ns.p50", "stream": "message_ns", "lifecycle": "life_ns"}


def cells(run):
    """The undisturbed figures of each cell by the distance of the CPUs, lower is better."""
    figures = defaultdict(list)
    for row in run.rows:
        if row["status"] == "ok":
            value = results.figure(row, FIGURES[row["pattern"]])
            key = (row["pattern"], row["placement"], results.class_of(row), row["size_bytes"],
                   results.asked_of(row), row["mechanism"], row["access"])
            figures[key].append(value)
    return figures


def ratio_interval(values, baseline):
    """The ratio of the medians, from the least to the greatest that their two 95 % intervals allow."""
    median, low, high = results.median_interval(values)
    base_median, base_low, base_high = results.median_interval(baseline)
    return median / base_median, low / base_high, high / base_low


def compare(first, second, mechanism):
    """(key, (ratio, low, high) in each run) for every cell that both have, but the baseline's own."""
    sides = [cells(first), cells(second)]
    for key in sorted(set(sides[0]) & set(sides[1])):
        baseline = (*key[:5], mechanism, "copy")
        if key != baseline and all(baseline in side for side in sides):
            yield key, [ratio_interval(side[key], side[baseline]) for side in sides]


def crossings(folder):
    """The measured crossings of a run, by what crosses and where."""
    found = results.load_copy_or_map(folder) or {}
    return {tuple(crossing[key] for key in ("copy", "way", "messages_per_mapping", "placement", "waiting")): crossing
            for crossing in found.get("crossings") or () if crossing["source"] == "measured"}


def span(crossing):
    """(size, low, high), an end beyond the sizes measured as 0 or infinite; nan where there is no interval."""
    low, high = crossing.get("low_bytes"), crossing.get("high_bytes")
    if crossing["state"] == "map_always":
        return 0, 0, high or 0
    if crossing["state"] == "copy_always":
        return math.inf, low or math.inf, math.inf
    if low is None and high is None:
        return crossing["size_bytes"], math.nan, math.nan
    return crossing["size_bytes"], 0 if low is None else low, math.inf if high is None else high


def agree(first, second):
    """Whether two crossings do; None where that cannot be told."""
    states = {first["state"], second["state"]}
    if states & {"undecided", "no_figures"}:
        return None
    if "map_in_between" in states:
        return len(states) == 1
    (size_a, low_a, high_a), (size_b, low_b, high_b) = span(first), span(second)
    parallel = first.get("nearly_parallel") or second.get("nearly_parallel")
    if parallel and max(size_a, size_b) <= PARALLEL_FACTOR * min(size_a, size_b):
        return True
    if math.isnan(low_a) or math.isnan(low_b):
        return None
    return low_a <= high_b and low_b <= high_a


def told(crossing):
    if crossing["state"] != "crosses":
        return crossing["state"].replace("_", " ")
    parallel = ", nearly parallel" if crossing.get("nearly_parallel") else ""
    return copy_or_map_data.interval_text(crossing) + parallel


def compare_crossings(folders):
    """Prints which do not agree, and how many do; returns how many both runs have."""
    first, second = map(crossings, folders)
    shared = [key for key in first if key in second]
    verdicts = [agree(first[key], second[key]) for key in shared]
    for key, verdict in zip(shared, verdicts):
        if verdict is False:
            copy, way, k, placement, waiting = key
            count = f" k={k}" if copy_or_map_data.remaps(way) else ""
            print(f"{copy} and {way}{count} {placement} {waiting}: {told(first[key])} and {told(second[key])}")
    sure = len(shared) - verdicts.count(None)
    if sure:
        print(f"of {sure} crossings, {100 * verdicts.count(True) / sure:.0f} % agree; "
              f"{verdicts.count(None)} cannot be told")
    return sure


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("runs", metavar="RESULTS", nargs=2, type=pathlib.Path)
    parser.add_argument("--baseline", default="pipe", help="the mechanism that others are compared to (%(default)s)")
    options = parser.parse_args()
    runs = [results.load(folder) for folder in options.runs]
    first_in_second = second_in_first = total = unsure = 0
    for (pattern, placement, distance, size, asked, mechanism, access), sides in compare(*runs, options.baseline):
        (ratio_a, low_a, high_a), (ratio_b, low_b, high_b) = sides
        if math.isnan(low_a) or math.isnan(low_b):
            unsure += 1
            continue
        total += 1
        first_in_second += low_b <= ratio_a <= high_b
        second_in_first += low_a <= ratio_b <= high_a
        if not (low_b <= ratio_a <= high_b and low_a <= ratio_b <= high_a):
            print(f"{mechanism} {access} {pattern} {results.size_text(size)}{results.asked_text(asked)} {placement} "
                  f"({distance}): "
                  f"{ratio_a:.3g} [{low_a:.3g}, {high_a:.3g}] and {ratio_b:.3g} [{low_b:.3g}, {high_b:.3g}]")
    crossed = compare_crossings(options.runs)
    if total == 0 and crossed:
        return 0
    if total == 0:
        print("compare: the runs share no cell with six pairs in each; measure with more rounds", file=sys.stderr)
        return 2
    print(f"of {total} ratios to {options.baseline}, {100 * first_in_second / total:.0f} % of the first run lie within "
          f"the second's interval, {100 * second_in_first / total:.0f} % of the second within the first's; "
          f"{unsure} cells have too few pairs")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except results.BadResults as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)
