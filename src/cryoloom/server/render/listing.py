"""The micrographs that an output is of, with all that is known of each on the way to it, and the picks on one of them."""

import threading
from collections import OrderedDict
from typing import Any, cast

import numpy as np
import polars as pl

from cryoloom.app.outputs import OutputRef
from cryoloom.data import Coordinates, column_named
from cryoloom.data.picks import on_micrographs
from cryoloom.server.render.sources import behind
from cryoloom.spec import WrongUse

OF_MICROGRAPHS = ("micrograph_name", "width", "height", "pixel_size", "motion_total", "local_motion")
OF_CTFS = (
    "defocus_u", "defocus_v", "defocus_angle", "astigmatism", "phase_shift", "ctf_resolution", "ctf_score", "ctf_iceness", "ctf_rings",
    "ctf_agreement", "ctf_aliasing", "ctf_drift", "fail_reason",
)  # fmt: skip
"""Columns that are listed, where there are any."""
STEPS = 200
"""Scores at which picks are counted."""
_KEPT = 4

_placed_before: OrderedDict[tuple[str, str, str, str], pl.DataFrame] = OrderedDict()
_lock = threading.Lock()


def micrographs(output: OutputRef) -> dict[str, Any]:
    """Return the enabled micrographs that an output is of: ``columns`` by name, ``units``, and the counts of picks by their least ``scores``.

    Raises
    ------
    WrongUse
        ``no-source``: it was made from no micrographs.
    """
    whole = behind(output, "micrographs")
    table = _some(whole.dataset.to_polars(), "id", OF_MICROGRAPHS)
    if ctfs := _known(output, "ctfs"):
        found = ctfs.dataset.to_polars()
        table = table.join(
            _some(found, "micrograph_id", OF_CTFS).rename({"micrograph_id": "id"}), on="id", how="left", maintain_order="left"
        )
        if output.kind == "ctfs":
            table = table.filter(pl.col("id").is_in(found["micrograph_id"].implode()))
    picked = _known(output, "coordinates")
    scores = None
    if picked:
        rows = _placed(picked, whole)
        counted = rows.group_by("micrograph_id").agg(picks=pl.len().cast(pl.Int64)).rename({"micrograph_id": "id"})
        table = table.join(counted, on="id", how="left", maintain_order="left").with_columns(pl.col("picks").fill_null(0))
        scores = _counts(rows)
    units = {name: column.unit for name in table.columns if (column := column_named(name)) and column.unit}
    columns = {name: [_plain(value) for value in table[name].to_list()] for name in table.columns}
    return {"output": str(output), "micrographs": str(whole), "columns": columns, "units": units, "scores": scores}


def picks(output: OutputRef, number: int) -> dict[str, Any]:
    """Return the picks on a micrograph, in its px: ``x``, ``y``, ``score``, and their ``diameter``."""
    whole, picked = behind(output, "micrographs"), behind(output, "coordinates")
    rows = _placed(picked, whole).filter(pl.col("micrograph_id") == number)
    size = whole.dataset.to_polars().filter(pl.col("id") == number)["pixel_size"]
    told = picked.meta.get("diameter") or (max(rows["diameter"].to_list(), default=None) if "diameter" in rows.columns else None)
    across = told / size[0] if told and len(size) else None
    return {
        "x": rows["x"].to_list(),
        "y": rows["y"].to_list(),
        "score": [_plain(score) for score in rows["score"].to_list()],
        "diameter": across,
    }


def _known(output: OutputRef, kind: str) -> OutputRef | None:
    try:
        return behind(output, kind)
    except WrongUse:
        return None


def _some(table: pl.DataFrame, key: str, wanted: tuple[str, ...]) -> pl.DataFrame:
    if "enabled" in table.columns and key == "id":
        table = table.filter(pl.col("enabled").fill_null(True))
    return table.select(key, *[name for name in wanted if name in table.columns])


def _placed(picked: OutputRef, whole: OutputRef) -> pl.DataFrame:
    """Return all picks in px of the micrographs that are shown; those of the outputs looked at last are kept."""
    key = (str(picked), picked.hash, str(whole), whole.hash)
    with _lock:
        if key not in _placed_before:
            rows = on_micrographs(cast(Coordinates, picked.dataset), whole.dataset)
            _placed_before[key] = rows.select("micrograph_id", "x", "y", "score", *({"diameter"} & {*rows.columns}))
        _placed_before.move_to_end(key)
        while len(_placed_before) > _KEPT:
            _placed_before.popitem(last=False)
        return _placed_before[key]


def _counts(rows: pl.DataFrame) -> dict[str, list[float]] | None:
    scores = np.sort(rows["score"].drop_nulls().drop_nans().to_numpy())
    if not len(scores) or scores[0] == scores[-1]:
        return None
    parts = np.linspace(0, 1, STEPS // 2 + 1)  # even over the scores, and over the picks: most may have nearly one score
    at = np.unique(np.concatenate([scores[0] + parts * (scores[-1] - scores[0]), np.quantile(scores, parts)]))
    return {"at": at.tolist(), "count": (len(scores) - np.searchsorted(scores, at, side="left")).astype(float).tolist()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
