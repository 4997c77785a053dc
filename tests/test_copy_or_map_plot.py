"""scripts/plot.py on a run of copy-vs-map: what the plots hold is what copy-or-map.json holds."""

import json
import math
import re
import struct
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

import copy_or_map_sample as sample
from test_plot import SVG, assert_margin_is_white, plot, row, with_matplotlib

PLACE_NAMES = {f"{placement}-{waiting}" for placement, waiting in sample.PLACES}


def groups(svg, prefix):
    """gid -> its group, of those in an SVG file that begin so."""
    return {group.get("id"): group for group in xml.parse(svg).iter(f"{SVG}g")
            if group.get("id", "").startswith(prefix)}


def markers(group):
    """Where they are, from left to right."""
    return sorted((float(use.get("x")), float(use.get("y"))) for use in group.iter(f"{SVG}use"))


def first_x(group):
    return float(re.match(r"M ([\d.]+)", group.find(f"{SVG}path").get("d"))[1])


def strings(svg):
    """matplotlib repeats each string as a comment beside its outlines, a caption line by line."""
    return [" ".join(text.split()) for text in re.findall(r"<!--(.*?)-->", svg.read_text(), re.DOTALL)]


def said(svg):
    return " ".join(strings(svg))


class Plots(unittest.TestCase):
    """One run, drawn once."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.found = sample.found()
        cls.folder = sample.write_run(Path(temporary.name), cls.found)
        cls.result = plot(cls.folder)
        cls.plots = cls.folder / "plots"

    def cells(self, stem):
        return [cell for cell in self.found["transfers"] if f"{cell['placement']}-{cell['waiting']}" == stem]

    def svg(self, name):
        return self.plots / f"copy-or-map-{name}.svg"

    def measured_sizes(self, stem):
        """label -> the sizes with a figure that counts."""
        sizes = {}
        for cell in self.cells(stem):
            if cell["state"] == "measured":
                k = f", k = {cell['messages_per_mapping']}" if "remaps" in cell["way"] else ""
                sizes.setdefault((cell["mechanism"] or cell["way"]) + k, []).append(cell["size_bytes"])
        return sizes

    def test_every_plot_is_written_and_nothing_else(self):
        self.assertEqual((self.result.returncode, self.result.stderr), (0, ""))
        names = {f"{name}-{stem}" for name in ("components", "total", "cpu") for stem in PLACE_NAMES}
        names |= {f"crossings-{copy}" for copy in ("pipe", "unix-stream", "sysv-mq", "process-vm")} | {"residuals"}
        self.assertEqual({path.name for path in self.plots.iterdir()},
                         {f"copy-or-map-{name}.{suffix}" for name in names for suffix in ("svg", "png")})

    def test_pictures_are_large_enough_to_read_and_nothing_is_cut_at_the_edge(self):
        for path in self.plots.glob("*.png"):
            width, height = struct.unpack(">II", path.read_bytes()[16:24])
            self.assertTrue(1000 < width < 2600 and 600 < height < 3000, (path.name, width, height))
        assert_margin_is_white(self, self.plots)

    def test_lines_of_total_time_hold_every_transfer_with_a_figure(self):
        for stem in PLACE_NAMES:
            drawn = {}
            for gid, group in groups(self.svg(f"total-{stem}"), "series:").items():
                drawn[gid.split(":", 1)[1].split("|")[0]] = len(markers(group))
            self.assertEqual(drawn, {label: len(sizes) for label, sizes in self.measured_sizes(stem).items()})

    def test_a_transfer_without_a_figure_leaves_a_gap_and_is_named_with_the_reason(self):
        line = groups(self.svg("total-same_cpu-sleeps"), "series:sender-remaps, k = 1|")
        path = next(iter(line.values())).find(f"{SVG}path").get("d")
        self.assertEqual(path.count("M"), 2, path)
        whole = next(iter(groups(self.svg("total-same_cpu-sleeps"), "series:pipe|0").values()))
        self.assertEqual(whole.find(f"{SVG}path").get("d").count("M"), 1)
        for stem, words in (("same_cpu-sleeps", "Disturbed each time (12 pairs, all disturbed): sender-remaps, k = 1, "),
                            ("same_cpu-sleeps", "fewer than five messages): sysv-mq (64 MiB)."),
                            ("two_cpus-spins", "Failed (memfd: ENOSPC ($0 left)): fresh-object (64 MiB)."),
                            ("two_cpus-spins", "With the CPUs at another distance only: receiver-remaps, k = 1, ")):
            self.assertIn(words, said(self.svg(f"total-{stem}")))

    def test_crossings_with_the_pipe_are_marked_where_they_are_and_tell_their_size(self):
        marked = 0
        for stem in PLACE_NAMES:
            svg = self.svg(f"total-{stem}")
            copy = "pipe/spin" if stem.endswith("spins") else "pipe"
            axis = markers(groups(svg, f"series:{copy}|")[f"series:{copy}|0"])
            left, right = axis[0][0], axis[-1][0]  # of the smallest size and of the largest, in the left column
            for crossing in self.found["crossings"]:
                if (f"{crossing['placement']}-{crossing['waiting']}" != stem or crossing["source"] != "measured"
                        or crossing["copy"] != copy or crossing["state"] != "crosses" or "populated" in crossing["way"]):
                    continue
                gid = f"crossing:{copy}|{crossing['way']}|k={crossing['messages_per_mapping'] or 1}"
                share = math.log2(crossing["size_bytes"] / sample.SIZES[0]) / math.log2(sample.SIZES[-1] / sample.SIZES[0])
                self.assertAlmostEqual(first_x(groups(svg, gid)[gid]), left + share * (right - left), delta=0.1)
                marked += 1
        self.assertGreaterEqual(marked, 6)
        self.assertIn("26 KiB [22 KiB, 31 KiB]", said(self.svg("total-same_cpu-sleeps")))
        self.assertIn("[…, 207 B]", said(self.svg("total-same_cpu-sleeps")))

    def test_crossings_with_other_copies_have_a_ring_each_time_the_curves_cross(self):
        rings = groups(self.svg("total-two_cpus-sleeps"), "ring:")
        crosses = [crossing for crossing in self.found["crossings"] if crossing["placement"] == "two_cpus"
                   and crossing["source"] == "measured" and crossing["waiting"] == "sleeps"
                   and crossing["copy"] != "pipe" and crossing["state"] == "crosses"]
        for crossing in crosses:
            self.assertIn(f"ring:{crossing['copy']}|{crossing['way']}|k={crossing['messages_per_mapping'] or 1}", rings)
        self.assertIn("ring:sysv-mq|fresh-object|k=1", rings)  # cheaper in between

    def test_what_is_cheaper_at_every_size_is_said(self):
        labels = strings(self.svg("total-same_cpu-sleeps"))
        self.assertIn("below the pipe at every size: persistent", labels)
        self.assertIn("above the pipe at every size: sender-remaps, fresh-object", labels)

    def test_published_thresholds_are_labelled_lines_with_their_sources(self):
        published = json.loads(with_matplotlib("import copy_or_map_data, json; "
                                               "print(json.dumps(copy_or_map_data.thresholds()))"))
        self.assertTrue(4 <= len(published) <= 6)
        svg = self.svg("total-two_cpus-sleeps")
        drawn, labels, words = groups(svg, "threshold:"), strings(svg), said(svg)
        axis = markers(groups(svg, "series:pipe|")["series:pipe|0"])
        for threshold in published:
            self.assertRegex(threshold["source"], r"\w/\w")
            self.assertIn(f"threshold:{threshold['name']}", drawn)
            self.assertTrue(any(re.fullmatch(rf"{threshold['name']} \d+ [kKM]?i?B", label) for label in labels), threshold)
            self.assertIn(threshold["source"].split(",")[0], words)
            share = math.log2(threshold["size_bytes"] / sample.SIZES[0]) / math.log2(sample.SIZES[-1] / sample.SIZES[0])
            first = next(group for gid, group in xml_order(svg) if gid == f"threshold:{threshold['name']}")
            self.assertAlmostEqual(first_x(first), axis[0][0] + share * (axis[-1][0] - axis[0][0]), delta=0.1)

    def test_bars_hold_every_term_of_the_model_beside_the_measured_time(self):
        for stem in PLACE_NAMES:
            svg = self.svg(f"components-{stem}")
            terms, measured = set(groups(svg, "term:")), set(groups(svg, "measured:"))
            for cell in self.cells(stem):
                label = cell["mechanism"] or cell["way"]
                if "remaps" in cell["way"]:
                    label += f", k = {cell['messages_per_mapping']}"
                if cell["messages_per_mapping"] > 1 or "populated" in cell["way"]:
                    self.assertNotIn(f"measured:{label}|{cell['size_bytes']}", measured)
                elif cell["state"] == "measured":
                    self.assertIn(f"measured:{label}|{cell['size_bytes']}", measured)
                    for term in cell["model"]["terms"]:
                        self.assertIn(f"term:{label}|{cell['size_bytes']}|{term['name']}", terms)
            self.assertIn("no figure" if stem != "two_cpus-sleeps" else "no model", said(svg))

    def test_crossings_by_k_hold_what_is_measured_and_what_the_model_says(self):
        for copy in ("pipe", "process-vm"):
            lines = groups(self.svg(f"crossings-{copy}"), "series:")
            for stem in PLACE_NAMES:
                for way in sample.WAYS:
                    for source in ("measured", "model"):
                        points = [crossing for crossing in self.found["crossings"]
                                  if crossing["copy"].split("/")[0] == copy and crossing["way"] == way
                                  and f"{crossing['placement']}-{crossing['waiting']}" == stem
                                  and crossing["source"] == source
                                  and crossing["state"] in ("crosses", "map_always", "copy_always")]
                        gid = f"series:{way}|{stem}|{source}"
                        self.assertEqual(len(markers(lines[gid])) if gid in lines else 0, len(points), gid)
        words = said(self.svg("crossings-pipe"))
        self.assertIn("No figures (fewer than two sizes): sender-remaps/populated, k = 1000, one CPU", words)

    def test_residuals_hold_every_modelled_transfer(self):
        drawn = groups(self.svg("residuals"), "series:")
        for within in (True, False):
            count = sum(len(markers(group)) for gid, group in drawn.items()
                        if gid.endswith("|within" if within else "|outside"))
            self.assertEqual(count, sum(cell["residual"] is not None and bool(cell["within"]) == within
                                        for cell in self.found["transfers"]))
        self.assertIn("No model of fresh-object: fresh/object, one CPU, has no figure here.", said(self.svg("residuals")))

    def test_cpu_times_of_both_sides_stand_beside_the_time_of_the_message(self):
        drawn = groups(self.svg("cpu-two_cpus-spins"), "series:")
        sizes = self.measured_sizes("two_cpus-spins")
        for label in ("pipe/spin", "persistent", "receiver-remaps, k = 1", "fresh-object"):
            self.assertIn(f"series:{label}|wall", drawn)
            for side in ("sender", "receiver"):
                self.assertEqual(len(markers(drawn[f"series:{label}|{side}"])), len(sizes[label]))
        self.assertNotIn("series:receiver-remaps, k = 10|wall", drawn)

    def test_a_way_has_one_colour_and_marker_on_all_plots(self):
        code = """import copy_or_map_plots as plots
