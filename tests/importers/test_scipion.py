"""Workflows of Scipion: every node, edge and parameter arrives, known steps run, and what is written back is what was read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cryoloom.app.session import Project, create_project, open_project
from cryoloom.app.workflow import import_workflow, known
from cryoloom.formats.mrc import write_mrc
from cryoloom.importers import scipion
from cryoloom.importers.scipion.pointers import Pointer, pointers
from cryoloom.importers.scipion.tables import CLASSES, LIKE, OFFERS
from cryoloom.spec import WrongUse

RIBOSOME = Path(__file__).with_name("ribosome.json")


@pytest.fixture
def ribosome(tmp_path: Path) -> Project:
    """Return the textbook workflow as drafts, its movies found."""
    (tmp_path / "movies").mkdir()
    write_mrc(tmp_path / "movies" / "m1.mrc", np.ones((4, 64, 64), np.float32), 1.34)
    made = create_project(tmp_path / "project")
    made.import_workflow(RIBOSOME, {"folder": str(tmp_path / "movies")})
    return made


def by_step(project: Project):
    return {run.folder.origin()["record"]["object.id"]: run for run in project.runs()}


# -- nothing is lost --------------------------------------------------------------------------------------------


def real_files(test_data):
    return sorted((test_data / "scipion-workflows").iterdir())


def plain(path: Path):
    """Return what a file says, fields of a template filled with their defaults, read in another way than the importer does."""
    text = path.read_text(encoding="utf-8")
    text = text[re.search(r"^\[", text, re.MULTILINE).start() :]
    text = re.sub(r"~[^~|]*\|([^~|]*)\|\d\|[^~|]*~", r"\1", text).replace("%(HOME)s", str(Path.home()))
    return json.loads(text)


def loosely(value):
    return str(float(value)) if isinstance(value, int | float | str) and re.fullmatch(r"[\d.]+", str(value)) and value != "" else value


def all_there(path: Path, project: Project) -> None:
    """Every object, parameter and link of the file is in the project, and comes back out of it."""
    wanted = plain(path)
    back = json.loads(project.export_workflow(format_name="scipion"))
    assert [list(each) for each in back] == [list(each) for each in wanted]
    for mine, theirs in zip(back, wanted, strict=True):
        assert {name: loosely(value) for name, value in mine.items()} == {name: loosely(value) for name, value in theirs.items()}
    runs = by_step(project)
    ids = {each["object.id"] for each in wanted}
    assert set(runs) == ids
    for each in wanted:
        run = runs[each["object.id"]]
        texts = [text for value in each.values() for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        links = {
            match[1] for text in texts if (match := re.fullmatch(r"(\d+)\.(__attribute__)?[a-z]\w*(\.\w+)*", text)) and match[1] in ids
        }
        taken = {reference["run"] for reference in run.folder.references()}
        scalar = {name for need in run.folder.record.get("needs", {}).values() for name in re.findall(r"is bound to (\d+)\.", need)}
        assert {runs[link].id for link in links - scalar} <= taken, each["object.id"]
        if run.placeholder:
            held = {name for name in each if not name.startswith("object.")}
            assert held <= run.parameters.keys() | run.inputs.keys(), each["object.id"]


def test_real_files_arrive_whole(test_data, tmp_path):
    for number, path in enumerate(real_files(test_data)):
        project = create_project(tmp_path / str(number))
        done = project.import_workflow(path)
        all_there(path, project)
        assert done.counts["nodes"] == len(plain(path)) == done.counts["placeholders"] + done.counts["nodes with a protocol here"]


def test_real_numbers(test_data):
    legacy, template = (import_workflow(None, path).counts for path in real_files(test_data))
    assert (legacy["nodes"], legacy["edges"], legacy["edges that lead out of the file"]) == (8, 9, 1)
    assert (template["nodes"], template["edges"], template["edges that lead out of the file"]) == (22, 34, 0)


def test_the_textbook_workflow_arrives_whole(ribosome, tmp_path):
    back = ribosome.export_workflow(tmp_path / "back.json", format_name="scipion")
    given = json.loads(RIBOSOME.read_text())
    next(each for each in given if each["object.id"] == "2")["filesPath"] = "movies"
    assert json.loads(back) == given and (tmp_path / "back.json").read_text() == RIBOSOME.read_text()


def test_it_survives_our_own_file_too(ribosome, tmp_path):
    ribosome.export_workflow(tmp_path / "ours.json")
    again = create_project(tmp_path / "again")
    again.import_workflow(tmp_path / "ours.json")
    assert again.export_workflow(format_name="scipion") == RIBOSOME.read_text()
    assert {step: str(run.state) for step, run in by_step(again).items()} == {
        step: str(run.state) for step, run in by_step(ribosome).items()
    }


# -- known steps ------------------------------------------------------------------------------------------------


def test_every_step_whose_protocol_exists_is_mapped_and_can_run(ribosome):
    for step, run in by_step(ribosome).items():
        ours = CLASSES.get(run.folder.origin()["name"], "")
        if ours and known(ours):
            assert run.protocol == ours, step
            assert step == "27" or not run.folder.needs(), (step, run.reason)
        else:
            assert run.placeholder and run.state == "needs-you" and "never run" in run.reason, step


def test_parameters_in_our_units(ribosome):
    runs = by_step(ribosome)
    assert runs["2"].parameters["pixel_size"] == 1.34 and runs["2"].parameters["cs"] == 2.0
    assert (runs["8"].parameters["first_frame"], runs["8"].parameters["last_frame"], runs["8"].parameters["patches"]) == (2, 13, 5)
    ctf = runs["11"].parameters
    assert ctf["low_res"] == pytest.approx(1.34 * 1.5 / 0.06, abs=1e-3) and ctf["high_res"] == pytest.approx(1.34 * 1.5 / 0.42, abs=1e-3)
    assert (ctf["min_defocus"], ctf["max_defocus"], ctf["window"], ctf["bin_factor"]) == (5000, 40000, 256, 1.5)
    assert runs["17"].parameters["diameter"] == 320 and runs["17"].parameters["probability"] == 0.25, "its threshold is another"
    small = runs["24"].parameters
    assert (small["box_size"], small["bin"], small["phase_flip"], small["normalisation"]) == (100, 3.0, True, "ramp")
    assert small["background_radius"] is None and small["dust_threshold"] == 3.5
    large = runs["28"].parameters
    assert (large["box_size"], large["bin"], large["remove_dust"]) == (150, 2.0, False)
    assert runs["26"].parameters["classes"] == 128 and runs["26"].parameters["mask_diameter"] == pytest.approx(
        0.95 * 100 * 3 * 1.34, abs=0.1
    )
    assert runs["41"].parameters["symmetry"] == "C1" and runs["41"].parameters["initial_lowpass"] == 30
    assert runs["44"].parameters["mask_diameter"] == pytest.approx(0.95 * 300 * 1.34, abs=0.1)
    assert runs["48"].parameters["b_factor"] is None and runs["48"].parameters["lowpass"] is None, "automatic"


def test_links_go_to_our_outputs(ribosome):
    runs = by_step(ribosome)
    name = {run.id: step for step, run in runs.items()}

    def link(step, which):
        reference = runs[step].inputs[which]
        return f"{name[reference['run']]}.{reference['output']}"

    assert link("41", "reference") == "35.volume" and link("48", "volume") == "41.volume" and link("48", "mask") == "47.mask"
    assert link("28", "micrographs") == "8.micrographs", "those that were picked on"
    assert link("45", "particles") == "44.particles" and link("45", "reference") == "44.classes"
    assert runs["45"].parameters["reference_class"] == 2
    assert link("18", "model") == "16.model" and link("18", "micrographs") == "14.micrographs"
    monitor = runs["50"].inputs
    assert [name[each["run"]] for each in monitor["inputProtocols"]] == ["2", "11"]
    assert [name[each["run"]] for each in monitor["_prerequisites"]] == ["41", "48"]


def test_sets_are_divided_and_joined(tmp_path):
    flow = [
        {"object.className": "ProtImportParticles", "object.id": "1", "filesPath": "p.star"},
        {"object.className": "ProtSplitSet", "object.id": "3", "inputSet": "1.outputParticles", "numberOfSets": 3, "randomize": True},
        {
            "object.className": "ProtUnionSet",
            "object.id": "4",
            "inputSets": ["1.outputParticles", "3.outputParticles02"],
            "renumber": False,
        },
        {"object.className": "ProtSubSet", "object.id": "5", "inputFullSet": "4.outputSet", "inputSubSet": "3.outputParticles03"},
    ]
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    nodes = {node.id: node for node in import_workflow(None, tmp_path / "flow.json").workflow.nodes}
    assert nodes["4"].protocol == "sets.join" and nodes["4"].inputs == {"items": ["1.particles", "3.particles_2"]}
    assert nodes["5"].protocol == "sets.subset" and nodes["5"].inputs == {"items": "4.particles", "others": ["3.particles_3"]}


def test_a_choice_by_hand_is_left_to_you(ribosome):
    run = by_step(ribosome)["27"]
    assert run.protocol == "sets.select" and "chosen by hand in another project" in run.reason


def test_known_steps_run(tmp_path):
    """Micrographs, positions and boxes: a workflow written for another computer, on files of this one."""
    rng = np.random.default_rng(1)
    for number in (1, 2):
        write_mrc(tmp_path / f"mic{number}.mrc", rng.normal(size=(96, 128)).astype(np.float32), 2.0)
        (tmp_path / f"mic{number}.box").write_text("20\t20\t16\t16\n60\t40\t16\t16\n")
    acquired = {"voltage": 300.0, "sphericalAberration": 2.7, "amplitudeContrast": 0.1, "samplingRate": 2.0}
    boxes = {"inputCoordinates": "7.outputCoordinates", "boxSize": 16, "downFactor": 1.0, "doFlip": False}
    picked = {"inputMicrographs": "3.outputMicrographs", "filesPath": "/old", "filesPattern": "*.box", "boxSize": 16}
    flow = [
        {"object.className": "XmippProtExtractParticles", "object.id": "9", **boxes},
        {"object.className": "ProtImportCoordinates", "object.id": "7", **picked},
        {"object.className": "ProtImportMicrographs", "object.id": "3", "object.label": "mics", "filesPath": "/old", **acquired},
    ]
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    project = create_project(tmp_path / "project")
    given = {"mics.pattern": str(tmp_path / "*.mrc"), "7.path": str(tmp_path / "*.box")}
    project.import_workflow(tmp_path / "flow.json", given)
    assert [run.protocol for run in project.carry_out(threads=1)] == ["import.micrographs", "import.coordinates", "particles.extract"]
    assert open_project(project.root).find("r003").outputs.particles.count == 4
    assert project.find("r002").parameters["diameter"] == 32


@pytest.mark.parametrize(
    ("form", "meant"),
    [
        ({"boxSize": 300, "doResize": True, "resizeOption": 2, "downFactor": 3.0, "resizeDim": 0, "resizeSamplingRate": 1.0},
         {"box_size": 300, "box_unit": "input-px", "resize": "factor", "bin": 3.0, "scaled_size": None, "pixel_size": None}),
        ({"boxSize": 300, "doResize": True, "resizeOption": 1, "downFactor": 1.0, "resizeDim": 100},
         {"box_unit": "input-px", "resize": "dimension", "bin": 1.0, "scaled_size": 100}),
        ({"boxSize": 300, "doResize": True, "resizeOption": 0, "resizeSamplingRate": 4.02},
         {"box_unit": "input-px", "resize": "sampling-rate", "pixel_size": 4.02}),
        ({"boxSize": -1, "doResize": False, "resizeOption": 0, "resizeSamplingRate": 4.02, "boxSizeForced": -1, "doEvalVar": True},
         {"box_size": None, "resize": "factor", "bin": 1.0, "pixel_size": None, "forced_size": None, "scores": True, "patch_size": None}),
        ({"boxSize": 100, "downFactor": 3.0, "normType": 0, "doBorders": True},
         {"box_size": 100, "box_unit": "output-px", "bin": 3.0, "normalisation": "image", "fill_borders": True}),
    ],
)  # fmt: skip
def test_boxes_of_the_older_and_the_newer_form(tmp_path, form, meant):
    """The older one counts output pixels, the newer one, which has the switch to resize, pixels of the micrographs."""
    picked = {"inputMicrographs": "3.outputMicrographs", "filesPath": "/old", "filesPattern": "*.box", "boxSize": 16}
    acquired = {"voltage": 300.0, "sphericalAberration": 2.7, "amplitudeContrast": 0.1, "samplingRate": 1.34}
    flow = [
        {"object.className": "ProtImportMicrographs", "object.id": "3", "filesPath": "/old", **acquired},
        {"object.className": "ProtImportCoordinates", "object.id": "7", **picked},
        {"object.className": "XmippProtExtractParticles", "object.id": "9", "inputCoordinates": "7.outputCoordinates", **form},
    ]
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    project = create_project(tmp_path / "project")
    project.import_workflow(tmp_path / "flow.json")
    parameters = by_step(project)["9"].parameters
    assert {name: parameters[name] for name in meant} == meant


@pytest.mark.parametrize(
    ("kind", "form", "meant"),
    [
        ("XmippProtCropResizeVolumes", {"doResize": True, "resizeOption": 0, "resizeSamplingRate": 1.34, "resizeDim": 0, "resizeFactor": 0.5},
         {"resize": "sampling-rate", "pixel_size": 1.34, "scaled_size": None, "window": "none"}),
        ("XmippProtCropResizeVolumes", {"doResize": False, "resizeSamplingRate": 1.0, "doWindow": True, "windowOperation": 1, "windowSize": 128},
         {"resize": "none", "pixel_size": None, "window": "box", "window_size": 128}),
        ("XmippProtCropResizeVolumes", {"doResize": True, "resizeOption": 3, "resizeLevel": -1, "doWindow": True, "windowOperation": 0, "cropSize": 8},
         {"resize": "pyramid", "level": -1, "window": "crop", "crop_size": 8}),
        ("ProtRelionResizeVolume", {"doRescale": False, "rescaleSamplingRate": 1.0, "doResize": True, "resizeSize": 256},
         {"resize": "none", "pixel_size": None, "window": "box", "window_size": 256}),
    ],
)  # fmt: skip
def test_of_a_form_that_resizes_maps_what_is_switched_on_counts(tmp_path, kind, form, meant):
    flow = [
        {"object.className": "ProtImportVolumes", "object.id": "3", "filesPath": "/old/map.mrc"},
        {"object.className": kind, "object.id": "9", "inputVolumes": "3.outputVolume", **form},
    ]
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    project = create_project(tmp_path / "project")
    project.import_workflow(tmp_path / "flow.json")
    parameters = by_step(project)["9"].parameters
    assert {name: parameters[name] for name in meant} == meant


def test_coordinates_are_cleaned_on_the_micrographs_they_were_picked_on(tmp_path):
    screen = {"object.className": "XmippProtDeepMicrographScreen", "inputCoordinates": "7.outputCoordinates", "threshold": 0.8}
    flow = [
        {"object.className": "ProtImportMicrographs", "object.id": "3", "filesPath": "/old", "filesPattern": "*.mrc"},
        {"object.className": "ProtImportMicrographs", "object.id": "4", "filesPath": "/binned", "filesPattern": "*.mrc"},
        {"object.className": "ProtImportCoordinates", "object.id": "7", "inputMicrographs": "3.outputMicrographs", "filesPattern": "*.box"},
        {**screen, "object.id": "9", "micsSource": 0},
        {**screen, "object.id": "10", "micsSource": 1, "inputMicrographs": "4.outputMicrographs"},
    ]
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    nodes = {node.id: node for node in import_workflow(None, tmp_path / "flow.json").workflow.nodes}
    assert nodes["9"].protocol == "pick.clean" and nodes["9"].parameters["threshold"].value == 0.8
    assert nodes["9"].inputs == {"coordinates": "7.coordinates", "micrographs": "3.micrographs"}
    assert nodes["10"].inputs == {"coordinates": "7.coordinates", "micrographs": "4.micrographs"}


# -- pointers, templates, hostile files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("inputMovies", "2.outputMovies", [Pointer("2", "outputMovies")]),
        ("inputVolume", "2.outputVol.4", [Pointer("2", "outputVol", "4")]),
        ("inputMovies", "2.__attribute__outputMovies", [Pointer("2", "outputMovies")]),
        ("inputVolume", "2.outputVol.__itemid__4", [Pointer("2", "outputVol", "4")]),
        ("triggerProt", "2.", [Pointer("2")]),
        ("xmippParticlePicking", "2", [Pointer("2")]),
        ("inputSets", ["2.a", "30.b.7"], [Pointer("2", "a"), Pointer("30", "b", "7")]),
        ("inputProtocols", ["2", "30."], [Pointer("2"), Pointer("30")]),
        ("_prerequisites", "2, 30", [Pointer("2"), Pointer("30")]),
        ("_prerequisites", None, []),
        ("gpuList", "2", []),
        ("threshold", "0.907", []),
        ("threshold", "2.5", []),
        ("mask", "0.33 0.33", []),
        ("anything", "7.outputGone", []),
        ("numbers", [1, 2], []),
        ("inputMovies", None, []),
    ],
)
def test_what_is_a_pointer(name, value, found):
    assert pointers(name, value, {"2", "30"}) == found


def test_a_declared_pointer_may_lead_out_of_the_file():
    assert pointers("inputCoordinates", "123.outputCoordinates", {"2"}, declared=True) == [Pointer("123", "outputCoordinates")]


TEMPLATE = """A test of templates: 100 % by hand, %(SECRET)s stays.

