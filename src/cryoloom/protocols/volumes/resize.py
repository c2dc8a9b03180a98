"""volumes.resize: maps and masks at another pixel size and box."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from cryoloom.data import Classes3D, Mask, Volume
from cryoloom.formats.map_sets import StoredMap, changed_maps, grid_of, rows_of, stored_map
from cryoloom.report.maps import map_panel
from cryoloom.report.panels import LinePlot, Series
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import AngstromPerPixel, Pixels

LEAST = 16
"""Voxels a side below which a map shows nothing."""
BYTES_A_VOXEL = 24
"""Memory that a map takes while it is made."""
COMPARED = 400
"""Voxels a side up to which a map's spectrum before and after is drawn."""

TINY = 1e-9
"""Amplitude that is drawn for none."""

Scale = Annotated[
    Literal["sampling-rate", "dimension", "factor", "pyramid", "none"],
    BeforeValidator(lambda value: {"0": "sampling-rate", "1": "dimension", "2": "factor", "3": "pyramid"}.get(str(value), value)),
]
"""What a map is scaled to, also by the numbers of Xmipp's form."""


@dataclass(frozen=True)
class Resized(Outputs):
    volume: Volume | None = None
    mask: Mask | None = None


class Resize(
    Protocol,
    id="volumes.resize",
    outputs=Resized,
    aliases=("XmippProtCropResizeVolumes", "ProtRelionResizeVolume"),
):
    """Bring maps or masks to another pixel size, then to another box; the centre stays the centre, and half maps keep in step.

    Pixels are made larger or smaller in Fourier space, where nothing that both samplings can hold is lost.
    """

    volume: Volume | Classes3D | Mask = Input(
        "Maps", help="One map, several, or a mask; all of a set are resized alike, with their half maps.", aliases=("inputVolumes", "input")
    )
    resize: Scale = Param(
        "Scale to", "sampling-rate", aliases=("resizeOption", "scale"),
        help="A pixel size, a box of so many pixels over the same extent, a factor or a level of a pyramid; none changes the box only. A value "
        "given alone decides.",
    )  # fmt: skip
    pixel_size: AngstromPerPixel | None = Param(
        "Pixel size", None, gt=0, le=100, when="resize=sampling-rate", aliases=("resizeSamplingRate", "rescaleSamplingRate"),
        help="Of the new map, exact to a ten-thousandth. Detail finer than twice of it is lost.",
    )  # fmt: skip
    scaled_size: Pixels | None = Param(
        "Box over the same extent", None, ge=LEAST, le=2000, when="resize=dimension", aliases=("resizeDim",),
        help="Pixels that the map is made of; its pixel size follows. Detail finer than two of them is lost.",
    )  # fmt: skip
    factor: float = Param(
        "Factor", 0.5, gt=0, le=20, when="resize=factor", aliases=("resizeFactor",),
        help="By which the number of pixels along each side grows: 0.5 halves it. Detail finer than two new pixels is lost.",
    )  # fmt: skip
    level: int = Param(
        "Level", 0, ge=-5, le=4, when="resize=pyramid", aliases=("resizeLevel",),
        help="The factor is 2 to this power; negative levels make maps smaller. The wrong sign makes them huge.",
    )  # fmt: skip
    interpolation: Literal["fourier", "linear"] = Param(
        "Scale by", "fourier", advanced=True,
        help="fourier keeps everything that fits; linear draws straight lines between voxels, for maps that memory does not hold otherwise: it blurs, "
        "and folds detail back when maps become smaller.",
    )  # fmt: skip
    window: Literal["none", "box", "crop"] = Param(
        "Then change the box", "none", aliases=("windowOperation",),
        help="To a box of so many pixels, or by taking pixels off each border. The pixel size stays; a box too small cuts the particle.",
    )  # fmt: skip
    window_size: Pixels | None = Param(
        "New box", None, ge=LEAST, le=2000, when="window=box", aliases=("windowSize", "resizeSize"),
        help="Pixels, smaller or larger than now; new voxels take the mean of the old rim, 0 in masks. Too small cuts the particle.",
    )  # fmt: skip
    crop_size: int = Param(
        "Pixels off each border", 0, ge=0, le=1000, when="window=crop", aliases=("cropSize",),
        help="The box loses twice as many. Too many cut the particle.",
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _given_alone(cls, given: Any) -> Any:
        """Scale and window by what is given, where it is not said: `scaled_size` = 100 means to that dimension."""
        if not isinstance(given, dict):
            return given
        ways = {"pixel_size": "sampling-rate", "scaled_size": "dimension", "factor": "factor", "level": "pyramid"}
        windows = {"window_size": "box", "crop_size": "crop"}
        way = next((way for name, way in ways.items() if given.get(name) is not None), None)
        window = next((window for name, window in windows.items() if given.get(name)), None)
        found = dict(given)
        if window and "window" not in given:
            found["window"] = window
        if "resize" not in given and (way or window):
            found["resize"] = way or "none"
        return found

    def check(self) -> Iterator[Hint]:
        needed = {"sampling-rate": "pixel_size", "dimension": "scaled_size"}.get(self.resize)
        if needed and getattr(self, needed) is None:
            yield Hint(needed, f"has to be given to scale by {self.resize}")
            return
        if self.window == "box" and self.window_size is None:
            yield Hint("window_size", "has to be given to change the box")
            return
        if self.resize == "none" and self.window == "none":
            yield Hint("resize", "changes nothing, and neither does the box: choose one")
            return
        box, pixel_size = grid_of(self.volume)
        if not box or not pixel_size:
            return
        scaled, new, _ = self.grids(box, pixel_size)
        if new < LEAST:
            at = self._decides()
            yield Hint(at, f"leaves a box of {new} px; a map needs {LEAST}")
        if scaled < 2 or scaled > 2000 or new > 2000:
            yield Hint(
                self._decides(),
                f"asks for a box of {max(scaled, new)} px, {max(scaled, new) ** 3 * BYTES_A_VOXEL / 1e9:.0f} GB of memory; 2000 px are the most",
            )

    def _decides(self) -> str:
        """Return the parameter that the size of the box hangs on."""
        if self.window != "none":
            return "window_size" if self.window == "box" else "crop_size"
        return {"sampling-rate": "pixel_size", "dimension": "scaled_size", "factor": "factor", "pyramid": "level", "none": "resize"}[
            self.resize
        ]

    def grids(self, box: int, pixel_size: float) -> tuple[int, int, float]:
        """Return the box that a map of a grid is scaled to, that which it is cut or padded to, and its pixel size in Å."""
        from cryoloom.numerics.particles.boxes import even_box

        scaled, size = box, pixel_size
        if self.resize == "sampling-rate" and self.pixel_size is not None:
            scaled, size = even_box(box * pixel_size / self.pixel_size), self.pixel_size
        elif self.resize == "dimension" and self.scaled_size is not None:
            scaled, size = self.scaled_size, pixel_size * box / self.scaled_size
        elif self.resize in ("factor", "pyramid"):
            factor = self.factor if self.resize == "factor" else 2.0**self.level
            scaled, size = even_box(box * factor), pixel_size / factor
        new = {"box": self.window_size or scaled, "crop": scaled - 2 * self.crop_size, "none": scaled}[self.window]
        return scaled, new, size

    def preview(self) -> Mapping[str, int | float | str]:
        box, pixel_size = grid_of(self.volume)
        if not box or not pixel_size:
            return {}
        _, new, size = self.grids(box, pixel_size)
        return {
            "from": f"{box} px of {pixel_size:.4g} Å",
            "box (px)": new,
            "pixel size (Å)": round(size, 5),
            "box (Å)": round(new * size, 1),
            "finest detail (Å)": round(2 * max(size, pixel_size), 3),
        }

    def run(self, job: Job) -> Resized:
        import torch

        from cryoloom.numerics.reconstruct.resample import centred_box, interpolated, matched, rim_mean

        torch.set_num_threads(1)
        first = stored_map(self.volume, rows_of(self.volume)[0])
        scaled, new, size = self.grids(len(first.data), first.pixel_size)
        self._demand_memory(max(scaled, new))

        def change(old: StoredMap) -> Any:
            if len(old.data) != len(first.data):
                raise Failure(
                    "maps-differ",
                    f"{old.row[old.column]} has {len(old.data)} voxels a side, the first map of the set {len(first.data)}.",
                    "Resize them apart.",
                )
            fill = 0.0 if old.column == "mask_path" else rim_mean(old.data)
            to = matched if self.interpolation == "fourier" else interpolated
            data = old.data if self.resize == "none" else to(old.data, old.pixel_size, scaled, size, fill=fill)
            data = centred_box(data, new, fill=fill)
            return data.clip(0.0, 1.0) if old.column == "mask_path" else data

        told = {"from_box": len(first.data), "from_pixel_size": first.pixel_size}
        found = changed_maps(job, self.volume, change, pixel_size=size, meta=told)
        return Resized(mask=found) if isinstance(found, Mask) else Resized(volume=found)

    def _demand_memory(self, box: int) -> None:
        import psutil

        needed, free = box**3 * BYTES_A_VOXEL, psutil.virtual_memory().available
        if needed > free:
            raise Failure(
                "too-large", f"A map of {box} voxels a side takes {needed / 1e9:.1f} GB while it is made; {free / 1e9:.1f} GB are free.",
                "Choose a smaller box or larger pixels, or interpolation linear.",
            )  # fmt: skip

    def summary(self, out: Resized) -> Mapping[str, Any]:
        made = out.mask if out.volume is None else out.volume
        if made is None:
            return {}
        meta = made.meta
        told: dict[str, Any] = {
            "from": f"{meta['from_box']}³ at {meta['from_pixel_size']:.4g} Å",
            "to": f"{meta['box_size']}³ at {meta['pixel_size']:.4g} Å",
        }
        return told | {"maps": len(made), "half maps": "yes" if "half_map1_path" in made.items.columns else "no"}

    def methods(self, out: Resized) -> str:
        made = out.mask if out.volume is None else out.volume
        if made is None:
            return ""
        meta = made.meta
        how = "in Fourier space" if self.interpolation == "fourier" else "by linear interpolation"
        scaled = "" if self.resize == "none" else f" from {meta['from_pixel_size']:.4g} to {meta['pixel_size']:.4g} Å per voxel {how}"
        return f"The {'mask' if out.volume is None else 'map'} was resampled{scaled}, to a box of {meta['box_size']} voxels."

    def report(self, out: Resized) -> list[Panel]:
        made = out.mask if out.volume is None else out.volume
        if made is None:
            return []
        pairs = [
            (f"map {row['id']}", stored_map(self.volume, row), stored_map(made, new))
            for row, new in zip(rows_of(self.volume), rows_of(made), strict=True)
        ]
        labels = [label for label, *_ in pairs]
        meta = made.meta
        panels = [
            map_panel(
                "Before", [old.data for _, old, _ in pairs], labels, f"{meta['from_box']} voxels of {meta['from_pixel_size']:.4g} Å."
            ),
            map_panel("After", [new.data for *_, new in pairs], labels, f"{meta['box_size']} voxels of {meta['pixel_size']:.4g} Å."),
        ]
        if max(meta["from_box"], meta["box_size"]) > COMPARED:
            return panels
        return [*panels, self._spectra(pairs[0][1], pairs[0][2])]

    def _spectra(self, before: StoredMap, after: StoredMap) -> Panel:
        import numpy as np

        from cryoloom.numerics.filters.maps import shell_amplitude
        from cryoloom.numerics.fsc.shells import shell_frequencies

        curves = []
        for label, each in (("before", before), ("after", after)):
            frequency, amplitude = shell_frequencies(len(each.data), each.pixel_size), shell_amplitude(each.data)
            # By the volume of a voxel, so that the same density has the same amplitude however it is sampled.
            curves.append(Series(label, frequency.tolist(), np.log10(amplitude * each.pixel_size**3 + TINY).tolist()))
        return LinePlot(
            title="Amplitude by resolution", series=curves, x_label="resolution (Å)", y_label="log₁₀ of the mean amplitude", resolution_axis=True,
            caption="The two lie on each other up to the coarser of the two samplings; beyond it only the corners of its transform are left.",
        )  # fmt: skip
