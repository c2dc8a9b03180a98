"""volumes.filter: maps with part of their detail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from cryoloom.data import Classes3D, Volume
from cryoloom.formats.map_sets import HALVES, StoredMap, changed_maps, grid_of, rows_of, stored_map
from cryoloom.report.maps import map_panel
from cryoloom.report.panels import LinePlot, Series
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

Band = Annotated[
    Literal["low-pass", "high-pass", "band-pass", "none"],
    BeforeValidator(lambda value: {"0": "low-pass", "1": "high-pass", "2": "band-pass"}.get(str(value), value)),
]
"""Which detail stays, also by the numbers of Xmipp's form."""


@dataclass(frozen=True)
class Filtered(Outputs):
    volume: Volume


class Filter(
    Protocol,
    id="volumes.filter",
    outputs=Filtered,
    aliases=("XmippProtFilterVolumes",),
):
    """Keep a band of resolutions of maps, and weigh it by a B-factor.

    Half maps stay unfiltered, as every later step expects them: a resolution is measured on what nobody filtered.
    """

    volume: Volume | Classes3D = Input("Maps", help="One map or several.", aliases=("inputVolumes", "inputVolume"))
    band: Band = Param(
        "Keep", "low-pass", aliases=("filterModeFourier", "mode"),
        help="low-pass keeps what is coarser than the fine limit, high-pass what is finer than the coarse one, band-pass what lies between; none "
        "weighs by the B-factor only.",
    )  # fmt: skip
    fine: Angstrom = Param(
        "Fine limit", 20.0, gt=0, le=2000, aliases=("highFreqA", "resolution", "lowpass"),
        help="Å, of low-pass and band-pass. Too coarse takes detail away, too fine leaves noise.",
    )  # fmt: skip
    coarse: Angstrom = Param(
        "Coarse limit", 200.0, gt=0, le=20000, aliases=("lowFreqA", "highpass"),
        help="Å, of high-pass and band-pass: takes ramps and clouds away. Finer than the particle, and its own shape goes.",
    )  # fmt: skip
    edge: float = Param(
        "Edge (shells)", 2.0, ge=0.1, le=100, advanced=True,
        help="Width of the raised cosine at each limit. A sharp one rings around the particle.",
    )  # fmt: skip
    b_factor: float = Param(
        "B-factor (Å²)", 0.0, ge=-2000, le=2000, advanced=True, aliases=("bfactor",),
        help="Amplitudes are multiplied by exp(-B s²/4): positive blurs, negative sharpens. A strong negative one raises noise above the particle.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.band == "none" and not self.b_factor:
            yield Hint("band", "none and a B-factor of 0 change nothing", fix="low-pass")
        if self.band == "band-pass" and self.coarse <= self.fine:
            yield Hint(
                "coarse", f"{self.coarse:g} Å leaves nothing: it must be coarser than the fine limit of {self.fine:g} Å", fix=10 * self.fine
            )
        box, pixel_size = grid_of(self.volume)
        if not box or not pixel_size:
            return
        if self._high and self.fine < 2 * pixel_size:
            yield Hint("fine", f"{self.fine:g} Å is finer than two pixels of {pixel_size:.4g} Å: nothing is filtered", fix=3 * pixel_size)
        if self._high and self.fine >= box * pixel_size:
            yield Hint("fine", f"{self.fine:g} Å is wider than the box of {box * pixel_size:.4g} Å: nothing would be left", fix=20.0)
        if self._low and self.coarse >= box * pixel_size:
            yield Hint("coarse", f"{self.coarse:g} Å is wider than the box of {box * pixel_size:.4g} Å: nothing is filtered", error=False)

    @property
    def _high(self) -> float | None:
        return self.fine if self.band in ("low-pass", "band-pass") else None

    @property
    def _low(self) -> float | None:
        return self.coarse if self.band in ("high-pass", "band-pass") else None

    def _curve(self, box: int, pixel_size: float) -> Any:
        from cryoloom.numerics.filters.maps import band_curve

        return band_curve(box, pixel_size, low=self._low, high=self._high, b_factor=self.b_factor, edge=self.edge)

    def run(self, job: Job) -> Filtered:
        import torch

        from cryoloom.numerics.filters.maps import multiply_shells

        torch.set_num_threads(1)

        def change(old: StoredMap) -> Any:
            return multiply_shells(old.data, self._curve(len(old.data), old.pixel_size))

        found = changed_maps(job, self.volume, change, kept=HALVES)
        assert isinstance(found, Volume)
        return Filtered(found)

    @property
    def _said(self) -> str:
        words = {
            "low-pass": f"low-passed at {self.fine:g} Å", "high-pass": f"high-passed at {self.coarse:g} Å",
            "band-pass": f"band-passed from {self.coarse:g} to {self.fine:g} Å", "none": "",
        }[self.band]  # fmt: skip
        weighed = f"weighted with a B-factor of {self.b_factor:g} Å²" if self.b_factor else ""
        return " and ".join(each for each in (words, weighed) if each)

    def summary(self, out: Filtered) -> Mapping[str, Any]:
        return {"maps": len(out.volume), "filter": self._said}

    def methods(self, out: Filtered) -> str:
        return f"{'The map was' if len(out.volume) == 1 else 'Maps were'} {self._said}."

    def report(self, out: Filtered) -> list[Panel]:
        import numpy as np

        from cryoloom.numerics.filters.maps import shell_amplitude
        from cryoloom.numerics.fsc.shells import shell_frequencies

        before, after = ([stored_map(maps, row) for row in rows_of(maps)] for maps in (self.volume, out.volume))
        labels = [f"map {each.row['id']}" for each in before]
        one, two = before[0], after[0]
        frequency = shell_frequencies(len(one.data), one.pixel_size).tolist()
        amplitudes = [shell_amplitude(each.data) for each in (one, two)]
        floor = 1e-4 * float(amplitudes[0][1:].max())
        marks = {f"{limit:g} Å": 1 / limit for limit in (self._low, self._high) if limit}
        return [
            map_panel("Before", [each.data for each in before], labels),
            map_panel("After", [each.data for each in after], labels, f"{self._said[0].upper()}{self._said[1:]}."),
            LinePlot(
                title="Filter", series=[Series("filter", frequency, self._curve(len(one.data), one.pixel_size).tolist())], marks=marks,
                x_label="resolution (Å)", y_label="factor", resolution_axis=True, caption="By what the amplitudes were multiplied.",
            ),
            LinePlot(
                title="Amplitude by resolution", x_label="resolution (Å)", y_label="log₁₀ of the mean amplitude", resolution_axis=True, marks=marks,
                series=[
                    Series(label, frequency, np.log10(np.maximum(each, floor)).tolist())
                    for label, each in zip(("before", "after"), amplitudes, strict=True)
                ],
                caption=f"Of {labels[0]}.",
            ),
        ]  # fmt: skip
