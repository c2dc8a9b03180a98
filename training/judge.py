"""How good a detector is on scenes of particles that it never saw, and what its confidence is worth."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from cryoloom.numerics.learn.detect import detect
from cryoloom.numerics.learn.detector import Detector
from cryoloom.numerics.picking import scene as reduced
from training.scenes import TRAINING, Ranges, Scene, draw_scene
from training.species import HELD_OUT

UNSEEN = 10_000_000
"""Seeds from here on are for judging: no species of them is trained on."""

TOLERANCE = 0.25
"""A pick within this many diameters of a centre is right."""

JUDGED = Ranges(
    families=(*TRAINING.families, *HELD_OUT, *HELD_OUT),
    diameter=(100.0, 300.0),
    error=(0.95, 1.05),
    defocus=(10000.0, 30000.0),
    denoised=0.0,
)
"""Where the acceptance of the method is judged: 100 to 300 Å, 1 to 3 µm; one species in five of a family never trained on."""


@dataclass(frozen=True)
class Found:
    """Picks of all scenes, the likeliest first: ``(n,)`` confidence, whether right; and how many particles there are."""

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    particles: int
    area: int


def validation(count: int, *, ranges: Ranges = JUDGED, first: int = UNSEEN) -> list[Scene]:
    """Draw `count` scenes, each of another species."""
    return [draw_scene(first + 8 * index + index % 8, ranges=ranges) for index in range(count)]


def found(scenes: list[Scene], network: Detector, *, least: float = 0.01) -> Found:
    """Pick all `scenes` and match picks and particles, likeliest first, each particle once."""
    confidence, right, particles, area = [], [], 0, 0
    for scene in scenes:
        seen = reduced.Scene(torch.from_numpy(scene.image), (1.0, 1.0), scene.pixel_size, scene.diameter)
        picks = detect(seen, network, least=least)
        free = np.ones(len(scene.centres), dtype=bool)
        particles += len(free)
        area += scene.image.size
        for x, y, sure in zip(picks.x, picks.y, picks.confidence, strict=True):
            row, column = np.clip(np.rint([y, x]).astype(int), 0, len(scene.ignored) - 1)
            if scene.ignored[row, column]:
                continue
            apart = np.where(free, np.hypot(scene.centres[:, 0] - x, scene.centres[:, 1] - y), np.inf)
            hit = len(apart) > 0 and apart.min() < TOLERANCE * scene.diameter
            if hit:
                free[apart.argmin()] = False
            confidence.append(sure)
            right.append(hit)
    order = np.argsort(-np.array(confidence), kind="stable")
    return Found(np.array(confidence, dtype=np.float64)[order], np.array(right, dtype=bool)[order], particles, area)


def average_precision(picks: Found) -> float:
    """Return the area under precision over recall."""
    precision = np.cumsum(picks.right) / np.arange(1, len(picks.right) + 1)
    return float(precision[picks.right].sum() / max(1, picks.particles))


def at_threshold(picks: Found, threshold: float) -> tuple[float, float]:
    """Return recall and precision of the picks above `threshold`."""
    chosen = picks.right[picks.confidence >= threshold]
    return float(chosen.sum() / max(1, picks.particles)), float(chosen.mean()) if len(chosen) else 1.0


def calibration_error(picks: Found, *, least: float = 0.1, bins: int = 10) -> float:
    """Return by how much confidence and the share of right picks differ, averaged over the picks above `least`."""
    chosen = picks.confidence >= least
    confidence, right = picks.confidence[chosen], picks.right[chosen]
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    off = [abs(confidence[place == each].sum() - right[place == each].sum()) for each in range(bins)]
    return float(sum(off) / max(1, len(right)))


def calibrate(network: Detector, scenes: list[Scene]) -> str:
    """Set the calibration of `network` so that its confidence in picks of `scenes` is how often they are right; say how it went.

    Every second scene is for the fit (Platt 1999), the others for judging it.
    """
    network.calibration.copy_(torch.tensor([1.0, 0.0]))
    fitted = found(scenes[::2], network, least=0.005)
    logits = np.log(fitted.confidence / (1.0 - fitted.confidence))

    def wrong(line: NDArray[np.float64]) -> float:
        signed = np.where(fitted.right, 1.0, -1.0) * (line[0] * logits + line[1])
        return float(np.logaddexp(0.0, -signed).mean())

    slope, rise = minimize(wrong, np.array([1.0, 0.0]), method="Nelder-Mead").x
    network.calibration.copy_(torch.tensor([slope, rise], dtype=torch.float32))
    return f"calibration {slope:.3f} {rise:+.3f}; {describe(found(scenes[1::2], network))}"


def describe(picks: Found) -> str:
    """Return the figures of `picks` in words."""
    recall, precision = at_threshold(picks, 0.3)
    return (
        f"AUPRC {average_precision(picks):.3f}, at 0.3 recall {recall:.3f} precision {precision:.3f}, "
        f"calibration error {calibration_error(picks):.3f}, {picks.particles} particles"
    )
