"""What happens in a project, as a stream of events (SSE); a browser that comes back says which it heard last."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from cryoloom.server.context import WatchAt, WorkplaceAt
from cryoloom.server.events import Listener

router = APIRouter(prefix="/api/projects/{project}", tags=["live"])


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, workplace: WorkplaceAt, watch: WatchAt, after: int | None = None) -> StreamingResponse:
    """Return changes of runs as they come: ``snapshot`` (as ``graph``), then ``runs`` with ``changed``, ``removed`` and ``places``.

    Whoever has a graph already gives its number as `after`, and hears what came since.
    """
    heard = request.headers.get("last-event-id", "")
    last = int(heard) if heard.isascii() and heard.isdecimal() and len(heard) < 20 else after
    caller = getattr(request.state, "caller", None)
    listener = Listener(asyncio.get_running_loop())
    workplace.streams.admit()

    async def lines() -> AsyncIterator[bytes]:
        with workplace.streams.taken(caller.session if caller else "", listener):
            async for change in watch.stream(last, listener):
                yield (
                    b": alive\n\n"
                    if change is None
                    else b"id: %d\nevent: %s\ndata: %s\n\n" % (change.id, change.event.encode(), change.text)
                )

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
