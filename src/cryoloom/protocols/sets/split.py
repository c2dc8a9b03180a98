"""sets.split: a set in parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BeforeValidator

from cryoloom.data import AnySet, OneSet
from cryoloom.data.selections import FULL_SET, OF_A_PART, output_name
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset

By = Annotated[
    Literal["random", "order", "half_set"],
    BeforeValidator(lambda value: {"true": "random", "false": "order"}.get(str(value).lower(), value)),
]
"""How a set is divided, also as Scipion's form says it: at random or not."""


@dataclass(frozen=True)
class Parts(OneSet):
    """Parts under the name of the set they are of, numbered from 1: ``particles_1`` and on."""

    parts: tuple[Dataset, ...] = ()

    def named(self) -> dict[str, Any]:
        return {f"{output_name(part)}_{number}": part for number, part in enumerate(self.parts, 1)}

    @classmethod
    def of_named(cls, made: Mapping[str, Any]) -> Self:
        return cls(parts=tuple(made[name] for name in sorted(made, key=lambda name: int(name.rpartition("_")[2]))))

    @classmethod
    def declared(cls, parameters: Mapping[str, Any]) -> dict[str, Any]:
        kinds = OneSet.declared(parameters)
        return {f"{name}_{number}": kind for name, kind in kinds.items() for number in range(1, parameters["parts"] + 1)}


class Split(
    Protocol,
    id="sets.split",
    outputs=Parts,
    aliases=("ProtSplitSet",),
):
    """Divide a set into parts, such as halves, that hold every row once. An id list a part is stored, no row is copied."""

    items: AnySet = Input("Set", help="What to divide.", aliases=FULL_SET)
    parts: int = Param("Parts", 2, ge=2, le=100, aliases=("numberOfSets",), help="How many. Their sizes differ by one row at the most.")
    by: By = Param(
        "Divide by", "random", aliases=("randomize",),
        help="random: drawn by the run's seed. order: the first rows, the next ones … half_set: the two half sets of a refinement, which may "
        "differ in size.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.parts > len(self.items):
            yield Hint("parts", f"is {self.parts}, but the set has {len(self.items)} rows", fix=max(2, len(self.items)))
        if self.by != "half_set":
            return
        if self.parts != 2:
            yield Hint("parts", "must be 2 to divide by half sets", fix=2)
        if "half_set" not in self.items.schema:
            yield Hint("by", "half_set needs particles that a refinement has put into half sets", fix="random")

    def preview(self) -> Mapping[str, int]:
        return {f"part {number}": len(ids) for number, ids in enumerate(self._ids(0), 1)} | {"of": len(self.items)}

    def run(self, job: Job) -> Parts:
        parts = self._ids(job.seed)
        missing = len(self.items) - sum(map(len, parts))
        if missing:
            job.warn(f"{missing} rows are in neither half set, and so in no part.")
        empty = [number for number, ids in enumerate(parts, 1) if ids.is_empty()]
        if empty:
            job.warn(f"Part {', '.join(map(str, empty))} is empty, so there is no such output.")
        told = {"mode": "split", "by_hand": False, "of": len(self.items)}
        return Parts(
            parts=tuple(
                self.items.select(ids).with_meta(only=OF_A_PART, selection={**told, "by": f"part {number} of {len(parts)} by {self.by}"})
                for number, ids in enumerate(parts, 1)
                if len(ids)
            )
        )

    def _ids(self, seed: int) -> list[pl.Series]:
        """Return the ids of each part, in the set's order."""
        import numpy as np

        if self.by == "half_set":
            rows = self.items.scan(["half_set"]).collect()
            return [rows.filter(pl.col("half_set") == number)["id"] for number in (1, 2)]
        ids = self.items.ids()
        places = np.random.default_rng(seed).permutation(len(ids)) if self.by == "random" else np.arange(len(ids))
        return [ids.gather(np.sort(part)) for part in np.array_split(places, self.parts)]

    def summary(self, out: Outputs) -> Mapping[str, Any]:
        return {name: len(part) for name, part in out.named().items()} | {"of": len(self.items), "by": self.by}

    def methods(self, out: Outputs) -> str:
        how = {"random": "at random", "order": "in their order", "half_set": "into their half sets"}[self.by]
        sizes = " and ".join(str(len(part)) for part in out.named().values())
        return f"The {len(self.items)} {self.items.kind} were divided {how}: {sizes}."

    def report(self, out: Outputs) -> list[Panel]:
        from cryoloom.report.panels import Funnel

        kind = self.items.kind
        parts = [(name, len(part), kind) for name, part in out.named().items()]
        return [Funnel(title="Parts", steps=[("All", len(self.items), kind), *parts], caption=f"Divided by {self.by}.")]
