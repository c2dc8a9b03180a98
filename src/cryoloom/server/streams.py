"""How many streams are open at once: lines that broke without a word must not pile up, nor keep a browser out."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from cryoloom.server.events import Listener
from cryoloom.server.guard import Refused

A_BROWSER, SCRIPTS, ALL = 12, 200, 400
"""Streams of one browser (which opens six at most: others are of lines that broke), of all who give a token, and of everybody."""


class Streams:
    """The open streams by session; all in the event loop."""

    def __init__(self) -> None:
        self._open: dict[str, list[Listener]] = defaultdict(list)

    def admit(self) -> None:
        """Refuse (429, ``too-many-streams``) when everybody together has too many."""
        if sum(map(len, self._open.values())) >= ALL:
            raise Refused(429, "too-many-streams", f"{ALL} pages follow projects already.", "Close some.")

    @contextmanager
    def taken(self, session: str, listener: Listener) -> Iterator[None]:
        """Count a stream while the context lasts; the oldest of the same session ends when there are too many."""
        own = self._open[session]
        if len(own) >= (A_BROWSER if session else SCRIPTS):
            own.pop(0).end()
        own.append(listener)
        try:
            yield
        finally:
            if listener in own:
                own.remove(listener)
            if not own:
                self._open.pop(session, None)
