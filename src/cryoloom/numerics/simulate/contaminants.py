"""What a picker may fall for: ice crystals and sheets, droplets, aggregates, denatured threads, beads of gold, a carbon edge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import Phantom
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import box_for, project

Image = NDArray[np.float32]

KINDS = ("ice", "droplet", "aggregate", "thread")
ICE_POTENTIAL = 4.5
"""Mean inner potential of ice above vacuum, V; a droplet of ethane scatters less than the ice it replaces."""
CARBON_POTENTIAL = 6.0
"""Mean inner potential of carbon above that of the ice beside it, V."""
GOLD_POTENTIAL = 25.0
"""Mean inner potential of gold above that of the ice it lies in, V."""
COVERS = ("carbon", "foil", "tear", *KINDS, "sheet", "gold")
"""All that covers ice; the number of a pixel in a map of what covers it is 1 + the place in this list, 0 where there is ice alone."""


@dataclass(frozen=True)
class Contaminant:
    """A contaminant at `x`, `y` (px of the first frame), `diameter` Å across."""

    kind: str
    x: float
    y: float
    diameter: float


def draw_contaminant(kind: str, x: float, y: float, particle_diameter: float, rng: np.random.Generator) -> Contaminant:
    """Draw a size that suits the `kind`: ice and droplets from half a particle to two, aggregates and threads larger than one, sheets several."""
    if kind == "gold":
        return Contaminant(kind, x, y, rng.uniform(50.0, 150.0))  # beads have a size of their own
    low, high = {"ice": (0.5, 2.0), "droplet": (0.4, 1.2), "aggregate": (1.6, 2.6), "thread": (1.2, 2.0), "sheet": (2.5, 7.0)}[kind]
    return Contaminant(kind, x, y, particle_diameter * rng.uniform(low, high))


def phase_and_outline(
    contaminant: Contaminant, phantom: Phantom, microscope: Microscope, pixel_size: float, rng: np.random.Generator
) -> tuple[Image, NDArray[np.bool_]]:
    """Return the phase shift in rad of `contaminant` on an even square patch, centre at ``n // 2``, and the pixels it covers."""
    radius = contaminant.diameter / 2.0
    box = box_for(radius + 0.5 * phantom.radius, pixel_size)
    if contaminant.kind in ("sheet", "gold"):
        make = _ice_sheet if contaminant.kind == "sheet" else _bead
        phase = make(radius, box, pixel_size, rng) * np.float32(microscope.phase_per_volt)
    elif contaminant.kind in ("ice", "droplet"):
        thickness = _lump(radius, box, pixel_size, rng)
        phase = (_crystal if contaminant.kind == "ice" else _ethane)(thickness, pixel_size, rng) * np.float32(microscope.phase_per_volt)
    else:
        mass = (
            _aggregate(phantom, radius, box, pixel_size, rng)
            if contaminant.kind == "aggregate"
            else _thread(phantom, radius, box, pixel_size, rng)
        )
        phase = mass * np.float32(microscope.phase_per_mass)
    strength = gaussian_filter(np.abs(phase), 8.0 / pixel_size)
    return phase, strength > 0.1 * strength.max()


def carbon_film(
    shape: tuple[int, int], microscope: Microscope, rng: np.random.Generator, *, cover: float = 0.25, grain: float = 0.05
) -> tuple[Image, NDArray[np.bool_]]:
    """Return the phase in rad of a 150 Å carbon film over `cover` of the field, and where it lies; its edge is a slightly wavy line.

    `grain` is the standard deviation of its own phase in a pixel.
    """
    bearing = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.linspace(-0.5, 0.5, shape[0])[:, None], np.linspace(-0.5, 0.5, shape[1])[None, :]
    along, across = x * np.cos(bearing) + y * np.sin(bearing), y * np.cos(bearing) - x * np.sin(bearing)
    for wave in (1, 2, 3):
        along = along + rng.normal(0.0, 0.01) * np.cos(2.0 * np.pi * wave * across + rng.uniform(0.0, 2.0 * np.pi))
    covered = along > np.quantile(along, 1.0 - cover)
    # Amorphous carbon scatters strongly: its own grain beside its mean thickness.
    own = rng.standard_normal(shape, dtype=np.float32)
    return (covered * (150.0 * CARBON_POTENTIAL * microscope.phase_per_volt + grain * own)).astype(np.float32), covered


