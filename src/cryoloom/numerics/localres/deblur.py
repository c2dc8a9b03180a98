"""Sharpening of every place to its own resolution (LocalDeblur; Ramírez-Aportela et al. 2020, doi:10.1093/bioinformatics/btz671).

The local operator L takes of each voxel the mean of the map's narrow bands, weighted by how near they lie to the resolution there. A map V that L turns into
the measured one is sought by steps ``V + λ L(V₀ - L(V))``. What is shown of it ends at the resolution of each place (decision 58).
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from cryoloom.numerics.parallel import blocks, ordered

Map = NDArray[np.float32]
State = dict[str, Any]

STEP = 0.2
"""Å between bands, and their half width."""
BEYOND = 2.0
"""Å that bands go beyond the coarsest resolution."""
CUT = 400.0
"""Times K: how steeply weights fall for bands finer than the place's resolution (decision 45)."""
AUTOMATIC = 12.0
"""Steps of this part of the norms' ratio, where the step is automatic."""
MOST = 50
"""Steps."""
GAIN = 1.0
"""Points in per cent by which the norms' ratio must still improve."""
CLIP = 4.0
"""Deviations of the solvent below 0, at which the map is cut."""
EDGE = (0.95, 1.1)
"""Times the frequency of a place's resolution: where the last low-pass begins to fade, and where nothing passes."""
APART = 1.08
"""Ratio of the frequencies of two low-passes, between which each place takes a mean."""
RIM, FAINT = 3.0, 0.01
"""Deviation in px of the Gaussian by which resolutions go on into the solvent, and its value from where on the median counts."""


