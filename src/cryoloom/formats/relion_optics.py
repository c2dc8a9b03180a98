"""What RELION's tables say of the acquisition: optics groups since 3.1, columns of every row before, as groups in our words either way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.formats.star import demand_numbers
from cryoloom.spec import Failure

_ACQUISITION = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
_SIZES = ("rlnImagePixelSize", "rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")
_BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
_NUMBERS = ("rlnOpticsGroup", "rlnImageSize", *_SIZES, *_ACQUISITION, *_BEAM_TILT)
_OLD_SIZES = ("rlnImagePixelSize", "rlnMicrographPixelSize", "rlnPixelSize")
_OLD_GROUP = (*_BEAM_TILT, "rlnMtfFileName")
"""What 3.0 wrote in every row and 3.1 keeps in ``data_optics``."""
_OURS = {
    "rlnOpticsGroup": "optics_group",
    "rlnOpticsGroupName": "optics_group_name",
    "rlnImageSize": "box_size",
    "rlnVoltage": "voltage",
    "rlnSphericalAberration": "cs",
    "rlnAmplitudeContrast": "amplitude_contrast",
    "rlnCtfDataArePhaseFlipped": "phase_flipped",
    "rlnCtfDataAreCtfPremultiplied": "ctf_premultiplied",
    "rlnBeamTiltX": "beam_tilt_x",
    "rlnBeamTiltY": "beam_tilt_y",
}


def with_optics(
    rows: pl.DataFrame, blocks: Mapping[str, pl.DataFrame], path: Path, *, size: tuple[str, ...] = ("rlnImagePixelSize",)
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Return the rows with ``rlnOpticsGroup``, and the groups in our words.

    Parameters
    ----------
    rows, blocks
        The table of the items, and all tables of the file.
    size
        Which labels of ``data_optics`` tell the pixel size of the items' own images, the first of them that is there.

    Returns
    -------
    rows, optics
        Values that the file does not tell are missing in the groups or None.

    Raises
    ------
    Failure
        ``star-column`` or ``star-optics`` when it is not clear which group a row belongs to, ``star-number``.
    """
    groups = next((frame for frame in blocks.values() if "rlnOpticsGroup" in frame.columns and frame is not rows), None)
    if groups is None:
        return _old_optics(rows, path)
    demand_numbers(groups, _NUMBERS, path)
    rows = _with_group(rows, groups, path)
    optics = _optics(groups, size)
    known = {group["optics_group"] for group in optics}
    unknown = sorted(set(rows["rlnOpticsGroup"].to_list()) - known)
    if unknown:
        raise Failure("star-optics", f"{path}: optics group {unknown[0]} is not in data_optics, which has {sorted(known)}.", "Add it.")
    return rows, optics


def _with_group(rows: pl.DataFrame, groups: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return the rows with their optics group; where there is but one, it is theirs."""
    if "rlnOpticsGroup" in rows.columns:
        return rows
    if groups.height != 1:
        message = f"{path}: the rows have no rlnOpticsGroup, data_optics has {groups.height} groups."
        raise Failure("star-column", message, "Say of every row which group it belongs to.")
    return rows.with_columns(rlnOpticsGroup=pl.lit(groups["rlnOpticsGroup"][0]))


def _optics(groups: pl.DataFrame, size: tuple[str, ...]) -> list[dict[str, Any]]:
    label = next((name for name in size if name in groups.columns), None)
    ours = {**_OURS, label: "pixel_size"} if label else _OURS
    optics = [{ours.get(name, name): value for name, value in row.items()} for row in groups.iter_rows(named=True)]
    for group in optics:
        group.setdefault("optics_group_name", f"opticsGroup{group['optics_group']}")
        for flag in ("phase_flipped", "ctf_premultiplied"):
            group[flag] = bool(group.get(flag, False))
        group.pop("rlnImageDimensionality", None)
    return optics


def _old_optics(rows: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Gather what each row of a table without optics groups says of its acquisition into groups."""
    labels = ("rlnDetectorPixelSize", "rlnMagnification", *_OLD_SIZES, *_ACQUISITION, *_BEAM_TILT)
    demand_numbers(rows, labels, path)
    size = next((name for name in _OLD_SIZES if name in rows.columns), None)
    if size is not None:
        rows = rows.with_columns(_pixel_size=pl.col(size).cast(pl.Float64))
    elif {"rlnDetectorPixelSize", "rlnMagnification"} <= set(rows.columns):
        # µm on the detector over magnification
        rows = rows.with_columns(_pixel_size=(1e4 * pl.col("rlnDetectorPixelSize") / pl.col("rlnMagnification")).round(6))
    if "_pixel_size" in rows.columns and not (rows["_pixel_size"].is_finite() & (rows["_pixel_size"] > 0)).all():
        raise Failure("star-number", f"{path}: a pixel size or magnification is not above 0.", "Correct it, or leave the column out.")
    said = [name for name in ("rlnOpticsGroup", "_pixel_size", *_ACQUISITION, *_OLD_GROUP) if name in rows.columns]
    if not said:
        return rows.with_columns(rlnOpticsGroup=pl.lit(1, pl.Int64)), [_group(1, {})]
    groups = rows.select(said).unique().sort(said)
    if "rlnOpticsGroup" not in said or groups["rlnOpticsGroup"].n_unique() < groups.height:
        rows, said = rows.drop("rlnOpticsGroup", strict=False), [name for name in said if name != "rlnOpticsGroup"]
        groups = (
            rows.select(said).unique().sort(said).with_row_index("rlnOpticsGroup", 1).with_columns(pl.col("rlnOpticsGroup").cast(pl.Int64))
        )
        rows = rows.join(groups, on=said, how="left", maintain_order="left", nulls_equal=True)
    optics = [_group(row["rlnOpticsGroup"], row) for row in groups.iter_rows(named=True)]
    return rows.drop("_pixel_size", *labels, *_OLD_GROUP, strict=False), optics


def _group(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "optics_group": number,
        "optics_group_name": f"opticsGroup{number}",
        "pixel_size": row.get("_pixel_size"),
        "voltage": row.get("rlnVoltage"),
        "cs": row.get("rlnSphericalAberration"),
        "amplitude_contrast": row.get("rlnAmplitudeContrast"),
        "phase_flipped": False,
        "ctf_premultiplied": False,
        **{_OURS.get(name, name): row[name] for name in _OLD_GROUP if row.get(name) is not None},
    }
