"""ctf.estimate: defocus, astigmatism and fit resolution of every micrograph."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import CTFs, Micrographs
from cryoloom.report.panels import Histogram, ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees, Pixels

if TYPE_CHECKING:
    from cryoloom.numerics.ctf.estimate import Settings

FINE = 4.0
"""Å to which spectra are fitted unless asked otherwise, or to Nyquist: just short of the spots of ice crystals."""

RESAMPLED = 1.4
"""Å/px: spectra of finer micrographs are kept to this only, as no ring is seen beyond."""


@dataclass(frozen=True)
class Estimated(Outputs):
    ctfs: CTFs


class CTFEstimate(
    Protocol,
    id="ctf.estimate",
    outputs=Estimated,
    cite=("10.1016/S1047-8477(03)00069-8", "10.1016/j.jsb.2015.08.008"),
    aliases=("CistemProtCTFFind", "ProtCTFFind"),
    streams="micrographs",
):
    """Fit the Thon rings in the spectrum of each whole micrograph: an exhaustive search, then least squares with background and decay.

    Micrographs without a believable fit stay in the set, disabled, with the reason.
    """

    micrographs: Micrographs = Input(
        "Micrographs", help="Aligned micrographs. Their unweighted sums are used, which keep the rings that dose weighting takes away."
    )
    bin_factor: float = Param(
        "Downsampling", 1.0, ge=1, le=16, aliases=("ctfDownFactor",),
        help="Of the spectrum only: its fine end is dropped. So large that rings lie beyond the new Nyquist frequency, precision is lost.",
    )  # fmt: skip
    low_res: Angstrom = Param(
        "Coarse limit", 30.0, gt=0, group="Band", wizard="psd-band", aliases=("lowRes",),
        help="Where the fit begins; a value below 0.5 is a fraction of the (downsampled) sampling rate, as in Scipion. "
        "Too coarse and the shape of particles is taken for rings.",
    )  # fmt: skip
    high_res: Angstrom = Param(
        "Fine limit", FINE, gt=0, group="Band", wizard="psd-band", aliases=("highRes",),
        help="Where the fit ends, in Å or, below 0.5, as a fraction of the sampling rate; never beyond Nyquist. Too coarse costs precision.",
    )  # fmt: skip
    min_defocus: Angstrom = Param(
        "Least defocus", 3000.0, ge=0, group="Search", aliases=("minDefocus",),
        help="Underfocus searched from here; a value below 100 is taken as µm. Micrographs outside of the range are disabled.",
    )  # fmt: skip
    max_defocus: Angstrom = Param(
        "Greatest defocus", 50000.0, gt=0, group="Search", aliases=("maxDefocus",),
        help="Underfocus searched to here; a value below 100 is taken as µm. Micrographs outside of the range are disabled.",
    )  # fmt: skip
    defocus_step: Angstrom = Param(
        "Defocus step", 100.0, gt=0, group="Search", advanced=True, aliases=("stepDefocus",),
        help="Of the search; refined by itself where a ring would slip between two nodes, so a coarse one costs nothing.",
    )  # fmt: skip
    astigmatism: Angstrom = Param(
        "Expected astigmatism", 400.0, group="Search", advanced=True, aliases=("tolerated_astigmatism",),
        help="Soft restraint on the difference of the two defoci, zero or negative for none. Too small a value hides weak astigmatism.",
    )  # fmt: skip
    slow_search: bool = Param(
        "Exhaustive search", True, group="Search", advanced=True, aliases=("slowSearch", "exhaustive"),
        help="Search all astigmatisms to 3000 Å at all angles, not only no astigmatism. Without it, strongly astigmatic micrographs fail.",
    )  # fmt: skip
    window: Pixels = Param(
        "Spectrum window", 512, ge=64, le=4096, multiple_of=2, advanced=True, aliases=("windowSize",),
        help="Rows of the spectrum by which a fit is judged and shown; smaller micrographs get smaller ones. Too small a window blurs the rings of "
        "large defoci there; the fit itself is made to the spectrum of the whole micrograph.",
    )  # fmt: skip
    resample: bool = Param(
        "Resample to 1.4 Å", True, advanced=True, aliases=("resamplePix",),
        help="Keep the spectra of finer micrographs to 2.8 Å only. Without it the window covers less of them and blurs their rings.",
    )  # fmt: skip
    find_phase_shift: bool = Param(
        "Phase plate", False, group="Phase plate", aliases=("findPhaseShift",),
        help="Fit a phase shift as well. Without a plate it only costs precision of the defocus.",
    )  # fmt: skip
    min_phase_shift: Degrees = Param(
        "Least shift", 0.0, ge=0, le=180, group="Phase plate", when="find_phase_shift", advanced=True,
        help="Phase shift searched from here. What the search does not begin near, it may miss.",
    )  # fmt: skip
    max_phase_shift: Degrees = Param(
        "Greatest shift", 180.0, ge=0, le=180, group="Phase plate", when="find_phase_shift", advanced=True,
        help="Phase shift searched to here. What the search does not begin near, it may miss.",
    )  # fmt: skip
    phase_shift_step: Degrees = Param(
        "Shift step", 10.0, gt=0, le=90, group="Phase plate", when="find_phase_shift", advanced=True,
        help="Of the search; the shift is refined after it. Steps above 30° may miss the right one.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        low, high = (self._angstrom(value, self._finest_pixel()) for value in (self.low_res, self.high_res))
        if high >= low:
            yield Hint("high_res", f"must be finer than low_res = {low:.3g} Å; got {high:.3g} Å", fix=round(low / 6, 1))
        elif 2 * self._finest_pixel() * self.bin_factor >= 0.7 * low:
            yield Hint("bin_factor", f"leaves no rings between low_res = {low:.3g} Å and the new Nyquist frequency", fix=1.0)
        if _defocus(self.min_defocus) >= _defocus(self.max_defocus):
            yield Hint("max_defocus", f"must be above min_defocus = {self.min_defocus:g}; got {self.max_defocus:g}", fix=50000.0)
        if self.find_phase_shift and self.min_phase_shift >= self.max_phase_shift:
            yield Hint("max_phase_shift", f"must be above min_phase_shift = {self.min_phase_shift:g}°", fix=180.0)
        for group in self.micrographs.optics:
            for name, least in (("pixel_size", 1e-6), ("voltage", 1e-6), ("cs", 0.0)):
                if not group[name] >= least:
                    yield Hint("micrographs", f"optics group {group['optics_group']} says {name} = {group[name]}: import them anew")

    def run(self, job: Job) -> Estimated:
        nyquist = max((2 * group["pixel_size"] * self.bin_factor for group in self.micrographs.optics), default=0.0)
        if 0.5 <= self.high_res < nyquist and self.high_res != FINE:
            job.warn(f"The fine limit of {self.high_res:g} Å lies beyond Nyquist; {nyquist:.3g} Å is used.")
        result = job.map(self.estimate, self.micrographs)
        kept = ("id", "micrograph_name", "optics_group", "enabled", "fail_reason")
        items = self.micrographs.items.select(*kept, micrograph_id="id")
        items = items.join(result.rows.drop("doubt", "faint"), on="id", how="left", maintain_order="left")
        doubts = dict(result.rows.filter(pl.col("doubt") != "").select("id", "doubt").rows())
        if doubts:
            job.warn(f"{len(doubts)} of {result.rows.height} micrographs have no believable fit and are disabled, with the reason.")
        faint = result.rows.filter(pl.col("faint") & (pl.col("doubt") == ""))
        if faint.height:
            job.warn(
                f"{faint.height} micrographs show rings too faint to tell how far their fit holds. Their defocus is right to some hundred Å, enough "
                f"for detail of 10 Å; to leave them out, select ctf_resolution < {faint['ctf_resolution'].min():.4g}."
            )
        aliased = result.rows.filter(pl.col("ctf_aliasing") > pl.col("ctf_resolution")).height
        if aliased > result.rows.height / 2:
            job.warn(f"The rings of {aliased} micrographs are narrower than 4 px of the spectrum: a window above {self.window} shows more.")
        return Estimated(CTFs(items, job.root, optics=self.micrographs.optics).disable({**result.failed, **doubts}))

    def estimate(self, item: Item) -> Mapping[str, Any]:
        """Fit one micrograph."""
        import numpy as np

        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.ctf.estimate import estimate_ctf
        from cryoloom.numerics.ctf.picture import spectrum_picture
        from cryoloom.numerics.ctf.rings import Optics

        optics = Optics(item["voltage"], item["cs"], item["amplitude_contrast"])
        settings = self._settings(item["pixel_size"])
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        found = estimate_ctf(image, item["pixel_size"], optics, settings)
        ctf, curves = found.ctf, found.curves
        picture = spectrum_picture(found.spectrum, ctf, optics, settings.low_res, settings.high_res)
        path = item.output("_psd.mrc")
        write_mrc(path, np.rint(127 * picture), 1 / (found.spectrum.step * len(picture)), mode=0)
        return {
            "defocus_u": ctf.mean + ctf.astigmatism / 2,
            "defocus_v": ctf.mean - ctf.astigmatism / 2,
            "defocus_angle": ctf.angle,
            "phase_shift": math.degrees(ctf.plate),
            "astigmatism": ctf.astigmatism,
            "defocus_error": float(found.error[0]),
            "ctf_score": found.score,
            "ctf_resolution": curves.resolution,
            "ctf_aliasing": curves.aliased,
            "psd_path": path,
            "ctf_frequency": curves.frequency.tolist(),
            "ctf_rotational": curves.rotational.tolist(),
            "ctf_equiphase": curves.equiphase.tolist(),
            "ctf_fit": curves.fit.tolist(),
            "ctf_quality": curves.quality.tolist(),
            "doubt": "; ".join(found.doubts),
            "faint": found.faint,
        }

    def _settings(self, pixel_size: float) -> "Settings":
        from cryoloom.numerics.ctf.estimate import Settings

        plates = None
        if self.find_phase_shift:
            count = math.ceil((self.max_phase_shift - self.min_phase_shift) / self.phase_shift_step) + 1
            step = (self.max_phase_shift - self.min_phase_shift) / (count - 1)
            plates = tuple(math.radians(self.min_phase_shift + step * number) for number in range(count))
        return Settings(
            low_res=self._angstrom(self.low_res, pixel_size),
            high_res=self._angstrom(self.high_res, pixel_size),
            min_defocus=_defocus(self.min_defocus),
            max_defocus=_defocus(self.max_defocus),
            defocus_step=self.defocus_step,
            astigmatism=self.astigmatism,
            plates=plates,
            window=self.window,
            spectral_pixel=max(pixel_size * self.bin_factor, RESAMPLED if self.resample else 0.0),
            exhaustive=self.slow_search,
        )

    def _finest_pixel(self) -> float:
        return min((float(group["pixel_size"]) for group in self.micrographs.optics), default=1.0)

    def _angstrom(self, limit: float, pixel_size: float) -> float:
        """Return a limit of the band in Å; fractions of the sampling rate are at most 50 Å coarse, as in Scipion's forms."""
        return limit if limit >= 0.5 else min(pixel_size * self.bin_factor / limit, 50.0)

    def summary(self, out: Estimated) -> Mapping[str, Any]:
        good = out.ctfs.enabled().filter(pl.col("defocus_u").is_not_null())
        mean = 0.5 * (good["defocus_u"] + good["defocus_v"])
        summary: dict[str, Any] = {"micrographs": good.height}
        if good.height:
            low, high = mean.to_numpy().min(), mean.to_numpy().max()
            summary["defocus (µm)"] = f"{low / 1e4:.2f} to {high / 1e4:.2f}"
            for column, label, digits in (("astigmatism", "median astigmatism (Å)", 0), ("ctf_resolution", "median fit resolution (Å)", 2)):
                summary[label] = round(float(good.select(pl.col(column).median()).item()), digits)
        if len(out.ctfs) > good.height:
            summary["without a believable fit"] = len(out.ctfs) - good.height
        return summary

    def methods(self, out: Estimated) -> str:
        good = out.ctfs.enabled().filter(pl.col("defocus_u").is_not_null())
        told = f"The contrast transfer function was fitted to spectra of {self.window} px between {self.low_res:g} and {self.high_res:g} Å."
        if not good.height:
            return told
        mean = (0.5 * (good["defocus_u"] + good["defocus_v"])).to_numpy() / 1e4
        told += f" {good.height} micrographs with defoci of {mean.min():.2f} to {mean.max():.2f} µm were kept"
        dropped = len(out.ctfs) - good.height
        return f"{told}; {dropped} without a believable fit were left out." if dropped else f"{told}."

    def report(self, out: Estimated) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        rows = out.ctfs.items.filter(pl.col("defocus_u").is_not_null()).with_columns(mean=(pl.col("defocus_u") + pl.col("defocus_v")) / 2)
        shown = rows.head(12).to_dicts()
        panels: list[Panel] = [
            ImageGrid(
                title="Power spectra",
                images=[read_mrc(out.ctfs.file(row["psd_path"])).data for row in shown],
                captions=[f"{row['micrograph_name']}: {row['mean']:.0f} Å, to {row['ctf_resolution']:.1f} Å" for row in shown],
                good=[bool(row["enabled"]) for row in shown],
                size=150,
                caption="The lower left quarter is the model: its rings must run on into the measured ones. Captions: mean defocus, end of the fit.",
            )
        ]  # fmt: skip
        if shown:
            first = shown[0]
            names = {"ctf_rotational": "circular mean", "ctf_equiphase": "equal-phase mean", "ctf_fit": "fit", "ctf_quality": "quality"}
            panels.append(
                LinePlot(
                    title=f"Fit of {first['micrograph_name']}",
                    series=[Series(label, first["ctf_frequency"], first[name]) for name, label in names.items()],
                    x_label="resolution (Å)",
                    y_label="",
                    resolution_axis=True,
                    marks={f"{first['ctf_resolution']:.1f} Å": 1 / first["ctf_resolution"]},
                    y_range=(-0.3, 1.3),
                    caption="Means along lines of equal phase are free of astigmatism; every ring is drawn at full height. The fit holds to the mark.",
                )
            )  # fmt: skip
        columns = (
            "micrograph_name", "defocus_u", "defocus_v", "defocus_angle", "phase_shift", "astigmatism", "defocus_error",
            "ctf_score", "ctf_resolution", "enabled", "fail_reason",
        )  # fmt: skip
        return [
            *panels,
            Histogram(title="Defocus", values=rows["mean"].to_list(), label="mean defocus (Å)"),
            Histogram(title="Fit resolution", values=rows["ctf_resolution"].to_list(), label="Å"),
            TableView(title="CTFs", columns={name: out.ctfs.items[name].to_list() for name in columns}),
        ]


def _defocus(value: float) -> float:
    return value * 1e4 if value < 100 else value
