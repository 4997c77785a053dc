"""A run of copy-vs-map on a machine whose costs are known: copy-or-map.json and run.jsonl as ipclab writes them."""

import json
import math
import random

SIZES = [64, 256, 4 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20]
COUNTS = [1, 10, 1000]
PLACES = [("same_cpu", "sleeps"), ("two_cpus", "sleeps"), ("two_cpus", "spins")]
COPIES = {"sleeps": ["pipe", "unix-stream", "sysv-mq", "process-vm/futex-pure"], "spins": ["pipe/spin", "process-vm/spin"]}
WAYS = ["persistent", "receiver-remaps", "receiver-remaps/populated", "sender-remaps", "sender-remaps/populated",
        "fresh-object"]
WAKE_UP_NS = {("same_cpu", "sleeps"): 2300, ("two_cpus", "sleeps"): 15000, ("two_cpus", "spins"): 110}
COPY_NS = {"pipe": (400, 0.2), "unix-stream": (900, 0.16), "sysv-mq": (700, 0.4), "process-vm": (1100, 0.075)}
# map, first touch and unmap in ns, each of them a mapping and then a byte
MAP_NS = {"receiver-remaps": ((2000, 0), (600, 0.05), (1500, 0.01)),
          "receiver-remaps/populated": ((2600, 0.055), (0, 0), (1500, 0.01)),
          "sender-remaps": ((2000, 0), (700, 0.24), (1500, 0.02)),
          "sender-remaps/populated": ((2600, 0.2), (0, 0), (1500, 0.02))}
PAYLOAD_NS = (("fill", "produce", 20, 0.03), ("check", "consume", 20, 0.025))
CONTEXT = {
    "type": "context", "schema": 1, "scenarios": ["copy-vs-map"], "questions": ["Copy or map?"],
    "utc": "2026-11-21T13:00:00Z", "host": "vm", "commit": "abc1234", "dirty": False, "cpu_model": "AMD EPYC",
    "cpus_online": 2, "cpus": {"same_cpu": [1, 1], "two_cpus": [0, 1]}, "hypervisor": "kvm", "seed": 1,
    "kernel": "6.1.0", "compiler": "g++ 12.2.0"}
END = {"type": "end", "stopped_by": "rounds", "elapsed_s": 55.1}


def terms(way, mechanism, place, k, size):
    """What the time of a message is made of, as (name, ns, phase, cost)."""
    wake_up = ("wake-up", WAKE_UP_NS[place], "hand_over", "wake-up/futex")
    parts = [(name, base + byte * size, phase, f"payload/{name}") for name, phase, base, byte in PAYLOAD_NS]
    if way == "copy":
        base, byte = COPY_NS[mechanism.split("/")[0]]
        cost = f"kernel-copy/{mechanism.split('/')[0]}"
        half = (base + byte * size) / 2
        parts += [("copy in", half, "send", cost), ("copy out", half, "hand_over", cost)]
        rounds = math.ceil((size + 8) / 65536)
        if mechanism.startswith("pipe") and rounds > 1:
            parts.append(("wake-ups of further rounds", 300 * (rounds - 1), "hand_over", "wake-up/pipe"))
    elif way == "fresh-object":
        parts += [(name, base + byte * size, "prepare", "fresh/object") for name, base, byte in (
            ("make the object", 4000, 0.1), ("map", 2000, 0), ("first touch", 1500, 0.5),
            ("pass the descriptor", 2500, 0), ("map there", 2000, 0), ("first touch there", 1000, 0.05),
            ("free the object", 2000, 0.2))]
    elif way != "persistent":
        parts += [(name, (base + byte * max(size, 4096)) / k, phase, "map") for name, phase, (base, byte) in zip(
            ("map", "first touch", "unmap"), ("hand_over", "consume", "release"), MAP_NS[way])]
    return parts + [wake_up]


def modelled_ns(*transfer):
    return sum(ns for _, ns, _, _ in terms(*transfer))


def lines(waiting):
    """(way, mechanism, k) of what is measured."""
    return [("copy", name, 0) for name in COPIES[waiting]] + [
        (way, None, k) for way in WAYS
        for k in ([0] if way == "persistent" else [1] if way == "fresh-object" else COUNTS)]


