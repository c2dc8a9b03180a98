"""sets.subset: what a set has in common with others, or has alone, or all of them have; and some of it at random."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator

from cryoloom.data import AnySet, OneSet
from cryoloom.data.identity import coordinate_scales, family, name_column, on_trust, other_items
from cryoloom.data.joining import clashes, joined, mixed_kinds
from cryoloom.data.places import places
from cryoloom.data.selections import FULL_SET, OF_A_PART
from cryoloom.spec import Hint, Input, Job, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

Operation = Annotated[
    Literal["intersection", "difference", "union"],
    BeforeValidator(lambda value: {"0": "intersection", "1": "difference"}.get(str(value), value)),
]
"""The operations, also under the numbers that Scipion's form gives them."""


class Subset(
    Protocol,
    id="sets.subset",
    outputs=OneSet,
    aliases=("ProtSubSet", "ProtSubSetByMic", "ProtSubSetByCoord"),
):
    """Intersection, difference or union of a set with others, and a part of it at random.

    Rows, columns and optics are those of the first set; an id list is stored, no row is copied. Disabled rows of the other sets do not count.
    """

    items: AnySet = Input("Set", help="Rows and columns come from it.", aliases=(*FULL_SET, "inputParticles"))
    others: tuple[AnySet, ...] | None = Input(
        "Other sets", help="What it is compared with; repeat the flag for several.", optional=True, many=True,
        aliases=("other", "subset", "inputSubSet", "inputMicrographs", "inputCoordinates"),
    )  # fmt: skip
    operation: Operation = Param(
        "Operation", "intersection", aliases=("setOperation",),
        help="intersection keeps what is in all sets, difference what is in none of the others, union all of every set, each item once.",
    )  # fmt: skip
    match: Literal["id", "micrograph", "class", "position"] = Param(
        "Compare by", "id",
        help="id: the same item, whatever became of it. micrograph: items of the micrographs that the others hold or come from, and the "
        "reverse. class: the class number. position: coordinates nearer than the radius, of whatever picking.",
    )  # fmt: skip
    radius: Angstrom = Param(
        "Radius",
        0.0,
        ge=0,
        help="For position: nearer coordinates are one particle. Half a particle's diameter is usual; more joins neighbours.",
    )
    random: bool = Param("At random", False, aliases=("chooseAtRandom",), help="Keep a part of the enabled rows, drawn by the run's seed.")
    count: int | None = Param(
        "Number", None, ge=1, when="random", aliases=("nElements",),
        help="How many rows are drawn. More than there are is an error; with one seed, fewer are among more.",
    )  # fmt: skip
    fraction: float | None = Param("Fraction", None, gt=0, le=1, when="random", help="How much of the rows is drawn, instead of a number.")

    def check(self) -> Iterator[Hint]:
        if self.others is None and not self.random:
            yield Hint("others", "is empty: give another set to compare with, or draw at random")
        if self.random and (self.count is None) == (self.fraction is None):
            yield Hint("count", "or fraction is needed to draw at random, and not both")
        if self.match == "position" and not self.radius:
            yield Hint("radius", "must be above 0 to compare positions")
        for number, other in enumerate(self.others or (), 1):
            if problem := self._incomparable(other):
                yield Hint("others", f"cannot be compared (set {number}): {problem}")
                return
            if self.match == "id" and on_trust(self.items, other):
                yield Hint(
                    "others", f"(set {number}) and the first do not tell where their items lie: equal ids are taken on trust", error=False
                )
        if self.random and self.count is not None:
            there = len(_pool(self._combined()))
            if self.count > there:
                yield Hint("count", f"is {self.count}, but there are only {there} enabled rows to draw from", fix=there)

    def _incomparable(self, other: Dataset) -> str:
        """Return in words why a set cannot be compared with the first in the way that was asked for."""
        if self.operation == "union" and (self.match != "id" or other.kind != self.items.kind):
            return mixed_kinds([self.items, other]) or f"a union by {self.match} would put unlike items together; join sets with sets.join"
        if self.match == "id":
            if family(other) != family(self.items):
                return f"ids of {other.kind} are not ids of {self.items.kind}. To compare by their micrographs say match micrograph"
            why = other_items(self.items, other)
            if self.operation == "union" and clashes(self.items, other):
                return f"equal ids of them may be other items{f': {why}' if why else ''}. sets.join can give new ids"
            cure = " Coordinates can be compared by position." if "x" in self.items.schema else ""
            return why and f"equal ids of them are not equal items: {why}.{cure}"
        needed = {
            "micrograph": _micrograph_columns,
            "class": lambda each: ["class_id"],
            "position": lambda each: ["micrograph_id", "x", "y"],
        }
        for each in (self.items, other):
            missing = set(needed[self.match](each)) - each.schema.keys()
            if missing:
                return f"{each.kind} without {', '.join(sorted(missing))} have no {self.match}"
            if self.match == "position" and None in coordinate_scales(each).values():
                return f"the {each.kind} do not tell the pixel size of their micrographs"
        return ""

    def preview(self) -> Mapping[str, int]:
        others = {f"in set {number}": len(other) for number, other in enumerate(self.others or (), 2)}
        found = self._combined()
        kept = self._size(len(_pool(found))) if self.random else len(found)
        return {"kept": kept, "of": len(self.items), **others}

    def run(self, job: Job) -> OneSet:
        found = self._combined()
        if self.random:
            found = found.select(self._drawn(found, job.seed))
        if not len(found):
            job.warn(f"The {self._words()} is empty, so there is no output.{self._hint()}")
        told = {"mode": "subset", "by": self._words(), "by_hand": False, "of": len(self.items)}
        return OneSet.of(found.with_meta(only=OF_A_PART, selection=told))

    # -- which rows ---------------------------------------------------------------------------------------------

    def _combined(self) -> Dataset:
        """Return the rows that the operation leaves, before any are drawn."""
        found = self.items
        if self.operation == "union":
            return joined([found, *(self.others or ())]).dataset
        for other in self.others or ():
            found = found.select(self._kept(found, other))
        return found

    def _kept(self, found: Dataset, other: Dataset) -> pl.Series:
        how: Any = "semi" if self.operation == "intersection" else "anti"
        if self.match == "position":
            near = _near(found, other, self.radius)
            ids = found.ids()
            return ids.filter(ids.is_in(near.implode()) if how == "semi" else ~ids.is_in(near.implode()))
        mine, theirs = self._keys(found, other)
        return mine.join(theirs, on="key", how=how, maintain_order="left").select("id").collect()["id"]

    def _keys(self, found: Dataset, other: Dataset) -> tuple[pl.LazyFrame, pl.LazyFrame]:
        """Return what is compared: ``id`` and ``key`` of the first set's rows, ``key`` of the enabled rows of the other."""
        if self.match == "micrograph":
            columns = _micrograph_keys(found, other)
        else:
            columns = ("class_id",) * 2 if self.match == "class" else ("id",) * 2
        mine = found.scan([columns[0]]).select("id", key=pl.col(columns[0]))
        switched = ["enabled"] if "enabled" in other.schema else []
        theirs = other.scan([columns[1], *switched])
        return mine, (theirs.filter("enabled") if switched else theirs).select(key=pl.col(columns[1]))

    # -- at random ----------------------------------------------------------------------------------------------

    def _size(self, there: int) -> int:
        return self.count if self.count is not None else max(1, round((self.fraction or 0.0) * there)) if there else 0

    def _drawn(self, found: Dataset, seed: int) -> pl.Series:
        import numpy as np

        pool = _pool(found)
        order = np.random.default_rng(seed).permutation(len(pool))
        return pool.gather(np.sort(order[: self._size(len(pool))]))

    # -- in words -----------------------------------------------------------------------------------------------

    def _words(self) -> str:
        many = f"{self.operation} by {self.match} of {1 + len(self.others or ())} sets" if self.others else ""
        size = f"{self.count} rows" if self.count is not None else f"{self.fraction:.3g} of the rows" if self.fraction else ""
        return " of the ".join(part for part in (f"random choice of {size}" if self.random else "", many) if part)

    def _hint(self) -> str:
        if self.match != "id" or self.operation != "intersection":
            return ""
        return " No id is in all sets. If they should have items in common, look whether they come from one picking."

    def summary(self, out: OneSet) -> Mapping[str, Any]:
        kept = 0 if out.only is None else len(out.only)
        sets = {f"in set {number}": len(each) for number, each in enumerate(self.others or (), 2)}
        return {"kept": kept, "of": len(self.items), **sets, "by": self._words()}

    def methods(self, out: OneSet) -> str:
        return f"{0 if out.only is None else len(out.only)} of {len(self.items)} {self.items.kind} were kept: {self._words()}."

    def report(self, out: OneSet) -> list[Panel]:
        from cryoloom.report.panels import Funnel

        kept = 0 if out.only is None else len(out.only)
        sets = [(f"Set {number}", len(each), each.kind) for number, each in enumerate((self.items, *(self.others or ())), 1)]
        return [Funnel(title="Sets and what is kept", steps=[*sets, ("Kept", kept, self.items.kind)], caption=f"By {self._words()}.")]


