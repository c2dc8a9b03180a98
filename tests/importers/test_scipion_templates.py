"""What published workflows of Scipion hold: nothing is lost on the way in or out, and what is converted means what it meant."""

import json
import re
from pathlib import Path

import pytest
from scipion_flows import FLOWS

from cryoloom.app.forms import check_parameters
from cryoloom.app.session import create_project
from cryoloom.app.workflow import import_workflow, known
from cryoloom.importers.scipion.tables import CLASSES, CRYOSPARC_3D, INSTEAD


def nodes_of(folder: Path, name: str):
    (folder / name).write_text(FLOWS[name]())
    return {node.id: node for node in import_workflow(None, folder / name).workflow.nodes}


def values(node):
    return {name: each.value for name, each in node.parameters.items() if not each.input}


def plain(text: str):
    """Return what a text says, its fields filled with their defaults, its commas put right by hand."""
    text = text[re.search(r"^\[", text, re.MULTILINE).start() :].replace("%%", "%").replace("%(HOME)s", str(Path.home()))
    text = re.sub(r"~[^~|]*\|([^~|]*)\|\d(\|[^~|]*)?~", r"\1", text)
    return json.loads(
        text.replace('"dosePerFrame": "1.0"\n', '"dosePerFrame": "1.0",\n').replace('"refreshTime": 240,', '"refreshTime": 240')
    )


def loosely(value):
    """Return a value as text, for a field in quotes comes back as the number, the truth or the text that it is."""
    text = str(value)
    return text.lower() if text.lower() in ("true", "false") else str(float(text)) if re.fullmatch(r"[\d.]+", text) else value


POINTER = re.compile(r"(\d+)\.(?:__attribute__)?(?:[A-Za-z]\w*)?(?:\.\w+)*")


def links_of(record, ids):
    texts = [text for name, value in record.items() if name != "extra" for text in (value if isinstance(value, list) else [value])]
    found = {match[1] for text in texts if isinstance(text, str) and (match := POINTER.fullmatch(text)) and match[1] in ids}
    return found - {"1"} if record.get("threshold") == "1.5" else found


@pytest.mark.parametrize("name", FLOWS)
def test_no_node_parameter_or_edge_is_lost(name, tmp_path):
    text = FLOWS[name]()
    (tmp_path / name).write_text(text)
    wanted = plain(text)
    project = create_project(tmp_path / "project")
    done = project.import_workflow(tmp_path / name)
    back = json.loads(project.export_workflow(format_name="scipion"))
    assert [list(each) for each in back] == [list(each) for each in wanted]
    for mine, theirs in zip(back, wanted, strict=True):
        assert {each: loosely(value) for each, value in mine.items()} == {each: loosely(value) for each, value in theirs.items()}
    runs = {str(run.folder.origin()["record"]["object.id"]): run for run in project.runs()}
    assert len(runs) == len(wanted) == done.counts["nodes"]
    for record in wanted:
        run = runs[str(record["object.id"])]
        taken = {reference["run"] for reference in run.folder.references()}
        bound = {number for why in run.folder.record.get("needs", {}).values() for number in re.findall(r"is bound to (\d+)\.", why)}
        assert {runs[link].id for link in links_of(record, runs.keys()) - bound} <= taken, record
        if run.placeholder:
            assert {each for each in record if not each.startswith("object.")} <= run.parameters.keys() | run.inputs.keys(), record


STAND_INS = {"path": "/f", "pattern": ["/f"], "mask_diameter": 100.0, "box_size": 64, "diameter": 100.0}
"""What has to be given, where a file leaves it to the program or the project."""


@pytest.mark.parametrize("name", FLOWS)
def test_every_step_that_there_is_a_protocol_for_gets_it_with_a_form_that_is_right(name, tmp_path):
    for node in nodes_of(tmp_path, name).values():
        assert node.origin
        switch, other = INSTEAD.get(node.origin.name, ("", ""))
        ours = known(other if node.origin.record.get(switch) else CLASSES.get(node.origin.name, ""))
        assert node.protocol == (ours.id if ours else f"scipion:{node.origin.name}")
        if ours:
            check_parameters(ours, {each: value for each, value in STAND_INS.items() if each in ours.parameters()} | values(node))


def test_relion_tutorial(tmp_path):
    nodes = nodes_of(tmp_path, "relion.json.template")
    assert nodes["2"].parameters["defects"].input == "defects", "what is wrong with a detector is told where movies are read"
    detector = values(nodes["2"])
    assert (detector["gain_rotation"], detector["gain_flip"], detector["eer_grouping"]) == (90, "left-right", 32)
    assert values(nodes["196"])["astigmatism"] == 0, "not restrained"
    assert nodes["462"].inputs["items"] == "380.classes" and nodes["518"].inputs["templates"] == "462.classes"
    assert nodes["728"].inputs == {"items": "380.particles", "classes": "380.classes"} and values(nodes["728"]) == {"mode": "auto"}
    assert not nodes["728"].needs and nodes["798"].inputs["particles"] == "728.particles"
    assert nodes["1046"].inputs["items"] == "856.particles" and nodes["1081"].inputs["items"] == "856.classes"
    assert nodes["1164"].inputs == {"coordinates": "1004.outputCoordinates", "ctfs": "196.ctfs", "micrographs": "88.micrographs"}
    assert nodes["1409"].inputs == {"volume": "1288.volume", "mask": "1368.mask"}
    sharp = values(nodes["1409"])
    assert not {"b_factor", "fit_high", "lowpass", "calibrated_pixel_size"} & sharp.keys() and sharp["fit_low"] == 10
    assert values(nodes["1368"])["operation"] == "and" and nodes["1680"].inputs["mask"] == "1368.mask"


