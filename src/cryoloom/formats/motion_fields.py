"""What was written of aligned movies, read again: the displacements of all frames, and the pictures that are shown of a set."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.data import Micrographs
from cryoloom.formats.mrc import read_mrc

if TYPE_CHECKING:
    from torch import Tensor

Image = NDArray[Any]


def displacements(row: Mapping[str, Any], root: Path, side: int) -> "Tensor":
    """Return the displacements at the centres of ``side`` × `side` equal parts of every frame, ``(n, side, side, 2)`` px of the movie.

    A field written with another number of places an axis is interpolated linearly.
    """
    import torch

    from cryoloom.numerics.motion.field import TERMS, Field, from_relion_polynomial

    if row.get("flow_path"):
        written = read_mrc(root / row["flow_path"]).data
        flow = torch.from_numpy(written.astype(np.float64)).reshape(2, -1, *written.shape[-2:])
        if written.shape[-2:] != (side, side):
            flow = torch.nn.functional.interpolate(flow, size=(side, side), mode="bilinear", align_corners=False)
        return flow.permute(1, 2, 3, 0)
    shifts = torch.tensor([row["shift_x"], row["shift_y"]], dtype=torch.float64).T
    local, model = row.get("motion_field"), row.get("motion_model")
    if local is not None:
        field = Field(-shifts, torch.tensor(local, dtype=torch.float64).reshape(-1, TERMS, 2))
    else:
        field = Field(-shifts) if model is None else from_relion_polynomial(torch.tensor(model, dtype=torch.float64), shifts)
    return field.grid(side)


def largest_local(micrographs: Micrographs, side: int) -> tuple[dict[str, Any], Image, "Tensor"] | None:
    """Return the row, the sum and the `displacements` of the movie of largest local motion; None where all moved as a whole."""
    row = micrographs.enabled().sort("local_motion").row(-1, named=True)
    if row["motion_model"] is None:
        return None
    return row, read_mrc(micrographs.file(row["micrograph_path"])).data, displacements(row, micrographs.root, side)


def spectra_of(micrographs: Micrographs, most: int) -> dict[str, Image]:
    """Return the pictures of power spectra of the micrographs that moved least, `most` or fewer, by their names."""
    rows = micrographs.enabled().sort("motion_total").head(most)
    return {name: read_mrc(micrographs.file(path)).data for name, path in rows.select("micrograph_name", "psd_path").iter_rows()}
