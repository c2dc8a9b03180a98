"""Columns of a set as pictures need them: counted in bins, or thinned out to points; of a million rows as quickly as of a few."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.app.outputs import OutputRef
from cryoloom.app.pages import columns_of, described
from cryoloom.spec import WrongUse

MOST_BINS = 500
MOST_POINTS = 5000


def histograms(output: OutputRef, columns: Sequence[str], *, bins: int = 40, where: str = "") -> dict[str, Any]:
    """Return columns of numbers counted in bins, over all rows and over those that follow a rule.

    Parameters
    ----------
    columns
        Of numbers or truths (0 and 1). Whole numbers that span less than `bins` get a bin each.
    bins
        How many, of equal width from the least to the largest value.
    where
        The rule; bins do not depend on it.

    Returns
    -------
    dict
        ``output``, ``of`` (rows), ``count`` (those that follow the rule) and ``columns``: of each ``column`` (its name, unit and meaning),
        ``edges`` (one more than bins), ``counts``, ``kept`` (of rows that follow the rule), ``empty`` and ``empty_kept`` (without a value).

    Raises
    ------
    WrongUse
        ``unknown-column``, ``no-numbers``, ``bad-bins``, or what is wrong with the rule.
    """
    if not 1 <= bins <= MOST_BINS:
        raise WrongUse("bad-bins", f"A histogram of {bins} bins cannot be drawn.", f"Ask for 1 to {MOST_BINS}.")
    (ids, *shown), order = columns_of(output, ["id", *columns], where=where)
    kept = np.arange(len(ids)) if order is None else order.to_numpy()
    counted = [_counted(output, values, bins, kept) for values in shown]
    return {"output": str(output), "of": len(ids), "count": len(kept), "columns": counted}


def _counted(output: OutputRef, values: pl.Series, bins: int, kept: NDArray[Any]) -> dict[str, Any]:
    numbers = _numbers(output, values)
    edges = _edges(numbers[np.isfinite(numbers)], bins, whole=not values.dtype.is_float())
    chosen = numbers[kept]
    there, there_kept = numbers[np.isfinite(numbers)], chosen[np.isfinite(chosen)]
    return {
        "column": described(values.name, values.dtype),
        "edges": edges.tolist(),
        "counts": np.histogram(there, edges)[0].tolist(),
        "kept": np.histogram(there_kept, edges)[0].tolist(),
        "empty": len(numbers) - len(there),
        "empty_kept": len(chosen) - len(there_kept),
    }


def _edges(there: NDArray[np.float64], bins: int, *, whole: bool) -> NDArray[np.float64]:
    if not len(there):
        return np.array([0.0, 1.0])
    low, high = float(there.min()), float(there.max())
    if whole and high - low < bins:
        return np.arange(low, high + 2) - 0.5
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    return np.linspace(low, high, bins + 1)


def points(output: OutputRef, y: str, x: str = "", *, where: str = "", limit: int = MOST_POINTS) -> dict[str, Any]:
    """Return two columns against each other, thinned out so that outliers and the shape of the cloud stay.

    Parameters
    ----------
    y, x
        Columns of numbers; without `x` the place of the row, from 0.
    where
        A rule that the rows follow.
    limit
        Most points. If there are more rows, the plane is divided into about as many cells, and of each the first row is shown; over the
        place of the row, of each stretch the rows of the least and the largest value.

    Returns
    -------
    dict
        ``output``, ``of``, ``count`` (rows that follow the rule), ``empty`` (of these, without a value), ``x`` and ``y`` (name, unit,
        meaning), and for each point ``id``, ``xs``, ``ys`` and ``weight`` (the rows it stands for).

    Raises
    ------
    WrongUse
        ``unknown-column``, ``no-numbers``, ``bad-limit``, or what is wrong with the rule.
    """
    if not 4 <= limit <= MOST_POINTS:
        raise WrongUse("bad-limit", f"{limit} points cannot be drawn.", f"Ask for 4 to {MOST_POINTS}.")
    (ids, over, along), order = columns_of(output, ["id", y, x or "id"], where=where)
    kept = np.arange(len(ids)) if order is None else order.to_numpy()
    ys = _numbers(output, over)[kept]
    xs = _numbers(output, along)[kept] if x else kept.astype(np.float64)
    there = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    chosen, weight = _thinned(xs[there], ys[there], limit, lines=not x)
    places = there[chosen]
    row = {"name": "row", "type": "number", "unit": "", "meaning": "place in the set, from 0"}
    return {
        "output": str(output),
        "of": len(ids),
        "count": len(kept),
        "empty": len(kept) - len(there),
        "x": described(along.name, along.dtype) if x else row,
        "y": described(over.name, over.dtype),
        "id": ids.to_numpy()[kept[places]].tolist(),
        "xs": xs[places].tolist(),
        "ys": ys[places].tolist(),
        "weight": weight.tolist(),
    }


def _thinned(xs: NDArray[np.float64], ys: NDArray[np.float64], limit: int, *, lines: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the places of the points that stay, in order along x, and the number of points each stands for."""
    if len(xs) <= limit:
        order = np.argsort(xs, kind="stable")
        return order, np.ones(len(xs), dtype=np.int64)
    if lines:
        stretch = np.arange(len(xs)) * (limit // 2) // len(xs)
        starts = np.flatnonzero(np.diff(stretch, prepend=-1))
        by_value = np.lexsort((ys, stretch))
        ends = np.append(starts[1:], len(xs)) - 1
        chosen = np.sort(np.unique(np.concatenate([by_value[starts], by_value[ends]])))
        return chosen, np.diff(np.append(chosen, len(xs)))
    first, counts = _first_of_cells(xs, ys, int(np.sqrt(limit)))
    for finer in (1.6, 2.5, 4.0):  # where the cloud leaves most of the plane empty
        closer = _first_of_cells(xs, ys, int(np.sqrt(limit) * finer))
        if len(closer[0]) > limit:
            break
        first, counts = closer
    order = np.argsort(xs[first], kind="stable")
    return first[order], counts[order]


def _first_of_cells(xs: NDArray[np.float64], ys: NDArray[np.float64], side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first point in each cell of a grid, and how many are in that."""
    _, first, counts = np.unique(_bin_of(xs, side) * side + _bin_of(ys, side), return_index=True, return_counts=True)
    return first, counts


def _bin_of(values: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    low, high = values.min(), values.max()
    span = high - low or 1.0
    return np.minimum(((values - low) / span * bins).astype(np.int64), bins - 1)


def _numbers(output: OutputRef, values: pl.Series) -> NDArray[np.float64]:
    """Return a column as float64, NaN where there is no value; infinite ones count as none."""
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise WrongUse("no-numbers", f"Column {values.name} of {output} holds no numbers.", "Choose a column of numbers.")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
