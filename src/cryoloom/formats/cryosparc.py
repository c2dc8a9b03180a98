"""cryoSPARC's tables: ``.cs``, NumPy structured arrays with slash-separated names, and ``.csg``, which say what lies in which ``.cs``.

They are read without ever unpickling. `cryosparc_tables` writes them.
"""

import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.formats.cryosparc_tables import WRITERS
from cryoloom.formats.exchange import Format
from cryoloom.formats.micrograph_table import MicrographTable
from cryoloom.formats.particle_table import ParticleTable, wrapped
from cryoloom.formats.sources import resolved
from cryoloom.formats.volume_files import VolumeFiles
from cryoloom.spec import Failure

_OURS = (1 << 20, 1 << 50)
"""Where the ids of our own exports lie; cryoSPARC draws its own from all 64-bit numbers."""
_HEADER = 1 << 20


def read_cs(path: Path, passthrough: Path | None = None) -> NDArray[Any]:
    """Read a table, one record an item ``(n,)``; the fields of `passthrough`, matched by ``uid``, are added where they are missing.

    Of a ``.csg`` the fields of each result are taken from the table that it names for them.

    Raises
    ------
    Failure
        ``cs-invalid`` when it is no such table, ``cs-passthrough`` when an item is not in the other file, ``csg-file`` when a table that a
        ``.csg`` names is not found.
    """
    data = _read_group(path) if path.suffix.lower() == ".csg" else _load(path)
    return data if passthrough is None else _joined(data, _load(passthrough), path, passthrough)


def _joined(data: NDArray[Any], other: NDArray[Any], path: Path, passthrough: Path, prefix: str = "") -> NDArray[Any]:
    """Return `data` with the fields of `other` that it lacks and that begin with `prefix`."""
    order = np.argsort(other["uid"], kind="stable")
    place = np.searchsorted(other["uid"][order], data["uid"])
    found = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(data), dtype=np.int64)
    missing = ~np.isin(data["uid"], other["uid"])
    if missing.any():
        raise Failure(
            "cs-passthrough",
            f"{passthrough}: {int(missing.sum())} of the {len(data)} items of {path.name} are not in it.",
            "Give the passthrough file of the same job.",
        )
    new = [name for name in other.dtype.names or () if name not in (data.dtype.names or ()) and name.startswith(prefix)]
    merged = np.empty(len(data), dtype=[*data.dtype.descr, *((name, other.dtype[name].base, other.dtype[name].shape) for name in new)])
    for name in data.dtype.names or ():
        merged[name] = data[name]
    for name in new:
        merged[name] = other[name][found]
    return merged


def _read_group(path: Path) -> NDArray[Any]:
    """Read the results of a ``.csg``; lines that follow another layout than cryoSPARC's are passed over."""
    files: dict[str, str] = {}
    result, inside = "", False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"\S", line):
            inside = line.startswith("results:")
        elif inside and (start := re.match(r"  ([\w.\-]+):\s*$", line)):
            result = start[1]
        elif inside and result and (named := re.match(r"""    metafile:\s*(['"]?)(.+?)\1\s*$""", line)):
            files[result] = named[2].removeprefix(">")
    if not files:
        raise Failure("cs-invalid", f"{path}: names no results.", "Give a .csg file as cryoSPARC exports it, or the .cs file itself.")
    tables: dict[str, NDArray[Any]] = {}
    for name in dict.fromkeys(files.values()):
        place = resolved(name, path)
        if place is None or place.suffix.lower() != ".cs":
            raise Failure("csg-file", f"{path}: {name} was not found from there or a folder above.", "Keep it beside the .csg file.")
        tables[name] = _load(place)
    first = next(iter(tables.values()))
    data = first[["uid"]].astype([("uid", first.dtype["uid"])])
    for result, name in files.items():
        data = _joined(data, tables[name], path, path.with_name(Path(name).name), f"{result}/")
    return data


def _load(path: Path) -> NDArray[Any]:
    cure = "Give a .cs file as cryoSPARC exports it."
    try:
        with path.open("rb") as stream:
            _demand_whole(stream, path)
            data = np.load(stream, allow_pickle=False, max_header_size=_HEADER)
    except (OSError, ValueError, EOFError) as error:
        raise Failure("cs-invalid", f"{path}: not a cryoSPARC table ({error}).", cure) from error
    if not isinstance(data, np.ndarray) or data.dtype.names is None or "uid" not in data.dtype.names:
        raise Failure("cs-invalid", f"{path}: a NumPy file without uid, not a cryoSPARC table.", cure)
    return data.reshape(-1)


