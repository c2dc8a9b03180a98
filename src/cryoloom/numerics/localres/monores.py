"""Local resolution by monogenic amplitudes (MonoRes; Vilas et al. 2018, doi:10.1016/j.str.2017.12.018).

From coarse to fine, a voxel is resolved as long as the amplitude of the map beyond the frequency exceeds that of noise; the second miss in a row ends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from cryoloom.numerics.localres.monogenic import monogenic_amplitude
from cryoloom.numerics.localres.regions import Region
from cryoloom.numerics.parallel import blocks, ordered

Map = NDArray[np.float32]
State = dict[str, Any]

FEW = 0.025
"""Part of the mask that is still resolved, below which the search ends."""
FAINT = 0.001
"""Part of the largest mean amplitude of all steps, below which it ends."""
MISSES = 2
"""In a row, that end a voxel."""
SMOOTH = 3.0
"""Deviation in px of the Gaussian that the map of resolutions is smoothed by."""
STEP_COLUMNS = ("shell", "resolution", "threshold", "signal", "noise", "z", "active", "passed")


def shells_between(box: int, pixel_size: float, low: float, high: float, step: float) -> list[int]:
    """Return the Fourier shells, each once, nearest to `low`, `low` - `step` … Å, none finer than `high` or Nyquist."""
    finest = max(high, 2 * pixel_size)
    count = floor((low - finest) / step + 1e-6) + 1
    shells = [round(box * pixel_size / (low - number * step)) for number in range(count)]
    return [shell for shell in dict.fromkeys(shells) if 1 <= shell <= box // 2]


@dataclass(frozen=True)
class MonoRes:
    """The search over one map: `start`, `step` until `done`, then `finished`.

    A state holds arrays over the voxels of the mask, in the array's order, and the table of steps: a checkpoint. Beside the two transforms, three volumes
    are held, six with two threads.

    Attributes
    ----------
    signal, noise
        Transforms (``rfftn``) of the map and of its noise, half the difference of the half maps; noise None: the map's own, outside.
    mask, quiet
        Voxels whose resolution is sought, and those that tell the noise.
    pixel_size
        Å.
    shells
        Frequencies, coarse to fine, as `shells_between` gives them.
    significance
        Part of the noise's amplitudes that resolved ones exceed.
    gaussian
        Take that quantile from the amplitudes' mean and deviation, not from their order.
    threads
        Two take signal and noise at once.
    """

    signal: torch.Tensor
    noise: torch.Tensor | None
    mask: Region
    quiet: Region
    pixel_size: float
    shells: list[int]
    significance: float = 0.95
    gaussian: bool = False
    threads: int = 1

    @property
    def box(self) -> int:
        """Return voxels a side."""
        return len(self.mask)

    def start(self) -> State:
        """Return the state before the first step."""
        voxels = int(np.count_nonzero(self.mask))
        return {"resolution": np.zeros(voxels, np.float32), "misses": np.zeros(voxels, np.int8), "steps": [], "ended": ""}

    def done(self, state: State) -> bool:
        """Return whether no step is left, or none would find anything."""
        return bool(state["ended"]) or len(state["steps"]) == len(self.shells)

    def step(self, state: State) -> State:
        """Try the next frequency."""
        shell = self.shells[len(state["steps"])]
        amplitude, (noise, deviation, count, quantile) = self._amplitudes(shell / self.box)
        critical = float(stats.norm.ppf(self.significance))
        threshold = noise + critical * deviation if self.gaussian else quantile
        resolution, misses = state["resolution"].copy(), state["misses"].copy()
        active = misses < MISSES
        passes = active & (amplitude > threshold)
        angstrom = self.box * self.pixel_size / shell
        resolution[passes] = angstrom
        misses[active] += 1
        misses[passes] = 0
        inside = amplitude[active].astype(np.float64)
        signal = float(inside.mean())
        error = np.sqrt(inside.var() / inside.size + deviation**2 / count)
        z = (signal - noise) / max(float(error), 1e-30)
        left, passed = int(np.count_nonzero(misses < MISSES)), int(np.count_nonzero(passes))
        steps = [*state["steps"], [shell, angstrom, threshold, signal, noise, z, int(inside.size), passed]]
        ended = ""
        if left < max(FEW * len(misses), 1):
            ended = "hardly a voxel is resolved further"
        elif signal < FAINT * max(row[3] for row in steps):
            ended = "the amplitude is next to nothing"
        elif z < critical:
            ended = "what is left is no stronger than noise"
        return {"resolution": resolution, "misses": misses, "steps": steps, "ended": ended}

    def finished(self, state: State) -> tuple[Map, Region]:
        """Return the map of resolutions in Å, 0 outside, and the mask less the voxels of which nothing is known.

        Voxels that were given up before they were ever resolved have the coarsest resolution of all. The map is smoothed within the mask.
        """
        found, misses = state["resolution"].copy(), state["misses"]
        found[(found == 0) & (misses >= MISSES)] = self.box * self.pixel_size / self.shells[0]
        known = found > 0
        if known.any():
            found[~known] = np.median(found[known])
        resolution = np.zeros(self.mask.shape, np.float32)
        resolution[self.mask] = found
        smooth = np.asarray(ndimage.gaussian_filter(resolution, SMOOTH))
        smooth[self.mask] /= ndimage.gaussian_filter(self.mask.astype(np.float32), SMOOTH)[self.mask]
        refined = np.zeros_like(self.mask)
        refined[self.mask] = known
        smooth[~refined] = 0
        return np.maximum(smooth, np.float32(2 * self.pixel_size) * refined), refined

    def _amplitudes(self, frequency: float) -> tuple[Map, tuple[float, float, int, float]]:
        """Return the map's amplitudes in the mask, and mean, deviation, count and quantile of those of noise."""

        def measure(part: slice) -> Any:
            which = self.noise if part.start else self.signal
            assert which is not None
            amplitude = monogenic_amplitude(which, frequency).numpy()
            told = self._noise(amplitude[self.quiet]) if part.start or self.noise is None else None
            return (amplitude[self.mask] if not part.start else None), told

        results = list(ordered(measure, blocks(1 if self.noise is None else 2, 1), self.threads))
        return results[0][0], results[-1][1]

    def _noise(self, values: Map) -> tuple[float, float, int, float]:
        mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        place = min(ceil(self.significance * values.size), values.size) - 1
        return mean, deviation, values.size, float(np.partition(values, place)[place])


def search(monores: MonoRes, tell: Callable[[int, int], None] = lambda done, total: None) -> tuple[Map, Region, State]:
    """Step until done; return what `MonoRes.finished` does, and the last state."""
    state = monores.start()
    while not monores.done(state):
        tell(len(state["steps"]), len(monores.shells))
        state = monores.step(state)
    return (*monores.finished(state), state)


def half_sums(first: Map, second: Map) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the transforms of the mean of two half maps and of half their difference."""
    return tuple(torch.fft.rfftn(torch.from_numpy(each)) for each in ((first + second) / 2, (first - second) / 2))  # type: ignore[return-value]
