"""Local motion by optical flow: displacements of all pixels at once from polynomial expansions, pooled as far as noise demands.

After Abrishami et al. 2015 (doi:10.1016/j.jsb.2015.02.001): frames are laid on each other as a whole, then the flow from the sum of the
others to each frame is found, moved back, and found again. What differs makes it hold at low dose (docs/decisions/0022-optical-flow.md): images
are filtered so that the flow weights frequencies as the likelihood does, noise does not enter the left side of its equations
(`farneback.normal_equations`), and these are pooled over smooth modes and time instead of over a window alone: quadratics of the place, and
cosines down to the window where the data prove them.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.fourier.transforms import crop_rfft2
from cryoloom.numerics.motion.correct import CERTAIN, SMALLEST_FOR_PATCHES, Exposure, Motion, frame_spectra
from cryoloom.numerics.motion.farneback import expand, normal_equations, responses
from cryoloom.numerics.motion.field import TERMS, Detail, Field, cosines, quadratics
from cryoloom.numerics.motion.frames import Frames
from cryoloom.numerics.motion.likelihood import Law, law, pair_weights, precision, static_slope
from cryoloom.numerics.motion.local import PROOF, Local
from cryoloom.numerics.motion.rigid import Rigid, estimate_rigid
from cryoloom.numerics.motion.spectra import Band, Spectra, moved_back, ring_sums, squared
from cryoloom.numerics.motion.trajectory import smooth
from cryoloom.numerics.motion.warp import warped

LARGEST_IMAGE = 2048 * 2048  # px of the images that flow is found on
EXPANDED = 0.4  # cycles/px of these images up to which they hold anything: beyond, polynomials of some pixels see too little
CATCH = (0.04, 0.08, 0.16, 0.16)  # cycles/px of the first passes: displacements are to be less than half a wave
SETTLED = 0.02  # px
SLACK = 3.0  # log likelihood that a pass may cost: prices change with what is taken for signal
MOST_WAVES = 12  # half periods of the cosines over a side
AT_ONCE = 64  # modes that share a form of trajectories


@dataclass(frozen=True)
class Settings:
    """How flow is found.

    Attributes
    ----------
    window
        Px that move alike: finer detail is not looked for.
    group
        Frames summed before flow is found on them.
    iterations
        Most passes over all frames at full detail.
    blur
        Standard deviation of a Gaussian that images are blurred with, px.
    """

    window: float = 150.0
    group: int = 1
    iterations: int = 5
    blur: float = 0.0


def estimate_flow(frames: Frames, exposure: Exposure, settings: Settings, *, reach: float, start: Tensor | None = None) -> Motion:
    """Estimate motion; that of whole frames by correlation, what is added to it by optical flow.

    Memory beside the frames: their spectra, which are bounded (`frame_spectra`), and those moved back, at most 1.6 times as much.

    Parameters
    ----------
    reach
        Largest displacement from the mean that is searched, px.
    start
        Displacements ``(n, 2)`` of an earlier alignment, px, which are tried too.
    """
    if frames.count == 1:
        return Motion(Field(torch.zeros(1, 2, dtype=torch.float64)), math.inf, 0.0, 0.0)
    spectra = frame_spectra(frames, exposure)
    rigid = estimate_rigid(spectra, min(0.25, 0.14 * exposure.pixel_size), reach, start)
    if not rigid.error < CERTAIN or min(frames.shape) < SMALLEST_FOR_PATCHES or -(-frames.count // settings.group) < 2:
        return Motion(Field(rigid.motion), rigid.confidence, rigid.error, 0.0, rigid.refused)
    local = local_flow(spectra, rigid, settings)
    return Motion(local.field, rigid.confidence, rigid.error, local.evidence)


@dataclass(frozen=True)
class _Modes:
    """Orthonormal functions of the place, quadratics first.

    Attributes
    ----------
    cells
        Rows and columns of the grid they are orthonormal over.
    values
        At the centres of its cells, ``(cells, m)``.
    waves
        Of the cosines among the raw functions, ``(m - 6, 2)``.
    of_raw
        ``values = raw @ of_raw``, ``(m, m)``, upper triangular.
    """

    cells: tuple[int, int]
    values: Tensor
    waves: Tensor
    of_raw: Tensor

    @classmethod
    def of(cls, shape: tuple[float, float], window: float) -> "_Modes":
        most = [min(MOST_WAVES, int(side / (2 * window))) for side in shape]
        waves = [
            (i, j)
            for j in range(most[0] + 1)
            for i in range(most[1] + 1)
            if 0 < (i / max(most[1], 1)) ** 2 + (j / max(most[0], 1)) ** 2 <= 1
        ]
        table = torch.tensor(waves, dtype=torch.float64).reshape(-1, 2)
        cells = (max(16, 4 * most[0]), max(16, 4 * most[1]))
        y, x = torch.meshgrid(*((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5 for n in cells), indexing="ij")
        raw = torch.cat([quadratics(x, y), cosines(x, y, table)], dim=-1).reshape(cells[0] * cells[1], -1)
        basis, triangle = torch.linalg.qr(raw)
        size = len(raw) ** 0.5
        return cls(cells, basis * size, table, torch.linalg.inv(triangle) * size)

    def field(self, motion: Tensor, found: Tensor) -> Field:
        """Return the field of mode trajectories ``(n, m, 2)``; what they add to the mean over the frame goes to the whole frames."""
        local = torch.einsum("tm,nmc->ntc", self.of_raw[:TERMS, :TERMS], found[:, :TERMS])
        side = torch.tensor([1, 0, 0, 1 / 12, 0, 1 / 12], dtype=torch.float64)  # means of the quadratics over the frame
        mean = torch.einsum("ntc,t->nc", local, side)
        local[:, 0] -= mean
        detail = None
        if bool(found[:, TERMS:].any()):
            detail = Detail(self.waves, torch.einsum("tm,nmc->ntc", self.of_raw[:, TERMS:], found[:, TERMS:]))
        return Field(motion + mean, local, detail)


@dataclass(frozen=True)
class _Groups:
    """Spectra of groups of frames, these laid on each other as a whole; and how a trajectory of groups is one of frames, ``(n, groups)``."""

    values: Tensor
    fade: Tensor
    motion: Tensor
    to_frames: Tensor

    @classmethod
    def of(cls, spectra: Spectra, rigid: Rigid, size: int) -> "_Groups":
        frames = len(rigid.motion)
        parts = [slice(start, min(start + size, frames)) for start in range(0, frames, size)]
        values = spectra.values[: len(parts)]  # a group's place lies at or before its frames
        for number, part in enumerate(parts):
            values[number] = sum(
                moved_back(spectra.values[f : f + 1], spectra.band, rigid.motion[f : f + 1])[0] for f in range(frames)[part]
            )
        # A sum of q y has the signal Σq² and the noise of a frame of fade √Σq².
        fade = torch.stack([spectra.fade[part].square().sum(0).sqrt() for part in parts])
        motion = torch.stack([rigid.motion[part].mean(0) for part in parts])
        centres = np.array([(part.start + part.stop - 1) / 2 for part in parts])
        return cls(values, fade, motion, torch.from_numpy(_between(centres, frames)))


def _between(centres: np.ndarray, frames: int) -> np.ndarray:
    """Return the matrix that takes values at `centres` to all frames, linear between and beyond them."""
    matrix = np.zeros((frames, len(centres)))
    for frame in range(frames):
        left = int(np.clip(np.searchsorted(centres, frame, side="right") - 1, 0, max(0, len(centres) - 2)))
        right = min(left + 1, len(centres) - 1)
        part = (frame - centres[left]) / (centres[right] - centres[left]) if right > left else 0.0
        matrix[frame, left] += 1 - part
        matrix[frame, right] += part
    return matrix


@dataclass(frozen=True)
class _State:
    """Trajectories of the modes ``(groups, m, 2)``, and the price of the freedom to choose them."""

    found: Tensor
    price: float


@dataclass(frozen=True)
class _View:
    """Groups moved back by a field, as images of some size see them.

    Attributes
    ----------
    band, ring, count
        As in `Spectra`.
    common
        What groups have in common, summed over each ring.
    values
        ``(groups, bh, bw // 2 + 1)``.
    """

    band: Band
    ring: Tensor
    count: Tensor
    common: Tensor
    values: Tensor

    def told(self) -> "_View":
        """Return all but the images themselves, which take the memory."""
        return replace(self, values=self.values[:0].clone())


class _Flow:
    """The flow of one movie: its modes, and the passes that find their trajectories."""

    def __init__(self, spectra: Spectra, rigid: Rigid, settings: Settings) -> None:
        self.spectra, self.rigid, self.settings = spectra, rigid, settings
        self.groups = _Groups.of(spectra, rigid, settings.group)
        self.modes = _Modes.of(spectra.band.shape, settings.window)
        self.power = _total_power(self.groups.values, spectra.ring, len(spectra.count))
        self.still = _State(torch.zeros(len(self.groups.values), self.modes.values.shape[1], 2, dtype=torch.float64), 0.0)

    def view(self, state: _State, limit: float = math.inf) -> _View:
        """Move groups back by what was found, and keep what lies below `limit` cycles/px."""
        whole = self.spectra.band
        largest = EXPANDED * min(1.0, math.sqrt(LARGEST_IMAGE / (whole.shape[0] * whole.shape[1])))
        limit = min(limit, whole.reach, largest)
        band = Band.fitting((round(whole.shape[0]), round(whole.shape[1])), 0.5 * limit / EXPANDED)
        ring = band.rings()
        ring[(ring * band.spacing > limit) | (ring >= len(self.spectra.count))] = 0
        scale = whole.kept[0] * whole.kept[1] / (band.kept[0] * band.kept[1])
        field = self.modes.field(torch.zeros_like(self.groups.motion), state.found) if bool(state.found.any()) else None
        values = torch.empty(len(self.groups.values), *ring.shape, dtype=torch.complex64)
        for number, group in enumerate(self.groups.values):
            spectrum = crop_rfft2(group, whole.kept, band.kept) * scale
            if field is not None:
                image = torch.fft.irfft2(spectrum, s=band.kept)
                image = warped(image, field.scaled(band.kept[1] / band.shape[1], band.kept[0] / band.shape[0]), number)
                spectrum = torch.fft.rfft2(image)
            values[number] = spectrum * (ring > 0)
        rings = int(ring.max()) + 1
        own = _total_power(values, ring, rings)
        common = ring_sums(squared(values.sum(0)), ring, rings) - own
        # Interpolation changes power by some thousandths, which would pass for agreement gained.
        common *= self.power[:rings] / own.clamp_min(1e-30)
        return _View(band, ring, ring_sums(torch.ones(ring.shape), ring, rings), common, values)

    def law(self, view: _View) -> Law:
        """Tell signal from noise by what moved groups have in common; blurred images count less."""
        rings = len(view.count)
        radius = torch.arange(rings, dtype=torch.float64) * view.band.spacing
        fade = self.groups.fade[:, :rings]
        share = view.common / (pair_weights(fade) * view.count).clamp_min(1e-9) - self.rigid.smeared[:rings]
        rings_law = law(view.count, radius, fade, share, self.rigid.static[:rings])
        return replace(rings_law, weight=rings_law.weight * torch.exp(-((2 * math.pi * self.settings.blur * radius) ** 2)))

    def step(self, state: _State, view: _View, rings: Law) -> _State:
        """Find the flow that is left in `view`, and add it to `state`."""
        band = view.band
        scale = math.sqrt(band.kept[0] * band.kept[1] / (band.shape[0] * band.shape[1]))
        turn = 2 * math.pi * rings.radius / scale
        slope_seen, bend_seen = responses(rings.radius / scale)
        # With this filter the right sides of the equations are the gradient of the likelihood (`likelihood`).
        power = 4 * band.kept[0] * band.kept[1] * rings.weight / (turn.square() * slope_seen * bend_seen).clamp_min(1e-9)
        power[rings.radius == 0] = 0
        filtered = power.sqrt().to(torch.float32)[view.ring]
        total = expand(torch.fft.irfft2(view.values.sum(0) * filtered, s=band.kept).numpy())
        slope = torch.zeros(state.found.shape[1], len(view.values), 2, dtype=torch.float64)
        bend = 0.0
        for number, values in enumerate(view.values):
            one = expand(torch.fft.irfft2(values * filtered, s=band.kept).numpy())
            left, right = normal_equations(total, one, self.modes.cells)
            bend += float(left.sum()) * scale**2
            slope[:, number] = self.modes.values.T @ torch.from_numpy(right).reshape(-1, 2) * scale
        fade = self.groups.fade[:, : len(rings.radius)]
        slope -= self.modes.values.mean(0)[:, None, None] * static_slope(rings, fade, self.groups.motion)
        curvature = precision(rings, fade)
        expected = float(curvature.diagonal().sum())
        if expected <= 0:
            return state
        # What the images show is within some percent of what the law expects; noise alone shall not make it another thing.
        curvature = curvature * min(2.0, max(0.5, bend / expected))
        return self._smoothed(curvature @ state.found.transpose(0, 1) + slope, curvature)

    def _smoothed(self, information: Tensor, curvature: Tensor) -> _State:
        """Return the most probable trajectories; of the cosines, those that prove themselves."""
        found, price = torch.zeros(information.shape, dtype=torch.float64), 0.0
        starts = [0, *range(TERMS, len(information), AT_ONCE), len(information)]
        for start, stop in zip(starts[:-1], starts[1:], strict=True):
            result = smooth(information[start:stop], curvature)
            proven = result.evidence >= (PROOF if start else -math.inf)
            found[start:stop] = result.motion * proven[:, None, None]
            price += float(((result.evidence - result.gain) * proven).sum())
        return _State(found.transpose(0, 1), price)


def _total_power(values: Tensor, ring: Tensor, rings: int) -> Tensor:
    """Return the power of all of `values` (n, bh, bw // 2 + 1), summed over each ring."""
    return sum((ring_sums(squared(one), ring, rings) for one in values), torch.zeros(rings, dtype=torch.float64))


def local_flow(spectra: Spectra, rigid: Rigid, settings: Settings) -> Local:
    """Estimate motion that differs from place to place; the rigid motion where the data show nothing more.

    The values of `spectra` are overwritten.
    """
    flow = _Flow(spectra, rigid, settings)
    state = flow.still
    for limit in CATCH:
        view = flow.view(state, limit)
        state = flow.step(state, view, flow.law(view))
    unmoved = flow.view(flow.still).told()
    best, view = state, flow.view(state)
    if not all(_score(rings, state, view) > _score(rings, flow.still, unmoved) for rings in (flow.law(unmoved), flow.law(view))):
        best, view = flow.still, flow.view(flow.still)
    for _ in range(settings.iterations):
        rings = flow.law(view)
        new, before = flow.step(best, view, rings), _score(rings, best, view)
        seen, view = view.told(), None  # of large images one set at a time
        view = flow.view(new)
        if _score(rings, new, view) < before - SLACK:
            view = seen
            break
        moved, best = (new.found - best.found) - (new.found - best.found).mean(0), new
        if float(moved.abs().max()) < SETTLED:
            break
    rings = flow.law(view)
    evidence = _score(rings, best, view) - _score(rings, flow.still, unmoved)
    if evidence < PROOF:
        return Local(Field(rigid.motion), 0.0)
    found = torch.einsum("ng,gmc->nmc", flow.groups.to_frames, best.found)
    return Local(flow.modes.field(rigid.motion, found - found[:1]), evidence)


def _score(rings: Law, state: _State, view: _View) -> float:
    return float(rings.weight @ view.common) + state.price
