"""Who computes the items of a map: worker processes of this computer, or those of several nodes."""

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, Protocol

from pebble import ProcessPool

from cryoloom.engine.item import Ticket, compute, enter_worker


class Workers(Protocol):
    """Worker processes that compute tickets; one that dies raises `pebble.ProcessExpired` in its item's future, and is replaced.

    Attributes
    ----------
    room
        Tickets that they take at once.
    able
        False when they can take no more and others are needed.
    """

    @property
    def room(self) -> int: ...  # noqa: D102

    @property
    def able(self) -> bool: ...  # noqa: D102

    def schedule(self, ticket: Ticket) -> "Future[str]":
        """Compute an item; raises `RuntimeError` when not `able`."""
        ...

    def busy(self, futures: Iterable["Future[str]"]) -> bool:
        """Return whether any of these is being worked on."""
        ...

    def end(self) -> None:
        """Drop what is not finished."""
        ...


def process_pool(workers: int) -> ProcessPool:
    """Return a pool of processes that end with this one."""
    context: Any = multiprocessing.get_context("spawn")
    return ProcessPool(workers, initializer=enter_worker, context=context)


class OwnWorkers:
    """Processes of this computer; see `Workers`."""

    def __init__(self, count: int) -> None:
        self.room = count + 1  # one in reserve, so that no worker waits for who schedules
        self._pool = process_pool(count)

    @property
    def able(self) -> bool:
        """See `Workers`."""
        return self._pool.active

    def schedule(self, ticket: Ticket) -> "Future[str]":
        """See `Workers`."""
        return self._pool.schedule(compute, args=(ticket,))

    def busy(self, futures: Iterable["Future[str]"]) -> bool:
        """See `Workers`."""
        return any(future.running() for future in futures)

    def end(self) -> None:
        """See `Workers`."""
        self._pool.stop()
        self._pool.join()
