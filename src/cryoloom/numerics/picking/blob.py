"""Blobs: the maxima of dark detail in a micrograph, how strong and how broad they are, and as many of the other sign."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.picking.detail import Detail
from cryoloom.numerics.picking.peaks import find_peaks, refine_peaks
from cryoloom.numerics.picking.scene import Scene

Array = NDArray[np.float64]

FEATURES = ("log_strength", "log_breadth")
"""Natural logarithm of the mean detail within the particle's reach; that of the mean within a wider one over it."""

CROWD = 0.5
"""Blobs of one list lie at least this many diameters apart."""

FAINTEST = 1e-3
"""Blobs of less detail than this, a hundredth of what noise has, are not listed."""


@dataclass(frozen=True)
class Blobs:
    """Candidates of one micrograph, strongest first.

    Attributes
    ----------
    x, y
        ``(n,)`` centre in px of the micrograph.
    strength
        ``(n,)`` mean detail in σ of the noise; white noise alone has 0.08 on average and 0.15 at its highest.
    features
        ``(n, 2)``, see `FEATURES`.
    decoys
        ``(m, 2)`` features of the blobs of the other sign, which no particle makes.
    """

    x: Array
    y: Array
    strength: Array
    features: Array
    decoys: Array


class BlobMap:
    """The detail of a scene, as maps that blobs are the maxima of."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        detail = Detail(scene.pixels, scene.pixel_size, scene.diameter)
        self._seen = detail.seen
        if detail.seen:
            (self._dark, self._dark_around), (self._bright, self._bright_around) = detail.sums(1.0), detail.sums(-1.0)

    def blobs(self, border: float) -> Blobs:
        """List the blobs; centres nearer than `border` diameters to an edge are left out.

        Where there is more detail of the other sign the blob is the halo of a contaminant and left out, too.
        """
        scene = self._scene
        if not self._seen:
            none = np.zeros(0)
            return Blobs(none, none, none, np.zeros((0, len(FEATURES))), np.zeros((0, len(FEATURES))))
        apart, margin = CROWD * scene.diameter, border * scene.diameter
        strengths, others = self._dark.numpy(), self._bright.numpy()
        rows, columns = find_peaks(strengths, FAINTEST, apart, border=margin)
        own = strengths[rows, columns] > others[rows, columns]
        rows, columns = rows[own], columns[own]
        y, x = refine_peaks(strengths, rows, columns)
        decoys = find_peaks(others, FAINTEST, apart, border=margin)
        return Blobs(
            x=x * scene.scale[1],
            y=y * scene.scale[0],
            strength=strengths[rows, columns].astype(np.float64),
            features=_features(self._dark, self._dark_around, rows, columns),
            decoys=_features(self._bright, self._bright_around, *decoys),
        )

    def features_at(self, x: Array, y: Array) -> Array:
        """Return `FEATURES` ``(n, 2)`` at places in px of the micrograph, blobs or not."""
        if not self._seen:
            return np.zeros((len(x), len(FEATURES)))
        height, width = self._dark.shape
        rows = np.clip(np.rint(np.asarray(y) / self._scene.scale[0]).astype(np.int64), 0, height - 1)
        columns = np.clip(np.rint(np.asarray(x) / self._scene.scale[1]).astype(np.int64), 0, width - 1)
        return _features(self._dark, self._dark_around, rows, columns)


def find_blobs(scene: Scene, *, border: float = 0.3) -> Blobs:
    """List the blobs of `scene`; centres nearer than `border` diameters to an edge are left out."""
    return BlobMap(scene).blobs(border)


def _features(near: Tensor, around: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
    strength, breadth = (np.maximum(values.numpy()[rows, columns].astype(np.float64), FAINTEST) for values in (near, around))
    return np.stack([np.log(strength), np.log(breadth / strength)], axis=1)
