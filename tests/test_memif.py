"""The memif programs with each other: what they print, how they end, and what they leave behind."""

import json
import os
import signal
import tempfile
import unittest
from pathlib import Path

from testpmd import Running, is_listening, wait_until

PROGRAM = os.environ["IPCLAB_PROGRAM"]
PEER = os.environ["IPCLAB_MEMIF_PEER"]


class Memif(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ipclab-memif-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def socket(self, name="socket"):
        return str(self.folder / name)

    def run_one(self, *words):
        return Running(self, [PROGRAM, "memif", *words])

    def listen(self, *words):
        program = self.run_one(*words)
        program.await_output("Ctrl-C ends")
        return program


class Ping(Memif):
    def ping(self, *words):
        program = self.run_one("ping", *words)
        return program.wait(), program.output

    def test_prints_what_ping_prints(self):
        responder = self.listen("respond", self.socket())
        status, output = self.ping("-c", "3", "-i", "0.01", self.socket(), "10.0.0.1")
        self.assertEqual(status, 0, output)
        lines = [line for line in output.splitlines() if not line.startswith(self.socket())]
        self.assertEqual(lines[0], "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.")
        for number in (1, 2, 3):
            self.assertRegex(lines[number], rf"^64 bytes from 10\.0\.0\.1: icmp_seq={number} ttl=64 "
                                            r"time=\d+\.\d{3} ms$")
        self.assertEqual(lines[4:6], ["", "--- 10.0.0.1 ping statistics ---"])
        self.assertRegex(lines[6], r"^3 packets transmitted, 3 received, 0% packet loss, time \d+ms$")
        self.assertRegex(lines[7], r"^rtt min/avg/max/mdev = (\d+\.\d{3}/){3}\d+\.\d{3} ms$")
        self.assertEqual(responder.end(), 0)
        self.assertIn("answered 3 echo requests and 1 ARP request; 0 other packets", responder.output)
        self.assertEqual(os.listdir(self.folder), [])

    def test_all_sizes_and_both_roles_and_modes(self):
        """The responder is the client here, and ping listens."""
        for mode in ([], ["--poll"]):
            responder = self.run_one("respond", "--client", *mode, self.socket())
            for size in ("0", "1", "1472", "5000", "65507"):
                status, output = self.ping("--server", *mode, "-q", "-c", "10", "-i", "0", "-s", size,
                                           self.socket(), "10.0.0.1")
                self.assertEqual(status, 0, output)
                self.assertIn("10 packets transmitted, 10 received, 0% packet loss", output)
            self.assertEqual(responder.end(), 0)
        self.assertEqual(os.listdir(self.folder), [])

    def test_nobody_has_that_address(self):
        self.listen("respond", self.socket())
        status, output = self.ping("-c", "1", self.socket(), "10.0.0.9")
        self.assertEqual(status, 1)
        self.assertIn("nobody answers for 10.0.0.9", output)

    def test_nobody_is_there(self):
        status, output = self.ping("--connect-timeout", "0.2", self.socket(), "10.0.0.1")
        self.assertEqual(status, 2)
        self.assertRegex(output.splitlines()[-1], "^ipclab: memif ping: .*No such file")

    def test_a_wrong_secret(self):
        self.listen("respond", "--secret", "psst", self.socket())
        for words in ([], ["--secret", "other"]):
            status, output = self.ping("--connect-timeout", "0.5", *words, self.socket(), "10.0.0.1")
            self.assertEqual(status, 2)
            self.assertRegex(output.splitlines()[-1], "^ipclab: memif ping: .*[Ss]ecret")
        status, output = self.ping("-c", "1", "--secret", "psst", self.socket(), "10.0.0.1")
        self.assertEqual(status, 0, output)

    def test_goes_on_when_the_responder_comes_back(self):
        responder = self.listen("respond", "@" + self.socket("name"))
        ping = self.run_one("ping", "-i", "0.01", "@" + self.socket("name"), "10.0.0.1")
        ping.await_output("icmp_seq=3 ")
        responder.kill()
        ping.await_output("no connection")
        start = len(ping.output)
        # Another Ethernet address: ping has to ask again.
        self.listen("respond", "--mac", "02:00:00:00:00:77", "@" + self.socket("name"))
        ping.await_output(r"connected to[^~]*icmp_seq=", start)
        self.assertEqual(ping.end(), 0)
        self.assertRegex(ping.output, r"received, [\d.]+% packet loss")

    def test_a_socket_left_by_a_killed_responder_is_taken_over(self):
        self.listen("respond", self.socket()).kill()
        self.assertEqual(os.listdir(self.folder), ["socket"])
        responder = self.listen("respond", self.socket())
        status, output = self.ping("-c", "1", self.socket(), "10.0.0.1")
        self.assertEqual(status, 0, output)
        self.assertEqual(os.stat(self.socket()).st_mode & 0o777, 0o600)
        self.assertEqual(responder.end(signal.SIGTERM), 0)
        self.assertEqual(os.listdir(self.folder), [])


class Forward(Memif):
    def check(self, forward_words, left, right):
        a, b = "@" + self.socket("a"), "@" + self.socket("b")
        forward = self.listen("forward", "--hold", *forward_words, a, b)
        reflect = Running(self, [PEER, "reflect", b, *right])
        forward.await_output("connected to")
        echo = Running(self, [PEER, "echo", a, "--packets", "5000", "--least", "64", "--most", "5000",
                              *left])
        tally = json.loads(echo.await_output(r"\{.*\}").group())
        self.assertEqual((tally["received"], tally["wrong"], tally["stalls"]), (5000, 0, 0), tally)
        self.assertEqual(echo.wait(), 0)
        self.assertEqual(forward.end(), 0)
        self.assertIn(f"{a} -> {b}: 5000 packets, {tally['bytes']} bytes; 0 dropped", forward.output)
        self.assertIn(f"{b} -> {a}: 5000 packets, {tally['bytes']} bytes; 0 dropped", forward.output)
        reflect.wait()

    def test_between_two_clients(self):
        self.check([], ["--client"], ["--client", "--ring-slots", "16"])

    def test_between_two_servers(self):
        self.check(["--client-a", "--client-b"], [], [])

    def test_two_queues(self):
        self.check(["--queues", "2"], ["--client", "--queues", "2"], ["--client", "--queues", "2"])

    def test_polling(self):
        self.check(["--poll"], ["--client"], ["--client"])

    def test_drops_and_counts_what_has_no_way_out(self):
        a, b = "@" + self.socket("a"), "@" + self.socket("b")
        forward = self.listen("forward", a, b)
        send = Running(self, [PEER, "send", "--client", a, "--packets", "100"])
        self.assertEqual(send.wait(), 0)
        wait_until(lambda: "no connection" in forward.output, "the sender's end")
        self.assertEqual(forward.end(), 0)
        self.assertIn(f"{a} -> {b}: 0 packets, 0 bytes; 100 dropped", forward.output)


class Words(Memif):
    def check(self, words, status, pattern):
        with self.subTest(words):
            program = self.run_one(*words)
            self.assertEqual(program.wait(), status, program.output)
            self.assertRegex(program.output.splitlines()[-1], pattern)

    def test_what_is_wrong_is_said_in_a_line(self):
        self.check([], 2, "respond, ping or forward")
        self.check(["respnd"], 2, "unknown command \"respnd\".*respond")
        self.check(["respond"], 2, "which socket")
        self.check(["respond", "--adress", "10.0.0.1", "@x"], 2, "unknown option.*--address")
        self.check(["respond", "--address", "10.0.0", "@x"], 2, "not an IPv4 address")
        self.check(["respond", "--mac", "ff:ff:ff:ff:ff:ff", "@x"], 2, "not an interface's address")
        self.check(["respond", "--server", "--client", "@x"], 2, "--(client|server) excludes --(server|client)")
        self.check(["respond", "--ring-slots", "1000", "@x"], 2, "not a power of two")
        self.check(["respond", "--secret", "x" * 24, "@x"], 1, "secret")
        self.check(["respond", "@x", "y"], 2, "one word too many; see ipclab memif respond --help")
        self.check(["ping", "@x"], 2, "ping whom")
        self.check(["ping", "-s", "65508", "@x", "10.0.0.1"], 2, "65507")
        self.check(["forward", "@x"], 2, "two sockets")
        self.check(["respond", "/no/such/folder/socket"], 1, "No such file or directory")
        self.check(["respond", "/" + "x" * 200], 1, "/xxx")

    def test_a_socket_in_use_is_refused(self):
        responder = self.listen("respond", self.socket())
        self.check(["respond", self.socket()], 1,
                   "a program listens on .*/socket already; choose another path, or stop that program")
        self.assertTrue(is_listening(self.socket(), responder.process.pid))

    def test_a_socket_that_was_left_behind_is_replaced(self):
        killed = self.listen("respond", self.socket())
        killed.process.kill()
        killed.process.wait()
        self.assertEqual(os.listdir(self.folder), ["socket"])
        responder = self.listen("respond", self.socket())
        self.assertTrue(is_listening(self.socket(), responder.process.pid))
        self.assertEqual(responder.end(), 0)
        self.assertEqual(os.listdir(self.folder), [])

    def test_help_tells_how_to_begin(self):
        for words in ([], ["respond"], ["ping"], ["forward"]):
            program = self.run_one(*words, "--help")
            self.assertEqual(program.wait(), 0)
            self.assertIn("Example", program.output)


if __name__ == "__main__":
    unittest.main()
