"""Two programs that know nothing of each other but an address, for every mechanism that has one."""

import filecmp
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM = os.environ["IPCLAB_PROGRAM"]
PATIENCE_S = 60
MIB = 1 << 20


def facts():
    """The tables of `ipclab list`, as one row of words for each mechanism."""
    page = subprocess.run([PROGRAM, "list", "--markdown"], text=True, capture_output=True,
                          timeout=PATIENCE_S, check=True).stdout
    mechanisms, header = {}, []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| mechanism"):
            header = cells
        elif line.startswith("| `"):
            mechanisms.setdefault(cells[0].strip("`"), {}).update(zip(header, cells))
    return mechanisms


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def inherited_only(words):
    return words["found by"] == "inherited"


class Cat(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.running = []
        self.addCleanup(self.end_all)
        self.count = 0

    def end_all(self):
        for each in self.running:
            each.kill()
            each.wait()
            for stream in (each.stdin, each.stdout, each.stderr):
                if stream:
                    stream.close()

    def address(self, found_by):
        self.count += 1
        word = f"ipclab-test-{os.getpid()}-{self.count}"
        return {"object name": word, "file name": str(self.folder / word),
                "key of a file": str(self.folder / word), "abstract name": f"@{word}",
                "port": free_port()}[found_by]

    def random_file(self, size):
        path = self.folder / "original"
        if not path.exists() or path.stat().st_size != size:
            with open(path, "wb") as file:
                for _ in range(0, size, MIB):
                    file.write(os.urandom(min(MIB, size)))
        return path

    def listen(self, mechanism, address, **streams):
        listener = subprocess.Popen([PROGRAM, "cat", "--listen", mechanism, address],
                                    stderr=subprocess.PIPE, text=True, **streams)
        self.running.append(listener)
        return listener

    def call(self, mechanism, address, listener, stdin, copy):
        """Calls until somebody listens; returns what the call complained of."""
        end = time.monotonic() + PATIENCE_S
        while True:
            with open(copy, "wb") as output:
                caller = subprocess.run([PROGRAM, "cat", mechanism, address], stdin=stdin,
                                        stdout=output, stderr=subprocess.PIPE, text=True,
                                        timeout=PATIENCE_S, check=False)
            early = "nobody listens" in caller.stderr
            if not early or listener.poll() is not None or time.monotonic() > end:
                return caller.returncode, caller.stderr
            time.sleep(0.01)

    def test_64_mib_of_random_bytes_through_each(self):
        original = self.random_file(64 * MIB)
        for mechanism, words in facts().items():
            if inherited_only(words):
                continue
            with self.subTest(mechanism):
                if words["delivery"] == "may lose":
                    self.skipTest(f"{mechanism} loses what it has no room for")
                address = self.address(words["found by"])
                copy = self.folder / "copy"
                with open(original, "rb") as stdin:
                    listener = self.listen(mechanism, address, stdin=stdin,
                                           stdout=subprocess.DEVNULL)
                status, complaint = self.call(mechanism, address, listener, subprocess.DEVNULL, copy)
                _, listeners_complaint = listener.communicate(timeout=PATIENCE_S)
                if "not possible on this machine" in listeners_complaint:
                    self.skipTest(listeners_complaint.strip())
                self.assertEqual((complaint, listeners_complaint), ("", ""))
                self.assertEqual((status, listener.returncode), (0, 0))
                self.assertTrue(filecmp.cmp(original, copy, shallow=False), "bytes were changed")
                self.assertEqual(list(self.folder.glob("ipclab-test-*")), [])

    def test_both_may_send(self):
        (self.folder / "question").write_bytes(b"question " * 100_000)
        (self.folder / "answer").write_bytes(b"answer " * 200_000)
        address = self.address("object name")
        with open(self.folder / "answer", "rb") as stdin, \
                open(self.folder / "heard", "wb") as stdout:
            listener = self.listen("spsc-ring/futex", address, stdin=stdin, stdout=stdout)
        with open(self.folder / "question", "rb") as stdin:
            self.assertEqual(self.call("spsc-ring/futex", address, listener, stdin,
                                       self.folder / "told"), (0, ""))
        self.assertEqual(listener.wait(PATIENCE_S), 0)
        self.assertTrue(filecmp.cmp(self.folder / "question", self.folder / "heard", False))
        self.assertTrue(filecmp.cmp(self.folder / "answer", self.folder / "told", False))

    def test_a_snabb_link_may_lie_in_a_run_directory(self):
        (self.folder / "question").write_bytes(b"question " * 100_000)
        run_directory = self.folder / "run"
        run_directory.mkdir()
        for mechanism in "snabb-link/inter-proc", "snabb-link/interlink":
            with self.subTest(mechanism):
                address = str(run_directory / "spoon")
                with open(self.folder / "heard", "wb") as stdout:
                    listener = self.listen(mechanism, address, stdin=subprocess.DEVNULL, stdout=stdout)
                with open(self.folder / "question", "rb") as stdin:
                    self.assertEqual(self.call(mechanism, address, listener, stdin, self.folder / "told"), (0, ""))
                self.assertEqual(listener.wait(PATIENCE_S), 0)
                self.assertTrue(filecmp.cmp(self.folder / "question", self.folder / "heard", False))
                self.assertEqual(list(run_directory.iterdir()), [])
                self.assertIn("nobody listens at", self.refused(mechanism, address))
                missing = str(run_directory / "missing" / "spoon")
                self.assertIn(f"open {missing}: failed", self.refused("--listen", mechanism, missing))

    def test_an_interrupted_listener_leaves_nothing(self):
        for mechanism, words in facts().items():
            if inherited_only(words):
                continue
            with self.subTest(mechanism):
                address = self.address(words["found by"])
                before = set(os.listdir("/dev/shm"))
                listener = self.listen(mechanism, address, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL)
                time.sleep(0.1)
                if listener.poll() is None:
                    listener.send_signal(signal.SIGINT)
                listener.wait(PATIENCE_S)
                complaint = listener.stderr.read()
                if "not possible on this machine" in complaint:
                    self.skipTest(complaint.strip())
                self.assertEqual(complaint, "")
                self.assertEqual(listener.returncode, 130)
                self.assertEqual(set(os.listdir("/dev/shm")) - before, set())
                self.assertEqual(list(self.folder.glob("ipclab-test-*")), [])

    def test_a_killed_peer_is_told_of(self):
        address = self.address("object name")
        listener = self.listen("spsc-ring/futex", address, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL)
        caller = None
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            caller = subprocess.Popen([PROGRAM, "cat", "spsc-ring/futex", address],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
            self.running.append(caller)
            caller.stdin.write(b"here I am")
            caller.stdin.flush()
            listener.stdin.write("and I\n")
            listener.stdin.flush()
            if caller.stdout.read(1):
                break
        caller.kill()
        started = time.monotonic()
        self.assertEqual(listener.wait(PATIENCE_S), 1)
        self.assertLess(time.monotonic() - started, 1.5)
        self.assertRegex(listener.stderr.read(), re.compile("^ipclab: .*the peer is gone"))

    def refused(self, *words):
        answer = subprocess.run([PROGRAM, "cat", *words], text=True, capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False)
        self.assertNotEqual(answer.returncode, 0)
        self.assertEqual(answer.stderr.count("\n"), 1, answer.stderr)
        return answer.stderr

    def test_what_cannot_be_is_refused_in_one_line(self):
        self.assertIn("has no address", self.refused("--listen", "pipe", "x"))
        self.assertIn('did you mean unix-stream?', self.refused("unix-straem", "x"))
        self.assertIn("name a mechanism and an address", self.refused("--listen", "unix-stream"))
        self.assertIn("nobody listens at", self.refused("unix-stream", str(self.folder / "none")))
        self.assertIn("without a slash", self.refused("--listen", "spsc-ring/futex", "a/b"))


if __name__ == "__main__":
    unittest.main()