@dataclass(frozen=True)
class Deblurring:
    """Local sharpening of one map: `start`, `step` until `done`; the result is what `limited` leaves of the state's ``volume``.

    Attributes
    ----------
    volume
        The measured map V₀ ``(d, d, d)``.
    resolution
        Å, 0 in the solvent.
    pixel_size
        Å.
    strength
        K in 1/Å²: how fast weights fall with a band's distance from the resolution.
    step_size
        λ; 1 chooses it by the norms of V₀ and L(V₀).
    threads
        Bands computed at once, each of which takes two volumes.
    """

    volume: Map
    resolution: Map
    pixel_size: float
    strength: float = 0.025
    step_size: float = 1.0
    threads: int = 1

    @cached_property
    def bands(self) -> list[tuple[int, float, float]]:
        """Return shell, centre and half width (cycles/px) of each band, fine to coarse; each shell once."""
        box, found = len(self.volume), {}
        finest = 2 * self.pixel_size
        count = floor((float(self.resolution.max()) + BEYOND - finest) / STEP) + 1
        for number in range(count):
            angstrom = finest + number * STEP
            shell = round(box * self.pixel_size / angstrom)
            centre = self.pixel_size / angstrom
            width = self.pixel_size / (angstrom - STEP) - centre
            if shell >= 1 and shell not in found:
                found[shell] = (shell, centre, max(width, 1.0 / box))
        return list(found.values())

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Return where the resolution is known."""
        return self.resolution > 0

    @cached_property
    def _known(self) -> Map:
        return np.maximum(self.resolution[self.inside], np.float32(2 * self.pixel_size))

    @cached_property
    def _total(self) -> Map:
        """Return the sum of all bands' weights at each known voxel, as if they were as many on the fine side: no place is raised for having few."""
        return np.sum([self._weight(centre, 1.0) for _, centre, _ in self.bands], axis=0, dtype=np.float32)

    def _weight(self, centre: float, cut: float = CUT) -> Map:
        apart = np.float32(self.pixel_size / centre) - self._known
        steep = np.where(apart < 0, np.float32(cut * self.strength), np.float32(self.strength))
        return np.exp(-steep * apart * apart)

    def local(self, volume: Map, cut: float = CUT) -> Map:
        """Return L of a map."""
        transform = torch.fft.rfftn(torch.from_numpy(volume))
        total = np.zeros(len(self._known), np.float32)

        def band(part: slice) -> Map:
            _, centre, width = self.bands[part.start]
            work = torch.empty_like(transform)
            band_pass(transform.numpy(), centre, width, work.numpy())
            return torch.fft.irfftn(work, s=volume.shape).numpy()[self.inside] * self._weight(centre, cut)

        for each in ordered(band, blocks(len(self.bands), 1), self.threads):
            total += each
        out = np.zeros_like(volume)
        out[self.inside] = total / self._total
        return out

    @cached_property
    def _frequency(self) -> Map:
        """Return cycles/px at which each voxel's detail ends; into the solvent the specimen's goes on, far from it its median."""
        soft = np.asarray(ndimage.gaussian_filter(self.inside.astype(np.float32), RIM)) + np.float32(FAINT)
        known = np.zeros_like(soft)
        known[self.inside] = self._known
        median = np.float32(FAINT * np.median(self._known))
        reached = (np.asarray(ndimage.gaussian_filter(known, RIM)) + median) / soft
        reached[self.inside] = self._known
        return np.minimum(np.float32(self.pixel_size) / reached, np.float32(0.5))

    def limited(self, volume: Map) -> Map:
        """Return a map low-passed in every place at its resolution: each voxel takes a mean of two of a few fixed filters, its neighbours nearly the same.

        The local operator changes from voxel to voxel and so smears what it raises over frequencies that the place does not hold.
        """
        low, high = float(self._frequency.min()), float(self._frequency.max())
        count = ceil(log(high / low) / log(APART) - 1e-6) + 1
        place = np.log(self._frequency / np.float32(low)) / np.float32(log(APART))
        transform, out = torch.fft.rfftn(torch.from_numpy(volume)), np.zeros_like(volume)

        def share(part: slice) -> Map:
            weight = np.maximum(1 - np.abs(place - np.float32(part.start)), 0)
            work = torch.empty_like(transform)
            frequency = low * APART**part.start
            low_pass(transform.numpy(), EDGE[0] * frequency, EDGE[1] * frequency, work.numpy())
            weight *= torch.fft.irfftn(work, s=volume.shape).numpy()
            return weight

        for each in ordered(share, blocks(count, 1), self.threads):
            out += each
        return out

    def _automatic_size(self) -> float:
        """Return a part of the norm of the specimen over that of L of it, with weights alike on both sides."""
        norms = [np.linalg.norm(each[self.inside].astype(np.float64)) for each in (self.volume, self.local(self.volume, 1.0))]
        return float(norms[0] / max(norms[1], 1e-30)) / AUTOMATIC

    @cached_property
    def _floor(self) -> np.float32:
        """Return the least value that the map may have: far below what the solvent has."""
        outside = self.volume[~self.inside]
        return np.float32(-CLIP * outside.std() if outside.size else -np.inf)

    def start(self) -> State:
        """Return the state before the first step."""
        return {"volume": self.volume.copy(), "lambda": 0.0, "norms": [], "changes": []}

    def done(self, state: State) -> bool:
        """Return whether the norms have settled, or the steps are spent."""
        changes = state["changes"]
        return len(state["norms"]) >= MOST or (len(changes) > 2 and changes[-1] - changes[-2] < GAIN)

    def step(self, state: State) -> State:
        """Do one step."""
        filtered = self.local(state["volume"])
        norm = float(np.linalg.norm(filtered.astype(np.float64)))
        size = state["lambda"]
        if not size:
            size = self.step_size if self.step_size != 1.0 else self._automatic_size()
        changes = [*state["changes"], *([100.0 * state["norms"][-1] / max(norm, 1e-30)] if state["norms"] else [])]
        volume = state["volume"] + np.float32(size) * self.local(self.volume - filtered)
        return {"volume": np.maximum(volume, self._floor), "lambda": size, "norms": [*state["norms"], norm], "changes": changes}


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def band_pass(transform, centre, width, out):
    """Write a transform to `out` times a raised cosine about a frequency, 0 from `width` (both cycles/px) to either side on."""
    box, columns = transform.shape[0], transform.shape[2]
    for k in range(box):
        z = (k if 2 * k <= box else k - box) / box
        for j in range(box):
            y = (j if 2 * j <= box else j - box) / box
            across = z * z + y * y
            out[k, j] = 0.0
            if across >= (centre + width) ** 2:
                continue
            first = max(int(np.sqrt(max((centre - width) ** 2 - across, 0.0)) * box), 0)
            last = min(int(np.sqrt((centre + width) ** 2 - across) * box) + 2, columns)
            for i in range(first, last):
                apart = abs(np.sqrt(across + (i / box) ** 2) - centre)
                if apart < width:
                    out[k, j, i] = transform[k, j, i] * np.float32(0.5 + 0.5 * np.cos(np.pi * apart / width))


@njit(nogil=True, cache=True, error_model="numpy")
def low_pass(transform, whole, stop, out):
    """Write a transform to `out`, times 1 up to `whole` (cycles/px) and a raised cosine that falls to 0 at `stop`."""
    box, columns = transform.shape[0], transform.shape[2]
    for k in range(box):
        z = (k if 2 * k <= box else k - box) / box
        for j in range(box):
            y = (j if 2 * j <= box else j - box) / box
            across, row = z * z + y * y, out[k, j]
            row[:] = transform[k, j]
            for i in range(int(np.sqrt(max(whole * whole - across, 0.0)) * box), columns):
                radius = np.sqrt(across + (i / box) ** 2)
                if radius >= stop:
                    row[i:] = 0.0
                    break
                if radius > whole:
                    row[i] *= np.float32(0.5 + 0.5 * np.cos(np.pi * (radius - whole) / (stop - whole)))
