"""micrographs.preprocess: micrographs made fit for picking, in a fixed order of operations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import model_validator

from cryoloom.data import Micrographs
from cryoloom.report.panels import Histogram, ImageGrid, MarkedImage, TableView
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Pixels, Sigmas

if TYPE_CHECKING:
    from cryoloom.numerics.micrographs.bands import Band

IMAGES = {"micrograph_path": ".mrc", "weighted_path": "_DW.mrc"}
"""Columns of a micrograph's images, and how the files of the new ones end."""

SWITCHES = {
    "crop": ("crop_pixels",), "logarithm": ("log_a", "log_b", "log_c"), "remove_bad_pixels": ("bad_sigmas",), "downsample": ("bin_factor",),
    "denoise": ("max_iterations",), "smooth": ("smooth_sigma",), "high_pass": ("high_cutoff", "high_width"), "low_pass": ("low_cutoff", "low_width"),
}  # fmt: skip
"""Operations, and the values that turn them on when they are given alone."""

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Of downsampling, shown to choose from."""


@dataclass(frozen=True)
class Preprocessed(Outputs):
    micrographs: Micrographs


@dataclass(frozen=True)
class Treated:
    """An image ``(h, w)``, and what happened on the way: pixels replaced, pixels outside of the logarithm, no contrast to normalise."""

    image: Any
    replaced: int
    clamped: int
    flat: bool


class Preprocess(
    Protocol,
    id="micrographs.preprocess",
    outputs=Preprocessed,
    cite=("10.1016/0167-2789(92)90242-F", "10.1109/TIP.2009.2028250"),
    aliases=("XmippProtPreprocessMicrographs",),
    streams="micrographs",
):
    """Crop, take the logarithm, replace bad pixels, invert, downsample, denoise, smooth, filter and normalise, always in this order.

    A micrograph keeps its id, so CTFs of the originals are theirs too, and what is picked here is extracted from the originals: pixel size and
    cropped borders are taken into account. Both sums are treated, the dose-weighted and the other one.
    """

    micrographs: Micrographs = Input("Micrographs", help="Aligned micrographs.", aliases=("inputMicrographs",))
    crop: bool = Param("Crop borders", False, group="Pixels", aliases=("doCrop",), help="Cut off all four sides. Too much loses particles.")
    crop_pixels: Pixels = Param(
        "Pixels to crop", 10, ge=0, group="Pixels", when="crop", aliases=("cropPixels",), help="From each side. Too many lose particles."
    )
    logarithm: bool = Param(
        "Take the logarithm", False, group="Pixels", aliases=("doLog",),
        help="a − b ln(x + c), which makes a scanned film's transmission a density. Images of cameras need none and lose their scale.",
    )  # fmt: skip
    log_a: float = Param("a", 4.431, group="Pixels", when="logarithm", aliases=("logA",), help="Offset of the scanner's curve.")
    log_b: float = Param("b", 0.402, group="Pixels", when="logarithm", aliases=("logB",), help="Slope of the curve. 0 makes images flat.")
    log_c: float = Param(
        "c", 336.6, group="Pixels", when="logarithm", aliases=("logC",),
        help="Added to pixels first. Pixels that stay at 0 or below are taken for the lowest above it, and counted.",
    )  # fmt: skip
    remove_bad_pixels: bool = Param(
        "Remove bad pixels", False, group="Pixels", aliases=("doRemoveBadPix",),
        help="Replace outliers by the median of their surroundings. Left in, hot pixels are picked and dominate averages.",
    )  # fmt: skip
    bad_sigmas: Sigmas = Param(
        "Bad beyond", 5.0, gt=1, group="Pixels", when="remove_bad_pixels", aliases=("mulStddev",),
        help="Robust standard deviations from the median. Below 4, good pixels go too.",
    )  # fmt: skip
    invert: bool = Param(
        "Invert contrast", False, group="Pixels", aliases=("doInvert",),
        help="Make protein bright. Steps that expect dark protein must be told, or they find what lies between particles.",
    )  # fmt: skip
    downsample: bool = Param(
        "Downsample", False, group="Size", aliases=("doDownsample",),
        help="Make the micrograph smaller by cropping its transform. Detail finer than twice the new pixel is lost.",
    )  # fmt: skip
    bin_factor: float = Param(
        "Factor", 2.0, ge=1, le=64, group="Size", when="downsample", aliases=("downFactor",), wizard="downsampling",
        help="Any number. The nearest fraction is used, within 0.01 %, and the pixel size recorded is exactly its. Too large loses detail.",
    )  # fmt: skip
    denoise: bool = Param(
        "Denoise", False, group="Filters", aliases=("doDenoise",),
        help="The nearest image of small total variation: flat regions with sharp edges. For the eye and for picking: it invents no detail but removes it.",
    )  # fmt: skip
    max_iterations: int = Param(
        "Iterations", 50, ge=1, le=10000, group="Filters", when="denoise", aliases=("maxIteration",),
        help="The most; it ends when the image settles. Too few leave noise.",
    )  # fmt: skip
    smooth: bool = Param("Smooth", False, group="Filters", aliases=("doSmooth",), help="Convolve with a Gaussian. Fine detail is lost.")
    smooth_sigma: float = Param(
        "Gaussian σ", 2.0, gt=0, le=1000, group="Filters", when="smooth", aliases=("sigmaConvolution",),
        help="In pixels of the downsampled image. A large one blurs particles into each other.",
    )  # fmt: skip
    high_pass: bool = Param(
        "High-pass", False, group="Filters", aliases=("doHighPass",),
        help="Take slow changes away, such as the thickness of ice; the mean becomes 0. Too fine a cutoff takes the particles' contrast.",
    )  # fmt: skip
    high_cutoff: float = Param(
        "High-pass cutoff", 0.002, gt=0, le=0.5, group="Filters", when="high_pass", aliases=("highCutoff",),
        help="In cycles a pixel, 0.5 is Nyquist. Finer detail is kept whole; too fine a cutoff takes the particles' contrast.",
    )  # fmt: skip
    high_width: float = Param(
        "High-pass width", 0.001, gt=0, le=0.5, group="Filters", when="high_pass", advanced=True, aliases=("highRaised",),
        help="Of the raised cosine below the cutoff. A narrow one rings.",
    )  # fmt: skip
    low_pass: bool = Param(
        "Low-pass",
        False,
        group="Filters",
        aliases=("doLowPass",),
        help="Take fine detail away, mostly noise. With a high-pass: a band-pass.",
    )
    low_cutoff: float = Param(
        "Low-pass cutoff", 0.4, gt=0, le=0.5, group="Filters", when="low_pass", aliases=("lowCutoff",),
        help="In cycles a pixel, 0.5 is Nyquist. Coarser detail is kept whole; too coarse a cutoff blurs particles.",
    )  # fmt: skip
    low_width: float = Param(
        "Low-pass width", 0.001, gt=0, le=0.5, group="Filters", when="low_pass", advanced=True, aliases=("lowRaised",),
        help="Of the raised cosine above the cutoff. A narrow one rings.",
    )  # fmt: skip
    normalise: bool = Param(
        "Normalise", False, group="Pixels", aliases=("doNormalize",), help="Mean 0 and standard deviation 1. Counts are lost."
    )

    @model_validator(mode="before")
    @classmethod
    def _given_alone(cls, given: Any) -> Any:
        """Turn an operation on whose value is given and which is not mentioned: `bin_factor` = 3 means to downsample."""
        if not isinstance(given, dict):
            return given
        return {name: True for name, values in SWITCHES.items() if name not in given and any(value in given for value in values)} | given

    def check(self) -> Iterator[Hint]:
        if not (self.invert or self.normalise or any(getattr(self, name) for name in SWITCHES)):
            yield Hint("downsample", "and all other operations are off: there is nothing to do", fix=True)
        if self.high_pass and self.low_pass and self.high_cutoff >= self.low_cutoff:
            yield Hint("low_cutoff", f"must be above high_cutoff = {self.high_cutoff:g}; got {self.low_cutoff:g}", fix=0.4)
        if self.crop:
            sides = self.micrographs.items.filter("enabled").select(pl.min_horizontal("width", "height")).to_series()
            shortest = int(sides.min() or 0)  # pyright: ignore[reportArgumentType]
            if sides.len() and 2 * self.crop_pixels >= shortest:
                yield Hint("crop_pixels", f"of {self.crop_pixels} px at each side leave nothing of {shortest} px", fix=(shortest - 1) // 4)
        if self.invert and any(group.get("contrast") == "bright" for group in self.micrographs.optics):
            yield Hint("invert", "makes protein dark again: these micrographs are inverted already", error=False)

    def preview(self) -> Mapping[str, int | float | str]:
        """Return the pixel size, the Nyquist resolution and the size for some factors of downsampling."""
        first = self.micrographs.items.row(0, named=True)
        size = next(float(group["pixel_size"]) for group in self.micrographs.optics if group["optics_group"] == first["optics_group"])
        cut = 2 * self.crop_pixels if self.crop else 0
        told = {}
        for factor in sorted({*FACTORS, self.bin_factor}):
            ratio = _ratio(factor)
            width, height = (int((first[side] - cut) / ratio) for side in ("width", "height"))
            told[f"factor {factor:g}"] = f"{size * float(ratio):.5g} Å/px, to {2 * size * float(ratio):.4g} Å, {width} × {height} px"
        return told

    def run(self, job: Job) -> Preprocessed:
        result = job.map(self.alone().prepare, self.micrographs, name="micrographs")
        rows = result.rows.with_columns(pl.col("weighted_path").cast(pl.String))
        if clamped := int(rows["clamped_pixels"].sum()):
            job.warn(f"{clamped} pixels were 0 or below when {self.log_c:g} was added, and were taken for the lowest above it.")
        if flat := rows.filter("flat").height:
            job.warn(f"{flat} micrographs are the same everywhere and were normalised to 0.")
        if self.invert and any(group["contrast"] == "bright" for group in self._optics()):
            job.warn("Protein is bright in these micrographs: pick with --bright, and extract from the originals or with --no-invert.")
        own = [name for name in rows.columns if name != "id"]
        items = self.micrographs.items.drop("psd_path", *own, strict=False).join(rows, on="id", how="left", maintain_order="left")
        items = items.drop("flat").with_columns(pl.col("width", "height").fill_null(0), pl.col("micrograph_path").fill_null(""))
        micrographs = Micrographs(items, job.root, optics=self._optics(), meta=self.micrographs.meta)
        return Preprocessed(micrographs.disable(result.failed) if result.failed else micrographs)

    def _optics(self) -> list[dict[str, Any]]:
        """Return the groups with the new pixel size and contrast, and where the new first pixel lies in the micrograph as recorded, Å."""
        factor, cut = float(_ratio(self.bin_factor)) if self.downsample else 1.0, self.crop_pixels if self.crop else 0
        groups = []
        for group in self.micrographs.optics:
            size = group["pixel_size"]
            moved = {f"offset_{axis}": group.get(f"offset_{axis}", 0.0) + cut * size for axis in "xy"} if cut else {}
            turned = {"contrast": "dark" if group.get("contrast") == "bright" else "bright"} if self.invert else {}
            groups.append({**group, "pixel_size": size * factor, **moved, **turned})
        return groups

    def prepare(self, item: Item) -> Mapping[str, Any]:
        """Treat the images of one micrograph."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc, write_mrc

        torch.set_num_threads(1)
        size = item["pixel_size"] * (float(_ratio(self.bin_factor)) if self.downsample else 1.0)
        told: dict[str, Any] = {"weighted_path": None, "flat": False, "replaced_pixels": 0, "clamped_pixels": 0}
        for column, ending in IMAGES.items():
            if not item.row.get(column):
                continue
            image = np.ascontiguousarray(np.squeeze(read_mrc(item.file(column)).data), dtype=np.float32)
            if not np.isfinite(image).all():
                raise Failure(
                    "micrograph-nan", f"{item['micrograph_name']}: {np.count_nonzero(~np.isfinite(image))} pixels are not numbers."
                )
            try:
                done = self.treated(image)
            except ValueError as error:
                raise Failure("micrograph-unfit", f"{item['micrograph_name']}: {error}.", "Change what is done to it.") from error
            told[column] = item.output(ending)
            write_mrc(told[column], done.image, size)
            told |= {"width": done.image.shape[1], "height": done.image.shape[0], "flat": done.flat or told["flat"]}
            told["replaced_pixels"] = max(told["replaced_pixels"], done.replaced)
            told["clamped_pixels"] = max(told["clamped_pixels"], done.clamped)
        return told

    def treated(self, image: Any) -> Treated:
        """Return an image after all operations that are on, in their order.

        Raises
        ------
        ValueError
            When nothing would be left of it.
        """
        from cryoloom.numerics.micrographs.bands import resized
        from cryoloom.numerics.micrographs.pixels import bad_pixels, normalised, replace_pixels, scanner_curve

        clamped = replaced = 0
        if self.crop and self.crop_pixels:
            cut = self.crop_pixels
            if 2 * cut >= min(image.shape):
                raise ValueError(f"{cut} px cropped at each side leave nothing of {image.shape[1]} × {image.shape[0]} px")
            image = image[cut:-cut, cut:-cut]
        if self.logarithm:
            image, clamped = scanner_curve(image, self.log_a, self.log_b, self.log_c)
        if self.remove_bad_pixels:
            bad = bad_pixels(image, self.bad_sigmas)
            image, replaced = replace_pixels(image, bad), int(bad.sum())
        if self.invert:
            image = -image
        ratio, band = _ratio(self.bin_factor if self.downsample else 1.0), self._band()
        if min(image.shape) < ratio:
            raise ValueError(f"downsampling by {self.bin_factor:g} leaves nothing of {image.shape[1]} × {image.shape[0]} px")
        if self.denoise:
            from cryoloom.numerics.micrographs.variation import denoise

            image, _ = denoise(resized(image, ratio), self.max_iterations)
            ratio = _ratio(1.0)
        image = resized(image, ratio, band)
        flat = False
        if self.normalise:
            image, contrast = normalised(image)
            flat = not contrast
        return Treated(image, replaced, clamped, flat)

    def _band(self) -> "Band":
        from cryoloom.numerics.micrographs.bands import Band, Edge

        return Band(
            sigma=self.smooth_sigma if self.smooth else 0.0,
            high=Edge(self.high_cutoff, self.high_width) if self.high_pass else None,
            low=Edge(self.low_cutoff, self.low_width) if self.low_pass else None,
        )

    def summary(self, out: Preprocessed) -> Mapping[str, Any]:
        good = out.micrographs.enabled()
        sizes = sorted(set(good.select("width", "height").rows()))
        summary: dict[str, Any] = {
            "micrographs": good.height,
            "failed": len(out.micrographs) - good.height,
            "size (px)": ", ".join(f"{width} × {height}" for width, height in sizes),
            "pixel size (Å)": round(out.micrographs.optics[0]["pixel_size"], 4),
            "done": ", ".join(self._done()),
        }
        if self.remove_bad_pixels and good.height:
            summary["bad pixels a micrograph"] = int(good["replaced_pixels"].median() or 0)  # pyright: ignore[reportArgumentType]
        return summary

    def _done(self) -> list[str]:
        """Return what was done, in order, in a few words each."""
        words = {
            "crop": f"cropped by {self.crop_pixels} px",
            "logarithm": f"{self.log_a:g} − {self.log_b:g} ln(x + {self.log_c:g})",
            "remove_bad_pixels": f"pixels beyond {self.bad_sigmas:g} σ replaced",
            "invert": "inverted",
            "downsample": f"downsampled by {self.bin_factor:g}",
            "denoise": "denoised by total variation",
            "smooth": f"smoothed with a Gaussian of {self.smooth_sigma:g} px",
            "high_pass": f"high-passed at {self.high_cutoff:g} cycles/px",
            "low_pass": f"low-passed at {self.low_cutoff:g} cycles/px",
            "normalise": "normalised",
        }
        return [told for name, told in words.items() if getattr(self, name)]

    def methods(self, out: Preprocessed) -> str:
        size = out.micrographs.optics[0]["pixel_size"]
        return f"{out.micrographs.enabled().height} micrographs were preprocessed ({', '.join(self._done())}), which gave {size:.4g} Å/px."

    def report(self, out: Preprocessed) -> list[Panel]:
        import numpy as np

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.micrographs.pixels import bad_pixels

        rows = out.micrographs.enabled()
        if not rows.height:
            return []
        row = rows.sort("replaced_pixels", maintain_order=True).row(rows.height // 2, named=True)
        column = "weighted_path" if row["weighted_path"] else "micrograph_path"
        parent = self.micrographs.items.row(by_predicate=pl.col("id") == row["id"], named=True)
        before, after = (np.squeeze(read_mrc(self.micrographs.file(path)).data) for path in (parent[column], row[column]))
        panels: list[Panel] = [
            ImageGrid(title=f"{row['micrograph_name']} before and after", images=[before, after], captions=["before", "after"], size=330),
            Histogram(
                title="Before", values=before.ravel()[:: max(1, before.size // 100_000)].tolist(), label="value of a pixel", bins=100
            ),
            Histogram(title="After", values=after.ravel()[:: max(1, after.size // 100_000)].tolist(), label="value of a pixel", bins=100),
        ]
        if self.remove_bad_pixels and not self.logarithm:
            cut = self.crop_pixels if self.crop else 0
            y, x = np.nonzero(
                bad_pixels(
                    np.ascontiguousarray(before[cut : before.shape[0] - cut, cut : before.shape[1] - cut], np.float32), self.bad_sigmas
                )
            )
            panels.append(
                MarkedImage(
                    title="Replaced pixels", image=before, x=(x[:2000] + cut).tolist(), y=(y[:2000] + cut).tolist(), radius=max(before.shape) / 150,
                    caption=f"{len(x)} pixels of {row['micrograph_name']}; single ones are the camera's, a field of them is not.",
                )
            )  # fmt: skip
        columns = ("micrograph_name", "width", "height", "replaced_pixels", "enabled", "fail_reason")
        return [*panels, TableView(title="Micrographs", columns={name: out.micrographs.items[name].to_list() for name in columns})]


def _ratio(factor: float) -> Any:
    from cryoloom.numerics.fourier.ratios import exact_ratio

    return exact_ratio(factor)
