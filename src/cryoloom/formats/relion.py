"""Any set as RELION 3.1 and later keep it: STAR tables with optics groups, MRC images beside them, all paths relative to one folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import FSC, Classes2D, Classes3D, Mask, Particles, Volume
from cryoloom.data.columns import relion_names
from cryoloom.files import make_folder
from cryoloom.formats.exchange import Format
from cryoloom.formats.micrograph_table import on_micrographs, read_micrographs_star
from cryoloom.formats.particle_table import read_particles_star
from cryoloom.formats.relion_coordinates import read_coordinates_star
from cryoloom.formats.relion_micrographs import export_coordinates, export_ctfs, export_micrographs, export_movies
from cryoloom.formats.relion_tables import (
    demand_unmirrored,
    enabled,
    item_table,
    optics_table,
    original_sizes,
    place_image,
    place_stacks,
    stacked_name,
)
from cryoloom.formats.star import write_star
from cryoloom.spec import Failure
from cryoloom.tables import Dataset


def export_relion(dataset: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write `dataset` into `directory` under RELION's own file names; images are hard-linked where that is possible, or copied.

    Parameters
    ----------
    dataset
        Disabled rows are left out.
    name
        Of the output; maps carry it as their file name.
    directory
        RELION is started in it: all paths in the tables are relative to it.
    related
        The latest set of each kind: micrographs for CTFs, movies for motion and the original pixel size.

    Returns
    -------
    list of Path
        The tables and maps written; movies, micrographs and stacks lie where the tables say.

    Raises
    ------
    Failure
        ``export-kind`` for a kind that RELION has no file for, ``file-missing`` for images that are gone.
    """
    directory = make_folder(Path(directory))
    writer = _WRITERS.get(dataset.kind)
    if writer is not None:
        return writer(dataset, directory, related)
    if isinstance(dataset, Volume):
        return _export_volume(dataset, name, directory)
    raise Failure("export-kind", f"{name}: RELION has no file for {dataset.kind}.", "Export it as parquet.")


