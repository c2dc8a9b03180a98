"""postprocess.mask: a soft mask around the particle."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Mask, Volume
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
    shape: Literal["surface", "sphere"] = Param(
        "Shape", "surface", help="The particle's surface, or a sphere of the largest diameter about the box's centre, which no noise bends."
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
        ge=0,
        aliases=("extendInitialMask",),
        help="How far the mask reaches beyond the surface. Too little cuts side chains.",
    )
    least_piece: float = Param(
        "Least piece", 0.1, ge=0, le=1, advanced=True, aliases=("removeSmall",),
        help="Pieces of the surface smaller than this part of the largest are left out; 1 keeps the largest only. 0 keeps noise.",
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
        if self.shape == "sphere" and self.diameter is None:
            yield Hint("diameter", "is needed for a sphere")

    def run(self, job: Job) -> Masked:
        from cryoloom.numerics.masks.soft import OPERATIONS, border_distance

        mask, threshold, pixel_size = self._mask_of(self.volume)
        if self.other is not None:
            second, _, size = self._mask_of(self.other)
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

    def _mask_of(self, maps: Volume | Mask) -> tuple[Any, float | None, float]:
        """Return the soft mask around a map (a mask is one already), the threshold if there was one, and the pixel size."""
        from cryoloom.numerics.masks.soft import soft_mask, spherical_mask

        row = maps.items.row(0, named=True)
        if isinstance(maps, Mask):
            image = read_mrc(maps.file(row["mask_path"]))
            return image.data, None, float(maps.meta.get("pixel_size") or image.pixel_size)
        volume, pixel_size = _mean_map(maps, row)
        radius = None if self.diameter is None else self.diameter / pixel_size / 2
        if self.shape == "sphere" and radius is not None:
            return spherical_mask(volume.shape[0], radius, self.edge), None, pixel_size
        try:
            mask, threshold = soft_mask(
                volume, pixel_size, resolution=self.lowpass, threshold=self.threshold, extend=self.extend, edge=self.edge, radius=radius,
                mass=None if self.mass is None else self.mass * 1e3, least_piece=self.least_piece,
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


def _mean_map(volume: Volume, row: dict[str, Any]) -> tuple[Any, float]:
    import numpy as np

    paths = [row.get("half_map1_path"), row.get("half_map2_path")]
    maps = [read_mrc(volume.file(str(path))) for path in (paths if all(paths) else [row["volume_path"]])]
    data = np.mean([image.data for image in maps], axis=0, dtype=np.float32)
    if not np.isfinite(data).all():
        bad = int(np.count_nonzero(~np.isfinite(data)))
        raise Failure("map-nan", f"{row['volume_path']}: {bad} voxels are not numbers.", "Run the step that made this map again.")
    return data, float(volume.meta.get("pixel_size") or maps[0].pixel_size)
