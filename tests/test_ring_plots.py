"""scripts/ring_plots.py: what is drawn of the rings is what the rows hold, and nothing where nobody asked."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from statistics import median

SOURCE = Path(os.environ.get("IPCLAB_SOURCE_DIR", Path(__file__).resolve().parent.parent))
PLOT = SOURCE / "scripts" / "plot.py"
if importlib.util.find_spec("matplotlib") is None:  # the interpreter that has it need not be this one
    interpreter = PLOT.read_text().splitlines()[0].removeprefix("#!")
    os.execv(interpreter, [interpreter, *sys.argv])
sys.path.insert(0, str(SOURCE / "scripts"))

import drawing  # noqa: E402
import results  # noqa: E402
import ring_plots  # noqa: E402
import rings_page  # noqa: E402
from test_plot import CONTEXT, END, row  # noqa: E402

RINGS = {"spsc-ring/spin": ("spins", 40), "spsc-ring/futex": ("spins then sleeps", 42), "snabb-link/interlink":
         ("spins", 60), "villas-queue/polling": ("spins", 110), "memif/poll": ("spins", 90), "boost-spsc": ("spins", 70)}
KIB, MIB = 1 << 10, 1 << 20
CAPACITIES = [16 * KIB, 256 * KIB, 4 * MIB, 16 * MIB]
BATCHES = [1, 8, 32, 128]
CACHES = {"l1d_bytes": 32 * KIB, "l2_bytes": MIB, "l3_bytes": 32 * MIB}


def ring_row(mechanism, access, round_, pattern="stream", size=64, capacity=0, batch=0, placement="two_cpus"):
    waiting, message_ns = RINGS[mechanism]
    message_ns *= (1 + 0.01 * round_) * (0.6 if access == "in_place" else 1) * (1 + size / 512)
    message_ns *= 1 + 0.5 / max(batch, 1) if batch else 1.2
    message_ns *= 1.5 if 0 < capacity < MIB else 1
    made = row("spsc-ring/spin", pattern, size, access, placement, round_)
    made |= {"mechanism": mechanism, "family": "rings", "waiting": waiting, "capacity_bytes": capacity or 4 * MIB - 8,
             "capacity_asked_bytes": capacity or None, "batch_messages_asked": batch or None, "stores_asked": None,
             "stores": "plain", "publish_every": batch or 16}
    if pattern == "stream":
        return made | {"message_ns": message_ns, "messages_per_s": 1e9 / message_ns,
                       "bytes_per_s": size * 1e9 / message_ns}
    made["round_trip_ns"] = made["round_trip_ns"] | {"p50": (200 + 2 * message_ns * max(batch, 1))}
    return made


def ring_rows(rounds=7):
    cells = [(mechanism, access) for mechanism in RINGS for access in ("copy", "in_place")]
    for round_ in range(1, rounds + 1):
        for cell in cells:
            for size in (64, 4096):
                yield from (ring_row(*cell, round_, size=size, capacity=capacity) for capacity in [0, *CAPACITIES])
            for pattern in ("ping_pong", "stream"):
                yield from (ring_row(*cell, round_, pattern, batch=batch) for batch in BATCHES)
            yield ring_row(*cell, round_, "ping_pong")


def write(folder, rows, caches=CACHES):
    lines = [CONTEXT | {"scenarios": ["rings"], "caches": caches}, *rows, END]
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return results.load(folder)


def caption(page):
    return next(text.get_text() for text in page.texts if text.get_gid() == "caption").replace("\n", " ")


def lines_of(page):
    """By the series' mechanism and access, and the title of the panel: the points."""
    lines = {}
    for axes in page.axes:
        for line in axes.get_lines():
            gid = line.get_gid() or ""
            if gid.startswith("series:"):
                lines[gid.removeprefix("series:")] = list(zip(line.get_xdata(), line.get_ydata()))
    return lines


