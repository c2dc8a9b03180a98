"""First maps of known worth: right ones as searches give them, and the wrong ones of the textbook, made from a phantom."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre
from cryoloom.numerics.reconstruct.symmetry import symmetric_map
from cryoloom.numerics.simulate.phantom import Phantom, random_phantom
from cryoloom.numerics.simulate.projection import density

Map = NDArray[np.float32]
WRONG_GROUPS = {"C1": ("C2", "C4", "D2"), "C4": ("C3", "C5", "D2"), "D2": ("C3", "D3", "C4"), "O": ("C5", "D5", "C7")}
"""Groups that a particle of a group has not, nor parts of it."""


def right_maps(phantom: Phantom, box: int, pixel_size: float, rng: np.random.Generator) -> dict[str, Map]:
    """Return maps that a refinement can start from: either hand, filtered or with noise, at 20 to 40 Å."""
    truth = density(phantom, box, pixel_size)
    return {
        "other hand": lowpass(density(phantom.mirrored(), box, pixel_size), pixel_size, 20.0),
        "at 30 Å": lowpass(truth, pixel_size, 30.0),
        "noise from 25 Å": _noisy(truth, phantom, pixel_size, 25.0, rng),
        "noise from 40 Å": _noisy(truth, phantom, pixel_size, 40.0, rng),
    }


def wrong_maps(phantom: Phantom, group: str, box: int, pixel_size: float, rng: np.random.Generator) -> dict[str, Map]:
    """Return maps that no refinement should start from, at 20 Å."""
    truth = density(phantom, box, pixel_size)
    ball = cosine_edge(radius_from_centre(box) - 1.29 * phantom.radius_of_gyration / pixel_size, 3.0)
    noise = lowpass(rng.normal(size=truth.shape).astype(np.float32), pixel_size, 25.0)
    noise /= noise.std()
    along = phantom.positions @ rng.normal(size=3)
    other = random_phantom(int(rng.integers(1 << 30)), 2 * phantom.radius)
    made: dict[str, Map] = {
        "both hands": truth + density(phantom.mirrored(), box, pixel_size),
        "sphere": ball,
        "noise": noise * cosine_edge(radius_from_centre(box) - phantom.radius / pixel_size, 3.0),
        "blob": np.maximum(noise + 1.0, 0.0) * ball,
        **{f"symmetry {name}": symmetric_map(truth, point_group(name)) for name in WRONG_GROUPS[group]},
        "half the mass": density(phantom.keep(along > np.median(along)), box, pixel_size),
        "another particle": density(other, box, pixel_size),
    }
    return {name: lowpass(np.asarray(one, np.float32), pixel_size, 20.0) for name, one in made.items()}


def _noisy(truth: Map, phantom: Phantom, pixel_size: float, resolution: float, rng: np.random.Generator) -> Map:
    """Return the truth with white noise as strong as it is at `resolution` Å, within the particle's sphere, at 20 Å."""
    box = len(truth)
    power = np.abs(np.fft.fftn(truth)) ** 2
    frequency = np.fft.fftfreq(box) * box
    shell = np.rint(np.sqrt(frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency**2)).astype(np.int64)
    level = power[shell == round(box * pixel_size / resolution)].mean()
    noise = rng.normal(size=truth.shape) * np.sqrt(level / truth.size)
    sphere = cosine_edge(radius_from_centre(box) - 1.1 * phantom.radius / pixel_size, 3.0)
    return lowpass(((truth + noise) * sphere).astype(np.float32), pixel_size, 20.0)
