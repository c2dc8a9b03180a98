"""The pickings that somebody works at: one for each run, shared by all who look at it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request

from cryoloom.app.picking import PickingSession, open_picking
from cryoloom.app.runs import Run
from cryoloom.engine.state import ACTIVE, State
from cryoloom.server.context import RunAt
from cryoloom.spec import WrongUse


class Shared:
    """A picking, the output that its micrographs are, and whether a model learns or picks at the moment.

    Parameters
    ----------
    run
        Of `pick.manual`.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.session = run, open_picking(run)
        reference = run.inputs["micrographs"]
        self.output = f"{reference['run']}.{reference['output']}"
        self._busy = threading.Lock()

    @property
    def learning(self) -> bool:
        """Return whether a model learns or picks."""
        return self._busy.locked()

    @contextmanager
    def learns(self) -> Iterator[PickingSession]:
        """Keep the model for one request at a time.

        Raises
        ------
        WrongUse
            ``picking-busy``.
        """
        if not self._busy.acquire(blocking=False):
            raise WrongUse("picking-busy", "The model is learning or picking already.", "Wait a few seconds; go on picking meanwhile.")
        try:
            yield self.session
        finally:
            self._busy.release()


class Pickings:
    """All pickings of a server."""

    def __init__(self) -> None:
        self._open: dict[str, Shared] = {}
        self._lock = threading.Lock()

    def of(self, run: Run) -> Shared:
        """Return the picking of a run, opened when it is first asked for; one that has been saved is closed.

        Raises
        ------
        WrongUse
            As of `cryoloom.app.picking.open_picking`.
        """
        name = str(run.folder.path)
        with self._lock:
            if run.state in ACTIVE or run.state is State.FINISHED:
                self._open.pop(name, None)
            if name not in self._open:
                self._open[name] = Shared(run)
            return self._open[name]


def picking_at(request: Request, run: RunAt) -> Shared:
    """Return the picking of the run that the address names."""
    pickings: Pickings = request.app.state.pickings
    return pickings.of(run)


PickingAt = Annotated[Shared, Depends(picking_at)]
