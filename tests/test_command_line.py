"""The program as its users meet it: what it says, what it leaves, and how it ends."""

import ctypes
import json
import os
import pty
import random
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM = os.environ["IPCLAB_PROGRAM"]
SOURCE = Path(os.environ.get("IPCLAB_SOURCE_DIR", Path(__file__).resolve().parent.parent))
REGISTRY = Path(f"/tmp/ipclab-{os.geteuid()}")
PATIENCE_S = 60  # for what happens at once on a machine that is not busy
TINY = ("quick", "--mechanism", "pipe", "--size", "64", "--rounds", "1")
# What has names in the system, and would leave them behind.
NAMED = ("quick", "--mechanism", "posix-*", "--mechanism", "spsc-ring", "--mechanism",
         "unix-stream", "--size", "64,64KiB", "--rounds", "1000")


def ipclab(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False)


def until(holds, what):
    """What `holds` returns as soon as that is true."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.005)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


def members(session):
    """The processes of a session that run; one that nobody has reaped yet does not."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if state not in "ZX" and int(its_session) == session:
            found.append(int(stat.parent.name))
    return found


def registered_queues(pid):
    """The message queues that a process had entered in the registry."""
    return {line.split()[2] for file in REGISTRY.glob(f"ipclab-run-{pid}-*.objects")
            for line in file.read_text().splitlines() if line.startswith("+posix_mq ")}


def queue_exists(name):
    library = ctypes.CDLL(None, use_errno=True)
    queue = library.mq_open(f"/{name}".encode(), os.O_RDONLY)
    if queue != -1:
        library.mq_close(queue)
    return queue != -1


def objects_of(pid, queues=()):
    """What a process made that has a name and is still there."""
    files = {path.name for folder in (Path("/dev/shm"), REGISTRY)
             for path in folder.glob(f"ipclab-*-{pid}-*") if path.suffix != ".objects"}
    return files | {queue for queue in queues if queue_exists(queue)}


def whole_lines(folder):
    """The objects of run.jsonl, and whether its last line is torn. Fails on any other bad line."""
    text = (folder / "run.jsonl").read_text() if (folder / "run.jsonl").exists() else ""
    *lines, tail = text.split("\n")
    return [json.loads(line) for line in lines], tail != ""


