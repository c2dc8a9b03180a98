"""The displacements of all frames that a row of aligned micrographs tells: from its field as written, or from RELION's polynomial."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoloom.formats.mrc import read_mrc

if TYPE_CHECKING:
    from torch import Tensor


def displacements(row: Mapping[str, Any], root: Path, side: int) -> "Tensor":
    """Return the displacements at the centres of ``side`` × `side` equal parts of every frame, ``(n, side, side, 2)`` px of the movie.

    A field written with another number of places an axis is not used.
    """
    import torch

    from cryoloom.numerics.motion.field import TERMS, Field, from_relion_polynomial

    if row.get("flow_path"):
        written = read_mrc(root / row["flow_path"]).data
        if written.shape[-2:] == (side, side):
            return torch.from_numpy(written.astype(np.float64).reshape(2, -1, side, side)).permute(1, 2, 3, 0)
    shifts = torch.tensor([row["shift_x"], row["shift_y"]], dtype=torch.float64).T
    local, model = row.get("motion_field"), row.get("motion_model")
    if local is not None:
        field = Field(-shifts, torch.tensor(local, dtype=torch.float64).reshape(-1, TERMS, 2))
    else:
        field = Field(-shifts) if model is None else from_relion_polynomial(torch.tensor(model, dtype=torch.float64), shifts)
    return field.grid(side)
