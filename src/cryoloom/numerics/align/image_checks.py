"""What images at their poses say of the map that was made of them: whether they show it, and whether their transfer functions are right.

Each image is compared with the half map that it is not in. Shell by shell the map's grey scale, and sign, is the best one, so that a map which a
wrong transfer function has spoilt still shows which one would have been right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.coarse import Gallery, search, shift_factors
from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.images import ImageSet, Transfers
from cryoloom.numerics.align.negatives import better_than_negatives
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.parallel import blocks
from cryoloom.numerics.reconstruct.grids import Map, reference_grid
from cryoloom.numerics.reconstruct.kernels import gather

Array = NDArray[np.float64]

FACTORS = np.exp(np.arange(-30, 31) * 0.02)
"""By which defoci are tried: 0.55 to 1.82, pixel sizes wrong by up to a third."""
ORDER, STEPS = 2, 24
"""HEALPix order and in-plane steps of the search that tells images from their negatives: 15 degrees."""
REACH = 0.08
"""Largest shift in it, as a fraction of the box."""
LEAST_SHELLS = 3
"""Beyond `known` that are enough to tell phases by."""
BLOCK = 64


@dataclass(frozen=True)
class ImageChecks:
    """What was found.

    Attributes
    ----------
    gains
        Log-likelihood that an image gains over noise by the other half's map at its pose, in the mean, of each of `FACTORS` of all defoci; one
        value where there is no transfer function.
    wrong_phases
        Log-likelihood that all images together gain if those whose phases are as recorded had been flipped, or the other way, in the shells
        that had no part in their poses: poses bend towards what they are told. Minus infinity where it cannot be told.
    foreign_ctfs
        Log-likelihood that all images together gain by each other's transfer functions, those of half the set away.
    explained
        Part of the images' signal, inside the mask and above the noise around it, that the map explains.
    images, negatives
        Log-likelihood gained by the best coarse pose of each image, and of its negative, ``(n,)``.
    """

    gains: Array
    wrong_phases: float
    foreign_ctfs: float
    explained: float
    images: Array
    negatives: Array

    @property
    def gain(self) -> float:
        """Return the gain at the defoci as they are."""
        return float(self.gains[len(self.gains) // 2])

    @property
    def defocus_factor(self) -> float:
        """Return by which factor all defoci together fit best."""
        return float(FACTORS[self.gains.argmax()]) if len(self.gains) > 1 else 1.0

    @property
    def shown(self) -> bool:
        """Return whether images fit the map better than their negatives do."""
        return better_than_negatives(self.images, self.negatives)

    @property
    def foreign(self) -> float:
        """Return the part of the images that show nothing of the map: such an image fits it better than its negative as often as worse."""
        return float(min(1.0, 2.0 * np.mean(self.images <= self.negatives)))


def image_checks(
    images: ImageSet, half: NDArray[np.int64], halves: tuple[Map, Map], rotations: Array, shifts: Array, *, coarse: int, known: int
) -> ImageChecks:
    """Compare images with the half maps that they are not in.

    Parameters
    ----------
    images
        A few hundred, out to a shell well beyond `known`; their coefficients and projections are held.
    half
        0 or 1 for each image, ``(n,)``.
    halves
        Half maps ``(box, box, box)`` on the images' grid, masked and filtered.
    rotations, shifts
        ``(n, 3, 3)`` and ``(n, 2)`` px.
    coarse, known
        Last shell of the search for poses of images and of their negatives, and the last where the half maps agree.
    """
    plane = images.plane
    grids = [reference_grid(each, plane.radius, plane.box) for each in halves]
    noise = images.total_power()
    pairs = list(_pairs(images, half, grids, rotations, shifts))

    def gains(transfers: Transfers) -> Array:
        cross, power = np.zeros((2, plane.last + 1))
        for rows, data, model in pairs:
            seen = model * transfers.take(rows, len(plane.kx))
            weight = (1.0 / noise[:, plane.shell])[images.group[rows]]
            cross += _shell_sums(plane, ((data.conj() * seen).real * weight).sum(axis=0))
            power += _shell_sums(plane, ((seen.real**2 + seen.imag**2) * weight).sum(axis=0))
        return cross**2 / np.maximum(power, 1e-30)

    own = gains(images.transfers)
    factors, phases, foreign = [own.sum()], -np.inf, 0.0
    if images.transfers.distinct is not None and not images.premultiplied.any():
        new = slice(known + 1, None) if plane.last - known >= LEAST_SHELLS else slice(0, None)
        phases = float((gains(_other_phases(images.transfers)) - own)[new].sum())
        foreign = float((gains(_of_others(images.transfers)) - own).sum())
        factors = [gains(_defocused(images.transfers, each)).sum() for each in FACTORS]
    count = len(images)
    return ImageChecks(
        np.array(factors) / count, phases, foreign, _explained(images, own / count, noise), *_against_negatives(images, half, grids, coarse)
    )


def _pairs(
    images: ImageSet, half: NDArray[np.int64], grids: list[NDArray[np.float32]], rotations: Array, shifts: Array
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.complex64], NDArray[np.complex64]]]:
    """Yield rows, their images centred and the projections of the other half's map, ``(b, K)``."""
    plane = images.plane
    for side in (0, 1):
        members = np.flatnonzero(half == side)
        for part in blocks(len(members), BLOCK):
            rows = members[part]
            found = np.empty((len(rows), len(plane.kx), 2), np.float32)
            gather(grids[1 - side], plane.kx, plane.ky, rotations[rows].astype(np.float32), found)
            found[:, 0] = 0
            data = images.storage.take(rows, len(plane.kx)) * shift_factors(plane, shifts[rows])
            yield rows, data, found.view(np.complex64)[..., 0]