class RingPlots(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.rows = list(ring_rows())
        drawing.set_up()

    def medians(self, key, value, **wanted):
        by = {}
        for one in self.rows:
            if one[key] and all(one[name] == what for name, what in wanted.items()):
                by.setdefault(one[key], []).append(value(one))
        return [(at, median(values)) for at, values in sorted(by.items())]

    def assert_points(self, drawn, expected):
        self.assertEqual([x for x, _ in drawn], [x for x, _ in expected])
        for (_, y), (_, wanted) in zip(drawn, expected):
            self.assertAlmostEqual(y, wanted, delta=1e-9 * wanted)

    def test_throughput_by_capacity_is_that_of_the_rows(self):
        drawn = lines_of(ring_plots.ring_capacity(write(self.folder, self.rows), "two_cpus", None))
        self.assertEqual(len(drawn), len(RINGS) * 2 * 2)
        for mechanism in RINGS:
            for access in ("copy", "in_place"):
                for size, name in ((64, "64 B"), (4096, "4 KiB")):
                    self.assert_points(drawn[f"{mechanism}|{access}@messages of {name}"], self.medians(
                        "capacity_asked_bytes", lambda one: one["bytes_per_s"], mechanism=mechanism, access=access,
                        size_bytes=size))

    def test_an_empty_panel_says_why(self):
        for one in self.rows:
            if one["mechanism"] == "memif/poll" and one["size_bytes"] == 4096:
                one |= {"status": "skipped", "reason": "memif/poll: refused, too large for a packet"}
        page = ring_plots.ring_capacity(write(self.folder, self.rows), "two_cpus", None)
        said = [text.get_text() for axes in page.axes for text in axes.texts]
        self.assertEqual(said.count("refused, too large for a packet"), 1)

    def test_the_caches_of_the_machine_are_marked(self):
        page = ring_plots.ring_capacity(write(self.folder, self.rows), "two_cpus", None)
        texts = [text.get_text() for axes in page.axes for text in axes.texts]
        for mark in ("L1d 32 KiB", "L2 1 MiB", "L3 32 MiB"):
            self.assertEqual(texts.count(mark), 2, mark)  # one over each size
        small = ring_plots.ring_capacity(write(self.folder, self.rows, CACHES | {"l3_bytes": 256 * MIB}), "two_cpus", None)
        self.assertIn("Not shown: L3\u00a0256\u00a0MiB.", caption(small))
        ring_plots.ring_capacity(write(self.folder, self.rows, None), "two_cpus", None)  # a run of old

    def test_batches_against_latency_and_throughput_are_those_of_the_rows(self):
        drawn = lines_of(ring_plots.ring_batch(write(self.folder, self.rows), "two_cpus", None))
        self.assertEqual(len(drawn), len(RINGS) * 2 * 2)
        figures = {"latency": ("ping_pong", lambda one: one["round_trip_ns"]["p50"]),
                   "throughput": ("stream", lambda one: one["messages_per_s"])}
        for mechanism in RINGS:
            for panel, (pattern, value) in figures.items():
                self.assert_points(drawn[f"{mechanism}|in_place@{panel}, 64 B"], self.medians(
                    "batch_messages_asked", value, mechanism=mechanism, access="in_place", pattern=pattern))

    def test_series_differ_in_more_than_their_colour(self):
        page = ring_plots.ring_capacity(write(self.folder, self.rows), "two_cpus", None)
        for axes in page.axes:
            looks = [(line.get_marker(), line.get_markerfacecolor() == "white", line.get_linestyle())
                     for line in axes.get_lines() if (line.get_gid() or "").startswith("series:")]
            self.assertEqual(len(looks), len(set(looks)))

    def test_a_page_says_how_many_pairs_stand_behind_a_point(self):
        page = ring_plots.ring_capacity(write(self.folder, self.rows), "two_cpus", None)
        self.assertTrue(any("n = 7 process pairs" in text.get_text() for axes in page.axes for text in axes.texts))

    def test_nobody_misses_them_where_one_ring_stands_among_others(self):
        run = write(self.folder, [one for one in self.rows if one["mechanism"] == "boost-spsc"])
        for plot in ring_plots.PLOTS.values():
            self.assertRaises(drawing.NotAsked, plot, run, "two_cpus", None)

    def test_the_page_quotes_the_rings_as_they_are_by_default(self):
        run = write(self.folder, self.rows)
        parts = rings_page.parts(run, self.folder, self.folder)
        streams = [line for line in parts["streams"].splitlines() if line.startswith("| `")]
        self.assertEqual(len(streams), 2 * len(RINGS))
        default = median(one["bytes_per_s"] for one in self.rows if one["mechanism"] == "boost-spsc" and one["access"]
                         == "copy" and one["size_bytes"] == 64 and not any(one[key] for key in results.ASKED)
                         and one["pattern"] == "stream")
        self.assertIn(f"| `boost-spsc` | copy | spins | {default / 64e6:.3g} M/s [", parts["streams"])
        self.assertIn("| 64 B | 4 KiB |", parts["streams"])
        self.assertIn("drew no ring-capacity", parts["ring-capacity"])
        (self.folder / "plots").mkdir()
        (self.folder / "plots" / "ring-capacity-two_cpus.svg").touch()
        self.assertIn("](plots/ring-capacity-two_cpus.svg)", rings_page.parts(run, self.folder, self.folder)["ring-capacity"])

    def test_the_program_draws_them(self):
        write(self.folder, self.rows)
        said = subprocess.run([PLOT, self.folder], capture_output=True,
                              text=True, check=True).stdout
        for name in ring_plots.PLOTS:
            self.assertIn(f"{name}-two_cpus.svg", said)
            self.assertTrue((self.folder / "plots" / f"{name}-two_cpus.png").stat().st_size > 20_000)


if __name__ == "__main__":
    unittest.main()
