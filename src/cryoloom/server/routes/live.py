"""What happens in a project, as a stream of events (SSE); a browser that comes back says which it heard last."""

from collections.abc import AsyncIterator

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from cryoloom.server.context import WatchAt

router = APIRouter(prefix="/api/projects/{project}", tags=["live"])


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, watch: WatchAt, after: int | None = None) -> StreamingResponse:
    """Return changes of runs as they come: ``snapshot`` (as ``graph``), then ``runs`` with ``changed``, ``removed`` and ``places``.

    Whoever has a graph already gives its number as `after`, and hears what came since.
    """
    heard = request.headers.get("last-event-id", "")
    last = int(heard) if heard.isdecimal() else after

    async def lines() -> AsyncIterator[bytes]:
        async for change in watch.stream(last):
            if change["data"] is None:
                yield b": alive\n\n"
            else:
                data = orjson.dumps(change["data"], option=orjson.OPT_NON_STR_KEYS)
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (change["id"], change["event"].encode(), data)

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
