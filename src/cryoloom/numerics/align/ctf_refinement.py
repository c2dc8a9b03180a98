"""Transfer functions refined with the particles of a known map: defocus of each, astigmatism of micrographs, beam tilt of optics groups.

Follows Zivanov et al. 2018 (doi:10.7554/eLife.42166) and 2020 (doi:10.1107/S2052252520000081) in the model: poses stay, images are compared with
projections of the half map that they are not in, weighted by the halves' agreement. The beam tilt comes first, then astigmatism and defocus of each
micrograph, then the defocus of each particle, and all of it once more with what was found.

Memory: the images, both references, and the terms of one micrograph a thread (8 bytes a coefficient and particle).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import shift_factors
from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
from cryoloom.numerics.align.half_references import HalfReferences
from cryoloom.numerics.align.images import ImageSet
from cryoloom.numerics.align.scales import group_scales
from cryoloom.numerics.ctf.aberration import coma, fit_tilt
from cryoloom.numerics.ctf.defocus_evidence import Waves
from cryoloom.numerics.ctf.heights import THIN, heights
from cryoloom.numerics.parallel import Stage, Threads, Workplace

Array = NDArray[np.float64]
State = dict[str, Any]

IMAGES = 128
"""Images compared at once."""
UNITS = 4
"""Micrographs a block."""
SURE = 12.0
"""Log-likelihood that a beam tilt, or a micrograph's own change, must gain to be believed."""
AGREE = 5.0
"""Standard deviations by which all images together must show the map at their poses."""


@dataclass(frozen=True)
class Task:
    """What stays the same.

    Attributes
    ----------
    images, half
        The set, and which half (0 or 1) an image belongs to, ``(n,)``.
    rotations, shifts
        Poses ``(n, 3, 3)`` and ``(n, 2)``, px.
    pixel_size
        Å/px.
    references
        The maps.
    unit
        Micrograph and optics group of an image, numbered from 0 together, ``(n,)``.
    start, plate
        Mean defocus and both components of the astigmatism (Å, along 0° and 45°), ``(n, 3)``; phase of the plate in radians, ``(n,)``.
    first
        First shell compared.
    places
        x, y in Å on the micrographs, ``(n, 2)``; None where they are not known.
    reach
        Å, farthest a defocus is sought from the start.
    defocus
        ``particle``, ``micrograph`` or ``none``.
    astigmatism, beam_tilt
        Whether these are refined.
    threads, elsewhere
        Where it is computed; the result does not depend on it.
    """

    images: ImageSet
    half: NDArray[np.int64]
    rotations: Array
    shifts: Array
    pixel_size: float
    references: HalfReferences
    unit: NDArray[np.int64]
    start: Array
    plate: Array
    first: int
    places: Array | None
    reach: float
    defocus: str = "particle"
    astigmatism: bool = True
    beam_tilt: bool = True
    threads: int = 1
    elsewhere: Workplace | None = None

    @cached_property
    def plane(self) -> HalfPlane:
        """Return the coefficients compared, those before the first shell among them."""
        return self.images.plane.within(self.references.last)

    @cached_property
    def units(self) -> list[NDArray[np.int64]]:
        """Return the images of every unit."""
        order = np.argsort(self.unit, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.unit))[:-1])

    @cached_property
    def grid(self) -> Array:
        """Return the offsets at which the defocus of particles is tried, Å."""
        half = int(np.ceil(self.reach / THIN))
        return THIN * np.arange(-half, half + 1)

    @property
    def steps(self) -> list[str]:
        """Return what is done, one step after the other."""
        defocus = self.astigmatism or self.defocus != "none"
        once = [name for name, wanted in (("beam tilt", self.beam_tilt), ("defocus", defocus)) if wanted]
        return ["noise", *once, *(once if len(once) > 1 or self.astigmatism else [])]

    def waves(self, group: int) -> Waves:
        """Return how the coefficients of an optics group depend on its defocus."""
        optics, extent = self.images.transfers.optics[group], self.plane.box * self.pixel_size
        x, y = (axis.astype(np.float64) / extent for axis in (self.plane.kx, self.plane.ky))
        return Waves(x, y, optics.voltage, optics.cs, optics.amplitude_contrast)


