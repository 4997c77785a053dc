"""scripts/plot.py: the plots exist, are valid, and hold the series that run.jsonl holds."""

import json
import os
import random
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

SOURCE = Path(os.environ.get("IPCLAB_SOURCE_DIR", Path(__file__).resolve().parent.parent))
PLOT = SOURCE / "scripts" / "plot.py"
SVG = "{http://www.w3.org/2000/svg}"

SIZES = [1, 64, 1024, 4096, 16384, 65536, 1048576]
PERCENTS = [0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100]
# mechanism: (accesses, waiting, round trip in ns of an empty message, ns per byte and copy)
MECHANISMS = {
    "pipe": (["copy"], "sleeps", 21000, 0.35),
    "unix-stream": (["copy"], "sleeps", 25000, 0.30),
    "posix-mq": (["copy"], "sleeps", 22500, 0.33),
    "posix-shm": (["copy", "in_place"], "sleeps", 19000, 0.12),
    "spsc-ring/spin": (["copy", "in_place"], "spins", 260, 0.10),
    "spsc-ring/futex": (["copy", "in_place"], "spins then sleeps", 420, 0.10),
    "spsc-ring/spin-yield": (["copy", "in_place"], "spins, yielding", 1900, 0.10),
}
CONTEXT = {
    "type": "context", "schema": 1, "scenarios": ["quick"], "questions": ["What does it cost?"],
    "utc": "2026-11-21T13:00:00Z", "host": "vm", "commit": "abc1234", "dirty": True,
    "cpu_model": "AMD EPYC 7763 64-Core Processor", "cpus_online": 2,
    "cpus": {"same_cpu": [1, 1], "two_cpus": [0, 1]}, "hypervisor": "kvm", "seed": 1,
}
END = {"type": "end", "stopped_by": "budget", "elapsed_s": 55.1}


def row(mechanism, pattern="ping_pong", size=64, access="copy", placement="two_cpus", round_=1,
        noise=random.Random(1), **changes):
    """One row as the suite writes it, its figures drawn at random around a plausible cost."""
    _, waiting, base_ns, byte_ns = MECHANISMS[mechanism]
    same = placement == "same_cpu"
    cost = base_ns * (0.25 if same and waiting == "sleeps" else 1)
    cost += 2 * size * byte_ns * (1 if access == "copy" else 0.6)
    p50 = cost * noise.lognormvariate(0, 0.06)
    one_way = p50 / 2 if pattern == "ping_pong" else p50 / 5
    reference = {"kind": "context_switch" if same else "cache_line",
                 "round_trip_ns": (2100 if same else 118) * noise.lognormvariate(0, 0.03),
                 "class": "same CPU" if same else "shared L3", "hiccup_ns_max": 12000,
                 "hiccup_share": 0.001}
    messages = 4000 if size < 65536 else 300
    per_batch = messages * (2 if pattern == "ping_pong" else 1)
    busy = 1.0 if waiting == "spins" else 0.45
    usage = [{"cpu_ns": int(per_batch * one_way * busy * share), "voluntary_switches": 4000,
              "involuntary_switches": 2, "minor_faults": 1, "major_faults": 0, "run_queue_ns": 0}
             for share in (1, noise.uniform(0.7, 1.1))]
    made = {
        "type": "row", "scenario": "quick", "mechanism": mechanism, "pattern": pattern,
        "size_bytes": size, "access": access, "waiting": waiting, "placement": placement,
        "round": round_, "attempt": 1, "status": "ok", "reason": None, "messages": messages,
        "elapsed_ns": int(per_batch * one_way), "fragments": 1, "capacity_bytes": 65528,
        "publish_every": 1, "touch": "all", "payload_at_reader": "warm", "bytes_in_flight_max": 64,
        "closed_loop": pattern == "ping_pong", "initiator": usage[0], "responder": usage[1],
        "reference_before": reference, "reference_after": reference, "lost_share": 0.004,
        "steal_ns": 0, "bound_by": "check" if size >= 1 << 20 and "ring" in mechanism else None}
    if pattern == "stream":
        made |= {"message_ns": one_way, "messages_per_s": 1e9 / one_way,
                 "bytes_per_s": size * 1e9 / one_way}
    else:
        tail = {50: 1, 75: 1.08, 90: 1.2, 95: 1.4, 99: 2.4, 99.5: 4, 99.9: 12, 99.99: 30, 100: 40}
        enough = [p for p in PERCENTS if p == 100 or (100 - p) / 100 * messages > 0.999]
        made |= {"stride": 8 if p50 < 1000 else 1,
                 "round_trip_ns": {"samples": messages, "mean": p50 * 1.1, "p50": p50,
                                   "p90": p50 * 1.2, "p99": p50 * 2.4, "p99_9": None,
                                   "max": p50 * 40},
                 "round_trip_ns_percentiles": [
                     [p, p50 * tail.get(p, 0.9) * (noise.lognormvariate(0, 0.2) if p > 95 else 1)]
                     for p in enough]}
    return made | changes