def _shell_sums(plane: HalfPlane, values: NDArray[np.floating]) -> Array:
    return np.add.reduceat(values.astype(np.float64), np.concatenate([[0], plane.ends[:-1]]))


def _other_phases(transfers: Transfers) -> Transfers:
    return replace(transfers, optics=tuple(replace(each, phase_flipped=not each.phase_flipped) for each in transfers.optics), held=None)


def _defocused(transfers: Transfers, factor: float) -> Transfers:
    assert transfers.distinct is not None
    return replace(transfers, distinct=transfers.distinct * np.array([1.0, factor, factor, 1.0, 1.0]), held=None)


def _of_others(transfers: Transfers) -> Transfers:
    return replace(transfers, member=np.roll(transfers.member, len(transfers.member) // 2))


def _explained(images: ImageSet, by_shell: Array, noise: Array) -> float:
    """Return the part of the signal explained, over the shells where the images show any."""
    plane = images.plane
    inside, whole = np.zeros((2, plane.last + 1))
    for part in blocks(len(images), BLOCK):
        rows = np.arange(part.start, part.stop)
        inverse = 1.0 / noise[images.group[rows]]
        inside += (plane.shell_power(images.storage.take(rows, len(plane.kx))) * inverse).sum(axis=0)
        whole += (plane.shell_power(images.storage.take(rows, len(plane.kx), whole=True)) * inverse).sum(axis=0)
    if images.coverage > 0.9:
        return 1.0
    counts = np.diff(plane.ends, prepend=0)
    signal = counts * np.maximum(inside - images.coverage * whole, 0.0) / (1.0 - images.coverage) / len(images)
    some = np.arange(len(signal)) > 1
    return float(by_shell[some].sum() / max(signal[some].sum(), 1e-30))


def _against_negatives(images: ImageSet, half: NDArray[np.int64], grids: list[NDArray[np.float32]], coarse: int) -> tuple[Array, Array]:
    """Return the log-likelihood gained by the best coarse pose of each image, and of its negative, ``(n,)`` each."""
    plane = images.plane.within(coarse)
    shifts = disc_lattice(REACH * plane.box, max(1.0, 0.375 * plane.box / plane.last))
    noise, gains = images.total_power(), np.zeros((2, len(images)))
    for side in (0, 1):
        gallery = Gallery.of(grids[1 - side], plane, rotation_grid(ORDER, STEPS))
        members = np.flatnonzero(half == side)
        for part in blocks(len(members), BLOCK):
            rows = members[part]
            data, weight = images.prepare(rows, plane, noise)
            for sign, out in zip((1.0, -1.0), gains, strict=True):
                out[rows] = search(gallery, data * np.float32(sign), weight, shifts, 1, correlate=True)[2][:, 0]
    return gains[0], gains[1]