[
 {"object.className": "ProtImportMovies", "object.id": "1", "filesPath": "~Folder|%(HOME)s/x|2|folder~", "filesPattern": "~Pattern|*.mrc|0|files~",
  "voltage": "~kV|300|3|kv~", "samplingRate": ~Sampling|1.5|4|sampling~, "copyFiles": "~Copy|false|1|copy~", "magnification": "%(SECRET)s 50%% a~b",
  "object.label": "run ~Name|one|0|name~ of ~Name|one|0|name~"}
]
"""


def read(tmp_path: Path, text: str, **given: str):
    path = tmp_path / "flow.json.template"
    path.write_text(text)
    left = dict(given)
    reading = scipion.read(path, left, known)
    return reading, reading.workflow.nodes[0].origin.record, left


def test_a_template_is_filled_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", '/home/q"uote')
    monkeypatch.setenv("SECRET", "do not tell")
    reading, record, _ = read(tmp_path, TEMPLATE)
    assert record["filesPath"] == '/home/q"uote/x' and record["voltage"] == 300 and record["samplingRate"] == 1.5
    assert record["copyFiles"] is False and record["magnification"] == "%(SECRET)s 50% a~b" and record["object.label"] == "run one of one"
    assert "do not tell" not in reading.workflow.model_dump_json() and any("SECRET" in each for each in reading.messages)
    assert reading.workflow.notes[0].startswith("A test of templates")
    assert {name: asked.type for name, asked in reading.workflow.inputs.items()} == {
        "folder": "path", "files": "text", "kv": "integer", "sampling": "number", "copy": "boolean", "name": "text",
    }  # fmt: skip


def test_a_template_takes_what_is_given_and_nothing_breaks_out_of_it(tmp_path):
    nasty = 'x", "filesPattern": "~a|b|0|c~ %(HOME)s \\ \n'
    _, record, left = read(tmp_path, TEMPLATE, folder=nasty, kv="200", sampling="2", name="two", SECRET="s", other="y")
    assert record["filesPath"] == nasty and record["filesPattern"] == "*.mrc" and record["voltage"] == 200 and record["samplingRate"] == 2
    assert record["object.label"] == "run two of two" and record["magnification"] == "s 50% a~b" and left == {"other": "y"}
    with pytest.raises(WrongUse, match="must be a number"):
        read(tmp_path, TEMPLATE, kv="__import__('os')")


@pytest.mark.parametrize(
    "text",
    [
        '[{"object.className": "A"}]',
        '[{"object.className": "A", "object.id": "1"}, {"object.className": "B", "object.id": "1"}]',
        '[{"object.className": "A", "object.id": "../1"}]',
        '[{"object.className": "../A", "object.id": "1"}]',
        '[{"object.className": "A", "object.id": "1", "x": NaN}]',
        '[{"object.className": "A", "object.id": "1"}',
    ],
)
def test_a_broken_file_is_refused(tmp_path, text):
    path = tmp_path / "flow.json"
    path.write_text(text)
    with pytest.raises(WrongUse, match="object|JSON"):
        import_workflow(None, path)


def test_an_enumeration_out_of_range_is_left_to_you(tmp_path):
    text = '[{"object.className": "XmippProtExtractParticles", "object.id": "1", "boxSize": 64, "normType": 9}]'
    path = tmp_path / "flow.json"
    path.write_text(text)
    node = import_workflow(None, path).workflow.nodes[0]
    assert "normType" in node.needs["normalisation"] and node.origin.record["normType"] == 9


def test_a_scanner_a_list_and_operations_that_are_off(tmp_path):
    movies = {"object.className": "ProtImportMovies", "object.id": "1", "filesPath": "/d", "filesPattern": "*.mrc", "samplingRateMode": 1,
              "samplingRate": 1.0, "scannedPixelSize": 14.0, "magnification": 50000, "blacklistFile": "/d/bad.txt", "darkFile": "/d/dark.mrc"}  # fmt: skip
    mics = {"object.className": "XmippProtPreprocessMicrographs", "object.id": "2", "doCrop": False, "cropPixels": 10, "doRemoveBadPix": True,
            "mulStddev": 5, "doDownsample": True, "downFactor": 2.0, "doLowPass": False, "lowCutoff": 0.4, "doNormalize": True}  # fmt: skip
    path = tmp_path / "flow.json"
    path.write_text(json.dumps([movies, mics]))
    first, second = import_workflow(None, path).workflow.nodes
    taken, treated = ({name: each.value for name, each in node.parameters.items()} for node in (first, second))
    assert (taken["pixel_size_mode"], taken["scanned_pixel_size"], taken["magnification"]) == ("scanner", 14.0, 50000)
    assert "pixel_size" not in taken
    asked = {each.input for each in first.parameters.values() if each.input}
    assert {"exclude_list", "dark"} <= asked, "files of another machine are asked for"
    made = known("micrographs.preprocess").model_construct(**treated)
    assert (made.crop, made.remove_bad_pixels, made.downsample, made.bin_factor, made.low_pass, made.normalise) == (
        False, True, True, 2.0, False, True,
    )  # fmt: skip


def test_the_tables_name_protocols_of_the_plan():
    names = {*CLASSES.values()}
    assert set(LIKE) <= names and all(known(name) for name in {*LIKE.values(), *OFFERS.values()})
