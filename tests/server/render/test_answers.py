import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from cryoloom.server import answers
from cryoloom.server.render.asset import Asset, Rendered


class Client:
    """A request of a client that goes away, or stays."""

    headers: dict[str, str] = {}

    def __init__(self, gone: bool) -> None:
        self.gone = gone

    async def is_disconnected(self) -> bool:
        return self.gone


def test_what_nobody_waits_for_any_more_is_not_begun(monkeypatch):
    monkeypatch.setattr(answers, "_RENDERERS", ThreadPoolExecutor(1))
    monkeypatch.setattr(answers, "LOOK_AGAIN", 0.01)
    free, begun = threading.Event(), []

    def find(name):
        begun.append(name)
        free.wait(10)
        return Asset((name,), lambda: Rendered(b"x", "text/plain"))

    async def ask():
        first = asyncio.ensure_future(answers.answer(Client(False), lambda: find("first")))
        while not begun:
            await asyncio.sleep(0.01)
        left = await answers.answer(Client(True), lambda: find("left"))
        last = asyncio.ensure_future(answers.answer(Client(False), lambda: find("last")))
        await asyncio.sleep(0.05)  # the loop goes on while one renders and one waits
        free.set()
        return left.status_code, (await first).status_code, (await last).status_code

    assert asyncio.run(ask()) == (answers.GONE, 200, 200)
    assert begun == ["first", "last"]