looks = list(plots.STYLES.values())
print(len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(looks))"""
        self.assertEqual(with_matplotlib(code), "True\n")


def xml_order(svg):
    return [(group.get("id"), group) for group in xml.parse(svg).iter(f"{SVG}g") if group.get("id")]


class Cases(unittest.TestCase):
    """Small runs, one property each."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def names(self):
        return {path.stem for path in self.folder.glob("plots/*.png")}

    def test_a_run_that_holds_only_costs_and_transfers_but_no_findings_is_read(self):
        sample.write_run(self.folder, sample.found())
        (self.folder / "copy-or-map.json").unlink()
        result = plot(self.folder)
        self.assertEqual((result.returncode, result.stderr, self.names()), (0, "", set()))

    def test_a_run_that_holds_other_rows_as_well_gets_both_kinds_of_plot(self):
        found = sample.found()
        found["transfers"] = [cell for cell in found["transfers"] if cell["placement"] == "same_cpu"
                              and cell["messages_per_mapping"] <= 1 and cell["size_bytes"] <= 1 << 16]
        found["places"] = found["places"][:1]
        found["crossings"] = []
        sample.write_run(self.folder, found, rows=[row("pipe", pattern="stream")])
        result = plot(self.folder)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(self.names(), {
            "throughput-two_cpus", "cpu-stream-two_cpus", "copy-or-map-residuals",
            *(f"copy-or-map-{name}-same_cpu-sleeps" for name in ("components", "total", "cpu"))})

    def test_what_lacks_models_crossings_or_cpu_times_is_drawn_without(self):
        found = sample.found()
        found["transfers"] = [cell | {"model": None, "residual": None, "cpu_ns": {"sender": None, "receiver": None}}
                              for cell in found["transfers"] if cell["way"] in ("copy", "persistent")]
        found["crossings"] = []
        sample.write_run(self.folder, found)
        result = plot(self.folder)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(self.names(), {f"copy-or-map-total-{stem}" for stem in PLACE_NAMES})
        for words in ("no copy-or-map-components-same_cpu-sleeps: no transfer here has a model",
                      "no copy-or-map-cpu-same_cpu-sleeps: no transfer here has CPU times",
                      "no copy-or-map-residuals: no transfer has a model"):
            self.assertIn(words, result.stdout)

    def test_an_a_a_comparison_has_no_plots(self):
        found = sample.found()
        found["transfers"] = [cell | {"arm": "a"} for cell in found["transfers"]]
        sample.write_run(self.folder, found)
        self.assertEqual((plot(self.folder).returncode, self.names()), (0, set()))

    def test_findings_of_another_schema_are_refused_in_one_line(self):
        sample.write_run(self.folder, sample.found() | {"schema": 2})
        result = plot(self.folder)
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1))
        for words in ("copy-or-map.json: schema 2", "ipclab report"):
            self.assertIn(words, result.stderr)
        (self.folder / "copy-or-map.json").write_text("{")
        self.assertIn("not JSON", plot(self.folder).stderr)

    def test_a_broken_row_of_the_experiment_is_refused_with_its_line(self):
        sample.write_run(self.folder, sample.found())
        lines = (self.folder / "run.jsonl").read_text().splitlines()
        lines[1] = json.dumps(json.loads(lines[1]) | {"status": "great"})
        (self.folder / "run.jsonl").write_text("\n".join(lines) + "\n")
        self.assertIn("run.jsonl:2: the row's status is 'great'", plot(self.folder).stderr)


if __name__ == "__main__":
    unittest.main()
