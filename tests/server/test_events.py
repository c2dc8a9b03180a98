"""What browsers hear of a project: everything at first, then every change once, and everything anew when they missed some."""

import asyncio
import shutil
import threading
from contextlib import asynccontextmanager

import orjson
import pytest

from cryoloom.app.session import create_project
from cryoloom.engine.identity import Work
from cryoloom.server import events
from cryoloom.server.context import Workplace
from cryoloom.server.events import BEHIND, Listener, Watch
from cryoloom.server.streams import A_BROWSER, Streams
from cryoloom.spec import CryoloomError


@pytest.fixture
def project(tmp_path):
    return create_project(tmp_path / "project")


@pytest.fixture
def watch(project, monkeypatch):
    """Return a watch that looks only when it is told to."""
    monkeypatch.setattr(Watch, "_follow", lambda _watch: None)
    return Watch(project.folder)


def make(project, seed=None, **inputs):
    """Make a draft without looking at what it needs."""
    return project.find(project.folder.new_run(Work("import.movies", 1, {}, seed=seed or len(project.runs())), inputs).id)


@asynccontextmanager
async def listening(watch, after=None):
    """Give a function that returns what a browser is told next; the browser leaves at the end."""
    stream = watch.stream(after)

    async def told():
        change = await asyncio.wait_for(anext(stream), 10)
        return change and (change.id, change.event, orjson.loads(change.text))

    yield told
    await stream.aclose()


def test_everything_at_first_then_what_changes(project, watch):
    run = make(project)
    watch.look()

    async def scene():
        async with listening(watch) as told:
            number, event, graph = await told()
            assert (event, [node["run"] for node in graph["nodes"]], number) == ("snapshot", [run.id], graph["number"])
            run.rename("first")
            other = make(project)
            watch.look()
            later, event, change = await told()
            assert (event, later) == ("runs", number + 1)
            assert {node["run"]: node["label"] for node in change["changed"]} == {run.id: "first", other.id: ""}
            assert set(change["places"]) >= {other.id} and change["removed"] == []
            project.delete(other)
            watch.look()
            last, event, change = await told()
            assert (last, change["removed"], change["changed"]) == (later + 1, [other.id], [])
        assert not watch._listeners

    asyncio.run(scene())


def test_who_comes_back_hears_what_was_missed_and_nothing_twice(project, watch):
    run = make(project)
    watch.look()
    start = watch.number
    for label in ("one", "two", "three"):
        run.rename(label)
        watch.look()

    async def scene():
        async with listening(watch, after=start + 1) as told:
            heard = [await told(), await told()]
            assert [(number, change["changed"][0]["label"]) for number, _, change in heard] == [(start + 2, "two"), (start + 3, "three")]
        async with listening(watch, after=watch.number) as told:
            run.rename("four")
            watch.look()
            number, event, change = await told()
            assert (number, event, change["changed"][0]["label"]) == (start + 4, "runs", "four")

    asyncio.run(scene())


@pytest.mark.parametrize("after", [1, 10**15])
def test_who_heard_of_another_time_is_told_everything(project, watch, after):
    """A number from before the changes that are kept, or from a clock that ran ahead."""
    make(project)
    watch.look()

    async def scene():
        async with listening(watch, after=after) as told:
            assert (await told())[1] == "snapshot"

    asyncio.run(scene())


def test_changes_are_kept_within_bounds_of_number_and_bytes(project, watch, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 5)
    run = make(project)
    watch.look()
    start = watch.number
    for number in range(8):
        run.rename(f"label {number}")
        watch.look()
    assert [change.id for change in watch._changes] == list(range(start + 4, start + 9))
    assert watch._bytes == sum(len(change.text) for change in watch._changes)
    monkeypatch.setattr(events, "KEPT_BYTES", 1)
    run.rename("large")
    watch.look()
    assert len(watch._changes) == 1

    async def scene():
        async with listening(watch, after=start + 1) as told:
            assert (await told())[1] == "snapshot"

    asyncio.run(scene())


