"""Particles of a micrograph by a detector: where, how likely, how large."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cryoloom.numerics.learn.detector import CELL, GRAIN, Detector
from cryoloom.numerics.learn.levelling import level
from cryoloom.numerics.picking.peaks import find_peaks, keep_apart
from cryoloom.numerics.picking.scene import Scene

Array = NDArray[np.float64]

STRIDE = 16
"""Images have sides that are multiples of this."""

BAND, REACH = 1024, 160
"""Rows that are looked at in one go, and how far around an answer the network looks at the most; multiples of `STRIDE`."""

COMPANY = (0.08, 1.14, 0.69)
"""Constant, and weights of the log odds of a pick and of the logarithm of what else is expected around it: ``python -m training.company``."""

COUNTED, ROOM, NONE = 0.1, 0.25, 0.01
"""Confidence from which a pick counts for the others; particles a squared diameter where it is full; the share that no others are taken for."""


@dataclass(frozen=True)
class Detections:
    """What was found in one micrograph, the likeliest first.

    Attributes
    ----------
    x, y, diameter
        ``(n,)`` px of the micrograph.
    confidence
        ``(n,)`` probability of being a particle.
    """

    x: Array
    y: Array
    diameter: Array
    confidence: Array

    @property
    def sure(self) -> int:
        """How many are more likely than not."""
        return int(np.count_nonzero(self.confidence > 0.5))


def detect(
    scene: Scene, network: Detector, *, least: float, distance: float = 0.6, border: float = 0.0, company: bool = True
) -> Detections:
    """Return all particles of `scene` that are at least as likely as `least`.

    Parameters
    ----------
    scene
        Reduced to `GRAIN` px a particle.
    distance
        Of two that are nearer, in diameters, the likelier stays.
    border
        Centres nearer than this to an edge, in diameters, are left out.
    company
        Weigh each by what else is in the micrograph, see `in_company`.
    """
    confidence, answers = _answers(scene, network)
    rows, columns = find_peaks(confidence, max(min(least, COUNTED), 1e-4), 1.0)
    along, down, size = answers[1:, rows, columns].astype(np.float64)
    x, y = (columns + along) * CELL + 0.5 * (CELL - 1), (rows + down) * CELL + 0.5 * (CELL - 1)
    height, width = scene.pixels.shape
    kept = keep_apart(x, y, distance * scene.diameter)
    margin = border * scene.diameter
    kept &= (np.minimum(x, width - 1 - x) >= margin) & (np.minimum(y, height - 1 - y) >= margin)
    scale = float(np.mean(scene.scale))
    sure = confidence[rows, columns][kept].astype(np.float64)
    sure = in_company(sure, height * width / scene.diameter**2) if company else sure
    order = np.argsort(-sure, kind="stable")
    order = order[sure[order] >= least]
    return Detections(
        x=(x[kept] * scene.scale[1])[order],
        y=(y[kept] * scene.scale[0])[order],
        diameter=(np.exp(np.clip(size[kept], -1.0, 1.0)) * GRAIN * scale)[order],
        confidence=sure[order],
    )


def in_company(confidence: Array, area: float) -> Array:
    """Return the confidence ``(n,)`` of the picks of one micrograph of `area` squared diameters, told by the others, too.

    Contaminants are as many in a micrograph without particles as in a full one. So a doubtful pick among sure ones is a particle more often
    than one that has no company.
    """
    seen = company_of(confidence, area)
    return 1.0 / (1.0 + np.exp(-seen @ np.array(COMPANY)))


def company_of(confidence: Array, area: float) -> Array:
    """Return what is weighed, ``(n, 3)``: 1, the log odds of each, and the logarithm of how full the micrograph is of others."""
    sure = np.clip(confidence, 1e-4, 1.0 - 1e-4)
    counted = np.where(confidence >= COUNTED, confidence, 0.0)
    others = np.minimum((counted.sum() - counted) / (ROOM * area), 1.0)
    return np.column_stack([np.ones_like(sure), np.clip(np.log(sure / (1.0 - sure)), -6.0, 6.0), np.log(others + NONE)])


def _answers(scene: Scene, network: Detector) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the confidence ``(h, w)`` and all answers ``(4, h, w)`` in cells, of the cells that lie in the micrograph.

    Large micrographs are looked at in bands, so that memory stays bounded.
    """
    height, width = scene.pixels.shape
    levelled = level(scene.pixels[None], scene.diameter)[None]
    padded = functional.pad(levelled, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    bands = []
    with torch.inference_mode():
        for top in range(0, padded.shape[2], BAND):
            first, last = max(0, top - REACH), min(top + BAND, padded.shape[2])
            seen = padded[:, :, first : last + REACH].contiguous(memory_format=torch.channels_last)
            bands.append(network.eval()(seen)[0, :, (top - first) // CELL : (last - first) // CELL])
        answers = torch.cat(bands, dim=1)[:, : -(-height // CELL), : -(-width // CELL)]
        return network.confidence(answers[0]).numpy(), answers.numpy()
