#!/usr/bin/python3
"""Do two runs agree? Compares each mechanism's figure, relative to a baseline, between two runs.

Usage: scripts/compare.py RESULTS-A RESULTS-B [--baseline MECHANISM]

Absolute figures of a machine whose CPUs are moved and shared do not last; the ratios within a run should.
For each cell that both runs have, with CPUs that were as far apart, the ratio to the baseline of the same
pattern, size and placement is taken in each run, with its 95 % interval. A cell agrees where the ratio
of each run lies within the other run's interval. Cells with fewer than six pairs have no interval and
are counted apart.
"""
import argparse
import math
import pathlib
import sys
from collections import defaultdict

import numpy

import results

RESAMPLES = 4000


def cells(run):
    """The undisturbed figures of each cell by the distance of the CPUs, lower is better."""
    figures = defaultdict(list)
    for row in run.rows:
        if row["status"] == "ok":
            value = results.figure(row, "round_trip_ns.p50" if row["pattern"] == "ping_pong" else "message_ns")
            key = (row["pattern"], row["placement"], results.class_of(row), row["size_bytes"],
                   row["mechanism"], row["access"])
            figures[key].append(value)
    return figures


def ratio_interval(values, baseline, random):
    """The ratio of the medians, and its 95 % interval by resampling both sides (smoothed bootstrap)."""
    ratio = float(numpy.median(values) / numpy.median(baseline))
    if min(len(values), len(baseline)) < results.PAIRS_FOR_INTERVAL:
        return ratio, math.nan, math.nan

    def medians(sample):
        # The median of n draws from the line through the sorted values, the k-th standing at k/(n+1).
        count = len(sample)
        places = (count + 1) * random.beta((count + 1) / 2, (count + 1) / 2, RESAMPLES)
        return numpy.interp(places, range(1, count + 1), sorted(sample))

    low, high = numpy.percentile(medians(values) / medians(baseline), (2.5, 97.5))
    return ratio, float(low), float(high)


def compare(first, second, mechanism):
    """(key, (ratio, low, high) in each run) for every cell that both have, but the baseline's own."""
    random = numpy.random.default_rng(1)
    sides = [cells(first), cells(second)]
    for key in sorted(set(sides[0]) & set(sides[1])):
        baseline = (*key[:4], mechanism, "copy")
        if key != baseline and all(baseline in side for side in sides):
            yield key, [ratio_interval(side[key], side[baseline], random) for side in sides]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("runs", metavar="RESULTS", nargs=2, type=pathlib.Path)
    parser.add_argument("--baseline", default="pipe", help="the mechanism that others are compared to (%(default)s)")
    options = parser.parse_args()
    runs = [results.load(folder) for folder in options.runs]
    agree = disagree = unsure = 0
    for (pattern, placement, distance, size, mechanism, access), sides in compare(*runs, options.baseline):
        (ratio_a, low_a, high_a), (ratio_b, low_b, high_b) = sides
        if math.isnan(low_a) or math.isnan(low_b):
            unsure += 1
            continue
        if low_b <= ratio_a <= high_b and low_a <= ratio_b <= high_a:
            agree += 1
            continue
        disagree += 1
        print(f"{mechanism} {access} {pattern} {results.size_text(size)} {placement} ({distance}): "
              f"{ratio_a:.3g} [{low_a:.3g}, {high_a:.3g}] and {ratio_b:.3g} [{low_b:.3g}, {high_b:.3g}]")
    total = agree + disagree
    if total == 0:
        print("compare: the runs share no cell with six pairs in each; measure with more rounds", file=sys.stderr)
        return 2
    print(f"{agree} of {total} cells agree ({100 * agree / total:.0f} %); {unsure} have too few pairs in a run")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except results.BadResults as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)