def transfer(place, way, mechanism, k, size, dice):
    placement, waiting = place
    cell = {"way": way, "mechanism": mechanism, "waiting": waiting, "placement": placement,
            "messages_per_mapping": k, "size_bytes": size, "arm": "", "state": "measured", "reason": None}
    reason = skipped(place, way, mechanism, size)
    if reason:
        return cell | {"state": reason[0], "reason": reason[1], "transfer_ns": None, "low_ns": None, "high_ns": None,
                       "pairs": 0, "phases_ns": None, "cpu_ns": None, "switches": None, "model": None,
                       "residual": None, "within": False, "suspect": None}
    model_ns = modelled_ns(way, mechanism, place, k, size)
    ns = model_ns * dice.lognormvariate(0.02, 0.08)
    few = dice.random() < 0.05  # fewer than six pairs give no interval
    missing = "fresh/object, one CPU, has no figure here" if way == "fresh-object" and size > 1 << 24 else None
    spins = waiting == "spins"
    return cell | {
        "transfer_ns": ns, "low_ns": None if few else ns * 0.97, "high_ns": None if few else ns * 1.04,
        "pairs": 4 if few else 12, "phases_ns": {"prepare": 0.0, "produce": ns / 2, "send": 0.0, "hand_over": ns / 2,
                                                 "consume": 0.0, "release": None},
        "cpu_ns": {"sender": ns * (1 if spins else 0.4), "receiver": ns * (1 if spins else 0.35)}, "switches": 2.0,
        "model": {"total_ns": model_ns, "missing": missing, "terms": [] if missing else [
            {"name": name, "ns": part, "phase": phase, "cost": cost}
            for name, part, phase, cost in terms(way, mechanism, place, k, size)]},
        "residual": None if missing else (model_ns - ns) / ns, "within": not missing and abs(model_ns - ns) / ns < 0.15,
        "suspect": None}


def skipped(place, way, mechanism, size):
    if mechanism == "sysv-mq" and size > 1 << 22:
        return "skipped", "the budget of a cell is spent on fewer than five messages"
    if way == "sender-remaps" and size == 1 << 12 and place[0] == "same_cpu":
        return "only_disturbed", "12 pairs, all disturbed"
    if way == "fresh-object" and size == 1 << 26 and place[1] == "spins":
        return "failed", "memfd: ENOSPC ($0 left)"
    if way == "receiver-remaps" and size == 1 << 14 and place[1] == "spins":
        return "other_distance", None
    return None


def first_crossing(place, copy, way, k):
    """The first size at which mapping costs less, and what to call what was found; of the nominal times."""
    def difference(size):
        return modelled_ns(way, None, place, k or 10**9, size) - modelled_ns("copy", copy, place, 0, size)
    signs = [difference(size) > 0 for size in SIZES]
    if not any(signs):
        return None, "map_always"
    if all(signs):
        return None, "copy_always"
    at = next((number for number, (a, b) in enumerate(zip(signs, signs[1:])) if a and not b), None)
    if at is None:
        return None, "undecided"
    low, high = float(SIZES[at]), float(SIZES[at + 1])
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if difference(middle) > 0 else (low, middle)
    return low, "crosses"


def crossing(place, copy, way, k, source):
    size, state = first_crossing(place, copy, way, k)
    between = way == "fresh-object" and copy == "sysv-mq"
    unsure = way == "sender-remaps/populated" and k == 1000 and source == "measured"
    if unsure:
        size, state = None, "no_figures"
    if between:
        size, state = None, "map_in_between"
    exact = size is not None and source == "measured"
    return {"placement": place[0], "waiting": place[1], "copy": copy, "way": way, "messages_per_mapping": k,
            "source": source, "state": state, "size_bytes": size,
            "low_bytes": size * 0.85 if exact and size > 200 else None, "high_bytes": size * 1.2 if exact else None,
            "all_sizes_bytes": [1e5, 4e6] if between else [] if size is None else [size],
            "nearly_parallel": way == "sender-remaps/populated", "reason": "fewer than two sizes" if unsure else None}


