"""DPDK's dpdk-testpmd as a peer for the memif tests: without huge pages, without PCI, each with files of its own."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PROGRAM = shutil.which("dpdk-testpmd")
PATIENCE_S = 30


def why_missing():
    """Why no test can start it; None where one can."""
    if not PROGRAM:
        return "dpdk-testpmd is not installed (Debian: dpdk-dev)"
    if not list(Path("/usr/lib").glob("*/dpdk/pmds-*/librte_net_memif.so*")):
        return "DPDK's net_memif driver is not installed (Debian: librte-net-memif23)"
    return None


def wait_until(condition, what, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain waited for {what}")
        time.sleep(0.01)


def is_listening(socket, pid="self"):
    """Never by connecting: a peer that leaves before it says hello makes testpmd panic."""
    with open(f"/proc/{pid}/net/unix") as table:
        return any(line.rstrip("\n").endswith(" " + socket) for line in table)


class Running:
    """A process whose output is read as it comes. It is ended with the test that started it."""

    def __init__(self, test, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace",
                                        **options)
        self.output = ""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        test.addCleanup(self.kill)

    def _read(self):
        for line in self.process.stdout:
            self.output += line

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def await_output(self, pattern, start=0, patience_s=PATIENCE_S):
        """Waits until it has said so, from the position `start` on; returns the match."""
        found = []

        def look():
            found[:] = [re.compile(pattern).search(self.output, start)]
            return found[0] or self.process.poll() is not None and not self.reader.is_alive()
        try:
            wait_until(look, f"{pattern!r}", patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error} in:\n{self.output}") from None
        if not found[0]:
            raise AssertionError(f"it ended ({self.process.returncode}) without {pattern!r}:\n{self.output}")
        return found[0]

    def wait(self, patience_s=PATIENCE_S):
        """Waits for its end; returns its exit status."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        status = self.process.wait(patience_s)
        self.reader.join(patience_s)
        return status

    def end(self, with_signal=signal.SIGINT, patience_s=PATIENCE_S):
        self.process.send_signal(with_signal)
        return self.wait(patience_s)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except BrokenPipeError:
                pass


class Testpmd(Running):
    """Runs from the constructor on; forwards from start() on."""

    count = 0

    def __init__(self, test, *devices, forward, queues=1, before=(), eal=()):
        """`before`: what runs it, such as nsenter; `eal`: more options of DPDK itself."""
        Testpmd.count += 1
        folder = tempfile.TemporaryDirectory(prefix="ipclab-testpmd-")
        test.addCleanup(folder.cleanup)
        # Its prompt sleeps on the first CPU, its forwarding spins on the last.
        cpus = sorted(os.sched_getaffinity(0))
        command = [
            *before, "stdbuf", "-oL", PROGRAM, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
            "--lcores", f"0@{cpus[0]},1@{cpus[-1]}", "--file-prefix", f"ipclab{os.getpid()}n{Testpmd.count}",
            *eal, *(f"--vdev={device}" for device in devices), "--",
            "--interactive", f"--forward-mode={forward}", "--no-flush-rx", "--disable-link-check",
            "--total-num-mbufs=16384", f"--rxq={queues}", f"--txq={queues}"]
        # Where it keeps its files, whoever runs it (systemd.exec(5) names the variable).
        super().__init__(test, command, env={**os.environ, "RUNTIME_DIRECTORY": folder.name})

    def start(self):
        self.say("start")
        self.await_output(r"packet forwarding - ports=")
        return self

    def quit(self):
        """It may die of its peer's leaving: it frees the memory that its forwarding still reads."""
        try:
            self.say("quit")
            self.wait()
        except BrokenPipeError:
            self.kill()

    def ask(self, command, answer):
        start = len(self.output)
        self.say(command)
        return self.await_output(answer, start)

    def counters(self, port=0):
        """(packets received, packets sent) by the port; both return to 0 when its peer leaves."""
        match = self.ask(f"show port stats {port}",
                         r"RX-packets: *(\d+)[^#]*?TX-packets: *(\d+)")
        return int(match.group(1)), int(match.group(2))
