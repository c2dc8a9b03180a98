"""From what is asked for to an HTTP answer: rendered beside the event loop, a few at once, and not at all for a browser that has it."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi import Request, Response

from cryoloom.server.render.asset import Asset, Rendered
from cryoloom.server.render.cache import rendered

MAX_AGE = 60
"""Seconds for which a browser does not ask again; after that it asks whether what it has still holds."""
LOOK_AGAIN = 0.5
"""Seconds between two looks whether the client still waits."""
GONE = 499
"""Status of an answer that nobody waits for: never sent, seen in logs only."""

_RENDERERS = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="render")


async def answer(request: Request, find: Callable[[], Asset]) -> Response:
    """Answer with what `find` finds, or with 304 where the client has it; both it and the rendering run in a thread.

    No more are rendered at once than there are processors. When the client goes, what has not been begun is not begun.
    """
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    work = _RENDERERS.submit(_answer, find, known)
    waiting = asyncio.wrap_future(work)
    while not (await asyncio.wait({waiting}, timeout=LOOK_AGAIN))[0]:
        if await request.is_disconnected():
            work.cancel()
            waiting.cancel()
            return Response(status_code=GONE)
    return waiting.result()


def _answer(find: Callable[[], Asset], known: set[str]) -> Response:
    asset = find()
    headers = {"ETag": f'"{asset.name}"', "Cache-Control": f"private, max-age={MAX_AGE}"}
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    return _response(rendered(asset), headers)


def _response(made: Rendered, headers: dict[str, str]) -> Response:
    return Response(bytes(made.body), media_type=made.media, headers={**made.headers, **headers})