def crossings():
    for place in PLACES:
        for copy in COPIES[place[1]]:
            for way in WAYS:
                counts = [0] if way == "persistent" else [1] if way == "fresh-object" else COUNTS
                for k in counts:
                    yield crossing(place, copy, way, k, "measured")
                    yield crossing(place, copy, way, k, "model")
                if way not in ("persistent", "fresh-object"):
                    yield crossing(place, copy, way, None, "model")


def found(seed=1):
    dice = random.Random(seed)
    transfers = [transfer(place, way, mechanism, k, size, dice) for place in PLACES
                 for way, mechanism, k in lines(place[1]) for size in SIZES]
    costs = [{"cost": "system-call", "figure": "call", "placement": "same_cpu", "size_bytes": 0, "slept_ns": 0,
              "state": "measured", "reason": None, "value_ns": 170.0, "low_ns": 168.0, "high_ns": 173.0, "pairs": 12}]
    costs += [{"cost": "kernel-copy/pipe", "figure": figure, "placement": place, "size_bytes": size, "slept_ns": 0,
               "state": "measured", "reason": None, "value_ns": 200 + 0.1 * size, "low_ns": None, "high_ns": None,
               "pairs": 4} for figure in ("copy_in", "copy_out") for place in ("same_cpu", "two_cpus") for size in SIZES]
    costs += [{"cost": "wake-up/futex", "figure": "wake_up", "placement": "two_cpus", "size_bytes": 0, "slept_ns": slept,
               "state": "measured", "reason": None, "value_ns": 15000.0 + slept / 100, "low_ns": 14000.0,
               "high_ns": 17000.0 + slept / 100, "pairs": 12} for slept in (0, 10_000, 100_000, 1_000_000)]
    costs += [{"cost": "map/read-huge", "figure": "map", "placement": "same_cpu", "size_bytes": 1 << 21, "slept_ns": 0,
               "state": "skipped", "reason": "no huge pages: /proc/sys/vm/nr_hugepages is 0", "value_ns": None,
               "low_ns": None, "high_ns": None, "pairs": 0}]
    return {
        "schema": 1, "places": [{"placement": place, "waiting": waiting, "distance": "shared L3"} for place, waiting in PLACES],
        "costs": costs, "explanations": {"kernel-copy/pipe": "One process fills and drains a pipe."},
        "transfers": transfers, "crossings": list(crossings()),
        "agreement": [{"placement": placement, "cells": 100, "within": 95, "share": 0.95, "misses": [1, 2]}
                      for placement in ("same_cpu", "two_cpus")],
        "sentences": ["on this machine, now: below 47 KiB copying through a pipe beats mapping anew"], "a_a": None}


def row_of(cell, round_):
    usage = {"cpu_ns": 1000, "voluntary_switches": 1}
    status = cell["state"] if cell["state"] in ("skipped", "failed") else "ok"
    return {"type": "transfer", "scenario": "copy-vs-map", "round": round_, "attempt": 1, "status": status,
            "messages": 100, "stride": 1, "fragments": 1, "elapsed_ns": 1000, "initiator": usage, "responder": usage,
            "reference_before": {"class": "shared L3", "round_trip_ns": 106}} | {
                key: cell[key] for key in ("way", "mechanism", "waiting", "messages_per_mapping", "size_bytes",
                                           "placement", "arm", "reason", "transfer_ns")}


def cost_row(round_):
    return {"type": "cost", "scenario": "copy-vs-map", "cost": "system-call", "placement": "same_cpu", "size_bytes": 0,
            "slept_ns": 0, "round": round_, "attempt": 1, "status": "ok", "reason": None, "passes": 100,
            "figures_ns": {"call": 170.0}}


def write_run(folder, findings, rows=(), context=CONTEXT):
    """Also the rows of other scenarios that the run holds."""
    folder.mkdir(exist_ok=True)
    lines_ = [context, cost_row(1), *(row_of(cell, 1) for cell in findings["transfers"]), *rows, END]
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines_), encoding="utf-8")
    (folder / "copy-or-map.json").write_text(json.dumps(findings), encoding="utf-8")
    return folder
