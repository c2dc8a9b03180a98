"""Projects over HTTP: the list, and all that concerns one as a whole."""

import json

import pytest
from fastapi.testclient import TestClient

from cryoloom.app import demo
from cryoloom.app.process import Plan
from cryoloom.app.session import open_project
from cryoloom.server.app import make_app

TOYS = "/api/projects/toys"


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == f"CL-{code}"
    return answer.json()["error"]


def test_made_listed_renamed_copied_deleted(client, toys):
    made = client.post("/api/projects", json={"name": " Night two "}).json()
    assert (made["folder"], made["name"], made["runs"]) == ("Night two", "Night two", 0)
    toys.run("toy.source", threads=1)
    assert {each["folder"]: each["states"] for each in client.get("/api/projects").json()} == {"Night two": {}, "toys": {"finished": 1}}
    assert client.patch(TOYS, json={"name": "Other"}).json()["name"] == "Other"
    copied = client.post(f"{TOYS}/copy", json={"name": "again"})
    assert copied.status_code == 201 and copied.json()["states"] == {"finished": 1}
    assert client.delete("/api/projects/again").status_code == 204
    assert {each["folder"] for each in client.get("/api/projects").json()} == {"Night two", "toys"}


@pytest.mark.parametrize("name", ["", "..", "../outside", "a/b", ".hidden", "nul\0"])
def test_no_name_leaves_the_folder(client, toys, name):
    for path in ("/api/projects", f"{TOYS}/copy"):
        problem(client.post(path, json={"name": name}), 422, "bad-name")
    assert [path.name for path in toys.root.parent.iterdir()] == ["toys"] and not (toys.root.parent.parent / "outside").exists()


def test_a_name_that_is_taken(client):
    problem(client.post("/api/projects", json={"name": "toys"}), 422, "project-exists")


@pytest.mark.parametrize("name", ["absent", "%2e%2e", "..%2ftoys"])
def test_unknown_projects(client, name):
    assert client.get(f"/api/projects/{name}").status_code == 404


def test_a_project_at_work_is_not_deleted(client, toys, until):
    run = toys.run("toy.grow", steps=1000, pause=0.1, wait=False)
    until(lambda: str(run.state) == "running", "running")
    problem(client.delete(TOYS), 422, "project-busy")
    assert run.folder.path.exists()


def test_notes_are_kept_as_they_were_written(client):
    text = "**bold** <script>alert(1)</script>"
    client.patch(TOYS, json={"note": text})
    assert [note["text"] for note in client.get(f"{TOYS}/notes").json()] == [text]


def test_the_trash_and_back(client, toys):
    source = toys.run("toy.source", threads=1)
    toys.run("toy.halve", things=source.outputs.things, threads=1)
    problem(client.delete(f"{TOYS}/runs/r001"), 422, "run-needed")
    assert client.delete(f"{TOYS}/runs/r001", params={"with_dependents": True}).json() == ["r002", "r001"]
    trash = client.get(f"{TOYS}/trash").json()
    assert [each["run"] for each in trash] == ["r001", "r002"] and all(each["bytes"] > 0 for each in trash)
    problem(client.post(f"{TOYS}/trash/r002/restore"), 422, "run-needed")
    assert client.post(f"{TOYS}/trash/r001/restore").json() == []
    assert len(toys.runs()) == 2
    client.delete(f"{TOYS}/runs/r002")
    freed = client.delete(f"{TOYS}/trash").json()
    assert freed > 0 and client.get(f"{TOYS}/trash").json() == []
    problem(client.post(f"{TOYS}/trash/r002/restore"), 422, "not-in-trash")


def test_cleaning_tells_before_it_removes(client, toys):
    source = toys.run("toy.source", threads=1)
    toys.run("toy.add", things=source.outputs.things, threads=1)
    room = {row["run"]: row for row in client.get(f"{TOYS}/room").json()}
    assert room["r002"]["intermediate"] > 0 and room["r002"]["record"] > 0
    would = client.get(f"{TOYS}/cleaning", params={"run": "r002", "keep": "diagnostic"}).json()
    assert would["bytes"] > 0 and would["files"]["r002"] > 0 and would["needed"] == {}
    assert {row["run"]: row for row in client.get(f"{TOYS}/room").json()} == room
    done = client.post(f"{TOYS}/cleaning", json={"runs": ["r002"], "keep": "diagnostic"}).json()
    assert done["bytes"] == would["bytes"]
    assert client.get(f"{TOYS}/cleaning", params={"run": "r002", "keep": "diagnostic"}).json()["bytes"] == 0


