"""ctf.estimate: defocus, astigmatism and fit resolution of every micrograph."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import CTFs, Micrographs
from cryoloom.report.panels import Histogram, ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees, Pixels

NUMBERS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_score", "ctf_resolution", "astigmatism")


@dataclass(frozen=True)
class Estimated(Outputs):
    ctfs: CTFs


class CTFEstimate(
    Protocol,
    id="ctf.estimate",
    outputs=Estimated,
    cite=("10.1016/S1047-8477(03)00069-8", "10.1016/j.jsb.2015.08.008"),
    aliases=("CistemProtCTFFind", "ProtCTFFind"),
):
    """Fit the Thon rings of each micrograph's power spectrum: exhaustive search, then least squares with background and decay."""

    micrographs: Micrographs = Input(
        "Micrographs", help="Aligned micrographs; the sums without dose weights are used, which keep the rings."
    )
    low_res: Angstrom = Param(
        "Coarse limit", 30.0, gt=0, group="Band", wizard="psd-band", aliases=("lowRes",),
        help="Low-resolution end of the fit. Too coarse and the fit follows the ice gradient.",
    )  # fmt: skip
    high_res: Angstrom = Param(
        "Fine limit", 5.0, gt=0, group="Band", wizard="psd-band", aliases=("highRes",),
        help="High-resolution end; finer than the pixels allow means their limit. Too coarse loses precision.",
    )  # fmt: skip
    min_defocus: Angstrom = Param(
        "Least defocus", 3000.0, gt=0, group="Search", aliases=("minDefocus",), help="Underfocus searched from here."
    )
    max_defocus: Angstrom = Param(
        "Most defocus", 50000.0, gt=0, group="Search", aliases=("maxDefocus",), help="Underfocus searched to here. Outside, fits are wrong."
    )
    defocus_step: Angstrom = Param(
        "Step",
        100.0,
        gt=0,
        group="Search",
        advanced=True,
        aliases=("stepDefocus",),
        help="Of the exhaustive search. Too coarse slips a ring.",
    )
    astigmatism: Angstrom = Param(
        "Expected astigmatism", 200.0, group="Search", advanced=True, aliases=("tolerated_astigmatism",),
        help="A soft restraint on the difference of the two defoci; zero or negative for none. Too tight hides a bad alignment of the microscope.",
    )  # fmt: skip
    window: Pixels = Param(
        "Spectrum window", 512, ge=64, le=4096, multiple_of=2, advanced=True, aliases=("windowSize",),
        help="Rows of the power spectrum; smaller ones are taken of small micrographs. Too small and rings of high defocus alias.",
    )  # fmt: skip
    find_phase_shift: bool = Param(
        "Phase plate",
        False,
        group="Phase plate",
        aliases=("findPhaseShift",),
        help="Search a phase shift too. Without a plate it only adds noise.",
    )
    min_phase_shift: Degrees = Param(
        "Least shift", 0.0, ge=0, le=180, group="Phase plate", when="find_phase_shift", advanced=True, aliases=("minPhaseShift",),
        help="Phase shift searched from here.",
    )  # fmt: skip
    max_phase_shift: Degrees = Param(
        "Most shift", 180.0, ge=0, le=180, group="Phase plate", when="find_phase_shift", advanced=True, aliases=("maxPhaseShift",),
        help="Phase shift searched to here.",
    )  # fmt: skip
    exhaustive: bool = Param(
        "Search astigmatism", True, advanced=True, aliases=("slowSearch",), help="From the start, not only around the best round fit."
    )

    def check(self) -> Iterator[Hint]:
        if self.high_res >= self.low_res:
            yield Hint("high_res", f"must be finer than low_res = {self.low_res:g} Å; got {self.high_res:g} Å", fix=self.low_res / 6)
        if self.min_defocus >= self.max_defocus:
            yield Hint(
                "min_defocus", f"must be below max_defocus = {self.max_defocus:g} Å; got {self.min_defocus:g} Å", fix=self.max_defocus / 10
            )
        if self.find_phase_shift and self.min_phase_shift >= self.max_phase_shift:
            yield Hint("min_phase_shift", f"must be below max_phase_shift = {self.max_phase_shift:g}°", fix=0.0)

    def run(self, job: Job) -> Estimated:
        finest = max(2 * float(group["pixel_size"]) for group in self.micrographs.optics)
        if self.high_res < finest:
            job.warn(f"The fine limit of {self.high_res:g} Å lies beyond what the pixels can hold; {finest:.2f} Å is used.")
        result = job.map(self.estimate, self.micrographs)
        base = self.micrographs.enabled().select("id", "micrograph_name", "optics_group", micrograph_id="id")
        items = base.join(result.rows, on="id", how="left", maintain_order="left")
        items = items.with_columns(
            *[pl.col(name).cast(pl.Float64) for name in NUMBERS],
            enabled=pl.col("doubt").fill_null("no fit") == "",
            fail_reason=pl.col("doubt").fill_null(""),
        ).drop("doubt")
        ctfs = CTFs(items, job.root, optics=self.micrographs.optics)
        doubtful = items.filter(~pl.col("enabled")).height
        if doubtful:
            job.warn(f"{doubtful} of {items.height} micrographs have no believable fit and are disabled; their reasons stand in the table.")
        return Estimated(ctfs.disable(result.failed) if result.failed else ctfs)

    def estimate(self, item: Item) -> Mapping[str, Any]:
        """Fit one micrograph."""
        import numpy as np

        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.ctf.estimate import Settings, estimate_ctf
        from cryoloom.numerics.ctf.picture import spectrum_picture
        from cryoloom.numerics.ctf.rings import Optics

        image = read_mrc(item.file("micrograph_path")).data
        if not np.isfinite(image).all():
            raise ValueError(f"{item['micrograph_name']}: {np.count_nonzero(~np.isfinite(image))} pixels are not numbers")
        optics = Optics(item["voltage"], item["cs"], item["amplitude_contrast"])
        plates = np.deg2rad(np.linspace(self.min_phase_shift, self.max_phase_shift, 16)) if self.find_phase_shift else None
        settings = Settings(
            self.low_res, self.high_res, self.min_defocus, self.max_defocus, self.defocus_step, self.astigmatism,
            None if plates is None else tuple(plates), self.window, exhaustive=self.exhaustive,
        )  # fmt: skip
        found = estimate_ctf(image.astype(np.float64), item["pixel_size"], optics, settings)
        ctf, curves = found.ctf, found.curves
        path = item.output("_psd.mrc")
        write_mrc(path, spectrum_picture(found.spectrum, ctf, optics), found.spectrum.pixel_size)
        return {
            "defocus_u": ctf.mean + ctf.astigmatism / 2,
            "defocus_v": ctf.mean - ctf.astigmatism / 2,
            "defocus_angle": ctf.angle,
            "phase_shift": math.degrees(ctf.plate),
            "astigmatism": ctf.astigmatism,
            "defocus_error": float(found.error[0]),
            "ctf_score": float(found.score),
            "ctf_resolution": float(curves.resolution),
            "psd_path": path,
            "ctf_frequency": curves.frequency.tolist(),
            "ctf_average": curves.equiphase.tolist(),
            "ctf_fit": curves.fit.tolist(),
            "ctf_quality": curves.quality.tolist(),
            "doubt": "; ".join(found.doubts),
        }

    def summary(self, out: Estimated) -> Mapping[str, Any]:
        good = out.ctfs.enabled()
        mean = (good["defocus_u"] + good["defocus_v"]) / 2
        return {
            "micrographs": good.height,
            "not believable": len(out.ctfs) - good.height,
            "defocus (Å)": f"{mean.min():.0f} to {mean.max():.0f}" if good.height else "-",
            "median astigmatism (Å)": round(float(good["astigmatism"].median() or 0)),  # pyright: ignore[reportArgumentType]
            "median fit resolution (Å)": round(float(good["ctf_resolution"].median() or 0), 2),  # pyright: ignore[reportArgumentType]
        }

    def report(self, out: Estimated) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        rows = out.ctfs.items.filter(pl.col("psd_path").is_not_null())
        shown = rows.head(12).to_dicts()
        captions = [
            f"{row['micrograph_name']}: {(row['defocus_u'] + row['defocus_v']) / 2:.0f} Å, {row['ctf_resolution']:.1f} Å" for row in shown
        ]
        panels: list[Panel] = [
            ImageGrid(
                title="Power spectra", images=[read_mrc(out.ctfs.file(row["psd_path"])).data[::-1] for row in shown], captions=captions, size=150,
                good=[bool(row["enabled"]) for row in shown],
                caption="One quadrant is the model: its rings must run on into the measured ones. Captions: mean defocus, fit resolution.",
            )
        ]  # fmt: skip
        if shown:
            first = shown[0]
            names = {"ctf_average": "spectrum", "ctf_fit": "fit", "ctf_quality": "quality"}
            curves = [Series(label, first["ctf_frequency"], first[name]) for name, label in names.items()]
            panels.append(
                LinePlot(
                    title=f"Fit of {first['micrograph_name']}", series=curves, x_label="resolution (Å)", y_label="", resolution_axis=True,
                    marks={f"{first['ctf_resolution']:.1f} Å": 1 / first["ctf_resolution"]}, y_range=(-0.3, 1.3),
                    caption="Average along lines of equal phase, which takes astigmatism out; the fit is believed up to the mark.",
                )
            )  # fmt: skip
        columns = ("micrograph_name", *NUMBERS, "enabled", "fail_reason")
        return [
            *panels,
            Histogram(title="Defocus", values=((rows["defocus_u"] + rows["defocus_v"]) / 2).to_list(), label="mean defocus (Å)"),
            Histogram(title="Fit resolution", values=rows["ctf_resolution"].to_list(), label="Å"),
            TableView(title="CTFs", columns={name: out.ctfs.items[name].to_list() for name in columns}),
        ]
