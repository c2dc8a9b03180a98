"""Micrographs with lumpy particles and what a picker may fall for, by formulas that share nothing with the product."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.optimize import linear_sum_assignment

POTENTIAL = 0.00065 * 2.5  # rad per Å of protein in ice at 300 kV
VOLUME = {"ball": 0.5 * math.pi / 6, "ring": 0.12, "rod": 0.028}
"""Of the protein, in cubes of the diameter."""


@dataclass(frozen=True)
class Scenery:
    """What is to be drawn; lengths in Å, defocus in Å, dose in e/Å²."""

    shape: tuple[int, int] = (640, 640)
    pixel_size: float = 2.4
    shape_of_particle: str = "ball"
    diameter: float = 200.0
    count: int = 40
    defocus: float = 15000.0
    dose: float = 30.0
    ice: int = 0
    gold: int = 0
    carbon: bool = False
    hot: int = 0


@lru_cache(maxsize=32)
def draw(scenery: Scenery, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts ``(h, w)``, particles dark, and the true centres ``(n, 2)``, x and y in px, of particles that nothing covers."""
    rng = np.random.default_rng(seed)
    (h, w), size, diameter = scenery.shape, scenery.pixel_size, scenery.diameter
    y, x = np.mgrid[:h, :w] * size
    phase, absorbed, covered = rng.normal(0, 0.012, (h, w)), np.ones((h, w)), np.zeros((h, w), bool)
    body = _body(diameter, scenery.shape_of_particle)
    thickness = VOLUME[scenery.shape_of_particle] * diameter**3 / len(body) * POTENTIAL / size**2
    centres = _apart(scenery.count, (w * size, h * size), 1.05 * diameter, 0.5 * diameter, rng)
    for centre in centres:
        turned = body @ np.linalg.qr(rng.normal(size=(3, 3)))[0][:2].T
        column, row = np.rint((turned + centre) / size).astype(int).T
        np.add.at(phase, (row.clip(0, h - 1), column.clip(0, w - 1)), thickness)
    for _ in range(scenery.ice):
        cx, cy, radius = rng.uniform(0, w * size), rng.uniform(0, h * size), diameter * rng.uniform(0.3, 1.2)
        angle = np.arctan2(y - cy, x - cx)
        rim = radius * (1 + 0.2 * np.cos(2 * angle + rng.uniform(0, 6)) + 0.1 * np.cos(5 * angle + rng.uniform(0, 6)))
        inside = np.hypot(x - cx, y - cy) < rim
        phase += inside * rng.uniform(0.1, 0.8)
        absorbed = np.where(inside, absorbed * 0.85, absorbed)
        covered |= np.hypot(x - cx, y - cy) < rim + diameter / 2
    for _ in range(scenery.gold):
        cx, cy = rng.uniform(0, w * size), rng.uniform(0, h * size)
        absorbed[np.hypot(x - cx, y - cy) < 50] *= 0.4
        covered |= np.hypot(x - cx, y - cy) < 50 + diameter / 2
    if scenery.carbon:
        film = x + 0.3 * y > 0.9 * w * size
        absorbed[film] *= 0.88
        phase += film * (0.15 + 0.1 * rng.normal(size=(h, w)))
        covered |= x + 0.3 * y > 0.9 * w * size - diameter
    squared = np.fft.fftfreq(h, size)[:, None] ** 2 + np.fft.rfftfreq(w, size)[None, :] ** 2
    transfer = np.sin(math.pi * 0.0196875 * squared * (scenery.defocus - 0.5 * 0.0196875**2 * 2.7e7 * squared) + math.asin(0.1))
    wave = fft.irfft2(fft.rfft2(phase) * transfer * np.exp(-20 * squared), s=(h, w))
    counts = rng.poisson(scenery.dose * size**2 * np.clip(absorbed * (1 - 2 * wave), 0.02, None)).astype(np.float32)
    counts.flat[rng.choice(counts.size, scenery.hot, replace=False)] = 1e5
    true = centres / size
    return counts, true[~covered[np.rint(true[:, 1]).astype(int), np.rint(true[:, 0]).astype(int)]]


@lru_cache(maxsize=8)
def _body(diameter: float, shape: str) -> np.ndarray:
    rng = np.random.default_rng(9)
    points = rng.uniform(-0.5, 0.5, (200_000 if shape == "rod" else 30_000, 3)) * diameter
    if shape == "ball":
        points = points[((points / (np.array([1, 0.85, 0.8]) * diameter / 2)) ** 2).sum(axis=1) < 1]
    elif shape == "ring":
        from_circle = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.34 * diameter, points[:, 2])
        points = points[from_circle < 0.15 * diameter]
    else:
        points = points[np.hypot(points[:, 1], points[:, 2]) < 0.1 * diameter]
    points = points[: len(points) - len(points) % 100]
    holes = points[rng.integers(0, len(points), 14)]
    points = points[np.linalg.norm(points[:, None] - holes, axis=2).min(axis=1) > (0.04 if shape == "rod" else 0.1) * diameter]
    return points - points.mean(axis=0)


def _apart(count, extent, distance, margin, rng) -> np.ndarray:
    tries = rng.uniform(margin, np.array(extent) - margin, (4000, 2))
    free = np.ones(len(tries), bool)
    places = []
    while len(places) < count and free.any():
        place = tries[np.argmax(free)]
        places.append(place)
        free &= ((tries - place) ** 2).sum(axis=1) > distance**2
    return np.array(places).reshape(-1, 2)


def matched(picks: np.ndarray, true: np.ndarray, within: float) -> np.ndarray:
    """Return the distances (px) of the pairs of the best one-to-one matching of picks and truth."""
    if len(picks) == 0 or len(true) == 0:
        return np.zeros(0)
    apart = np.linalg.norm(picks[:, None] - true[None], axis=2)
    pairs = linear_sum_assignment(np.where(apart <= within, apart - 1e4, 0.0))
    return apart[pairs][apart[pairs] <= within]