def begin(task: Task) -> State:
    """Return the state before the first step; see `step`."""
    count, groups = len(task.images), len(task.images.premultiplied)
    return {
        "step": 0,
        "finished": False,
        "noise": np.ones((groups, task.images.plane.last + 1)),
        "scale": np.ones(len(task.units)),
        "ctf": task.start.copy(),
        "shifts": task.shifts.copy(),
        "tilt": np.zeros((groups, 2)),
        "tilt_error": np.zeros((groups, 2)),
        "tilt_gain": np.zeros(groups),
        "explored": False,
        "tilt_cross": np.zeros((groups, len(task.plane.kx)), np.complex64),
        "defocus_error": np.zeros(count),
        "astigmatism_error": np.zeros(count),
        "trend": np.zeros(count),
        "planes": np.zeros((len(task.units), 3)),
        "spread": 0.0,
    }


def step(task: Task, state: State, tell: Callable[[float, str], None] = lambda part, message: None) -> State:
    """Return the state after one more of the task's steps; ``finished`` after the last.

    ``ctf`` ``(n, 3)`` holds defocus and astigmatism as `Task.start` does, ``tilt`` ``(groups, 2)`` mrad beside that of the optics groups.

    Raises
    ------
    ValueError
        If the images do not show the maps at their poses.
    """
    name = task.steps[state["step"]]
    work = {"noise": _noise, "beam tilt": _tilt, "defocus": _defocus}[name]
    new = work(task, state, lambda part: tell(part, name))
    number = state["step"] + 1
    return {**new, "step": number, "finished": number == len(task.steps)}


