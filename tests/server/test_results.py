"""Tables, and selections that become subsets, over HTTP; the counts follow from what was planted."""

import planted_tables as planted
import pytest
from fastapi.testclient import TestClient

from cryoloom.app.session import create_project
from cryoloom.server.app import make_app


@pytest.fixture
def project(tmp_path):
    return create_project(tmp_path / "p")


@pytest.fixture
def picks(project):
    return planted.coordinates(project, planted.micrographs(project))


@pytest.fixture
def client(project):
    with TestClient(make_app(project.root)) as client:
        yield client


@pytest.fixture
def ask(client):
    """Return a function that asks for something of an output, or with `json` posts it."""

    def send(output, rest, *, json=None, **query):
        address = f"/api/projects/p/outputs/{output}/{rest}"
        return client.get(address, params=query) if json is None else client.post(address, json=json)

    return send


def test_a_page_is_sorted_and_filtered(ask, picks):
    page = ask(picks, "page", where="score > 0.75", sort="score", descending=True, columns=["id", "score"], limit=3).json()
    assert page["of"] == 1000 and page["count"] == 250
    assert page["rows"] == [[1000, 1.0], [999, 0.999], [998, 0.998]]
    last = ask(picks, "page", columns=["id"], offset=998, limit=5).json()
    assert last["rows"] == [[999], [1000]]


def test_a_page_tells_which_rows_follow_another_rule(ask, picks):
    page = ask(picks, "page", columns=["id"], sort="id", descending=True, offset=248, limit=4, mark="score > 0.75").json()
    assert page["rows"] == [[752], [751], [750], [749]] and page["marked"] == [True, True, False, False]
    assert ask(picks, "page", columns=["id"], limit=2, mark="").json()["marked"] == [True, True]
    assert ask(picks, "page", columns=["id"], limit=2).json()["marked"] is None


def test_what_is_wrong_with_a_rule_is_said(ask, picks):
    for rule, code in (("score >", "CL-rule"), ("scor > 1", "CL-rule-column")):
        answer = ask(picks, "page", where=rule)
        assert answer.status_code == 422 and answer.json()["error"]["code"] == code


def test_foreign_names_come_as_they_are(ask, picks):
    page = ask(picks, "page", columns=["micrograph_name"], offset=1, limit=1)
    assert page.json()["rows"] == [[planted.HOSTILE]] and page.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("chosen", "count", "by_hand"),
    [
        ({"where": None}, 0, False),
        ({"where": ""}, 1000, False),
        ({"where": "score > 0.75"}, 250, False),
        ({"where": "not (score > 0.75)"}, 750, False),
        ({"where": None, "flipped": [3, 1, 2]}, 3, True),
        ({"where": "", "flipped": [3, 1, 2]}, 997, True),
        ({"where": "score > 0.75", "flipped": [1, 1000]}, 250, True),
    ],
)
def test_chosen_rows_are_counted(ask, picks, chosen, count, by_hand):
    found = ask(picks, "selection/check", json=chosen).json()
    assert (found["of"], found["count"], found["by_hand"]) == (1000, count, by_hand)
    same = next(each for each in found["offers"] if each["id"] == "same")
    assert same["kind"] == "coordinates" and same["count"] == (count if 0 < count < 1000 else None)
    assert bool(same["problem"]) == (count in (0, 1000))


def test_ids_that_are_not_there_are_refused(ask, picks):
    answer = ask(picks, "selection/check", json={"where": None, "flipped": [5000]})
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "CL-unknown-rows"


def test_a_threshold_stays_a_rule_and_a_hand_makes_a_list(ask, picks, project):
    made = ask(picks, "selection/subset", json={"where": "score > 0.75", "label": "sure"})
    assert made.status_code == 201
    run = project.find(made.json()["run"]).wait()
    assert run.label == "sure" and run.outputs["coordinates"].count == 250 and made.json()["output"] == f"{run.id}.coordinates"
    assert run.describe()["parameters"] | {"mode": "rule", "where": "score > 0.75"} == run.describe()["parameters"]
    again = ask(picks, "selection/subset", json={"where": "score > 0.75"}).json()
    assert again["run"] == run.id
    run = project.find(ask(picks, "selection/subset", json={"where": "score > 0.99", "flipped": [1, 1000]}).json()["run"]).wait()
    kept = run.outputs["coordinates"]
    assert sorted(kept.items["id"]) == [1, *range(991, 1000)] and kept.meta["selection"]["by_hand"]


def test_classes_become_classes_or_particles(ask, project):
    classes, particles = planted.classes(project)
    chosen = {"where": "", "flipped": [1, 5, 12]}  # all but three
    offers = {each["id"]: each for each in ask(classes, "selection/check", json=chosen).json()["offers"]}
    assert {name: each["count"] for name, each in offers.items()} == {"same": 9, "particles": particles.count - 18}
    run = project.find(ask(classes, "selection/subset", json={**chosen, "offer": "particles"}).json()["run"]).wait()
    kept = run.outputs["particles"]
    assert kept.count == particles.count - 18 and not set(kept.items["class_id"]) & {1, 5, 12}
    good = ask(classes, "selection/check", json={"where": "good == true"}).json()
    assert good["count"] == 6


def test_ctfs_become_micrographs_picks_and_a_form(ask, project):
    micrographs = planted.micrographs(project)
    ctfs = planted.ctfs(project, micrographs)
    planted.coordinates(project, micrographs, 100)
    chosen = {"where": "ctf_resolution < 6"}  # micrographs 1 to 3; nothing is known of the last
    offers = {each["id"]: each for each in ask(ctfs, "selection/check", json=chosen).json()["offers"]}
    assert {name: each["count"] for name, each in offers.items()} == {"same": 3, "micrographs": 3, "coordinates": 30, "ctf": 3}
    made = ask(ctfs, "selection/subset", json={**chosen, "offer": "ctf"}).json()
    assert (made["then"], made["input"]) == ("ctf.estimate", "micrographs")
    run = project.find(made["run"]).wait()
    assert list(run.outputs["micrographs"].items["id"]) == [1, 2, 3] and made["output"] == f"{run.id}.micrographs"


def test_nothing_is_made_of_nothing(ask, picks, project):
    for chosen, code in (
        ({"where": None}, "nothing-chosen"),
        ({"where": ""}, "all-chosen"),
        ({"where": "score > 0.5", "offer": "gold"}, "unknown-offer"),
    ):
        answer = ask(picks, "selection/subset", json=chosen)
        assert answer.status_code == 422 and answer.json()["error"]["code"] == f"CL-{code}"
    assert len(project.runs()) == 2
