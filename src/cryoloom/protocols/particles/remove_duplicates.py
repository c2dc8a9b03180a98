"""particles.remove_duplicates: of picks and particles that lie on one place, the best one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, Particles
from cryoloom.data.columns import canonical_name
from cryoloom.data.identity import coordinate_scales
from cryoloom.data.places import best_apart
from cryoloom.data.selections import OF_A_PART
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

BY_DEFAULT = ("match", "max_probability", "score")
"""Columns that tell which of two is better, the first that is there."""


@dataclass(frozen=True)
class Apart(Outputs):
    particles: Particles | None = None
    coordinates: Coordinates | None = None
    duplicates: Particles | Coordinates | None = None


class RemoveDuplicates(
    Protocol,
    id="particles.remove_duplicates",
    outputs=Apart,
    aliases=("XmippProtPickingRemoveDuplicates", "ProtRelionRemoveDuplicates"),
):
    """Keep one of all particles, or picks, whose centres lie within a distance on one micrograph.

    Centres are where alignment found the particles: two picks that recentring brought together are one particle, which would be counted twice and, in
    two half sets, feign resolution. An id list is stored, no row is copied; the removed ones are a set of their own.
    """

    items: Coordinates | Particles = Input(
        "Set", help="Particles, aligned or not, or coordinates.", aliases=("particles", "coordinates", "inputParticles", "inputCoordinates")
    )
    min_separation: Angstrom = Param(
        "Least separation", 20.0, gt=0, aliases=("min_sep", "duplicates_distance"),
        help="Centres nearer than this are one particle. Up to half a diameter; more removes neighbours that touch.",
    )  # fmt: skip
    prefer: str = Param(
        "Keep by", "",
        help="Column by which the better one is told, largest first; empty takes the first of match, max_probability and score that there is, or the "
        "set's order. One that says nothing of quality keeps any of them.",
    )  # fmt: skip
    smallest: bool = Param(
        "Smallest is best", False, advanced=True, when="prefer", help="For columns of errors. With the wrong sign the poorer one stays."
    )

    def check(self) -> Iterator[Hint]:
        names = self.items.schema
        if self.prefer and self._by not in names:
            yield Hint("prefer", f"names no column of these {self.items.kind}: {self.prefer}. There are {', '.join(names)}")
        elif self.prefer and not names[self._by].is_numeric():
            yield Hint("prefer", f"is {self.prefer}, which holds no numbers")
        if not {"micrograph_id", "x", "y"} <= names.keys() or None in coordinate_scales(self.items).values():
            yield Hint("items", f"do not tell where on their micrographs, in Å, the {self.items.kind} lie")

    @property
    def _by(self) -> str:
        names = self.items.schema
        if self.prefer in names or not self.prefer:
            return self.prefer or next((name for name in BY_DEFAULT if name in names), "")
        return canonical_name(self.prefer)

    def _kept(self) -> pl.Series:
        return best_apart(self.items, self.min_separation, by=self._by, descending=not self.smallest)

    def preview(self) -> Mapping[str, int]:
        return {"kept": len(self._kept()), "of": self.items.enabled().height}

    def run(self, job: Job) -> Apart:
        kept, there = self._kept(), self.items.enabled()["id"]
        told = {"mode": "remove_duplicates", "by": self._words(), "by_hand": False, "of": len(self.items)}
        apart = self.items.select(kept).with_meta(only=OF_A_PART, selection=told)
        removed = there.filter(~there.is_in(kept.implode()))
        duplicates: Any = self.items.select(removed).with_meta(only=OF_A_PART, selection=told) if len(removed) else None
        if isinstance(apart, Particles):
            return Apart(particles=apart, duplicates=duplicates)
        return Apart(coordinates=apart, duplicates=duplicates)

    def _words(self) -> str:
        best = f"the {'smallest' if self.smallest else 'largest'} {self._by}" if self._by else "the set's first"
        return f"{self.min_separation:g} Å apart, {best} kept"

    def summary(self, out: Apart) -> Mapping[str, Any]:
        counts = {"kept": len(out.particles or out.coordinates or ()), "duplicates removed": len(out.duplicates or ())}
        return {**counts, "of": len(self.items), "by": self._words()}

    def methods(self, out: Apart) -> str:
        return f"{len(out.duplicates or ())} of {len(self.items)} {self.items.kind} were removed as duplicates ({self._words()})."

    def report(self, out: Apart) -> list[Panel]:
        from cryoloom.report.panels import Funnel

        kept = len(out.particles or out.coordinates or ())
        steps = [("Set", len(self.items), self.items.kind), ("Kept", kept, self.items.kind)]
        return [Funnel(title="Duplicates removed", steps=steps, caption=f"{self._words()}.")]
