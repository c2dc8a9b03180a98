"""ctf.refine: transfer functions refined from earlier ones, with background, envelope and the criteria that tell good micrographs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.data import CTFs, Micrographs, thon_rings
from cryoloom.report.panels import LinePlot, Series
from cryoloom.report.thon_rings import ctf_panels
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol

if TYPE_CHECKING:
    from cryoloom.numerics.ctf.estimate import Estimate
    from cryoloom.numerics.ctf.rings import Astigmatic, Optics
    from cryoloom.numerics.ctf.spectrum import Array

RETRIES = (2.75, 0.0)
"""Å/px that the spectra of rejected micrographs are kept to instead; 0: as the micrograph is."""

_PRIOR = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")
_SHOWN = (
    "ctf_first_zero", "ctf_first_zero_ratio", "ctf_crest_ratio", "ctf_margin", "ctf_corr13", "ctf_envelope_resolution",
    "ctf_astigmatism_resolution", "ctf_corr90", "ctf_psd_runs", "ctf_disagreement", "prior_kept",
)  # fmt: skip


@dataclass(frozen=True)
class Refined(Outputs):
    ctfs: CTFs


class CTFRefine(
    Protocol,
    id="ctf.refine",
    version=2,
    outputs=Refined,
    cite=("10.1016/j.jsb.2007.08.013", "10.1016/j.jsb.2006.06.014"),
    aliases=("XmippProtCTFMicrographs",),
):
    """Refine the CTF of every micrograph from an earlier one, and measure the criteria by which bad micrographs are told.

    Rejected micrographs stay in the set, disabled, with the criteria that they fail.
    """

    micrographs: Micrographs = Input("Micrographs", help="Aligned micrographs. Their unweighted sums are used.")
    ctfs: CTFs | None = Input(
        "Earlier CTFs", optional=True, aliases=("ctfRelations",),
        help="Where to begin. Micrographs without one, or whose one is disabled, are searched over the whole range.",
    )  # fmt: skip
    optimise: bool = Param(
        "Optimise the defocus", True, aliases=("doOptimizeDefocus",),
        help="Off, an earlier CTF stays as it is and is only judged. A new one takes its place only if it describes the spectrum as well.",
    )  # fmt: skip
    reject: bool = Param(
        "Reject by criteria", True,
        help="Disable micrographs that fail a criterion. Off, they are measured and all believable fits stay.",
    )  # fmt: skip
    retry: bool = Param(
        "Retry what is rejected", True, advanced=True, aliases=("doCTFAutoDownsampling",),
        help="Try again with the spectrum kept to 5.5 Å, and then whole, and take the first that is accepted. Costs time for bad micrographs only.",
    )  # fmt: skip
    bin_factor: thon_rings.BinFactor
    low_res: thon_rings.LowRes
    high_res: thon_rings.HighRes
    min_defocus: thon_rings.MinDefocus
    max_defocus: thon_rings.MaxDefocus
    defocus_step: thon_rings.DefocusStep
    astigmatism: thon_rings.ExpectedAstigmatism
    spectrum: thon_rings.FittedSpectrum
    average: thon_rings.Average
    window: thon_rings.Window
    resample: thon_rings.Resample
    skip_borders: bool = Param(
        "Leave out the borders", False, advanced=True, aliases=("skipBorders",),
        help="Of two windows' width at each side, where the micrograph is large enough: for edges spoilt by motion correction.",
    )  # fmt: skip
    find_phase_shift: thon_rings.FindPhaseShift
    min_phase_shift: thon_rings.MinPhaseShift
    max_phase_shift: thon_rings.MaxPhaseShift
    phase_shift_step: thon_rings.PhaseShiftStep

    def check(self) -> Iterator[Hint]:
        yield from thon_rings.contradictions(self)
        if self.ctfs is not None and self._priors().is_empty():
            yield Hint("ctfs", "hold a believed fit of none of these micrographs: they are of others, or all disabled")

    def run(self, job: Job) -> Refined:
        priors = self._priors()
        enabled = self.micrographs.enabled().height
        missing = enabled - priors.join(self.micrographs.enabled().select("id"), on="id", how="semi").height
        if self.ctfs is not None and missing:
            job.warn(f"{missing} of {enabled} micrographs have no believed earlier CTF: they are searched over the whole range.")
        result = job.map(self.refine, self.micrographs.with_columns(self.micrographs.items.select("id").join(priors, on="id", how="left")))
        kept = ("id", "micrograph_name", "optics_group", "enabled", "fail_reason")
        items = self.micrographs.items.select(*kept, micrograph_id="id")
        items = items.join(thon_rings.typed(result.rows.drop("doubt", "faint")), on="id", how="left", maintain_order="left")
        doubts = dict(result.rows.filter(pl.col("doubt") != "").select("id", "doubt").rows())
        if doubts:
            job.warn(f"{len(doubts)} of {result.rows.height} micrographs are rejected: they are disabled, with the criteria they fail.")
        if kept_priors := int(result.rows["prior_kept"].sum()):
            job.warn(f"{kept_priors} micrographs keep their earlier CTF, which describes them better than what was found near it.")
        return Refined(CTFs(items, job.root, optics=self.micrographs.optics).disable({**result.failed, **doubts}))

    def _priors(self) -> pl.DataFrame:
        """Return ``id`` of micrographs and ``prior_*`` of their believed earlier CTF, found by name."""
        names = {f"prior_{name}": name for name in _PRIOR}
        if self.ctfs is None:
            return pl.DataFrame(schema={"id": pl.Int64} | dict.fromkeys(names, pl.Float64))
        believed = self.ctfs.enabled().filter(pl.col("defocus_u").is_not_null() & pl.col("defocus_v").is_not_null())
        key = "micrograph_name" if "micrograph_name" in believed.columns else "id"
        believed = believed.select(key, **{prior: pl.col(name).cast(pl.Float64) for prior, name in names.items()}).unique(key, keep="first")
        return self.micrographs.items.select(*dict.fromkeys(("id", key))).join(believed, on=key, maintain_order="left").select("id", *names)

    # -- one micrograph -----------------------------------------------------------------------------------------

    def refine(self, item: Item) -> Mapping[str, Any]:
        """Refine and judge one micrograph, in other samplings if it is rejected."""
        import numpy as np

        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.ctf.criteria import failing, zero_disagreement
        from cryoloom.numerics.ctf.enhance import enhanced
        from cryoloom.numerics.ctf.picture import spectrum_picture

        optics, prior, pixel_size = thon_rings.optics_of(item.row), thon_rings.fitted(item.row, "prior_"), item["pixel_size"]
        image = self._cropped(np.squeeze(read_mrc(item.file("micrograph_path")).data), pixel_size)
        best: tuple[tuple[bool, float], Estimate, dict[str, Any], list[str]] | None = None
        for found, values in self._attempts(image, pixel_size, optics, prior):
            plate = self.find_phase_shift or bool(found.ctf.plate)
            wrong = failing({**values, "ctf_iceness": found.ice, "phase_shift": math.degrees(found.ctf.plate)}, plate=plate)
            reasons = [*found.doubts, *(wrong if self.reject else ())]
            worth = (not reasons, -1.0 if math.isnan(values["ctf_corr13"]) else values["ctf_corr13"])
            if best is None or worth > best[0]:
                best = (worth, found, values, reasons)
            if not reasons:
                break
        assert best is not None
        _, found, values, reasons = best
        settings = thon_rings.settings_of(self, pixel_size)
        picture = spectrum_picture(found.spectrum, found.ctf, optics, settings.low_res, settings.high_res)
        paths = {"psd_path": item.output("_psd.mrc"), "enhanced_path": item.output("_enhanced.mrc")}
        write_mrc(paths["psd_path"], np.rint(127 * picture), 1 / (found.spectrum.step * len(picture)), mode=0)
        clear = np.clip(np.rint(64 + 32 * enhanced(found.spectrum)), 0, 127)
        write_mrc(paths["enhanced_path"], clear, 1 / (found.spectrum.step * len(clear)), mode=0)
        measured = {name: None if math.isnan(value) else value for name, value in values.items()}
        return {
            **paths,
            **thon_rings.fit_columns(found),
            **measured,
            **_model(found),
            "ctf_disagreement": None if prior is None else zero_disagreement(found.ctf, prior, optics),
            "ctf_sampling": found.spectrum.pixel_size,
            "prior_kept": found.prior_kept,
            "doubt": "; ".join(reasons),
        }

    def _attempts(
        self, image: "Array", pixel_size: float, optics: "Optics", prior: "Astigmatic | None"
    ) -> Iterator[tuple["Estimate", dict[str, float]]]:
        """Yield fits and criteria at one sampling of the spectrum after the other."""
        from cryoloom.numerics.ctf.criteria import criteria
        from cryoloom.numerics.ctf.estimate import estimate_ctf
        from cryoloom.numerics.ctf.tiles import tile_profiles

        settings = thon_rings.settings_of(self, pixel_size, optimise=self.optimise)
        samplings = [settings.spectral_pixel, *(max(each, pixel_size) for each in RETRIES if self.retry)]
        for sampling in dict.fromkeys(samplings):
            tried = replace(settings, spectral_pixel=sampling)
            found = estimate_ctf(image, pixel_size, optics, tried, prior=prior)
            band = 1 / settings.low_res, 1 / settings.high_res
            tiles = tile_profiles(image, pixel_size, found.ctf, optics, *band, window=self.window, spectral_pixel=sampling)
            yield found, criteria(found, optics, tiles, image)

    def _cropped(self, image: "Array", pixel_size: float) -> "Array":
        edge = 2 * self.window if self.skip_borders else 0
        return image[edge:-edge, edge:-edge] if edge and min(image.shape) >= 2 * edge + 2 * self.window else image

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Refined) -> Mapping[str, Any]:
        good = out.ctfs.enabled().filter(pl.col("defocus_u").is_not_null())
        summary: dict[str, Any] = {"micrographs": good.height}
        if good.height:
            for column, label, digits in (
                ("ctf_resolution", "median fit resolution (Å)", 2),
                ("astigmatism", "median astigmatism (Å)", 0),
                ("ctf_corr13", "median correlation to the third zero", 2),
            ):
                middle = good.select(pl.col(column).median()).item()
                summary[label] = None if middle is None else round(float(middle), digits)
        if len(out.ctfs) > good.height:
            summary["rejected"] = len(out.ctfs) - good.height
        return summary

    def methods(self, out: Refined) -> str:
        good = out.ctfs.enabled().height
        began = "from earlier estimates " if self.ctfs is not None else ""
        told = f"Transfer functions were refined {began}between {self.low_res:g} and {self.high_res:g} Å with background and envelope of the spectra."
        return f"{told} {good} of {len(out.ctfs)} micrographs met the criteria." if self.reject else told

    def report(self, out: Refined) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        finest = min((float(group["pixel_size"]) for group in self.micrographs.optics), default=1.0) * self.bin_factor
        band = thon_rings.angstrom(self.low_res, finest), thon_rings.angstrom(self.high_res, finest)
        panels = ctf_panels(out.ctfs, lambda path: read_mrc(out.ctfs.file(path)), band, _SHOWN)
        shown = out.ctfs.items.filter(pl.col("ctf_envelope").is_not_null()).head(1).to_dicts() if len(out.ctfs) else []
        return [panels[0], *map(_background, shown), *panels[1:]]


def _model(found: "Estimate") -> dict[str, list[float]]:
    """Return the mean power over circles and what it is made of: the background, and what rings add at their crests."""
    import numpy as np

    cells = found.cells
    weight = np.bincount(cells.ring, cells.pixels)
    excess = np.bincount(cells.ring, cells.pixels * cells.excess) / weight
    step = max(1, len(cells.rings) // 400)
    return {
        "ctf_band": cells.rings[::step].tolist(),
        "ctf_power": (cells.background * (1 + excess))[::step].tolist(),
        "ctf_background": (cells.background * found.refined.level)[::step].tolist(),
        "ctf_envelope": (cells.background * found.refined.signal)[::step].tolist(),
    }


def _background(row: Mapping[str, Any]) -> LinePlot:
    crests = [below + above for below, above in zip(row["ctf_background"], row["ctf_envelope"], strict=True)]
    names = {"circular mean": row["ctf_power"], "background": row["ctf_background"], "background and envelope": crests}
    return LinePlot(
        title=f"Background and envelope of {row['micrograph_name']}",
        series=[Series(name, row["ctf_band"], [math.log10(max(each, 1e-12)) for each in values]) for name, values in names.items()],
        x_label="resolution (Å)",
        y_label="logarithm of the power",
        resolution_axis=True,
        caption="The background passes through the zeros of the CTF, the upper line through its crests; where both meet no rings are left.",
    )
