"""From where the particles of a set were seen: views counted in cells of equal area, by the symmetry of the map."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.app.outputs import OutputRef
from cryoloom.data import canonical_name
from cryoloom.numerics.geometry.cells import Cells, equal_cells
from cryoloom.numerics.geometry.coverage import fourier_coverage
from cryoloom.numerics.geometry.symmetry import NoSuchGroup, PointGroup, point_group
from cryoloom.numerics.geometry.views import view_directions, with_mates
from cryoloom.spec import WrongUse
from cryoloom.tables.expression import columns_used, parse_rule

Views = NDArray[np.float64]
Spread = Literal["all", "unit"]

SIDES = (2.5, 5.0, 10.0)
"""Degrees a side of the cells offered."""
EACH = 4
"""Views a cell should hold on average: fewer, and the picture shows chance."""
PARTS = ("half_set", "class_id")
"""Columns by which views can be looked at part by part."""
MOST_PARTS = 256
_AT_ONCE = 2_000_000
"""Directions in memory at a time."""


@dataclass(frozen=True)
class Orientations:
    """Views counted.

    Attributes
    ----------
    cells
        The cells; ``cells.centres`` are their directions in the map's frame.
    side
        Of a cell, degrees.
    counts
        Views in each cell, ``(cells.count,)``; spread over all mates, a particle counts in each of them.
    particles
        That have a view and follow the rule.
    symmetry
        The group, such as ``C1``.
    spread
        ``all``: at every direction of equal view; ``unit``: in the asymmetric unit alone.
    coverage
        Part of Fourier space that is measured, 0 to 1, as `fourier_coverage`; always of all mates.
    parts
        Of `PARTS` those that the set has, with their values.
    """

    cells: Cells
    side: float
    counts: NDArray[np.int64]
    particles: int
    symmetry: str
    spread: Spread
    coverage: float
    parts: dict[str, list[int]]


def orientations(output: OutputRef, *, symmetry: str = "", spread: Spread = "all", side: float = 0.0, where: str = "") -> Orientations:
    """Return how the views of an output's enabled particles are distributed.

    A view is the projection direction in the map's frame, ``(sin tilt · cos rot, sin tilt · sin rot, cos tilt)``.

    Parameters
    ----------
    symmetry
        Point group; by default that of the run which gave the output.
    spread
        ``all`` counts every particle at each direction that the group makes equal; ``unit`` at the one in the asymmetric unit.
    side
        Of a cell in degrees; by default the finest of `SIDES` whose cells hold `EACH` views on average.
    where
        A rule that the particles follow, such as ``half_set == 1``.

    Raises
    ------
    WrongUse
        ``no-angles``, ``unknown-symmetry``, ``bad-cells``, or what is wrong with the rule.
    """
    if side and not 1.0 <= side <= 45.0:
        raise WrongUse("bad-cells", f"Cells of {side:g}° cannot be counted in.", "Take 1 to 45 degrees.")
    group = _group(symmetry or str(output.run.parameters.get("symmetry", "")))
    rows, parts = _rows(output, where)
    views = view_directions(rows["rot"].to_numpy(), rows["tilt"].to_numpy())
    seen = len(views) * (group.order if spread == "all" else 1)
    chosen = side or next((each for each in SIDES if equal_cells(each).count * EACH <= seen), SIDES[-1])
    cells = equal_cells(chosen)
    counts = np.zeros(cells.count, dtype=np.int64)
    step = max(1, _AT_ONCE // group.order)
    for first in range(0, len(views), step):
        some = views[first : first + step]
        counts += np.bincount(cells.of(with_mates(some, group) if spread == "all" else _in_unit(some, group)), minlength=cells.count)
    few = views[:: max(1, len(views) * group.order // 20_000)]
    coverage = fourier_coverage(with_mates(few, group))
    return Orientations(cells, chosen, counts, len(views), group.name, spread, coverage, parts)


def has_angles(output: OutputRef) -> bool:
    """Return whether the particles of an output have been aligned to a map."""
    return {"rot", "tilt"} <= set(output.dataset.schema)


def _group(name: str) -> PointGroup:
    try:
        return point_group(name)
    except NoSuchGroup as problem:
        raise WrongUse("unknown-symmetry", str(problem), f"Did you mean {problem.fix}?") from problem


def _rows(output: OutputRef, where: str) -> tuple[pl.DataFrame, dict[str, list[int]]]:
    """Return rot and tilt of the particles, and the parts of the whole set."""
    dataset = output.dataset
    if not has_angles(output):
        message = f"{output} has no angles: its {output.kind} have not been aligned to a map."
        raise WrongUse("no-angles", message, "Look at the particles of a 3D refinement or classification.")
    rule = parse_rule(where, dataset.schema, canonical=canonical_name) if where.strip() else pl.lit(True)
    also = [name for name in ("enabled", *PARTS) if name in dataset.schema]
    rows = dataset.scan({"rot", "tilt", *also, *columns_used(rule)}).collect()
    rows = rows.filter(pl.col("enabled")) if "enabled" in rows.columns else rows
    values = {name: rows[name].drop_nulls().unique().sort().cast(pl.Int64).to_list() for name in PARTS if name in rows.columns}
    parts = {name: found for name, found in values.items() if 1 < len(found) <= MOST_PARTS}
    return rows.filter(rule).select(pl.col("rot", "tilt").cast(pl.Float64)).fill_nan(None).drop_nulls(), parts


def _in_unit(views: Views, group: PointGroup) -> Views:
    """Return of each view's mates the one in the asymmetric unit, as `PointGroup.reduced` chooses it for poses."""
    poses = np.zeros((len(views), 3, 3))
    poses[:, 2] = views
    return group.reduced(poses)[:, 2]
