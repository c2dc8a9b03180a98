"""The images of a set as arrays: on disk until they are asked for, and never more than memory holds."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from cryoloom.data import Movies
from cryoloom.formats.movie import Movie, open_movie
from cryoloom.formats.mrc import open_mrc
from cryoloom.formats.stack import open_stack
from cryoloom.spec import WrongUse
from cryoloom.spec.words import counted
from cryoloom.tables import Dataset

if TYPE_CHECKING:
    import torch

FREE_SHARE = 0.5
"""Of the memory that is free, what images may take: the caller will want to do something with them."""


def image_column(dataset: Dataset) -> str:
    """Return the column of a set's own images, the first path that its kind must have; empty for a set that is a table only."""
    return next((name for name in dataset.required if name.endswith("_path")), "")


def table_of_numbers(dataset: Dataset) -> pl.DataFrame:
    """Return the columns of numbers and of truth values."""
    return dataset.to_polars().select(cs.numeric() | cs.boolean())


class Images(Sequence[NDArray[Any]]):
    """Images of a set, in an order, on disk until they are asked for.

    ``images[3]`` is the fourth image: ``(y, x)``, of maps ``(z, y, x)``, of movies ``(frame, y, x)``; a read-only memory map in the file's type
    where the file allows it. ``images[:8]`` are the first eight, still on disk. `to_numpy` and `to_torch` read them all.

    Parameters
    ----------
    dataset
        The set.
    ids
        Which rows, in this order; all that have a file by default.
    column
        The paths; the set's own images by default.
    """

    def __init__(self, dataset: Dataset, ids: Iterable[int] | None = None, *, column: str = "") -> None:
        column = column or image_column(dataset)
        if column not in dataset.schema or not column.endswith("_path"):
            others = ", ".join(name for name in dataset.schema if name.endswith("_path"))
            message = f"{dataset.kind}: no images in {column}." if column else f"A set of {dataset.kind} is a table."
            raise WrongUse("no-images", message, f"There are {others}." if others else "`to_polars` gives its rows.")
        self.dataset, self.column = dataset, column
        self._rows = _rows(dataset, column, ids)
        self._stack: tuple[str, NDArray[Any]] | None = None  # the one opened last: neighbours mostly lie in one

    @property
    def ids(self) -> pl.Series:
        """Return the id of each image."""
        return self._rows["id"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape that `to_numpy` gives, as the first image has it."""
        if self._rows.is_empty():
            return (0,)
        if self._are_movies:
            movie = self._movie(0)
            return (len(self), movie.frames, *movie.shape)
        return (len(self), *self[0].shape)

    def __len__(self) -> int:
        return self._rows.height

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "Images": ...
    def __getitem__(self, index: int | slice) -> "NDArray[Any] | Images":
        if isinstance(index, slice):
            part = object.__new__(Images)
            part.dataset, part.column, part._rows, part._stack = self.dataset, self.column, self._rows[index], None
            return part
        number = range(len(self))[index]
        if self._are_movies:
            return self._movie(number).read()
        path = self._rows[self.column][number]
        if self.column == "stack_path":
            return self._in_stack(path, self._rows["stack_index"][number])
        return open_mrc(self.dataset.file(path)).data

    @property
    def _are_movies(self) -> bool:
        return isinstance(self.dataset, Movies) and self.column == "movie_path"

    def _movie(self, number: int) -> Movie:
        row = self._rows.row(number, named=True)
        path = self.dataset.file(row["movie_path"])
        return open_movie(path, grouping=row.get("eer_grouping") or 1, upsampling=row.get("eer_upsampling") or 1)

    def _in_stack(self, path: str, index: int) -> NDArray[Any]:
        if self._stack is None or self._stack[0] != path or index >= len(self._stack[1]):
            self._stack = path, open_stack(self.dataset.file(path), index)
        return self._stack[1][index]

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.shape[1:]))
        return f"<{counted(len(self), 'image')} of {self.dataset.kind}{f', {shape} px' if shape else ''}>"

    def _repr_html_(self) -> str:
        from cryoloom.app.notebook import images_html

        return images_html(self)

    def to_numpy(self) -> NDArray[np.float32]:
        """Return them in memory, float32, ``(n, y, x)``, of maps ``(n, z, y, x)``, of movies ``(n, frame, y, x)``.

        Raises
        ------
        WrongUse
            ``too-large``: more than half of the memory that is free; ``shapes-differ``: they do not fit one array.
        """
        shape = self.shape
        _demand_room(shape)
        out = np.empty(shape, dtype=np.float32)
        for number, image in enumerate(self):
            if image.shape != shape[1:]:
                message = f"Image {self.ids[number]} has {image.shape} px, the first one {shape[1:]}."
                raise WrongUse("shapes-differ", message, "Take those of one optics group, or one by one.")
            out[number] = image
        return out

    def to_torch(self) -> "torch.Tensor":
        """Return what `to_numpy` does, as a tensor on the CPU."""
        import torch

        return torch.from_numpy(self.to_numpy())


def _rows(dataset: Dataset, column: str, ids: Iterable[int] | None) -> pl.DataFrame:
    """Return ``id``, the path and what else tells where the images are."""
    there = dataset.scan((column, "stack_index", "eer_grouping", "eer_upsampling")).collect()
    if ids is None:
        return there.filter(pl.col(column).fill_null("") != "")
    asked = pl.DataFrame({"id": list(ids)}, schema={"id": pl.Int64})
    found = asked.join(there, on="id", how="left", maintain_order="left")
    for missing in asked.join(there, on="id", how="anti")["id"].head(1):
        raise WrongUse("unknown-id", f"{missing} is no id of these {dataset.kind}.", "Take ids from the column `id` of its table.")
    for empty in found.filter(pl.col(column).fill_null("") == "")["id"].head(1):
        raise WrongUse("no-image", f"{dataset.kind}: {empty} has no {column}.", "Leave it out; `disabled` may tell why.")
    return found


def _demand_room(shape: tuple[int, ...]) -> None:
    import psutil

    needed, free = 4 * math.prod(shape), psutil.virtual_memory().available
    if needed > FREE_SHARE * free:
        message = f"{shape[0]:,} images of {' × '.join(map(str, shape[1:]))} px take {needed / 1e9:.1f} GB, more than half of the {free / 1e9:.1f} GB free."
        raise WrongUse("too-large", message, "Take some of them, images(ids) or images[:100], or go through them one by one.")
