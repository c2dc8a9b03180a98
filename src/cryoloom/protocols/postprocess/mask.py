"""postprocess.mask: a soft mask around the particle."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Mask, Volume, symmetry_hints
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.panels import MapSlices
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom


@dataclass(frozen=True)
class Masked(Outputs):
    mask: Mask


class CreateMask(
    Protocol,
    id="postprocess.mask",
    outputs=Masked,
    cite=("10.1016/j.jsb.2012.09.006",),
    aliases=("ProtRelionCreateMask3D", "XmippProtCreateMask3D"),
):
    """Low-pass a map, take what is above a threshold, extend it and give it a soft edge."""

    volume: Volume = Input("Map", help="The map to mask; one with half maps is masked by their mean.")
    other: Volume | Mask | None = Input(
        "Second map or mask", optional=True, help="To be joined with the first as `operation` says; a map goes through the same threshold."
    )
    operation: Literal["and", "or", "and-not", "or-not"] = Param(
        "Operation", "and", advanced=True,
        help="What of the second is taken: their overlap, both, the first without the second, the first and all outside the second.",
    )  # fmt: skip
    shape: Literal["surface", "sphere", "cylinder", "box"] = Param(
        "Shape", "surface", aliases=("geo",),
        help="The particle's surface; or a sphere, a cylinder along z or a box of the largest diameter about the box's centre, which no noise bends.",
    )  # fmt: skip
    inner_diameter: Angstrom | None = Param(
        "Inner diameter", None, gt=0, advanced=True, aliases=("innerRadius",),
        help="Of a hole in the middle of a sphere, cylinder or box: a shell such as a capsid's, a tube. Too wide cuts the particle.",
    )  # fmt: skip
    height: Angstrom | None = Param(
        "Height", None, gt=0, advanced=True,
        help="Along z, of a cylinder or box; empty takes the whole length of the cylinder, and a cube. Too low cuts the particle.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "C1", advanced=True, aliases=("doSymmetrize", "symmetryGroup"),
        help="Point group of which the map is made before the threshold, so that the mask has it. A wrong one leaves parts out.",
    )  # fmt: skip
    lowpass: Angstrom = Param(
        "Low-pass filter", 15.0, gt=0, aliases=("initialLowPassFilterA",),
        help="Resolution of the map before the threshold. Too fine and the mask follows noise, which inflates the FSC.",
    )  # fmt: skip
    threshold: float | None = Param(
        "Threshold", None, wizard="map-threshold",
        help="Grey value of the surface after the low-pass; empty chooses it by Otsu's rule. Too low and solvent counts as particle.",
    )  # fmt: skip
    mass: float | None = Param(
        "Mass (kDa)", None, gt=0, advanced=True,
        help="When known, the threshold encloses this mass of protein instead. A wrong mass cuts the particle.",
    )  # fmt: skip
    diameter: Angstrom | None = Param(
        "Largest diameter", None, gt=0, advanced=True,
        help="Nothing outside a sphere of this diameter becomes mask; empty takes the box. Too small cuts the particle.",
    )  # fmt: skip
    extend: float = Param(
        "Extend (px)",
        3.0,
        ge=-20,
        aliases=("extendInitialMask",),
        help="How far the mask reaches beyond the surface; negative shrinks it. Too little cuts side chains.",
    )
    least_piece: float = Param(
        "Least piece", 0.1, ge=0, le=1, advanced=True, aliases=("removeSmall",),
        help="Pieces of the surface smaller than this part of the largest are left out; 1 keeps the largest only. 0 keeps noise.",
    )  # fmt: skip
    closing: float = Param(
        "Closing (px)", 0.0, ge=0, le=50, advanced=True, aliases=("doMorphological",),
        help="Clefts and channels up to twice as wide are filled. Too much fills what is solvent.",
    )  # fmt: skip
    opening: float = Param(
        "Opening (px)", 0.0, ge=0, le=50, advanced=True,
        help="What is thinner than twice as much is taken off: spikes, and threads of noise. Too much takes thin parts of the particle.",
    )  # fmt: skip
    invert: bool = Param("Invert", False, advanced=True, aliases=("doInvert",), help="1 in the solvent: for looking at what lies around.")
    edge: float = Param(
        "Soft edge (px)",
        6.0,
        ge=1,
        aliases=("addMaskEdge",),
        help="Width of the raised cosine. Below 5 px the mask itself correlates the halves.",
    )

    def check(self) -> Iterator[Hint]:
        if self.threshold is not None and self.mass is not None:
            yield Hint("mass", "cannot be given together with a threshold", fix=None)
        yield from symmetry_hints(self.symmetry)
        if self.shape != "surface" and self.diameter is None:
            yield Hint("diameter", f"is needed for a {self.shape}")
        if self.inner_diameter is not None and self.diameter is not None and self.inner_diameter >= self.diameter:
            yield Hint("inner_diameter", f"{self.inner_diameter:g} Å leaves nothing of {self.diameter:g} Å", fix=0.5 * self.diameter)

    def run(self, job: Job) -> Masked:
        from cryoloom.numerics.masks.soft import OPERATIONS, border_distance

        mask, threshold, pixel_size = self.mask_of(self.volume)
        if self.other is not None:
            second, _, size = self.mask_of(self.other)
            if second.shape != mask.shape or abs(size / pixel_size - 1) > 1e-3:
                raise Failure(
                    "maps-differ",
                    f"The maps to be joined have {mask.shape[0]} voxels of {pixel_size:g} Å and {second.shape[0]} of {size:g} Å.",
                    "Bring them to one box and pixel size first.",
                )
            mask = OPERATIONS[self.operation](mask, second)
        if not mask.max() > 0:
            raise Failure("mask-empty", f"postprocess.mask: {self.operation} leaves nothing of the two masks.", "Choose another operation.")
        if self.invert:
            mask = 1 - mask
        distance = border_distance(mask)
        if distance < 2 and not self.invert:
            job.warn(f"The mask comes within {distance} px of the box's border: the box is too small or the threshold too low.")
        if self.edge < 5:
            job.warn(f"The soft edge is {self.edge:g} px; below 5 px the mask itself correlates the half maps.")
        path = job.output("mask.mrc")
        write_mrc(path, mask, pixel_size, volume=True)
        enclosed = float(mask.sum(dtype="f8")) * pixel_size**3
        items = pl.DataFrame(
            {
                "id": [1],
                "mask_path": [path.relative_to(job.root).as_posix()],
                "box_size": [mask.shape[0]],
                "threshold": [threshold],
                "volume_angstrom3": [enclosed],
                "mass_kda": [enclosed * 0.81e-3],
                "border_distance": [distance],
            }
        )
        return Masked(Mask(items, job.root, meta={"pixel_size": pixel_size}))

    def mask_of(self, maps: Volume | Mask) -> tuple[Any, float | None, float]:
        """Return the soft mask around a map (a mask is one already), the threshold if there was one, and the pixel size."""
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.masks.shapes import shape_mask
        from cryoloom.numerics.masks.soft import soft_mask
        from cryoloom.numerics.reconstruct.symmetry import symmetric_map

        row = maps.items.row(0, named=True)
        if isinstance(maps, Mask):
            image = read_mrc(maps.file(row["mask_path"]))
            return image.data, None, float(maps.meta.get("pixel_size") or image.pixel_size)
        volume, pixel_size = mean_map(maps)
        diameter = None if self.diameter is None else self.diameter / pixel_size
        if self.shape != "surface" and diameter is not None:
            height = None if self.height is None else self.height / pixel_size
            inner = (self.inner_diameter or 0.0) / pixel_size
            return shape_mask(self.shape, volume.shape[0], diameter, self.edge, inner=inner, height=height), None, pixel_size
        try:
            mask, threshold = soft_mask(
                symmetric_map(volume, point_group(self.symmetry)), pixel_size, resolution=self.lowpass, threshold=self.threshold,
                extend=self.extend, edge=self.edge, radius=None if diameter is None else diameter / 2,
                mass=None if self.mass is None else self.mass * 1e3, least_piece=self.least_piece, closing=self.closing, opening=self.opening,
            )  # fmt: skip
        except ValueError as problem:
            raise Failure("mask-empty", f"postprocess.mask of {row['volume_path']}: {problem}.", "Lower the threshold.") from problem
        return mask, threshold, pixel_size

    def summary(self, out: Masked) -> Mapping[str, Any]:
        row = out.mask.items.row(0, named=True)
        return {
            **({} if row["threshold"] is None else {"threshold": row["threshold"]}),
            "enclosed volume (Å³)": round(row["volume_angstrom3"]),
            "equivalent mass (kDa)": round(row["mass_kda"]),
        }

    def methods(self, out: Masked) -> str:
        row = out.mask.items.row(0, named=True)
        return f"A soft mask enclosing {row['volume_angstrom3']:.3g} Å³ was made, extended by {self.extend:g} px with an edge of {self.edge:g} px."

    def report(self, out: Masked) -> list[Panel]:
        mask = read_mrc(out.mask.file(str(out.mask.items.item(0, "mask_path")))).data
        return [MapSlices(title="Mask", volume=mask, caption="Slices of the soft mask through its centre.")]


def mean_map(volume: Volume) -> tuple[Any, float]:
    """Return the mean of the half maps, or the map where there are none, and its pixel size."""
    import numpy as np

    row = volume.items.row(0, named=True)
    paths = [row.get("half_map1_path"), row.get("half_map2_path")]
    maps = [read_mrc(volume.file(str(path))) for path in (paths if all(paths) else [row["volume_path"]])]
    data = np.mean([image.data for image in maps], axis=0, dtype=np.float32)
    if not np.isfinite(data).all():
        bad = int(np.count_nonzero(~np.isfinite(data)))
        raise Failure("map-nan", f"{row['volume_path']}: {bad} voxels are not numbers.", "Run the step that made this map again.")
    return data, float(volume.meta.get("pixel_size") or maps[0].pixel_size)
