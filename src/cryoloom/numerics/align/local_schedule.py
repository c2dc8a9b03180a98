"""How finely images are sampled and how far poses may go in an iteration of a local refinement, by the rules of HighRes.

Sorzano et al. 2018 (doi:10.1016/j.jsb.2018.08.002): the resolution asked for is approached by steps, pixels are a third of it, and the angular step is
what moves the rim of the box by one detail of the resolution known.
"""

import math
from dataclasses import dataclass

NEARER_WIDE, NEARER_CLOSE = 0.5, 0.8
"""Part of the last resolution that may be asked for at once, when poses are sought everywhere and when near the last ones."""
LEAST_BOX = 40
"""Pixels; smaller boxes are left as they are."""


@dataclass(frozen=True)
class Sampling:
    """The images of an iteration: `target` in Å, `pixel_size` in Å/px, and `box` in px."""

    target: float
    pixel_size: float
    box: int

    @property
    def last(self) -> int:
        """Return the last shell that the box holds."""
        return self.box // 2


def next_sampling(asked: float, known: float | None, box: int, pixel_size: float, *, wide: bool, adapt: bool = True) -> Sampling:
    """Return the sampling of the next iteration of images of `box` px.

    Parameters
    ----------
    asked
        Å that the iteration is to reach.
    known
        Å that the last one reached; None when there is none.
    wide
        Whether poses are sought everywhere.
    adapt
        Work with pixels of a third of the target; the images' own otherwise.
    """
    target = max(asked, 2 * pixel_size, 0.0 if known is None else (NEARER_WIDE if wide else NEARER_CLOSE) * known)
    wanted = max(pixel_size, target / 3) if adapt else pixel_size
    # An odd box or a small one stays: a working box is an even number of pixels of the same extent.
    small = 2 * math.ceil(round(box * pixel_size / wanted) / 2)
    small = min(box, max(small, LEAST_BOX))
    return Sampling(target, box * pixel_size / small, small)


def angular_step(box: int, pixel_size: float, resolution: float, *, wide: bool) -> float:
    """Return the angle in degrees that moves the rim of the box by a detail of `resolution` Å; three at least where poses are sought everywhere."""
    step = math.degrees(math.atan2(resolution, box * pixel_size))
    return max(step, 3.0) if wide else step