def test_images_that_others_need_are_removed_only_when_that_is_said(client, toys):
    added = toys.run("toy.add", things=toys.run("toy.source", threads=1).outputs.things, threads=1)
    toys.run("toy.halve", things=added.outputs.things, threads=1)
    assert client.get(f"{TOYS}/cleaning", params={"run": "r002", "keep": "record"}).json()["needed"] == {"r002": ["r003"]}
    problem(client.post(f"{TOYS}/cleaning", json={"runs": ["r002"], "keep": "record"}), 422, "files-needed")
    assert client.post(f"{TOYS}/cleaning", json={"runs": ["r002"], "keep": "record", "also_needed": True}).json()["bytes"] > 0


def test_a_workflow_goes_out_and_comes_in(client, toys):
    source = toys.run("toy.source", count=4, name="numbers", threads=1)
    toys.run("toy.halve", things=source.outputs.things, threads=1)
    sent = client.get(f"{TOYS}/workflow")
    assert "attachment" in sent.headers["content-disposition"] and len(json.loads(sent.text)["nodes"]) == 2
    assert len(json.loads(client.get(f"{TOYS}/workflow", params={"run": "r001"}).text)["nodes"]) == 1
    client.post("/api/projects", json={"name": "other"})
    brought = client.post("/api/projects/other/workflow", json={"text": sent.text})
    assert brought.status_code == 201, brought.text
    made = open_project(toys.root.parent / "other").runs()
    assert [(run.protocol, str(run.state)) for run in made] == [("toy.source", "draft"), ("toy.halve", "draft")]
    assert made[0].parameters["count"] == 4 and sorted(brought.json()["runs"].values()) == ["r001", "r002"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"a": 1}'])
def test_what_is_no_workflow_makes_nothing(client, toys, text):
    assert client.post(f"{TOYS}/workflow", json={"text": text}).status_code == 422
    assert toys.runs() == []


def test_methods_of_the_whole(client, toys):
    problem(client.get(f"{TOYS}/methods"), 422, "nothing-finished")
    toys.run("toy.source", threads=1)
    assert "cryoloom" in client.get(f"{TOYS}/methods").json()["text"]


def test_disk_use_adds_up(client, toys):
    toys.run("toy.source", threads=1)
    assert set(client.get(f"{TOYS}/disk").json()) == {"r001", "trash"}


def test_a_served_project_is_the_only_one(toys):
    alone = TestClient(make_app(toys.root))
    assert [each["folder"] for each in alone.get("/api/projects").json()] == ["toys"]
    problem(alone.post("/api/projects", json={"name": "more"}), 422, "one-project")


def test_the_demo_begins_once(client, toys, monkeypatch):
    begun = []
    monkeypatch.setattr(demo, "PRESET", "tiny")
    monkeypatch.setattr(demo, "start", begun.append)
    folder = toys.root.parent / "demo"
    assert client.put("/api/projects/demo").json()["folder"] == "demo"
    assert begun == [folder]
    client.put("/api/projects/demo")
    assert len(begun) == 1, "its first run is not there yet, and yet it was begun"
    plan = Plan.read(open_project(folder))
    open_project(folder).run("import.movies", **plan.importing, threads=1)
    assert client.put("/api/projects/demo").json()["states"] == {"finished": 1} and len(begun) == 1


def test_a_demo_that_cannot_be_simulated_can_be_tried_again(client, monkeypatch):
    monkeypatch.setattr(demo, "SIMULATION", ("-c", "import sys; sys.exit('no room')"))
    for _ in range(2):
        assert "no room" in problem(client.put("/api/projects/demo"), 409, "no-demo")["message"]
