"""postprocess.sharpen: the FSC of the half maps, corrected for the mask, and the sharpened map."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cryoloom.data import FSC, Mask, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import read_star
from cryoloom.report.panels import Histogram, LinePlot, MapSlices, MapSurface, Series
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, SquareAngstrom

ANISOTROPIC = 1.3
"""Times the finest resolution of a direction that the coarsest may be, the extreme twentieths left out."""
TELLING = 10
"""Shells of agreement from which directions can be compared."""


@dataclass(frozen=True)
class Sharpened(Outputs):
    volume: Volume
    fsc: FSC


class Sharpen(
    Protocol,
    id="postprocess.sharpen",
    version=3,
    outputs=Sharpened,
    cite=("10.1016/j.ultramic.2013.06.004", "10.1016/j.jmb.2003.07.013"),
    aliases=("ProtRelionPostprocess",),
):
    """Measure the gold-standard FSC unmasked, masked and phase-randomised; weight, sharpen and low-pass the map of both halves."""

    volume: Volume = Input(
        "Map with half maps",
        columns=("half_map1_path",),
        help="From a refinement. Its unfiltered half maps are compared; its unfiltered map of both, or else their mean, is sharpened.",
    )
    mask: Mask | None = Input(
        "Mask", help="Soft mask in [0, 1] of the same box. Without one the FSC is that of the whole box.", optional=True
    )
    b_factor: SquareAngstrom | None = Param(
        "B-factor", None, aliases=("bfactor",),
        help="Negative sharpens; empty fits it to the Guinier plot, which needs a resolution better than 10 Å. Too strong amplifies noise.",
    )  # fmt: skip
    fit_low: Angstrom = Param(
        "Guinier fit from", 10.0, gt=0, advanced=True, aliases=("bfactorLowRes",),
        help="Low-resolution end of the B-factor fit. Coarser than about 10 Å and the particle's shape bends the line.",
    )  # fmt: skip
    fit_high: Angstrom | None = Param(
        "Guinier fit to", None, gt=0, advanced=True, aliases=("bfactorHighRes",),
        help="High-resolution end of the B-factor fit; empty takes the resolution found. Beyond it the line follows noise.",
    )  # fmt: skip
    mtf_file: str = Param(
        "Detector MTF", "", advanced=True, aliases=("mtf",), help="STAR file of the detector's MTF. The wrong one mis-sharpens."
    )
    detector_pixel_size: Angstrom | None = Param(
        "Detector pixel size", None, gt=0, advanced=True, aliases=("origPixelSize",),
        help="Å per detector pixel, to which the MTF file refers; empty takes the map's. Wrong after binning if left empty.",
    )  # fmt: skip
    calibrated_pixel_size: Angstrom | None = Param(
        "Calibrated pixel size", None, gt=0, advanced=True, aliases=("calibratedPixelSize",),
        help="Å per voxel once it is known better, from a fitted model for instance; empty keeps the map's. Every resolution scales with it.",
    )  # fmt: skip
    weight_by_fsc: bool = Param(
        "Weight by FSC", True, advanced=True,
        help="Weight detail by how well the halves agree on it. Off, the low-pass alone keeps noise out.",
    )  # fmt: skip
    lowpass: Angstrom | None = Param(
        "Low-pass filter", None, gt=0, advanced=True, aliases=("lowRes",),
        help="Å; empty takes the resolution found. Finer shows noise as detail.",
    )  # fmt: skip
    filter_edge: float = Param(
        "Filter edge (shells)", 2.0, ge=0, le=20, advanced=True, aliases=("filterEdgeWidth",),
        help="Width of the low-pass's raised cosine. Too sharp rings around the particle.",
    )  # fmt: skip
    randomise_below: float = Param(
        "Randomise phases below FSC", 0.8, gt=0, lt=1, advanced=True, aliases=("randomizeAtFsc",),
        help="Phases are random beyond the shell where the unmasked FSC falls below this. Too low hides what the mask adds.",
    )  # fmt: skip
    force_mask: bool = Param(
        "Keep the mask", False, advanced=True, aliases=("forceMask",),
        help="Use the mask even where the unmasked resolution is better, which usually means that the mask cuts the particle.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.b_factor is not None and self.b_factor > 0:
            yield Hint("b_factor", f"{self.b_factor:g} Å² would blur the map; sharpening is negative", fix=-self.b_factor, error=False)
        if self.fit_high is not None and self.fit_high >= self.fit_low:
            yield Hint("fit_high", f"{self.fit_high:g} Å is no finer than {self.fit_low:g} Å, where the fit begins")

    def automatic(self) -> Mapping[str, Any]:
        size = self.volume.meta.get("pixel_size")
        return {"calibrated_pixel_size": size, "detector_pixel_size": self.calibrated_pixel_size or size}

    def run(self, job: Job) -> Sharpened:
        from cryoloom.numerics.filters.sharpen import Filtering, sharpen
        from cryoloom.numerics.fsc.directional import directional_fsc, directional_resolutions
        from cryoloom.numerics.fsc.masked import masked_fsc, particle_fsc
        from cryoloom.numerics.fsc.shells import recovered_shell, resolution_at

        row = self.volume.items.row(0, named=True)
        first, second, pixel_size = self._halves(row)
        box = first.shape[0]
        mask = self._mask(box, pixel_size)
        job.progress(0, 3, "Fourier shell correlation")
        curves = masked_fsc(first, second, mask, randomise_below=self.randomise_below, seed=job.seed)
        corrected = curves.corrected
        resolution = resolution_at(corrected, 0.143, box, pixel_size)
        unmasked = resolution_at(curves.unmasked, 0.143, box, pixel_size)
        if self.mask is not None and unmasked < resolution and not self.force_mask:
            job.warn(
                f"Unmasked resolution {unmasked:.2f} Å is better than masked {resolution:.2f} Å: the mask cuts the particle and was left out."
            )
            corrected, resolution = curves.unmasked, unmasked
        shell = min(int(round(box * pixel_size / resolution)), box // 2)
        if self.mask is not None and curves.randomised[shell] > 0.1:
            job.warn(
                f"The phase-randomised FSC is {curves.randomised[shell]:.2f} at {resolution:.2f} Å: "
                "the mask is too tight. Widen it or its soft edge."
            )
        if again := recovered_shell(corrected, 0.143):
            job.warn(
                f"The FSC falls below 0.143 at {resolution:.1f} Å and recovers to {box * pixel_size / again:.1f} Å: look at the curve."
            )
        if curves.randomised_from is None:
            job.warn(f"The FSC never falls below {self.randomise_below}: phases were not randomised and the masked FSC is not corrected.")
        b_factor = self.b_factor
        if b_factor is None and resolution > 0.8 * self.fit_low:
            job.warn(
                f"At {resolution:.1f} Å a B-factor cannot be fitted (it needs better than {0.8 * self.fit_low:.0f} Å); the map is not sharpened."
            )
            b_factor = 0.0
        axes, cones = directional_fsc(first * mask, second * mask)
        each = directional_resolutions(cones, box, pixel_size)
        coarsest, finest = (float(value) for value in np.quantile(each, (0.95, 0.05)))
        if shell >= TELLING and coarsest > ANISOTROPIC * finest:
            worst = axes[int(each.argmax())]
            tilt, rot = np.rad2deg(np.arccos(worst[2])), np.rad2deg(np.arctan2(worst[1], worst[0]))
            job.warn(
                f"Halves agree to {finest:.1f} Å in some directions and to {coarsest:.1f} Å in others, worst near rot {rot:.0f}°, tilt {tilt:.0f}°: "
                "the map is stretched there. Views are missing."
            )
        job.progress(1, 3, "sharpening")
        whole = self._whole(row, first, second)
        filtering = Filtering(
            pixel_size, corrected if self.weight_by_fsc else None, resolution, self.lowpass or resolution, self.filter_edge,
            self._mtf(box, pixel_size), self.fit_low, self.fit_high,
        )  # fmt: skip
        try:
            sharpened, used, guinier = sharpen(whole, filtering, b_factor)
        except ValueError as problem:
            job.warn(f"No B-factor: {problem}; the map is weighted but not sharpened.")
            sharpened, used, guinier = sharpen(whole, filtering, 0.0)
        if abs(used) > 1000:
            job.warn(f"The B-factor is {used:.0f} Å², beyond what detail of this resolution supports.")
        job.progress(2, 3, "writing")
        paths = {"volume_path": job.output("sharpened.mrc"), "masked_path": job.output("sharpened_masked.mrc")}
        write_mrc(paths["volume_path"], sharpened, pixel_size, volume=True)
        write_mrc(paths["masked_path"], sharpened * mask, pixel_size, volume=True)
        shells = np.arange(box // 2 + 1)
        fsc = pl.DataFrame(
            {
                "id": shells,
                "shell": shells,
                "frequency": shells / (box * pixel_size),
                "fsc": corrected,
                "fsc_unmasked": curves.unmasked,
                "fsc_masked": curves.masked,
                "fsc_randomised": curves.randomised,
                "fsc_particle": particle_fsc(curves.unmasked, mask),
                "fsc_worst_direction": np.quantile(cones, 0.05, axis=0),
                "fsc_best_direction": np.quantile(cones, 0.95, axis=0),
                "guinier_x": guinier.inverse_squared,
                "guinier_original": guinier.original,
                "guinier_weighted": guinier.weighted,
                "guinier_sharpened": guinier.sharpened,
            }
        )
        numbers = {
            "resolution": resolution,
            "resolution_unmasked": unmasked,
            "resolution_at_half": resolution_at(corrected, 0.5, box, pixel_size),
            "resolution_interpolated": resolution_at(corrected, 0.143, box, pixel_size, interpolated=True),
            "resolution_by_direction": each.tolist(),
            "directions": axes.tolist(),
            "b_factor": used,
            "pixel_size": pixel_size,
        }
        volume = pl.DataFrame(
            {
                "id": [1],
                "box_size": [box],
                **{name: [path.relative_to(job.root).as_posix()] for name, path in paths.items()},
                **{name: [row[name]] for name in ("unfiltered_path", "half_map1_path", "half_map2_path") if row.get(name)},
            }
        )
        return Sharpened(Volume(volume, job.root, meta=numbers), FSC(fsc, job.root, meta=numbers))

    def _halves(self, row: dict[str, Any]) -> tuple[Any, Any, float]:
        images = [read_mrc(self.volume.file(row[name])) for name in ("half_map1_path", "half_map2_path")]
        first, second = (image.data for image in images)
        if first.shape != second.shape:
            raise Failure(
                "half-maps-differ", f"The half maps have shapes {first.shape} and {second.shape}.", "Give two half maps of one refinement."
            )
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise Failure("map-nan", f"A half map of {row['volume_path']} holds values that are not numbers.", "Run the refinement again.")
        if np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99999:
            raise Failure(
                "half-maps-same", "The two half maps are the same map, so their FSC says nothing.", "Give two independent half maps."
            )
        return first, second, self.calibrated_pixel_size or float(self.volume.meta.get("pixel_size") or images[0].pixel_size)

    def _whole(self, row: dict[str, Any], first: Any, second: Any) -> Any:
        if not row.get("unfiltered_path"):
            return (first + second) / 2
        return read_mrc(self.volume.file(row["unfiltered_path"])).data

    def _mask(self, box: int, pixel_size: float) -> Any:
        if self.mask is None:
            return np.ones((box, box, box), dtype=np.float32)
        image = read_mrc(self.mask.file(self.mask.items["mask_path"][0]))
        if image.data.shape[0] != box:
            raise Failure("mask-box", f"The mask has a box of {image.data.shape[0]} px, the map {box} px.", "Make the mask from this map.")
        if image.data.min() < -1e-3 or image.data.max() > 1 + 1e-3 or image.data.max() <= 0:
            low, high = float(image.data.min()), float(image.data.max())
            raise Failure(
                "mask-range", f"Mask values go from {low:.3g} to {high:.3g}; they must lie in [0, 1].", "Make it with postprocess.mask."
            )
        return image.data

    def _mtf(self, box: int, pixel_size: float) -> Any:
        if not self.mtf_file:
            return None
        from pathlib import Path

        table = next(iter(read_star(Path(self.mtf_file)).values()))
        detector = self.detector_pixel_size or pixel_size
        digital = np.arange(box // 2 + 1) / (box * pixel_size) * detector
        return np.interp(digital, table["rlnResolutionInversePixel"].to_numpy(), table["rlnMtfValue"].to_numpy())

    def summary(self, out: Sharpened) -> Mapping[str, Any]:
        meta = out.fsc.meta
        return {
            "resolution (Å, FSC 0.143)": round(meta["resolution"], 2),
            "unmasked (Å)": round(meta["resolution_unmasked"], 2),
            "FSC 0.5 (Å)": round(meta["resolution_at_half"], 2),
            "by direction (Å, cones of 20°, FSC 0.5)": f"{np.quantile(meta['resolution_by_direction'], 0.05):.1f} to "
            f"{np.quantile(meta['resolution_by_direction'], 0.95):.1f}",
            "B-factor (Å²)": round(meta["b_factor"], 1),
        }

    def methods(self, out: Sharpened) -> str:
        meta = out.fsc.meta
        return (
            f"The resolution is {meta['resolution']:.2f} Å by the FSC of the half maps at 0.143, corrected for the mask by phase randomisation, "
            f"and {meta['resolution_unmasked']:.2f} Å without a mask. The map was sharpened with a B-factor of {meta['b_factor']:.0f} Å²"
            f"{' and weighted by the FSC' if self.weight_by_fsc else ''}."
        )

    def report(self, out: Sharpened) -> list[Panel]:
        table, meta = out.fsc.items, out.fsc.meta
        frequency = table["frequency"].to_list()
        names = {
            "fsc": "corrected",
            "fsc_unmasked": "unmasked",
            "fsc_masked": "masked",
            "fsc_randomised": "phase-randomised",
            "fsc_particle": "unmasked, solvent taken off",
        }
        curves = [Series(label, frequency, table[name].to_list()) for name, label in names.items()]
        fit = table.filter(pl.col("frequency") >= 1 / 20)
        guinier = [
            Series(label, fit["guinier_x"].to_list(), [value if np.isfinite(value) else float("nan") for value in fit[f"guinier_{label}"]])
            for label in ("original", "weighted", "sharpened")
        ]
        data = read_mrc(out.volume.file(out.volume.items["masked_path"][0])).data
        resolution = meta["resolution"]
        return [
            LinePlot(
                title="Fourier shell correlation", series=curves, x_label="resolution (Å)", y_label="FSC", resolution_axis=True,
                levels={"0.143": 0.143}, marks={f"{resolution:.2f} Å": 1 / resolution}, y_range=(-0.1, 1.05),
                caption="Agreement of two maps made from independent halves of the particles. The phase-randomised curve is what the mask alone "
                "would give; the corrected one has it taken out.",
            ),
            LinePlot(
                title="By direction", x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.5": 0.5}, y_range=(-0.1, 1.05),
                series=[Series(label, frequency, table[f"fsc_{name}_direction"].to_list()) for name, label in (("best", "best"), ("worst", "worst"))],
                caption="Masked halves within cones of 20° about 200 directions, the best and the worst twentieth of them shell by shell.",
            ),
            Histogram(
                title="Resolution by direction", values=meta["resolution_by_direction"], label="Å (FSC 0.5)", bins=20,
                caption="Narrow where all views were seen.",
            ),
            LinePlot(
                title="Guinier plot", series=guinier, x_label="1/d² (1/Å²)", y_label="ln mean amplitude",
                caption=f"B-factor {meta['b_factor']:.0f} Å².",
            ),
            MapSlices(title="Sharpened map", volume=data, caption="Slices through the centre, under the mask."),
            MapSurface(title="Sharpened map in three dimensions", volume=data, level=surface_level(data), caption="Seen along z, x and y."),
        ]  # fmt: skip


def surface_level(data: Any) -> float:
    """Return a grey value whose surface shows the particle of a masked map: three standard deviations of what is not zero."""
    inside = data[np.abs(data) > 1e-6 * np.abs(data).max()]
    return float(inside.mean() + 1.5 * inside.std()) if inside.size else 0.0
