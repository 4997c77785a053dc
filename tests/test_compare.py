"""scripts/compare.py on runs that agree, that do not, and that cannot be compared."""
import copy
import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

import copy_or_map_sample as sample

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

    def test_a_batch_and_stores_that_were_asked_for_are_told(self):
        folders = [write_run(self.folder / "a", 20000, 100, 1), write_run(self.folder / "b", 20000, 150, 2)]
        for folder in folders:
            rows = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
            asked = {"batch_messages_asked": 8, "stores_asked": "plain"}
            rows = [row | (asked if row["type"] == "row" else {}) for row in rows]
            (folder / "run.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.assertIn("ping_pong 64 B batch 8 stores plain two_cpus", self.compare(*folders).stdout)

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


class Crossings(unittest.TestCase):
    """Of two runs of copy-vs-map; the second is the first with a change."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.first = {"schema": 1, "transfers": [], "crossings": [
            crossing for crossing in sample.found()["crossings"]
            if crossing["placement"] == "same_cpu" and crossing["copy"] == "pipe"]}

    def find(self, found, way, k):
        return next(crossing for crossing in found["crossings"] if crossing["way"] == way
                    and crossing["messages_per_mapping"] == k and crossing["source"] == "measured")

    def compare(self, second):
        folders = []
        for found in (self.first, second):
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
            folders.append(folder)
            lines = (sample.CONTEXT, sample.cost_row(1), sample.END)
            (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            (folder / "copy-or-map.json").write_text(json.dumps(found))
        done = subprocess.run([ROOT / "scripts" / "compare.py", *folders], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def changed(self, way, k, **changes):
        second = copy.deepcopy(self.first)
        self.find(second, way, k).update(changes)
        return self.compare(second)

    def test_the_same_crossings_agree_also_where_mapping_or_copying_always_wins(self):
        status, said = self.compare(self.first)
        self.assertEqual(status, 0)
        self.assertRegex(said, r"^of \d+ crossings, 100 % agree; \d+ cannot be told\n$")

    def test_intervals_that_overlap_agree_and_others_are_named_with_both(self):
        size = self.find(self.first, "receiver-remaps", 1)["size_bytes"]
        status, said = self.changed("receiver-remaps", 1, size_bytes=1.3 * size, low_bytes=1.19 * size,
                                    high_bytes=1.5 * size)
        self.assertIn("100 % agree", said)
        status, said = self.changed("receiver-remaps", 1, size_bytes=1.4 * size, low_bytes=1.3 * size,
                                    high_bytes=1.5 * size)
        self.assertEqual(status, 0)
        self.assertIn("pipe and receiver-remaps k=1 same_cpu sleeps: 26 KiB [22 KiB, 31 KiB] and "
                      "36 KiB [34 KiB, 39 KiB]\n", said)
        self.assertNotIn("100 % agree", said)

    def test_nearly_parallel_curves_may_cross_a_factor_of_one_and_a_half_apart(self):
        size = self.find(self.first, "receiver-remaps", 1)["size_bytes"]
        apart = {"low_bytes": 1.4 * size, "high_bytes": 1.7 * size, "nearly_parallel": True}
        self.assertIn("100 % agree", self.changed("receiver-remaps", 1, size_bytes=1.49 * size, **apart)[1])
        self.assertIn("nearly parallel", self.changed("receiver-remaps", 1, size_bytes=1.6 * size, **apart)[1])

    def test_always_agrees_with_an_interval_that_is_open_at_that_end(self):
        changes = {"state": "crosses", "size_bytes": 70.0, "high_bytes": 90.0, "all_sizes_bytes": [70.0]}
        self.assertIn("100 % agree", self.changed("persistent", 0, **changes)[1])
        self.assertIn("pipe and persistent same_cpu sleeps: map always and 70 B [66 B, 90 B]",
                      self.changed("persistent", 0, low_bytes=66.0, **changes)[1])

    def test_without_an_interval_or_figures_nothing_is_told(self):
        self.assertIn("100 % agree", self.changed("receiver-remaps", 1, size_bytes=1e6, low_bytes=None,
                                                  high_bytes=None)[1])
        self.assertIn("100 % agree", self.changed("receiver-remaps", 1, state="undecided", size_bytes=None)[1])

    def test_mapping_that_wins_in_between_only_is_another_finding(self):
        self.assertIn("26 KiB [22 KiB, 31 KiB] and map in between",
                      self.changed("receiver-remaps", 1, state="map_in_between", size_bytes=None)[1])


if __name__ == "__main__":
    unittest.main()
