"""validate.local_resolution: the resolution of a map place by place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Mask, Volume
from cryoloom.formats.chimerax import Scene, surface_level
from cryoloom.formats.local_resolution import Measured, measured_maps, region_of
from cryoloom.formats.map_sets import grid_of, rows_of, stored_map
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.local_resolution import resolution_panels
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

COARSEST = 4.0
"""Times the global resolution, the coarsest that is looked for unless told otherwise."""
UNKNOWN = 20.0
"""Å, the coarsest for maps whose global resolution nobody knows."""
BIN = 0.25
"""Å, of the histogram."""
CUT_OFF = 0.01
"""Of the variance inside, below which that outside tells a mask."""
GAP = 5
"""px between specimen and solvent, which still tell of the specimen."""
FEW_SHELLS = 4
"""Shells that the coarsest frequency is away from the mean at least."""


@dataclass(frozen=True)
class LocalResolutions(Outputs):
    volume: Volume
    mask: Mask


class LocalResolution(
    Protocol,
    id="validate.local_resolution",
    version=2,
    outputs=LocalResolutions,
    cite=("10.1016/j.str.2017.12.018", "10.1016/j.jsb.2013.08.002"),
    aliases=("XmippProtMonoRes", "ProtRelionLocalRes", "XmippProtMonoResBlock"),
):
    """Find for every voxel of a map the finest detail that stands out from noise.

    By the local power of the monogenic signal, frequency by frequency, each against the noise that the half maps differ by, or the solvent's; or by the
    Fourier shell correlation of the half maps in windows. Figures are of the voxels of the mask that hold density. The map must be neither sharpened nor
    masked. Memory: ten volumes of float32, 1.1 GB at 300 voxels.
    """

    volume: Volume = Input(
        "Map", help="With its unfiltered half maps best; without, the noise is that of the solvent.",
        aliases=("fullMap", "inputVolumes", "associatedHalves"),
    )  # fmt: skip
    mask: Mask | None = Input("Mask", help="Where resolution is sought; empty finds the specimen itself.", optional=True, aliases=("Mask",))
    exclude: Mask | None = Input(
        "Region left out", help="What counts neither as specimen nor as noise: a micelle, gold.", optional=True, aliases=("maskExcl",)
    )  # fmt: skip
    coloured: Volume | None = Input(
        "Map to colour", help="The map, sharpened for instance, whose surface is coloured; empty takes the first input's own.", optional=True
    )  # fmt: skip
    method: Literal["monogenic", "windows"] = Param(
        "Method", "monogenic",
        help="Monogenic signal (MonoRes), voxel by voxel, or the correlation of half maps in windows, which needs half maps and is coarser in space.",
    )  # fmt: skip
    use_half_maps: bool = Param(
        "Noise from half maps", True, when="method=monogenic", aliases=("useHalfVolumes", "hasHalfVolumesFile"),
        help="Off, or where there are none, the noise is that of the solvent outside of the mask, which is not all the noise there is.",
    )  # fmt: skip
    high: Angstrom | None = Param(
        "Finest resolution", None, ge=0, aliases=("minRes", "highest_resolution"),
        help="Å where the search ends; empty, and what is finer than two voxels, takes two voxels. Coarse hides the best parts.",
    )  # fmt: skip
    low: Angstrom | None = Param(
        "Coarsest resolution", None, gt=0, aliases=("maxRes", "lowest_resolution"),
        help="Å where the search begins; empty takes four times the global resolution. Too fine and all that is coarser looks like it.",
    )  # fmt: skip
    step: Angstrom = Param(
        "Step", 0.5, ge=0.25, le=5, advanced=True, when="method=monogenic", aliases=("stepSize",),
        help="Å between the frequencies tried; each Fourier shell is tried once. Coarse steps round, fine ones take time.",
    )  # fmt: skip
    significance: float = Param(
        "Significance", 0.95, gt=0.5, lt=1, advanced=True, when="method=monogenic",
        help="Part of the noise's powers that detail must exceed, and it must reach an FSC of 0.143. Low takes noise for detail.",
    )  # fmt: skip
    noise_inside: bool = Param(
        "Noise inside of the mask", True, advanced=True, when="use_half_maps", aliases=("noiseOnlyInHalves",),
        help="Noise of half maps is measured where the specimen is, and stronger there. Off, the solvent counts too, and more looks resolved.",
    )  # fmt: skip
    gaussian_noise: bool = Param(
        "Gaussian noise", False, advanced=True, when="method=monogenic", aliases=("gaussianNoise",),
        help="Take the threshold from mean and deviation of the powers instead of their order. Wrong where noise has tails.",
    )  # fmt: skip
    mask_threshold: float = Param(
        "Mask threshold", 0.5, gt=0, lt=1, advanced=True, aliases=("maskThreshold",),
        help="Values of the masks from which a voxel is inside. Low takes solvent along.",
    )  # fmt: skip
    window: Angstrom = Param(
        "Window", 25.0, ge=8, le=200, advanced=True, when="method=windows", aliases=("sampling",),
        help="Diameter of the windows, with a soft edge as wide as their radius. Narrow ones are noisy, wide ones blur.",
    )  # fmt: skip
    window_step: Angstrom = Param(
        "Window step", 10.0, ge=2, le=100, advanced=True, when="method=windows", aliases=("locres_sampling",),
        help="Å between the windows' centres. Fine takes time, coarse leaves gaps to be interpolated.",
    )  # fmt: skip

    window_fsc: float = Param(
        "Correlation", 0.5, gt=0, lt=1, advanced=True, when="method=windows", aliases=("locres_thresh",),
        help="Correlation at which a window's resolution is read. At 0.143 what leaks in from finer parts beside it counts as its own.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        rows = rows_of(self.volume)
        box, pixel_size = grid_of(self.volume)
        halves = [name for name in ("half_map1_path", "half_map2_path") if rows and rows[0].get(name)]
        if len(halves) == 1:
            yield Hint("volume", f"has only one half map ({halves[0].removesuffix('_path')})")
        elif not halves and self.method == "windows":
            yield Hint("method", "windows compare half maps, which this map has not", fix="monogenic")
        elif not halves and self.use_half_maps:
            yield Hint("use_half_maps", "cannot be had, the map has no half maps: the noise will be the solvent's", fix=False, error=False)
        if self.high and self.low and self.high >= self.low:
            yield Hint("high", f"{self.high:g} Å is no finer than {self.low:g} Å, where the search begins", fix=0.0)
        if not (box and pixel_size):
            return
        if self.low is not None and self.low > box * pixel_size / FEW_SHELLS:
            yield Hint(
                "low",
                f"{self.low:g} Å is within {FEW_SHELLS} shells of the box, {box * pixel_size:.0f} Å",
                fix=round(box * pixel_size / 8, 1),
            )
        if self.low is not None and self.low <= 2 * pixel_size:
            yield Hint("low", f"{self.low:g} Å is no coarser than two voxels of {pixel_size:.4g} Å", fix=self.automatic().get("low"))
        for name in ("mask", "exclude", "coloured"):
            other = getattr(self, name)
            if other is not None and grid_of(other)[0] not in (0, box):
                yield Hint(name, f"has {grid_of(other)[0]} voxels a side, the map {box}")
            elif other is not None and abs((grid_of(other)[1] or pixel_size) / pixel_size - 1) > 0.005:
                yield Hint(name, f"has voxels of {grid_of(other)[1]:.4g} Å, the map of {pixel_size:.4g} Å")

    def automatic(self) -> Mapping[str, Any]:
        box, size = grid_of(self.volume)
        known = self.volume.meta.get("resolution")
        if not (size and known):
            return {"high": 2 * size} if size else {}
        return {"high": round(2 * size, 3), "low": round(min(COARSEST * float(known), box * size / FEW_SHELLS), 2)}

    def run(self, job: Job) -> LocalResolutions:
        import numpy as np
        import torch

        torch.set_num_threads(1)
        measured = measured_maps(self.volume, halves=self.method == "windows" or self.use_half_maps)
        box, size = len(measured.whole), measured.pixel_size
        inside = region_of(self.mask, measured, self.mask_threshold)
        left_out = region_of(self.exclude, measured, self.mask_threshold)
        for text in measured.warnings:
            job.warn(text)
        inside, outside = self._regions(job, measured, inside, left_out)
        overall = self._overall(measured, inside)
        low = min(self.low or (COARSEST * overall if overall else UNKNOWN), box * size / FEW_SHELLS)
        find = self._by_windows if self.method == "windows" else self._monogenic
        resolution, refined, steps = find(job, measured, inside, outside, max(low, 3 * size))
        if not refined.any():
            raise Failure(
                "no-resolution", "No voxel stands out from noise at any frequency tried.", "Check the mask, and that the map is not noise."
            )
        particle = self._particle(measured, refined, outside, overall or float(np.median(resolution[refined])))
        found = resolution[particle]
        counts, edges = np.histogram(found, np.arange(np.floor(found.min() / BIN), np.ceil(found.max() / BIN) + 2) * BIN)
        radii = np.arange(box // 2)
        profile = self._profile(resolution, particle, radii)
        told = {
            "pixel_size": size, "box_size": box, "density": False, "global_resolution": overall, "coarsest": low,
            "noise": "solvent" if measured.halves is None else "halves",
            **dict(zip(("quartile1", "median", "quartile3"), (float(each) for each in np.quantile(found, (0.25, 0.5, 0.75))), strict=True)),
            "mode": float(edges[counts.argmax()] + BIN / 2), "voxels": int(found.size),
            "voxels_of_mask": int(np.count_nonzero(refined)), "median_of_mask": float(np.median(resolution[refined])),
            "colour_limits": [float(each) for each in np.quantile(found, (0.02, 0.98))],
            "histogram": {"resolution": (edges[:-1] + BIN / 2).tolist(), "voxels": counts.tolist()}, "profile": profile, "steps": steps,
        }  # fmt: skip
        return self._written(job, measured, resolution, refined, told)

    def _regions(self, job: Job, measured: Measured, inside: Any, left_out: Any) -> tuple[Any, Any]:
        """Return where resolution is sought, and where noise is measured if not there."""
        import numpy as np
        import torch
        from scipy import ndimage

        from cryoloom.numerics.localres.regions import automatic_mask, outside_variance, reconstructed, trimmed_mask

        known = reconstructed(measured.whole)
        inside = automatic_mask(measured.whole) if inside is None else inside
        if left_out is not None:
            inside, known = inside & ~left_out, known & ~left_out
        if outside_variance(measured.whole, inside) < CUT_OFF:
            job.warn(
                "There is next to no noise outside of the mask: the map was masked, or sharpened and low-passed. Give unfiltered half maps."
            )
        inside = inside & known
        outside = known & ~np.asarray(ndimage.maximum_filter(inside, size=2 * GAP + 1), np.bool_)
        if not inside.any():
            raise Failure("mask-empty", "Nothing of the mask lies in the sphere that the box holds.", "Check that mask and map fit.")
        if measured.halves is None or not self.noise_inside:
            if np.count_nonzero(outside) < 1000:
                raise Failure(
                    "no-solvent", "The mask leaves no solvent whose noise could be measured.", "Give a tighter mask, or half maps."
                )
            inside = trimmed_mask(torch.fft.rfftn(torch.from_numpy(measured.whole)), inside, outside)
        return inside, outside

    @staticmethod
    def _particle(measured: Measured, refined: Any, outside: Any, resolution: float) -> Any:
        """Return the voxels that the figures are of: those that hold specimen, and not the solvent of a wide mask."""
        import numpy as np

        from cryoloom.numerics.localres.regions import specimen

        noise = None if measured.halves is None else (measured.halves[0] - measured.halves[1]) / np.float32(2)
        found = specimen(measured.whole, noise, refined, outside, resolution / measured.pixel_size)
        return found if found.any() else refined

    def _monogenic(self, job: Job, measured: Measured, inside: Any, outside: Any, low: float) -> tuple[Any, Any, dict[str, list[Any]]]:
        import torch

        from cryoloom.numerics.localres.monores import STEP_COLUMNS, MonoRes, shells_between
        from cryoloom.numerics.localres.regions import solvent_alone

        if measured.halves is None:
            noise, support = solvent_alone(measured.whole, outside)
            quiet = outside
        else:
            noise, support = (measured.halves[0] - measured.halves[1]) / 2, 1.0
            quiet = inside if self.noise_inside else inside | outside
        signal, noise = (torch.fft.rfftn(torch.from_numpy(each)) for each in (measured.whole, noise))
        shells = shells_between(len(inside), measured.pixel_size, low, self.high or 0.0, self.step)
        search = MonoRes(
            signal, noise, inside, quiet, measured.pixel_size, shells, self.significance, self.gaussian_noise, support, job.threads
        )  # fmt: skip
        state = job.iterate(search.start, search.step, done=search.done, name="frequencies", total=len(shells))
        resolution, refined = search.finished(state)
        return resolution, refined, {name: [row[number] for row in state["steps"]] for number, name in enumerate(STEP_COLUMNS)}

    def _by_windows(self, job: Job, measured: Measured, inside: Any, outside: Any, low: float) -> tuple[Any, Any, dict[str, list[Any]]]:
        from cryoloom.numerics.localres.windows import Windows, windowed_resolution

        assert measured.halves is not None, "`check` demands them"
        windows = Windows(self.window / 2, self.window_step, self.high or 0.0, low, self.window_fsc)
        resolution, count = windowed_resolution(
            *measured.halves, inside, measured.pixel_size, windows, seed=job.seed, threads=job.threads, tell=job.progress
        )  # fmt: skip
        return resolution, resolution > 0, {"windows": [count]}

    def _overall(self, measured: Measured, inside: Any) -> float | None:
        """Return the resolution of the whole: as it is known, or by the half maps under a soft mask."""
        import numpy as np
        from scipy import ndimage

        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at

        if known := self.volume.meta.get("resolution"):
            return float(known)
        if measured.halves is None:
            return None
        soft = np.asarray(ndimage.gaussian_filter(inside.astype(np.float32), 4.0), np.float32)
        curve = fourier_shell_correlation(*(half * soft for half in measured.halves))
        return resolution_at(curve, 0.143, len(inside), measured.pixel_size)

    @staticmethod
    def _profile(resolution: Any, inside: Any, radii: Any) -> dict[str, list[float]]:
        import numpy as np

        from cryoloom.numerics.masks.soft import radius_from_centre

        shell = np.rint(radius_from_centre(len(inside)))[inside].astype(np.int64)
        order = np.argsort(shell, kind="stable")
        groups = np.split(resolution[inside][order], np.searchsorted(shell[order], radii[1:]))
        quartiles = [np.quantile(each, (0.25, 0.5, 0.75)) if each.size >= 20 else np.full(3, np.nan) for each in groups]
        there = [number for number, each in enumerate(quartiles) if np.isfinite(each[0])]
        columns = {
            name: [float(quartiles[number][place]) for number in there] for place, name in enumerate(("quartile1", "median", "quartile3"))
        }
        return {"radius": [float(radii[number]) for number in there], **columns}

    def _written(self, job: Job, measured: Measured, resolution: Any, refined: Any, told: dict[str, Any]) -> LocalResolutions:
        import numpy as np

        size, origin, box = measured.pixel_size, measured.origin, len(resolution)
        shown = stored_map(self.coloured, rows_of(self.coloured)[0]) if self.coloured else stored_map(self.volume, rows_of(self.volume)[0])
        filled = np.where(refined, resolution, np.float32(told["median"]))
        maps = {"volume_path": resolution, "painter_path": filled, "coloured_path": shown.data}
        names = {"volume_path": "resolution.mrc", "painter_path": "resolution_filled.mrc", "coloured_path": "coloured.mrc"}
        for column, data in maps.items():
            write_mrc(job.output(names[column]), data, size, volume=True, origin=origin)
        write_mrc(job.output("mask.mrc"), refined.astype(np.float32), size, volume=True, origin=origin)
        level = surface_level(shown.data)
        inside = filled[refined & (shown.data >= level)]
        low, high = (float(each) for each in np.quantile(inside, (0.02, 0.98))) if len(inside) else told["colour_limits"]
        told["surface_limits"] = [low, high]
        scene = Scene(names["coloured_path"], size, box, level, names["painter_path"], (low, high))
        script = scene.write(job.output("local_resolution.cxc"))
        paths = {column: [job.output(name).relative_to(job.root).as_posix()] for column, name in names.items()}
        items = pl.DataFrame({"id": [1], "box_size": [box], **paths, "script_path": [script.relative_to(job.root).as_posix()]})
        mask = pl.DataFrame({"id": [1], "box_size": [box], "mask_path": [job.output("mask.mrc").relative_to(job.root).as_posix()]})
        return LocalResolutions(Volume(items, job.root, meta=told), Mask(mask, job.root, meta={"pixel_size": size, "box_size": box}))

    def summary(self, out: LocalResolutions) -> Mapping[str, Any]:
        meta = out.volume.meta
        told = {
            "median (Å)": round(meta["median"], 2), "quartiles (Å)": f"{meta['quartile1']:.2f} to {meta['quartile3']:.2f}",
            "mode (Å)": round(meta["mode"], 2), "voxels of the specimen": meta["voxels"], "of the mask": meta["voxels_of_mask"],
        }  # fmt: skip
        return told | ({"whole map (Å)": round(meta["global_resolution"], 2)} if meta["global_resolution"] else {})

    def methods(self, out: LocalResolutions) -> str:
        meta = out.volume.meta
        how = {
            "monogenic": f"by the local power of the monogenic signal (MonoRes) against the noise of "
            f"{'the half maps' if meta['noise'] == 'halves' else 'the solvent'} at a significance of {self.significance:g}",
            "windows": f"by the Fourier shell correlation of the half maps in windows of {self.window:g} Å",
        }[self.method]
        return (
            f"Local resolution was measured {how}; of the voxels of the mask that hold density, "
            f"half are resolved to between {meta['quartile1']:.1f} and {meta['quartile3']:.1f} Å."
        )

    def report(self, out: LocalResolutions) -> list[Panel]:
        maps = {
            name: read_mrc(out.volume.file(out.volume.items.item(0, name))).data
            for name in ("volume_path", "painter_path", "coloured_path")
        }
        return resolution_panels(maps["volume_path"], maps["painter_path"], maps["coloured_path"], out.volume.meta)