def test_two_ctfs_are_compared_and_screened_by_what_is_on(tmp_path):
    nodes = nodes_of(tmp_path, "streaming.json.template")
    first, second = nodes["309"], nodes["330"]
    assert first.inputs == {"ctfs": ["192.ctfs", "256.ctfs"], "micrographs": "159.outputMicrographs"}
    assert second.inputs["ctfs"] == ["309.ctfs", "270.ctfs"] and nodes["360"].inputs == {"micrographs": "330.micrographs"}
    limits = ("min_defocus", "max_defocus", "max_astigmatism", "max_resolution")
    assert [values(first)[name] for name in limits] == [4000, 30000, 0.1, 4.5]
    assert [values(second)[name] for name in limits] == [0, 1e6, 1e6, 1e6], "off"
    assert "box_size" not in values(nodes["591"]), "1.5 diameters of the picks"
    assert "530.boxSizeExtraction" in nodes["600"].needs["box_size"]
    assert values(nodes["192"])["astigmatism"] == 100 and values(nodes["270"])["high_res"] == pytest.approx(0.9 / 0.35, abs=1e-3)


def test_old_forms_have_other_units(tmp_path):
    nodes = nodes_of(tmp_path, "demo.json.template")
    fit = values(nodes["118"])
    assert [fit[name] for name in ("min_phase_shift", "max_phase_shift", "phase_shift_step")] == [0, 180, pytest.approx(11.5)], "radians"
    assert (fit["min_defocus"], fit["max_defocus"]) == (2500, 40000) and fit["low_res"] == pytest.approx(3.54 / 0.05)
    workflow = import_workflow(None, tmp_path / "demo.json.template").workflow
    assert workflow.inputs["Sampling_rate"].default == 3.54 and workflow.inputs["Particle_diameter_in_Å"].default == 180


def test_fields_of_one_name_and_commas(tmp_path):
    nodes = nodes_of(tmp_path, "microscope.json.template")
    path = tmp_path / "microscope.json.template"
    done = import_workflow(None, path, {"moviesPath": "/other"})
    movies = next(node for node in done.workflow.nodes if node.id == "95")
    record = movies.origin and movies.origin.record
    assert record and record["filesPath"] == "/other" and record["filesPattern"] == "*.tif", "the pattern is no folder"
    assert done.workflow.inputs["moviesPath_2"].label == "files pattern" and any("comma" in each for each in done.messages)
    assert (done.workflow.inputs["dose"].default, done.workflow.inputs["dose_2"].default) == (1, 0)
    assert nodes["3"].inputs == {"micrographs": "159.micrographs"}, "runMode is no run"


def test_listed_rows_and_boxes_made_smaller_afterwards(tmp_path):
    nodes = nodes_of(tmp_path, "microscope.json.template")
    listed = values(nodes["286"])
    assert nodes["286"].protocol == "sets.select" and (listed["mode"], listed["ids"]) == ("ids", ["1-150"])
    by_box, by_pixel_size = values(nodes["925"]), values(nodes["926"])
    assert by_box["box_unit"] == by_pixel_size["box_unit"] == "input-px" and by_box["box_size"] == by_pixel_size["box_size"] == 300
    assert (by_box["resize"], by_box["scaled_size"]) == ("dimension", 100)
    assert (by_pixel_size["resize"], by_pixel_size["pixel_size"]) == ("sampling-rate", 1.8)


def test_other_packages(tmp_path):
    nodes = nodes_of(tmp_path, "packages.json")
    motion = values(nodes["4"])
    assert (motion["first_frame"], motion["last_frame"], motion["group_size"]) == (2, 20, 2) and "first_summed" not in motion
    first = values(nodes["21"])
    assert (first["classes"], first["resolution"], first["symmetry"], first["first_batch"]) == (2, 10, "C1", 90)
    second = values(nodes["22"])
    assert second["symmetry"] == "D2" and (nodes["22"].inputs["reference"], second["reference_class"]) == ("21.classes", 2)
    assert "symmetry" in nodes["23"].needs and nodes["23"].inputs["mask"] == "24.mask"
    assert nodes["24"].inputs == {"volume": "22.volume", "other": "21.volume"} and values(nodes["24"])["operation"] == "and-not"
    assert set(CRYOSPARC_3D) <= CLASSES.keys()


def test_tables_of_other_programs_and_old_frames_are_left_to_you(tmp_path):
    nodes = nodes_of(tmp_path, "models.json.template")
    assert "/d/p.sqlite" in nodes["4107"].needs["path"] and "path" not in nodes["4107"].parameters
    old = [{"object.className": "ProtMovieAlignment", "object.id": number, "alignFrame0": number - 1, "sumFrameN": 0} for number in (1, 2)]
    (tmp_path / "old.json").write_text(json.dumps(old))
    whole, cut = import_workflow(None, tmp_path / "old.json").workflow.nodes
    assert not whole.needs and "first_frame" not in whole.parameters and "first_frame" in cut.needs


def test_values_of_every_form_come_back(tmp_path):
    nodes = nodes_of(tmp_path, "odd.json")
    assert nodes["7"].inputs == {"_prerequisites": ["1", "2"], "inputSets": ["1.movies", "2.micrographs"]}
    assert values(nodes["7"])["nested"] == {"object.id": "1"} and nodes["2"].inputs == {"movies": "1.movies"}
