"""Xmipp 3 metadata: ``.xmd`` of particles or micrographs, ``.pos`` of coordinates; STAR with labels of its own.

Phase shifts are radians in them, all other angles degrees; shifts are px. `xmipp_tables` writes them.
"""

from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data.columns import xmipp_names
from cryoloom.formats.exchange import Format
from cryoloom.formats.micrograph_table import MicrographTable
from cryoloom.formats.particle_table import ParticleTable, demand_companions, image_places, origins_in_angstrom, without_our_names
from cryoloom.formats.relion_optics import with_optics
from cryoloom.formats.sources import resolved
from cryoloom.formats.star import demand_numbers, read_star
from cryoloom.formats.volume_files import VolumeFiles
from cryoloom.formats.xmipp_geometry import POSE, from_xmipp
from cryoloom.formats.xmipp_tables import WRITERS
from cryoloom.spec import Failure

_OURS = {theirs: ours for ours, theirs in xmipp_names().items()}
_ACQUISITION = {"ctfVoltage": "rlnVoltage", "ctfSphericalAberration": "rlnSphericalAberration", "ctfQ0": "rlnAmplitudeContrast"}
_CTF = {theirs: _OURS[theirs] for theirs in ("ctfDefocusU", "ctfDefocusV", "ctfDefocusAngle", "ctfVPPphaseshift", "ctfCritFitting")}
_PLACES = ("image", "micrograph", "micrographName", "micrographId")
_TOGETHER = (("angleRot", "angleTilt"), ("shiftX", "shiftY"), ("xcoor", "ycoor"), ("ctfDefocusU", "ctfDefocusV", "ctfDefocusAngle"))
_NUMBERS = (*_ACQUISITION, *_CTF, *POSE, "samplingRate", "ctfSamplingRate", "xcoor", "ycoor", "cost", "ref", "enabled")


def read_particles_xmd(path: Path) -> ParticleTable:
    """Read particles with their transfer functions, poses, classes and positions; rows that are not enabled are left out.

    Raises
    ------
    Failure
        ``xmd-no-particles`` without ``image``, and what `read_star`, `demand_numbers` and `demand_companions` raise.
    """
    rows, optics = _acquired(_table(path, "image", "particles"), path)
    micrograph = next((pl.col(label) for label in ("micrograph", "micrographName") if label in rows.columns), pl.lit(""))
    made = [*image_places(rows["image"], path), *from_xmipp(rows)]
    known = {label: _OURS[label] for label in ("itemId", "xcoor", "ycoor", "cost", "ref") if label in rows.columns}
    items = rows.with_columns(micrograph_file=micrograph.cast(pl.String)).drop(*_PLACES, *POSE, strict=False)
    items = items.rename(known).with_columns(*made)
    return ParticleTable(origins_in_angstrom(items, optics), optics)


def read_micrographs_xmd(path: Path) -> MicrographTable:
    """Read micrographs with their transfer functions.

    Raises
    ------
    Failure
        ``xmd-no-micrographs`` without ``micrograph``, and what `read_star` and `demand_numbers` raise.
    """
    rows, optics = _acquired(_table(path, "micrograph", "micrographs"), path)
    rows = rows.rename({"micrograph": "micrograph_file"})
    return MicrographTable(
        rows.select("micrograph_file", "optics_group", *(name for name in _CTF.values() if name in rows.columns)), optics
    )


def read_positions(path: Path) -> pl.DataFrame:
    """Read the positions of a ``.pos`` (picked by hand and automatically), or of an ``.xmd`` with micrographs; see `read_coordinates`.

    Raises
    ------
    Failure
        ``coordinates-invalid`` without ``xcoor`` and ``ycoor``, and what `read_star` and `demand_numbers` raise.
    """
    parts = [frame for frame in read_star(path).values() if {"xcoor", "ycoor"} <= set(frame.columns)]
    if not parts:
        raise Failure("coordinates-invalid", f"{path}: no table with xcoor and ycoor.", "Give a .pos file, or an .xmd with coordinates.")
    for frame in parts:
        demand_numbers(frame, _NUMBERS, path)
    rows = _enabled(pl.concat(parts, how="diagonal_relaxed"))
    micrograph = pl.col("micrograph") if "micrograph" in rows.columns else pl.lit(path.as_posix())
    more = {ours: pl.col(theirs) for theirs, ours in {"cost": "score", "itemId": "id"}.items() if theirs in rows.columns}
    return rows.select(micrograph_file=micrograph, x=pl.col("xcoor").cast(pl.Float64), y=pl.col("ycoor").cast(pl.Float64), **more)