def _lump(radius: float, box: int, pixel_size: float, rng: np.random.Generator) -> Image:
    """Thickness in Å of an ellipsoid with an uneven outline, 300 Å thick at most."""
    axis = (np.arange(box) - box // 2) * pixel_size
    x, y = axis[None, :], axis[:, None]
    bearing = np.arctan2(y, x)
    outline = np.full_like(bearing, radius)
    for wave in (2, 3, 4, 5):
        outline *= 1.0 + rng.normal(0.0, 0.12 / wave) * np.cos(wave * bearing + rng.uniform(0.0, 2.0 * np.pi))
    inside = np.clip(1.0 - (x * x + y * y) / outline**2, 0.0, None)
    return (2.0 * min(radius, 150.0) * np.sqrt(inside)).astype(np.float32)


def _crystal(thickness: Image, pixel_size: float, rng: np.random.Generator) -> Image:
    """Projected potential in V·Å of an ice crystal on the ice; its lattice of 3.9 Å shows where the pixels can hold it."""
    turn = rng.uniform(0.0, np.pi)
    potential = 0.35 * ICE_POTENTIAL * thickness
    if 2.0 * pixel_size > 3.8:
        return potential
    axis = 2.0 * np.pi / 3.9 * pixel_size * (np.arange(len(thickness)) - len(thickness) // 2)
    bearings = turn + np.arange(3) * np.pi / 3.0
    lattice = sum(np.cos(axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle)) for angle in bearings)
    return (potential * (1.0 + 0.15 * lattice)).astype(np.float32)


def _ice_sheet(radius: float, box: int, pixel_size: float, rng: np.random.Generator) -> Image:
    """Projected potential in V·Å of a sheet of crystalline ice with straight edges, a terrace and uneven growth."""
    axis = (np.arange(box) - box // 2) * pixel_size
    x, y = axis[None, :], axis[:, None]
    inside = np.hypot(x, y) < radius
    turn = rng.uniform(0.0, 2.0 * np.pi)
    for side in range(int(rng.integers(4, 8))):
        angle = turn + side * np.pi / 3.0 + rng.normal(0.0, 0.15)
        inside &= x * np.cos(angle) + y * np.sin(angle) < radius * rng.uniform(0.55, 1.0)
    terrace = x * np.cos(turn) + y * np.sin(turn) < radius * rng.uniform(-0.5, 0.5)
    growth = gaussian_filter(rng.standard_normal((box, box)), max(25.0 / pixel_size, 0.7))
    thickness = np.clip(rng.uniform(150.0, 400.0) * (1.0 + 0.4 * terrace + 0.35 * growth / growth.std()), 0.0, None)
    return _crystal(gaussian_filter(thickness * inside, max(8.0 / pixel_size, 0.5)).astype(np.float32), pixel_size, rng)


def _bead(radius: float, box: int, pixel_size: float, rng: np.random.Generator) -> Image:
    """Projected potential in V·Å of a ball of gold."""
    axis = (np.arange(box) - box // 2) * pixel_size
    height = np.sqrt(np.clip(radius**2 - axis[None, :] ** 2 - axis[:, None] ** 2, 0.0, None))
    return (2.0 * GOLD_POTENTIAL * height).astype(np.float32)


def _ethane(thickness: Image, pixel_size: float, rng: np.random.Generator) -> Image:
    """Projected potential in V·Å of a droplet of ethane in place of ice: it looks bright."""
    return -0.25 * ICE_POTENTIAL * thickness


def _aggregate(phantom: Phantom, radius: float, box: int, pixel_size: float, rng: np.random.Generator) -> Image:
    """Da/Å² of four to seven particles on a heap."""
    reach = max(radius - phantom.radius, 0.3 * radius)
    heap = np.zeros((box, box), dtype=np.float32)
    for angles in uniform_poses(int(rng.integers(4, 8)), rng):
        distance, bearing = reach * np.sqrt(rng.random()), rng.uniform(0.0, 2.0 * np.pi)
        heap += project(phantom, pose_matrix(*angles), box, pixel_size, (distance * np.cos(bearing), distance * np.sin(bearing)))
    return heap


def _thread(phantom: Phantom, radius: float, box: int, pixel_size: float, rng: np.random.Generator) -> Image:
    """Da/Å² of a denatured particle: its mass drawn out along a random walk, 6 Å wide."""
    walk = np.cumsum(rng.normal(size=(400, 2)), axis=0)
    walk -= walk.mean(axis=0)
    walk *= radius / np.linalg.norm(walk, axis=1).max() / pixel_size
    edges = np.arange(box + 1) - box // 2 - 0.5
    beads, _, _ = np.histogram2d(walk[:, 1], walk[:, 0], bins=(edges, edges))
    return gaussian_filter(beads * phantom.mass / len(walk) / pixel_size**2, 6.0 / pixel_size).astype(np.float32)
