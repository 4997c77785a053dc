"""The generated parts of docs/copy-or-map.md: what the committed run of copy-vs-map found, as Markdown."""

import math
import os
import pathlib

from copy_or_map_data import PLACES, WAYS, Findings, about_text, interval_text, remaps, threshold_text, thresholds
from results import size_text, time_text

NO_RUN = "*No run of copy-vs-map is committed yet; `ipclab run copy-vs-map` makes one.*"
COLUMNS = 6  # of sizes, at most
SIZES = (64, 4 << 10, 64 << 10, 1 << 20, 16 << 20)
# What a row of the table of costs adds up: name, cost, figures.
SUMS = (
    ("writing and checking a payload, in private memory", "payload/private", ("fill", "check")),
    ("memcpy, from memory of one's own to other", "memory-copy", ("copy",)),
    ("into a pipe and out again", "kernel-copy/pipe", ("copy_in", "copy_out")),
    ("into a Unix socket and out again", "kernel-copy/unix-stream", ("copy_in", "copy_out")),
    ("out of the other process (process_vm_readv)", "kernel-copy/process-vm", ("copy_out",)),
    ("map, unmap, touch nothing", "map/untouched", ("map", "unmap")),
    ("map, read a word of each page, unmap", "map/read", ("map", "touch", "unmap")),
    ("the same, populated", "map/read-populated", ("map", "touch", "unmap")),
    ("map, write a word of each page, unmap", "map/write", ("map", "touch", "unmap")),
    ("the same, populated", "map/write-populated", ("map", "touch", "unmap")),
)
PICTURES = {
    "components": {"components-same_cpu-sleeps": "What a message's time is made of, one CPU",
                   "components-two_cpus-sleeps": "What a message's time is made of, two CPUs"},
    "total": {"total-same_cpu-sleeps": "Time of a message by its size, one CPU",
              "total-two_cpus-sleeps": "Time of a message by its size, two CPUs, both sides sleep",
              "total-two_cpus-spins": "Time of a message by its size, two CPUs, both sides spin"},
    "by-k": {"crossings-pipe": "From which size on mapping beats the pipe, by how often a mapping is used"},
    "residuals": {"residuals": "How far the model is off"},
    "cpu": {"cpu-two_cpus-sleeps": "CPU time beside the time of a message, two CPUs, both sides sleep",
            "cpu-two_cpus-spins": "CPU time beside the time of a message, two CPUs, both sides spin"},
}
STATES = {"map_always": "at every size", "copy_always": "at no size", "map_in_between": "in between only",
          "undecided": "cannot be told", "no_figures": ""}


class Costs:
    """The figures of a run's costs."""

    def __init__(self, found):
        self.cells = {(cost["cost"], cost["figure"], cost["placement"], cost["size_bytes"], cost["slept_ns"]): cost
                      for cost in found.get("costs") or ()}

    def ns(self, cost, figure, placement="same_cpu", size=0, slept=0):
        cell = self.cells.get((cost, figure, placement, size, slept))
        counts = cell and cell["state"] == "measured" and cell["value_ns"] is not None
        return cell["value_ns"] if counts else math.nan

    def total_ns(self, cost, figures, placement="same_cpu", size=0):
        return sum(self.ns(cost, figure, placement, size) for figure in figures)

    def sizes(self, cost, placement="same_cpu"):
        return sorted({size for name, _, place, size, _ in self.cells if name == cost and place == placement and size})

    def sleeps(self):
        return sorted({slept for name, _, _, _, slept in self.cells if name.startswith("wake-up/")})

    def wakers(self, placement):
        return list(dict.fromkeys(name for name, _, place, _, _ in self.cells
                                  if name.startswith("wake-up/") and place == placement))


def parts(found, folder, page):
    """name -> Markdown; `folder` holds the run, `page` is the folder of the page, for its links."""
    findings, costs = Findings(found), Costs(found)
    out = {name: "\n\n".join(picture(plot, title, folder, page) for plot, title in plots.items()
                             if (folder / "plots" / f"copy-or-map-{plot}.png").exists())
           for name, plots in PICTURES.items()}
    return out | {"sentences": sentences(found), "crossings": crossings(findings), "agreement": agreement(found),
                  "costs": main_costs(costs), "wake-ups": wake_ups(costs), "surprises": surprises(findings, costs),
                  "explanations": explanations(found)}


def picture(plot, title, folder, page):
    """Leads to the SVG, in which the small print can be read."""
    stem = pathlib.PurePosixPath(os.path.relpath(folder / "plots" / f"copy-or-map-{plot}", page))
    return f"[![{title}]({stem}.png)]({stem}.svg)"


def sentences(found):
    return "\n".join(f"> {sentence}\n>" for sentence in found["sentences"]).removesuffix("\n>")


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def thresholds_table():
    return table(["system", "size", "what changes there", "source"],
                 [[each["name"], threshold_text(each), each["switches"], each["source"]] for each in thresholds()])


