"""What the engine is timed with: numbers, and a map that does next to nothing. Found by the catalogue through CRYOLOOM_PLUGINS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.spec import Input, Item, Job, Outputs, Param, Protocol
from cryoloom.tables import Dataset


class Numbers(Dataset, kind="benchmark-numbers", required=("value",)):
    """Numbers."""


@dataclass(frozen=True)
class Made(Outputs):
    numbers: Numbers


class Count(Protocol, id="benchmark.count", outputs=Made):
    """Count."""

    count: int = Param("Count", 10, ge=1, help="How many.")

    def run(self, job: Job) -> Made:
        return Made(Numbers(pl.DataFrame({"id": range(self.count), "value": [1.0] * self.count}), job.root))


class Nothing(Protocol, id="benchmark.nothing", outputs=Made):
    """Give every number back."""

    numbers: Numbers = Input("Numbers", help="What to give back.")

    def same(self, item: Item) -> Mapping[str, Any]:
        return {"value": item["value"]}

    def run(self, job: Job) -> Made:
        return Made(Numbers(job.map(self.same, self.numbers).rows, job.root))