def read_volume_xmd(path: Path) -> VolumeFiles:
    """Read which map a file names; of several there is no telling which is meant.

    Raises
    ------
    Failure
        ``xmd-no-volumes`` without ``image``, ``volume-several`` for more than one row.
    """
    rows = _table(path, "image", "volumes")
    if rows.height != 1:
        raise Failure("volume-several", f"{path}: names {rows.height} maps.", "Give the map itself, or a file that names one.")
    size = next((float(rows[label][0]) for label in ("samplingRate", "ctfSamplingRate") if label in rows.columns), None)
    return VolumeFiles.found(path, {"volume_path": rows["image"][0].rpartition("@")[2]}, size)


def _table(path: Path, label: str, what: str) -> pl.DataFrame:
    """Return the enabled rows of the first block that has `label`."""
    blocks = read_star(path)
    rows = next((frame for frame in blocks.values() if label in frame.columns), None)
    if rows is None or rows.is_empty():
        found = ", ".join(f"data_{name}" for name in blocks)
        raise Failure(f"xmd-no-{what}", f"{path}: no rows with {label}; it holds {found}.", f"Give Xmipp's metadata of {what}.")
    demand_numbers(rows, _NUMBERS, path)
    rows = without_our_names(rows, except_for=("enabled", "flip"))
    return _enabled(rows).with_columns(pl.col(label).cast(pl.String))


def _enabled(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("enabled") > 0).drop("enabled") if "enabled" in rows.columns else rows


def _acquired(rows: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Return the rows with their transfer functions under our names and ``optics_group``, and the groups."""
    if "ctfModel" in rows.columns and "ctfDefocusU" not in rows.columns:
        rows = _with_models(rows, path)
    demand_companions(rows, _TOGETHER, path)
    if "ctfDefocusU" in rows.columns:
        phase = pl.col("ctfVPPphaseshift") if "ctfVPPphaseshift" in rows.columns else pl.lit(0.0)
        rows = rows.with_columns(ctfVPPphaseshift=phase.cast(pl.Float64).degrees())
    size = next((label for label in ("samplingRate", "ctfSamplingRate") if label in rows.columns), None)
    labels = {**_ACQUISITION, **({size: "rlnImagePixelSize"} if size else {}), **_CTF}
    rows = rows.drop("rlnOpticsGroup", strict=False).rename({label: name for label, name in labels.items() if label in rows.columns})
    rows, optics = with_optics(rows, {}, path)
    return rows.rename({"rlnOpticsGroup": "optics_group"}), optics


def _with_models(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Add what the ``.ctfparam`` of each row says; a file stands for all its rows."""
    models = []
    for name in rows["ctfModel"].unique(maintain_order=True):
        place = resolved(name.rpartition("@")[2], path)
        if place is None:
            raise Failure("ctfparam-missing", f"{path}: {name} was not found from there or a folder above.", "Copy it along.")
        model = next((frame for frame in read_star(place).values() if "ctfDefocusU" in frame.columns), None)
        if model is None:
            raise Failure("star-column", f"{place}: no ctfDefocusU; this is not a transfer function.", "Give Xmipp's .ctfparam file.")
        labels = [label for label in (*_CTF, *_ACQUISITION, "ctfSamplingRate") if label in model.columns and label not in rows.columns]
        demand_numbers(model, labels, place)
        models.append(model[:1].select(pl.lit(name).alias("ctfModel"), pl.col(labels).cast(pl.Float64)))
    return rows.join(pl.concat(models, how="diagonal"), on="ctfModel", how="left", maintain_order="left")


FORMAT = Format(
    "xmipp",
    "Xmipp 3 .xmd and .pos",
    suffixes=(".xmd", ".pos"),
    readers={
        "particles": read_particles_xmd,
        "coordinates": read_positions,
        "micrographs": read_micrographs_xmd,
        "volumes": read_volume_xmd,
    },
    writers=WRITERS,
)
