"""docs/: the example programs do what their pages say, and the commands of the pages work."""

import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SOURCE = Path(os.environ["IPCLAB_SOURCE_DIR"])
DOCS = SOURCE / "docs"
PROGRAM = Path(os.environ["IPCLAB_PROGRAM"])
EXAMPLES = PROGRAM.parent / "docs" / "examples"
SKIPPED = 77
PATIENCE_S = 30


def example(*words):
    name, *arguments = words
    return subprocess.run([EXAMPLES / name, *arguments], text=True, capture_output=True, timeout=PATIENCE_S,
                          stdin=subprocess.DEVNULL, check=False)


def outputs_on(page):
    """What a page says that programs print: {command: output}."""
    return dict(re.findall(r"<!-- output: (.*?) -->\n```\n(.*?)```\n", page.read_text(encoding="utf-8"), re.S))


class LostWakeup(unittest.TestCase):
    page = outputs_on(DOCS / "examples" / "lost-wakeup" / "README.md")

    def played(self, *words):
        done = example("lost-wakeup", *words)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.strip(), self.page[" ".join(("lost-wakeup", *words))].strip())
        return done

    def test_the_wrong_one_loses_both(self):
        done = self.played()
        self.assertEqual((done.returncode, done.stdout.count("=> THE WAKE-UP WAS LOST")), (1, 2))
        self.assertNotIn("=> received", done.stdout)

    def test_the_mended_one_loses_none(self):
        done = self.played("--mended")
        self.assertEqual((done.returncode, done.stdout.count("=> received")), (0, 2))
        self.assertNotIn("LOST", done.stdout)


class Zerocopy(unittest.TestCase):
    def test_loopback_copies_nevertheless(self):
        done = example("zerocopy")
        if done.returncode == SKIPPED:
            self.skipTest(done.stdout.strip())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, outputs_on(DOCS / "not-compared.md")["zerocopy"])


