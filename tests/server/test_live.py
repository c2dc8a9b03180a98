"""What happens in a project, as everybody who looks at it hears it."""

import asyncio
import json
import threading

import pytest

from cryoloom.server import events
from cryoloom.server.events import Watch


@pytest.fixture
def watch(toys):
    watching = Watch(toys.folder)
    yield watching
    watching.close()


async def heard(stream, count):
    """Return the next changes, signs of life left out."""
    found = []
    while len(found) < count:
        change = await asyncio.wait_for(anext(stream), 60)
        if change["data"] is not None:
            found.append(change)
    return found


def listen(watch, act, count=1, after=None):
    """Return what a listener hears first, and then of `act`."""

    async def listening():
        stream = watch.stream(after)
        first = await heard(stream, 1) if after is None else []
        await asyncio.to_thread(act)
        rest = await heard(stream, count)
        await stream.aclose()
        return [*first, *rest]

    return asyncio.run(listening())


def draft(toys, **values):
    return toys.prepare("toy.source", **values)


def test_first_everything_then_what_changes(toys, watch):
    draft(toys, count=1)
    watch.look()
    snapshot, change = listen(watch, lambda: draft(toys, count=2))
    assert snapshot["event"] == "snapshot" and [node["run"] for node in snapshot["data"]["nodes"]] == ["r001"]
    assert change["event"] == "runs" and [node["run"] for node in change["data"]["changed"]] == ["r002"]
    assert change["id"] == snapshot["id"] + 1 and set(change["data"]["places"]) == {"r002"}


def test_a_run_turns_without_moving_a_box(toys, watch):
    run = draft(toys)
    watch.look()
    places = watch.places
    states = []

    async def follow():
        stream = watch.stream(None)
        await heard(stream, 1)
        await asyncio.to_thread(run.start, threads=1)
        while not states or states[-1] != "finished":
            (change,) = await heard(stream, 1)
            assert change["data"]["places"] == {}
            states.extend(node["state"] for node in change["data"]["changed"])
        await stream.aclose()

    asyncio.run(follow())
    assert set(states) <= {"queued", "running", "finished"} and watch.places == places
    assert watch.nodes["r001"]["outputs"] == [{"name": "things", "kind": "things", "count": 6, "resolution": None}]


def test_a_removed_run_goes(toys, watch):
    draft(toys)
    watch.look()
    _, change = listen(watch, lambda: toys.delete("r001"))
    assert change["data"]["removed"] == ["r001"] and change["data"]["changed"] == [] and watch.places == {}


def test_a_label_is_told(toys, watch):
    run = draft(toys)
    watch.look()
    _, change = listen(watch, lambda: run.rename("seen"))
    assert change["data"]["changed"][0]["label"] == "seen"


def test_a_listener_that_comes_back_hears_what_it_missed_and_no_more(toys, watch):
    ids = []
    for count in (1, 2, 3):
        draft(toys, count=count)
        watch.look()
        ids.append(watch.number)
    missed = listen(watch, lambda: None, count=2, after=ids[0])
    assert [change["id"] for change in missed] == ids[1:]
    assert [node["run"] for change in missed for node in change["data"]["changed"]] == ["r002", "r003"]


def test_one_that_was_away_for_too_long_hears_everything(toys, watch, monkeypatch):
    monkeypatch.setattr(watch, "_changes", events.deque(maxlen=2))
    began = watch.number
    for count in (1, 2, 3, 4):
        draft(toys, count=count)
        watch.look()
    (all_of_it,) = listen(watch, lambda: None, after=began)
    assert all_of_it["event"] == "snapshot" and len(all_of_it["data"]["nodes"]) == 4


def test_after_a_restart_of_the_server_everything_is_told_anew(toys, watch):
    draft(toys)
    watch.look()
    last = watch.number
    watch.close()
    later = Watch(toys.folder)
    assert later.number > last
    (told,) = listen(later, lambda: None, after=last)
    later.close()
    assert told["event"] == "snapshot" and [node["run"] for node in told["data"]["nodes"]] == ["r001"]


def test_two_listeners_hear_the_same(toys, watch):
    async def both():
        streams = [watch.stream(None), watch.stream(None)]
        for stream in streams:
            await heard(stream, 1)
        await asyncio.to_thread(draft, toys)
        told = [(await heard(stream, 1))[0] for stream in streams]
        await streams[0].aclose()
        await asyncio.to_thread(draft, toys, count=2)
        told.append((await heard(streams[1], 1))[0])
        await streams[1].aclose()
        return told

    first, second, third = asyncio.run(both())
    assert first == second and third["id"] == first["id"] + 1
    assert not watch._listeners


def test_a_listener_that_sleeps_loses_the_oldest_and_the_numbers_tell(toys, watch, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 2)

    async def sleeper():
        stream = watch.stream(None)
        (snapshot,) = await heard(stream, 1)
        for count in (1, 2, 3, 4):
            draft(toys, count=count)
            watch.look()
        await asyncio.sleep(0)
        (next_heard,) = await heard(stream, 1)
        await stream.aclose()
        return snapshot["id"], next_heard["id"]

    before, after = asyncio.run(sleeper())
    assert after > before + 1


def test_a_silent_stream_gives_signs_of_life(toys, watch, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)

    async def silent():
        stream = watch.stream(None)
        await heard(stream, 1)
        change = await asyncio.wait_for(anext(stream), 30)
        await stream.aclose()
        return change

    assert asyncio.run(silent())["data"] is None


def test_one_watch_a_project_however_many_ask(client):
    for _ in range(5):
        assert client.get("/api/projects/toys/graph").status_code == 200
    assert sum(thread.name == "watch toys" for thread in threading.enumerate()) == 1


def test_the_stream_over_http(toys, client):
    """As the browser's EventSource reads it; the server is asked by hand, for the test client waits for the end of an answer."""
    draft(toys)

    async def first_event():
        sent, gone = [], asyncio.Event()

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message.get("body"):
                gone.set()

        scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/api/projects/toys/events", "raw_path": b"/api/projects/toys/events",
                 "query_string": b"", "headers": [(b"last-event-id", b"no number")], "root_path": "", "scheme": "http", "server": ("test", 80), "client": ("test", 1)}  # fmt: skip
        await asyncio.wait_for(client.app(scope, receive, send), 60)
        return sent

    start, body, *_ = asyncio.run(first_event())
    headers = dict(start["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream") and headers[b"cache-control"] == b"no-store"
    number, event, data = body["body"].decode().strip().split("\n")
    assert number.startswith("id: ") and event == "event: snapshot"
    assert json.loads(data.removeprefix("data: "))["nodes"][0]["run"] == "r001"
