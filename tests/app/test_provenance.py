"""Doing everything again and comparing it, what a run was computed with, the methods section, and the crate for others."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoloom.app import catalogue
from cryoloom.app.session import Project, create_project, open_project
from cryoloom.data.literature import paper, papers
from cryoloom.engine.environment import apart, record_environment
from cryoloom.engine.provenance import steps_below
from cryoloom.formats.mrc import write_mrc
from cryoloom.spec import WrongUse


@pytest.fixture(scope="module")
def made(empty: Project) -> Project:
    """Return a project where r002 was deleted, r004 rests on r003 and r001, and r005 is aside."""
    raw = empty.root.parent / "raw.txt"
    raw.write_text("raw")
    empty.run("toy.source", count=3, file=str(raw), name="numbers")
    empty.run("toy.pears")
    empty.run("toy.add", things="numbers.things", amount=2, seed=5, name="sums", threads=1)
    empty.run("toy.scale", things="sums.things", factor=3, name="scaled", threads=1)
    empty.run("toy.shell", name="program")
    empty.delete("r002")
    return empty


def test_a_run_is_told_what_each_input_rests_on(project: Project) -> None:
    told = steps_below(project.folder, "r004", "things")
    assert [step.protocol for step in told] == ["toy.source", "toy.add"] and told[1].parameters["amount"] == 2
    assert told[0].version == project.find("numbers").folder.record["cryoloom"]
    assert steps_below(project.folder, "r004", "other") == steps_below(project.folder, "r001", "things") == ()


# -- replay -----------------------------------------------------------------------------------------------------


def test_everything_done_again_is_the_same_to_the_bit(project: Project, tmp_path: Path) -> None:
    seen: list[str] = []
    found = project.replay("scaled.things", tmp_path / "again", threads=2, on_step=lambda step: seen.append(step.run))
    assert found.ok and seen == ["r001", "r003", "r004"]
    assert [step.same for step in found.steps] == [{"things": True}] * 3
    there = open_project(tmp_path / "again")
    assert there.find("scaled").outputs.things.hash == project.find("scaled").outputs.things.hash
    assert (there.root / "runs/r003/calls").exists(), "it was computed, not copied"
    assert project.replay("scaled.things", tmp_path / "again").ok, "a second time there is nothing to do"
    assert [run.id for run in there.runs()] == ["r001", "r003", "r004"]


def test_what_differs_is_named_with_a_likely_cause(project: Project, tmp_path: Path) -> None:
    record = project.root / "runs/r003/outputs.json"
    manifest = json.loads(record.read_text())
    manifest["outputs"]["things"] |= {"hash": "0" * 64, "meta": {"sum": 67.0}}
    record.write_text(json.dumps(manifest))
    given = project.root / "runs/r004/run.json"
    given.write_text(
        json.dumps(json.loads(given.read_text()) | {"inputs": {"things": {"run": "r003", "output": "things", "hash": "0" * 64}}})
    )
    environment = next((project.root / "env").glob("*.json"))
    lock = json.loads(environment.read_text())
    environment.write_text(json.dumps(lock | {"packages": lock["packages"] | {"numpy": "1.0"}}))
    found = project.replay("scaled.things", tmp_path / "again", threads=1)
    assert not found.ok and [step.ok for step in found.steps] == [True, False, True]
    step = found.steps[1]
    assert step.differences == ["things: sum is 66.0, was 67.0"]
    assert any(cause.startswith("numpy: ") and cause.endswith(", was 1.0") for cause in step.causes), step.causes


def test_a_step_that_is_never_the_same_and_what_rests_on_it(project: Project, tmp_path: Path) -> None:
    project.run("toy.unsteady", things="numbers.things", name="noise")
    project.run("toy.scale", things="noise.things", name="louder", threads=1)
    found = project.replay("louder.things", tmp_path / "again", threads=1)
    assert [step.ok for step in found.steps] == [True, False, False]
    assert found.steps[1].differences == ["things: values of value"]
    assert found.steps[1].causes == ["nothing known: the step does not give the same bits twice"]
    assert found.steps[2].causes[0] == f"its input {project.find('noise').id}.things differs already"


def test_what_cannot_be_asked_for_any_more_is_refused(project: Project, tmp_path: Path) -> None:
    record = project.root / "runs/r001/run.json"
    record.write_text(record.read_text().replace("toy.source", "toy.gone"))
    with pytest.raises(WrongUse) as caught:
        open_project(project.root).replay("numbers.things", tmp_path / "more")
    assert caught.value.code == "unknown-protocol"


def test_a_watch_is_done_again_in_the_order_of_arrival(tmp_path: Path, until: Any) -> None:  # noqa: F811
    rng = np.random.default_rng(0)

    def arrive(name: str) -> None:
        write_mrc(tmp_path / name, rng.poisson(5, (4, 96, 128)).astype(np.float32), 1.5)
        (tmp_path / name).rename(tmp_path / f"{name}.mrc")

    arrive("z")
    project = create_project(tmp_path / "project")
    run = project.run("import.movies", pattern=str(tmp_path / "*.mrc"), pixel_size=1.5, watch=True, watch_settle=0, wait=False)
    arrivals = run.folder.path / "arrivals.json"
    until(lambda: arrivals.exists() and "z.mrc" in arrivals.read_text(), "the first came")
    arrive("a")
    until(lambda: "a.mrc" in arrivals.read_text(), "the second came")
    run.folder.close()
    assert run.wait().outputs.movies.items["movie_name"].to_list() == ["z", "a"]
    assert project.replay("r001.movies", tmp_path / "again").ok


# -- environment ------------------------------------------------------------------------------------------------


def test_a_run_tells_what_it_was_computed_with(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    found = project.find("sums").environment
    assert found and found["packages"]["polars"] and found["python"] == sys.version.split()[0]
    assert found["threads"]["OMP_NUM_THREADS"] == "1" and found["cryoloom"]
    program = project.find("program").environment
    assert program and [Path(name).name for name in program["programs"]] == ["sh"] and len(next(iter(program["programs"].values()))) == 64
    assert project.prepare("toy.pears").environment is None
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("HUNTER_THREADS", "2")
    text = (project.root / "env" / f"{record_environment(project.root)}.json").read_text()
    assert "hunter2" not in text and "HUNTER_THREADS" in text
    assert apart(found, {**found, "python": "2.7", "packages": {**found["packages"], "polars": "0.1", "left-pad": "1"}}) == [
        f"python: {found['python']}, was 2.7",
        "left-pad: absent, was 1",
        f"polars: {found['packages']['polars']}, was 0.1",
    ]


# -- methods ----------------------------------------------------------------------------------------------------


def test_methods_tell_parameters_figures_and_papers(project: Project) -> None:
    found = project.methods("scaled.things")
    assert "toy.add was run with amount 2.0: sum 66.0, count 3." in found.text
    assert "toy.scale was run with factor 3.0 (doi:10.1000/toy)." in found.text and "random seed 0, 5" in found.text
    assert "https://doi.org/10.1000/toy" in found.page and "doi = {10.1000/toy}" in found.bibtex
    assert "toy.scale" not in project.methods("sums").text
    with pytest.raises(WrongUse, match="Nothing has finished"):
        create_project(project.root.parent / "empty").methods()


def test_every_paper_a_protocol_cites_is_listed_once() -> None:
    cited = {doi for entry in catalogue.entries() if entry.protocol and entry.origin.startswith("cryoloom.") for doi in entry.protocol.cite}
    assert len(cited) > 15
    missing = sorted(doi for doi in cited if doi.lower() not in papers())
    assert not missing, f"add to src/cryoloom/data/references.bib: {missing}"
    listed = list(papers().values())
    assert all(each.authors and each.title and each.journal and each.year.isdigit() for each in listed)
    assert len({each.key for each in listed}) == len(listed) == len({each.citation for each in listed})


def test_papers_are_cited_by_author_and_year() -> None:
    assert paper("10.1038/nmeth.4193").citation == "Zheng et al., 2017"
    assert paper("10.1016/j.jsb.2015.08.008").citation == "Rohou & Grigorieff, 2015"
    assert {paper("10.1016/j.jmb.2011.11.010").citation, paper("10.1016/j.jsb.2012.09.006").citation} == {
        "Scheres, 2012a",
        "Scheres, 2012b",
    }
    assert paper("10.1016/j.jsb.2015.08.008").reference.endswith("192, 216–221. https://doi.org/10.1016/j.jsb.2015.08.008")


# -- crate ------------------------------------------------------------------------------------------------------


def graph(path: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        return {entity["@id"]: entity for entity in json.loads(archive.read("ro-crate-metadata.json"))["@graph"]}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def test_the_crate_keeps_the_rules_of_its_profiles(project: Project, tmp_path: Path) -> None:
    path = project.crate(tmp_path / "toys.zip", data=["scaled.things"], licence="https://creativecommons.org/licenses/by/4.0/")
    found = graph(path)
    root, descriptor = found["./"], found["ro-crate-metadata.json"]
    assert descriptor["about"] == {"@id": "./"} and {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    assert (
        root["name"] == "Toys" and root["description"] and root["datePublished"] and root["license"]["@id"].startswith("https://creative")
    )
    assert {each["@id"].rpartition("/ro/")[2] for each in root["conformsTo"]} >= {
        "wfrun/process/0.5",
        "wfrun/workflow/0.5",
        "wfrun/provenance/0.5",
    }
    workflow = found[root["mainEntity"]["@id"]]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"} <= set(workflow["@type"]) and workflow["programmingLanguage"]
    assert [found[step["@id"]]["position"] for step in workflow["step"]] == ["1", "2", "3", "4"]
    tools = {each["@id"] for each in workflow["hasPart"]}
    actions = [entity for entity in found.values() if entity["@type"] == "CreateAction" and entity["@id"] != "#whole"]
    assert [action["@id"] for action in actions] == ["#r001", "#r003", "#r004", "#r005"]
    for action in actions:
        assert action["instrument"]["@id"] in tools and action["endTime"] >= action["startTime"]
        assert {"@id": action["@id"]} in root["mentions"]
    added = found["#r003"]
    assert {"@id": "outputs/r001.things.json"} in added["object"] and added["result"] == {"@id": "outputs/r003.things.json"}
    assert found["#r003/amount"]["value"] == 2.0 and found["#r003/seed"]["value"] == 5
    assert found["#whole"]["instrument"] == {"@id": "workflow.json"}
    assert {"@id": "outputs/r004.things.json"} in found["#whole"]["result"] and {"@id": "outputs/r003.things.json"} not in found["#whole"][
        "result"
    ]
    for entity in found.values():
        for value in entity.values():
            for each in listed(value):
                if isinstance(each, dict) and not each["@id"].startswith(("http", "mailto")):
                    assert each["@id"] in found, f"{entity['@id']} names {each['@id']}, which is not there"
    with zipfile.ZipFile(path) as archive:
        inside = set(archive.namelist())
    files = {name for name, entity in found.items() if "File" in listed(entity["@type"])}
    assert files <= inside and "data/runs/r004/things.parquet" in files and "runs/r003/environment.json" in files


def test_the_validator_of_the_profiles_finds_nothing(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = pytest.importorskip("rocrate_validator.services", reason="roc-validator is not installed")
    import requests
    from rocrate_validator import models
    from rocrate_validator.utils import http

    from rocrate.vocabs import RO_CRATE  # isort: skip

    # without a network: the terms of the newest context, those that version 1.1 spells otherwise put right
    terms = {key: str(value).replace("bioschemas.org/terms/", "bioschemas.org/") for key, value in RO_CRATE["@context"].items()}
    terms |= {key: f"https://bioschemas.org/ComputationalWorkflow#{key}" for key in ("input", "output")}

    def context(*_: object, **__: object) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer._content = 200, json.dumps({"@context": terms}).encode()
        answer.headers["Content-Type"] = "application/ld+json"
        return answer

    monkeypatch.setattr(http.HttpRequester, "get", context, raising=False)
    path = project.crate(tmp_path / "toys.zip")
    for profile in ("provenance-run-crate", "workflow-ro-crate"):
        asked = services.ValidationSettings(
            rocrate_uri=str(path), profile_identifier=profile, requirement_severity=models.Severity.REQUIRED
        )
        issues = services.validate(asked).get_issues()
        assert not issues, [(each.check.identifier, each.message) for each in issues]