class VillasEcho(unittest.TestCase):
    """A program that knows nothing but a name talks to `ipclab cat`."""

    def conversation(self, mechanism):
        name = f"ipclab-villas-echo-{os.getpid()}"
        cat = subprocess.Popen([PROGRAM, "cat", "--listen", mechanism, name], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(cat.wait)
        self.addCleanup(cat.kill)
        end = time.monotonic() + PATIENCE_S
        while not Path(f"/dev/shm/{name}.from-responder").exists():
            self.assertTrue(cat.poll() is None and time.monotonic() < end, "nobody listens")
            time.sleep(0.01)
        echo = subprocess.Popen([EXAMPLES / "villas-echo", name], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        self.addCleanup(echo.wait)
        self.addCleanup(echo.kill)
        # A line at a time, so that each is a sample.
        for line, backwards in ("stressed", "desserts"), ("1234567", "7654321"):
            cat.stdin.write(f"{line}\n")
            cat.stdin.flush()
            self.assertEqual(cat.stdout.readline(), f"{backwards}\n")
        output, problems = cat.communicate(timeout=PATIENCE_S)
        self.assertEqual((cat.returncode, output, problems), (0, "", ""))
        self.assertEqual(echo.communicate(timeout=PATIENCE_S), ("answered 2 samples\n", ""))
        self.assertEqual(list(Path("/dev/shm").glob(f"{name}*")), [])

    def test_answers_cat(self):
        self.conversation("villas-queue")

    def test_follows_the_mode_that_the_listener_chose(self):
        for mode in "polling", "pthread", "futex":
            with self.subTest(mode=mode):
                self.conversation(f"villas-queue/{mode}")

    def test_says_why_it_cannot_begin(self):
        done = example("villas-echo", "ipclab-there-is-no-such-queue")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("No such file or directory", done.stderr)
        self.assertEqual(example("villas-echo").returncode, 2)


class ObjectsByHand(unittest.TestCase):
    """docs/objects.md is one session of a shell, from top to bottom."""

    def setUp(self):
        # A cleaning that finds what others left behind is no business of this test.
        subprocess.run([PROGRAM, "clean"], check=True, stdout=subprocess.DEVNULL)
        # What the page mounts is seen by nobody else, where that can be.
        alone = ["unshare", "--mount"]
        mounts = subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
        self.shell = subprocess.Popen(
            [*(alone if mounts else []), "bash"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, cwd=SOURCE,
            env={**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "LC_ALL": "C"})
        self.addCleanup(self.end)

    def end(self):
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.communicate()
        subprocess.run([PROGRAM, "clean"], check=True, stdout=subprocess.DEVNULL)

    def run_commands(self, commands):
        """Returns their exit status and what they printed."""
        self.shell.stdin.write(f"{commands}\necho end-of-commands $?\n")
        self.shell.stdin.flush()
        printed = ""
        for line in self.shell.stdout:
            before, end, status = line.partition("end-of-commands ")
            printed += before
            if end:
                return int(status), printed
        self.fail(f"the shell has ended:\n{commands}{printed}")

    def run_until_it_shows(self, commands):
        """Commands that tell what they show are repeated until they do: what they look at takes its time."""
        shows = [line.split("# shows ")[1].strip() for line in commands.splitlines() if "# shows " in line]
        end = time.monotonic() + PATIENCE_S
        while True:
            status, printed = self.run_commands(commands)
            missing = [words for words in shows if words not in printed]
            if not missing and status == 0:
                return
            self.assertTrue(shows and time.monotonic() < end, f"{commands}gave {status} and\n{printed}\nnot {missing}")
            time.sleep(0.2)

    def test_each_command_works(self):
        page = (DOCS / "objects.md").read_text(encoding="utf-8")
        self.run_commands("trap 'kill -KILL $(jobs -p)' EXIT")
        blocks = re.findall(r"<!-- runs(?: where: (.*?))? -->\n```sh\n(.*?)```\n", page, re.S)
        self.assertEqual(len(blocks), page.count("```sh"))
        skipped = []
        for where, commands in blocks:
            if where and self.run_commands(f"{where} >/dev/null 2>&1")[0] != 0:
                skipped.append(f"`{commands.splitlines()[0]}` and what follows it: not where `{where}` fails")
                continue
            self.run_until_it_shows(commands)
        if skipped:
            self.skipTest("; ".join(skipped))


class Diagrams(unittest.TestCase):
    def words(self, folder):
        """The words of each picture; where they stand depends on the version of matplotlib."""
        return {path.name: re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))
                for path in folder.glob("*.svg")}

    def test_are_what_the_script_draws(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([SOURCE / "scripts" / "draw-diagrams", folder], capture_output=True, text=True,
                                  timeout=PATIENCE_S, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            drawn = self.words(Path(folder))
        self.assertTrue(drawn)
        self.assertEqual(self.words(DOCS / "diagrams"), drawn)

    def test_there_is_one_for_each_family(self):
        folders = {path.parent.name.replace("_", "-") for path in SOURCE.glob("mechanisms/*/family.hpp")}
        self.assertEqual({path.stem for path in (DOCS / "diagrams").glob("*.svg")}, folders)


class Links(unittest.TestCase):
    def test_every_page_leads_somewhere(self):
        for page in DOCS.rglob("*.md"):
            for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
                if "://" not in target:
                    self.assertTrue((page.parent / target).exists(), f"{page}: {target}")

    def test_no_page_is_left_alone(self):
        text = "".join(page.read_text(encoding="utf-8") for page in [SOURCE / "README.md", *DOCS.rglob("*.md")])
        for page in [*DOCS.rglob("*.md"), *DOCS.rglob("*.svg")]:
            name = page.name if page.name != "README.md" else f"{page.parent.name}/{page.name}"
            self.assertIn(name, text)


if __name__ == "__main__":
    unittest.main()
