"""Ninety numbers of a place, from its description: what varies most among the particles of one picking, and grey values.

Fourteen maps of angular correlations, of each band with itself and with the next two, give four numbers each, by their own principal
components; the images themselves twenty, by those of all particles in all turns (Ponce & Singer 2011, doi:10.1109/TIP.2011.2147323): there
components of one harmonic are told apart by their radial profiles, and no turn changes the modulus of a projection.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.picking.blob import FEATURES
from cryoloom.numerics.picking.descriptors import BANDS, DECILES, WHOLE, Descriptors

Array = NDArray[np.float64]

PAIRS = tuple((i, i) for i in range(BANDS)) + tuple((i, i + step) for step in (1, 2) for i in range(BANDS - 2))
"""Bands whose angular correlation is taken."""
COMPONENTS, TURNED = 4, 20
COUNT = len(PAIRS) * COMPONENTS + TURNED + 2 + len(DECILES) + len(FEATURES)
DETAIL = slice(COUNT - len(FEATURES), COUNT)
"""Columns of the features that tell of the detail."""
ENOUGH = 200
"""Particles that the components are made of, at the most."""


@dataclass(frozen=True)
class Bases:
    """What features are projections on.

    Attributes
    ----------
    means, components
        By pair of `PAIRS`: ``(d,)`` and ``(4, d)`` float32.
    average
        ``(rings,)`` mean of the particles over all turns.
    orders, profiles
        ``(20,)`` harmonic and ``(20, rings)`` complex64 radial profile of the components of turned images.
    """

    means: list[NDArray[np.float32]]
    components: list[NDArray[np.float32]]
    average: NDArray[np.float32]
    orders: NDArray[np.int64]
    profiles: NDArray[np.complex64]

    @classmethod
    def of(cls, particles: Descriptors) -> "Bases":
        """Find the components of `particles`."""
        few = particles[np.linspace(0, len(particles) - 1, min(ENOUGH, len(particles))).round().astype(int)]
        means, components = [], []
        for pair in PAIRS:
            maps = _correlations(few, pair)
            mean = maps.mean(axis=0)
            means.append(mean)
            components.append(_principal(maps - mean, COMPONENTS))
        average, orders, profiles = _turned(few)
        return cls(means, components, average, orders, profiles)

    def features(self, places: Descriptors) -> Array:
        """Return the features ``(n, COUNT)`` of `places`."""
        columns = [
            (_correlations(places, pair) - mean) @ base.T for pair, mean, base in zip(PAIRS, self.means, self.components, strict=True)
        ]
        whole = places.harmonics[:, WHOLE]
        for order, profile in zip(self.orders, self.profiles, strict=True):
            image = whole[:, :, order] - (self.average if order == 0 else 0.0)
            found = image @ profile.conj()
            columns.append((found.real if order == 0 else np.abs(found))[:, None])
        return np.concatenate([*columns, places.greys, places.detail], axis=1).astype(np.float64)


def _correlations(places: Descriptors, pair: tuple[int, int]) -> NDArray[np.float32]:
    """Return the angular correlation of two bands on every ring ``(n, d)``, as its coefficients; their scale is that of the function."""
    one, two = (places.harmonics[:, band] for band in pair)
    found = one * two.conj()
    found[:, :, 1:] *= np.float32(2.0**0.5)
    parts = (found.real,) if pair[0] == pair[1] else (found.real, found.imag)
    return np.concatenate([part.reshape(len(places), found.shape[1] * found.shape[2]) for part in parts], axis=1).astype(np.float32)


def _principal(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the first principal components ``(count, d)`` of centred `rows` ``(n, d)``; of a fixed sign, zeros where there are fewer."""
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    found = np.zeros((count, rows.shape[1]), np.float32)
    for number, (value, vector) in enumerate(zip(values[::-1][:count], vectors.T[::-1][:count], strict=True)):
        if value > 1e-6 * max(values[-1], 1e-12):
            axis = vector.astype(np.float32) @ rows / np.float32(value**0.5)
            found[number] = axis * np.sign(axis[np.abs(axis).argmax()])
    return found


def _turned(places: Descriptors) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.complex64]]:
    """Return average, orders and profiles of the principal components of all images in all turns, strongest first."""
    whole = places.harmonics[:, WHOLE].astype(np.complex128)
    average = whole[:, :, 0].real.mean(axis=0)
    found: list[tuple[float, int, NDArray[np.complex128]]] = []
    for order in range(whole.shape[2]):
        rows = whole[:, :, order] - (average if order == 0 else 0.0)
        values, vectors = np.linalg.eigh(rows.T @ rows.conj() / len(rows))
        found += [(float(value), order, vector) for value, vector in zip(values[::-1], vectors.T[::-1], strict=True)]
    best = sorted(found, key=lambda each: (-each[0], each[1]))[:TURNED]
    # The phase of a component is free, and a real one needs a sign.
    profiles = [vector * np.exp(-1j * np.angle(vector[np.abs(vector).argmax()])) for _, _, vector in best]
    return average.astype(np.float32), np.array([order for _, order, _ in best]), np.array(profiles, dtype=np.complex64)
