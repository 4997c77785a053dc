"""`ipclab ps` and `ipclab clean`: what there is, whose it is, and what may go."""

import os
import subprocess
import time
import unittest
from pathlib import Path

PROGRAM = os.environ["IPCLAB_PROGRAM"]
PATIENCE_S = 60


def ipclab(*words):
    return subprocess.run([PROGRAM, *words], text=True, capture_output=True, timeout=PATIENCE_S,
                          stdin=subprocess.DEVNULL, check=True).stdout


class Objects(unittest.TestCase):
    def setUp(self):
        self.holders = []
        self.addCleanup(lambda: [(each.kill(), each.communicate()) for each in self.holders])
        self.addCleanup(lambda: ipclab("clean"))
        ipclab("clean")

    def hold(self, mechanism, address):
        """A process that has made an object and waits for a peer."""
        holder = subprocess.Popen([PROGRAM, "cat", "--listen", mechanism, address],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        self.holders.append(holder)
        end = time.monotonic() + PATIENCE_S
        while f" {holder.pid} " not in ipclab("ps"):
            self.assertLess(time.monotonic(), end, "the object was not listed")
            time.sleep(0.01)
        return holder

    def test_the_dead_ones_only_are_removed(self):
        names = [f"ipclab-test-{os.getpid()}-{word}" for word in ("alive", "dead")]
        alive = self.hold("spsc-ring/futex", names[0])
        dead = self.hold("spsc-ring/futex", names[1])
        dead.kill()
        dead.wait()

        lines = {words[2]: line for line in ipclab("ps").splitlines()
                 if (words := line.split()) and words[:2] == ["shared", "memory"]}
        for name, holder, state in ((names[0], alive, "its owner lives"),
                                    (names[1], dead, "left behind")):
            line = lines[f"/dev/shm/{name}"]
            self.assertIn(f" {holder.pid} ", line)
            self.assertTrue(line.endswith(state), line)
            self.assertRegex(line, r" \d+ s ")

        removed = ipclab("clean")
        self.assertIn(f"removed shared memory /dev/shm/{names[1]}\n", removed)
        self.assertNotIn(names[0], removed)
        self.assertFalse(Path("/dev/shm", names[1]).exists())
        self.assertTrue(Path("/dev/shm", names[0]).exists())
        self.assertEqual(ipclab("clean"), "nothing was left behind\n")

    def test_what_no_registry_names_is_listed_and_removed_by_its_name(self):
        process = subprocess.Popen(["true"])
        process.wait()
        stray = Path("/dev/shm", f"ipclab-spsc-ring-{process.pid}-0-0badcafe")
        strangers = Path("/dev/shm", "ipclab-of-somebody-else")
        for path in (stray, strangers):
            path.touch(mode=0o600)
            self.addCleanup(lambda path=path: path.unlink(missing_ok=True))
        self.assertIn(str(stray), ipclab("ps"))
        self.assertIn(f"removed shared memory {stray}\n", ipclab("clean"))
        self.assertFalse(stray.exists())
        self.assertTrue(strangers.exists(), "its name does not tell whose it is")

    def test_nothing_is_said_in_words(self):
        self.assertEqual(ipclab("clean"), "nothing was left behind\n")


if __name__ == "__main__":
    unittest.main()
