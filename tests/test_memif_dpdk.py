"""The memif library and programs against DPDK's net_memif driver: both directions, both roles."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import testpmd
from testpmd import Running, Testpmd, is_listening, wait_until

PROGRAM = os.environ["IPCLAB_PROGRAM"]
PEER = os.environ["IPCLAB_MEMIF_PEER"]
MISSING = testpmd.why_missing()
PACKETS = 5000


class WithTestpmd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ipclab-memif-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.count = 0

    def new_name(self):
        self.count += 1
        return f"ipclab-test-{os.getpid()}-{self.id().rsplit('.', 1)[-1]}-{self.count}"

    def ipclab(self, *words, before=()):
        return Running(self, [*before, PROGRAM, "memif", *words])

    def tally(self, peer, start=0):
        return json.loads(peer.await_output(r"\{.*\}", start).group())

    def connect(self, what, forward, *, role, ours=(), device="", queues=1, path=False, eal=()):
        """A test peer in the role, and a testpmd in the other one, connected; the server first.
        `device` is more of the vdev's arguments."""
        name = self.new_name()
        socket = str(self.folder / name) if path else "@" + name
        where = f"socket={socket},socket-abstract=no" if path else f"socket={name}"
        theirs = "client" if role == "server" else "server"
        words = [PEER, what, socket, "--queues", str(queues), *ours]

        def start_peer():
            return Running(self, words + (["--client"] if role == "client" else []))

        def start_testpmd():
            return Testpmd(self, f"net_memif0,role={theirs},id=0,{where}{device}", forward=forward,
                           queues=queues, eal=eal)
        if role == "server":
            peer = start_peer()
            wait_until(lambda: is_listening(socket), "our server")
            dpdk = start_testpmd()
        else:
            dpdk = start_testpmd()
            wait_until(lambda: is_listening(socket, dpdk.process.pid), "testpmd's server")
            peer = start_peer()
        peer.await_output("connected to")
        return peer, dpdk


@unittest.skipIf(MISSING, MISSING)
class Echo(WithTestpmd):
    """What testpmd forwards back is what was sent: every byte of every packet, in order."""

    def check(self, *, least=64, most=5000, packets=PACKETS, ours=(), **how):
        words = ["--least", least, "--most", most, "--packets", packets, *ours]
        peer, dpdk = self.connect("echo", "io", ours=[str(word) for word in words], **how)
        dpdk.start()
        tally = self.tally(peer)
        self.assertEqual((tally["sent"], tally["received"], tally["wrong"], tally["violations"]),
                         (packets, packets, 0, 0), f"{tally}\n{peer.output}\n{dpdk.output}")
        # Before we leave: it forgets its counters then.
        self.assertEqual(dpdk.counters(), (packets, packets))
        self.assertEqual(peer.wait(), 0, peer.output)
        dpdk.quit()
        return tally

    def test_as_server(self):
        self.check(role="server")

    def test_as_client(self):
        self.check(role="client")

    def test_at_a_path(self):
        self.check(role="server", path=True, packets=100)
        self.assertEqual(os.listdir(self.folder), [], "our socket's file was left behind")
        self.check(role="client", path=True, packets=100)

    def test_smallest_and_largest_rings(self):
        # Chains of three buffers do not fit a ring of two.
        self.check(role="server", device=",rsize=1", ours=["--ring-slots", 2], most=4096, packets=1000)
        self.check(role="client", ours=["--ring-slots", 2], most=4096, packets=1000)
        self.check(role="client", ours=["--ring-slots", 16384], packets=20000)

    def test_two_queues(self):
        self.check(role="server", queues=2)
        self.check(role="client", queues=2)

    def test_small_buffers(self):
        self.check(role="server", device=",bsize=256", ours=["--buffer-size", 256])
        self.check(role="client", ours=["--buffer-size", 256])

    def test_secret(self):
        self.check(role="server", device=",secret=psst", ours=["--secret", "psst"], packets=100)
        self.check(role="client", device=",secret=psst", ours=["--secret", "psst"], packets=100)

    def test_polling(self):
        self.check(role="server", ours=["--poll"], packets=500)
        self.check(role="client", ours=["--poll"], packets=500)

    def test_zero_copy_client(self):
        """Its packets lie in memory of DPDK's own, which is not sealed against shrinking."""
        self.check(role="server", device=",zero-copy=yes", eal=["--single-file-segments"],
                   ours=["--admit-unsealed"], most=1500)


