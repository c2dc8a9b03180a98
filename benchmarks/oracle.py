"""What the particles of a set could give at best: the map of their true poses, with the reconstruction of the product."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.maximisation import accumulate
from cryoloom.numerics.align.posterior import Points
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.symmetry import C1, PointGroup
from cryoloom.numerics.reconstruct.grids import Map
from cryoloom.numerics.reconstruct.sums import divided

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Oracle:
    """Resolutions in Å under `mask`: of the halves at 0.143, and of the whole map against the truth at 0.5."""

    half_maps: float
    against_truth: float


def oracle(
    images: ImageSet,
    rotations: Array,
    shifts: Array,
    half: NDArray[np.int64],
    pixel_size: float,
    truth: Map,
    mask: Map,
    group: PointGroup = C1,
) -> Oracle:
    """Reconstruct from true poses.

    Parameters
    ----------
    images
        The set; `rotations` ``(n, 3, 3)``, `shifts` ``(n, 2)`` px and `half` (0 or 1) are of its images.
    pixel_size
        Å/px.
    truth, mask
        ``(box, box, box)``.
    group
        Symmetry of the truth, imposed.
    """
    every, box, plane = np.arange(len(images)), images.plane.box, images.plane
    points = Points(every, rotations.astype(np.float32), shifts, np.ones(len(every)), np.zeros((len(every), 3)))
    sums = list(accumulate(images, every, points, plane, images.total_power(), half, group=group))
    maps = [divided(one, plane.last, box, box, group=group) for one in (*sums, sums[0] + sums[1])]
    return Oracle(
        resolution_at(fourier_shell_correlation(maps[0] * mask, maps[1] * mask), 0.143, box, pixel_size),
        resolution_at(fourier_shell_correlation(maps[2] * mask, truth * mask), 0.5, box, pixel_size),
    )
