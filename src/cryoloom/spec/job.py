"""What a running protocol may ask for. The engine implements it; a protocol sees nothing else of the engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl

State = dict[str, Any]
"""A checkpoint: numpy arrays and JSON values by name."""


@dataclass(frozen=True)
class Item:
    """One row of a set on its way through `Job.map`.

    Attributes
    ----------
    row
        The row's columns, those of its optics group included.
    root
        The project folder, to which the row's ``*_path`` columns are relative.
    folder
        Where the item's files go.
    seed
        Differs from item to item, is the same for the same item, run seed and map.
    """

    row: Mapping[str, Any]
    root: Path
    folder: Path
    seed: int

    def __getitem__(self, column: str) -> Any:
        return self.row[column]

    @property
    def id(self) -> int:
        """Return the row's id."""
        return self.row["id"]

    def file(self, column: str) -> Path:
        """Return the absolute path that `column` (``*_path``) names."""
        return self.root / self.row[column]

    def output(self, suffix: str) -> Path:
        """Return the path of a new file of this item, such as ``000012_psd.mrc`` for ``_psd.mrc``.

        Return that path in a ``*_path`` column of the result; it is stored relative to the project, and the file is hashed.
        """
        return self.folder / f"{self.id:06d}{suffix}"


ItemFunction = Callable[[Item], "Mapping[str, Any] | list[dict[str, Any]] | pl.DataFrame"]


@dataclass(frozen=True)
class MapResult:
    """What `Job.map` returns: the rows of all items in the order of the set, and the items that failed.

    Attributes
    ----------
    rows
        A table with the column ``id`` of the item when the function returned a mapping; the concatenated rows otherwise.
    failed
        Item id to reason.
    """

    rows: "pl.DataFrame"
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A run that an input rests on.

    Attributes
    ----------
    protocol, parameters
        What was done.
    version
        Of cryoloom.
    """

    protocol: str
    parameters: Mapping[str, Any]
    version: str


class Job(Protocol):
    """A run seen from inside.

    Attributes
    ----------
    folder
        The run's folder; everything the run writes lies in it.
    root
        The project folder.
    seed, threads
        Of this run. Results must not depend on `threads`.
    blocks
        Where the blocks of a long computation are done when the run has several nodes (a `cryoloom.numerics.parallel.Workplace`); None:
        in threads of this process.
    open
        Whether more input may come, and this is not the last time that `Protocol.run` is called.
    """

    folder: Path
    root: Path
    seed: int
    threads: int
    blocks: Any
    open: bool

    def map(self, function: ItemFunction, items: Any, *, name: str = "items") -> MapResult:
        """Apply a picklable `function` to every enabled row of the set `items` in worker processes.

        Each item is published when done and not done again after a stop; one that raises becomes an entry of `failed`.
        Fails when every item failed.
        """
        ...

    def iterate(
        self,
        start: Callable[[], State],
        step: Callable[[State], State],
        *,
        done: Callable[[State], bool],
        name: str = "iterations",
        total: int | Callable[[State], int] | None = None,
    ) -> State:
        """Call `step` until `done`, writing a checkpoint after each call; continue from the last checkpoint after a stop.

        The state must hold all that a step depends on. `total`, or what it returns for a state, is for the progress bar only.
        """
        ...

    def run_program(self, command: list[str], *, name: str, environment: Mapping[str, str] | None = None) -> Path:
        """Run an external program in the run's folder, its output logged; return the folder. Raises `Failure` with its last lines."""
        ...

    def steps(self, name: str) -> tuple[Step, ...]:
        """Return what the input `name` rests on, every step after those it takes from; nothing if it was not given."""
        ...

    def output(self, name: str) -> Path:
        """Return the path of a new file of this run."""
        ...

    def progress(self, done: float, total: float, message: str = "") -> None:
        """Tell how far a long computation inside `run` or a step has come."""
        ...

    def warn(self, message: str) -> None:
        """Record something the user should know about the result."""
        ...

    def note(self, **numbers: Any) -> None:
        """Record numbers of the moment (an iteration's resolution, say) in the run's events."""
        ...
