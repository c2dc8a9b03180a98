"""An atomic model as arrays."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Atoms:
    """Atoms of one model.

    Attributes
    ----------
    positions
        ``(n, 3)``, x, y, z in Å from the centre of the box.
    amplitudes, widths
        ``(n, 5)`` a (Å) and b (Å²) of the electron scattering factor ``Σ a exp(-b s²/4)``.
    b_factors, occupancies
        ``(n,)``, Å² and 0 to 1.
    masses
        ``(n,)``, Da.
    residues, chains
        ``(n,)``, numbers from 0, in the order of the model; the atoms of a residue follow each other.
    """

    positions: Array
    amplitudes: Array
    widths: Array
    b_factors: Array
    occupancies: Array
    masses: Array
    residues: NDArray[np.int64]
    chains: NDArray[np.int64]

    @property
    def centre(self) -> Array:
        """Return the centre of mass, Å."""
        return np.average(self.positions, axis=0, weights=self.masses * self.occupancies)

    @property
    def mass(self) -> float:
        """Return the mass, Da."""
        return float((self.masses * self.occupancies).sum())

    def at(self, positions: Array) -> "Atoms":
        """Return the same atoms elsewhere."""
        return replace(self, positions=positions)

    def keep(self, chosen: NDArray[np.bool_]) -> "Atoms":
        """Return the `chosen` atoms, residues and chains numbered as before."""
        return Atoms(
            self.positions[chosen], self.amplitudes[chosen], self.widths[chosen], self.b_factors[chosen], self.occupancies[chosen],
            self.masses[chosen], self.residues[chosen], self.chains[chosen],
        )  # fmt: skip

    def copied(self, positions: Array) -> "Atoms":
        """Return several copies at `positions` ``(copies, n, 3)``; residues and chains are numbered on from copy to copy."""
        copies = len(positions)
        residues, chains = int(self.residues.max()) + 1, int(self.chains.max()) + 1
        step = np.repeat(np.arange(copies), len(self.positions))
        parts = (np.tile(each, (copies,) + (1,) * (each.ndim - 1)) for each in
                 (self.amplitudes, self.widths, self.b_factors, self.occupancies, self.masses))  # fmt: skip
        return Atoms(
            positions.reshape(-1, 3), *parts, np.tile(self.residues, copies) + step * residues, np.tile(self.chains, copies) + step * chains
        )
