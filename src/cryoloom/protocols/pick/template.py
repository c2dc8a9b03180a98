"""pick.template: particles that look like class averages or like the projections of a map."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Classes2D, Classes3D, CTFs, Micrographs, Volume, symmetry_hints
from cryoloom.data.picking import (
    Border,
    Bright,
    Distance,
    Most,
    Picked,
    coordinates_of,
    pick_counts,
    size_hints,
    to_be_picked,
)
from cryoloom.data.picks import pick_rows
from cryoloom.report.panels import ImageGrid
from cryoloom.report.picks import picking_panels
from cryoloom.spec import Failure, Hint, Input, Item, Job, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom, Degrees

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")

FINE, COARSE, SHARE = 12.0, 25.0, 9.0
"""The low-pass, if none is given, is the diameter over the last, in Å, between the first two."""

FINEST_SHARE = 16.0
"""A low-pass finer than the diameter over this costs much and finds no more particles."""


class TemplatePick(
    Protocol,
    id="pick.template",
    version=2,
    outputs=Picked,
    cite=("10.1016/j.jsb.2003.11.007", "10.1016/j.jsb.2003.10.025", "10.1016/j.jsb.2014.11.010", "10.1038/nmeth1019"),
    aliases=("ProtRelion2Autopick", "ProtRelionAutopick", "ProtRelionAutopickFom"),
    streams="micrographs",
):
    """Compare every place with templates in all orientations, weighted by noise and CTF; then tell particles from noise, ice and edges.

    The score of a place is the likelihood ratio of its best template, the exact matched filter of coloured noise. What noise alone reaches with as many
    templates is learned from the same templates with the wrong sign, what particles reach from the candidates of the whole set, and what
    is stronger, or has more power than the particle explains, is taken for contamination. The result is the probability of being a particle.
    """

    micrographs: Micrographs = Input("Micrographs", help="The dose-weighted sums are used where there are any.")
    templates: Classes2D | Volume | Classes3D = Input(
        "Templates",
        aliases=("inputReferences",),
        help="Class averages (those that are selected), or a map, which is projected evenly. Of another pixel size they are rescaled; wrong templates "
        "find what looks like them, in noise, too.",
    )
    ctfs: CTFs | None = Input(
        "CTFs",
        optional=True,
        help="Applied to the templates; micrographs without a believable one are left out. Without CTFs fewer are found.",
    )
    diameter: Angstrom = Param(
        "Particle diameter", gt=0, wizard="particle-size", aliases=("particle_diameter", "particleDiameter", "boxSize"),
        help="Of the circle that templates are compared in. Too small cuts them, too large takes in neighbours and noise.",
    )  # fmt: skip
    angular_step: Degrees = Param(
        "Angular step of views", 20.0, ge=5, le=90,
        help="Between the directions in which a map is projected; 20 gives about 100 views of a particle without symmetry. Finer takes longer.",
    )  # fmt: skip
    psi_step: Degrees = Param(
        "In-plane step", 10.0, ge=2, le=90, aliases=("angularSampling", "psi_sampling"),
        help="Between the turns of each template. Larger ones lose particles that are many times larger than the detail used.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry of the map", "C1", aliases=("symmetryGroup",), help="Point group, axes as in RELION; spares views that are the same."
    )
    lowpass: Angstrom | None = Param(
        "Low-pass", None, ge=6, le=100, aliases=("lowpassFilterRefs",),
        help="Finer detail of templates is ignored. Empty takes a ninth of the diameter, 12 to 25 Å: finer and noise finds itself in the templates, "
        "coarser and ice looks like particles.",
    )  # fmt: skip
    probability: float = Param(
        "Least probability", 0.5, ge=0, le=1, aliases=("threshold",),
        help="Picks that are less likely to be particles are left out. Low values bring noise, high ones lose faint particles.",
    )  # fmt: skip
    bright: Bright
    template_contrast: Literal["auto", "bright", "dark"] = Param(
        "Particles in the templates are", "auto", advanced=True,
        help="auto looks whether their middle is brighter than their rim. Wrong, and nothing is found.",
    )  # fmt: skip
    whiten: bool = Param(
        "Whiten the noise", True, advanced=True,
        help="Weigh frequencies by what noise they have in each micrograph. Off, coarse ones decide, and ice and carbon are picked.",
    )  # fmt: skip
    distance: Distance
    border: Border
    most: Most

    def check(self) -> Iterator[Hint]:
        yield from size_hints(self.diameter, self.micrographs)
        yield from symmetry_hints(self.symmetry)
        if self.lowpass is not None and self.lowpass < self.diameter / FINEST_SHARE:
            yield Hint(
                "lowpass", f"{self.lowpass:g} Å is very fine for a particle of {self.diameter:g} Å: slow, and no more are found",
                fix=round(self.diameter / FINEST_SHARE, 1), error=False,
            )  # fmt: skip

    def run(self, job: Job) -> Picked:
        import torch

        torch.set_num_threads(1)
        work = to_be_picked(self.micrographs, self.ctfs, job, self.id)
        path, numbers = self._write_templates(job)
        rows = work.items.with_columns(templates_path=pl.lit(path))
        if self.ctfs is not None:
            known = [name for name in CTF_COLUMNS if name in self.ctfs.items.columns]
            rows = rows.join(self.ctfs.items.select(*known, id="micrograph_id"), on="id", how="left", maintain_order="left")
        found = job.map(self.alone().candidates, Dataset(rows, job.root, optics=work.optics)).rows.sort("id")
        picks = self._select(found, work.items, numbers)
        candidates = int(found["x"].list.len().sum())
        coordinates = coordinates_of(picks, self.micrographs, job, self.id, self.diameter, found.height, candidates)
        return Picked(coordinates.with_meta(templates_path=path, templates=len(numbers)))

    def _write_templates(self, job: Job) -> tuple[str, list[int]]:
        """Write the templates, bright, at the working pixel size; return the path and the number of each."""
        from cryoloom.formats.stack import write_stack
        from cryoloom.formats.templates import averages, template_map
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.picking.templates import SAMPLING, evenly_spaced_views, looks_dark, projections, resampled

        lowpass = self.lowpass or min(max(self.diameter / SHARE, FINE), COARSE)
        working = max(SAMPLING * lowpass, *self.micrographs.of_groups("pixel_size").values())
        if isinstance(self.templates, Classes2D):
            images, numbers, size = averages(self.templates, self.diameter, job.warn)
            dark = looks_dark(images, self.diameter / size)
            views = resampled(-images if self._inverts(dark) else images, size, working, self.diameter)
        else:
            volume, size = template_map(self.templates, self.diameter)
            views = projections(volume, size, evenly_spaced_views(self.angular_step, point_group(self.symmetry)), working, self.diameter)
            views = -views if self._inverts(looks_dark(views, self.diameter / working)) else views
            numbers = list(range(1, len(views) + 1))
        known = self.micrographs.of_groups("pixel_size").values()
        if not any(abs(size / each - 1) < 1e-3 for each in known):
            job.note(templates_pixel_size=size, micrographs_pixel_size=next(iter(known)))
            job.warn(f"Templates of {size:.4g} Å/px are rescaled to micrographs of {next(iter(known)):.4g} Å/px.")
        path = job.output("templates.mrcs")
        write_stack(path, views, working)
        return path.relative_to(job.root).as_posix(), numbers

    def _inverts(self, looks_dark: bool) -> bool:
        return looks_dark if self.template_contrast == "auto" else self.template_contrast == "dark"

    def candidates(self, item: Item) -> Mapping[str, Any]:
        """List the best matches of one micrograph and measure them."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.formats.templates import bank_of
        from cryoloom.numerics.ctf.model import ctf
        from cryoloom.numerics.picking.matched_filter import find_matches
        from cryoloom.numerics.picking.scene import resampled_micrograph

        torch.set_num_threads(1)
        bank, working = bank_of(item.file("templates_path"), self.psi_step)
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        try:
            scene = resampled_micrograph(image, item["pixel_size"], working, self.diameter, dark=not self.bright)
        except ValueError as problem:
            raise Failure("diameter-too-large", f"{item['micrograph_name']}: {problem}.", "Give the diameter in Å.") from problem
        if not bool(scene.pixels.any()):
            raise Failure("micrograph-blank", f"{item['micrograph_name']}: all its pixels are the same.", "Leave it out.")
        transfer = None
        if item.row.get("defocus_u") is not None:
            shape = {name: float(item[name]) for name in CTF_COLUMNS if item.row.get(name) is not None}
            optics = {name: float(item[name]) for name in ("voltage", "cs", "amplitude_contrast")}
            transfer = partial(ctf, **shape, **optics)  # pyright: ignore[reportCallIssue] (names as ctf's)
        matches = find_matches(scene, bank, transfer, border=self.border, whiten=self.whiten)
        lists = {name: getattr(matches, name) for name in ("x", "y", "strength", "features", "view", "psi", "decoys")}
        return {name: values.ravel().tolist() for name, values in lists.items()}

    def _select(self, rows: pl.DataFrame, micrographs: pl.DataFrame, numbers: list[int]) -> pl.DataFrame:
        """Sort the candidates of all `micrographs`, `rows`, into particles and others; return the particles, templates by their `numbers`."""
        import numpy as np

        from cryoloom.numerics.picking.matched_filter import FEATURES
        from cryoloom.numerics.picking.selection import MATCHES, best_apart, particle_probability, typical_noise

        def joined(column: str) -> "NDArray[np.float64]":
            return np.concatenate([np.asarray(values, dtype=np.float64) for values in rows[column]])

        counts = rows["x"].list.len().to_numpy()
        columns = {name: joined(name) for name in ("x", "y", "strength", "psi")}
        columns["class_id"] = np.asarray(numbers)[joined("view").astype(np.int64)]
        features, decoys = (joined(name).reshape(-1, len(FEATURES)) for name in ("features", "decoys"))
        columns["score"] = particle_probability(features, np.repeat(np.arange(rows.height), counts), decoys, MATCHES)
        if len(decoys):
            columns["strength"] /= np.exp(typical_noise(decoys))
        sizes, about = self.micrographs.of_groups("pixel_size"), {row["id"]: row for row in micrographs.iter_rows(named=True)}
        frames = []
        for micrograph, end, count in zip(rows["id"], np.cumsum(counts), counts, strict=True):
            mine = {name: values[int(end - count) : int(end)] for name, values in columns.items()}
            distance = self.distance * self.diameter / sizes[about[micrograph]["optics_group"]]
            place = (mine[name] for name in ("x", "y", "score", "strength"))
            best = best_apart(*place, least=self.probability, distance=distance, most=self.most)
            frames.append(pick_rows(about[micrograph], self.diameter, **{name: values[best] for name, values in mine.items()}))
        return pl.concat(frames)

    def summary(self, out: Picked) -> Mapping[str, Any]:
        return {**pick_counts(out), "templates": out.coordinates.meta["templates"]}

    def methods(self, out: Picked) -> str:
        source = "class averages" if isinstance(self.templates, Classes2D) else "evenly spaced projections of a map"
        weighed = f"{', multiplied by the CTF' if self.ctfs is not None else ''}{', the noise whitened' if self.whiten else ''}"
        return (
            f"Particles of {self.diameter:g} Å were picked by matched filtering with {out.coordinates.meta['templates']} {source} turned in steps of "
            f"{self.psi_step:g}°{weighed}, where the probability of a particle was at least {self.probability:g}. This gave {len(out.coordinates)} "
            f"positions in {out.coordinates.meta['picked_micrographs']} micrographs."
        )

    def report(self, out: Picked) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        images = read_mrc(out.coordinates.file(out.coordinates.meta["templates_path"])).data
        shown = images[:: max(1, -(-len(images) // 48))]
        uses = out.coordinates.items["class_id"].value_counts().sort("count", descending=True)
        return [
            *picking_panels(out.coordinates, read_mrc),
            ImageGrid(
                title="Templates", images=list(shown), size=70,
                caption=f"{len(shown)} of {len(images)}, as they were compared; {uses.height} of them found a particle.",
            ),
        ]  # fmt: skip
