"""A workflow as a file: out of one project, into another, on other data; what cannot run says so, and nothing hostile gets through."""

import json
from pathlib import Path
from typing import Any

import pytest

from cryoloom.app.session import Project, create_project
from cryoloom.spec import Failure, WrongUse
from cryoloom.spec.workflow import Workflow, schema

ROOT = Path(__file__).parents[2]


@pytest.fixture
def document(project: Project, tmp_path: Path) -> Path:
    """Return the file of a project with four drafts: numbers from a file, two sums, a join of them."""
    (tmp_path / "raw.txt").write_text("raw")
    project.prepare("toy.source", count=3, file=str(tmp_path / "raw.txt"), name="numbers")
    project.prepare("toy.add", things="numbers", amount=2, seed=5, name="sums")
    project.prepare("toy.add", things="numbers", amount=3)
    project.prepare("toy.join", things="numbers", more=["sums", "r003"], name="all")
    project.note("thick ice")
    project.find("sums").note("see **this**")
    project.find("sums").tag("paper")
    path = tmp_path / "flow.json"
    project.export_workflow(path)
    return path


def changed(path: Path, change: Any) -> Path:
    """Write a copy of a file that `change` has been at."""
    record = json.loads(path.read_text())
    change(record)
    other = path.with_name("changed.json")
    other.write_text(json.dumps(record))
    return other


def test_the_file_has_everything_and_paths_only_as_inputs(document: Path) -> None:
    record = json.loads(document.read_text())
    nodes = {node["label"]: node for node in record["nodes"]}
    assert record["$schema"] == "urn:cryoloom:schema:workflow-1" and record["version"] == 1 and record["notes"] == ["thick ice"]
    assert nodes["numbers"]["parameters"]["file"] == {"input": "file"}
    assert record["inputs"]["file"]["default"].endswith("/raw.txt") and record["inputs"]["file"]["type"] == "path"
    sums = nodes["sums"]
    assert sums["protocol"] == "toy.add" and sums["version"] == 1 and sums["seed"] == 5
    assert sums["note"] == "see **this**" and sums["tags"] == ["paper"]
    assert sums["parameters"]["window"] == {"value": 64, "unit": "px"} and sums["inputs"] == {"things": "r001.things"}
    assert nodes["all"]["inputs"] == {"things": "r001.things", "more": ["r002.things", "r003.things"]}
    del record["inputs"]
    assert str(document.parent) not in json.dumps(record)


def test_the_published_schema_is_that_of_the_program() -> None:
    published = json.loads((ROOT / "docs/schemas/workflow-1.json").read_text())
    assert published == json.loads(json.dumps(schema())), "write cryoloom.spec.workflow.schema() to docs/schemas/workflow-1.json"


