"""scripts/plot.py on a run of multi-queue: what the plots hold is what the rows hold."""

import json
import tempfile
import unittest
from pathlib import Path

import copy_or_map_sample as sample
from test_copy_or_map_plot import groups, markers, said
from test_plot import plot

QUEUES = (1, 2, 4)


def row(round_, queues, threads, mode, burst, rate, **more):
    return {"type": "multi_queue", "scenario": "multi-queue", "queues": queues, "threads": threads, "mode": mode,
            "size_bytes": 64, "burst": burst, "placement": "two_cpus", "round": round_, "attempt": 1, "status": "ok",
            "reason": None, "messages": 1000, "message_ns": 1e9 / rate, "messages_per_s": rate,
            "fairness": 1 - queues / 10, "queue_messages": [1000 // queues] * queues,
            "reference_before": {"class": "shared L3", "round_trip_ns": 106}} | more


def rows():
    for round_ in range(1, 8):
        for mode in ("polling", "interrupt"):
            for burst in (1, 32):
                for queues in QUEUES:
                    yield row(round_, queues, "one", mode, burst, 1e6 * queues * burst + round_)
                    if queues > 1:
                        yield row(round_, queues, "per_queue", mode, burst, 2e6 * queues * burst + round_)
    yield row(8, 1, "one", "polling", 1, 9e9, status="disturbed", reason="somebody else")
    yield row(9, 1, "one", "polling", 1, 9e9, reference_before={"class": "far", "round_trip_ns": 400})
    yield row(0, 4, "one", "polling", 1, 1, status="skipped", reason="no $ left")


class Plots(unittest.TestCase):
    """One run, drawn once."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        lines = [sample.CONTEXT, *rows(), sample.END]
        (cls.folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        cls.result = plot(cls.folder)

    def svg(self, name):
        return self.folder / "plots" / f"{name}.svg"

    def test_both_plots_are_drawn(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        names = sorted(path.name for path in (self.folder / "plots").iterdir())
        self.assertEqual(names, ["multi-queue-fairness.png", "multi-queue-fairness.svg", "multi-queue.png",
                                 "multi-queue.svg"])

    def test_each_line_has_a_marker_for_each_number_of_queues(self):
        lines = groups(self.svg("multi-queue"), "line:")
        self.assertEqual(len(lines), 2 * 2 * 2)
        for name, group in lines.items():
            self.assertEqual(len(markers(group)), len(QUEUES), name)
        for name, group in groups(self.svg("multi-queue-fairness"), "line:").items():
            self.assertEqual(len(markers(group)), 2, f"{name}: of one queue there is nothing to share")

    def test_heights_are_the_rates(self):
        lines = groups(self.svg("multi-queue"), "line:64|1|")
        one, two, four = (y for _, y in markers(lines["line:64|1|polling|one"]))
        _, twice, _ = (y for _, y in markers(lines["line:64|1|polling|per_queue"]))
        self.assertAlmostEqual((two - four) / (one - two), 2, places=2)
        self.assertAlmostEqual(twice, four, places=2)

    def test_the_caption_tells_what_was_left_out(self):
        text = said(self.svg("multi-queue"))
        for words in ("Rows left out: 1 disturbed, 1 of class “far”, 1 skipped.", "Skipped: no $ left.",
                      "class “shared L3”", "The threads of a process share its CPU."):
            self.assertIn(words, text.replace("\u00a0", " "))


if __name__ == "__main__":
    unittest.main()
