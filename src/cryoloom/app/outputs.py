"""The outputs of a run: what they are, their rows as tables, their images and maps as arrays."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cryoloom.data  # noqa: F401 (makes its kinds of sets known)
from cryoloom.app import catalogue
from cryoloom.app.suggest import did_you_mean
from cryoloom.engine.provenance import manifest_of
from cryoloom.spec import WrongUse
from cryoloom.tables import Dataset
from cryoloom.tables.dataset import known_kind

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import torch
    from numpy.typing import NDArray

    from cryoloom.app.images import Images
    from cryoloom.app.runs import Run

ONE_MAP = ("volume", "mask")
"""Kinds of sets that are as a rule one map: as an array they have the map's three axes."""


def register_kinds(run: "Run") -> None:
    """Make the kinds of a run's outputs known; those of plugins come with the protocol that gives them.

    Raises
    ------
    WrongUse
        ``unknown-protocol``: it came from a plugin that is not installed.
    """
    if not all(known_kind(head["kind"]) for head in (run.folder.heads() or {}).values()):
        catalogue.protocol(run.protocol)


class OutputRef:
    """One output of a run: what it is, and the set itself once it is asked for.

    ``output.to_polars()`` is its table, ``output.images(ids)`` its images, read when they are asked for, ``output.to_numpy()`` and
    ``output.to_torch()`` all of it as one array. Axes are those of the files: ``[z, y, x]``, row 0 first.
    """

    def __init__(self, run: "Run", name: str) -> None:
        self.run, self.name = run, name

    def __repr__(self) -> str:
        from cryoloom.app.notebook import output_words

        return f"<{self}: {output_words(self)}>"

    def __str__(self) -> str:
        return f"{self.run.id}.{self.name}"

    def _repr_html_(self) -> str:
        from cryoloom.app.notebook import output_html

        return output_html(self)

    def __len__(self) -> int:
        return self.count

    @property
    def manifest(self) -> dict[str, Any]:
        """Return its manifest; raises `WrongUse` while the run has not finished."""
        return manifest_of(self.run.folder, self.name)

    @property
    def kind(self) -> str:
        """Return the kind of set, such as ``particles``."""
        return self.manifest["kind"]

    @property
    def count(self) -> int:
        """Return the number of rows."""
        return self.manifest["count"]

    @property
    def hash(self) -> str:
        """Return the BLAKE3 of its manifest."""
        return self.manifest["hash"]

    @property
    def dataset(self) -> Dataset:
        """Return the set."""
        register_kinds(self.run)
        return Dataset.load(self.manifest, self.run.folder.root)

    @property
    def items(self) -> "pl.DataFrame":
        """Return the rows."""
        return self.dataset.items

    @property
    def optics(self) -> list[dict[str, Any]]:
        """Return the optics groups."""
        return self.manifest["optics"]

    @property
    def meta(self) -> dict[str, Any]:
        """Return what is said of the set as a whole."""
        return self.manifest["meta"]

    @property
    def pixel_size(self) -> float | None:
        """Return the Å/px of its images or maps; None when it has none, or its optics groups differ."""
        sizes = {self.meta["pixel_size"]} if "pixel_size" in self.meta else {group.get("pixel_size") for group in self.optics}
        return sizes.pop() if len(sizes) == 1 else None

    def to_polars(self) -> "pl.DataFrame":
        """Return the rows with the columns of their optics group."""
        return self.dataset.to_polars()

    def images(
        self, ids: "Iterable[int] | None" = None, *, column: str = "", where: str = "", sort: str = "", descending: bool = False
    ) -> "Images":
        """Return the images of some rows, or of all that have one; they stay on disk until they are asked for.

        Parameters
        ----------
        ids
            Which rows, in this order: any list of ids, such as a column ``id`` of a table.
        column
            Which files, where a set has several: ``weighted_path`` of micrographs, ``psd_path`` of CTFs, ``half_map1_path`` of a map.
            By default the set's own: the first path that its kind must have.
        where, sort, descending
            Instead of ids: a rule that the rows follow, and a column whose values order them, as in `app.pages.page`.

        Raises
        ------
        WrongUse
            ``no-images``: the set is a table only. ``unknown-id``, ``no-image``: a row of `ids` is not there, or has no file. What is wrong
            with the rule or the column.
        """
        from cryoloom.app.images import Images, image_column
        from cryoloom.app.pages import page

        if ids is None and (where or sort):
            files = column or image_column(self.dataset)
            found = page(self, columns=["id", *([files] if files else [])], where=where, sort=sort, descending=descending, limit=self.count)
            ids = [row[0] for row in found["rows"] if row[-1]]
        return Images(self.dataset, ids, column=column)

    def to_numpy(self) -> "NDArray[Any]":
        """Return all of it in memory.

        Returns
        -------
        ndarray
            float32: particles, class averages and micrographs ``(n, y, x)``, movies ``(n, frame, y, x)``, one map or mask
            ``(z, y, x)``, several, and 3D classes, ``(n, z, y, x)``. Sets without images: one record a row, one field a column of numbers.

        Raises
        ------
        WrongUse
            ``too-large``: more than half of the memory that is free; take `images` of some rows.
        """
        from cryoloom.app.images import image_column, table_of_numbers

        if not image_column(self.dataset):
            return table_of_numbers(self.dataset).to_numpy(structured=True)
        images = self.images()
        return images.to_numpy()[0] if self.kind in ONE_MAP and len(images) == 1 else images.to_numpy()

    def to_torch(self) -> "torch.Tensor | dict[str, torch.Tensor]":
        """Return what `to_numpy` does, as a tensor; of sets without images a tensor for each column of numbers."""
        import torch

        from cryoloom.app.images import image_column, table_of_numbers

        if not image_column(self.dataset):
            return table_of_numbers(self.dataset).to_torch("dict")
        return torch.from_numpy(self.to_numpy())

    def half_maps(self) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
        """Return the unfiltered half maps of its first map, each ``(z, y, x)``.

        Raises
        ------
        WrongUse
            ``no-images``: it has none.
        """
        first, second = (self.images(column=name)[:1].to_numpy()[0] for name in ("half_map1_path", "half_map2_path"))
        return first, second

    def enabled(self) -> "pl.DataFrame":
        """Return the rows that are not disabled, with the columns of their optics group."""
        return self.dataset.enabled()

    def disabled(self) -> dict[int, str]:
        """Return the ids of the disabled rows and why each is."""
        if not {"enabled", "fail_reason"} <= set(self.items.columns):
            return {}
        return {row["id"]: row["fail_reason"] for row in self.items.select("id", "enabled", "fail_reason").to_dicts() if not row["enabled"]}

    def file(self, relative: str) -> Path:
        """Return the absolute path of a ``*_path`` value."""
        return self.run.folder.root / relative


class Outputs:
    """The outputs of a run by name: ``run.outputs.ctfs`` or ``run.outputs["ctfs"]``."""

    def __init__(self, run: "Run") -> None:
        self._run = run

    def __getattr__(self, name: str) -> OutputRef:
        if name.startswith("_"):
            raise AttributeError(name)
        known = self._names()
        if name not in known:
            raise AttributeError(f"{self._run.id} ({self._run.protocol}) has no output {name!r}. {did_you_mean(name, known)}")
        return OutputRef(self._run, name)

    def __getitem__(self, name: str) -> OutputRef:
        try:
            return getattr(self, name)
        except AttributeError as error:
            raise WrongUse("unknown-output", str(error).strip()) from error

    def __iter__(self) -> Iterator[OutputRef]:
        return (OutputRef(self._run, name) for name in self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __dir__(self) -> list[str]:
        return self._names()

    def __repr__(self) -> str:
        return f"<outputs of {self._run.id}: {', '.join(self._names())}>"

    def _repr_html_(self) -> str:
        from cryoloom.app.notebook import outputs_html

        return outputs_html(self._run)

    def _names(self) -> list[str]:
        published = self._run.folder.published()
        return list(published["outputs"]) if published else list(self._run.declared_outputs())