class RunningProgram:
    """A run in a session of its own, so that its whole family can be found and signalled."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.process = subprocess.Popen(
            [PROGRAM, "run", *arguments, "--out", str(folder)], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in members(self.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()

    def rows(self):
        return [line for line in whole_lines(self.folder)[0] if line["type"] == "row"]

    def ends(self):
        """Its exit status and output, once its whole family has ended."""
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        until(lambda: not members(self.pid), "the end of all processes of the run")
        return self.process.returncode, out, errors


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Complaints(WithFolder):
    def assert_refused(self, complaint, *arguments):
        answer = ipclab(*arguments)
        self.assertEqual(answer.stderr, f"ipclab: {complaint}\n")
        self.assertEqual(answer.stdout, "")
        self.assertEqual(answer.returncode, 2)

    def test_a_command_is_needed(self):
        self.assert_refused(
            "a command is missing: run, list, doctor, report, cat, memif, ps or clean; see ipclab --help")

    def test_unknown_commands_and_options(self):
        self.assert_refused('unknown command "rnu"; did you mean run?', "rnu")
        self.assert_refused('unknown command "measure"; known: run, list, doctor, report, cat, memif, ps, clean',
                            "measure")
        self.assert_refused('unknown option "--hlep"; did you mean --help?', "--hlep")
        self.assert_refused('unknown option "--mechansim"; did you mean --mechanism?',
                            "run", "--mechansim", "pipe")
        self.assert_refused('unknown option "--mark"; did you mean --markdown?', "list", "--mark")
        self.assert_refused('"twice" is one word too many; see ipclab list --help',
                            "list", "twice")

    def test_unknown_mechanisms(self):
        self.assert_refused('--mechanism: unknown mechanism "pip"; did you mean pipe?',
                            "run", "--mechanism", "pip")
        self.assert_refused(
            '--mechanism: unknown mechanism "spsc-ring/futx"; did you mean spsc-ring/futex?',
            "run", "--mechanism", "pipe,spsc-ring/futx")
        answer = ipclab("run", "--mechanism", "pigeon*")
        self.assertRegex(answer.stderr, r'^ipclab: --mechanism: unknown mechanism "pigeon\*"; '
                                        r"known: pipe, .*\n$")
        self.assertEqual(answer.returncode, 2)

    def test_bad_sizes(self):
        self.assert_refused('--size: "64KB": unknown unit "KB", nearest is KiB; '
                            "known: B, KiB, MiB, GiB", "run", "--size", "1,64KB")
        self.assert_refused('--size: "0": must be at least 1 B', "run", "--size", "0")
        self.assert_refused('--size: "65MiB": must be at most 64 MiB', "run", "--size=65MiB")

    def test_bad_numbers(self):
        self.assert_refused('--rounds: "0" is not a whole number between 1 and 2147483647',
                            "run", "--rounds", "0")
        self.assert_refused('--seed: "-1" is not a whole number between 0 and '
                            "18446744073709551615", "run", "--seed", "-1")
        self.assertRegex(ipclab("run", "--rounds").stderr, r"^ipclab: --rounds: .*missing\n$")

    def test_unknown_scenarios(self):
        self.assert_refused('unknown scenario "latancy"; did you mean latency?', "run", "latancy")
        self.assert_refused(f"{self.folder}/none.toml: No such file or directory",
                            "run", self.folder / "none.toml")
        self.assert_refused('two scenarios are named "quick"; run them one by one',
                            "run", "quick", SOURCE / "scenarios" / "quick.toml")

    def test_a_mistake_in_a_scenario_has_a_place(self):
        file = self.folder / "mine.toml"
        file.write_text('# What?\npatterns = ["streams"]\n')
        self.assert_refused(f'{file}:2:13: unknown pattern "streams"; did you mean stream?',
                            "run", file)

    def test_a_scenario_without_a_cell(self):
        quick = (SOURCE / "scenarios" / "quick.toml").read_text()
        file = self.folder / "mine.toml"
        file.write_text(re.sub(r"(?m)^access = .*$", 'access = ["in_place"]', quick))
        answer = ipclab("run", file, "--mechanism", "pipe")
        self.assertRegex(answer.stderr, r"^ipclab: .*mine\.toml: nothing to measure: .*\n$")
        self.assertEqual(answer.returncode, 2)

    def test_results_that_are_not_there(self):
        self.assert_refused("report of which run? Name its folder under results/", "report")
        answer = ipclab("report", self.folder / "none")
        self.assertRegex(answer.stderr, r"^ipclab: [^\n]*none[^\n]*\n$")
        self.assertEqual((answer.stdout, answer.returncode), ("", 2))

    def test_results_that_cannot_be_written(self):
        self.assertEqual(ipclab("run", *TINY, "--out", "/proc/none").returncode, 2)
        ours = self.folder / "ours"
        ours.mkdir()
        (ours / "run.jsonl").write_text("keep me\n")
        answer = ipclab("run", *TINY, "--out", ours)
        self.assertRegex(answer.stderr, r"^ipclab: [^\n]*run\.jsonl[^\n]*\n$")
        self.assertEqual(answer.returncode, 2)
        self.assertEqual((ours / "run.jsonl").read_text(), "keep me\n")


class Help(unittest.TestCase):
    def test_shows_an_example_of_each_command(self):
        overview = ipclab("--help")
        self.assertEqual((overview.returncode, overview.stderr), (0, ""))
        for command in ("run", "list", "doctor", "report"):
            self.assertRegex(overview.stdout, rf"(?m)^  ipclab {command}\b")
            answer = ipclab(command, "--help")
            self.assertEqual((answer.returncode, answer.stderr), (0, ""))
            self.assertIn(f"Example: ipclab {command}", answer.stdout)

    def test_the_examples_hold(self):
        """Each mechanism, scenario and option in them is known."""
        for example in re.findall(r"ipclab run (.*?)(?:   .*)?$", ipclab("--help").stdout, re.M):
            words = [word.strip("'") for word in example.split()]
            answer = ipclab("run", *words, "--size", "0")
            self.assertIn("--size", answer.stderr, example)

    def test_version(self):
        self.assertRegex(ipclab("--version").stdout, r"^ipclab \d+\.\d+\S*\n$")


class List(unittest.TestCase):
    def setUp(self):
        self.page = ipclab("list", "--markdown").stdout
        self.mechanisms = list(dict.fromkeys(re.findall(r"(?m)^\| `([^`]+)` \|", self.page)))

    def test_holds_the_mechanisms(self):
        for name in ("pipe", "unix-stream", "posix-mq", "posix-shm/semaphore", "spsc-ring/spin",
                     "spsc-ring/futex"):
            self.assertIn(name, self.mechanisms)

    def test_tells_in_tables_what_the_page_tells(self):
        answer = ipclab("list")
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        text = " ".join(answer.stdout.split())
        for row in re.findall(r"(?m)^\| `(.*) \|$", self.page):
            self.assertIn(row.replace("`", "").replace(" | ", " "), text)
        for lesson in re.findall(r"(?m)^- .*\): (.*)$", self.page):
            self.assertIn(lesson, text)

    def test_the_sources_it_names_are_there(self):
        folders = set(re.findall(r"`(mechanisms/\w+/)`", self.page))
        self.assertTrue(folders)
        for folder in folders:
            self.assertTrue((SOURCE / folder).is_dir(), folder)

    def test_each_mechanism_can_be_run(self):
        for name in self.mechanisms:
            self.assertIn("--size", ipclab("run", "--mechanism", name, "--size", "0").stderr, name)

    def test_the_page_has_even_rows(self):
        for table in re.findall(r"(?m)(?:^\|.*\n)+", self.page):
            self.assertEqual(len({line.count("|") for line in table.splitlines()}), 1)


class Run(WithFolder):
    def test_leaves_rows_and_summaries_and_reports_again(self):
        results = self.folder / "results"
        run = ipclab("run", *TINY, "--seed", "7", "--out", results)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        (context, *rows, end), torn = whole_lines(results)
        self.assertFalse(torn)
        self.assertEqual((context["type"], context["seed"], context["scenarios"], end["type"]),
                         ("context", 7, ["quick"], "end"))
        cells = {(row["mechanism"], row["size_bytes"], row["access"], row["pattern"],
                  row["placement"]) for row in rows}
        placements = ("same_cpu", "two_cpus") if len(os.sched_getaffinity(0)) > 1 else (
            "same_cpu",)
        measured = {cell for cell in cells if cell[4] in placements}
        self.assertEqual(measured, {("pipe", 64, "copy", pattern, placement)
                                    for pattern in ("ping_pong", "stream")
                                    for placement in placements})
        self.assertIn("benchmarks", json.loads((results / "summary.json").read_text()))
        self.assertIn("pipe", (results / "summary.md").read_text())

        report = ipclab("report", results)
        self.assertEqual((report.returncode, report.stderr), (0, ""))
        self.assertIn("pipe", report.stdout)
        self.assertIn(report.stdout.strip(), run.stdout)
        self.assertNotRegex(run.stdout, "[\r\x1b]", "a progress line outside a terminal")

    def test_options_hold_for_every_scenario(self):
        results = self.folder / "results"
        run = ipclab("run", "latency", "throughput", "--quick", "--mechanism", "spsc-ring/futex",
                     "--size", "1KiB,7", "--rounds", "1", "--out", results)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        (_, *rows, _), _ = whole_lines(results)
        self.assertEqual({(row["scenario"], row["pattern"]) for row in rows},
                         {("latency", "ping_pong"), ("throughput", "stream")})
        self.assertEqual({(row["size_bytes"], row["access"]) for row in rows},
                         {(size, access) for size in (7, 1024) for access in ("copy", "in_place")})
        self.assertEqual({row["mechanism"] for row in rows}, {"spsc-ring/futex"})
        self.assertLessEqual({row["round"] for row in rows}, {0, 1})

    def test_shows_its_progress_on_a_terminal(self):
        commander, terminal = pty.openpty()
        self.addCleanup(os.close, commander)
        with subprocess.Popen([PROGRAM, "run", *TINY, "--out", str(self.folder / "results")],
                              stdin=terminal, stdout=terminal, stderr=terminal) as process:
            os.close(terminal)
            shown = b""
            try:
                while piece := os.read(commander, 65536):
                    shown += piece
            except OSError:  # a terminal that nobody else has open any more
                pass
        self.assertEqual(process.returncode, 0, shown)
        self.assertRegex(shown.decode(), r"\r *\d+ %  \d+ s left  quick round 1: pipe ")


class Interrupted(WithFolder):
    def interrupt(self, send, *arguments):
        with RunningProgram(self.folder / "results", *arguments) as run:
            until(lambda: len(run.rows()) >= 6, "six rows")
            queues = registered_queues(run.pid)
            before = run.rows()
            send(run.pid)
            status, out, errors = run.ends()
        self.assertEqual((status, errors), (130, ""), out)
        (context, *rows, end), torn = whole_lines(run.folder)
        self.assertFalse(torn)
        self.assertEqual((context["type"], end["type"], end["stopped_by"]),
                         ("context", "end", "interrupt"))
        self.assertEqual(rows[:len(before)], before, "a row that had been measured is lost")
        self.assertLessEqual({row["status"] for row in rows}, {"ok", "disturbed", "skipped"})
        self.assertEqual(objects_of(run.pid, queues), set())
        self.assertEqual(list(REGISTRY.glob(f"*-{run.pid}-*")), [])
        self.assertIn("benchmarks", json.loads((run.folder / "summary.json").read_text()))
        self.assertEqual(ipclab("report", run.folder).returncode, 0)

    def test_alone(self):
        self.interrupt(lambda pid: os.kill(pid, signal.SIGINT), *NAMED)

    def test_with_its_process_group(self):
        self.interrupt(lambda pid: os.killpg(pid, signal.SIGINT), *NAMED)

    def test_amid_long_batches(self):
        quick = (SOURCE / "scenarios" / "quick.toml").read_text()
        file = self.folder / "slow.toml"
        file.write_text(re.sub(r"(?m)^batch = .*$", 'batch = "400 ms"', quick))
        self.interrupt(lambda pid: os.killpg(pid, signal.SIGINT), str(file), "--mechanism",
                       "posix-shm/semaphore,pipe")

    def test_at_any_moment(self):
        moments = random.Random(2)
        for attempt in range(10):
            with RunningProgram(self.folder / str(attempt), *NAMED) as run:
                time.sleep(moments.uniform(0, 0.5))
                os.killpg(run.pid, signal.SIGINT)
                status, out, errors = run.ends()
            if status == -signal.SIGINT:  # before it had begun, as any other program
                self.assertFalse(run.folder.exists())
            else:
                self.assertEqual((status, errors), (130, ""), out)
            self.assertEqual(objects_of(run.pid), set())
            self.assertFalse(whole_lines(run.folder)[1])


class Killed(WithFolder):
    def assert_valid_rows(self, folder):
        lines, _ = whole_lines(folder)
        self.assertLessEqual({line["type"] for line in lines[1:]}, {"row"})
        if lines:
            self.assertEqual(lines[0]["type"], "context")
            self.assertEqual(ipclab("report", folder).returncode, 0)

    def test_the_next_run_removes_the_leftovers_and_says_so(self):
        moments = random.Random(3)
        left_behind = 0
        for attempt in range(20):
            with RunningProgram(self.folder / f"killed-{attempt}", *NAMED) as run:
                time.sleep(moments.uniform(0, 0.6))
                os.kill(run.pid, signal.SIGKILL)
                self.assertEqual(run.ends()[0], -signal.SIGKILL)
            self.assert_valid_rows(run.folder)

            queues = registered_queues(run.pid)
            left = objects_of(run.pid, queues)
            left_behind += len(left)
            following = ipclab("run", *TINY, "--out", self.folder / f"next-{attempt}")
            self.assertEqual((following.returncode, following.stderr), (0, ""))
            self.assertEqual(objects_of(run.pid, queues), set())
            self.assertEqual(list(REGISTRY.glob(f"*-{run.pid}-*")), [])
            for name in left:
                self.assertRegex(following.stdout,
                                 rf"(?m)^removed what a killed run left behind: .*{name}$")
        self.assertGreater(left_behind, 0, "no run was killed while it had objects")

    def test_what_belongs_to_the_living_is_left_alone(self):
        with RunningProgram(self.folder / "living", *NAMED) as living:
            until(lambda: len(living.rows()) >= 3, "three rows")
            for attempt in range(4):
                other = ipclab("run", *TINY, "--out", self.folder / f"other-{attempt}")
                self.assertEqual(other.returncode, 0, other.stderr)
                self.assertNotRegex(other.stdout, rf"removed .*-{living.pid}-")
            os.kill(living.pid, signal.SIGINT)
            status, out, errors = living.ends()
        self.assertEqual((status, errors), (130, ""), out)
        self.assertLessEqual({row["status"] for row in living.rows()},
                             {"ok", "disturbed", "skipped"})


if __name__ == "__main__":
    unittest.main()
