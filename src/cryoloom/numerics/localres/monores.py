"""Local resolution by monogenic amplitudes (MonoRes; Vilas et al. 2018, doi:10.1016/j.str.2017.12.018).

From coarse to fine, a voxel is resolved as long as the power of the map about the frequency exceeds that of noise, and is not what leaks from elsewhere; the
second miss in a row ends it. What differs from the paper, and why: decisions 45 and 58.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from cryoloom.numerics.localres.monogenic import monogenic_power
from cryoloom.numerics.localres.regions import Region
from cryoloom.numerics.parallel import blocks, ordered

Map = NDArray[np.float32]
State = dict[str, Any]

FEW = 0.025
"""Part of the mask that is still resolved, below which the search ends."""
FAINT = 0.001
"""Part of the largest mean amplitude of all steps, below which it ends."""
LEAST = 1 / 3
"""Ratio of signal and noise in the map of both halves at a Fourier shell correlation of 0.143 between them: no less is resolved."""
SLOPE, STEEP = 9.0, 0.5
"""Exponent of the frequency with which a voxel's own signal may fall, and part of that which it must reach: less leaks in, from coarser
frequencies or from finer places."""
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
        Transforms (``rfftn``) of the map and of its noise: half the difference of the half maps, or the solvent that `solvent_alone` cut out.
    mask, quiet
        Voxels whose resolution is sought, and those that tell the noise.
    pixel_size
        Å.
    shells
        Frequencies, coarse to fine, as `shells_between` gives them.
    significance
        Part of the noise's powers that resolved ones exceed.
    gaussian
        Take that quantile from the powers' mean and deviation, not from their order.
    support
        Mean square over the box of what the noise was cut out by: near its edges, its power is less. 1 for noise that is everywhere.
    threads
        Two take signal and noise at once.
    """

    signal: torch.Tensor
    noise: torch.Tensor
    mask: Region
    quiet: Region
    pixel_size: float
    shells: list[int]
    significance: float = 0.95
    gaussian: bool = False
    support: float = 1.0
    threads: int = 1

    @property
    def box(self) -> int:
        """Return voxels a side."""
        return len(self.mask)

    def start(self) -> State:
        """Return the state before the first step."""
        voxels = int(np.count_nonzero(self.mask))
        state: State = {name: np.zeros(voxels, np.float32) for name in ("resolution", "own")}
        return state | {"misses": np.zeros(voxels, np.int8), "steps": [], "ended": ""}

    def done(self, state: State) -> bool:
        """Return whether no step is left, or none would find anything."""
        return bool(state["ended"]) or len(state["steps"]) == len(self.shells)

    def step(self, state: State) -> State:
        """Try the next frequency."""
        shell = self.shells[len(state["steps"])]
        power, (noise, deviation, count, quantile) = self._powers(shell / self.box)
        critical = float(stats.norm.ppf(self.significance))
        threshold = max(noise + critical * deviation if self.gaussian else quantile, (1 + LEAST) * noise)
        resolution, misses = state["resolution"].copy(), state["misses"].copy()
        active = misses < MISSES
        inside = power[active].astype(np.float64)
        # The band is as wide as its frequency is high: the cube makes its power a density.
        density = np.maximum(power - np.float32(noise), 0) / np.float32(shell**3)
        fall = (self.shells[len(state["steps"]) - 1] / shell) ** SLOPE if state["steps"] else 1.0
        own = np.float32(fall) * state["own"]
        passes = active & (power > threshold) & (density > STEEP * own)
        angstrom = self.box * self.pixel_size / shell
        resolution[passes] = angstrom
        misses[active] += 1
        misses[passes] = 0
        signal = float(inside.mean())
        error = np.sqrt(inside.var() / inside.size + deviation**2 / count)
        z = (signal - noise) / max(float(error), 1e-30)
        left, passed = int(np.count_nonzero(misses < MISSES)), int(np.count_nonzero(passes))
        amplitudes = (float(np.sqrt(each)) for each in (threshold, signal, noise))
        steps = [*state["steps"], [shell, angstrom, *amplitudes, z, int(inside.size), passed]]
        ended = ""
        if left < max(FEW * len(misses), 1):
            ended = "hardly a voxel is resolved further"
        elif steps[-1][3] < FAINT * max(row[3] for row in steps):
            ended = "the amplitude is next to nothing"
        elif z < critical:
            ended = "what is left is no stronger than noise"
        return {"resolution": resolution, "misses": misses, "steps": steps, "ended": ended, "own": np.maximum(own, density)}

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

    def _powers(self, frequency: float) -> tuple[Map, tuple[float, float, int, float]]:
        """Return the map's powers in the mask, and mean, deviation, count and quantile of those of noise."""

        def measure(part: slice) -> Any:
            if not part.start:
                return monogenic_power(self.signal, frequency).numpy()[self.mask]
            power = monogenic_power(self.noise, frequency).numpy()
            values = power[self.quiet]
            if self.support < 1:
                values *= power.mean(dtype=np.float64) / (self.support * values.mean(dtype=np.float64))
            place = min(ceil(self.significance * values.size), values.size) - 1
            mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
            return mean, deviation, values.size, float(np.partition(values, place)[place])

        power, told = ordered(measure, blocks(2, 1), self.threads)
        return power, told


def search(monores: MonoRes, tell: Callable[[int, int], None] = lambda done, total: None) -> tuple[Map, Region, State]:
    """Step until done; return what `MonoRes.finished` does, and the last state."""
    state = monores.start()
    while not monores.done(state):
        tell(len(state["steps"]), len(monores.shells))
        state = monores.step(state)
    return (*monores.finished(state), state)
