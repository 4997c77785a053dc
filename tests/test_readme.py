"""README.md and docs/: their generated parts are what the program and the committed runs say; links lead somewhere."""
import os
import pathlib
import re
import subprocess
import unittest

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


if __name__ == "__main__":
    unittest.main()
