"""postprocess.local_sharpen: every place of a map sharpened to its own resolution."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Volume
from cryoloom.formats.local_resolution import ALIKE, HALVES, measured_maps
from cryoloom.formats.map_sets import grid_of, rows_of, stored_map
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.report.maps import map_panel
from cryoloom.report.panels import LinePlot, MapSlices, MapSurface, Series, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import InverseSquareAngstrom

SETTLED = 0.2
"""Change of the step size between rounds below which automatic rounds end."""
AT_NYQUIST = 0.75
"""Å beyond two voxels: where all is so fine, one round is enough."""
MOST_ROUNDS = 10
COARSE = 6.0
"""Å, from which a smaller strength is advised."""
UNLIKELY = (1.0, 100.0)
"""Å between which medians of resolutions lie."""


@dataclass(frozen=True)
class LocallySharpened(Outputs):
    volume: Volume
    iterations: Volume


class LocalSharpen(
    Protocol,
    id="postprocess.local_sharpen",
    version=2,
    outputs=LocallySharpened,
    cite=("10.1093/bioinformatics/btz671",),
    aliases=("XmippProtLocSharp",),
):
    """Deblur a map by iterated steps that raise in every place the detail near its local resolution, and end the map there.

    For looking and modelling: a sharpened map tells no resolution. Memory: eight volumes of float32, 0.9 GB at 300 voxels, two more with each thread.
    """

    volume: Volume = Input(
        "Map", help="Unsharpened. Of one with half maps, or an unfiltered map of both, that is sharpened.", aliases=("inputVolume",)
    )
    resolution: Volume = Input(
        "Local resolution",
        help="Map of resolutions in Å of the same grid, from `validate.local_resolution`.",
        aliases=("resolutionVolume",),
    )
    strength: InverseSquareAngstrom = Param(
        "K", 0.025, gt=0, le=1, advanced=True, aliases=("const_K", "K"),
        help="How fast weights fall with the distance of a band from the local resolution; 0.01 to 0.05, 0.01 for maps worse than 6 Å. Large raises little.",
    )  # fmt: skip
    step_size: float = Param(
        "Step λ", 1.0, gt=0, le=100, advanced=True, aliases=("const", "lambda"),
        help="How far each step goes; 1 chooses it by the map. Too large sharpens too much at once.",
    )  # fmt: skip
    rounds: int = Param(
        "Rounds", 1, ge=-1, le=MOST_ROUNDS, advanced=True, aliases=("niter", "Niter"),
        help="How often the sharpened map is sharpened again; -1 goes on until the step settles. More than one sharpens too much.",
    )  # fmt: skip
    keep_iterations: bool = Param(
        "Keep every step",
        True,
        advanced=True,
        help="The map after each step, as a set to choose from. Off, only the last is kept; on takes room.",
    )

    def check(self) -> Iterator[Hint]:
        if self.rounds == 0:
            yield Hint("rounds", "0 would leave the map as it is; -1 is automatic", fix=1)
        (box, size), (other, other_size) = grid_of(self.volume), grid_of(self.resolution)
        if box and other and box != other:
            yield Hint("resolution", f"has {other} voxels a side, the map {box}")
        elif size and other_size and abs(other_size / size - 1) > ALIKE:
            yield Hint("resolution", f"has voxels of {other_size:.4g} Å, the map of {size:.4g} Å")
        median = self.resolution.meta.get("median")
        if median and median > COARSE and self.strength > 0.015:
            yield Hint("strength", f"is much for a map of {median:.1f} Å", fix=0.01, error=False)

    def run(self, job: Job) -> LocallySharpened:
        import numpy as np
        import torch

        from cryoloom.numerics.filters.maps import shell_amplitude

        torch.set_num_threads(1)
        row = rows_of(self.volume)[0]
        whole = stored_map(self.volume, row, "unfiltered_path") if row.get("unfiltered_path") else None
        measured = measured_maps(self.volume, halves=whole is None)
        data, size = (measured.whole if whole is None else whole.data), measured.pixel_size
        resolution = self._resolutions(job, data, size)
        current, steps = self._sharpened(job, data, resolution, size, measured.origin)
        path = job.output("sharpened.mrc")
        write_mrc(path, current, size, volume=True, origin=measured.origin)
        inside = resolution > 0
        told = {
            "pixel_size": size, "box_size": len(data), "steps": steps, "lambda": steps[-1]["lambda"],
            "rms_ratio": float(np.std(current[inside], dtype=np.float64) / np.std(data[inside], dtype=np.float64)),
            "amplitudes": {"before": shell_amplitude(data).tolist(), "after": shell_amplitude(current).tolist()},
            "finest": float(np.quantile(resolution[inside], 0.02)),
        }  # fmt: skip
        kept = {name: [row[name]] for name in ("unfiltered_path", *HALVES) if row.get(name)}
        own = {"id": [1], "box_size": [len(data)], "volume_path": [path.relative_to(job.root).as_posix()]}
        files = [self._name(each["round"], each["step"]) for each in steps] if self.keep_iterations else ["sharpened.mrc"]
        places = [job.output(name).relative_to(job.root).as_posix() for name in files]
        count = len(files)
        series = pl.DataFrame({"id": list(range(1, count + 1)), "box_size": [len(data)] * count, "volume_path": places})
        grid = {"pixel_size": size, "box_size": len(data)}
        return LocallySharpened(Volume(pl.DataFrame(own | kept), job.root, meta=told), Volume(series, job.root, meta=grid))

    def _sharpened(
        self, job: Job, data: Any, resolution: Any, size: float, origin: tuple[float, float, float]
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Return the sharpened map, and what each step did; every step's map is written as it is made."""
        from cryoloom.numerics.localres.deblur import Deblurring

        steps: list[dict[str, Any]] = []
        sizes: list[float] = []
        fine = float(resolution.max()) - 2 * size < AT_NYQUIST
        for number in range(1, (1 if fine else MOST_ROUNDS) + 1 if self.rounds < 0 else self.rounds + 1):
            deblurring = Deblurring(data, resolution, size, self.strength, self.step_size, job.threads)

            def step(state: dict[str, Any], number: int = number, deblurring: Deblurring = deblurring) -> dict[str, Any]:
                state = deblurring.step(state)
                if self.keep_iterations:
                    path = job.output(self._name(number, len(state["norms"])))
                    write_mrc(path, deblurring.limited(state["volume"]), size, volume=True, origin=origin)
                job.note(step=len(state["norms"]), norm=state["norms"][-1])
                return state

            state = job.iterate(deblurring.start, step, done=deblurring.done, name=f"round{number}")
            data = deblurring.limited(state["volume"])
            sizes.append(state["lambda"])
            for place, (norm, ratio) in enumerate(zip(state["norms"], [None, *state["changes"]], strict=True), 1):
                steps.append({"round": number, "step": place, "lambda": state["lambda"], "norm": norm, "ratio": ratio})
            if self.rounds < 0 and len(sizes) > 1 and abs(sizes[-1] - sizes[-2]) <= SETTLED:
                break
        return data, steps

    @staticmethod
    def _name(number: int, step: int) -> str:
        return f"round{number}_step{step:02d}.mrc"

    def _resolutions(self, job: Job, data: Any, size: float) -> Any:
        """Return the map of resolutions, 0 outside, of the map's grid."""
        import numpy as np

        stored = stored_map(self.resolution, rows_of(self.resolution)[0])
        path = stored.row["volume_path"]
        if len(stored.data) != len(data) or abs(stored.pixel_size / size - 1) > ALIKE:
            text = f"{path} has {len(stored.data)} voxels of {stored.pixel_size:.4g} Å, the map {len(data)} of {size:.4g} Å."
            raise Failure("maps-differ", text, "Measure the local resolution of this very map.")
        resolution = stored.data
        if float(resolution.min()) < 0:
            raise Failure("resolution-negative", f"{path} goes down to {float(resolution.min()):.3g} Å.", "Give a map of resolutions in Å.")
        if float(resolution.min()) > 0:
            # Other programs fill the solvent with one value.
            resolution = np.where(resolution == resolution[0, 0, 0], np.float32(0), resolution)
        if np.corrcoef(resolution[::3, ::3, ::3].ravel(), data[::3, ::3, ::3].ravel())[0, 1] > 0.99:
            raise Failure("resolution-is-map", f"{path} is the map itself.", "Give a map of resolutions in Å.")
        if not (resolution > 0).any():
            raise Failure("resolution-empty", f"{path} is nowhere above 0.", "Measure the local resolution first.")
        median = float(np.median(resolution[resolution > 0]))
        if not UNLIKELY[0] <= median <= UNLIKELY[1]:
            job.warn(f"The median of {path} is {median:.3g}: is it in Å?")
        return resolution

    def summary(self, out: LocallySharpened) -> Mapping[str, Any]:
        meta = out.volume.meta
        return {
            "steps": len(meta["steps"]),
            "rounds": meta["steps"][-1]["round"],
            "λ": round(meta["lambda"], 2),
            "RMS ratio": round(meta["rms_ratio"], 3),
        }

    def methods(self, out: LocallySharpened) -> str:
        meta = out.volume.meta
        how = f"LocalDeblur, K {self.strength:g} 1/Å², λ {meta['lambda']:.1f}, {len(meta['steps'])} steps"
        return f"The map was sharpened by its local resolution ({how}), and low-passed at it."

    def report(self, out: LocallySharpened) -> list[Panel]:
        import numpy as np

        from cryoloom.numerics.fsc.shells import shell_frequencies

        meta = out.volume.meta
        before, after = stored_map(self.volume, rows_of(self.volume)[0]).data, stored_map(out.volume, rows_of(out.volume)[0]).data
        rows = rows_of(out.iterations)
        series = [read_mrc(out.iterations.file(row["volume_path"])).data for row in rows]
        frequency = shell_frequencies(len(after), meta["pixel_size"]).tolist()
        spectra = {name: np.asarray(values) for name, values in meta["amplitudes"].items()}
        floor = 1e-5 * float(spectra["before"][1:].max())
        steps = meta["steps"]
        count = [float(number) for number in range(1, len(steps) + 1)]
        return [
            MapSlices(title="Before", volume=before, caption="Slices through the centre of the input as it is shown."),
            MapSlices(title="Sharpened", volume=after),
            MapSurface(title="Input in three dimensions", volume=before, level=float(np.quantile(before, 0.99)), caption="Seen along z, x and y."),
            MapSurface(title="Sharpened in three dimensions", volume=after, level=float(np.quantile(after, 0.99)), caption="At a level that encloses as much."),
            map_panel("Steps", series, [f"step {row['id']}" for row in rows], "The middle slice after each step; the last is the result."),
            LinePlot(
                title="Amplitude by resolution", x_label="resolution (Å)", y_label="log₁₀ of the mean amplitude", resolution_axis=True,
                marks={f"{meta['finest']:.1f} Å": 1 / meta["finest"]},
                series=[Series(name, frequency, np.log10(np.maximum(values, floor)).tolist()) for name, values in spectra.items()],
                caption="Of the whole box. Every place ends at its local resolution.",
            ),
            LinePlot(
                title="Steps towards the sharpened map", x_label="step", y_label="norm of what the local filter leaves",
                series=[Series("norm", count, [each["norm"] for each in steps])],
            ),
            TableView(title="Steps and norms", columns={name: [each[name] for each in steps] for name in ("round", "step", "lambda", "norm", "ratio")}),
        ]  # fmt: skip
