"""README.md and docs/: their generated parts are what the program and the committed runs say; links lead somewhere."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import copy_or_map_sample as sample

ROOT = pathlib.Path(os.environ["IPCLAB_SOURCE_DIR"])


class Readme(unittest.TestCase):
    def test_generated_parts_are_up_to_date(self):
        done = subprocess.run([ROOT / "scripts" / "update-readme", "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_every_mechanism_stands_in_every_table(self):
        listed = subprocess.run([os.environ["IPCLAB_PROGRAM"], "list", "--markdown"], check=True,
                                capture_output=True, text=True).stdout
        names = set(re.findall(r"^\| `([^`]+)` \|", listed, re.MULTILINE))
        self.assertTrue(names)
        for page, parts in (("README.md", ["facts"]), ("docs/taxonomy.md", ["taxonomy", "access", "promises", "lessons"])):
            text = (ROOT / page).read_text(encoding="utf-8")
            for part in parts:
                generated = text.split(f"<!-- generated: {part} -->")[1].split(f"<!-- end: {part} -->")[0]
                self.assertEqual({name for name in names if f"`{name}`" not in generated}, set(), f"{page}, {part}")

    def test_the_committed_run_of_copy_vs_map_is_quoted_and_shown(self):
        run = ROOT / "results" / "copy-vs-map"
        if not (run / "copy-or-map.json").exists():
            self.skipTest("results/copy-vs-map holds no run; its parts of the pages say so")
        found = json.loads((run / "copy-or-map.json").read_text(encoding="utf-8"))
        for page in ("README.md", "docs/copy-or-map.md"):
            text = (ROOT / page).read_text(encoding="utf-8")
            self.assertNotIn("No run of copy-vs-map is committed", text)
            for sentence in found["sentences"]:
                self.assertIn(sentence, text)
        self.assertGreaterEqual(text.count("](../results/copy-vs-map/plots/"), 8)

    def test_links_and_pictures_exist(self):
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
            text = page.read_text(encoding="utf-8")
            for target in re.findall(r"\]\(([^)#]+)\)", text):
                if "://" not in target:
                    self.assertTrue((page.parent / target).exists(), f"{page}: {target}")

    def test_first_commands_are_run_and_test(self):
        page = (ROOT / "README.md").read_text(encoding="utf-8")
        block = re.search(r"```sh\n(.*?)```", page, re.DOTALL).group(1)
        commands = [line.split("#")[0].strip() for line in block.splitlines() if line.strip()]
        self.assertEqual(commands[:2], ["scripts/run", "scripts/test"])


class Chapter(unittest.TestCase):
    """Generated from a run whose findings are known, in a tree of its own."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.tree = pathlib.Path(temporary.name)
        for folder in ("scripts", "docs"):
            shutil.copytree(ROOT / folder, cls.tree / folder)
        shutil.copy(ROOT / "README.md", cls.tree)
        (cls.tree / "results").mkdir()
        for run in ("reference", "synchronisation", "segments", "buffers"):
            (cls.tree / "results" / run).symlink_to(ROOT / "results" / run)
        run = cls.tree / "results" / "copy-vs-map"
        cls.found = sample.found()
        sample.write_run(run, cls.found)
        (run / "summary.md").write_text("# ipclab\n\n## Before you trust these figures\n\n- 3 rows lost time.\n")
        (run / "plots").mkdir()
        (run / "plots" / "copy-or-map-crossings-pipe.png").touch()
        done = subprocess.run([cls.tree / "scripts" / "update-readme"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        cls.page = (cls.tree / "docs" / "copy-or-map.md").read_text(encoding="utf-8")

    def part(self, name):
        return self.page.split(f"<!-- generated: {name} -->")[1].split(f"<!-- end: {name} -->")[0].strip()

    def test_says_on_what_was_measured_and_what_the_run_says_of_itself(self):
        for words in ("AMD EPYC", "commit `abc1234`", "- 3 rows lost time."):
            self.assertIn(words, self.part("run"))

    def test_quotes_the_sentences_here_and_in_the_readme(self):
        readme = (self.tree / "README.md").read_text(encoding="utf-8")
        self.assertEqual(self.part("sentences"), f"> {self.found['sentences'][0]}")
        self.assertIn(self.part("sentences"), readme)
        self.assertIn("](results/copy-vs-map/plots/copy-or-map-crossings-pipe.svg)", readme)

    def test_shows_the_plots_that_there_are(self):
        self.assertIn("](../results/copy-vs-map/plots/copy-or-map-crossings-pipe.svg)", self.part("by-k"))
        self.assertEqual(self.part("total"), "")

    def test_tells_each_crossing_with_the_pipe_measured_and_by_the_model(self):
        for line in ("**One CPU, both sides sleep**, against `pipe`:",
                     "| `receiver-remaps` | measured | 26 KiB [22 KiB, 31 KiB] | 173 B […, 207 B] | at every size |  |",
                     "| `receiver-remaps` | model | 26 KiB | 173 B | at every size | at every size |",
                     "| `sender-remaps/populated` | model | at no size | 501 B ~ | at every size | at every size |",
                     "| `persistent` | measured |  |  |  | at every size |",
                     "**Two CPUs, both sides spin**, against `pipe/spin`:"):
            self.assertIn(line, self.part("crossings").splitlines())

    def test_tells_how_often_the_model_is_as_near_as_promised(self):
        self.assertIn("- On one CPU: 95 of 100 transfers (95 %) are within 15 %", self.part("agreement"))

    def test_tells_the_main_costs_and_leaves_out_what_was_not_measured(self):
        self.assertIn("A system call that does nothing takes 170 ns", self.part("costs"))
        self.assertIn("| into a pipe and out again | `kernel-copy/pipe` | 413 ns |", self.part("costs"))
        self.assertNotIn("nan", self.part("costs"))
        self.assertNotIn("map/write", self.part("costs"))
        self.assertIn("| `wake-up/futex` | 15 µs | 15.1 µs | 16 µs | 25 µs |", self.part("wake-ups"))

    def test_tells_whether_what_surprises_holds(self):
        self.assertIn("| the longer the sleep, the dearer the wake-up | yes | 15 µs after no sleep, 25 µs after 1 ms of sleep |",
                      self.part("surprises"))
        self.assertIn("| yes | one CPU, both sides sleep: at no size against from 26 KiB on; ", self.part("surprises"))

    def test_explains_each_cost(self):
        self.assertEqual(self.part("explanations"), "- `kernel-copy/pipe`: One process fills and drains a pipe.")

    def test_lists_the_published_thresholds(self):
        self.assertIn("| MSG_ZEROCOPY | 10 kB |", self.part("thresholds"))


if __name__ == "__main__":
    unittest.main()
