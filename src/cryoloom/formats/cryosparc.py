"""cryoSPARC ``.cs`` tables: NumPy structured arrays with slash-separated names, read without ever unpickling."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.formats.particle_table import ParticleTable, wrapped
from cryoloom.spec import Failure


def read_cs(path: Path, passthrough: Path | None = None) -> NDArray[Any]:
    """Read a table; the fields of `passthrough`, matched by ``uid``, are added where they are missing.

    Raises
    ------
    Failure
        ``cs-invalid`` when it is no such table, ``cs-passthrough`` when a particle is not in the other file.
    """
    data = _load(path)
    if passthrough is None:
        return data
    other = _load(passthrough)
    order = np.argsort(other["uid"], kind="stable")
    place = np.searchsorted(other["uid"][order], data["uid"])
    found = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(data), dtype=np.int64)
    missing = ~np.isin(data["uid"], other["uid"])
    if missing.any():
        raise Failure(
            "cs-passthrough",
            f"{passthrough}: {int(missing.sum())} of the {len(data)} particles of {path.name} are not in it.",
            "Give the passthrough file of the same job.",
        )
    new = [name for name in other.dtype.names or () if name not in (data.dtype.names or ())]
    merged = np.empty(len(data), dtype=[*data.dtype.descr, *((name, other.dtype[name].base, other.dtype[name].shape) for name in new)])
    for name in data.dtype.names or ():
        merged[name] = data[name]
    for name in new:
        merged[name] = other[name][found]
    return merged


def _load(path: Path) -> NDArray[Any]:
    try:
        data = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Failure("cs-invalid", f"{path}: not a cryoSPARC table ({error}).", "Give a .cs file as cryoSPARC exports it.") from error
    if data.dtype.names is None or "uid" not in data.dtype.names:
        raise Failure(
            "cs-invalid", f"{path}: a NumPy array without uid, not a cryoSPARC table.", "Give a .cs file as cryoSPARC exports it."
        )
    return data


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
    groups, number = np.unique(_group_keys(data), return_inverse=True)
    columns: dict[str, Any] = {
        "image_file": [_text(value) for value in data["blob/path"].tolist()],
        "stack_index": data["blob/idx"].astype(np.int64),
        "micrograph_file": [""] * len(data),
        "optics_group": number.reshape(-1).astype(np.int64) + 1,
        "cryosparc_uid": data["uid"].astype(np.uint64),
    }
    if "location/micrograph_path" in names:
        columns["micrograph_file"] = [_text(value) for value in data["location/micrograph_path"].tolist()]
    columns |= _ctf(data, names) | _pose(data, names) | _position(data, names)
    first = [int(np.flatnonzero(number.reshape(-1) == index)[0]) for index in range(len(groups))]
    return ParticleTable(pl.DataFrame(columns), [_optics(data, names, row, index + 1) for index, row in enumerate(first)])


def read_particle_places(path: Path) -> pl.DataFrame:
    """Read positions only: ``micrograph_file``, ``x``, ``y`` in px of the micrographs, ``score`` where there is one."""
    data = read_cs(path)
    names = data.dtype.names or ()
    columns = _position(data, names)
    if "x" not in columns or "location/micrograph_path" not in names:
        raise Failure("coordinates-invalid", f"{path}: no location fields.", "Give the .cs file of the picks, or its passthrough file.")
    return pl.DataFrame({"micrograph_file": [_text(value) for value in data["location/micrograph_path"].tolist()], **columns})


def _text(value: bytes | str) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text.removeprefix(">")


def _group_keys(data: NDArray[Any]) -> NDArray[Any]:
    fields = ("ctf/exp_group_id", "blob/psize_A", "blob/sign", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast")
    present = [name for name in fields if name in (data.dtype.names or ())]
    keys = np.zeros(len(data), dtype=[(name, data.dtype[name]) for name in present])
    for name in present:
        keys[name] = data[name]
    return keys


def _optics(data: NDArray[Any], names: tuple[str, ...], row: int, number: int) -> dict[str, Any]:
    def value(name: str) -> float | None:
        return round(float(data[name][row]), 6) if name in names else None

    sign = value("blob/sign")
    return {
        "optics_group": number,
        "optics_group_name": f"exposureGroup{int(data['ctf/exp_group_id'][row])}"
        if "ctf/exp_group_id" in names
        else f"opticsGroup{number}",
        "pixel_size": value("blob/psize_A"),
        "voltage": value("ctf/accel_kv"),
        "cs": value("ctf/cs_mm"),
        "amplitude_contrast": value("ctf/amp_contrast"),
        "contrast": "dark" if sign is not None and sign < 0 else "bright",
        "phase_flipped": False,
        "ctf_premultiplied": False,
    }


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
    shift = data[f"{kind}/shift"].astype(np.float64) * size.astype(np.float64)[:, None]
    columns["origin_x"], columns["origin_y"] = shift[:, 0], shift[:, 1]
    if "alignments3D/split" in names:
        columns["half_set"] = data["alignments3D/split"].astype(np.int64) + 1
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