@unittest.skipIf(MISSING, MISSING)
class OneWay(WithTestpmd):
    def test_to_testpmd(self):
        for role in ("server", "client"):
            with self.subTest(role):
                ours = ["--packets", str(PACKETS), "--most", "1500"]
                peer, dpdk = self.connect("send", "rxonly", role=role, ours=ours)
                dpdk.start()
                self.assertEqual(self.tally(peer)["sent"], PACKETS)
                wait_until(lambda: dpdk.counters()[0] >= PACKETS, "the last packets")
                self.assertEqual(dpdk.counters(), (PACKETS, 0))
                self.assertEqual(peer.wait(), 0)

    def test_from_testpmd(self):
        """It sends the same UDP packet over and over: from 198.18.0.1 to 198.18.0.2."""
        for role in ("server", "client"):
            with self.subTest(role):
                peer, dpdk = self.connect("receive", "txonly", role=role,
                                          ours=["--packets", str(PACKETS)])
                dpdk.start()
                tally = self.tally(peer)
                self.assertGreaterEqual(tally["received"], PACKETS)
                self.assertEqual(tally["wrong"], 0)
                self.assertEqual(tally["bytes"], 64 * tally["received"])
                self.assertIn("c6120001c6120002", tally["first"])
                dpdk.say("stop")
                peer.wait()


@unittest.skipIf(MISSING, MISSING)
class Reconnect(WithTestpmd):
    def test_after_a_killed_client(self):
        socket = "@" + self.new_name()
        peer = Running(self, [PEER, "echo", socket, "--packets", str(PACKETS), "--most", "3000",
                              "--connections", "3"])
        wait_until(lambda: is_listening(socket), "our server")
        start = 0
        for _ in range(3):
            dpdk = Testpmd(self, f"net_memif0,role=client,id=0,socket={socket[1:]}", forward="io")
            dpdk.start()
            tally = self.tally(peer, start)
            start = len(peer.output)
            self.assertEqual((tally["received"], tally["wrong"]), (PACKETS, 0), tally)
            dpdk.kill()
            peer.say("")
        self.assertEqual(peer.wait(), 0, peer.output)

    def test_after_a_killed_server(self):
        """ping goes on, and its packets are answered again as soon as the server is back."""
        name = self.new_name()

        def serve():
            return Testpmd(self, f"net_memif0,role=server,id=0,socket={name}",
                           forward="icmpecho").start()
        dpdk = serve()
        ping = self.ipclab("ping", "-i", "0.02", "@" + name, "10.0.0.1")
        ping.await_output("icmp_seq=5 ")
        dpdk.kill()
        ping.await_output("no connection")
        start = len(ping.output)
        serve()
        ping.await_output(r"connected to[^~]*icmp_seq=", start)
        self.assertEqual(ping.end(), 0)
        self.assertRegex(ping.output, r"rtt min/avg/max/mdev = ")


@unittest.skipIf(MISSING, MISSING)
class Programs(WithTestpmd):
    def icmpecho(self, **more):
        name = self.new_name()
        dpdk = Testpmd(self, f"net_memif0,role=server,id=0,socket={name}"
                       + "".join(f",{key}={value}" for key, value in more.items()), forward="icmpecho")
        return "@" + name, dpdk.start()

    def test_ping_testpmd(self):
        for words in (["-c", "5", "-i", "0.01"], ["-c", "3", "-i", "0.01", "-s", "5000"],
                      ["-c", "200", "-i", "0", "-q", "--poll"]):
            with self.subTest(words):
                socket, dpdk = self.icmpecho()
                ping = self.ipclab("ping", *words, socket, "10.0.0.1")
                count = words[1]
                self.assertEqual(ping.wait(), 0, ping.output)
                self.assertIn(f"{count} packets transmitted, {count} received, 0% packet loss",
                              ping.output)
                self.assertRegex(ping.output, r"rtt min/avg/max/mdev = [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms")
                dpdk.quit()

    def test_ping_with_a_wrong_secret(self):
        socket, _ = self.icmpecho(secret="psst")
        for words in ([], ["--secret", "wrong"]):
            ping = self.ipclab("ping", "--connect-timeout", "1", "-c", "1", *words, socket, "10.0.0.1")
            self.assertEqual(ping.wait(), 2)
            self.assertRegex(ping.output.splitlines()[-1], "ipclab: .*[Ss]ecret")
        ping = self.ipclab("ping", "-c", "1", "--secret", "psst", socket, "10.0.0.1")
        self.assertEqual(ping.wait(), 0, ping.output)

    def test_forward_between_two_testpmds(self):
        """One sends, the other answers: `forward` is the cable between them."""
        names = [self.new_name(), self.new_name()]
        forward = self.ipclab("forward", "--hold", "@" + names[0], "@" + names[1])
        forward.await_output("forwarding")
        dpdk = Testpmd(self, f"net_memif0,role=client,id=0,socket={names[0]}", forward="icmpecho").start()
        forward.await_output("connected to")
        ping = self.ipclab("ping", "-c", "50", "-i", "0.005", "-s", "3000", "@" + names[1], "10.0.0.1")
        self.assertEqual(ping.wait(), 0, ping.output)
        self.assertIn("50 packets transmitted, 50 received", ping.output)
        # The ARP request, the echo requests.
        self.assertEqual(dpdk.counters(), (51, 51))
        self.assertEqual(forward.end(signal.SIGTERM), 0)
        self.assertIn(f"@{names[0]} -> @{names[1]}: 51 packets", forward.output)


