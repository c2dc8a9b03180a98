from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Coordinates, CTFs, Micrographs, Particles
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.particle_table import with_identities
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.geometry.euler import matrix_to_euler, random_rotations
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.particles import Particle, clean_image
from cryoloom.numerics.simulate.phantom import random_phantom

BOX, COUNT = 32, 6
SIZES = {1: 4.0, 2: 4.5}
MIRROR = np.diag([-1.0, 1.0])


@dataclass
class Carried:
    """Particles of a phantom in two optics groups, their micrographs, and how to make the images again from what a format kept."""

    phantom: object
    particles: Particles
    related: dict

    def image(self, row, group):
        """Return the image that a row of a table and its optics group describe, by the simulator, which shares nothing with the formats."""
        angles = tuple(row.get(name) or 0.0 for name in ("rot", "tilt", "psi"))
        defocus = Defocus(row["defocus_u"], row["defocus_v"], row["defocus_angle"], row["phase_shift"])
        microscope = Microscope(group["voltage"], group["cs"], group["amplitude_contrast"])
        particle = Particle(0, angles, (row["origin_x"], row["origin_y"]), defocus)
        image = clean_image(particle, [self.phantom], microscope, BOX, group["pixel_size"])
        # x runs from -n // 2: the mirror keeps the centre and wraps the first column onto itself.
        return np.roll(image[:, ::-1], 1, axis=1) if row.get("flip") else image

    def check(self, table, folder, tolerance=2e-4):
        """Demand that every row of `table` reprojects the very image that its place in a stack below `folder` holds."""
        from cryoloom.formats.mrc import read_mrc

        groups = {group["optics_group"]: group for group in table.optics}
        assert table.items.height == COUNT
        for row in table.items.iter_rows(named=True):
            stored = read_mrc(folder / row["image_file"]).data[row["stack_index"]]
            made = self.image(row, groups[row["optics_group"]])
            assert np.abs(made - stored).max() < tolerance * np.abs(stored).max(), row


def acquisition(number):
    return {
        "optics_group": number,
        "optics_group_name": f"g{number}",
        "voltage": (300.0, 200.0)[number - 1],
        "cs": 2.7,
        "amplitude_contrast": 0.1,
    }


@pytest.fixture
def carried(tmp_path):
    """Return a function that makes a `Carried`; `planar`: seen along one axis only, psi and mirror known."""

    def make(planar=False, mirrored=False):
        rng = np.random.default_rng(7)
        root = tmp_path / "project"
        root.mkdir(exist_ok=True)
        rot, tilt, psi = matrix_to_euler(random_rotations(COUNT, rng))
        shifts = rng.normal(scale=6.0, size=(COUNT, 2))
        group = np.array([1, 1, 1, 2, 2, 2])
        rows = {
            "id": [(number << 20) + index for number, index in zip(group, range(COUNT), strict=True)],
            "micrograph_id": group,
            "micrograph_name": [f"mic_{number}" for number in group],
            "stack_path": [f"s{number}.mrcs" for number in group],
            "stack_index": [2, 0, 1, 0, 1, 2],
            "optics_group": group,
            "x": np.array([10.0, 20.0, 30.0, 40.0, 50.0, 61.0]),
            "y": np.array([11.0, 12.0, 13.0, 14.0, 15.0, 16.0]),
            "psi": psi,
            "origin_x": shifts[:, 0],
            "origin_y": shifts[:, 1],
            "half_set": [1, 2] * 3,
            "class_id": [1, 2, 3] * 2,
            "defocus_u": rng.uniform(12000, 20000, COUNT),
            "defocus_v": rng.uniform(8000, 12000, COUNT),
            "defocus_angle": rng.uniform(-80, 80, COUNT),
            "phase_shift": rng.uniform(0, 120, COUNT),
        }
        if not planar:
            rows |= {"rot": rot, "tilt": tilt}
        if mirrored:
            rows["flip"] = [True, False] * 3
        items = pl.DataFrame(rows)
        optics = [
            {
                **acquisition(n),
                "pixel_size": SIZES[n],
                "box_size": BOX,
                "contrast": "bright",
                "phase_flipped": False,
                "ctf_premultiplied": False,
            }
            for n in (1, 2)
        ]
        particles = Particles(items, root, optics=optics)
        set_ = Carried(random_phantom(3, 60.0, 150), particles, {})
        for number in (1, 2):
            own = items.filter(optics_group=number).sort("stack_index")
            write_stack(
                root / f"s{number}.mrcs",
                np.stack([set_.image(row, optics[number - 1]) for row in own.iter_rows(named=True)]),
                SIZES[number],
            )
            write_mrc(root / f"mic_{number}.mrc", rng.normal(size=(80, 100)), SIZES[number])
        micrographs = {
            "id": [1, 2],
            "micrograph_name": ["mic_1", "mic_2"],
            "micrograph_path": ["mic_1.mrc", "mic_2.mrc"],
            "width": [100, 100],
            "height": [80, 80],
            "optics_group": [1, 2],
            "enabled": [True, True],
            "fail_reason": ["", ""],
        }
        of_micrographs = [{**acquisition(n), "pixel_size": SIZES[n]} for n in (1, 2)]
        fits = items.group_by("micrograph_id", maintain_order=True).first()
        ctfs = fits.select("micrograph_id", "micrograph_name", "defocus_u", "defocus_v", "defocus_angle", "phase_shift", id="micrograph_id")
        places = items.select("id", "micrograph_id", "micrograph_name", "x", "y", "optics_group", score=pl.col("y") / 100)
        set_.related |= {
            "particles": particles,
            "micrographs": Micrographs(pl.DataFrame(micrographs), root, optics=of_micrographs),
            "ctfs": CTFs(ctfs, root, optics=of_micrographs),
            "coordinates": Coordinates(places, root, optics=of_micrographs, meta={"diameter": 60.0}),
        }
        return set_

    return make


@pytest.fixture
def identified():
    """Return the rows of a table with ids, in order of those."""
    return lambda table: with_identities(table.items).sort("id")