def test_it_runs_on_other_data(document: Path, project: Project, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("other")
    other = create_project(tmp_path / "other")
    planted = other.import_workflow(document, {"file": str(tmp_path / "other.txt"), "numbers.count": "4", "sums.amount": "7"}).planted
    assert planted and [str(run.state) for run in planted.runs.values()] == ["draft"] * 4
    assert [run.id for run in other.carry_out(threads=1)] == ["r001", "r002", "r003", "r004"]
    assert other.find("sums").notes[0]["text"] == "see **this**" and other.find("sums").tags == ["paper"]
    assert other.find("sums").seed == 5 and other.find("sums").outputs.things.items["value"].to_list() == [17.0, 27.0, 37.0, 47.0]
    assert other.find("all").outputs.things.count == 12 and other.notes()[0]["text"] == "thick ice"
    assert other.trace("all.things")["steps"][0]["fingerprint"]["text"] == "other"
    again = json.loads(other.export_workflow())
    here = json.loads(project.export_workflow())
    assert [node["inputs"] for node in again["nodes"]] == [node["inputs"] for node in here["nodes"]]


def test_the_same_work_is_found_where_it_was_done(document: Path, project: Project) -> None:
    planted = project.import_workflow(document).planted
    assert planted and planted.known == {"r001", "r002", "r003", "r004"} and len(project.runs()) == 4


def test_a_part_of_a_project(document: Path, project: Project) -> None:
    record = json.loads(project.export_workflow(run="sums"))
    assert [node["id"] for node in record["nodes"]] == ["r001", "r002"]


def test_a_failure_keeps_back_only_what_rests_on_it(tmp_path: Path) -> None:
    made = create_project(tmp_path / "failing")
    nodes = [
        {"id": "bad", "protocol": "toy.fail", "parameters": {"how": {"value": "failure"}}},
        {"id": "below", "protocol": "toy.add", "inputs": {"things": "bad.things"}},
        {"id": "good", "protocol": "toy.source", "parameters": {"count": {"value": 1}}},
    ]
    made.import_workflow(written(tmp_path, nodes))
    with pytest.raises(Failure, match="broken at value 3"):
        list(made.carry_out(threads=1))
    assert [str(run.state) for run in made.runs()] == ["failed", "draft", "finished"]


def written(folder: Path, nodes: list[dict[str, Any]], **more: Any) -> Path:
    path = folder / "written.json"
    path.write_text(json.dumps({"$schema": "urn:cryoloom:schema:workflow-1", "version": 1, "nodes": nodes, **more}))
    return path


def test_what_cannot_run_is_kept_and_says_why(tmp_path: Path) -> None:
    made = create_project(tmp_path / "kept")
    nodes = [
        {"id": "late", "protocol": "toy.add", "inputs": {"things": "strange.things"}},  # refers forward
        {"id": "strange", "protocol": "other.plugin", "parameters": {"a": {"value": 1}}},
        {"id": "lost", "protocol": "toy.add", "inputs": {"things": "away.things"}},
        {"id": "open", "protocol": "toy.fail"},
        {"id": "wrong", "protocol": "toy.add", "parameters": {"amount": {"value": 1000}}, "inputs": {"things": "fine.things"}},
        {"id": "fine", "protocol": "toy.source", "parameters": {"count": {"value": 1}}},
        {"id": "ring1", "protocol": "toy.add", "inputs": {"things": "ring2.things"}},
        {"id": "ring2", "protocol": "toy.add", "inputs": {"things": "ring1.things"}},
    ]
    planted = made.import_workflow(written(tmp_path, nodes)).planted
    assert planted
    runs = planted.runs
    assert {name: str(run.state) for name, run in runs.items()} == {
        "strange": "needs-you", "late": "draft", "lost": "needs-you", "open": "needs-you", "fine": "draft", "wrong": "needs-you",
        "ring1": "draft", "ring2": "needs-you",
    }  # fmt: skip
    assert "no protocol installed" in runs["strange"].reason and "never run" in runs["strange"].reason
    assert "away.things, which is not in the file" in runs["lost"].reason
    assert "how has to be given" in runs["open"].reason and "must be at most 100" in runs["wrong"].reason
    assert runs["late"].reason == f"waiting for {runs['strange'].id} (needs-you)"
    assert [run.id for run in made.start_drafts(threads=1)] == [runs["fine"].id], "only that can run"
    runs["fine"].wait()
    assert list(made.carry_out(threads=1)) == []
    with pytest.raises(WrongUse, match="cannot be started"):
        runs["strange"].start()
    back = {node["id"]: node for node in json.loads(made.export_workflow())["nodes"]}
    assert back[runs["strange"].id]["protocol"] == "other.plugin" and back[runs["late"].id]["inputs"] == {
        "things": f"{runs['strange'].id}.things"
    }


def test_what_is_missing_can_be_given(tmp_path: Path) -> None:
    made = create_project(tmp_path / "given")
    made.run("toy.source", count=2, name="here")
    nodes = [
        {
            "id": "lost",
            "protocol": "toy.add",
            "label": "sum",
            "inputs": {"things": "away.things"},
            "needs": {"amount": "is bound elsewhere"},
        },
    ]
    made.import_workflow(written(tmp_path, nodes), {"sum.things": "here.things", "lost.amount": "4"})
    assert [run.outputs.things.count for run in made.carry_out(threads=1)] == [2]


def test_what_is_missing_can_be_given_to_a_copy(tmp_path: Path) -> None:
    made = create_project(tmp_path / "copied")
    nodes = [
        {"id": "open", "protocol": "toy.source", "needs": {"count": "is bound elsewhere"}},
        {"id": "below", "protocol": "toy.add", "inputs": {"things": "open.things"}},
        {"id": "strange", "protocol": "other.plugin", "inputs": {"any": "below.things"}},
    ]
    made.import_workflow(written(tmp_path, nodes))
    with pytest.raises(WrongUse, match="r003 stand"):
        made.copy_runs("r001", below=True, count=3)
    assert "cryoloom copy PROJECT r001" in str(made.find("r001").needs)
    copied = made.copy_runs("r001", "r002", changes={"r001": {"count": 3}}).runs
    assert [str(run.state) for run in copied.values()] == ["draft", "draft"] and copied["r001"].parameters["count"] == 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda record: record.update(version=2), "workflow-newer"),
        (lambda record: record.update(extra=1), "workflow-invalid"),
        (lambda record: record["nodes"][0].update(id="../../up"), "workflow-invalid"),
        (lambda record: record["nodes"][0].update(protocol="toy.source\x1b[2J"), "workflow-invalid"),
        (lambda record: record["nodes"][1].update(id="r001"), "workflow-invalid"),
        (lambda record: record["nodes"][0]["parameters"]["file"].update(input="nothing"), "workflow-invalid"),
        (lambda record: record["nodes"][1]["parameters"]["window"].update(unit="Å"), "workflow-unit"),
        (lambda record: record.clear(), "unknown-workflow"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_made(document: Path, tmp_path: Path, change: Any, code: str) -> None:
    made = create_project(tmp_path / "refusing")
    with pytest.raises(WrongUse) as caught:
        made.import_workflow(changed(document, change))
    assert caught.value.code == code and made.runs() == []


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("fil", "x", "Did you mean file"), ("sums.amount", "1000", "at most 100"), ("file", "/nowhere/at/all", "cannot be read")],
)
def test_a_wrong_setting_is_refused_before_anything_is_made(document: Path, tmp_path: Path, name: str, value: str, says: str) -> None:
    made = create_project(tmp_path / "refusing")
    with pytest.raises(WrongUse, match=says):
        made.import_workflow(document, {name: value})
    assert made.runs() == []


def test_names_from_a_file_are_no_paths(tmp_path: Path) -> None:
    made = create_project(tmp_path / "inside" / "project")
    label = "../../../escape\n\x00" + "x" * 200
    nodes = [{"id": "a", "protocol": "toy.source", "label": label, "parameters": {"count": {"value": 1}}, "note": "../up"}]
    made.import_workflow(written(tmp_path, nodes))
    assert list(made.carry_out(threads=1))[0].label.startswith(".. .. .. escape")
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "written.json"}
    assert {path.name for path in (tmp_path / "inside").iterdir()} == {"project"}


def test_the_document_reads_itself(document: Path) -> None:
    workflow = Workflow.model_validate_json(document.read_text())
    assert [node.id for node in workflow.nodes] == ["r001", "r002", "r003", "r004"]
