"""Runs over HTTP: made, started, stopped, copied, annotated, compared; and what they printed."""

import pytest

RUNS = "/api/projects/toys/runs"


def make(client, protocol, **values):
    answer = client.post(RUNS, json={"protocol": protocol, "values": values, "threads": 1})
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def done(client, until):
    """Return a function that waits until a run is in a state."""

    def wait(run, state="finished"):
        until(lambda: client.get(f"{RUNS}/{run}").json()["state"] == state, f"{run} {state}")
        return client.get(f"{RUNS}/{run}").json()

    return wait


def test_the_same_work_is_done_once(client, done):
    first = make(client, "toy.source", count=3)
    assert first["run"] == "r001" and not first["reused"]
    assert done("r001")["outputs"]["things"]["count"] == 3
    again = make(client, "toy.source", count=3)
    assert again["run"] == "r001" and again["reused"]


def test_a_draft_waits_to_be_started(client, done):
    client.post(RUNS, json={"protocol": "toy.source", "values": {"count": "2"}, "label": " two ", "start": False})
    draft = client.get(f"{RUNS}/r001").json()
    assert (draft["state"], draft["label"], draft["parameters"]["count"]) == ("draft", "two", 2)
    client.post(f"{RUNS}/r001/start", json={"threads": 1})
    assert done("r001")["outputs"]["things"]["count"] == 2


def test_a_wrong_value_makes_nothing(client, toys):
    answer = client.post(RUNS, json={"protocol": "toy.source", "values": {"count": -1}})
    assert answer.status_code == 422 and "count" in answer.json()["error"]["message"].lower()
    assert toys.runs() == []


def test_a_failed_run_says_why_and_its_log_shows_where(client, done):
    make(client, "toy.fail", how="failure")
    failed = done("r001", "failed")
    assert failed["problem"]["code"] == "CL-toy-broken" and failed["problem"]["cure"] == "Buy another."
    make(client, "toy.fail", how="exception")
    done("r002", "failed")
    log = client.get(f"{RUNS}/r002/log").json()
    assert "KeyError" in log["text"] and log["offset"] == log["size"]


def test_a_log_is_read_in_pieces(client, done):
    make(client, "toy.fail", how="exception")
    done("r001", "failed")
    whole = client.get(f"{RUNS}/r001/log").json()
    tail = client.get(f"{RUNS}/r001/log", params={"after": -20}).json()
    assert whole["text"].endswith(tail["text"]) and len(tail["text"].encode()) == 20
    rest = client.get(f"{RUNS}/r001/log", params={"after": whole["size"] - 5}).json()
    assert whole["text"].endswith(rest["text"]) and rest["offset"] == whole["size"]
    beyond = client.get(f"{RUNS}/r001/log", params={"after": whole["size"] + 100}).json()
    assert beyond["text"] == "" and beyond["offset"] == whole["size"]


def test_stopped_resumed_restarted(client, done):
    make(client, "toy.grow", steps=60, pause=0.05)
    done("r001", "running")
    assert client.post(f"{RUNS}/r001/stop").json()["state"] == "stopped"
    client.post(f"{RUNS}/r001/start", json={"threads": 1})
    done("r001")
    restarted = client.post(f"{RUNS}/r001/restart", json={"threads": 1})
    assert restarted.status_code == 201 and restarted.json()["run"] == "r002"
    done("r002", "running")
    client.post(f"{RUNS}/r002/stop")


def test_an_import_that_watches_is_closed(client, done, tmp_path):
    (tmp_path / "numbers").write_text("1\n2\n")
    make(client, "toy.feed", file=str(tmp_path / "numbers"), watch=True)
    done("r001", "running")
    assert client.get(f"{RUNS}/r001").json()["watches"]
    client.post(f"{RUNS}/r001/close")
    assert not done("r001")["watches"]
    assert client.post(f"{RUNS}/r001/close").json()["error"]["code"] == "CL-not-watching"


def test_labels_tags_and_notes(client, done):
    make(client, "toy.source", count=1)
    done("r001")
    told = client.patch(f"{RUNS}/r001", json={"label": "first <b>", "tag": ["good", "x"], "note": "# seen"}).json()
    assert (told["label"], told["tags"], told["notes"][0]["text"]) == ("first <b>", ["good", "x"], "# seen")
    assert client.patch(f"{RUNS}/r001", json={"untag": ["x"]}).json()["tags"] == ["good"]
    assert client.patch(f"{RUNS}/r001", json={"label": "r002"}).json()["error"]["code"] == "CL-bad-label"


def test_a_branch_is_copied_onto_another_input(client, toys):
    first = toys.run("toy.source", count=2, threads=1)
    toys.run("toy.source", count=5, threads=1)
    halved = toys.run("toy.halve", things=first.outputs.things, threads=1)
    toys.run("toy.add", things=halved.outputs.things, threads=1)
    wanted = {"runs": ["r003"], "below": True, "onto": {"r001.things": "r002.things"}}
    made = client.post(f"{RUNS}/copies", json=wanted).json()
    assert [each["state"] for each in made] == ["draft", "draft"]
    copies = [client.get(f"{RUNS}/{each['run']}").json() for each in made]
    assert copies[0]["inputs"]["things"]["run"] == "r002" and copies[1]["inputs"]["things"]["run"] == copies[0]["run"]


def test_dependents_and_next_steps(client, toys):
    source = toys.run("toy.source", threads=1)
    toys.run("toy.halve", things=source.outputs.things, threads=1)
    assert client.get(f"{RUNS}/r001").json()["dependents"] == ["r002"]
    takers = {each["protocol"]: each for each in client.get(f"{RUNS}/r001/next").json()}
    assert takers["toy.add"] == {"protocol": "toy.add", "step": "toy", "input": "things", "kinds": ["things"]}
    assert "toy.source" not in takers and "refine.auto" not in takers


def test_two_runs_compared(client, toys):
    source = toys.run("toy.source", threads=1)
    for amount in (1, 2):
        toys.run("toy.add", things=source.outputs.things, amount=amount, threads=1)
    told = client.get(f"{RUNS}/r002/compare/r003").json()
    assert told["parameters"] == {"amount": [1.0, 2.0]} and told["outputs"]["things"]["numbers"]["value"] == {"mean": 1.0, "largest": 1.0}


@pytest.mark.parametrize("name", ["r999", "%2e%2e%2fr001"])
def test_unknown_runs(client, name):
    assert client.get(f"{RUNS}/{name}").status_code == 404
