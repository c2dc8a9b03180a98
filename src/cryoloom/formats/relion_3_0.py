"""RELION 3.0 and earlier: one table without optics groups, origins in px, the pixel size as detector pixel over magnification.

For programs that never learnt more; RELION 3.1 and later reads the files of `relion`. Reading either is `relion`'s.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import CTFs, Particles
from cryoloom.data.columns import relion_names
from cryoloom.files import make_folder
from cryoloom.formats.exchange import Format
from cryoloom.formats.micrograph_table import on_micrographs, place_micrographs, with_transfer_functions
from cryoloom.formats.relion import export_relion
from cryoloom.formats.relion_tables import demand_unmirrored, enabled, item_table, place_stacks, stacked_name
from cryoloom.formats.star import write_star
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

_MAGNIFICATION = 10_000.0
"""With it the detector's pixel in µm is the number of the image's pixel in Å."""
_ORIGINS = {relion_names()[f"origin_{axis.lower()}"]: f"rlnOrigin{axis}" for axis in "XY"}
_ACQUISITION = {
    "voltage": "rlnVoltage", "cs": "rlnSphericalAberration", "amplitude_contrast": "rlnAmplitudeContrast",
    "beam_tilt_x": "rlnBeamTiltX", "beam_tilt_y": "rlnBeamTiltY",
}  # fmt: skip


def export_particles(particles: Particles, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``particles.star`` and the stacks.

    Raises
    ------
    Failure
        ``export-boxes`` when boxes differ: without optics groups there is one.
    """
    items = enabled(particles)
    demand_unmirrored(items, "RELION")
    boxes = sorted({group["box_size"] for group in particles.optics if group.get("box_size")})
    if len(boxes) > 1:
        raise Failure(
            "export-boxes", f"Particles of boxes {boxes} px; RELION 3.0 knows one box size.", "Export each optics group by itself."
        )
    items = on_micrographs(items, particles.groups, related.get("micrographs"), picked_at="micrograph_pixel_size")
    files = place_stacks(particles, items, make_folder(Path(directory)))
    placed = items.with_columns(_file=pl.col("stack_path").replace_strict(files, return_dtype=pl.String))
    columns = [stacked_name("rlnImageName", pl.col("stack_index"), pl.col("_file"))]
    if "micrograph_name" in items.columns:
        columns.append(pl.format("micrographs/{}.mrc", "micrograph_name").alias("rlnMicrographName"))
    rows = placed.select(columns).hstack(item_table(items, leave_out=("optics_group",)))
    return [_written(Path(directory) / "particles.star", rows, items, particles.optics)]


def export_ctfs(ctfs: CTFs, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``micrographs_ctf.star`` and the micrographs; those without a CTF are left out."""
    micrographs, items = with_transfer_functions(ctfs, related)
    files = place_micrographs(micrographs, items, make_folder(Path(directory)))
    rows = pl.DataFrame({"rlnMicrographName": files}).hstack(item_table(items, leave_out=("id", "optics_group")))
    return [_written(Path(directory) / "micrographs_ctf.star", rows, items, micrographs.optics)]


def _written(path: Path, rows: pl.DataFrame, items: pl.DataFrame, optics: list[dict[str, Any]]) -> Path:
    groups = {group["optics_group"]: group for group in optics}
    own = [groups[number] for number in items["optics_group"]]
    known = {label for group in own for label in group}
    size = pl.Series([group["pixel_size"] for group in own], dtype=pl.Float64)
    said = {label: ours for ours, label in _ACQUISITION.items()}
    rows = rows.with_columns(
        *(pl.Series(label, [group.get(ours) for group in own], dtype=pl.Float64) for label, ours in said.items() if ours in known),
        rlnDetectorPixelSize=size * _MAGNIFICATION * 1e-4,
        rlnMagnification=pl.lit(_MAGNIFICATION),
    )
    rows = rows.with_columns(pl.col(angst) / size for angst in _ORIGINS if angst in rows.columns)
    write_star(path, {"": rows.rename(_ORIGINS, strict=False)}, heading="")
    return path


FORMAT = Format("relion-3.0", "RELION 3.0 STAR", writers={"particles": export_particles, "ctfs": export_ctfs, "coordinates": export_relion})