class Namespace:
    """A network namespace that lasts as long as the process that holds it: no name to be removed."""

    def __init__(self, test):
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.holder = subprocess.Popen(["unshare", "--net", *user, "sh", "-c", "echo ready; cat"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        test.addCleanup(self.end)
        if self.holder.stdout.readline() != "ready\n":
            test.skipTest(f"no network namespace may be made: {self.holder.stderr.read().strip()}")
        self.enter = ["nsenter", f"--target={self.holder.pid}", "--net"]
        if user:
            self.enter += ["--user", "--preserve-credentials"]

    def end(self):
        self.holder.kill()
        self.holder.wait()
        for stream in (self.holder.stdin, self.holder.stdout, self.holder.stderr):
            stream.close()

    def run(self, *words):
        return subprocess.run([*self.enter, *words], text=True, capture_output=True,
                              timeout=testpmd.PATIENCE_S, check=False)


@unittest.skipIf(MISSING, MISSING)
class KernelPing(WithTestpmd):
    """ping(8) → kernel → TAP device → testpmd's io forwarding → memif → `ipclab memif respond`."""

    def setUp(self):
        super().setUp()
        for program in ("ip", "ping", "unshare", "nsenter"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")
        self.namespace = Namespace(self)
        made = self.namespace.run("ip", "tuntap", "add", "dev", "probe", "mode", "tap")
        if made.returncode != 0:
            self.skipTest(f"no TAP device may be made: {made.stderr.strip()}")
        self.namespace.run("ip", "link", "delete", "probe")

    def check(self, role):
        socket = str(self.folder / role)
        theirs = "client" if role == "server" else "server"
        words = ["--client"] if role == "client" else []

        def respond():
            return self.ipclab("respond", *words, "--address", "10.9.8.1", socket,
                               before=self.namespace.enter)
        responder = respond() if role == "server" else None
        if responder:
            responder.await_output("listening")
        dpdk = Testpmd(self, "net_tap0,iface=tap0",
                       f"net_memif0,role={theirs},id=0,socket={socket},socket-abstract=no",
                       forward="io", before=self.namespace.enter)
        if not responder:
            wait_until(lambda: os.path.exists(socket) or dpdk.process.poll() is not None,
                       "testpmd's server")
            responder = respond()
        try:
            dpdk.start()
        except AssertionError as error:
            if "net_tap" in str(error) or "TUN" in str(error):
                self.skipTest(f"DPDK's net_tap does not run here: {error}")
            raise
        responder.await_output("connected to")
        for command in (["address", "add", "10.9.8.2/24", "dev", "tap0"], ["link", "set", "tap0", "up"]):
            done = self.namespace.run("ip", *command)
            self.assertEqual(done.returncode, 0, done.stderr)
        for size in ("56", "1400"):
            ping = self.namespace.run("ping", "-c", "5", "-i", "0.05", "-w", "10", "-s", size, "10.9.8.1")
            self.assertEqual(ping.returncode, 0, f"{ping.stdout}{ping.stderr}\n{responder.output}\n{dpdk.output}")
            self.assertIn(" 0% packet loss", ping.stdout)
        self.assertEqual(responder.end(), 0)
        self.assertRegex(responder.output, r"answered 1\d echo requests and [1-9]")
        dpdk.quit()

    def test_reaches_us_as_server(self):
        self.check("server")

    def test_reaches_us_as_client(self):
        self.check("client")


if __name__ == "__main__":
    unittest.main()
