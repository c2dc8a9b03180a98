"""Sets through the session and the command line: counts and pages without runs, runs that keep no copies, selections by hand that go stale."""

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from cryoloom import files
from cryoloom.app import pages
from cryoloom.app.gallery import gallery
from cryoloom.app.methods import sentence_of
from cryoloom.app.report import panels_of
from cryoloom.app.session import create_project, open_project
from cryoloom.cli.main import app
from cryoloom.data import Classes2D, Micrographs, Particles
from cryoloom.data.identity import new_id_space
from cryoloom.engine.identity import Work
from cryoloom.formats.stack import write_stack
from cryoloom.spec import Failure, WrongUse

COUNT = 60


def publish(project, dataset, *, label=""):
    """Store a set as the output of a finished run."""
    run = project.folder.new_run(Work("import.particles", 1, {}, seed=len(project.runs())), {}, label=label)
    manifest = dataset.save(run.path, dataset.kind)
    said = {"outputs": {dataset.kind: manifest}, "summary": {}, "warnings": [], "failed_items": {}, "inputs": {}, "fingerprint": None}
    files.write_json(run.path / "outputs.json", said)
    return project.find(run.id)


def particles(root, *, shift=0.0, seed=1):
    rng = np.random.default_rng(seed)
    number = np.arange(COUNT)
    rows = pl.DataFrame(
        {
            "id": ((number // 20 + 1) << 20) + number % 20, "micrograph_id": number // 20 + 1,
            "micrograph_name": [f"m{n // 20 + 1}" for n in number], "x": 150.0 * (number % 20) + shift, "y": 90.0 * (number % 7),
            "stack_path": ["data/stack.mrcs"] * COUNT, "stack_index": number, "optics_group": np.ones(COUNT, np.int64),
            "enabled": number != 5, "fail_reason": ["dust" if n == 5 else "" for n in number],
            "score": np.where(number == 7, np.nan, rng.permutation(COUNT) / COUNT), "class_id": number % 4 + 1,
            "curve": pl.Series([[1.0, 2.0]] * COUNT),
        }
    )  # fmt: skip
    optics = [{"optics_group": 1, "pixel_size": 3.0, "micrograph_pixel_size": 1.5, "voltage": 300.0, "box_size": 64}]
    return Particles(rows, root, optics=optics, meta={"id_space": new_id_space(rows)})


@pytest.fixture
def project(tmp_path):
    """Return a project with particles (picked), those of another picking (other), classes and micrographs."""
    made = create_project(tmp_path / "project")
    picked = particles(made.root)
    publish(made, picked, label="picked")
    publish(made, particles(made.root, shift=800.0), label="other")
    averages = {"id": [1, 2, 3, 4], "class_id": [1, 2, 3, 4], "count": [15] * 4, "stack_path": ["a.mrcs"] * 4, "stack_index": [0, 1, 2, 3]}
    publish(made, Classes2D(pl.DataFrame(averages), made.root), label="classes")
    names = {"id": [1, 2], "micrograph_name": ["m1", "m2"], "micrograph_path": ["a", "b"], "width": [9, 9], "height": [9, 9]}
    rows = pl.DataFrame(names).with_columns(optics_group=pl.lit(1), enabled=pl.lit(True), fail_reason=pl.lit(""))
    publish(made, Micrographs(rows, made.root, optics=[{"optics_group": 1, "pixel_size": 1.5}]), label="micrographs")
    return made


def refused(project, *args, **values):
    before = len(project.runs())
    with pytest.raises(WrongUse) as caught:
        project.preview(*args, **values)
    assert len(project.runs()) == before
    return str(caught.value)


# -- counts -----------------------------------------------------------------------------------------------------


def test_counts_make_no_run(project):
    before = len(project.runs())
    assert project.preview("sets.select", items="picked.particles", where="score >= 0.5") in ({"kept": n, "of": COUNT} for n in (29, 30))
    assert project.preview("sets.subset", items="picked", others="micrographs", match="micrograph") == {"kept": 40, "of": 60, "in set 2": 2}
    assert project.preview("ProtSplitSet", inputSet="picked", numberOfSets=7)["part 7"] == 8
    assert project.preview("ProtSubSet", inputFullSet="picked", chooseAtRandom="yes", nElements=9)["kept"] == 9
    assert project.preview("ProtUserSubSet", inputObject="picked", where="class_id = 2")["kept"] == 15
    assert len(project.runs()) == before


def test_what_would_be_refused_is_refused_at_once(project):
    assert "different pickings" in refused(project, "sets.subset", items="picked", others="other")
    assert "same ids for other items" in refused(project, "ProtUnionSet", inputSets=["picked", "other"])
    assert "there are only 59 enabled rows" in refused(project, "sets.subset", items="picked", random=True, count=60)
    assert "there is no column 'scores'" in refused(project, "sets.select", items="picked", where="scores > 1")
    draft = project.prepare("sets.select", items="picked", where="score > 0.5")
    assert "still being made" in refused(project, "sets.select", items=draft.outputs.particles, where="score > 0.5")


# -- pages ------------------------------------------------------------------------------------------------------


def values(found, name):
    place = [column["name"] for column in found["columns"]].index(name)
    return [row[place] for row in found["rows"]]


def test_a_page_is_the_table(project):
    whole = project.output("picked.particles").to_polars()
    found = project.page("picked.particles", offset=3, limit=5)
    names = [column["name"] for column in found["columns"]]
    assert "curve" not in names and "voltage" in names and (found["count"], found["of"], found["offset"]) == (COUNT, COUNT, 3)
    expected = whole[3:8].select(names).with_columns(pl.col(pl.Float64).fill_nan(None))
    assert found["rows"] == [list(row) for row in expected.rows()]
    assert {column["name"]: column["unit"] for column in found["columns"]}["x"] == "px"
    json.loads(json.dumps(found), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert project.page("picked", offset=58)["rows"][-1][0] == whole["id"][-1] and project.page("picked", offset=500)["rows"] == []


@pytest.mark.parametrize("descending", [False, True])
def test_a_page_is_sorted_and_filtered(project, descending):
    rule = "class_id in (1, 4) and enabled"
    found = project.page("picked", columns=["score", "rlnClassNumber", "id"], where=rule, sort="score", descending=descending, limit=20)
    rows = project.output("picked").to_polars().filter(pl.col("class_id").is_in([1, 4]) & pl.col("enabled"))
    order = rows.with_columns(pl.col("score").fill_nan(None)).sort("score", descending=descending, nulls_last=True, maintain_order=True)
    assert values(found, "id") == order["id"].head(20).to_list() and found["count"] == rows.height
    assert [column["name"] for column in found["columns"]] == ["score", "class_id", "id"]
    last = project.page("picked", columns=["score"], where=rule, sort="score", descending=descending, offset=rows.height - 1)
    assert last["rows"] == [[None]], "what has no value comes last"


def test_equal_values_stay_in_the_order_of_the_set(project):
    found = project.page("picked", columns=["id", "class_id"], sort="class_id")
    rows = project.output("picked").items
    assert values(found, "id") == rows.sort("class_id", maintain_order=True)["id"].to_list()


def test_pages_of_a_selection_and_when_there_is_no_room(project, monkeypatch):
    monkeypatch.setattr(pages, "KEPT_BYTES", 1)
    chosen = project.run("sets.select", items="picked", where="class_id = 3")
    found = project.page(chosen, columns=["id", "score", "x"], sort="x", descending=True)
    assert found["count"] == 15 and values(found, "x") == sorted(values(found, "x"), reverse=True)
    assert project.page(chosen, columns=["class_id"], where="1 < 2")["rows"] == [[3]] * 15
    assert project.page(chosen, where="1 > 2")["count"] == 0


def test_wrong_pages(project):
    for wanted, says in (({"columns": ["scor"]}, "Did you mean score"), ({"sort": "z"}, "no column 'z'"), ({"offset": -1}, "none such")):
        with pytest.raises(WrongUse, match=says):
            project.page("picked.particles", **wanted)


# -- runs -------------------------------------------------------------------------------------------------------


def test_a_chain_of_set_runs(project):
    halves = project.run("sets.split", items="picked", name="halves")
    assert [str(output) for output in halves.outputs] == [f"{halves.id}.particles_1", f"{halves.id}.particles_2"]
    joined = project.run("sets.join", items=["halves.particles_1", "halves.particles_2"])
    assert joined.outputs.particles.items.equals(project.output("picked").items)
    common = project.run("sets.subset", items="picked", others=["halves.particles_1", joined])
    assert common.outputs.particles.count == 30 and common.summary["kept"] == 30
    assert sorted(path.suffixes[0] for path in common.folder.path.glob("*.parquet")) == [".ids"]
    assert project.verify(common).ok and len(project.trace(common.outputs.particles)["steps"]) == 4
    nothing = project.run("sets.subset", items="halves.particles_1", others="halves.particles_2")
    assert nothing.state == "finished" and len(nothing.outputs) == 0 and "is empty" in nothing.warnings[0]
    with pytest.raises(WrongUse, match="has no output. The intersection"):
        project.run("sets.select", items=nothing, where="score > 0")


def test_parts_of_a_split_that_has_not_begun_can_be_taken(project):
    draft = project.prepare("sets.split", items="picked", parts=3)
    then = project.prepare("sets.select", items=f"{draft.id}.particles_3", where="score > 0.5")
    assert then.inputs["items"] == {"run": draft.id, "output": "particles_3", "hash": None}
    with pytest.raises(WrongUse, match="particles_4"):
        project.output(f"{draft.id}.particles_4")


def test_sets_of_any_declared_kind_are_offered(project):
    from cryoloom.data import Classes3D

    rows = pl.DataFrame({"id": [1, 2], "class_id": [1, 2], "volume_path": ["a", "b"], "count": [3, 4]})
    publish(project, Classes3D(rows, project.root), label="states")
    one = project.run("sets.select", items="states", where="class_id = 2")
    assert f"{one.id}.classes" in [str(each) for each in project.compatible("refine.auto", "reference")]


def test_a_choice_by_hand_on_another_parent_needs_its_owner(project):
    by_hand = project.run("sets.select", items="picked", mode="ids", ids=f"{1 << 20}-{(1 << 20) + 3}")
    assert by_hand.outputs.particles.count == 4 and by_hand.outputs.particles.meta["selection"]["by_hand"]
    # the run is copied onto another parent, whose rows bear the same ids
    copied = project.copy_runs(by_hand, onto=["other.particles"]).runs[by_hand.id]
    with pytest.raises(Failure, match="made by hand is stale: its 4 ids were chosen from particles of other content"):
        copied.start(threads=1).wait()
    assert copied.state == "needs-you" and "stale" in copied.warnings[0]
    again = project.copy_runs(by_hand, onto=["other.particles"], ids=[(2 << 20) + 1]).runs[by_hand.id]
    assert again.start(threads=1).wait().outputs.particles.items["id"].to_list() == [(2 << 20) + 1], "chosen again"
    # a rule goes along
    assert project.run("sets.select", items="other", where="class_id = 1").outputs.particles.count == 15


# -- the command line -------------------------------------------------------------------------------------------


def said(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_line(project):
    root = project.root
    assert json.loads(said("select", root, "picked.particles", "--where", "class_id = 2", "--count", "--json")) == {"kept": 15, "of": COUNT}
    words = ("sets.subset", "--input-items", "picked.particles", "--input-others", "micrographs.micrographs", "--match", "micrograph")
    assert "kept: 40\nof: 60\nin set 2: 2" in said("preview", root, *words)
    shown = said(
        "rows", root, "picked.particles", "--columns", "id,class_id,x", "--sort", "x", "--descending", "--limit", 2, "--where", "x > 1"
    )
    assert shown.splitlines()[0].split() == ["id", "class_id", "x"] and "2 of 57 rows, of 60 in the set" in shown
    assert len(open_project(root).runs()) == 4
    told = json.loads(said("select", root, "picked.particles", "--ids", f"{1 << 20}", "--name", "one", "--json").splitlines()[-1])
    assert told["outputs"]["particles"]["count"] == 1 and told["summary"]["chosen"] == "by hand"
    both = CliRunner().invoke(app, ["select", str(root), "picked.particles"])
    assert isinstance(both.exception, WrongUse) and "not both" in str(both.exception)


# -- what is told of finished ones ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "values", "panel", "sentence"),
    [
        ("sets.subset", {"items": "picked.particles", "others": "micrographs.micrographs", "match": "micrograph"}, "Sets and what is kept",
         "40 of 60 particles were kept: intersection by micrograph of 2 sets."),
        ("sets.split", {"items": "picked.particles", "parts": 12, "by": "order"}, "Parts",
         f"The 60 particles were divided in their order: {' and '.join(['5'] * 12)}."),
        ("sets.join", {"items": ("picked.particles", "other.particles"), "same_id": "renumber"}, "Sets joined",
         "Sets of 60 and 60 particles were joined to one of 120."),
        ("sets.select", {"items": "picked.particles", "mode": "ids", "ids": "1048576-1048578"}, None,
         "3 of 60 particles were selected by hand (3 listed ids)."),
    ],
)  # fmt: skip
def test_report_and_methods(project, protocol, values, panel, sentence):
    run = project.run(protocol, **values)
    assert [each.title for each in panels_of(run)] == ([panel] if panel else [])
    assert sentence_of(run) == sentence


# -- galleries -----------------------------------------------------------------------------------------------------

BRIGHTNESS = [3.0, 1.0, 5.0, 2.0, 4.0]


@pytest.fixture
def bright(tmp_path):
    """Return a project with five particles, each of one brightness, and one without an image."""
    made = create_project(tmp_path / "project")
    write_stack(made.root / "stack.mrcs", np.ones((5, 16, 16), np.float32) * np.array(BRIGHTNESS, np.float32)[:, None, None], 2.0)
    rows = {
        "id": range(10, 16), "micrograph_id": [1] * 6, "stack_path": ["stack.mrcs"] * 5 + [""], "stack_index": [0, 1, 2, 3, 4, -1],
        "optics_group": [1] * 6, "brightness": [*BRIGHTNESS, 9.0], "enabled": [True] * 5 + [False], "fail_reason": [""] * 5 + ["lost"],
    }  # fmt: skip
    publish(made, Particles(pl.DataFrame(rows), made.root, optics=[{"optics_group": 1, "pixel_size": 2.0, "box_size": 16}]), label="cut")
    return made


def test_images_come_in_the_order_of_a_column(bright):
    output = bright.output("cut.particles")
    images = output.images(sort="brightness", descending=True)
    assert images.ids.to_list() == [12, 14, 10, 13, 11]  # the sixth has no image
    assert images.to_numpy()[:, 0, 0].tolist() == sorted(BRIGHTNESS, reverse=True)
    assert output.images(where="brightness > 2.5", sort="brightness")[:2].to_numpy()[:, 3, 3].tolist() == [3.0, 4.0]
    with pytest.raises(WrongUse, match="no column"):
        output.images(sort="darkness")


def test_a_gallery_tells_ids_and_values(bright):
    panel = gallery(bright.output("cut.particles"), sort="brightness", where="enabled", limit=3, offset=1)
    assert panel.captions == ["13: 2", "10: 3", "14: 4"] and [image[0, 0] for image in panel.images] == [2.0, 3.0, 4.0]


def test_the_page_from_the_command_line(bright, tmp_path):
    words = ["gallery", str(bright.root), "cut.particles", "--sort", "brightness", "--where", "enabled", "-o", str(tmp_path / "page.html")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 5 and "10: 3" in page and "5 of 5" in page
