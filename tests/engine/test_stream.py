"""Runs that follow their inputs: worked on as they come, and in the end the same as if everything had been there from the start."""

import os
import signal

import pytest

from cryoloom.app import catalogue
from cryoloom.app.session import create_project
from cryoloom.engine import inputs
from cryoloom.engine.inputs import open_inputs, stamps_of
from cryoloom.spec import Failure, WrongUse


def feed(path, *values):
    """Append values to the file that a toy watches."""
    with path.open("a") as handle:
        handle.writelines(f"{value}\n" for value in values)


def calls(run):
    """Return how often each item was computed."""
    folder = run.folder.path / "calls"
    return {int(path.name): path.stat().st_size for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture
def numbers(tmp_path):
    path = tmp_path / "numbers.txt"
    feed(path, 10, 20)
    return path


@pytest.fixture
def pair(project, numbers):
    """Return a run that watches a file and one that follows it."""
    source = project.run("toy.feed", file=str(numbers), watch=True, wait=False, threads=1)
    return source, project.run("toy.add", things=f"{source.id}.things", seed=4, threads=2, wait=False)


def batch(tmp_path, numbers):
    """Return what the same chain gives when everything is there from the start."""
    other = create_project(tmp_path / "batch")
    source = other.run("toy.feed", file=str(numbers))
    return other.run("toy.add", things=source.outputs.things, seed=4)


def test_items_are_worked_on_as_they_come_once_each_and_end_as_a_batch_does(pair, numbers, tmp_path, until):
    source, follower = pair
    until(lambda: set(calls(follower)) == {1, 2}, "the first two items")
    assert follower.state == "running" and source.state == "running"
    until(lambda: follower.progress()["message"] == f"waiting for new items of {source.id}", "saying that it waits")
    assert stamps_of(follower.folder) == open_inputs(follower.folder, catalogue.protocol, unfinished=True)[1]
    assert source.progress()["message"] == "waiting for new files" and "waiting for new items" in follower.log()
    feed(numbers, 30)
    until(lambda: 3 in calls(follower), "the third item")
    feed(numbers, 40, 50)
    source.close()
    assert source.wait().state == "finished" and follower.wait().state == "finished"
    assert calls(follower) == dict.fromkeys(range(1, 6), 1)
    whole = batch(tmp_path, numbers)
    assert follower.outputs.things.items.drop("data_path").equals(whole.outputs.things.items.drop("data_path"))
    assert source.warnings == [], "what a round warned of had come right"
    assert not (follower.folder.path / "open.json").exists() and not (follower.folder.path / "open").exists()


def test_an_item_whose_content_changes_is_computed_again_and_no_other(pair, numbers, until):
    source, follower = pair
    until(lambda: set(calls(follower)) == {1, 2}, "the first two items")
    numbers.write_text("10\n21\n")
    source.close()
    follower.wait()
    assert calls(follower) == {1: 1, 2: 2}
    assert follower.outputs.things.items["value"].to_list() == [11.0, 22.0]


def test_killed_and_resumed_it_does_nothing_twice(pair, numbers, tmp_path, until):
    source, follower = pair
    until(lambda: set(calls(follower)) == {1, 2}, "the first two items")
    until(lambda: (follower.folder.path / "open.json").exists(), "a round laid open")
    for run in (follower, source):
        os.kill(run.folder.of_attempt("proc", 1)["pid"], signal.SIGKILL)
        until(lambda run=run: run.state == "failed", "failed")
    feed(numbers, 30)
    source.resume(wait=False)
    follower.resume(wait=False)
    until(lambda: 3 in calls(follower), "the third item")
    source.close()
    follower.wait()
    assert calls(follower) == {1: 1, 2: 1, 3: 1}
    whole = batch(tmp_path, numbers)
    assert follower.outputs.things.items.drop("data_path").equals(whole.outputs.things.items.drop("data_path"))


def test_what_was_laid_open_and_is_removed_while_it_is_read_is_looked_up_again(pair, until, monkeypatch):
    source, follower = pair
    until(lambda: (source.folder.path / "open.json").exists(), "a round laid open")
    read, hurry = inputs.in_memory, [source.close, source.wait]

    def removed_meanwhile(dataset):
        while hurry:
            hurry.pop(0)()
        return read(dataset)

    monkeypatch.setattr(inputs, "in_memory", removed_meanwhile)
    opened, stamps = inputs.open_inputs(follower.folder, catalogue.protocol, unfinished=True)
    assert not hurry and len(opened["things"]) == 2
    assert stamps == {"things": [source.folder.heads()["things"]["hash"]]}
    follower.wait()


def test_when_the_one_above_is_stopped_the_one_below_says_so_and_both_go_on(pair, numbers, until):
    source, follower = pair
    until(lambda: set(calls(follower)) == {1, 2}, "the first two items")
    source.stop()
    with pytest.raises(Failure, match=f"{source.id}.things does not exist"):
        follower.wait()
    source.resume(wait=False)
    follower.resume(wait=False)
    source.close()
    assert follower.wait().state == "finished" and calls(follower) == {1: 1, 2: 1}


def test_three_in_a_row(project, numbers, until):
    source = project.run("toy.feed", file=str(numbers), watch=True, wait=False)
    second = project.run("toy.halve", things=f"{source.id}.things", wait=False)
    third = project.run("toy.add", things=f"{second.id}.things", wait=False)
    until(lambda: set(calls(third)) == {1, 2}, "two items at the far end")
    assert source.state == "running"
    feed(numbers, 30)
    until(lambda: 3 in calls(third), "the third at the far end")
    source.close()
    assert third.wait().outputs.things.items["value"].to_list() == [6.0, 11.0, 16.0]
    assert calls(third) == dict.fromkeys((1, 2, 3), 1)


def test_a_watch_that_has_ended_is_started_anew_and_only_what_is_new_is_computed(pair, project, numbers):
    source, follower = pair
    source.close()
    follower.wait()
    feed(numbers, 30)
    again = project.run("toy.feed", file=str(numbers), watch=True, wait=False)
    assert again.id != source.id
    assert project.run("toy.feed", file=str(numbers), watch=True, wait=False).id == again.id, "one watch at a time"
    below = project.run("toy.add", things=f"{again.id}.things", seed=4, wait=False)
    again.close()
    assert len(below.wait().outputs.things) == 3 and calls(below) == {3: 1}


def test_only_a_watch_can_be_closed(project, numbers):
    finished = project.run("toy.feed", file=str(numbers))
    with pytest.raises(WrongUse, match="watches no folder"):
        finished.close()
