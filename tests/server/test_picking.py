"""Picking over HTTP: edits name the revision they were made at, models learn beside edits, saving lets the run finish."""

import shutil
import threading

import pytest
from blobby_micrographs import Scenery, draw
from fastapi.testclient import TestClient

import cryoloom
from cryoloom.formats.mrc import write_mrc
from cryoloom.server.app import make_app
from cryoloom.spec import Failure

DIAMETER, SIZE = 200.0, 2.4
BASE = "/api/projects/p/runs/r002/picking"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Return the folder of two micrographs, and the true centres by id."""
    folder, true = tmp_path_factory.mktemp("micrographs"), {}
    for number, defocus in enumerate((9000, 15000), 1):
        image, centres = draw(Scenery(ice=2, defocus=defocus), number - 1)
        write_mrc(folder / f"m{number}.mrc", image, SIZE)
        true[number] = centres.tolist()
    return folder, true


@pytest.fixture(scope="module")
def made(scene, tmp_path_factory):
    """Return the folder of a project whose run r002 waits for somebody who picks."""
    project = cryoloom.create_project(tmp_path_factory.mktemp("made") / "p")
    acquisition = {"pixel_size": SIZE, "voltage": 300, "cs": 2.0, "amplitude_contrast": 0.1}
    imported = project.run("import.micrographs", pattern=str(scene[0] / "*.mrc"), threads=1, **acquisition)
    with pytest.raises(Failure, match="needs-you"):
        project.run("pick.manual", micrographs=imported.outputs.micrographs, diameter=DIAMETER, threads=1)
    return project.root


@pytest.fixture
def project(made, tmp_path):
    """Return a copy of it."""
    shutil.copytree(made, tmp_path / "p", symlinks=True)
    return cryoloom.open_project(tmp_path / "p")


@pytest.fixture
def client(project, tmp_path):
    with TestClient(make_app(tmp_path)) as client:
        yield client


def edit(client, revision, micrograph=1, **what):
    return client.put(f"{BASE}/sheets/{micrograph}", json={"revision": revision, **what})


def places(client, micrograph=1):
    return [pick[1:3] for pick in client.get(f"{BASE}/sheets/{micrograph}").json()["picks"]]


def test_edits_move_the_revision_on_and_are_undone(client, project):
    about = client.get(BASE).json()
    assert about["revision"] == 0 and about["output"] == "r001.micrographs" and not about["can_undo"] and about["next"] == 1
    assert [(each["name"], each["width"], each["pixel_size"]) for each in about["micrographs"]] == [("m1", 640, SIZE), ("m2", 640, SIZE)]
    added = edit(client, 0, do="add", places=[[100, 120], [300, 300], [310.5, 310]]).json()
    assert added["revision"] == 1 and len(added["numbers"]) == 3 and added["can_undo"]
    first, second, _ = added["numbers"]
    assert edit(client, 1, do="move", numbers=[first], places=[[110.25, 121]]).json()["revision"] == 2
    assert edit(client, 2, do="remove", numbers=[second]).json()["revision"] == 3
    assert places(client) == [[110.25, 121], [310.5, 310]]
    assert edit(client, 3, do="region", region=[0, 0, 500, 500]).status_code == 200
    assert client.get(f"{BASE}/sheets/1").json()["region"] == [0, 0, 500, 500]
    back = client.post(f"{BASE}/undo", json={"revision": 4}).json()
    assert back["micrograph"] == 1 and client.get(f"{BASE}/sheets/1").json()["region"] is None
    client.post(f"{BASE}/undo", json={"revision": 5})
    assert sorted(places(client)) == [[110.25, 121], [300, 300], [310.5, 310]]
    assert client.post(f"{BASE}/redo", json={"revision": 6}).json()["can_redo"] and len(places(client)) == 2
    client.post(f"{BASE}/undo", json={"revision": 7})
    with TestClient(make_app(project.root.parent)) as again:  # a server that was started anew
        assert again.get(f"{BASE}/revision").json() == {"revision": 8, "learning": False} and places(again) == places(client)


def test_an_edit_at_an_old_revision_does_nothing_and_tells_what_there_is(client):
    edit(client, 0, do="add", places=[[100, 120]])
    late = edit(client, 0, do="add", places=[[200, 220]])
    assert late.status_code == 409 and late.json()["error"]["code"] == "CL-picking-changed"
    current = late.json()["current"]
    assert current["revision"] == 1 and [pick[1:3] for pick in current["picks"]] == [[100, 120]] and places(client) == [[100, 120]]
    assert client.patch(BASE, json={"revision": 0, "diameter": 150}).status_code == 422
    assert client.post(f"{BASE}/undo", json={"revision": 0}).status_code == 422


def test_only_one_of_edits_at_the_same_revision_is_made(client):
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(edit(client, 0, do="add", places=[[50, 50]]).status_code)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409] and len(places(client)) == 1


@pytest.mark.parametrize(
    ("micrograph", "what", "code"),
    [
        (9, {"do": "add", "places": [[1, 1]]}, "unknown-micrograph"),
        (1, {"do": "add", "places": [[700, 10]]}, "outside"),
        (1, {"do": "remove", "numbers": [4]}, "unknown-pick"),
        (1, {"do": "move", "numbers": [4], "places": []}, "bad-edit"),
        (1, {"do": "region", "region": [5, 5, 5, 9]}, "bad-region"),
        (1, {"do": "explode"}, "bad-request"),
    ],
)
def test_what_cannot_be_is_refused(client, micrograph, what, code):
    answer = edit(client, 0, micrograph, **what)
    assert answer.status_code == 422 and answer.json()["error"]["code"] == f"CL-{code}"
    assert client.get(f"{BASE}/revision").json()["revision"] == 0


def test_runs_that_nobody_picks_in_are_refused(client):
    answer = client.get("/api/projects/p/runs/r001/picking")
    assert answer.status_code == 422 and "nobody picks in" in answer.json()["error"]["message"]
    assert client.get(f"{BASE}/sheets/9").json()["error"]["code"] == "CL-unknown-micrograph"
    assert client.post(f"{BASE}/sheets/1/autopick").json()["error"]["code"] == "CL-not-trained"
    assert client.post(f"{BASE}/train").json()["error"]["code"] == "CL-too-few-picks"
    assert client.post(f"{BASE}/save").json()["error"]["code"] == "CL-no-picks"


def test_the_model_is_trained_picks_learns_and_the_run_finishes(client, scene, project):
    edit(client, 0, do="add", places=scene[1][1])
    trained = client.post(f"{BASE}/train").json()
    assert trained["estimates"]["particles"] == len(scene[1][1]) and trained["estimates"]["precision"] > 0.8
    assert client.post(f"{BASE}/sheets/2/autopick").status_code == 200
    found = client.get(f"{BASE}/sheets/2").json()
    assert found["state"] == "supervised" and len(found["picks"]) > 5 and all(0.5 <= pick[3] <= 1 for pick in found["picks"])
    fewer = client.patch(BASE, json={"revision": found["revision"], "least": 0.99}).json()
    assert len(client.get(f"{BASE}/sheets/2").json()["picks"]) < len(found["picks"])
    client.post(f"{BASE}/undo", json={"revision": fewer["revision"]})
    accepted = client.post(f"{BASE}/sheets/2/accept").json()
    assert accepted["estimates"]["particles"] > trained["estimates"]["particles"]
    assert client.get(BASE).json()["micrographs"][1]["state"] == "corrected"
    assert client.post(f"{BASE}/sheets/2/autopick").json()["error"]["code"] == "CL-corrected"
    assert client.post(f"{BASE}/sheets/2/reopen").status_code == 200
    count = client.get(BASE).json()["count"]
    assert client.post(f"{BASE}/save").status_code == 200
    run = project.find("r002").wait()
    assert run.state == "finished" and len(run.outputs.coordinates) == count
    assert client.get(BASE).json()["error"]["code"] == "CL-run-finished"


def test_edits_do_not_wait_for_a_model_that_learns(client, scene, monkeypatch):
    """While one request trains, another edits; and a second training is told to wait."""
    from cryoloom.numerics.picking import learned

    begun, go_on, trained = threading.Event(), threading.Event(), learned.Model.trained

    def slow(*given, **named):
        begun.set()
        assert go_on.wait(60)
        return trained(*given, **named)

    monkeypatch.setattr(learned.Model, "trained", slow)
    edit(client, 0, do="add", places=scene[1][1])
    answers = []
    training = threading.Thread(target=lambda: answers.append(client.post(f"{BASE}/train")))
    training.start()
    assert begun.wait(60)
    assert client.get(f"{BASE}/revision").json() == {"revision": 1, "learning": True}
    assert edit(client, 1, do="add", places=[[10, 10]]).status_code == 200
    assert client.post(f"{BASE}/train").json()["error"]["code"] == "CL-picking-busy"
    go_on.set()
    training.join()
    assert answers[0].json()["estimates"]["particles"] == len(scene[1][1]), "of what was there when it began"


def test_a_diameter_that_changes_while_a_model_learns_is_noticed(client, scene, monkeypatch):
    from cryoloom.numerics.picking import learned

    trained = learned.Model.trained

    def meanwhile(*given, **named):
        client.patch(BASE, json={"revision": 1, "diameter": 190})
        return trained(*given, **named)

    monkeypatch.setattr(learned.Model, "trained", meanwhile)
    edit(client, 0, do="add", places=scene[1][1])
    assert client.post(f"{BASE}/train").json()["error"]["code"] == "CL-diameter-changed"
    assert not client.get(BASE).json()["trained"]
