"""Views as cylinders about a map, in ChimeraX's BILD format (https://www.cgl.ucsf.edu/chimerax/docs/user/formats/bild.html)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryoloom.data import Orientations
from cryoloom.files import make_folder, writing
from cryoloom.formats.exchange import Format
from cryoloom.tables import Dataset

SPHERE = 0.75
"""Radius of the sphere on which the cylinders stand, in diameters of the particle."""
LONGEST, THICKNESS = 0.4, 0.015
"""Length of the highest cylinder and radius of each, in radii of the sphere."""
UNKNOWN = 150.0
"""Å, for the diameter of a particle of which none is told."""


def export_bild(orientations: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``NAME.bild``: a cylinder for each cell that has views, as high as they are many, about the origin; few are blue, many red."""
    rows = orientations.items.filter(orientations.items["views"] > 0)
    rot, tilt = (np.deg2rad(rows[column].to_numpy()) for column in ("rot", "tilt"))
    directions = np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)
    share = rows["views"].to_numpy() / max(int(rows["views"].max() or 0), 1)  # pyright: ignore[reportArgumentType]
    radius = SPHERE * float(orientations.meta.get("diameter") or UNKNOWN)
    lines = []
    for direction, part in zip(directions, share, strict=True):
        ends = np.concatenate([direction * radius, direction * radius * (1.0 + LONGEST * part)])
        lines.append(
            f".color {part:.3f} 0 {1.0 - part:.3f}\n.cylinder {' '.join(f'{each:.2f}' for each in ends)} {THICKNESS * radius:.2f}\n"
        )
    path = make_folder(Path(directory)) / f"{name}.bild"
    with writing(path) as temporary:
        temporary.write_text("".join(lines))
    return [path]


FORMAT = Format("bild", "Views around a map, for ChimeraX", writers={Orientations.kind: export_bild})
