"""The job of a running protocol: what `cryoloom.spec.job.Job` promises."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoloom.engine.checkpoint import Checkpoints, normal
from cryoloom.engine.events import Journal
from cryoloom.engine.program import run_program
from cryoloom.engine.reuse import Reuse
from cryoloom.spec.errors import Failure
from cryoloom.spec.job import ItemFunction, MapResult, State, Step
from cryoloom.tables import Dataset, Hashed

if TYPE_CHECKING:
    from cryoloom.engine.blocks import NodeBlocks
    from cryoloom.engine.nodes import Nodes


_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class RunJob:
    """A run seen from inside; see `cryoloom.spec.job.Job`.

    Parameters
    ----------
    folder, root
        The run's folder and the project's.
    seed, threads
        Of this run.
    journal
        Where progress and warnings go.
    nodes
        Those of a run of several.
    reuse
        What earlier runs have to offer.
    checked
        For a run that follows its inputs: items published in earlier rounds count only as long as their content is the same; those
        known to be are noted here.
    open
        Another round will follow; what it would warn of may come right.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        *,
        seed: int,
        threads: int,
        journal: Journal,
        nodes: "Nodes | None" = None,
        reuse: Reuse | None = None,
        checked: dict[Path, str] | None = None,
        open: bool = False,
    ) -> None:
        self.folder, self.root, self.seed, self.threads, self.open = folder, root, seed, threads, open
        self.warnings: list[str] = []
        self.failed_items: dict[str, int] = {}
        self.hashed: dict[str, Hashed] = {}
        self.blocks = _blocks_on(nodes)
        self._journal, self._nodes, self._reuse, self._checked = journal, nodes, reuse, checked
        self._names: set[str] = set()

    def map(self, function: ItemFunction, items: Dataset, *, name: str = "items") -> MapResult:
        """Apply `function` to every enabled row of `items`."""
        from cryoloom.engine.fanout import Fanout  # brings pebble and asyncio, which runs without a map do not need

        fanout = Fanout(self.folder, self.root, self._claim(name), function, items, self.seed, self._reuse, self._checked)
        result = fanout.compute(self._journal, self.threads, self._nodes)
        self.hashed.update(fanout.hashed)
        if result.failed:
            self.failed_items[name] = len(result.failed)
            self.warn(fanout.account(result.failed))
        return result

    def iterate(
        self,
        start: Callable[[], State],
        step: Callable[[State], State],
        *,
        done: Callable[[State], bool],
        name: str = "iterations",
        total: int | Callable[[State], int] | None = None,
    ) -> State:
        """Call `step` until `done`, a checkpoint after each call."""
        checkpoints = Checkpoints(self.folder / "checkpoints" / self._claim(name))
        number, state = checkpoints.last() or (0, normal(start()))
        if number:
            self._journal.write("resumed", name=name, done=number)
        while not done(state):
            began = time.monotonic()
            state = normal(step(state))
            number += 1
            checkpoints.save(number, state)
            seconds = round(time.monotonic() - began, 3)
            of = total(state) if callable(total) else total
            self._journal.write("progress", name=name, done=number, total=of, unit="iterations", message="", seconds=seconds)
        return state

    def run_program(self, command: list[str], *, name: str, environment: Mapping[str, str] | None = None) -> Path:
        """Run an external program in the run's folder."""
        return run_program(self.folder, command, self._claim(name), environment, journal=self._journal)

    def steps(self, name: str) -> tuple[Step, ...]:
        """Return what an input rests on."""
        from cryoloom.engine.project import ProjectFolder
        from cryoloom.engine.provenance import steps_below

        return steps_below(ProjectFolder(self.root), self.folder.name, name)

    def output(self, name: str) -> Path:
        """Return the path of a new file of this run."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Tell how far a long computation has come: `done` of `total`."""
        self._journal.progress("", done, total, message=message)

    def warn(self, message: str) -> None:
        """Record something the user should know about the result, once."""
        if message not in self.warnings:
            self.warnings.append(message)
            if not self.open:
                self._journal.write("warning", message=message)

    def note(self, **numbers: Any) -> None:
        """Record numbers of the moment."""
        self._journal.write("note", **numbers)

    def _claim(self, name: str) -> str:
        if not _NAME.fullmatch(name) or name in self._names:
            raise Failure("step-name", f"{name!r} cannot name a step: it is used twice in this run, or is not [a-z][a-z0-9_-]*.")
        self._names.add(name)
        return name


def _blocks_on(nodes: "Nodes | None") -> "NodeBlocks | None":
    if nodes is None:
        return None
    from cryoloom.engine.blocks import NodeBlocks

    return NodeBlocks(nodes)
