"""Every verb over a project: runs by names and texts, the cache and its reasons, references, provenance, trash."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import cryoloom
from cryoloom.app import catalogue
from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project, create_project, list_projects, open_project
from cryoloom.engine.state import State
from cryoloom.spec import WrongUse


@pytest.fixture(scope="module")
def made(empty: Project) -> Project:
    """Return a project with three runs: things, pears, sums of the things."""
    raw = empty.root.parent / "raw.txt"
    raw.write_text("raw")
    empty.run("toy.source", count=3, file=str(raw), name="numbers")
    empty.run("toy.pears")
    empty.run("toy.add", things="numbers.things", amount="2", name="sums", threads=1)
    return empty


def refused(project: Project, *args: Any, **values: Any) -> WrongUse:
    before = len(project.runs())
    with pytest.raises(WrongUse) as caught:
        project.prepare(*args, **values)
    assert len(project.runs()) == before, "nothing is made of what is refused"
    return caught.value


# -- names and texts --------------------------------------------------------------------------------------------


def test_a_moved_project_shows_the_same(made: Project, project: Project) -> None:
    here, there = project.find("sums"), made.find("sums")
    assert here.outputs.things.hash == there.outputs.things.hash
    assert here.outputs.things.items["value"].to_list() == [12.0, 22.0, 32.0]
    assert here.outputs.things.file(here.outputs.things.items["data_path"][0]).is_relative_to(project.root)
    assert str(made.root) not in (project.root / "runs/r003/outputs.json").read_text()
    assert here.state is State.FINISHED and here.summary == {"sum": 66.0, "count": 3} and here.failed_items == {}


def test_texts_become_values_and_other_names_are_known(project: Project) -> None:
    run = project.prepare("ProtAdd", {"input-things": "numbers", "summand": "3.5", "METHOD": "Careful", "sizes": "1, 2,3", "window": "32"})
    assert run.parameters == {"amount": 3.5, "window": 32, "method": "careful", "sizes": [1, 2, 3], "pause": 0.0}
    assert run.state is State.DRAFT and run.inputs["things"]["run"] == "r001"
    assert project.prepare("toy.add", things="numbers.things", sizes="[4]").parameters["sizes"] == [4]
    assert project.prepare("toy.add", things="numbers.things", sizes=["4", "5"]).parameters["sizes"] == [4, 5]


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"amount": "101"}, "bad-parameter", ["toy.add", "amount is '101'", "at most 100"]),
        ({"window": 10}, "bad-parameter", ["window is 10 px, but must be at least 16 px"]),
        ({"window": 33}, "bad-parameter", ["multiple of 2"]),
        ({"window": "big"}, "bad-parameter", ["window is 'big' px, but must be a whole number"]),
        ({"method": "wild"}, "bad-parameter", ["'plain' or 'careful'"]),
        ({"amount": 200, "window": 8}, "bad-parameter", ["amount is 200", "window is 8"]),
        ({"amount": 13}, "bad-parameter", ["amount brings bad luck", "12 would do"]),
        ({"windw": 32}, "unknown-parameter", ["windw", "Did you mean window?"]),
        ({"amount": 1, "summand": 2}, "given-twice", ["amount", "summand"]),
        ({"amount": ["1", "2"]}, "given-twice", ["amount takes one value, not 2: 1, 2"]),
    ],
)
def test_wrong_values_are_refused_in_words(project: Project, values: dict[str, Any], code: str, words: list[str]) -> None:
    error = refused(project, "toy.add", things="numbers.things", **values)
    assert error.code == code
    for word in words:
        assert word in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("things", "code", "words"),
    [
        (None, "missing-input", ["things", "--input-things"]),
        ("r002.pears", "wrong-kind", ["takes things", "r002.pears is pears", "r001.things (numbers)", "r003.things (sums)"]),
        ("r009.things", "unknown-run", ["r009"]),
        ("nombers.things", "unknown-run", ["Did you mean numbers?"]),
        ("nowhere", "unknown-run", ["nowhere"]),
        ("numbers.thing", "unknown-output", ["Did you mean things?"]),
        (["r001.things", "r003.things"], "one-set", ["takes one set, not 2"]),
        (7, "not-an-output", ["7"]),
    ],
)
def test_wrong_inputs_are_refused_with_what_would_do(project: Project, things: Any, code: str, words: list[str]) -> None:
    error = refused(project, "toy.add", things=things)
    assert error.code == code
    for word in words:
        assert word in str(error)


def test_sets_without_rows_are_refused(project: Project) -> None:
    empty = project.run("toy.source", count=0, name="none")
    error = refused(project, "toy.add", things="none.things")
    assert error.code == "empty-input" and f"input things is {empty.id}.things, which holds no things" in str(error)


def test_a_run_of_another_kind_is_named_with_what_would_do(project: Project) -> None:
    error = refused(project, "toy.add", things="r002")
    assert error.code == "wrong-kind" and "r002.pears is pears" in str(error) and "r001.things (numbers)" in str(error)


def test_a_set_that_is_no_output_is_refused(project: Project) -> None:
    dataset = project.output("numbers.things").dataset.select([1])
    assert refused(project, "toy.add", things=dataset).code == "not-an-output"


def test_unknown_protocols_runs_and_outputs(project: Project) -> None:
    assert "Did you mean toy.add" in str(refused(project, "toy.ad"))
    with pytest.raises(AttributeError, match="has no output 'thing'. Did you mean things"):
        _ = project.find("sums").outputs.thing
    assert "things" in dir(project.find("sums").outputs) and "things" in project.find("r001").outputs
    with pytest.raises(WrongUse, match="is not a project"):
        open_project(project.root / "runs")


def test_inputs_of_several_sets(project: Project) -> None:
    run = project.prepare("toy.join", things="r001.things", more=["r001.things", project.find("sums").outputs.things])
    assert [each["run"] for each in run.inputs["more"]] == ["r001", "r003"]
    assert project.prepare("toy.join", things="r001.things", more="numbers.things,sums.things") == run
    assert project.prepare("toy.join", things="r001.things", more="sums.things").inputs["more"][0]["run"] == "r003"


# -- the cache and its reasons ----------------------------------------------------------------------------------


def test_identical_work_is_not_done_again_and_answers_to_its_new_name(project: Project) -> None:
    run = project.run("toy.add", things=project.find("numbers").outputs.things, amount=2.0, name="again")
    assert run.reused and run.id == "r003" and run.labels == ["sums", "again"]
    assert project.output("again.things").hash == project.output("sums.things").hash
    assert len(project.runs()) == 3 and run.folder.attempt() == 1
    assert project.explain("toy.add", things="r001.things", amount=2) == "same as r003"
    assert (
        project.explain("toy.add", things="r001.things", amount=3, window=32)
        == "other than r003: amount is 3.0, was 2.0; window is 32, was 64"
    )
    draft = project.prepare("toy.add", things="r001.things", amount=2, seed=4)
    assert draft.why == "other than r003: seed is 4, was 0" and project.find("r003").why == "first run of toy.add in this project"
    assert project.prepare("toy.add", things="r001.things", amount=2, again=True).id == "r005"


def test_changed_files_outside_are_other_work(made: Project, project: Project, tmp_path: Path) -> None:
    raw = made.root.parent / "raw.txt"
    assert project.prepare("toy.source", count=3, file=str(raw)).id == "r001"
    other = tmp_path / "raw.txt"
    shutil.copy(raw, other)
    mine = project.prepare("toy.source", count=3, file=str(other))
    other.write_text("cooked")
    assert "outside the project have changed" in project.explain("toy.source", count=3, file=str(other))
    assert mine.id == "r004"
    raw.unlink()
    assert refused(project, "toy.source", count=3, file=str(raw)).code == "file-missing"
    raw.write_text("raw")


def test_items_of_an_earlier_run_are_taken_over_by_content(project: Project) -> None:
    """Two runs of a source with three and five things share three items; the sums of those are not computed again."""
    small = project.run("toy.source", count=3)
    first = project.run("toy.add", things=small.outputs.things, amount=4, threads=1)
    large = project.run("toy.source", count=5)
    second = project.run("toy.add", things=large.outputs.things, amount=4, threads=1)
    assert [event["count"] for event in second.events() if event["kind"] == "reused"] == [3]
    assert sorted(path.name for path in (second.folder.path / "calls").iterdir()) == ["4", "5"]
    ours, theirs = second.outputs.things.items, first.outputs.things.items
    same = [name for name in ours.columns if name != "data_path"]
    assert ours.head(3).select(same).equals(theirs.select(same))
    assert all(path.startswith(f"runs/{second.id}/") for path in ours["data_path"])
    assert project.verify(second).ok
    project.delete(first)
    project.empty_trash()
    assert project.verify(second).ok, "what was taken over does not need its first owner"
    fresh = project.run("toy.add", things=large.outputs.things, amount=4, again=True, threads=1)
    assert fresh.outputs.things.items["noise"].equals(ours["noise"])


def test_advice_does_not_stop_a_run(project: Project) -> None:
    assert project.prepare("toy.add", things="numbers.things", amount=7).warnings == ["amount brings good luck."]


# -- labels, trash, provenance ----------------------------------------------------------------------------------


def test_labels(project: Project) -> None:
    run = project.find("r002")
    run.rename("fruit")
    assert project.find("fruit") == run and run.label == "fruit"
    run.rename("Birnen, reif")
    assert run.labels == ["Birnen, reif", "fruit"] and project.output("Birnen, reif.pears").kind == "pears"
    project.find("r003").rename("fruit")
    with pytest.raises(WrongUse, match="r002, r003"):
        project.find("fruit")
    for label in ("r004", " x", "a/b", "a\nb"):
        with pytest.raises(WrongUse, match="cannot name a run"):
            run.rename(label)


def test_trash(project: Project) -> None:
    with pytest.raises(WrongUse, match="r001 gives its outputs to r003"):
        project.delete("numbers")
    project.delete("sums")
    project.delete("r001")
    assert project.trash() == ["r001", "r003"] and [run.id for run in project.runs()] == ["r002"]
    with pytest.raises(WrongUse, match="from r001"):
        project.restore("r003")
    assert project.prepare("toy.pears", seed=9).id == "r004", "ids of deleted runs are not given again"
    project.restore("r001")
    assert project.restore("r003").outputs.things.count == 3
    assert project.verify("r003").ok
    with pytest.raises(WrongUse, match="not in the trash"):
        project.restore("r003")
    project.delete("r003")
    assert project.disk_use()["trash"] > 1000 and project.empty_trash() > 1000 and project.trash() == []


def test_trace_names_every_step_parameter_version_and_source(project: Project) -> None:
    found = project.trace("sums.things")
    assert [step["run"] for step in found["steps"]] == ["r001", "r003"]
    last = found["steps"][1]
    assert last["parameters"]["amount"] == 2.0 and last["version"] == 1 and last["cryoloom"] == "0.1.0"
    assert last["inputs"]["things"]["hash"] == found["steps"][0]["outputs"]["things"]["hash"]
    environment = project.root / "env" / f"{last['environment']}.json"
    assert "polars" in environment.read_text()
    assert found["hash"] == project.output("sums.things").hash


def test_verify_finds_what_was_changed_removed_or_forged(project: Project) -> None:
    run = project.find("sums")
    items = run.outputs.things.items
    assert project.verify("sums.things").files == 5
    run.outputs.things.file(items["data_path"][0]).write_text("13.0\n")
    run.outputs.things.file(items["data_path"][1]).unlink()
    found = project.verify(run)
    assert (found.changed, found.missing, found.ok) == (["runs/r003/items/000001_value.txt"], ["runs/r003/items/000002_value.txt"], False)
    outputs = project.root / "runs/r001/outputs.json"
    outputs.write_text(outputs.read_text().replace('"count": 3', '"count": 4', 1))
    assert project.verify("sums").forged == ["r001.things"]


def test_the_project_itself(project: Project, tmp_path: Path) -> None:
    project.rename("Other toys")
    project.note("grid 3 is thick")
    copied = project.copy(tmp_path / "copied")
    assert copied.uuid != project.uuid and copied.find("sums").outputs.things.hash == project.find("sums").outputs.things.hash
    info = project.info()
    assert info["name"] == "Other toys" and info["runs"] == 3 and info["states"] == {"finished": 3}
    assert [note["text"] for note in info["notes"]] == ["grid 3 is thick"] and info["bytes"] > 5000
    assert [each.name for each in list_projects(tmp_path)] == ["copied", "Other toys"]
    with pytest.raises(WrongUse, match="exists already"):
        project.copy(tmp_path / "copied")
    with pytest.raises(WrongUse, match="is a project already"):
        create_project(project.root)
    with pytest.raises(WrongUse, match="holds other files"):
        create_project(project.root / "runs")


def test_describe_is_plain_data(project: Project) -> None:
    import json

    described = json.loads(json.dumps(project.find("sums").describe()))
    assert described["run"] == "r003" and described["state"] == "finished" and described["labels"] == ["sums"]
    assert described["outputs"]["things"] == {"kind": "things", "count": 3, "hash": project.output("sums.things").hash}
    spent = described["spent"]
    assert 0 < spent["seconds"] < 300 and spent["cpu_seconds"] > 0.05 and 10 < spent["peak_memory_mb"] < 4000


def test_outputs_of_an_unfinished_run_can_be_named(project: Project) -> None:
    draft = project.prepare("toy.add", things="numbers.things", amount=50, name="later")
    assert isinstance(draft.outputs.things, OutputRef)
    with pytest.raises(WrongUse, match="has no outputs yet"):
        draft.outputs.things.to_polars()
    then = project.prepare("toy.add", things="later.things")
    assert then.inputs["things"] == {"run": draft.id, "output": "things", "hash": None}
    assert then.reason == f"waiting for {draft.id} (draft)"
    assert project.prepare("toy.add", things=draft.outputs.things) == then
    assert refused(project, "toy.add", things="later.things", window=3).code == "bad-parameter"


# -- catalogue and package --------------------------------------------------------------------------------------


def test_a_broken_plugin_is_an_entry_and_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_toy.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CRYOLOOM_PLUGINS", "toys,broken_toy,toys:Add")
    entries = {entry.id: entry for entry in catalogue.entries()}
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in entries["broken_toy"].error
    assert entries["toy.add"].protocol and entries["toy.add"].title == "Add a number to each thing, with some noise of its own."
    with pytest.raises(WrongUse, match="cannot be loaded from broken_toy"):
        catalogue.protocol("broken_toy")
    assert [entry.id for entry in catalogue.search("noise SUMMAND")] == ["toy.add"]


def test_our_own_protocols_have_the_ids_of_their_files_and_load() -> None:
    assert catalogue.protocol_id("cryoloom.protocols.import_.movies", "cryoloom.protocols") == "import.movies"
    own = [entry for entry in catalogue.entries() if entry.origin.startswith(catalogue.OWN)]
    assert {entry.id: entry.error for entry in own if entry.error} == {}
    assert "import.movies" in [entry.id for entry in own]


def test_the_catalogue_loads_no_torch_and_importing_cryoloom_loads_nothing() -> None:
    import subprocess

    program = (
        "import sys, cryoloom; assert 'polars' not in sys.modules and 'pydantic' not in sys.modules;"
        "from cryoloom.app import session; from cryoloom.tables.dataset import known_kind; assert known_kind('movies');"
        "from cryoloom.app import catalogue; catalogue.entries(); assert not {'torch', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "CRYOLOOM_PLUGINS": ""})


def test_the_package_opens_and_makes_projects(tmp_path: Path) -> None:
    made = cryoloom.create_project(tmp_path / "p")
    assert cryoloom.open_project(str(tmp_path / "p")).uuid == made.uuid
