"""A project of simulated micrographs, and a job that runs protocols on it without the engine."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from cryoloom.data import Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.spec import Item, MapResult

PIXEL_SIZE = 2.4


@dataclass
class LoopJob:
    """A job that maps in a plain loop."""

    folder: Path
    root: Path
    seed: int = 0
    threads: int = 1
    warnings: list[str] = field(default_factory=list)

    def map(self, function, items, *, name="items"):
        rows, failed = [], {}
        for row in items.enabled().iter_rows(named=True):
            try:
                result = function(Item(row, self.root, self.folder, 0))
            except Exception as error:  # noqa: BLE001 (as the engine does)
                failed[row["id"]] = str(error)
                continue
            plain = {key: value.relative_to(self.root).as_posix() if isinstance(value, Path) else value for key, value in result.items()}
            rows.append({"id": row["id"], **plain})
        return MapResult(pl.DataFrame(rows, infer_schema_length=None), failed)

    def warn(self, message):
        self.warnings.append(message)


def registered(root, images, **group):
    """Write `images` under `root` and return them as a set, ids from 1."""
    (root / "mics").mkdir(parents=True)
    for number, image in images.items():
        write_mrc(root / "mics" / f"m{number}.mrc", image, PIXEL_SIZE)
    ids = list(images)
    items = pl.DataFrame(
        {
            "id": ids,
            "micrograph_name": [f"m{number}" for number in ids],
            "micrograph_path": [f"mics/m{number}.mrc" for number in ids],
            "width": [image.shape[1] for image in images.values()],
            "height": [image.shape[0] for image in images.values()],
            "optics_group": [1] * len(ids),
            "enabled": [True] * len(ids),
            "fail_reason": [""] * len(ids),
        }
    )
    optics = {
        "optics_group": 1,
        "optics_group_name": "one",
        "pixel_size": PIXEL_SIZE,
        "voltage": 300.0,
        "cs": 2.7,
        "amplitude_contrast": 0.1,
    }
    return Micrographs(items, root, optics=[optics | group])
