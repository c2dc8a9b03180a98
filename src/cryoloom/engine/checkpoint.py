"""Checkpoints of an iteration: the whole state in one file, arrays as they are and the rest as JSON."""

import json
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cryoloom import files
from cryoloom.spec.job import State

_JSON = "__json__"
KEPT = 2
"""Checkpoints kept of one iteration: the last may be unreadable after a power cut, whatever the file system promised."""


def normal(state: State) -> State:
    """Return `state` as it would come back from a checkpoint, so that a resumed run sees what an uninterrupted one does.

    Arrays become C-contiguous, numpy scalars arrays without dimensions, tuples lists.

    Raises
    ------
    TypeError
        A value is neither an array nor JSON.
    """
    arrays, plain = _split(state)
    back = json.loads(json.dumps(plain))
    return {name: arrays[name] if name in arrays else back[name] for name in state}


def _split(state: State) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = {
        name: np.asarray(value, order="C")
        for name, value in state.items()
        if isinstance(value, np.ndarray | np.generic)
    }  # fmt: skip
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"state {name!r}: an array of Python objects cannot be kept")
    plain = {name: value for name, value in state.items() if name not in arrays}
    for name, value in plain.items():
        try:
            json.dumps(value)
        except TypeError as error:
            raise TypeError(f"state {name!r} is a {type(value).__name__}; a state holds numpy arrays and JSON values") from error
    return arrays, plain


class Checkpoints:
    """The checkpoints of one iteration, ``checkpoints/<name>/<k>.npz``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, number: int, state: State) -> None:
        """Write the state after step `number` and drop those not needed any more."""
        arrays, plain = _split(state)
        text = np.frombuffer(json.dumps({"order": list(state), "values": plain}).encode(), np.uint8)
        stored: dict[str, Any] = {_JSON: text, **{f"array.{name}": array for name, array in arrays.items()}}
        with files.replacing(self._path(number)) as handle:
            np.savez(handle, **stored)
        for old in self._numbers()[:-KEPT]:
            self._path(old).unlink(missing_ok=True)

    def last(self) -> tuple[int, State] | None:
        """Return the number of steps done and the state after them; None when there is nothing readable."""
        for number in reversed(self._numbers()):
            try:
                return number, self._load(number)
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
                continue
        return None

    def _load(self, number: int) -> State:
        with np.load(self._path(number), allow_pickle=False) as stored:
            head = json.loads(stored[_JSON].tobytes())
            arrays = {name.removeprefix("array."): stored[name] for name in stored.files if name != _JSON}
        return {name: arrays[name] if name in arrays else head["values"][name] for name in head["order"]}

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("[0-9]*.npz"))


def remove_all(run: Path) -> None:
    """Delete the checkpoints of a run that has finished."""
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