def _export_particles(particles: Particles, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    items = enabled(particles)
    demand_unmirrored(items, "RELION")
    sizes = particles.of_groups("pixel_size")
    dark = [group["optics_group_name"] for group in particles.optics if group.get("contrast") == "dark"]
    if dark:
        raise Failure("export-contrast", f"Particles of {dark[0]} are dark; RELION wants bright ones.", "Extract or import them inverted.")
    items = on_micrographs(items, particles.groups, related.get("micrographs"), picked_at="micrograph_pixel_size")
    files = place_stacks(particles, items, directory)
    placed = items.with_columns(_file=pl.col("stack_path").replace_strict(files, return_dtype=pl.String))
    columns = [stacked_name("rlnImageName", pl.col("stack_index"), pl.col("_file"))]
    if "micrograph_name" in items.columns:
        columns.append(pl.format("micrographs/{}.mrc", "micrograph_name").alias("rlnMicrographName"))
    rows = placed.select(columns).hstack(item_table(items))
    optics = optics_table(particles.optics, image_pixel_size=sizes, image_dimensions=2, original_pixel_size=original_sizes(sizes, related))
    path = directory / "particles.star"
    write_star(path, {"optics": optics, "particles": rows})
    return [path]


def _export_classes2d(classes: Classes2D, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    from cryoloom.formats.stack import read_particles, write_stack

    items = classes.items.sort("class_id")
    ordered = Classes2D(items, classes.root, optics=classes.optics, meta=classes.meta)
    size = float(classes.meta.get("pixel_size") or classes.optics[0]["pixel_size"])
    write_stack(directory / "run_classes.mrcs", read_particles(ordered), size)
    names = [f"{number:06d}@run_classes.mrcs" for number in range(1, items.height + 1)]
    return [_model_star(directory, items, names, size, dimensions=2), directory / "run_classes.mrcs"]


def _export_classes3d(classes: Classes3D, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    items = classes.items.sort("class_id")
    size = float(classes.meta.get("pixel_size") or classes.optics[0]["pixel_size"])
    names = [f"run_class{number:03d}.mrc" for number in items["class_id"]]
    maps = [place_image(classes.file(path), directory / name, size) for path, name in zip(items["volume_path"], names, strict=True)]
    return [_model_star(directory, items, names, size, dimensions=3), *maps]


def _model_star(directory: Path, items: pl.DataFrame, names: list[str], pixel_size: float, *, dimensions: int) -> Path:
    """Write the part of RELION's model file that describes classes."""
    count = items["count"].cast(pl.Float64)
    columns: dict[str, Any] = {"rlnReferenceImage": names, "rlnClassDistribution": (count / max(1.0, float(count.sum()))).to_list()}
    if "resolution" in items.columns:
        columns["rlnEstimatedResolution"] = items["resolution"].cast(pl.Float64).to_list()
    for name in ("accuracy_rotations", "accuracy_translations", "estimated_resolution", "completeness"):
        if name in items.columns:
            columns[relion_names()[name]] = items[name].cast(pl.Float64).to_list()
    general = {
        "rlnReferenceDimensionality": dimensions,
        "rlnDataDimensionality": 2,
        "rlnPixelSize": pixel_size,
        "rlnNrClasses": items.height,
    }
    path = directory / "run_model.star"
    write_star(path, {"model_general": general, "model_classes": pl.DataFrame(columns)})
    return path


def _export_volume(volume: Volume, name: str, directory: Path) -> list[Path]:
    size = float(volume.meta.get("pixel_size") or (volume.optics[0]["pixel_size"] if volume.optics else 0))
    written = []
    endings = {"volume_path": ".mrc", "half_map1_path": "_half1_unfil.mrc", "half_map2_path": "_half2_unfil.mrc"}
    for row in volume.items.iter_rows(named=True):
        stem = name if len(volume) == 1 else f"{name}_class{row['id']:03d}"
        for column, ending in endings.items():
            if row.get(column):
                source = volume.file(row[column])
                written.append(place_image(source, directory / f"{stem}{ending}", size, is_map=True))
    return written


def _export_mask(mask: Mask, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    size = float(mask.meta.get("pixel_size") or 0)
    count = len(mask)
    files = ["mask.mrc" if count == 1 else f"mask_{number:03d}.mrc" for number in mask.items["id"]]
    return [
        place_image(mask.file(path), directory / file, size, is_map=True) for path, file in zip(mask.items["mask_path"], files, strict=True)
    ]


def _export_fsc(fsc: FSC, directory: Path, related: Mapping[str, Dataset]) -> list[Path]:
    """Write the curves as ``postprocess.star`` has them."""
    curves = {
        "fsc": "rlnFourierShellCorrelationCorrected",
        "fsc_unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
        "fsc_masked": "rlnFourierShellCorrelationMaskedMaps",
        "fsc_randomised": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    }
    items = fsc.items
    frequency = pl.col("frequency")
    rows = items.select(
        rlnSpectralIndex="shell",
        rlnResolution="frequency",
        rlnAngstromResolution=pl.when(frequency > 0).then(1 / frequency).otherwise(999.0),
        **{relion: pl.col(ours) for ours, relion in curves.items() if ours in items.columns},
    )
    said = {"resolution": "rlnFinalResolution", "b_factor": "rlnBfactorUsedForSharpening"}
    general = {relion: fsc.meta[ours] for ours, relion in said.items() if fsc.meta.get(ours) is not None}
    path = directory / "postprocess.star"
    write_star(path, {"general": general, "fsc": rows} if general else {"fsc": rows})
    return [path]


_WRITERS: dict[str, Callable[[Any, Path, Mapping[str, Dataset]], list[Path]]] = {
    "movies": export_movies,
    "micrographs": export_micrographs,
    "ctfs": export_ctfs,
    "coordinates": export_coordinates,
    "particles": _export_particles,
    "classes2d": _export_classes2d,
    "classes3d": _export_classes3d,
    "mask": _export_mask,
    "fsc": _export_fsc,
}

FORMAT = Format(
    "relion",
    "RELION STAR (3.1 and later, 5 included; 3.0 and earlier are read)",
    suffixes=(".star",),
    readers={"particles": read_particles_star, "coordinates": read_coordinates_star, "micrographs": read_micrographs_star},
    writers=dict.fromkeys((*_WRITERS, "volume"), export_relion),
)
