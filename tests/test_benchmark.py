"""ipclab_benchmark: every mechanism is there, the library's flags work, the counters make sense, and
nothing stays behind. Nothing here depends on how fast this machine is."""

import csv
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
import uuid
from pathlib import Path

PROGRAM = os.environ["IPCLAB_BENCHMARK_PROGRAM"]
IPCLAB = os.environ["IPCLAB_PROGRAM"]
PATTERNS = ["ping_pong", "stream"]
WITHOUT_PAYLOAD = ["eventfd", "signal"]
SIDES = ["initiator", "responder"]
MARK = "IPCLAB_TEST_MARK"
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith("BENCHMARK_")}


def benchmark(*flags, **environment):
    return subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=120,
                          env={**ENVIRONMENT, **environment}, check=False)


def rows(*flags):
    """What the library writes as JSON about the benchmarks that it ran."""
    done = benchmark("--benchmark_format=json", *flags)
    if done.returncode != 0:
        raise AssertionError(f"exit status {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)["benchmarks"]


def names(*flags):
    return benchmark("--benchmark_list_tests", *flags).stdout.split()


def mechanisms():
    table = subprocess.run([IPCLAB, "list", "--markdown"], capture_output=True, text=True,
                           timeout=60, check=True).stdout
    return list(dict.fromkeys(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)))


def spinning_mechanisms():
    """Those that spin and never let go of the CPU."""
    table = subprocess.run([IPCLAB, "list", "--markdown"], capture_output=True, text=True,
                           timeout=60, check=True).stdout
    return set(re.findall(r"^\| `([^`]+)` \|.*\| spins \|", table, re.MULTILINE))


def objects_of(pid):
    """What a process has made that has a name, as far as one can look."""
    runtime = Path(f"/tmp/ipclab-{os.geteuid()}")
    return {str(path) for folder in (Path("/dev/shm"), Path("/dev/mqueue"), runtime)
            if folder.is_dir() for path in folder.glob(f"ipclab-*-{pid}-*")}


def processes_marked(mark):
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:
            pass  # gone, or somebody else's
    return found


class List(unittest.TestCase):
    def test_names_every_mechanism_and_pattern(self):
        listed = names()
        self.assertGreater(len(mechanisms()), 0)
        for mechanism in mechanisms():
            for pattern in PATTERNS:
                with self.subTest(mechanism=mechanism, pattern=pattern):
                    size = 0 if mechanism in WITHOUT_PAYLOAD else 64
                    start = f"{mechanism}/{pattern}/{size}/copy/two_cpus"
                    self.assertEqual(len([n for n in listed if n.startswith(start)]), 1)

    def test_offers_in_place_only_to_mechanisms_that_lend(self):
        listed = names("--benchmark_filter=/in_place/")
        self.assertTrue(any(name.startswith("spsc-ring/") for name in listed))
        self.assertFalse([name for name in listed if name.startswith("pipe/")])

    def test_names_what_the_harness_costs(self):
        listed = names("--benchmark_filter=^overhead/")
        for mechanism in ["pipe", "spsc-ring"]:
            for what in ["ping_pong/64", "stream/4096", "stream/65536"]:
                start = f"overhead/{mechanism}/{what}/"
                self.assertTrue([name for name in listed if name.startswith(start)], start)


