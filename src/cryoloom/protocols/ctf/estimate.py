"""ctf.estimate: defocus, astigmatism and fit resolution of every micrograph."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import CTFs, Micrographs, canonical_name, thon_rings
from cryoloom.data.identity import other_items
from cryoloom.data.joining import joined
from cryoloom.report.thon_rings import ctf_panels
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol, WrongUse
from cryoloom.tables.expression import parse_rule
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    from cryoloom.numerics.ctf.estimate import Settings


@dataclass(frozen=True)
class Estimated(Outputs):
    ctfs: CTFs


class CTFEstimate(
    Protocol,
    id="ctf.estimate",
    version=3,
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
    ctfs: CTFs | None = Input(
        "Earlier CTFs", optional=True,
        help="Of another run: to fit only some micrographs anew. Those fitted here take the place of their earlier rows, all others stay.",
    )  # fmt: skip
    recompute: str = Param(
        "Fit anew", "", group="Earlier CTFs",
        help='Rule over the earlier CTFs, such as "ctf_resolution > 8" or "id in (3, 7)": only micrographs that follow it, or had none, are fitted. '
        "Empty: all that are given.",
    )  # fmt: skip
    bin_factor: thon_rings.BinFactor
    low_res: thon_rings.LowRes
    high_res: thon_rings.HighRes
    min_defocus: thon_rings.MinDefocus
    max_defocus: thon_rings.MaxDefocus
    defocus_step: thon_rings.DefocusStep
    astigmatism_is: Literal["fitted", "known", "none"] = Param(
        "Astigmatism", "fitted", group="Search", advanced=True,
        help="fitted; known, and not fitted; none: one defocus for all directions. With a wrong astigmatism rings are lost at high resolution.",
    )  # fmt: skip
    astigmatism: thon_rings.ExpectedAstigmatism
    known_astigmatism: Angstrom = Param(
        "Known astigmatism", 0.0, ge=0, group="Search", when="astigmatism_is=known", advanced=True,
        help="Difference of the two defoci of every micrograph. A wrong one loses rings at high resolution.",
    )  # fmt: skip
    known_angle: Degrees = Param(
        "Known angle", 0.0, ge=-180, le=180, group="Search", when="astigmatism_is=known", advanced=True, aliases=("known_astigmatism_angle",),
        help="Azimuth of the larger defocus, from +x towards +y. A wrong one loses rings at high resolution.",
    )  # fmt: skip
    slow_search: bool = Param(
        "Exhaustive search", True, group="Search", advanced=True, aliases=("slowSearch", "exhaustive"),
        help="Search all astigmatisms to 3000 Å at all angles, not only no astigmatism. Without it, strongly astigmatic micrographs fail.",
    )  # fmt: skip
    spectrum: thon_rings.FittedSpectrum
    average: thon_rings.Average
    window: thon_rings.Window
    resample: thon_rings.Resample
    find_phase_shift: thon_rings.FindPhaseShift
    min_phase_shift: thon_rings.MinPhaseShift
    max_phase_shift: thon_rings.MaxPhaseShift
    phase_shift_step: thon_rings.PhaseShiftStep

    def check(self) -> Iterator[Hint]:
        yield from thon_rings.contradictions(self)
        if self.recompute.strip() and self.ctfs is None:
            yield Hint("recompute", "is a rule over earlier CTFs: give them too", fix="")
        if self.ctfs is None:
            return
        if why := other_items(self.micrographs, self.ctfs):
            yield Hint("ctfs", f"are of other micrographs: {why}")
        try:
            chosen = len(self._chosen())
        except WrongUse as problem:
            yield Hint("recompute", f"{problem.message} {problem.cure}".removeprefix("--where "))
        else:
            if not chosen:
                yield Hint("recompute", "follows no micrograph that is given: nothing would be fitted anew", fix="")

    def preview(self) -> Mapping[str, int]:
        if self.ctfs is None:
            return {}
        return {"fitted anew": self._chosen().enabled().height, "kept": len(self.ctfs) - len(self._replaced())}

    def run(self, job: Job) -> Estimated:
        nyquist = max((2 * group["pixel_size"] * self.bin_factor for group in self.micrographs.optics), default=0.0)
        if 0.5 <= self.high_res < nyquist and self.high_res != thon_rings.FINE:
            job.warn(f"The fine limit of {self.high_res:g} Å lies beyond Nyquist; {nyquist:.3g} Å is used.")
        chosen = self._chosen()
        result = job.map(self.estimate, chosen)
        kept = ("id", "micrograph_name", "optics_group", "enabled", "fail_reason")
        items = chosen.items.select(*kept, micrograph_id="id")
        items = items.join(thon_rings.typed(result.rows.drop("doubt", "faint")), on="id", how="left", maintain_order="left")
        doubts = dict(result.rows.filter(pl.col("doubt") != "").select("id", "doubt").rows())
        self._warn(job, result.rows, len(doubts))
        found = CTFs(items, job.root, optics=self.micrographs.optics).disable({**result.failed, **doubts})
        return Estimated(found if self.ctfs is None else self._together(found))

    def _warn(self, job: Job, rows: pl.DataFrame, doubtful: int) -> None:
        if doubtful:
            job.warn(f"{doubtful} of {rows.height} micrographs have no believable fit and are disabled, with the reason.")
        faint = rows.filter(pl.col("faint") & (pl.col("doubt") == ""))
        if faint.height:
            job.warn(
                f"{faint.height} micrographs show rings too faint to tell how far their fit holds. Their defocus is right to some hundred Å, enough "
                f"for detail of 10 Å; to leave them out, select ctf_resolution < {faint['ctf_resolution'].min():.4g}."
            )
        aliased = rows.filter(pl.col("ctf_aliasing") > pl.col("ctf_resolution")).height
        if self.spectrum == "tiles" and aliased > rows.height / 2:
            job.warn(f"The rings of {aliased} micrographs are narrower than 4 px of the spectrum: a window above {self.window} shows more.")

    # -- some anew ----------------------------------------------------------------------------------------------

    def _chosen(self) -> Micrographs:
        """Return the micrographs to fit: all, or those whose earlier CTF follows the rule, and those that have none."""
        rule = self.recompute.strip()
        if self.ctfs is None or not rule:
            return self.micrographs
        follows = self.ctfs.scan().filter(parse_rule(rule, self.ctfs.schema, canonical=canonical_name)).select("id").collect()["id"]
        ids = self.micrographs.ids()
        return self.micrographs.select(ids.filter(ids.is_in(follows.implode()) | ~ids.is_in(self.ctfs.ids().implode())))

    def _replaced(self) -> pl.Series:
        """Return the ids of earlier CTFs that are fitted anew: what is disabled already is not."""
        fitted = self._chosen().enabled()["id"]
        return fitted.filter(fitted.is_in(self.ctfs.ids().implode())) if self.ctfs is not None else fitted.head(0)

    def _together(self, found: CTFs) -> CTFs:
        """Return what was found and the earlier CTFs of all other micrographs, by id."""
        assert self.ctfs is not None
        earlier, replaced = self.ctfs.ids(), self._replaced()
        new = found.ids()
        new = new.filter(new.is_in(replaced.implode()) | ~new.is_in(earlier.implode()))
        old = earlier.filter(~earlier.is_in(replaced.implode()))
        whole = joined([found.select(new), self.ctfs.select(old)]).dataset
        return CTFs(whole.items.sort("id"), found.root, optics=whole.optics)

    # -- one micrograph -----------------------------------------------------------------------------------------

    def estimate(self, item: Item) -> Mapping[str, Any]:
        """Fit one micrograph."""
        import numpy as np

        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.ctf.estimate import estimate_ctf
        from cryoloom.numerics.ctf.picture import spectrum_picture

        optics, settings = thon_rings.optics_of(item.row), self._settings(item["pixel_size"])
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        found = estimate_ctf(image, item["pixel_size"], optics, settings)
        picture = spectrum_picture(found.spectrum, found.ctf, optics, settings.low_res, settings.high_res)
        path = item.output("_psd.mrc")
        write_mrc(path, np.rint(127 * picture), 1 / (found.spectrum.step * len(picture)), mode=0)
        return {"psd_path": path, **thon_rings.fit_columns(found)}

    def _settings(self, pixel_size: float) -> "Settings":
        known = {"fitted": None, "known": (self.known_astigmatism, self.known_angle), "none": (0.0, 0.0)}[self.astigmatism_is]
        return thon_rings.settings_of(self, pixel_size, known=known, exhaustive=self.slow_search)

    # -- in words and pictures ----------------------------------------------------------------------------------

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

        return ctf_panels(out.ctfs, lambda path: read_mrc(out.ctfs.file(path)), self._band())

    def _band(self) -> tuple[float, float]:
        pixel_size = min((float(group["pixel_size"]) for group in self.micrographs.optics), default=1.0) * self.bin_factor
        return thon_rings.angstrom(self.low_res, pixel_size), thon_rings.angstrom(self.high_res, pixel_size)