def skipped(*args, reason, **changes):
    keep = ("type", "scenario", "mechanism", "pattern", "size_bytes", "access", "placement",
            "round", "attempt")
    whole = row(*args, **changes)
    return {key: whole[key] for key in keep} | {"status": "skipped", "reason": reason}


def full_run(rounds=9):
    """Seven mechanisms on both placements, with what goes wrong on a real machine."""
    noise = random.Random(7)
    rows = []
    for round_ in range(1, rounds + 1):
        for placement in ("two_cpus", "same_cpu"):
            for mechanism, (accesses, waiting, *_) in MECHANISMS.items():
                for access in accesses:
                    for pattern in ("ping_pong", "stream"):
                        for size in SIZES:
                            cell = dict(mechanism=mechanism, pattern=pattern, size=size,
                                        access=access, placement=placement, round_=round_,
                                        noise=noise)
                            if waiting == "spins, yielding" and placement == "two_cpus":
                                continue
                            if waiting == "spins" and placement == "same_cpu":
                                reason = "a pure spinner on one CPU wastes its whole time slice"
                                rows += [skipped(**cell, reason=reason)] if round_ == 1 else []
                            elif mechanism == "posix-mq" and size > 65536:
                                rows.append(skipped(**cell, reason="mq_open: EINVAL (Invalid "
                                                    "argument), msgsize_max is 65536"))
                            elif mechanism == "posix-mq" and size > 8192:
                                rows.append(row(**cell, fragments=size // 8192))
                            elif noise.random() < 0.03:
                                rows.append(row(**cell, status="disturbed",
                                                reason="lost 12 % to preemption"))
                                rows.append(row(**cell, attempt=2))
                            else:
                                rows.append(row(**cell))
    far = row("pipe", round_=rounds + 1)
    far["reference_before"] = far["reference_before"] | {"class": "far"}
    return rows + [far, row("unix-stream", status="failed", reason="PeerGone: recv: ECONNRESET")]


def life_row(mechanism, size, round_, **changes):
    made = row(mechanism, size=size, round_=round_)
    for key in ("round_trip_ns", "round_trip_ns_percentiles", "stride"):
        del made[key]
    steps = {key: 1000 * number for number, key in enumerate(
        ("create_ns", "attach_initiator_ns", "attach_responder_ns", "first_message_ns",
         "detach_initiator_ns", "detach_responder_ns", "destroy_ns"), 1)}
    return made | {"pattern": "lifecycle", "messages": 1, "life_ns": 20000,
                   "lifecycle": steps} | changes


def write_run(folder, rows, context=CONTEXT, end=END, tail=b""):
    lines = [json.dumps(item) for item in (context, *rows, end) if item]
    (folder / "run.jsonl").write_bytes("\n".join(lines).encode() + b"\n" + tail)


def plot(*arguments):
    """By its own first line: the interpreter that has matplotlib need not be this one."""
    return subprocess.run([PLOT, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          check=False)


def series_in(svg):
    """gid -> how many points have a marker, in an SVG file."""
    groups = [group for group in xml.parse(svg).iter(f"{SVG}g")
              if group.get("id", "").startswith("series:")]
    return {group.get("id"): len(list(group.iter(f"{SVG}use"))) for group in groups}


def expected(rows, pattern, placement, size=None):
    """gid -> number of sizes, of the rows that count; every class but "far" is the common one."""
    cells = {(item["mechanism"], item["access"], item["size_bytes"]) for item in rows
             if item["pattern"] == pattern and item["placement"] == placement
             and item["status"] == "ok" and item["reference_before"]["class"] != "far"
             and size in (None, item["size_bytes"])}
    gids = [f"series:{mechanism}|{access}" for mechanism, access, _ in cells]
    return {gid: gids.count(gid) for gid in gids}


def with_matplotlib(code, *arguments):
    """What code prints in the interpreter that plot.py names, from the scripts' folder."""
    interpreter = PLOT.read_text().splitlines()[0].removeprefix("#!")
    return subprocess.run([interpreter, "-c", code, *map(str, arguments)], cwd=PLOT.parent,
                          capture_output=True, text=True, timeout=120, check=True).stdout


def assert_margin_is_white(case, folder):
    """Text that is cut off leaves ink at the edge of the picture."""
    code = """import sys, matplotlib.image
for path in sys.argv[1:]:
    p = matplotlib.image.imread(path)[:, :, :3]
    print(min(part.min() for part in (p[:9], p[-9:], p[:, :9], p[:, -9:])))"""
    paths = sorted(folder.glob("*.png"))
    whiteness = with_matplotlib(code, *paths).split()
    case.assertEqual(dict(zip(paths, whiteness)), dict.fromkeys(paths, "1.0"))


class Plots(unittest.TestCase):
    """One full run, drawn once."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = Path(cls.temporary.name)
        cls.rows = full_run()
        write_run(cls.folder, cls.rows, tail=b'{"type":"row","mechanism":"pi')
        cls.result = plot(cls.folder)
        cls.plots = cls.folder / "plots"

    def assert_series(self, name, series):
        self.assertGreaterEqual(len(series), 8)
        self.assertEqual(series_in(self.plots / f"{name}.svg"), series)

    def test_every_plot_is_written_and_nothing_else(self):
        self.assertEqual((self.result.returncode, self.result.stderr), (0, ""))
        names = {f"{name}-{placement}.{suffix}"
                 for name in ("latency", "throughput", "distribution", "cpu-ping_pong",
                              "cpu-stream")
                 for placement in ("two_cpus", "same_cpu") for suffix in ("svg", "png")}
        self.assertEqual({path.name for path in self.plots.iterdir()}, names)

    def test_pictures_are_whole_and_large_enough_to_read(self):
        for path in self.plots.glob("*.png"):
            data = path.read_bytes()
            self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n", path.name)
            self.assertEqual(data[-8:-4], b"IEND", path.name)
            width, height = struct.unpack(">II", data[16:24])
            self.assertTrue(1000 < width < 2500 and 600 < height < 2000, (path.name, width, height))

    def test_nothing_is_cut_at_the_edge(self):
        assert_margin_is_white(self, self.plots)

    def test_lines_hold_every_size_of_every_series_of_the_run(self):
        for placement in ("two_cpus", "same_cpu"):
            for name, pattern in (("latency", "ping_pong"), ("throughput", "stream")):
                self.assert_series(f"{name}-{placement}", expected(self.rows, pattern, placement))

    def test_the_distribution_runs_from_the_median_to_the_last_percentile_with_enough_samples(self):
        for placement in ("two_cpus", "same_cpu"):
            series = expected(self.rows, "ping_pong", placement, 64)
            self.assert_series(f"distribution-{placement}", dict.fromkeys(series, 7))

    def test_bars_hold_both_sides_of_every_series(self):
        for placement in ("two_cpus", "same_cpu"):
            for pattern in ("ping_pong", "stream"):
                gids = series_in(self.plots / f"cpu-{pattern}-{placement}.svg")
                series = expected(self.rows, pattern, placement, 64)
                self.assertEqual(set(gids), {f"{gid}|{side}" for gid in series
                                             for side in ("initiator", "responder")})


class Cases(unittest.TestCase):
    """Small runs, one property each."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def draw(self, rows, *options, **changes):
        write_run(self.folder, rows, **changes)
        result = plot(self.folder, *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def text(self, name):
        """What an SVG says: matplotlib repeats each string as a comment beside its outlines."""
        svg = (self.folder / "plots" / f"{name}.svg").read_text()
        return " ".join(" ".join(line.split()) for line in svg.splitlines())

    def files(self):
        return sorted(path.stem for path in self.folder.glob("plots/*.png"))

    def assert_refused(self, result, *words):
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse((self.folder / "plots").exists())

    def test_the_same_rows_give_the_same_file(self):
        drawn = []
        for _ in range(2):
            self.draw([row("pipe", pattern="stream", noise=random.Random(1))])
            drawn.append((self.folder / "plots" / "throughput-two_cpus.svg").read_bytes())
        self.assertEqual(*drawn)

    def test_title_and_caption_identify_the_run_and_what_it_shows(self):
        self.draw([row("pipe", round_=n) for n in range(7)])
        said = self.text("latency-two_cpus")
        for words in ("AMD EPYC 7763", "two CPUs (0/1)", "n = 7 process pairs", "abc1234",
                      "2026-11-21T13:00:00Z", "shared L3", "waiting: sleeps"):
            self.assertIn(words, said)

    def test_long_names_are_not_cut(self):
        host = CONTEXT | {"host": "a-host-with-a-very-long-name.in.a.domain", "cpu_model": "x" * 60}
        name = {"mechanism": "a-mechanism-with-a-long-name/and-a-long-way-of-waiting"}
        self.draw([row("posix-shm", access="in_place") | name,
                   skipped("pipe", reason="n" * 200)], context=host)
        assert_margin_is_white(self, self.folder / "plots")

    def test_rows_left_out_are_counted_and_skipped_mechanisms_named_with_the_reason(self):
        far = row("pipe", round_=9)
        far["reference_before"] = far["reference_before"] | {"class": "far"}
        self.draw([row("pipe"), row("pipe", round_=2), far, row("pipe", status="disturbed"),
                   row("posix-shm", status="disturbed"),
                   skipped("posix-mq", reason="mq_open: ENOSYS costs $0 and $1")])
        said = self.text("latency-two_cpus")
        for words in ("1 of class “far”", "2 disturbed", "1 skipped",
                      "mq_open: ENOSYS costs $0 and $1): posix-mq · copy (64 B)",
                      "No row left: posix-shm · copy (64 B)"):
            self.assertIn(words, said)

    def test_six_pairs_give_an_interval_and_five_give_none(self):
        def bands():
            svg = xml.parse(self.folder / "plots" / "latency-two_cpus.svg")
            return sum("PolyCollection" in item.get("id", "")
                       and item.find(f".//{SVG}use") is not None for item in svg.iter(f"{SVG}g"))
        cells = [dict(round_=n, size=size) for n in range(6) for size in (64, 1024)]
        self.draw([row("pipe", **cell) for cell in cells])
        self.assertEqual(bands(), 1)
        self.draw([row("pipe", **cell) for cell in cells if cell["round_"] < 5])
        self.assertEqual(bands(), 0)

    def test_the_interval_is_that_of_the_harness(self):
        squares = "[n * n for n in range(9, 0, -1)]"
        said = with_matplotlib(f"import results; print(results.median_interval({squares}))")
        # places 2.12 and 7.88 of 9: Beta(5, 5) has 2.5 % below 0.21201
        for value, known in zip(json.loads(said.replace("(", "[").replace(")", "]")),
                                (25, 4.6005, 62.1993)):
            self.assertAlmostEqual(value, known, places=2)

    def test_a_missing_size_leaves_a_gap_in_the_line(self):
        self.draw([row("pipe", size=size) for size in (1, 64, 1024)]
                  + [row("posix-mq", size=size) for size in (1, 1024)])
        svg = xml.parse(self.folder / "plots" / "latency-two_cpus.svg")
        moves = {group.get("id"): group.find(f"{SVG}path").get("d").count("M")
                 for group in svg.iter(f"{SVG}g") if group.get("id", "").startswith("series:")}
        self.assertEqual(moves["series:pipe|copy"], 1)
        self.assertEqual(moves["series:posix-mq|copy"], 2)

    def test_rows_of_one_cell_that_differ_in_a_setting_are_series_of_their_own(self):
        self.draw([row("spsc-ring/spin", publish_every=n) for n in (1, 16)]
                  + [row("pipe", touch="header")])
        self.assertEqual(set(series_in(self.folder / "plots" / "latency-two_cpus.svg")),
                         {"series:spsc-ring/spin|copy|publish_every=1",
                          "series:spsc-ring/spin|copy|publish_every=16",
                          "series:pipe|copy|touch=header"})

    def test_size_chooses_the_size_of_distribution_and_bars(self):
        rows = [row("pipe", size=size) for size in (64, 4096)] + [row("posix-mq", size=4096)]
        self.draw(rows)
        self.assertIn("at 4 KiB", self.text("distribution-two_cpus"))
        self.draw(rows, "--size", "64")
        self.assertIn("at 64 B", self.text("distribution-two_cpus"))
        self.assertIn("at 64 B", self.text("cpu-ping_pong-two_cpus"))

    def test_what_carries_no_payload_is_a_level_over_all_sizes(self):
        rows = [row("pipe", size=size) for size in (1, 64, 4096)]
        self.draw(rows + [row("pipe", size=0) | {"mechanism": "eventfd"}])
        self.assertEqual(series_in(self.folder / "plots" / "latency-two_cpus.svg"),
                         {"series:pipe|copy": 3, "series:eventfd|no_payload": 2})
        for name in ("distribution-two_cpus", "cpu-ping_pong-two_cpus", "latency-two_cpus"):
            self.assertIn("eventfd · no payload", self.text(name))

    def test_a_run_of_notifications_alone_is_drawn(self):
        self.draw([row("pipe", size=0) | {"mechanism": "eventfd"}])
        self.assertIn("latency-two_cpus", self.files())

    def test_many_mechanisms_get_a_panel_per_family(self):
        rows = [row("pipe", size=size) | {"mechanism": f"{family}-{number}", "family": family}
                for family in ("pipes", "sockets", "message_queues", "shared_memory")
                for number in range(9 if family == "sockets" else 3) for size in (1, 64, 4096)]
        self.draw(rows)
        said = self.text("latency-two_cpus")
        for words in ("<!-- pipes -->", "<!-- sockets (1 of 2) -->", "<!-- sockets (2 of 2) -->",
                      "<!-- message queues -->", "<!-- shared memory -->", "the other families"):
            self.assertIn(words, said)
        series = series_in(self.folder / "plots" / "latency-two_cpus.svg")
        self.assertEqual((len(series), set(series.values())), (18, {3}))
        assert_margin_is_white(self, self.folder / "plots")

    def test_capacities_asked_are_a_plot_of_their_own_with_the_default_as_a_star(self):
        rows = [row("pipe", pattern="stream", round_=n, capacity_asked_bytes=asked)
                for n in range(6) for asked in (None, 16384, 65536, 1 << 20)]
        self.draw(rows)
        self.assertEqual(series_in(self.folder / "plots" / "capacity-stream-two_cpus.svg"),
                         {"series:pipe|copy": 3})
        said = self.text("capacity-stream-two_cpus")
        for words in ("<!-- 16 KiB -->", "<!-- 64 KiB -->", "<!-- 1 MiB -->", "star: default"):
            self.assertIn(words, said)
        self.assertEqual(series_in(self.folder / "plots" / "throughput-two_cpus.svg"),
                         {"series:pipe|copy": 1})

    def test_a_life_has_a_panel_per_step(self):
        self.draw([life_row(mechanism, size, n) for mechanism in ("pipe", "posix-mq")
                   for size in (64, 4096) for n in range(6)])
        self.assertEqual(self.files(), ["lifecycle-two_cpus"])
        said = self.text("lifecycle-two_cpus")
        for words in ("create", "attach", "first message", "detach", "destroy"):
            self.assertIn(f"<!-- {words} -->", said)
        assert_margin_is_white(self, self.folder / "plots")

    def test_cpu_time_of_a_ping_pong_is_per_message_not_per_round_trip(self):
        usage = {"initiator": {"cpu_ns": 8_000_000}, "responder": {"cpu_ns": 4_000_000}}
        self.draw([row("pipe", messages=1000, **usage),
                   row("pipe", pattern="stream", messages=1000, **usage)])
        for words in ("<!-- 4 µs -->", "<!-- 2 µs -->"):
            self.assertIn(words, self.text("cpu-ping_pong-two_cpus"))
        for words in ("<!-- 8 µs -->", "<!-- 4 µs -->"):
            self.assertIn(words, self.text("cpu-stream-two_cpus"))

    def test_one_row_of_an_unknown_mechanism_is_drawn(self):
        self.draw([row("pipe") | {"mechanism": "carrier-pigeon", "waiting": "coos"}])
        self.assertEqual(self.files(),
                         ["cpu-ping_pong-two_cpus", "distribution-two_cpus", "latency-two_cpus"])

    def test_a_stream_alone_gives_its_plots_and_says_which_are_missing(self):
        said = self.draw([row("pipe", pattern="stream")])
        self.assertEqual(self.files(), ["cpu-stream-two_cpus", "throughput-two_cpus"])
        self.assertIn("no latency-two_cpus: no comparable ping-pong row", said)

    def test_skipped_rows_alone_draw_nothing_and_say_why(self):
        said = self.draw([skipped("posix-mq", reason="mq_open: ENOSYS")])
        self.assertFalse((self.folder / "plots").exists())
        self.assertIn("mq_open: ENOSYS", said)

    def test_rows_without_percentiles_or_cpu_times_still_give_the_latency(self):
        said = self.draw([row("pipe", round_trip_ns_percentiles=None, initiator=None)])
        self.assertEqual(self.files(), ["latency-two_cpus"])
        self.assertIn("no distribution-two_cpus: no row has percentiles", said)
        self.assertIn("no cpu-ping_pong-two_cpus: no row has CPU times", said)

    def load(self, contents):
        """What each of several run files holds: the number of its rows, or why it is refused."""
        for number, data in enumerate(contents):
            (self.folder / str(number)).mkdir()
            (self.folder / str(number) / "run.jsonl").write_bytes(data)
        code = """import pathlib, sys, results
for folder in sys.argv[1:]:
    try:
        print(len(results.load(pathlib.Path(folder)).rows))
    except results.BadResults as error:
        print(error)"""
        folders = [self.folder / str(number) for number in range(len(contents))]
        return with_matplotlib(code, *folders).splitlines()

    def test_a_tail_torn_anywhere_is_tolerated(self):
        whole = b"".join(json.dumps(item).encode() + b"\n" for item in (CONTEXT, row("pipe")))
        line = json.dumps(row("pipe", reason="größer"), ensure_ascii=False).encode()
        tails = [line[:length] for length in range(len(line) + 1)] + [line[:99] + b"\n"]
        self.assertEqual(self.load([whole + tail for tail in tails]), ["1"] * len(tails))
        self.assertEqual(self.draw([row("pipe", pattern="stream")], end=None, tail=line[:99])
                         .count(".svg"), 2)
        self.assertIn("the run did not end", self.text("throughput-two_cpus"))

    def test_a_broken_line_is_refused_with_file_and_line(self):
        whole = json.dumps(row("pipe")).encode()
        context, end = json.dumps(CONTEXT).encode(), json.dumps(END).encode()
        broken = [b'{"type":"row","mech', b"[]", b"", b'{"type":"row"}', b"\xff", context, end,
                  *(json.dumps(row("pipe", **changes)).encode() for changes in (
                      {"round_trip_ns": {"p50": 0}}, {"round_trip_ns_percentiles": [50]},
                      {"messages": float("nan")}, {"status": "great"}, {"size_bytes": "64"}))]
        refusals = self.load([b"\n".join((context, whole, line, whole, b"")) for line in broken])
        self.assertEqual(len(refusals), len(broken))
        for number, refusal in enumerate(refusals):
            self.assertTrue(refusal.startswith(f"{self.folder}/{number}/run.jsonl:3: "), refusal)

    def test_bad_input_is_refused_in_one_line(self):
        self.assert_refused(plot(self.folder / "nowhere"), "nowhere/run.jsonl: No such file")
        (self.folder / "run.jsonl").write_bytes(b"")
        self.assert_refused(plot(self.folder), "no rows")
        write_run(self.folder, [])
        self.assert_refused(plot(self.folder), "no rows")
        write_run(self.folder, [row("pipe")], context=CONTEXT | {"schema": 2})
        self.assert_refused(plot(self.folder), "run.jsonl:1: schema 2")
        write_run(self.folder, [row("pipe")], context=None)
        self.assert_refused(plot(self.folder), "run.jsonl:1: a line of type 'row'")
        write_run(self.folder, [row("pipe")])
        self.assert_refused(plot(self.folder, "--size", "4KiB"), "4 KiB", "64 B")

    def test_a_failed_write_leaves_no_part_behind(self):
        write_run(self.folder, [row("pipe")])
        (self.folder / "plots").mkdir()
        (self.folder / "plots" / "latency-two_cpus.svg").mkdir()  # in the way of the rename
        result = plot(self.folder)
        self.assertEqual(result.returncode, 2)
        self.assertEqual([path.name for path in (self.folder / "plots").iterdir()],
                         ["latency-two_cpus.svg"])

    def test_help_names_the_folder_and_the_size(self):
        result = plot("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("RESULTS-DIR", result.stdout)
        self.assertIn("--size", result.stdout)


if __name__ == "__main__":
    unittest.main()
