"""What is looked at before maps go to an archive; what would be refused there, or would mislead, is said here first.

Heavy libraries are imported inside the functions; protocols may import this module at their top.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.map_sets import StoredMap

Map = NDArray[np.float32]

SAME_SIZE = 1e-4
"""Relative difference of pixel sizes that archives take for the same."""
ALIKE = 0.95
"""Mean shell correlation of the halves' mean and the primary map, at the least."""
MASS = 0.3
"""Part by which the volume in the contour may differ from that of the mass."""


@dataclass(frozen=True)
class Check:
    """One thing looked at: what it is, whether it is right, whether nothing can be deposited when it is not, and what was found."""

    name: str
    passed: bool
    found: str
    blocking: bool = False


@dataclass(frozen=True)
class Bundle:
    """The maps to be deposited, by the names of their files without suffix.

    Attributes
    ----------
    maps
        ``map``, ``half_map_1``, ``half_map_2`` and, where there is one, ``mask_01``; additional maps under other names.
    corrected
        Whether the FSC is corrected for the mask.
    sphere
        Diameter (Å) of the soft sphere that it was measured in otherwise; None: in the whole box.
    resolution
        Å, as it was stated.
    filtered
        Å to which the primary map holds detail.
    contour
        Grey value of the surface.
    mass
        kDa; None where it is not known.
    """

    maps: Mapping[str, StoredMap]
    corrected: bool
    sphere: float | None
    resolution: float
    filtered: float
    contour: float
    mass: float | None = None
    seed: int = 0

    @property
    def halves(self) -> tuple[Map, Map]:
        """Return both half maps."""
        return self.maps["half_map_1"].data, self.maps["half_map_2"].data

    def checks(self) -> Iterator[Check]:
        """Yield what was found of the maps, what decides first; after something that blocks on their grids nothing more can be said."""
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation

        primary = self.maps["map"]
        box, size = len(primary.data), primary.pixel_size
        boxes = {name: len(each.data) for name, each in self.maps.items() if len(each.data) != box}
        yield Check("one box", not boxes, f"{box} px" + "".join(f", {name} {other} px" for name, other in boxes.items()), blocking=True)
        sizes = {name: each.pixel_size for name, each in self.maps.items() if abs(each.pixel_size / size - 1) > SAME_SIZE}
        told = f"{size:.5g} Å" + "".join(f", {name} {each:.5g} Å" for name, each in sizes.items())
        yield Check("one pixel size", not sizes, told, blocking=True)
        if boxes:
            return
        one, two = self.halves
        alike = float(np.corrcoef(one.ravel(), two.ravel())[0, 1])
        yield Check("half maps differ", alike < 0.99999, f"correlation {alike:.4f}", blocking=True)
        yield from self._mask()
        yield from self._resolution()
        whole = fourier_shell_correlation(np.float32(0.5) * (one + two), primary.data)
        finest = max(self.resolution, self.filtered)
        shells = max(1, min(int(box * size / finest), box // 2))
        mean = float(whole[1 : shells + 1].mean())
        yield Check("map and half maps are one structure", mean > ALIKE, f"mean shell correlation {mean:.3f} to {finest:.2f} Å")
        middle = primary.data - primary.data.mean()
        skew = float((middle**3).mean() / max(float((middle**2).mean()) ** 1.5, 1e-30))
        yield Check("protein is bright", skew > 0, f"skewness {skew:.2f}")
        yield from self._contour()

    def _mask(self) -> Iterator[Check]:
        if "mask_01" not in self.maps:
            return
        low, high = float(self.maps["mask_01"].data.min()), float(self.maps["mask_01"].data.max())
        yield Check("mask within 0 and 1", low >= -1e-3 and high <= 1 + 1e-3 and high > 0, f"{low:.3g} to {high:.3g}", blocking=True)

    def _resolution(self) -> Iterator[Check]:
        """Compare the resolution stated with that of the files."""
        from cryoloom.numerics.fsc.masked import masked_fsc
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
        from cryoloom.numerics.masks.soft import spherical_mask

        one, two = self.halves
        box, size = len(one), self.maps["map"].pixel_size
        if self.corrected and "mask_01" in self.maps:
            curve = masked_fsc(one, two, self.maps["mask_01"].data, seed=self.seed).corrected
        elif self.sphere is not None:
            sphere = spherical_mask(box, self.sphere / 2 / size, 5.0)
            curve = fourier_shell_correlation(one * sphere, two * sphere)
        else:
            curve = fourier_shell_correlation(one, two)
        found = resolution_at(curve, 0.143, box, size)
        shells = abs(box * size / found - box * size / self.resolution)
        words = f"{found:.2f} Å from the files, {self.resolution:.2f} Å stated"
        yield Check("resolution of the files is the one stated", shells <= 1.01, words, blocking=True)

    def _contour(self) -> Iterator[Check]:
        from cryoloom.numerics.masks.soft import ANGSTROM3_PER_DALTON

        primary = self.maps["map"]
        seen = primary.data * self.maps["mask_01"].data if "mask_01" in self.maps else primary.data
        enclosed = float((seen > self.contour).sum()) * primary.pixel_size**3 / ANGSTROM3_PER_DALTON / 1000
        words = f"{self.contour:.4g} encloses {enclosed:.0f} kDa of protein"
        if self.mass is None:
            yield Check("contour shows the particle", enclosed > 0, f"{words}; no mass was given")
        else:
            yield Check("contour shows the particle", abs(enclosed / self.mass - 1) <= MASS, f"{words}, {self.mass:g} kDa stated")