def crossings(findings):
    """From which size on mapping beats the pipe: a table for each place, what is measured and what the model says."""
    out, parallel = [], False
    for place in findings.places:
        here = [crossing for crossing in findings.crossings(place) if crossing["copy"].split("/")[0] == "pipe"]
        counts = findings.counts(place)
        rows = []
        for way in (way for way in WAYS if any(crossing["way"] == way for crossing in here)):
            for source in ("measured", "model"):
                of_way = {crossing["messages_per_mapping"]: crossing for crossing in here
                          if crossing["way"] == way and crossing["source"] == source}
                limit = of_way.get(None) if remaps(way) else of_way.get(0)
                cells = [*(of_way.get(k) for k in counts), limit]
                if any(cells):
                    rows.append([f"`{way}`", source, *map(crossing_text, cells)])
        parallel |= any(crossing.get("nearly_parallel") for crossing in here)
        copy = next((crossing["copy"] for crossing in here), "pipe")
        out += [f"**{capital(place.label)}**, against `{copy}`:",
                table(["way", "", *(f"k = {k}" for k in counts), "∞"], rows)]
    notes = ["Sizes from which mapping is cheaper, with 95 % intervals; “…” is an end beyond the sizes measured. ∞: "
             "measured, what is mapped once and for all; by the model, the limit of a way that remaps."]
    if parallel:
        notes.append("~ the two curves are nearly parallel there: a small change of either moves the crossing far.")
    return "\n\n".join([*out, *notes])


def crossing_text(crossing):
    if not crossing:
        return ""
    text = STATES[crossing["state"]] if crossing["state"] in STATES else interval_text(crossing)
    return f"{text} ~" if crossing.get("nearly_parallel") and crossing["state"] == "crosses" else text


def agreement(found):
    out = []
    for each in found["agreement"]:
        placement, cells, within = each["placement"], each["cells"], each["within"]
        allowed = "within 15 % of the measured time" if placement == "same_cpu" else (
            "within 25 % of the measured time, or inside its interval")
        share = f" ({each['share']:.0%})".replace("%", " %") if cells else ""
        rest = f" {each['without_model']} more have no model." if each.get("without_model") else ""
        out.append(f"- On {PLACES.get(placement, placement)}: {within} of {cells} transfers{share} are {allowed}.{rest}")
    return "\n".join(out)


def explanations(found):
    """Each cost's, in the paragraph that its source gives it."""
    return "\n".join(f"- `{name}`: {text}" for name, text in found["explanations"].items())


def main_costs(costs):
    sizes = costs.sizes("kernel-copy/pipe")
    if len(sizes) > COLUMNS:
        sizes = [size for size in SIZES if size in sizes]
    rows = []
    for name, cost, figures in SUMS:
        least = 4096 if cost.startswith("map/") else 0
        values = [costs.total_ns(cost, figures, size=max(size, least)) for size in sizes]
        if not all(map(math.isnan, values)):
            rows.append([f"{name}", f"`{cost}`", *map(text_of, values)])
    call = costs.ns("system-call", "call")
    entry = "" if math.isnan(call) else f"A system call that does nothing takes {time_text(call)} here. "
    return (f"{entry}On one CPU, in one process; medians, whose intervals stand in summary.md:\n\n"
            + table(["what", "cost", *map(size_text, sizes)], rows))


def wake_ups(costs):
    out, sleeps = [], costs.sleeps()
    for placement in ("same_cpu", "two_cpus"):
        rows = [[f"`{name}`", *(text_of(costs.ns(name, "wake_up", placement, 0, slept)) for slept in sleeps)]
                for name in costs.wakers(placement)]
        rows = [row for row in rows if any(row[1:])]
        if rows:
            slept = ["at once" if not each else f"after {time_text(each)}" for each in sleeps]
            out += [f"On {PLACES[placement]}, where the sleeper is woken …", table(["cost", *slept], rows)]
    return "\n\n".join(out)


def text_of(ns):
    return "" if math.isnan(ns) else time_text(ns)


def surprises(findings, costs):
    """Whether what the chapter says holds in this run, each with the figures that tell."""
    rows = [row for test in (write_against_read, write_against_copy, sender_wins_later, populated_against_faults,
                             wake_up_against_copy, sleep_makes_dear, pipe_on_two_cpus) for row in test(findings, costs)]
    return table(["what the text says", "here", "figures"], rows) if rows else "*This run has no figures for them.*"


def verdict(text, holds, figures):
    return [text, "yes" if holds else "no", figures]


def nearest(sizes, wanted):
    return min(sizes, key=lambda size: abs(math.log2(size / wanted)))


def write_against_read(_, costs):
    sizes = [size for size in costs.sizes("map/write") if costs.ns("map/read", "touch", size=size) > 0
             and costs.ns("map/write", "touch", size=size) > 0]
    if sizes:
        size = nearest(sizes, 1 << 20)
        read, write = (costs.ns(cost, "touch", size=size) / (size / 4096) for cost in ("map/read", "map/write"))
        yield verdict("faults that write cost more than faults that read", write > read,
                      f"{time_text(write)} against {time_text(read)} a page, at {size_text(size)}")