def test_a_browser_that_fell_asleep_is_told_everything_when_it_wakes(project, watch):
    """Its queue is bounded, and no change is lost to it."""
    run = make(project)
    watch.look()

    async def scene():
        listener = Listener(asyncio.get_running_loop())
        stream = watch.stream(None, listener)
        assert (await anext(stream)).event == "snapshot"
        for number in range(3 * BEHIND):
            run.rename(f"label {number}")
            await asyncio.to_thread(watch.look)
        await asyncio.sleep(0)
        assert len(listener.waiting) <= BEHIND
        change = await anext(stream)
        assert (change.event, change.id) == ("snapshot", watch.number)
        assert orjson.loads(change.text)["nodes"][0]["label"] == f"label {3 * BEHIND - 1}"
        run.rename("awake")
        watch.look()
        change = await anext(stream)
        assert (change.event, change.id) == ("runs", watch.number)
        await stream.aclose()

    asyncio.run(scene())


def test_a_run_deleted_while_it_is_looked_at_is_gone_and_the_others_are_told_of(project, watch, monkeypatch):
    first, second = make(project), make(project)
    watch.look()
    first.rename("still told")
    second.rename("never told")
    whole = events.node_of

    def deleted_meanwhile(run):
        if run.id == second.id:
            shutil.rmtree(second.folder.path, ignore_errors=True)
        return whole(run)

    monkeypatch.setattr(events, "node_of", deleted_meanwhile)
    number = watch.number
    watch.look()
    watch.look()
    told = [orjson.loads(change.text) for change in watch._changes if change.id > number]
    assert [node["label"] for change in told for node in change["changed"]] == ["still told"]
    assert [name for change in told for name in change["removed"]] == [second.id]
    assert set(watch.places) == {first.id}


def test_a_damaged_record_hides_its_run_and_no_other(project, watch):
    first, second = make(project), make(project)
    (second.folder.path / "run.json").write_text('{"protocol": "import.mo')
    first.rename("whole")
    watch.look()
    assert {node["run"]: node["label"] for node in watch.snapshot()["nodes"]} == {first.id: "whole"}
    with pytest.raises(CryoloomError, match="run.json is damaged"):
        _ = project.find(second.id).protocol


def test_damage_beside_the_record_leaves_what_was_known(project, watch):
    first, second = make(project), make(project)
    watch.look()
    (second.folder.path / "outputs.json").write_text("{")
    (second.folder.path / "labels.jsonl").write_text('{"label": "\\ud800", "show": true}\n[]\n')
    first.rename("whole")
    watch.look()
    assert {node["run"]: node["label"] for node in watch.snapshot()["nodes"]} == {first.id: "whole", second.id: ""}


def test_a_draft_of_a_protocol_that_is_not_installed_is_a_box(project, watch):
    project.folder.new_run(Work("elsewhere.thing", 1, {}), {})
    watch.look()
    (node,) = watch.snapshot()["nodes"]
    assert (node["protocol"], node["state"], node["outputs"]) == ("elsewhere.thing", "draft", [])


def test_the_thread_tells_within_moments_and_ends(project):
    watch = Watch(project.folder)
    threads = [each for each in threading.enumerate() if each.name == "watch project"]

    async def scene():
        async with listening(watch) as told:
            await told()
            run = make(project)
            _, _, change = await told()
            assert [node["run"] for node in change["changed"]] == [run.id]
            watch.close()
            with pytest.raises(StopAsyncIteration):
                await told()

    asyncio.run(scene())
    for each in threads:
        each.join(20)
    assert threads and not any(each.is_alive() for each in threads)


def test_whoever_asks_one_thread_watches_a_project(project):
    workplace = Workplace(project.root)
    watches = [workplace.watch(project.root.name) for _ in range(20)]
    assert len(set(map(id, watches))) == 1
    assert [each.name for each in threading.enumerate() if each.name == "watch project" and each.is_alive()] == ["watch project"]
    workplace.close()


def test_the_event_loop_does_not_wait_for_the_disk(project, watch):
    """A look that hangs, as on a network disk, holds up nobody who opens the page."""
    make(project)
    watch.look()

    async def scene():
        with watch._looking:
            async with listening(watch) as told:
                assert (await told())[1] == "snapshot"

    asyncio.run(scene())


def test_a_browser_keeps_its_newest_streams():
    async def scene():
        streams = Streams()
        listeners = [Listener(asyncio.get_running_loop()) for _ in range(A_BROWSER + 2)]
        open_ones = [streams.taken("someone", each) for each in listeners]
        for each in open_ones:
            each.__enter__()
        assert [each.over for each in listeners] == [True, True, *[False] * A_BROWSER]
        other = Listener(asyncio.get_running_loop())
        with streams.taken("somebody else", other):
            assert not other.over
        for each in open_ones:
            each.__exit__(None, None, None)
        assert not streams._open

    asyncio.run(scene())
