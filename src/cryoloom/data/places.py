"""Where the particles of a set lie on their micrographs, wherever they were boxed and however alignment moved them."""

from collections.abc import Collection, Mapping

import polars as pl

from cryoloom.data.identity import coordinate_scales
from cryoloom.data.kinds import Micrographs
from cryoloom.tables import Dataset


def place_columns(names: Collection[str], scale: pl.Expr, *, centred: bool = True) -> dict[str, pl.Expr]:
    """Return ``x`` and ``y`` in Å from the first pixel of the micrograph as recorded, of rows that have the columns `names`.

    Parameters
    ----------
    scale
        Å per px of the rows' ``x`` and ``y``.
    centred
        Whether the place is where alignment found the particle, or the centre of its box.
    """

    def known(name: str) -> pl.Expr:
        return pl.col(name).fill_null(0.0) if name in names else pl.lit(0.0)

    moved = {"x": known("origin_x") * mirror(names), "y": known("origin_y")} if centred else {}
    return {axis: pl.col(axis) * scale + known(f"offset_{axis}") - moved.get(axis, 0.0) for axis in "xy"}


def mirror(names: Collection[str]) -> pl.Expr:
    """Return -1 for rows whose image is mirrored along x before it is shifted, 1 for others: what a shift along x means in the image."""
    return pl.when(pl.col("flip").fill_null(False)).then(-1.0).otherwise(1.0) if "flip" in names else pl.lit(1.0)


def places(dataset: Dataset, key: str = "micrograph_id") -> pl.DataFrame:
    """Return ``id``, ``key`` (the micrograph, as the column `key` names it) and ``x``, ``y`` in Å of a set's enabled rows.

    Where a set does not tell what its coordinates are px of, they are taken for px of its images. Rows whose place is not known are left out.
    """
    rows = dataset.enabled()
    scale = pl.col("optics_group").replace_strict(coordinate_scales(dataset), default=None, return_dtype=pl.Float64)
    scale = scale.fill_null(pl.col("pixel_size")) if "pixel_size" in rows.columns else scale
    return rows.select("id", key=pl.col(key), **place_columns(rows.columns, scale)).drop_nulls()


def on_micrographs(
    rows: pl.DataFrame, scales: Mapping[int, float | None], micrographs: Micrographs, *, centred: bool = True
) -> pl.DataFrame:
    """Return where coordinates lie on a set of micrographs, whatever they were picked on; those of other micrographs are left out.

    Parameters
    ----------
    rows
        Coordinates or particles, with the columns of their optics group.
    scales
        Å per px of their ``x`` and ``y`` by optics group; where a group does not tell, they are taken for px of these micrographs.
    centred
        As in `place_columns`.

    Returns
    -------
    DataFrame
        ``id``; ``micrograph_id``, ``micrograph_name`` and ``optics_group`` of the micrograph; ``x``, ``y`` in its px.
    """
    groups = [
        {"optics_group": group["optics_group"], "scale": float(group["pixel_size"])}
        | {f"start_{axis}": float(group.get(f"offset_{axis}") or 0.0) for axis in "xy"}
        for group in micrographs.optics
    ]
    own = ["micrograph_name", "optics_group"]
    here = micrographs.items.select(*own, micrograph_id="id")
    here = here.join(pl.DataFrame(groups, infer_schema_length=None), on="optics_group", how="left").rename(
        {name: f"{name}_here" for name in own}
    )
    rows = rows.join(here, on="micrograph_id", how="inner", maintain_order="left")
    scale = pl.col("optics_group").replace_strict(dict(scales), default=None, return_dtype=pl.Float64).fill_null(pl.col("scale"))
    found = place_columns(rows.columns, scale, centred=centred)
    centres = {axis: (place - pl.col(f"start_{axis}")) / pl.col("scale") for axis, place in found.items()}
    return rows.select("id", "micrograph_id", *(pl.col(f"{name}_here").alias(name) for name in own), **centres)


def best_apart(dataset: Dataset, distance: float, *, by: str = "", descending: bool = True, within: pl.Series | None = None) -> pl.Series:
    """Return the ids that stay when each row, the best first, removes all within `distance` Å of it on its micrograph, in the set's order.

    Parameters
    ----------
    by, descending
        The column that tells which is better; rows without a value come last. Without it, the set's order.
    within
        Ids of the rows that count; all that are enabled by default. Rows whose place is not known stay.
    """
    from cryoloom.numerics.picking.peaks import keep_apart

    rows = dataset.enabled()
    rows = rows if within is None else rows.filter(pl.col("id").is_in(within.implode()))
    there = rows.select("id", *([by] if by else [])).join(places(dataset), on="id", how="inner", maintain_order="left")
    if by:
        there = there.with_columns(pl.col(by).cast(pl.Float64).fill_nan(None)).sort(
            by, descending=descending, nulls_last=True, maintain_order=True
        )
    removed = [
        group["id"].filter(~pl.Series(keep_apart(group["x"].to_numpy(), group["y"].to_numpy(), distance)))
        for group in there.partition_by("key", maintain_order=True)
    ]
    return rows["id"].filter(~rows["id"].is_in(pl.concat(removed).implode())) if removed else rows["id"]
