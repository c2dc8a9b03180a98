"""How a micrograph moved while it was recorded."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cryoloom.app.outputs import OutputRef
from cryoloom.formats.motion_fields import displacements
from cryoloom.server.render.asset import Asset, json_asset
from cryoloom.server.render.sources import behind, file_of, row_of
from cryoloom.spec import WrongUse

PLACES = 5
"""An axis, at which local motion is told."""


def trajectory(output: OutputRef, number: int) -> Asset:
    """Return the motion of a micrograph, as the content moved: x to the right, y down, from the first frame used.

    ``frames`` (numbers, from 1), ``pixel_size`` (Å of a movie's pixel, null where it is not known), ``whole`` (``x``, ``y`` a frame, px of the
    movie), ``local`` (null where the movie moved as a whole; else ``places`` an axis, at the centres of as many equal parts, and ``x``, ``y``
    ``[frame][row][column]``, px of the movie, the whole's motion included), and the lengths ``motion_total``, ``motion_early``, ``motion_late`` and
    ``local_motion`` in Å. Px times ``pixel_size`` is Å.

    Raises
    ------
    WrongUse
        ``no-motion``: the motion of these micrographs is not known.
    """
    micrographs = behind(output, "micrographs")
    row = row_of(micrographs.dataset, number)
    if not row.get("shift_x"):
        raise WrongUse("no-motion", f"{micrographs}: the motion of {number} is not known.", "Correct the motion of its movie.")
    if row.get("flow_path"):
        file_of(micrographs, row["flow_path"], "motion field")

    def make() -> Mapping[str, Any]:
        x, y = (-np.asarray(row[f"shift_{axis}"], dtype=float) for axis in "xy")
        first = int(row.get("first_frame") or micrographs.meta.get("first_frame") or 1)
        has_field = any(row.get(name) is not None for name in ("flow_path", "motion_field", "motion_model"))
        size = row.get("movie_pixel_size") or row.get("rlnMicrographOriginalPixelSize")
        lengths = ("motion_total", "motion_early", "motion_late", "local_motion")
        return {
            "id": number,
            "frames": list(range(first, first + len(x))),
            "pixel_size": float(size) if size else None,
            "whole": {"x": (x - x[0]).tolist(), "y": (y - y[0]).tolist()},
            "local": _local(row, micrographs) if has_field else None,
            **{name: row.get(name) for name in lengths},
        }

    return json_asset((str(micrographs), micrographs.hash, number, "trajectory"), make)


def _local(row: Mapping[str, Any], micrographs: OutputRef) -> dict[str, Any]:
    moved = displacements(row, micrographs.run.folder.root, PLACES).numpy()
    moved = moved - moved[0]
    return {"places": PLACES, "x": moved[..., 0].tolist(), "y": moved[..., 1].tolist()}