class Run(unittest.TestCase):
    def check_counters(self, row, messages_per_iteration, size_bytes):
        self.assertFalse(row.get("error_occurred", False), row)
        self.assertEqual(row["time_unit"], "ns")
        self.assertGreater(row["real_time"], 0)
        self.assertGreater(row["iterations"], 0)
        messages_per_second = messages_per_iteration * 1e9 / row["real_time"]
        self.assertAlmostEqual(row["messages_per_second"] / messages_per_second, 1, delta=1e-3)
        self.assertAlmostEqual(row["bytes_per_second"] / (messages_per_second * size_bytes), 1,
                               delta=1e-3)
        self.assertGreater(row["reference_round_trip_ns"], 0)
        for side in SIDES:
            self.assertGreater(row[f"{side}_cpu_ns"], 0)
            # One process has one CPU; its use is read at edges a little wider than the time's.
            used_ns = row[f"{side}_cpu_ns"] * row["iterations"]
            self.assertLess(used_ns, row["real_time"] * row["iterations"] * 1.05 + 2e6)
            self.assertGreaterEqual(row[f"{side}_voluntary_switches"], 0)
            self.assertGreaterEqual(row[f"{side}_involuntary_switches"], 0)

    def test_ping_pong_has_both_sides_counters(self):
        row, = rows("--benchmark_filter=^pipe/ping_pong/64/copy/same_cpu",
                    "--benchmark_min_time=0.02")
        self.check_counters(row, messages_per_iteration=2, size_bytes=64)
        # On one CPU nobody finds an answer before having let the other run.
        for side in SIDES:
            switches = row[f"{side}_voluntary_switches"] + row[f"{side}_involuntary_switches"]
            self.assertGreater(switches, 0.5)
        self.assertIn("sleeps", row["label"])

    def test_stream_has_both_sides_counters(self):
        row, = rows("--benchmark_filter=^posix-shm/semaphore/stream/4096/in_place/same_cpu",
                    "--benchmark_min_time=0.02")
        self.check_counters(row, messages_per_iteration=1, size_bytes=4096)

    def test_every_mechanism_runs(self):
        spinning = spinning_mechanisms()
        self.assertIn("spsc-ring/spin", spinning)
        for row in rows("--benchmark_filter=/ping_pong/8/copy/same_cpu",
                        "--benchmark_min_time=0.001"):
            with self.subTest(row["name"]):
                if row["name"].split("/ping_pong/")[0] in spinning:
                    self.assertIn("time slice", row["error_message"])
                elif "not possible on this machine" in row.get("error_message", ""):
                    self.skipTest(row["error_message"])
                else:
                    self.check_counters(row, messages_per_iteration=2, size_bytes=8)

    def test_what_is_too_large_to_travel_whole_says_in_how_many_pieces(self):
        row, = rows("--benchmark_filter=^posix-mq/stream/65536/copy/same_cpu",
                    "--benchmark_min_time=0.001")
        self.assertRegex(row["label"], r"in \d+ fragments")

    def test_iterations_grow_until_the_time_is_filled(self):
        for wanted_s in [0.005, 0.1]:
            row, = rows("--benchmark_filter=^pipe/ping_pong/8/copy/same_cpu",
                        f"--benchmark_min_time={wanted_s}")
            self.assertGreaterEqual(row["real_time"] * row["iterations"], wanted_s * 1e9 * 0.999)

    def test_repetitions_have_aggregates(self):
        flags = ["--benchmark_filter=^pipe/stream/64/copy/same_cpu", "--benchmark_min_time=0.005",
                 "--benchmark_repetitions=3"]
        every = rows(*flags)
        single = [row for row in every if row["run_type"] == "iteration"]
        median = next(row for row in every if row.get("aggregate_name") == "median")
        self.assertEqual(len(single), 3)
        self.assertEqual(len({row["iterations"] for row in single}), 1)
        self.assertAlmostEqual(
            median["real_time"], sorted(row["real_time"] for row in single)[1], places=6)
        self.assertGreater(median["initiator_cpu_ns"], 0)
        only = rows(*flags, "--benchmark_report_aggregates_only=true")
        self.assertEqual({row["run_type"] for row in only}, {"aggregate"})

    def test_repetitions_may_be_interleaved(self):
        every = rows("--benchmark_filter=^(pipe|unix-stream)/ping_pong/64/copy/same_cpu",
                     "--benchmark_min_time=0.002", "--benchmark_repetitions=4",
                     "--benchmark_enable_random_interleaving=true")
        self.assertEqual(len([row for row in every if row["run_type"] == "iteration"]), 8)

    def test_one_cpu_is_not_two(self):
        cpu = min(os.sched_getaffinity(0))
        done = subprocess.run(
            [PROGRAM, "--benchmark_format=json",
             "--benchmark_filter=^(overhead/)?pipe/ping_pong/64/(copy/)?two_cpus"],
            capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        skipped = json.loads(done.stdout)["benchmarks"]
        self.assertEqual(len(skipped), 2)
        for row in skipped:
            self.assertTrue(row["error_occurred"])
            self.assertIn("one CPU", row["error_message"])

    def test_context_says_what_was_measured_where(self):
        done = benchmark("--benchmark_format=json", "--benchmark_min_time=0.001",
                         "--benchmark_filter=^pipe/ping_pong/8/copy/same_cpu")
        context = json.loads(done.stdout)["context"]
        for key in ["commit", "cpu_model", "kernel", "compiler", "flags", "build_type"]:
            self.assertTrue(context[key], key)


class Flags(unittest.TestCase):
    def test_a_filter_that_matches_nothing_fails(self):
        done = benchmark("--benchmark_filter=carrier-pigeon")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("carrier-pigeon", done.stderr)

    def test_a_filter_that_is_no_expression_fails(self):
        done = benchmark("--benchmark_filter=((")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Could not compile", done.stderr)

    def test_an_unknown_flag_fails(self):
        done = benchmark("--benchmark_filtre=pipe")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--benchmark_filtre", done.stdout + done.stderr)

    def test_csv_has_a_column_for_every_counter(self):
        """The library's own CSV writer aborts where the first benchmark was skipped."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.csv"
            done = benchmark("--benchmark_format=csv", f"--benchmark_out={file}",
                             "--benchmark_out_format=csv", "--benchmark_min_time=0.001",
                             "--benchmark_filter=^spsc-ring/.*/ping_pong/8/copy/same_cpu")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(file.read_text().endswith(done.stdout))  # the context comes first
            table = list(csv.DictReader(done.stdout.splitlines()))
        self.assertGreater(len(table), 1)
        self.assertEqual(table[0]["error_occurred"], "true")
        self.assertGreater(float(table[1]["responder_cpu_ns"]), 0)

    def test_results_go_to_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.json"
            done = benchmark(f"--benchmark_out={file}", "--benchmark_min_time=0.001",
                             "--benchmark_counters_tabular=true",
                             "--benchmark_filter=^pipe/ping_pong/8/copy/same_cpu")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("initiator_cpu_ns", done.stdout)
            self.assertEqual(len(json.loads(file.read_text())["benchmarks"]), 1)


class Overhead(unittest.TestCase):
    def test_compares_and_says_what_it_cannot_see(self):
        row, = rows("--benchmark_filter=^overhead/pipe/ping_pong/64/same_cpu")
        self.assertFalse(row.get("error_occurred", False), row)
        self.assertLessEqual(row["ratio_low"], row["ratio"])
        self.assertLessEqual(row["ratio"], row["ratio_high"])
        self.assertGreater(row["ratio_low"], 0)
        self.assertGreater(row["aa_half_width"], 0)
        self.assertAlmostEqual(row["bound"], 1.03 + row["aa_half_width"], places=9)
        self.assertEqual(row["within_bound"], 1 if row["ratio"] <= row["bound"] else 0)
        self.assertIn("within" if row["within_bound"] else "outside", row["label"])
        self.assertGreater(row["by_hand_ns"], 0)
        self.assertIn("framing_cost", row)


class Rings(unittest.TestCase):
    def measured(self, name):
        row, = rows(f"--benchmark_filter=^ring/{name}/")
        if row.get("error_occurred", False):
            self.skipTest(f"{name}: {row['error_message']}")
        self.assertLessEqual(row["ratio_low"], row["ratio"])
        self.assertLessEqual(row["ratio"], row["ratio_high"])
        self.assertGreater(row["ratio_low"], 0)
        self.assertGreater(row["reference_ns"], 0)
        self.assertRegex(row["label"], r"beside .+; (same CPU|siblings|shared L3|far), \d+ pairs$")
        return row

    def test_a_round_trip_has_a_bound_from_above(self):
        row = self.measured("ping_pong/8/latency")
        self.assertEqual(row["within_bound"], 1 if row["ratio"] <= row["bound"] else 0)
        self.assertIn("within" if row["within_bound"] else "outside", row["label"])
        self.assertEqual(row["publish_every"], 1)

    def test_what_is_only_shown_beside_another_has_no_bound(self):
        row = self.measured("stream/8/spin-each-message")
        self.assertNotIn("bound", row)
        self.assertEqual(row["publish_every"], 1)


class NothingStays(unittest.TestCase):
    def start(self, *flags):
        self.mark = uuid.uuid4().hex
        return subprocess.Popen([PROGRAM, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env={**ENVIRONMENT, MARK: self.mark})

    def await_a_pair(self, run):
        deadline = time.monotonic() + 60
        while not objects_of(run.pid) or len(processes_marked(self.mark)) < 3:
            self.assertLess(time.monotonic(), deadline, "no pair was started")
            time.sleep(0.01)

    def check_nothing_stays(self, pid):
        self.assertEqual(objects_of(pid), set())
        self.assertEqual(processes_marked(self.mark), [])

    def test_after_a_run(self):
        with self.start("--benchmark_min_time=0.001",
                        "--benchmark_filter=/ping_pong/8/copy/") as run:
            _, errors = run.communicate(timeout=120)
        self.assertEqual(run.returncode, 0, errors)
        self.check_nothing_stays(run.pid)

    def test_after_an_interrupt(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.json"
            with self.start("--benchmark_min_time=60", "--benchmark_filter=^spsc-ring/",
                            f"--benchmark_out={file}") as run:
                self.await_a_pair(run)
                run.send_signal(signal.SIGINT)
                _, errors = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 130)
            self.assertIn("interrupted", errors)
            reasons = {row.get("error_message")
                       for row in json.loads(file.read_text())["benchmarks"]}
        self.assertIn("interrupted", reasons)
        self.check_nothing_stays(run.pid)

    def test_a_killed_run_is_swept_by_the_next(self):
        with self.start("--benchmark_min_time=60", "--benchmark_filter=^spsc-ring/") as run:
            self.await_a_pair(run)
            run.kill()
            run.communicate(timeout=60)
        benchmark("--benchmark_min_time=0.001",
                  "--benchmark_filter=^pipe/ping_pong/8/copy/same_cpu")
        self.check_nothing_stays(run.pid)


if __name__ == "__main__":
    unittest.main()
