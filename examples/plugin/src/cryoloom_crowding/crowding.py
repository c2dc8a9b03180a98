"""pick.crowding: the distance and direction from every pick to its nearest neighbour."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates
from cryoloom.report.panels import Histogram
from cryoloom.spec import Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom
from cryoloom_crowding.rose import Rose

ALONE = pl.DataFrame(schema={"id": pl.Int64, "neighbour_distance": pl.Float64, "neighbour_angle": pl.Float64})


@dataclass(frozen=True)
class Measured(Outputs):
    coordinates: Coordinates


class Crowding(Protocol, id="pick.crowding", outputs=Measured):
    """Measure how far each pick is from its nearest neighbour on the micrograph; disable picks that are too near."""

    coordinates: Coordinates = Input("Coordinates", help="Picks; those that are disabled are no neighbours.")
    least: Angstrom = Param("Least distance", 0.0, ge=0, help="Picks nearer to another one are disabled. Too large empties good ice.")

    def run(self, job: Job) -> Measured:
        picks = self.coordinates.enabled()
        found = pl.concat([ALONE, *(nearest(rows) for _, rows in picks.group_by("micrograph_id", maintain_order=True))])
        near = found.filter(pl.col("neighbour_distance") < self.least)["id"].to_list()
        return Measured(self.coordinates.with_columns(found).disable(dict.fromkeys(near, f"another pick within {self.least:g} Å")))

    def summary(self, out: Measured) -> Mapping[str, Any]:
        return {
            "picks": len(out.coordinates),
            "kept": out.coordinates.enabled().height,
            "median distance (Å)": out.coordinates.items["neighbour_distance"].median(),
        }

    def report(self, out: Measured) -> list[Panel]:
        rows = out.coordinates.items.drop_nulls("neighbour_distance")
        distances, angles = (rows[name].to_list() for name in ("neighbour_distance", "neighbour_angle"))
        return [Histogram(title="Nearest neighbours", values=distances, label="distance (Å)"), Rose(title="Directions", angles=angles)]


def nearest(picks: pl.DataFrame) -> pl.DataFrame:
    """Return ``neighbour_distance`` (Å) and ``neighbour_angle`` (° from +x towards +y) of the picks of one micrograph, by id."""
    import numpy as np
    from scipy.spatial import KDTree

    places = picks.select("x", "y").to_numpy()
    if len(places) < 2:
        return ALONE
    distance, other = (np.asarray(each)[:, 1] for each in KDTree(places).query(places, k=2))
    x, y = (places[other] - places).T
    return picks.select("id", neighbour_distance=picks["pixel_size"] * distance, neighbour_angle=np.rad2deg(np.arctan2(y, x)))