@dataclass(frozen=True)
class _Pass:
    """One look at all images at the state's parameters."""

    task: Task
    state: State

    def over(self, work: Callable[[Any, slice], list[Any]], tell: Callable[[float], None]) -> list[Any]:
        """Return what `work` finds for every unit."""
        count = len(self.task.units)
        parts = [slice(start, min(start + UNITS, count)) for start in range(0, count, UNITS)]
        many = max(1, len(parts) // 16)
        split = [parts[start : start + many] for start in range(0, len(parts), many)]
        found: list[Any] = []
        place = self.task.elsewhere or Threads(self.task.threads)
        sent = replace(self, task=replace(self.task, elsewhere=None))
        for results in place.results(Stage(sent.shared, work, split)):
            found += [one for block in results for one in block]
            tell(len(found) / count)
        return found

    def shared(self, number: int) -> "_Pass":
        """Return what the blocks of a part share: all of it."""
        return self

    def group(self, unit: int) -> int:
        """Return the optics group of a unit's images."""
        return int(self.task.images.group[self.task.units[unit][0]])

    def compared(self, rows: NDArray[np.int64]) -> tuple[Coefficients, Coefficients]:
        """Return images with beam tilt and shifts taken out, and the slices of the references, ``(n, K)`` each."""
        task, plane = self.task, self.task.plane
        images = task.images.storage.take(rows, len(plane.kx), whole=True) * shift_factors(plane, self.state["shifts"][rows])
        tilt = self.state["tilt"][task.images.group[rows[0]]]
        if tilt.any():
            waves = task.waves(int(task.images.group[rows[0]]))
            images = images * np.exp(1j * (tilt @ coma(waves.x, waves.y, voltage=waves.voltage, cs=waves.cs))).astype(np.complex64)
        return images, task.references.slices(plane, task.half[rows], task.rotations[rows])

    def transfers(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the transfer functions of images of one group at the state's parameters, ``(n, K)``."""
        waves = self.task.waves(int(self.task.images.group[rows[0]]))
        chi = self.state["ctf"][rows] @ waves.axes + (waves.still + self.task.plate[rows, None])
        return np.sin(chi).astype(np.float32)

    def weight(self, unit: int) -> NDArray[np.float32]:
        """Return the inverse noise of a unit's coefficients, zero before the first shell, ``(K,)``."""
        shell = self.task.plane.shell
        return np.where(shell >= self.task.first, 1.0 / self.state["noise"][self.group(unit)][shell], 0.0).astype(np.float32)

    def blocks(self, unit: int) -> list[NDArray[np.int64]]:
        """Return the rows of a unit in blocks."""
        rows = self.task.units[unit]
        return [rows[start : start + IMAGES] for start in range(0, len(rows), IMAGES)]


def _powers(self: _Pass, part: slice) -> list[Any]:
    """Return for every unit the sums over images of ``|X|²``, ``Re X* M`` and ``|M|²`` a shell, ``(3, shells)``."""
    plane, found = self.task.plane, []
    for unit in range(part.start, part.stop):
        sums = np.zeros((3, plane.last + 1))
        for rows in self.blocks(unit):
            images, slices = self.compared(rows)
            model = slices * self.transfers(rows)
            for number, values in enumerate((np.abs(images) ** 2, (images * model.conj()).real, np.abs(model) ** 2)):
                sums[number] += np.bincount(plane.shell, values.sum(axis=0, dtype=np.float64), plane.last + 1)
        found.append(sums)
    return found


def _noise(task: Task, state: State, tell: Callable[[float], None]) -> State:
    """Measure the noise of every optics group, and the grey scale of every micrograph, which depend on each other."""
    one = _Pass(task, state)
    powers, cross, norm = np.stack(one.over(_powers, tell), axis=1)
    members = np.array([len(rows) for rows in task.units])
    group = np.array([one.group(unit) for unit in range(len(members))])
    per_shell = np.bincount(task.plane.shell, minlength=task.plane.last + 1)
    used = np.arange(task.plane.last + 1) >= task.first
    scale, noise = np.ones(len(members)), state["noise"].copy()
    for _ in range(3):
        left = powers - 2 * scale[:, None] * cross + scale[:, None] ** 2 * norm
        for number in np.unique(group):
            here = group == number
            noise[number, : len(per_shell)] = np.maximum(left[here].sum(axis=0) / (members[here].sum() * per_shell), 1e-30)
        grey = np.stack([((each / noise[group, : len(per_shell)]) * used).sum(axis=1) for each in (cross, norm)], axis=1)
        total = grey.sum(axis=0)
        scale = total[0] / total[1] * group_scales(grey, np.arange(len(members)))
    # Any two particles are alike at coarse detail, whatever the poses.
    fine = np.arange(len(used)) > (task.first + task.plane.last) // 2
    agreed, expected = (((each / noise[group, : len(per_shell)]) * fine).sum() for each in (cross, norm))
    if not agreed > AGREE * np.sqrt(0.5 * expected):
        raise ValueError("the particles do not show the map's detail at the poses that they carry")
    return {**state, "noise": noise, "scale": scale}


def _crossed(self: _Pass, part: slice) -> list[Any]:
    """Return for every unit ``Σ M* X / E|N|²`` and ``Σ |M|² / E|N|²`` over its images, ``(2, K)``."""
    found = []
    for unit in range(part.start, part.stop):
        sums = np.zeros((2, len(self.task.plane.kx)), np.complex128)
        scale = self.state["scale"][unit]
        for rows in self.blocks(unit):
            images, slices = self.compared(rows)
            model = slices * (self.transfers(rows) * np.float32(scale))
            sums[0] += (model.conj() * images).sum(axis=0, dtype=np.complex128)
            sums[1] += (np.abs(model) ** 2).sum(axis=0, dtype=np.float64)
        found.append(sums * self.weight(unit))
    return found


def _tilt(task: Task, state: State, tell: Callable[[float], None]) -> State:
    """Refine the beam tilt of every optics group."""
    one = _Pass(task, state)
    new = {name: state[name].copy() for name in ("tilt", "tilt_error", "tilt_gain", "tilt_cross", "shifts")}
    groups = np.array([one.group(unit) for unit in range(len(task.units))])
    sums = np.zeros((len(new["tilt"]), 2, len(task.plane.kx)), np.complex128)
    for unit, each in enumerate(one.over(_crossed, tell)):
        sums[groups[unit]] += each
    for group in np.unique(groups):
        waves, (cross, norm) = task.waves(int(group)), sums[group]
        bend = coma(waves.x, waves.y, voltage=waves.voltage, cs=waves.cs)
        # Kept as measured, before any correction found here.
        measured = cross * np.exp(-1j * (state["tilt"][group] @ bend))
        new["tilt_cross"][group] = measured
        if not waves.cs:
            continue
        fit = fit_tilt(cross, norm.real, waves.x, waves.y, voltage=waves.voltage, cs=waves.cs)
        new["tilt_error"][group] = fit.error
        if fit.gain < SURE and not state["tilt"][group].any():
            continue
        new["tilt"][group] += fit.tilt
        new["tilt_gain"][group] += fit.gain
        new["tilt_cross"][group] = measured * np.exp(-2j * np.pi * (fit.shift[0] * waves.x + fit.shift[1] * waves.y))
        new["shifts"][task.images.group == group] += fit.shift / task.pixel_size
    return {**state, **new}


def _terms(self: _Pass, unit: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return A and B of `defocus_evidence` for the images of a unit, ``(n, K)``."""
    rows, weight, scale = self.task.units[unit], self.weight(unit), np.float32(self.state["scale"][unit])
    across, norm = (np.empty((len(rows), len(weight)), np.float32) for _ in range(2))
    for start, block in zip(range(0, len(rows), IMAGES), self.blocks(unit), strict=True):
        images, slices = self.compared(block)
        part = slice(start, start + len(block))
        across[part] = (images * slices.conj()).real * (weight * scale)
        norm[part] = np.abs(slices) ** 2 * (weight * scale**2)
    return across, norm


def _explored(self: _Pass, part: slice) -> list[Any]:
    """Return for every unit how its defocus and astigmatism change, the variance of each, and the evidence of its particles over offsets."""
    task, found = self.task, []
    alike = np.array(
        [task.defocus == "micrograph" or (task.defocus == "particle" and task.astigmatism), task.astigmatism, task.astigmatism]
    )
    for unit in range(part.start, part.stop):
        rows, waves = task.units[unit], task.waves(self.group(unit))
        across, norm = _terms(self, unit)
        now, plate = self.state["ctf"][rows], task.plate[rows]
        change, variance = np.zeros(3), np.zeros(3)
        if alike.any():
            if alike[0] and not self.state["explored"]:
                change[0] = task.grid[int(np.argmax(waves.profiles(across, norm, now, plate, task.grid).sum(axis=0)))]
            more, covariance = waves.fitted(across, norm, now + change, plate, alike)
            change, variance = change + more, np.diag(covariance)
        evidence = np.zeros((len(rows), 0), np.float32)
        if task.defocus == "particle":
            from_start = np.column_stack([task.start[rows, 0], now[:, 1:] + change[1:]])
            evidence = waves.profiles(across, norm, from_start, plate, task.grid)
        found.append((change, variance, evidence))
    return found


def _defocus(task: Task, state: State, tell: Callable[[float], None]) -> State:
    """Refine the astigmatism of micrographs, and the defocus of these or of each particle."""
    change, variance, evidence = zip(*_Pass(task, state).over(_explored, tell), strict=True)
    of_unit, first = task.unit, np.array([rows[0] for rows in task.units])
    total = (state["ctf"] - task.start)[first] + np.stack(change)
    spread = np.stack(variance)
    new: State = {"ctf": task.start.copy(), "explored": True}
    for axis in range(3) if task.defocus == "micrograph" else (1, 2):
        new["ctf"][:, axis] += drawn_to_none(total[:, axis], spread[:, axis])[of_unit]
    new["astigmatism_error"] = np.sqrt(spread[:, 1:].sum(axis=1))[of_unit]
    new["defocus_error"] = np.sqrt(spread[:, 0])[of_unit]
    if task.defocus == "particle":
        rows = np.concatenate(task.units)
        places = None if task.places is None else task.places[rows]
        found = heights(np.concatenate(evidence), task.grid, places, of_unit[rows])
        for name, values in (("defocus_error", found.error), ("trend", found.trend)):
            new[name] = np.empty(len(rows))
            new[name][rows] = values
        new["ctf"][rows, 0] += found.offset
        new |= {"planes": found.planes, "spread": found.spread}
    return {**state, **new}


def drawn_to_none(change: Array, variance: Array) -> Array:
    """Return changes ``(n,)`` of known variance drawn to none as far as all of them together are no larger than their errors."""
    real = max(float((change**2 - variance).mean()), 0.0)
    return change * real / np.maximum(real + variance, 1e-30)
