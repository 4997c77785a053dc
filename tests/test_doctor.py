"""`ipclab doctor` as a user meets it: it advises, always succeeds, and leaves nothing behind."""

import os
import re
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["IPCLAB_PROGRAM"]


def doctor(*arguments, folder=None):
    return subprocess.run([PROGRAM, "doctor", *arguments], cwd=folder, text=True,
                          capture_output=True, timeout=60, check=False)


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.answer = doctor(folder=cls.folder.name)

    def test_succeeds_and_complains_of_nothing(self):
        self.assertEqual(self.answer.returncode, 0, self.answer.stderr)
        self.assertEqual(self.answer.stderr, "")

    def test_speaks_of_every_point(self):
        for point in ("CPUs", "other load", "session groups", "clock governor", "turbo clock",
                      "hardware threads", "virtual machine", "sleeping CPUs", "stolen time",
                      "mitigations", "clock source", "/dev/shm", "POSIX message queues",
                      "System V message queues", "pipes", "huge pages", "perf: system calls",
                      "perf: hardware counters"):
            self.assertRegex(self.answer.stdout,
                             rf"(?m)^(fine|disturbs|limits|unknown) +{re.escape(point)}: \S")

    def test_ends_each_warning_in_something_to_do(self):
        findings = re.split(r"(?m)^(?=fine|disturbs|limits|unknown)", self.answer.stdout)[1:]
        self.assertGreater(len(findings), 15)
        for finding in findings:
            trouble = finding.startswith(("disturbs", "limits"))
            self.assertEqual("  remedy: " in finding, trouble, finding)

    def test_counts_its_findings(self):
        counts = re.search(r"(\d+) findings: disturb (\d+), limit (\d+), unknown (\d+), fine (\d+)",
                           self.answer.stdout)
        self.assertIsNotNone(counts)
        total, *parts = map(int, counts.groups())
        self.assertEqual(total, sum(parts))

    def test_writes_no_file(self):
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_refuses_arguments_that_it_does_not_know(self):
        self.assertNotEqual(doctor("--heal").returncode, 0)


if __name__ == "__main__":
    unittest.main()