def _pool(dataset: Dataset) -> pl.Series:
    """Return the ids that are drawn from: those of enabled rows."""
    rows = dataset.scan(["enabled"]).filter("enabled") if "enabled" in dataset.schema else dataset.scan([])
    return rows.select("id").collect()["id"]


def _micrograph_columns(dataset: Dataset) -> list[str]:
    return ["id"] if family(dataset) == "micrograph" else ["micrograph_id"]


def _micrograph_keys(one: Dataset, two: Dataset) -> tuple[str, str]:
    """Return the columns that name each set's micrographs: names, which outlive an import, or numbers where names are not in both."""
    names = name_column(one), name_column(two)
    return (names[0], names[1]) if names[0] and names[1] else (_micrograph_columns(one)[0], _micrograph_columns(two)[0])


def _near(one: Dataset, two: Dataset, radius: float) -> pl.Series:
    """Return the ids of the first set's coordinates that lie within `radius` Å of one of the other's, in the same micrograph."""
    from scipy.spatial import KDTree

    keys = _micrograph_keys(one, two)
    mine, theirs = (places(each, key) for each, key in zip((one, two), keys, strict=True))
    trees = {key[0]: KDTree(rows.select("x", "y").to_numpy()) for key, rows in theirs.group_by("key")}
    found = [pl.Series("id", [], dtype=pl.Int64)]
    for key, rows in mine.group_by("key", maintain_order=True):
        if key[0] in trees:
            distance, _ = trees[key[0]].query(rows.select("x", "y").to_numpy(), distance_upper_bound=radius)
            found.append(rows["id"].filter(pl.Series(distance <= radius)))
    return pl.concat(found)
