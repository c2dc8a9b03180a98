"""What of a micrograph is not ice with particles, and how much of it lies under each pick."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from cryoloom.numerics.learn.segmentation import STRIDE, Segmenter
from cryoloom.numerics.learn.weights import read_weights, shipped_weights
from cryoloom.numerics.picking.scene import reduce_micrograph

Image = NDArray[np.float32]
Array = NDArray[np.float64]

ACROSS = 16.0
"""Working pixels across a particle."""
CORE = 1.0
"""Diameter, in particle diameters, of the disc under a pick whose mean decides: what lies beside the particle does not count."""
UNBELIEVABLE = 0.8
"""Share of a micrograph above which the mask is not believed."""


@dataclass(frozen=True)
class Cover:
    """Where a micrograph is covered.

    Attributes
    ----------
    pixels
        ``(h, w)`` float32, the micrograph as the network sees it, particles bright.
    probability
        ``(h, w)`` float32 of being anything but ice and particles, at the working scale.
    scale
        Micrograph pixels for one of these, (y, x).
    believable
        Whether there is anything in the micrograph, and not nearly all of it is masked.
    """

    pixels: Image
    probability: Image
    scale: tuple[float, float]
    believable: bool

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return places in micrograph px as places in working px; pixel (0, 0) has its place in both."""
        return np.asarray(x, dtype=np.float64) / self.scale[1], np.asarray(y, dtype=np.float64) / self.scale[0]

    def region_scores(self, x: Array, y: Array) -> Array:
        """Return 1 - the mean probability within `CORE` of the particle at each place `x`, `y` (micrograph px); NaN if not `believable`."""
        if not self.believable:
            return np.full(len(x), np.nan)
        column, row = self.at(x, y)
        reach = int(np.ceil(0.5 * CORE * ACROSS)) + 1
        steps = np.arange(-reach, reach + 1)
        down, across = np.rint(row).astype(int)[:, None] + steps, np.rint(column).astype(int)[:, None] + steps
        height, width = self.probability.shape
        values = self.probability[np.clip(down, 0, height - 1)[:, :, None], np.clip(across, 0, width - 1)[:, None, :]]
        distance = np.hypot((down - row[:, None])[:, :, None], (across - column[:, None])[:, None, :])
        weights = np.clip(0.5 * CORE * ACROSS + 0.5 - distance, 0.0, 1.0)
        return 1.0 - (values * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))

    def distances(self, x: Array, y: Array) -> Array:
        """Return how far, in particle diameters, each place is from what is masked: 0 within, the micrograph's diagonal if nothing is."""
        column, row = self.at(x, y)
        height, width = self.probability.shape
        masked = self.probability > 0.5
        far = np.asarray(distance_transform_edt(~masked)) if masked.any() else np.full(masked.shape, np.hypot(height, width))
        return far[np.clip(np.rint(row).astype(int), 0, height - 1), np.clip(np.rint(column).astype(int), 0, width - 1)] / ACROSS


@cache
def cleaner() -> Segmenter:
    """Return the network that comes with cryoloom."""
    network = Segmenter()
    read_weights(network, shipped_weights("pick-clean"))
    return network.eval()


def find_cover(image: NDArray[np.generic], pixel_size: float, diameter: float, network: Segmenter, *, dark: bool = True) -> Cover:
    """Return where `image` ``(h, w)`` with particles of `diameter` Å is covered.

    Raises
    ------
    ValueError
        If the diameter is above half the short side.
    """
    scene = reduce_micrograph(image, pixel_size, diameter, dark=dark, grain=ACROSS)
    pixels = level(scene.pixels.numpy())
    if not pixels.any():
        return Cover(pixels, np.zeros(pixels.shape, dtype=np.float32), scene.scale, believable=False)
    covered = turned_mean(pixels, network)
    return Cover(pixels, covered, scene.scale, believable=float(covered.mean()) <= UNBELIEVABLE)


def level(pixels: Image) -> Image:
    """Return `pixels` ``(h, w)`` with median 0 and a deviation, from the tenth to the ninetieth percentile, of 1; what is beyond 3 is drawn in."""
    low, middle, high = np.percentile(pixels, (10.0, 50.0, 90.0))
    spread = (high - low) / 2.563
    if spread <= 1e-6 * max(abs(float(middle)), 1e-20):
        return np.zeros(pixels.shape, dtype=np.float32)
    values = ((pixels - middle) / spread).astype(np.float32)
    return values / np.sqrt(1.0 + (values / np.float32(3.0)) ** 2)


def turned_mean(pixels: Image, network: Segmenter) -> Image:
    """Return the mean of the network's probabilities ``(h, w)`` of `pixels` and of them turned by 90, 180 and 270°, turned back."""
    height, width = pixels.shape
    # No more than the network needs: a mirrored film is a band, which looks like something else.
    top, left = (-side % STRIDE // 2 for side in (height, width))
    edges = ((top, -height % STRIDE - top), (left, -width % STRIDE - left))
    padded = torch.from_numpy(np.pad(pixels, edges, mode="symmetric"))
    mean = torch.stack([probability(padded.rot90(turn), network).rot90(-turn) for turn in range(4)]).mean(dim=0)
    return mean[top : top + height, left : left + width].numpy().copy()


def probability(pixels: Tensor, network: Segmenter) -> Tensor:
    """Return the network's probability of being covered for one image ``(h, w)`` whose sides are multiples of its stride."""
    with torch.inference_mode():
        return torch.sigmoid(network.eval()(pixels[None, None].contiguous(memory_format=torch.channels_last)))[0, 0]