def write_against_copy(_, costs):
    ratios = {}
    for size in (size for size in costs.sizes("map/write") if size >= 16 << 10):  # of less, the system calls are most
        mapped = costs.total_ns("map/write", ("map", "touch", "unmap"), size=size)
        copied = costs.total_ns("kernel-copy/pipe", ("copy_in", "copy_out"), size=size)
        if mapped > 0 and copied > 0:
            ratios[size] = mapped / copied
    if ratios:
        most, least = max(ratios, key=ratios.get), min(ratios, key=ratios.get)
        yield verdict("mapping memory to write it can cost more than copying it into a pipe and out again, step "
                      "against step", ratios[most] > 1, f"{ratios[most]:.2g} times as much at {size_text(most)}, "
                      f"{ratios[least]:.2g} times at {size_text(least)}")


def populated_against_faults(_, costs):
    figures = ("map", "touch", "unmap")
    ratios = {size: costs.total_ns("map/read-populated", figures, size=size)
              / costs.total_ns("map/read", figures, size=size) for size in costs.sizes("map/read-populated") if size in costs.sizes("map/read")}
    ratios = {size: ratio for size, ratio in ratios.items() if not math.isnan(ratio)}
    if ratios:
        slower = max(ratios, key=ratios.get)
        yield verdict("populating can take longer than faults that read", ratios[slower] > 1,
                      f"{ratios[slower]:.2g} times as long at {size_text(slower)}")


def wake_up_against_copy(_, costs):
    figures = ("copy_in", "copy_out")
    sizes = [size for size in costs.sizes("kernel-copy/pipe")
             if costs.total_ns("kernel-copy/pipe", figures, size=size) > 0]
    sleeps = [slept for slept in costs.sleeps() if costs.ns("wake-up/futex", "wake_up", "two_cpus", 0, slept) > 0]
    if sizes and sleeps:
        size, slept = nearest(sizes, 64 << 10), min(sleeps, key=lambda each: abs(each - 100_000))
        wake_up, copy = costs.ns("wake-up/futex", "wake_up", "two_cpus", 0, slept), costs.total_ns(
            "kernel-copy/pipe", figures, size=size)
        yield verdict(f"a wake-up on the other CPU costs more than copying {size_text(size)} through a pipe",
                      wake_up > copy, f"{time_text(wake_up)} after {sleep_text(slept)}, against {time_text(copy)}")


def sleep_makes_dear(_, costs):
    known = [(slept, costs.ns("wake-up/futex", "wake_up", "two_cpus", 0, slept)) for slept in costs.sleeps()]
    known = [(slept, ns) for slept, ns in known if ns > 0]
    if len(known) > 1:
        (first, short), (last, long) = known[0], known[-1]
        yield verdict("the longer the sleep, the dearer the wake-up", long > short,
                      f"{time_text(short)} after {sleep_text(first)}, {time_text(long)} after {sleep_text(last)}")


def sleep_text(slept_ns):
    return f"{time_text(slept_ns)} of sleep" if slept_ns else "no sleep"


def pipe_on_two_cpus(findings, _):
    times = {}
    for place in findings.places:
        for line in findings.lines(place):
            if line.mechanism == "pipe":
                for size, cell in findings.measured(place, line).items():
                    times.setdefault(size, {})[place.placement] = cell["transfer_ns"]
    both = {size: pair for size, pair in times.items() if len(pair) == 2 and size >= 256 << 10}
    if both:
        size = min(both)
        one, two = both[size]["same_cpu"], both[size]["two_cpus"]
        yield verdict("a large message goes through a pipe slower on two CPUs than on one", two > one,
                      f"{time_text(two)} against {time_text(one)}, at {size_text(size)}")


def sender_wins_later(findings, _):
    """Of mapping anew for each message, page by page, against the pipe."""
    told, later = [], []
    for place in findings.places:
        anew = {crossing["way"]: crossing for crossing in findings.crossings(place, "measured")
                if crossing["messages_per_mapping"] == 1 and crossing["copy"].split("/")[0] == "pipe"}
        read, write = anew.get("receiver-remaps"), anew.get("sender-remaps")
        if read and write and {read["state"], write["state"]} <= {"crosses", "copy_always", "map_always"}:
            told.append(f"{place.label}: {begins(write)} against {begins(read)}")
            later.append(order_of(write) >= order_of(read))
    if told:
        yield verdict("mapping anew for each message beats the pipe later when it is mapped to write than when it is "
                      "mapped to read, or never", all(later), "; ".join(told))


def begins(crossing):
    return f"from {about_text(crossing['size_bytes'])} on" if crossing["state"] == "crosses" else crossing_text(crossing)


def order_of(crossing):
    return {"map_always": 0, "copy_always": math.inf}.get(crossing["state"], crossing["size_bytes"])


def capital(text):
    return text[:1].upper() + text[1:]
