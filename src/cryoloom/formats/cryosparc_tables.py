"""Our sets as cryoSPARC keeps them: one ``.cs`` of little-endian fields, the ``.csg`` that imports it, images beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import CTFs, Mask, Micrographs, Particles, Volume
from cryoloom.files import make_folder, writing
from cryoloom.formats.exchange import Writer
from cryoloom.formats.micrograph_table import micrographs_of, on_micrographs, place_micrographs, with_transfer_functions
from cryoloom.formats.relion_tables import demand_unmirrored, enabled, place_image, place_stacks
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

_VERSION = "v4.4.1"
"""The version whose layout this is."""
_PLAIN_CTF = {
    "scale": ("f4", 1.0),
    "scale_const": ("f4", 0.0),
    "shift_A": ("2f4", 0.0),
    "tilt_A": ("2f4", 0.0),
    "trefoil_A": ("2f4", 0.0),
    "tetra_A": ("4f4", 0.0),
    "anisomag": ("4f4", 0.0),
    "bfactor": ("f4", 0.0),
}
_PLAIN_ALIGNMENT = {
    **dict.fromkeys(("error", "error_min", "resid_pow", "slice_pow", "image_pow", "cross_cor"), ("f4", 0.0)),
    **dict.fromkeys(("alpha", "alpha_min"), ("f4", 1.0)),
    **dict.fromkeys(("weight", "pose_ess", "shift_ess"), ("f4", 0.0)),
    "class_ess": ("f4", 1.0),
}
Fields = dict[str, tuple[str, Any]]
"""By name: the type, and one value for all rows or an array of them."""


def write_cs(path: Path, fields: Fields, rows: int) -> Path:
    """Write a table of `rows` rows, without pickling; text becomes bytes of the length of the longest."""
    values = {name: (_bytes(value, rows) if kind == "S" else value, kind) for name, (kind, value) in fields.items()}
    dtype = np.dtype([(name, value.dtype.str if kind == "S" else _little(kind)) for name, (value, kind) in values.items()])
    table = np.zeros(rows, dtype=dtype)
    for name, (value, _) in values.items():
        table[name] = value
    with writing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, table, allow_pickle=False)
    return path


def write_csg(path: Path, group: str, kind: str, results: Mapping[str, str], rows: int) -> Path:
    """Write what cryoSPARC's import of a result group reads: each result, its type, and that it lies in the ``.cs`` of this name."""
    lines = ["group:", f"  description: exported by cryoloom\n  name: {group}\n  title: {group}\n  type: {kind}", "results:"]
    for name, result in results.items():
        lines.append(f"  {name}:\n    metafile: '>{path.stem}.cs'\n    num_items: {rows}\n    type: {result}")
    lines.append(f"version: {_VERSION}\n")
    with writing(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return path


def export_particles(particles: Particles, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``particles.cs``, ``particles.csg`` and the stacks; ``uid`` is cryoSPARC's own where it had one, our id otherwise.

    Poses, shifts, halves and classes stand in ``alignments3D``, or ``alignments2D`` where only ``psi`` is known. Aberrations beyond
    defocus and astigmatism are not written.

    Raises
    ------
    Failure
        ``export-phase-flipped`` and ``export-flip`` for what cryoSPARC has no field for.
    """
    directory = make_folder(Path(directory))
    items = enabled(particles)
    _demand_plain(particles, items)
    groups = particles.groups
    files = place_stacks(particles, items, directory)
    of_group = _of_group(items, groups)
    box = of_group("box_size").astype(np.uint32)
    fields: Fields = {
        "uid": ("u8", _uids(items)),
        "blob/path": ("S", [files[path] for path in items["stack_path"]]),
        "blob/idx": ("u4", items["stack_index"].to_numpy()),
        "blob/shape": ("2u4", np.stack([box, box], axis=1)),
        "blob/psize_A": ("f4", of_group("pixel_size")),
        "blob/sign": ("f4", [-1.0 if groups[group].get("contrast") == "dark" else 1.0 for group in items["optics_group"]]),
        "blob/import_sig": ("u8", 0),
        **_ctf(items, groups),
        **_alignment(items, of_group("pixel_size")),
        **_location(items, groups, related, "micrograph_pixel_size"),
    }
    return _written(directory / "particles.cs", "particles", "particle", fields, items.height)


def export_coordinates(coordinates: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``coordinates.cs`` and ``coordinates.csg``: positions as fractions of the micrographs, which must be known.

    Raises
    ------
    Failure
        ``export-micrographs`` when one of them is not.
    """
    items = enabled(coordinates)
    location = _location(items, coordinates.groups, related, "pixel_size")
    if not location:
        micrographs_of(related)
        raise Failure(
            "export-micrographs", "Some positions lie on micrographs that are not in the latest set.", "Export that set of positions' own."
        )
    fields: Fields = {"uid": ("u8", _uids(items)), **location}
    return _written(Path(directory) / "coordinates.cs", "particles", "particle", fields, items.height)


def export_micrographs(dataset: Micrographs | CTFs, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``micrographs.cs``, its ``.csg`` and the micrographs, with their transfer functions; see `with_transfer_functions`."""
    directory = Path(directory)
    micrographs, items = with_transfer_functions(dataset, related)
    groups = micrographs.groups
    files = place_micrographs(micrographs, items, directory)
    of_group = _of_group(items, groups)
    fields: Fields = {
        "uid": ("u8", items["id"].to_numpy()),
        "micrograph_blob/path": ("S", files),
        "micrograph_blob/idx": ("u4", 0),
        "micrograph_blob/shape": ("2u4", items.select("height", "width").to_numpy()),
        "micrograph_blob/psize_A": ("f4", of_group("pixel_size")),
        "micrograph_blob/format": ("S", ["MRC/1"] * items.height),
        "micrograph_blob/is_background_subtracted": ("u4", 0),
        "micrograph_blob/vmin": ("f4", 0.0),
        "micrograph_blob/vmax": ("f4", 0.0),
        "micrograph_blob/import_sig": ("u8", 0),
        "mscope_params/accel_kv": ("f4", of_group("voltage")),
        "mscope_params/cs_mm": ("f4", of_group("cs")),
        "mscope_params/phase_plate": ("u4", 0),
        "mscope_params/neg_stain": ("u4", 0),
        "mscope_params/exp_group_id": ("u4", items["optics_group"].to_numpy()),
        **_ctf(items, groups),
    }
    for ours, theirs in {"ctf_resolution": "ctf_stats/ctf_fit_to_A", "ctf_score": "ctf_stats/cross_corr"}.items():
        if ours in items.columns and not items[ours].is_null().all():
            fields[theirs] = ("f4", items[ours].fill_null(0.0).to_numpy())
    return _written(directory / "micrographs.cs", "exposures", "exposure", fields, items.height)


def export_volume(volume: Volume, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``NAME.cs``, its ``.csg`` and the map with its half maps."""
    directory = make_folder(Path(directory))
    size = float(volume.meta.get("pixel_size") or 0)
    endings = {"map": ("volume_path", ""), "map_half_A": ("half_map1_path", "_half_A"), "map_half_B": ("half_map2_path", "_half_B")}
    fields: Fields = {"uid": ("u8", volume.items["id"].to_numpy())}
    maps = []
    for result, (column, ending) in endings.items():
        if column not in volume.items.columns or volume.items[column].has_nulls():
            continue
        files = [f"{name}{ending}.mrc" if len(volume) == 1 else f"{name}_{number}{ending}.mrc" for number in volume.items["id"]]
        maps += [
            place_image(volume.file(path), directory / file, size, is_map=True)
            for path, file in zip(volume.items[column], files, strict=True)
        ]
        box = volume.items["box_size"].to_numpy().astype(np.uint32)
        fields |= {
            f"{result}/path": ("S", files),
            f"{result}/shape": ("3u4", np.stack([box] * 3, axis=1)),
            f"{result}/psize": ("f4", size),
        }
    return [*_written(directory / f"{name}.cs", "volume", "volume", fields, len(volume)), *maps]


def export_mask(mask: Mask, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``mask.cs``, its ``.csg`` and the masks."""
    directory = make_folder(Path(directory))
    size = float(mask.meta.get("pixel_size") or 0)
    files = ["mask.mrc" if len(mask) == 1 else f"mask_{number:03d}.mrc" for number in mask.items["id"]]
    maps = [
        place_image(mask.file(path), directory / file, size, is_map=True) for path, file in zip(mask.items["mask_path"], files, strict=True)
    ]
    box = mask.items["box_size"].to_numpy().astype(np.uint32)
    fields: Fields = {
        "uid": ("u8", mask.items["id"].to_numpy()),
        "mask/path": ("S", files),
        "mask/shape": ("3u4", np.stack([box] * 3, axis=1)),
        "mask/psize": ("f4", size),
    }
    return [*_written(directory / "mask.cs", "mask", "mask", fields, len(mask)), *maps]


def _written(path: Path, group: str, kind: str, fields: Fields, rows: int) -> list[Path]:
    results = {name.split("/")[0]: "" for name in fields if "/" in name}
    types = {"map": "volume.blob", "map_half_A": "volume.blob", "map_half_B": "volume.blob", "mask": "mask.blob"}
    named = {name: types.get(name, f"{kind}.{name}") for name in results}
    make_folder(path.parent)
    return [write_cs(path, fields, rows), write_csg(path.with_suffix(".csg"), group, kind, named, rows)]


def _demand_plain(particles: Particles, items: pl.DataFrame) -> None:
    for group in particles.optics:
        if group.get("phase_flipped") or group.get("ctf_premultiplied"):
            message = f"Particles of {group['optics_group_name']} are corrected for their CTF already; cryoSPARC cannot be told so."
            raise Failure("export-phase-flipped", message, "Extract them without phase flipping.")
    demand_unmirrored(items, "cryoSPARC")


def _uids(items: pl.DataFrame) -> NDArray[np.uint64]:
    """Return cryoSPARC's own ids where every row has one, ours otherwise: the two must not be mixed."""
    own = items["cryosparc_uid"] if "cryosparc_uid" in items.columns else None
    return (items["id"] if own is None or own.has_nulls() or not own.is_unique().all() else own).to_numpy().astype(np.uint64)


def _of_group(items: pl.DataFrame, groups: Mapping[int, Mapping[str, Any]]) -> Any:
    """Return a function from the name of an acquisition's value to that value for every row."""
    return lambda name: np.asarray([groups[group].get(name) or 0.0 for group in items["optics_group"]], dtype=np.float64)


def _ctf(items: pl.DataFrame, groups: Mapping[int, Mapping[str, Any]]) -> Fields:
    if "defocus_u" not in items.columns:
        return {}
    of_group = _of_group(items, groups)
    values = items.select(pl.col("defocus_u", "defocus_v", "defocus_angle").fill_null(0.0)).to_numpy()
    phase = items["phase_shift"].fill_null(0.0).to_numpy() if "phase_shift" in items.columns else 0.0
    return {
        "ctf/type": ("S", ["imported"] * items.height),
        "ctf/exp_group_id": ("u4", items["optics_group"].to_numpy()),
        "ctf/accel_kv": ("f4", of_group("voltage")),
        "ctf/cs_mm": ("f4", of_group("cs")),
        "ctf/amp_contrast": ("f4", of_group("amplitude_contrast")),
        "ctf/df1_A": ("f4", values[:, 0]),
        "ctf/df2_A": ("f4", values[:, 1]),
        "ctf/df_angle_rad": ("f4", np.deg2rad(values[:, 2])),
        "ctf/phase_shift_rad": ("f4", np.deg2rad(phase)),
        **{f"ctf/{name}": value for name, value in _PLAIN_CTF.items()},
    }


def _alignment(items: pl.DataFrame, pixel_size: NDArray[np.float64]) -> Fields:
    """Return the pose: a rotation vector of the inverse of our matrix, or one angle, and the shift in px, all in our signs."""
    from scipy.spatial.transform import Rotation

    from cryoloom.numerics.geometry.euler import euler_to_matrix

    if "psi" not in items.columns:
        return {}
    columns = {name: items[name].fill_null(0.0).to_numpy() for name in ("rot", "tilt", "psi") if name in items.columns}
    if len(columns) == 3:
        kind, pose = "alignments3D", ("3f4", Rotation.from_matrix(euler_to_matrix(**columns).transpose(0, 2, 1)).as_rotvec())
    else:
        kind, pose = "alignments2D", ("f4", np.deg2rad(columns["psi"]))
    shifts = [
        items[name].fill_null(0.0).to_numpy() if name in items.columns else np.zeros(items.height) for name in ("origin_x", "origin_y")
    ]
    whole = {name: items[name].fill_null(1).to_numpy() - 1 if name in items.columns else 0 for name in ("half_set", "class_id")}
    probability = items["max_probability"].fill_null(1.0).to_numpy() if "max_probability" in items.columns else 1.0
    return {
        f"{kind}/split": ("u4", whole["half_set"]),
        f"{kind}/shift": ("2f4", np.stack(shifts, axis=1) / pixel_size[:, None]),
        f"{kind}/pose": pose,
        f"{kind}/psize_A": ("f4", pixel_size),
        f"{kind}/class": ("u4", whole["class_id"]),
        f"{kind}/class_posterior": ("f4", probability),
        **{f"{kind}/{name}": value for name, value in _PLAIN_ALIGNMENT.items()},
    }


def _location(items: pl.DataFrame, groups: Mapping[int, Mapping[str, Any]], related: Mapping[str, Dataset], picked_at: str) -> Fields:
    """Return where items lie as fractions of their micrographs; nothing where micrographs or positions are not known.

    `picked_at` names the value of the optics groups that is the pixel size of the positions; the micrographs' own where it is missing.
    """
    micrographs = related.get("micrographs")
    if micrographs is None or not {"x", "y", "micrograph_id", "micrograph_name"} <= set(items.columns):
        return {}
    known = micrographs.to_polars().select("micrograph_name", "width", "height", uid="id")
    rows = on_micrographs(items, groups, micrographs, picked_at=picked_at)
    rows = rows.select("micrograph_name", "x", "y", "optics_group").join(known, on="micrograph_name", how="left", maintain_order="left")
    if rows["width"].has_nulls():
        return {}
    fields: Fields = {
        "location/micrograph_uid": ("u8", rows["uid"].to_numpy()),
        "location/exp_group_id": ("u4", rows["optics_group"].to_numpy()),
        "location/micrograph_path": ("S", [f"micrographs/{each}.mrc" for each in rows["micrograph_name"]]),
        "location/micrograph_shape": ("2u4", rows.select("height", "width").to_numpy()),
        "location/center_x_frac": ("f4", rows["x"].to_numpy() / rows["width"].to_numpy()),
        "location/center_y_frac": ("f4", rows["y"].to_numpy() / rows["height"].to_numpy()),
    }
    if "score" in items.columns and not items["score"].is_null().all():
        fields |= {"pick_stats/ncc_score": ("f4", items["score"].fill_null(0.0).to_numpy()), "pick_stats/power": ("f4", 0.0)}
        fields |= {"pick_stats/template_idx": ("u4", 0), "pick_stats/angle_rad": ("f4", 0.0)}
    return fields


def _bytes(value: list[str], rows: int) -> NDArray[np.bytes_]:
    return np.asarray([text.encode() for text in value] if rows else np.zeros(0, dtype="S1"))


def _little(kind: str) -> Any:
    return (f"<{kind[1:]}", (int(kind[0]),)) if kind[0].isdigit() else f"<{kind}"


WRITERS: dict[str, Writer] = {
    "particles": export_particles,
    "coordinates": export_coordinates,
    "micrographs": export_micrographs,
    "ctfs": export_micrographs,
    "volume": export_volume,
    "mask": export_mask,
}
