"""Objects on their way to other nodes: a small pickle, and its large arrays as files beside it, written once and mapped by who reads them.

All processes of a node that map an array share its memory, and the system keeps it from one time to the next. What is mapped may be changed in memory;
the file stays as it is.
"""

import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl

LARGE = 1 << 16
"""Bytes from which an array is a file."""


Large = np.ndarray[Any, Any] | pl.DataFrame


class Parcels:
    """What one process sends to many.

    An array that was sent before is not written again as long as it lives; it must not change after the first time. Its file goes with it.

    Parameters
    ----------
    folder
        On a disk that all nodes see.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, tuple[weakref.ref[Large], str]] = {}
        self._under_way: dict[Path, list[Large]] = {}

    def send(self, thing: Any) -> Path:
        """Write an object and return where it lies until it is recalled."""
        packer = _Packer(self.folder, self._name)
        path = packer.write(thing)
        self._under_way[path] = packer.large
        return path

    def recall(self, path: Path) -> None:
        """Remove what was sent; of its arrays, those that are no more."""
        path.unlink(missing_ok=True)
        del self._under_way[path]

    def _name(self, thing: Large) -> str:
        known = self._known.get(id(thing))
        if known is not None and known[0]() is thing:
            return known[1]
        name = _store(self.folder, thing)
        self._known[id(thing)] = weakref.ref(thing), name
        weakref.finalize(thing, self._forget, id(thing), name).atexit = False
        return name

    def _forget(self, key: int, name: str) -> None:
        if self._known.get(key, (None, ""))[1] == name:
            del self._known[key]
        (self.folder / name).unlink(missing_ok=True)


def hand_over(folder: Path, thing: Any) -> Path:
    """Write an object for one who `take`s it."""
    return _Packer(folder, lambda large: _store(folder, large)).write(thing)


def _store(folder: Path, thing: Large) -> str:
    name = f"{uuid4().hex}.{'parquet' if isinstance(thing, pl.DataFrame) else 'npy'}"
    if isinstance(thing, pl.DataFrame):
        thing.write_parquet(folder / name)
    else:
        np.save(folder / name, thing)
    return name


class _Packer:
    """Pickles an object, with the name of a file in the place of each large array."""

    def __init__(self, folder: Path, name: Callable[[Large], str]) -> None:
        self.large: list[Large] = []
        self._folder, self._name = folder, name

    def write(self, thing: Any) -> Path:
        path = self._folder / f"{uuid4().hex}.pickle"
        with path.open("wb") as handle:
            pickler = pickle.Pickler(handle, protocol=5)
            pickler.persistent_id = self._persistent
            pickler.dump(thing)
        return path

    def _persistent(self, thing: Any) -> str | None:
        large = type(thing) is np.ndarray and thing.nbytes >= LARGE and not thing.dtype.hasobject and thing.flags.c_contiguous
        if not large and not isinstance(thing, pl.DataFrame):
            return None
        self.large.append(thing)
        return self._name(thing)


def receive(path: Path) -> Any:
    """Return what `Parcels.send` wrote."""
    return _unpacked(path)[0]


def take(path: Path) -> Any:
    """Return what `hand_over` wrote, and remove it."""
    thing, names = _unpacked(path)
    for name in {*names, path.name}:
        (path.parent / name).unlink(missing_ok=True)
    return thing


def _unpacked(path: Path) -> tuple[Any, list[str]]:
    names: list[str] = []

    def load(name: str) -> Large:
        names.append(name)
        file = path.parent / name
        return pl.read_parquet(file) if file.suffix == ".parquet" else np.asarray(np.load(file, mmap_mode="c"))

    with path.open("rb") as handle:
        unpickler = pickle.Unpickler(handle)
        unpickler.persistent_load = load
        return unpickler.load(), names