def _demand_whole(stream: BinaryIO, path: Path) -> None:
    """Refuse a header that promises more than the file holds, before memory is asked for it."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream, max_header_size=_HEADER)
    expected = stream.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if not dtype.hasobject and expected > path.stat().st_size:
        raise ValueError(f"expected {expected} bytes, found {path.stat().st_size}")
    stream.seek(0)


def read_particles_cs(path: Path, passthrough: Path | None = None) -> ParticleTable:
    """Read particles: places of images, CTF, poses (3D, otherwise 2D), halves, and positions in micrographs.

    cryoSPARC's ``pose`` is the rotation vector of the inverse of RELION's matrix; its ``shift`` has RELION's sign, in px of
    ``psize_A``; ``split`` 0 and 1 are half sets 1 and 2; angles are radians; ``blob/sign`` -1 is dark protein.

    Raises
    ------
    Failure
        ``cs-no-particles`` without ``blob/path``, and what `read_cs` raises.
    """
    data = read_cs(path, passthrough)
    names = data.dtype.names or ()
    if "blob/path" not in names:
        raise Failure("cs-no-particles", f"{path}: no blob/path, so no images.", "Give the passthrough file that has it as well.")
    number, optics = _acquisition(data, names, "blob")
    columns: dict[str, Any] = {
        "image_file": _texts(data["blob/path"]),
        "stack_index": data["blob/idx"].astype(np.int64),
        "micrograph_file": [""] * len(data),
        "optics_group": number,
        **_identity(data),
    }
    if "location/micrograph_path" in names:
        columns["micrograph_file"] = _texts(data["location/micrograph_path"])
    columns |= _ctf(data, names) | _pose(data, names) | _position(data, names)
    return ParticleTable(pl.DataFrame(columns), optics)


def read_micrographs_cs(path: Path) -> MicrographTable:
    """Read exposures: their micrographs, dose-weighted or not, and transfer functions.

    Raises
    ------
    Failure
        ``cs-no-micrographs`` without ``micrograph_blob/path``, and what `read_cs` raises.
    """
    data = read_cs(path)
    names = data.dtype.names or ()
    if "micrograph_blob/path" not in names:
        raise Failure("cs-no-micrographs", f"{path}: no micrograph_blob/path.", "Give the file of the exposures, or their .csg.")
    number, optics = _acquisition(data, names, "micrograph_blob")
    columns: dict[str, Any] = {
        "micrograph_file": _texts(data["micrograph_blob/path"]),
        "optics_group": number,
        **_ctf(data, names),
    }
    for ours, theirs in {"ctf_resolution": "ctf_stats/ctf_fit_to_A", "ctf_score": "ctf_stats/cross_corr"}.items():
        if theirs in names:
            columns[ours] = data[theirs].astype(np.float64)
    return MicrographTable(pl.DataFrame(columns), optics)


def read_particle_places(path: Path) -> pl.DataFrame:
    """Read positions only: ``micrograph_file``, ``x``, ``y`` in px of the micrographs, ``score`` where there is one.

    Raises
    ------
    Failure
        ``coordinates-invalid`` without locations, and what `read_cs` raises.
    """
    data = read_cs(path)
    names = data.dtype.names or ()
    columns = _position(data, names)
    if "x" not in columns or "location/micrograph_path" not in names:
        raise Failure("coordinates-invalid", f"{path}: no location fields.", "Give the .cs file of the picks, or its passthrough file.")
    return pl.DataFrame({"micrograph_file": _texts(data["location/micrograph_path"]), **columns})


def read_volume_cs(path: Path) -> VolumeFiles:
    """Read which map, and half maps where they are, a volume's table names.

    Raises
    ------
    Failure
        ``cs-no-volume`` without ``map/path``, ``volume-several`` for more than one.
    """
    data = read_cs(path)
    names = data.dtype.names or ()
    if "map/path" not in names:
        raise Failure("cs-no-volume", f"{path}: no map/path.", "Give the file of a volume, or its .csg.")
    if len(data) != 1:
        raise Failure("volume-several", f"{path}: names {len(data)} maps.", "Give the map itself, or a file that names one.")
    places = {"volume_path": "map/path", "half_map1_path": "map_half_A/path", "half_map2_path": "map_half_B/path"}
    size = float(data["map/psize"][0]) if "map/psize" in names else None
    return VolumeFiles.found(path, {ours: _text(data[theirs][0].item()) for ours, theirs in places.items() if theirs in names}, size)


def _texts(values: NDArray[Any]) -> list[str]:
    return [_text(value) for value in values.tolist()]


def _text(value: bytes | str) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text.removeprefix(">")


def _identity(data: NDArray[Any]) -> dict[str, Any]:
    """Return cryoSPARC's own identity of each item, or ours where the table is an export of ours."""
    low, high = _OURS
    if len(data) and low <= data["uid"].min() and data["uid"].max() < high:
        return {"id": data["uid"].astype(np.int64)}
    return {"cryosparc_uid": data["uid"].astype(np.uint64)}


