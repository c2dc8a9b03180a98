"""ctf.consensus: where two or more estimates agree, and which micrographs are worth going on with."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import CTFs, Micrographs, thon_rings
from cryoloom.data.identity import other_items
from cryoloom.report.panels import Funnel, Histogram, LinePlot, Series, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    from cryoloom.numerics.ctf.rings import Astigmatic

_FITTED = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "astigmatism")
_CRITERIA = {
    "ctf_first_zero": (5.0, None),
    "ctf_first_zero_ratio": (0.9, 1.1),
    "ctf_corr13": (0.05, None),
    "ctf_margin": (1.5, None),
    "ctf_iceness": (None, 1.03),
    "ctf_astigmatism_resolution": (None, 9.0),
}
"""Limits of the field's screening for columns that ctf.refine gives; iceness as that protocol has it, for that of a good micrograph is about 1."""


@dataclass(frozen=True)
class Agreed(Outputs):
    """What is accepted comes last, for the last set of a kind is what an export of everything writes."""

    discarded: CTFs | None = None
    discarded_micrographs: Micrographs | None = None
    ctfs: CTFs | None = None
    micrographs: Micrographs | None = None


class CTFConsensus(
    Protocol,
    id="ctf.consensus",
    outputs=Agreed,
    cite=("10.1016/j.jsb.2015.04.003",),
    aliases=("XmippProtCTFConsensus", "XmippProtCTFDiscrepancy"),
):
    """Compare estimates of the same micrographs by the resolution to which their phases agree, and screen them by the field's limits.

    What is not accepted is in a set of its own, disabled, with the reasons.
    """

    ctfs: tuple[CTFs, ...] = Input(
        "CTFs", many=True, aliases=("inputCTF", "inputCTF2", "inputCTFs"),
        help="Estimates of the same micrographs; repeat the flag. With one set micrographs are only screened. Agreement tells as much as the estimates "
        "are independent: of another program, or one of whole micrographs and one of tiles.",
    )  # fmt: skip
    micrographs: Micrographs | None = Input("Micrographs", optional=True, help="Divided into accepted and discarded ones as well.")
    max_agreement: Angstrom = Param(
        "Agreement", 15.0, gt=0, aliases=("minimumResolution", "minConsResol"),
        help="Every two estimates must agree to this resolution or better: that where their phases are 90° apart. Finer asks for closer defoci.",
    )  # fmt: skip
    defocus_from: Literal["first", "average"] = Param(
        "Parameters of", "first", aliases=("averageDefocus",),
        help="first: accepted micrographs keep the CTF of the first set. average: defocus, astigmatism and phase shift are averaged.",
    )  # fmt: skip
    missing: Literal["discard", "accept"] = Param(
        "In one set only", "discard", advanced=True,
        help="What becomes of micrographs that not all sets have a believed fit of; accepted ones are only screened.",
    )  # fmt: skip
    min_defocus: Angstrom = Param(
        "Least defocus", 4000.0, ge=0, group="Screening", aliases=("minDefocus",),
        help="Of the smaller one; below 100 taken as µm. Micrographs closer to focus have little contrast.",
    )  # fmt: skip
    max_defocus: Angstrom = Param(
        "Greatest defocus", 40000.0, gt=0, group="Screening", aliases=("maxDefocus",),
        help="Of the larger one; below 100 taken as µm. Micrographs farther from focus lose high resolution.",
    )  # fmt: skip
    max_astigmatism: float = Param(
        "Greatest astigmatism", 0.1, gt=0, group="Screening", aliases=("astigmatism",),
        help="In parts of the mean defocus if below 1 (0.1), in Å otherwise (1000 is usual).",
    )  # fmt: skip
    max_resolution: Angstrom = Param(
        "Resolution", 17.0, gt=0, group="Screening", aliases=("resolution",),
        help="To which the first fit must hold, where it tells.",
    )  # fmt: skip
    max_phase_shift: Degrees = Param(
        "Greatest phase shift",
        180.0,
        ge=0,
        le=180,
        group="Screening",
        advanced=True,
        help="Of a phase plate; plates beyond 140° want replacing.",
    )
    use_criteria: bool = Param(
        "Criteria", True, group="Screening", aliases=("useCritXmipp",),
        help="Screen also by the criteria of ctf.refine, where the first set has them.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        for number, each in enumerate(self.ctfs[1:], 2):
            if why := other_items(self.ctfs[0], each):
                yield Hint("ctfs", f"are of different micrographs (sets 1 and {number}): {why}")
            elif self.ctfs[0].scan([]).join(each.scan([]), on="id", how="semi").head(1).collect().is_empty():
                yield Hint("ctfs", f"have no micrograph in common (sets 1 and {number})")
        tables = [each.stored for each in self.ctfs]
        if any(table is not None and table in tables[:number] for number, table in enumerate(tables)):
            yield Hint("ctfs", "hold one set twice, which agrees with itself", error=False)
        if self.micrographs is not None and (why := other_items(self.micrographs, self.ctfs[0])):
            yield Hint("micrographs", f"are not those of the CTFs: {why}")
        if thon_rings.underfocus(self.min_defocus) >= thon_rings.underfocus(self.max_defocus):
            yield Hint("max_defocus", f"must be above min_defocus = {self.min_defocus:g}; got {self.max_defocus:g}", fix=40000.0)

    def run(self, job: Job) -> Agreed:
        rows = self.ctfs[0].to_polars()
        others = [{row["id"]: row for row in each.enabled().iter_rows(named=True)} for each in self.ctfs[1:]]
        columns: list[dict[str, Any]] = []
        reasons: dict[int, str] = {}
        for row in rows.iter_rows(named=True):
            fits = [_believed(row), *(_believed(other.get(row["id"])) for other in others)]
            columns.append(self._compared(row, fits))
            if why := self._why_not({**row, **columns[-1]}, fits):
                reasons[row["id"]] = "; ".join(why)
        only_later = len(set().union(*others) - set(rows["id"])) if others else 0
        if only_later:
            job.warn(f"{only_later} micrographs are in later sets only: they have no first estimate and are left out.")
        whole = self.ctfs[0].with_columns(pl.DataFrame(columns, infer_schema_length=None)).disable(reasons)
        accepted = whole.items.filter("enabled")["id"]
        refused = whole.items.filter(~pl.col("enabled"))["id"]
        if accepted.is_empty():
            job.warn("No micrograph is accepted, so there is no such output. The reasons are in the discarded set.")
        return Agreed(**self._parts(whole, "ctfs", "discarded", accepted, refused), **self._divided(accepted, refused, reasons))

    def _compared(self, row: Mapping[str, Any], fits: "list[Astigmatic | None]") -> dict[str, Any]:
        """Return the agreement of the fits of one micrograph, and its transfer function."""
        from cryoloom.numerics.ctf.agreement import agreement_resolution, mean_ctf
        from cryoloom.numerics.ctf.criteria import zero_disagreement

        found = [fit for fit in fits if fit is not None]
        told: dict[str, Any] = {"id": row["id"], **dict.fromkeys(("agreement_resolution", "ctf_disagreement", "defocus_difference"))}
        if len(found) > 1:
            optics, pairs = thon_rings.optics_of(row), list(combinations(found, 2))
            agreed = max(agreement_resolution(one, two, optics.wavelength) for one, two in pairs)
            told["agreement_resolution"] = agreed if math.isfinite(agreed) else 1e4
            told["ctf_disagreement"] = max(zero_disagreement(one, two, optics) for one, two in pairs)
            told["defocus_difference"] = max((abs(one.mean - two.mean) for one, two in pairs))
        own = {name: row.get(name) for name in _FITTED}
        averaged = self.defocus_from == "average" and fits[0] is not None
        return told | (thon_rings.defocus_columns(mean_ctf(found)) if averaged else own)

    def _why_not(self, row: Mapping[str, Any], fits: "list[Astigmatic | None]") -> list[str]:
        """Return why a micrograph is not accepted; nothing where it is."""
        if fits[0] is None:
            return [row.get("fail_reason") or "the first set has no believed fit"]
        told = []
        absent = [str(number) for number, fit in enumerate(fits, 1) if fit is None]
        if absent and self.missing == "discard":
            told.append(f"no believed fit in set {', '.join(absent)}")
        agreed = row["agreement_resolution"]
        if agreed is not None and agreed > self.max_agreement:
            told.append(f"estimates agree only to {agreed:.1f} Å")
        u, v = row["defocus_u"], row["defocus_v"]
        mean = 0.5 * (u + v)
        most = self.max_astigmatism * mean if self.max_astigmatism < 1 else self.max_astigmatism
        if v < thon_rings.underfocus(self.min_defocus) or u > thon_rings.underfocus(self.max_defocus):
            told.append(f"defocus {mean:.0f} Å is out of range")
        if u - v > most:
            told.append(f"astigmatism {u - v:.0f} Å is above {most:.0f} Å")
        limits: dict[str, tuple[float | None, float | None]] = {
            "ctf_resolution": (None, self.max_resolution),
            "phase_shift": (None, self.max_phase_shift),
        }
        for name, (low, high) in (limits | (_CRITERIA if self.use_criteria else {})).items():
            value = row.get(name)
            if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
                told.append(f"{name} {value:.3g} is {'below' if low is not None and value < low else 'above'} the limit")
        return told

    @staticmethod
    def _parts(whole: Any, good: str, bad: str, accepted: pl.Series, refused: pl.Series) -> dict[str, Any]:
        parts = {good: accepted, bad: refused}
        return {name: whole.select(ids) for name, ids in parts.items() if len(ids)}

    def _divided(self, accepted: pl.Series, refused: pl.Series, reasons: Mapping[int, str]) -> dict[str, Any]:
        """Return the micrographs of both parts, those without a first estimate with the discarded."""
        if self.micrographs is None:
            return {}
        ids = self.micrographs.ids()
        good = ids.filter(ids.is_in(accepted.implode()))
        bad = ids.filter(~ids.is_in(accepted.implode()))
        why = {number: reasons.get(number, "no CTF") for number in bad if number not in set(refused) or number in reasons}
        return self._parts(self.micrographs.disable(why), "micrographs", "discarded_micrographs", good, bad)

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Agreed) -> Mapping[str, Any]:
        agreed = _together(out)["agreement_resolution"].drop_nulls()
        told: dict[str, Any] = {"accepted": _count(out.ctfs), "discarded": _count(out.discarded)}
        if len(agreed):
            told["median agreement (Å)"] = round(float(agreed.to_numpy()[agreed.arg_sort()[len(agreed) // 2]]), 2)
        return told

    def methods(self, out: Agreed) -> str:
        total = _count(out.ctfs) + _count(out.discarded)
        if len(self.ctfs) < 2:
            return f"Of {total} micrographs {_count(out.ctfs)} passed the screening of their transfer functions."
        return (
            f"{len(self.ctfs)} estimates of the transfer functions were compared: {_count(out.ctfs)} of {total} micrographs, on which they agree to "
            f"{self.max_agreement:g} Å or better, were kept."
        )

    def report(self, out: Agreed) -> list[Panel]:
        rows = _together(out)
        compared = rows.filter(pl.col("agreement_resolution").is_not_null())
        steps = [("Estimated", len(self.ctfs[0]), "ctfs"), ("Accepted", _count(out.ctfs), "ctfs")]
        panels: list[Panel] = [
            Funnel(title="Consensus", steps=steps, caption="By agreement of the estimates and the limits of the screening.")
        ]
        if compared.height:
            values = compared["agreement_resolution"].clip(0, 50).to_list()
            number = list(range(1, compared.height + 1))
            panels += [
                Histogram(
                    title="Agreement", values=values, label="Å", marks={"accepted to": self.max_agreement},
                    caption="Where the phases of the estimates are 90° apart at their worst azimuth; values above 50 Å are drawn there.",
                ),
                LinePlot(
                    title="Difference of the defoci", series=[Series("most", number, compared["defocus_difference"].to_list())],
                    x_label="micrograph", y_label="Å", caption="Largest difference of the mean defoci of two estimates.",
                ),
            ]  # fmt: skip
        names = ("micrograph_name", *_FITTED, "agreement_resolution", "defocus_difference", "ctf_disagreement", "enabled", "fail_reason")
        return [*panels, TableView(title="CTFs", columns={name: rows[name].to_list() for name in names if name in rows.columns})]


def _believed(row: Mapping[str, Any] | None) -> "Astigmatic | None":
    return None if row is None or row.get("enabled") is False else thon_rings.fitted(row)


def _together(out: Agreed) -> pl.DataFrame:
    """Return the rows of both parts by id, the discarded ones disabled."""
    return pl.concat([part.items for part in (out.ctfs, out.discarded) if part is not None], how="diagonal_relaxed").sort("id")


def _count(part: CTFs | None) -> int:
    return 0 if part is None else len(part)
