"""Maps for ChimeraX: a folder of them and a session script that opens them by relative names, coloured by local resolution where that is known.

``open`` and ``volume`` set sampling and level, ``color sample`` the colours of a surface from a second map, ``key`` its legend
(https://www.rbvi.ucsf.edu/chimerax/docs/user/commands/color.html). Maps stand with their centre, index ``box // 2``, at 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryoloom.files import make_folder, replacing
from cryoloom.formats.exchange import Format
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.relion_tables import place_image
from cryoloom.tables import Dataset

COLOURS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""Viridis, as report and browser have it, from the least to the largest value; ChimeraX interpolates."""


@dataclass(frozen=True)
class Scene:
    """What a script shows.

    Attributes
    ----------
    shown, pixel_size, box, level
        File name of the map whose surface is shown, Å per voxel, voxels a side, grey value of the surface.
    painter, limits
        File name of the map that colours it, and the values in Å between which colours run.
    hidden
        Maps that are opened and not shown: half maps.
    model
        An atomic model beside them.
    """

    shown: str
    pixel_size: float
    box: int
    level: float
    painter: str = ""
    limits: tuple[float, float] = (0.0, 0.0)
    hidden: Sequence[str] = ()
    model: str = ""

    def script(self) -> str:
        """Return the commands, a line each."""
        size, corner = f"{self.pixel_size:.6g}", ",".join([f"{-(self.box // 2) * self.pixel_size:.6g}"] * 3)
        lines = [f"open {_quoted(self.shown)}", f"volume #1 voxelSize {size} origin {corner} level {self.level:.6g} style surface step 1"]
        beside: list[str] = [*([self.painter] if self.painter else []), *self.hidden]
        for number, name in enumerate(beside, start=2):
            lines += [f"open {_quoted(name)}", f"volume #{number} voxelSize {size} origin {corner}", f"hide #{number} models"]
        if self.painter:
            steps = list(zip(np.linspace(*self.limits, len(COLOURS)), COLOURS, strict=True))
            lines.append("color sample #1 map #2 palette " + ":".join(f"{value:.3f},{colour}" for value, colour in steps))
            lines.append("key " + " ".join(f"{colour}:{value:.1f}" for value, colour in steps) + " numericLabelSpacing proportional")
        if self.model:
            lines += [f"open {_quoted(self.model)}", f"# fitmap #{2 + bool(self.painter) + len(self.hidden)} inMap #1"]
        return "\n".join([*lines, "view", ""])

    def write(self, path: Path) -> Path:
        """Write the script; the maps that it names lie beside it."""
        with replacing(path) as handle:
            handle.write(self.script().encode())
        return path


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def export_chimerax(dataset: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write maps of a set of volumes and a script each into a folder; files are hard-linked where that is possible, or copied.

    A row with ``coloured_path`` is a map of local resolutions: the surface is that map's, and ``painter_path`` colours it.
    """
    folder, written = make_folder(Path(directory)), []
    size, limits = (
        float(dataset.meta.get("pixel_size") or 0.0),
        dataset.meta.get("surface_limits") or dataset.meta.get("colour_limits") or (0.0, 0.0),
    )
    for row in dataset.items.iter_rows(named=True):
        stem = name if len(dataset) == 1 else f"{name}_{row['id']:03d}"
        columns = {"map": "coloured_path" if row.get("coloured_path") else "volume_path", "resolution": "painter_path"}
        columns |= {"half1": "half_map1_path", "half2": "half_map2_path"}
        files = {what: dataset.file(row[column]) for what, column in columns.items() if row.get(column)}
        image = read_mrc(files["map"])
        placed = {what: place_image(path, folder / f"{stem}_{what}.mrc", size, is_map=True) for what, path in files.items()}
        names = {what: path.name for what, path in placed.items()}
        halves = [names[what] for what in ("half1", "half2") if what in names]
        level = surface_level(image.data)
        scene = Scene(
            names["map"], size or image.pixel_size, len(image.data), level, names.get("resolution", ""), (limits[0], limits[1]), halves
        )
        written += [*placed.values(), scene.write(folder / f"{stem}.cxc")]
    return written


def surface_level(data: NDArray[np.floating]) -> float:
    """Return the grey value above which a hundredth of the voxels lie, as ChimeraX and the browser suggest it."""
    return float(np.quantile(data, 0.99))


FORMAT = Format("chimerax", "ChimeraX", writers={"volume": export_chimerax}, every=True)