def _acquisition(data: NDArray[Any], names: tuple[str, ...], image: str) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Return the number of each row's optics group, from 1, and the groups; `image` is the result that tells the pixel size."""
    group = next((name for name in ("ctf/exp_group_id", "mscope_params/exp_group_id") if name in names), None)
    places = {"voltage": "accel_kv", "cs": "cs_mm", "amplitude_contrast": "amp_contrast"}
    fields = {
        ours: next((name for name in (f"ctf/{theirs}", f"mscope_params/{theirs}") if name in names), None)
        for ours, theirs in places.items()
    }
    fields |= {"pixel_size": f"{image}/psize_A", "sign": f"{image}/sign", "group": group}
    told = {ours: name for ours, name in fields.items() if name in names}
    keys = np.zeros(len(data), dtype=[(name, data.dtype[name]) for name in told.values()])
    for name in told.values():
        keys[name] = data[name]
    found, number = np.unique(keys, return_inverse=True)
    optics = []
    for index, key in enumerate(found, 1):
        value = {ours: round(float(key[name]), 6) for ours, name in told.items()}
        optics.append(
            {
                "optics_group": index,
                "optics_group_name": f"exposureGroup{int(value['group'])}" if group else f"opticsGroup{index}",
                **{ours: value.get(ours) for ours in ("pixel_size", *places)},
                "contrast": "dark" if value.get("sign", 1.0) < 0 else "bright",
                "phase_flipped": False,
                "ctf_premultiplied": False,
            }
        )
    return number.reshape(-1).astype(np.int64) + 1, optics


def _ctf(data: NDArray[Any], names: tuple[str, ...]) -> dict[str, Any]:
    if not {"ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad"} <= set(names):
        return {}
    phase = data["ctf/phase_shift_rad"] if "ctf/phase_shift_rad" in names else np.zeros(len(data))
    return {
        "defocus_u": data["ctf/df1_A"].astype(np.float64),
        "defocus_v": data["ctf/df2_A"].astype(np.float64),
        "defocus_angle": np.rad2deg(data["ctf/df_angle_rad"].astype(np.float64)),
        "phase_shift": np.rad2deg(phase.astype(np.float64)),
    }


def _pose(data: NDArray[Any], names: tuple[str, ...]) -> dict[str, Any]:
    from scipy.spatial.transform import Rotation

    from cryoloom.numerics.geometry.euler import matrix_to_euler

    columns: dict[str, Any] = {}
    kind = next((kind for kind in ("alignments3D", "alignments2D") if f"{kind}/pose" in names), None)
    if kind is None:
        return columns
    pose = data[f"{kind}/pose"].astype(np.float64)
    if kind == "alignments3D":
        columns["rot"], columns["tilt"], columns["psi"] = matrix_to_euler(Rotation.from_rotvec(-pose).as_matrix())
    else:
        columns["psi"] = wrapped(np.rad2deg(pose))
    size = data[f"{kind}/psize_A"] if f"{kind}/psize_A" in names else data["blob/psize_A"]
    if "blob/psize_A" in names:
        size = np.where(size > 0, size, data["blob/psize_A"])
    shift = data[f"{kind}/shift"].astype(np.float64) * size.astype(np.float64)[:, None]
    columns["origin_x"], columns["origin_y"] = shift[:, 0], shift[:, 1]
    # 2D alignments carry the field whether anything was split or not.
    if f"{kind}/split" in names and (kind == "alignments3D" or data[f"{kind}/split"].any()):
        columns["half_set"] = data[f"{kind}/split"].astype(np.int64) + 1
    if f"{kind}/class" in names:
        columns["class_id"] = data[f"{kind}/class"].astype(np.int64) + 1
    if f"{kind}/class_posterior" in names:
        columns["max_probability"] = data[f"{kind}/class_posterior"].astype(np.float64)
    return columns


def _position(data: NDArray[Any], names: tuple[str, ...]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if {"location/center_x_frac", "location/center_y_frac", "location/micrograph_shape"} <= set(names):
        shape = data["location/micrograph_shape"].astype(np.float64)
        columns["x"] = data["location/center_x_frac"].astype(np.float64) * shape[:, 1]
        columns["y"] = data["location/center_y_frac"].astype(np.float64) * shape[:, 0]
    if "pick_stats/ncc_score" in names:
        columns["score"] = data["pick_stats/ncc_score"].astype(np.float64)
    return columns


FORMAT = Format(
    "cryosparc",
    "cryoSPARC .cs and .csg",
    suffixes=(".cs", ".csg"),
    readers={
        "particles": read_particles_cs,
        "coordinates": read_particle_places,
        "micrographs": read_micrographs_cs,
        "volumes": read_volume_cs,
    },
    writers=WRITERS,
)
