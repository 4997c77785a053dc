"""scripts/compare.py on runs that agree, that do not, and that cannot be compared."""
import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["IPCLAB_SOURCE_DIR"])


def write_run(folder, pipe_ns, ring_ns, seed, pairs=12, distance="shared L3"):
    folder.mkdir()
    dice = random.Random(seed)
    lines = [{"type": "context", "schema": 1}]
    for number in range(pairs):
        for mechanism, nominal in (("pipe", pipe_ns), ("spsc-ring/spin", ring_ns)):
            lines.append({"type": "row", "mechanism": mechanism, "pattern": "ping_pong", "size_bytes": 64,
                          "access": "copy", "waiting": "sleeps", "placement": "two_cpus", "round": number,
                          "status": "ok", "messages": 10,
                          "round_trip_ns": {"p50": nominal * dice.uniform(0.97, 1.03)},
                          "reference_before": {"class": distance}})
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def compare(self, *runs, options=()):
        return subprocess.run([ROOT / "scripts" / "compare.py", *runs, *options], capture_output=True, text=True)

    def test_ratios_agree_though_the_second_machine_is_twice_as_slow(self):
        done = self.compare(write_run(self.folder / "a", 20000, 100, 1), write_run(self.folder / "b", 40000, 200, 2))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "of 1 ratios to pipe, 100 % of the first run lie within the second's interval, "
                         "100 % of the second within the first's; 0 cells have too few pairs\n")

    def test_a_ratio_that_changed_is_named_with_both_intervals(self):
        done = self.compare(write_run(self.folder / "a", 20000, 100, 1), write_run(self.folder / "b", 20000, 150, 2))
        self.assertIn("spsc-ring/spin copy ping_pong 64 B two_cpus (shared L3): 0.00", done.stdout)
        self.assertIn("0 % of the first run lie within", done.stdout)

    def test_a_figure_at_another_capacity_is_another_cell(self):
        folders = [write_run(self.folder / name, 20000, 100, seed) for seed, name in enumerate("ab")]
        for folder, times in zip(folders, (1, 3)):  # else the ratio would be told to have changed
            rows = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
            for asked in [row for row in rows if row.get("mechanism") == "spsc-ring/spin"]:
                more = json.loads(json.dumps(asked)) | {"capacity_asked_bytes": 65536 * times}
                more["round_trip_ns"]["p50"] *= 5 * times
                rows.append(more)
            (folder / "run.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.assertIn("of 1 ratios to pipe, 100 %", self.compare(*folders).stdout)

    def test_other_distances_of_the_cpus_are_not_compared(self):
        done = self.compare(write_run(self.folder / "a", 20000, 100, 1),
                            write_run(self.folder / "b", 20000, 100, 2, distance="far"))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("share no cell", done.stderr)

    def test_five_pairs_are_too_few(self):
        done = self.compare(write_run(self.folder / "a", 20000, 100, 1, pairs=5),
                            write_run(self.folder / "b", 20000, 100, 2))
        self.assertEqual(done.returncode, 2)
        self.assertIn("six pairs", done.stderr)

    def test_a_folder_without_a_run_is_named(self):
        done = self.compare(self.folder, self.folder)
        self.assertEqual(done.returncode, 2)
        self.assertIn("run.jsonl", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
