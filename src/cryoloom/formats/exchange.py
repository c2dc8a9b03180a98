"""What a file format says of itself, and the formats there are: found, not listed.

Every module of `cryoloom.formats`, and every plugin, that declares a ``FORMAT`` is one: its suffixes tell who reads a file, its name is
the word after ``--format``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from cryoloom.spec import Failure, WrongUse
from cryoloom.spec.plugins import origins

Content = Literal["particles", "coordinates", "micrographs", "volumes", "acquisition"]
Reader = Callable[[Path], Any]
Writer = Callable[..., list[Path]]
"""Called with a set, its name, a folder, and ``related``, the latest set of each kind; returns the tables and maps written."""

_OWN = "cryoloom.formats"


@dataclass(frozen=True)
class Format:
    """A file format: what it reads and what it writes.

    Attributes
    ----------
    name
        The word after ``--format``.
    title
        Whose it is, for people.
    suffixes
        What its files end in, in lower case.
    readers
        By content: ``particles`` gives a `ParticleTable`, ``micrographs`` a `MicrographTable`, ``volumes`` a `VolumeFiles`,
        ``acquisition`` a `Recorded`, ``coordinates`` a frame as `read_coordinates` describes it.
    writers
        By kind of set; ``*`` takes any kind.
    every
        Whether one folder has room for every output, named after its run; otherwise for the latest of each kind.
    """

    name: str
    title: str
    suffixes: tuple[str, ...] = ()
    readers: Mapping[Content, Reader] = field(default_factory=dict)
    writers: Mapping[str, Writer] = field(default_factory=dict)
    every: bool = False

    def writer(self, kind: str) -> Writer | None:
        """Return who writes sets of this kind, None if nobody."""
        return self.writers.get(kind) or self.writers.get("*")


@cache
def formats() -> dict[str, Format]:
    """Return all formats by name, our own first."""
    package = importlib.import_module(_OWN)
    modules = [importlib.import_module(f"{_OWN}.{info.name}") for info in pkgutil.iter_modules(package.__path__)]
    found = {module.FORMAT.name: module.FORMAT for module in (*modules, *_plugins()) if isinstance(getattr(module, "FORMAT", None), Format)}
    return dict(sorted(found.items()))


def _plugins() -> list[ModuleType]:
    """Return the modules of plugins; one that cannot be loaded is the catalogue's to tell."""
    modules = []
    for origin in origins():
        try:
            module = importlib.import_module(origin.module)
            inside = [f"{module.__name__}.{info.name}" for info in pkgutil.iter_modules(getattr(module, "__path__", ()))]
            modules += [module, *map(importlib.import_module, inside)]
        except Exception:  # noqa: BLE001 (somebody else's plugin must not keep ours from being read)
            continue
    return modules


def format_named(name: str) -> Format:
    """Return the format that can write and is called `name`.

    Raises
    ------
    WrongUse
        ``unknown-format``.
    """
    known = [each.name for each in formats().values() if each.writers]
    if name not in known:
        raise WrongUse("unknown-format", f"--format {name}: not a format that can be written.", f"Choose one of {', '.join(known)}.")
    return formats()[name]


def suffixes(content: Content) -> tuple[str, ...]:
    """Return what files of this content may end in."""
    return tuple(sorted({suffix for each in formats().values() if content in each.readers for suffix in each.suffixes}))


def read_as(content: Content, path: Path) -> Any:
    """Read `path` with the format whose suffix it has.

    Raises
    ------
    Failure
        ``format-unknown`` naming the suffixes that are understood, and what the reader raises.
    """
    for each in formats().values():
        if content in each.readers and path.suffix.lower() in each.suffixes:
            return each.readers[content](path)
    message = f"{path}: files of {content} end in {', '.join(suffixes(content))}."
    raise Failure("format-unknown", message, "Convert it to one of these, a RELION STAR file for example.")
