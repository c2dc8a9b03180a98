"""When a refinement looks wide, when it looks close, how far its band reaches, and when it has nothing left to gain."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.fsc.shells import crossing_shell, resolution_at

Array = NDArray[np.float64]
Widening = dict[str, Any]

THRESHOLD = 0.143
MARGIN = 5
"""Shells beyond the crossing that are still compared: fewer lose signal, more let noise into the reference."""
GLOBAL_FIRST = 3
RETURN = 4
"""Every so many local iterations one is global again: local ones cannot rescue a particle that fell into a wrong peak."""
SURE = 0.95
STEADY = 1.0
"""Degrees."""
STILL = 0.05
"""Waves of the finest detail compared by which poses move the particle's rim when they no longer move to any purpose."""
GAIN = 0.002
"""Growth of the area under the curve, as a fraction of the band's, below which an iteration has gained nothing."""


def coarse_shell(band: int, box: int, radius: float) -> int:
    """Return the last shell of the global search: what a 15 degree grid can follow on a particle of `radius` px, and not beyond `band`."""
    return int(min(band, np.clip(round(4.7 * box / radius), 8, 16)))


def insertion_shell(band: int, last: int) -> int:
    """Return how far images compared to `band` are averaged: far enough beyond that the next band can grow by half."""
    return min(last, band + max(2 * MARGIN, band // 2))


def next_band(fsc: Array, inserted: int) -> int:
    """Return the last shell to compare next, given the halves' curve out to shell `inserted`."""
    crossing = crossing_shell(fsc[: inserted + 1], THRESHOLD)
    return int(np.clip(crossing + MARGIN, min(8, inserted), inserted))


def shift_spread(shifts: Array, box: int) -> float:
    """Return the prior's standard deviation in px for shifts ``(n, 2)``, from their median so that strays do not count."""
    return max(1.2 * float(np.median(np.linalg.norm(shifts, axis=1))) / 1.1774, 0.011 * box)


@dataclass(frozen=True)
class Observation:
    """What an iteration showed.

    Attributes
    ----------
    crossing
        Last shell of the halves' curve at 0.143.
    area
        Sum of the curve to the band inserted.
    turned, moved
        Median change of poses, degrees and px.
    still
        Change in degrees below which poses no longer move to any purpose.
    certainty, mean_certainty
        Mean weight of the best pose, over the four fifths of the images that are surest, so that junk does not count, and over all.
    band
        Last shell compared.
    local
        Whether poses were sought near the last ones only.
    """

    crossing: int
    area: float
    turned: float
    moved: float
    still: float
    certainty: float
    mean_certainty: float
    band: int
    local: bool
    resolution_curve: Array

    @classmethod
    def of(
        cls, fsc: Array, inserted: int, turned: Array, moved: Array, best: Array, band: int, *, local: bool, waves: float
    ) -> "Observation":
        """Summarise an iteration; `waves` is the particle's radius in waves of the finest detail compared."""
        sure = np.sort(best)[len(best) // 5 :]
        crossing = crossing_shell(fsc[: inserted + 1], THRESHOLD)
        area = float(np.clip(fsc[: inserted + 1], 0, None).sum())
        still = float(np.rad2deg(STILL / waves))
        return cls(
            crossing, area, float(np.median(turned)), float(np.median(moved)), still, float(sure.mean()), float(best.mean()), band, local, fsc
        )  # fmt: skip

    def record(self, box: int, pixel_size: float) -> dict[str, float]:
        """Return the numbers worth keeping, in Å and degrees."""
        return {
            "resolution": resolution_at(self.resolution_curve, THRESHOLD, box, pixel_size),
            "band": box * pixel_size / self.band,
            "change_angle": self.turned,
            "change_shift": self.moved * pixel_size,
            "max_probability": self.mean_certainty,
            "local": float(self.local),
        }


def start(*, near: bool = False) -> Widening:
    """Return the schedule's state before the first iteration; with `near` poses are sought near the given ones and nowhere else."""
    return {
        "local": near,
        "near": near,
        "since_global": 0,
        "done": 0,
        "idle": 0,
        "best_crossing": 0,
        "best_area": 0.0,
        "best_certainty": 0.0,
        "least_turned": 180.0,
        "settled": False,
        "over": False,
    }


def advance(old: Widening, seen: Observation, most: int) -> Widening:
    """Return the schedule's state after an iteration."""
    done = old["done"] + 1
    # While poses still come to rest or grow surer the curve may stand or even fall: that is no end.
    better = (
        seen.crossing > old["best_crossing"]
        or seen.area > old["best_area"] + GAIN * max(seen.band, 1)
        or seen.mean_certainty > old["best_certainty"] + 0.01
        or seen.still < seen.turned < 0.95 * old["least_turned"]
    )
    idle = 0 if better else old["idle"] + 1
    settled = done >= GLOBAL_FIRST and seen.turned <= STEADY and seen.certainty >= SURE
    since = 0 if not old["local"] else old["since_global"] + 1
    over = done >= most or (done > (1 if old["near"] else GLOBAL_FIRST + 1) and idle >= 2)
    return {
        "local": old["near"] or (settled and since < RETURN),
        "near": old["near"],
        "since_global": since,
        "done": done,
        "idle": idle,
        "best_crossing": max(seen.crossing, old["best_crossing"]),
        "best_area": max(seen.area, old["best_area"]),
        "best_certainty": max(seen.mean_certainty, old["best_certainty"]),
        "least_turned": min(seen.turned, old["least_turned"]),
        "settled": settled,
        "over": over,
    }


def converged(now: Widening) -> bool:
    """Return whether the next iteration is the last."""
    return bool(now["over"])
