"""What happens in a project, as everybody who looks at it hears it: real runs, several listeners, a server that was away, HTTP."""

import asyncio
import json
import threading

import pytest

from cryoloom.server.events import Watch


@pytest.fixture
def watch(toys):
    watching = Watch(toys.folder)
    yield watching
    watching.close()


async def heard(stream):
    """Return the next change with its data, signs of life left out."""
    while True:
        change = await asyncio.wait_for(anext(stream), 60)
        if change is not None:
            return change.id, change.event, json.loads(change.text)


def draft(toys, **values):
    return toys.prepare("toy.source", **values)


def test_a_run_turns_without_moving_a_box(toys, watch):
    run = draft(toys)
    watch.look()
    places = watch.places
    states = []

    async def follow():
        stream = watch.stream(None)
        await heard(stream)
        await asyncio.to_thread(run.start, threads=1)
        while not states or states[-1] != "finished":
            _, _, told = await heard(stream)
            assert told["places"] == {}
            states.extend(node["state"] for node in told["changed"])
        await stream.aclose()

    asyncio.run(follow())
    assert set(states) <= {"draft", "queued", "running", "finished"} and watch.places == places
    assert watch.nodes["r001"]["outputs"] == [{"name": "things", "kind": "things", "count": 6, "resolution": None}]


def test_labels_and_removals_are_told(toys, watch):
    run = draft(toys)
    watch.look()

    async def follow():
        stream = watch.stream(None)
        await heard(stream)
        await asyncio.to_thread(run.rename, "seen")
        renamed = await heard(stream)
        await asyncio.to_thread(toys.delete, run)
        removed = await heard(stream)
        await stream.aclose()
        return renamed[2], removed[2]

    renamed, removed = asyncio.run(follow())
    assert renamed["changed"][0]["label"] == "seen"
    assert removed["removed"] == ["r001"] and removed["changed"] == [] and watch.places == {}


def test_after_a_restart_of_the_server_everything_is_told_anew(toys, watch):
    draft(toys)
    watch.look()
    last = watch.number
    watch.close()
    later = Watch(toys.folder)

    async def back():
        stream = later.stream(last)
        told = await heard(stream)
        await stream.aclose()
        return told

    number, event, told = asyncio.run(back())
    later.close()
    assert number > last and event == "snapshot" and [node["run"] for node in told["nodes"]] == ["r001"]


def test_two_listeners_hear_the_same_and_one_goes_on_when_the_other_leaves(toys, watch):
    async def both():
        streams = [watch.stream(None), watch.stream(None)]
        for stream in streams:
            await heard(stream)
        await asyncio.to_thread(draft, toys)
        told = [await heard(stream) for stream in streams]
        await streams[0].aclose()
        await asyncio.to_thread(draft, toys, count=2)
        told.append(await heard(streams[1]))
        await streams[1].aclose()
        return told

    first, second, third = asyncio.run(both())
    assert first == second and third[0] == first[0] + 1


def test_one_watch_a_project_however_many_ask(client):
    for _ in range(5):
        assert client.get("/api/projects/toys/graph").status_code == 200
    assert sum(thread.name == "watch toys" for thread in threading.enumerate()) <= 1


@pytest.mark.parametrize(("query", "header"), [(b"", b"no number"), (b"after=7", b"")])
def test_the_stream_over_http(toys, client, query, header):
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

        path = "/api/projects/toys/events"
        where = {"scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "", "http_version": "1.1"}
        asked = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query}
        await asyncio.wait_for(client.app({**where, **asked, "headers": [(b"last-event-id", header)]}, receive, send), 60)
        return sent

    start, body, *_ = asyncio.run(first_event())
    told = dict(start["headers"])
    assert told[b"content-type"].startswith(b"text/event-stream") and told[b"cache-control"] == b"no-store"
    number, event, data = body["body"].decode().strip().split("\n")
    assert number.startswith("id: ") and event == "event: snapshot"
    assert json.loads(data.removeprefix("data: "))["nodes"][0]["run"] == "r001"
