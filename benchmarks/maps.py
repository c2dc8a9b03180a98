"""Maps laid on each other, against truth: rotation, shift, hand and time.

``python -m benchmarks.maps [--trials 20] [--box 64] [--noise 0 1 2 3]``. P80 is turned, moved and in half of the trials mirrored at random, both maps get
noise of so many times their own standard deviation, and what is finer than 20 Å is taken off.
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np

from cryoloom.numerics.align.maps import align_map
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.geometry.euler import geodesic_angle, random_rotations
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import density

EXTENT = 256.0
"""Å of the box."""
REACH = 20.0
"""Å that a particle is moved at the most along each axis."""


def trial(rng: np.random.Generator, box: int, noise: float) -> dict[str, float]:
    """Align one pair and judge it."""
    pixel_size = EXTENT / box
    rotation, shift, mirrored = random_rotations(1, rng)[0], rng.uniform(-REACH, REACH, 3), bool(rng.integers(2))
    moved = replace(p80(), positions=p80().positions @ rotation.T + shift)
    maps = []
    for phantom in (moved.mirrored() if mirrored else moved, p80()):
        volume = density(phantom, box, pixel_size)
        maps.append(lowpass(volume + noise * volume.std() * rng.standard_normal(volume.shape, np.float32), pixel_size, 20.0))
    began = time.process_time()
    found = align_map(maps[0], maps[1], pixel_size, try_hand=True)
    return {
        "processor seconds": time.process_time() - began,
        "hand": float(found.mirrored == mirrored),
        "degrees": float(geodesic_angle(found.rotation, rotation.T)),
        "pixels": float(np.linalg.norm(found.shift + rotation.T @ shift)) / pixel_size,
        "correlation": found.correlation,
        "other hand": float(found.other_hand or 0.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 1.0, 2.0, 3.0])
    options = parser.parse_args()
    trial(np.random.default_rng(0), 32, 1.0)
    for noise in options.noise:
        rng = np.random.default_rng(int(10 * noise))
        found = [trial(rng, options.box, noise) for _ in range(options.trials)]
        told = {
            name: [round(float(np.median([each[name] for each in found])), 3), round(max(each[name] for each in found), 3)]
            for name in found[0]
        }
        print(json.dumps({"noise": noise, "right hands": sum(each["hand"] for each in found), **told}))


if __name__ == "__main__":
    main()
