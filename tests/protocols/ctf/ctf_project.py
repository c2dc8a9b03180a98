"""A project of simulated micrographs."""

import polars as pl

from cryoloom.data import Micrographs
from cryoloom.formats.mrc import write_mrc

PIXEL_SIZE = 2.4


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
