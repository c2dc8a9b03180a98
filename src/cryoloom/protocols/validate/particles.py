"""validate.particles: whether particle images support the map that was made of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryoloom.data import Checks, Particles, Volume, symmetry_hints
from cryoloom.formats.alignment import POSE, Alignable, alignable, map_rows, on_grid, poses_of
from cryoloom.formats.map_sets import stored_map
from cryoloom.report import image_checks as said
from cryoloom.report.map_checks import checked, panels
from cryoloom.report.panels import Histogram, LinePlot, Series
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

BEYOND = 1.6
"""Times the resolution to which images are compared: what is beyond the map's had no part in their poses."""
POSES_AT, SYMMETRY_AT = 20.0, 18.0
"""Å to which images are told from their negatives, and mates from each other."""
LEAST = 50


@dataclass(frozen=True)
class Judged(Outputs):
    checks: Checks


class ValidateParticles(
    Protocol,
    id="validate.particles",
    outputs=Judged,
    cite=("10.1016/j.jsb.2012.09.006",),
):
    """Ask images, at their poses, whether they show the map, and whether their transfer functions, phases, pixel size and its symmetry are right.

    Some of the images are compared with the half map that they are not in. Memory: that of their coefficients, some 100 MB.
    """

    particles: Particles = Input(
        "Particles", columns=(*POSE, "half_set"), aliases=("inputParticles",), help="With poses and halves, from a refinement."
    )
    volume: Volume = Input("Map", aliases=("inputVolume",), help="That of the same refinement, with its half maps.")
    sample: int = Param(
        "Particles looked at", 400, ge=LEAST, le=20_000,
        help="Taken evenly from the set. More take longer, and tell smaller faults.",
    )  # fmt: skip
    mask_diameter: Angstrom | None = Param(
        "Mask diameter", None, gt=0, aliases=("particle_diameter", "maskDiameterA"),
        help="Circle inside which images are compared; empty takes the refinement's. Too wide and neighbours count.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "", aliases=("symmetryGroup",),
        help="That was imposed on the map, to be tested; empty takes the refinement's.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self._symmetry)
        if "half_map1_path" not in self.volume.items.columns:
            yield Hint("volume", "has no half maps: images are compared with the half map that they are not in. Take a refinement's")
        if not self._diameter:
            yield Hint("mask_diameter", "is not known of this map: give the particle's largest diameter plus a tenth")
        if (count := self.particles.enabled().height) < LEAST:
            yield Hint("particles", f"are {count}: at least {LEAST} are needed")
        own, of_map = self.particles.meta.get("halves"), self.volume.meta.get("halves")
        if own and of_map and own != of_map:
            yield Hint("volume", "is of another refinement than the particles: their halves differ", error=False)

    def automatic(self) -> Mapping[str, Any]:
        return {"mask_diameter": self._diameter, "symmetry": self._symmetry}

    def run(self, job: Job) -> Judged:
        import torch

        from cryoloom.numerics.align.image_checks import FACTORS, image_checks
        from cryoloom.numerics.align.symmetry_support import asymmetric_gain
        from cryoloom.numerics.geometry.symmetry import point_group
        from cryoloom.numerics.masks.soft import spherical_mask

        torch.set_num_threads(1)
        rows = self.particles.enabled()
        halves_of = rows["half_set"]
        if halves_of.null_count() or not {1, 2} <= set(halves_of.unique()):
            raise Failure("half-sets", "The column half_set must hold 1 and 2.", "Take the particles of a refinement in halves.")
        some = self.particles.select(rows["id"].gather_every(max(1, rows.height // self.sample)).head(self.sample))
        job.progress(0, 2, "images")
        resolution = self._resolution()
        loaded = alignable(some, self._diameter, finest=resolution / BEYOND, least=LEAST // 2)
        maps = self._halves(loaded)
        sphere = spherical_mask(loaded.box, loaded.mask_diameter / 2 / loaded.pixel_size, 4.0)
        extent, last = loaded.box * loaded.pixel_size, loaded.images.plane.last
        found = image_checks(
            loaded.images, loaded.rows["half_set"].to_numpy() - 1, (maps[0] * sphere, maps[1] * sphere), *poses_of(loaded),
            coarse=min(max(6, round(extent / POSES_AT)), last), known=min(round(extent / resolution), last),
        )  # fmt: skip
        checks = [*said.few(rows.height), said.shown(found.shown, found.gain)]
        flipped = any(group.phase_flipped for group in loaded.images.transfers.optics)
        if found.shown:
            checks += [said.foreign(found.foreign), said.explained(found.explained, found.foreign)]
            if len(found.gains) > 1:
                checks.append(said.transfers(found.foreign_ctfs))
                checks.append(said.defocus(found.defocus_factor, float(found.gains.max() / found.gain - 1.0), loaded.pixel_size))
            if (told := said.phases(found.wrong_phases, flipped)) is not None:
                checks.append(told)
        job.progress(1, 2, "symmetry")
        group = point_group(self._symmetry)
        if group.order > 1 and found.shown:
            low = alignable(some, self._diameter, finest=SYMMETRY_AT, least=LEAST // 2)
            radius = low.mask_diameter / 2 / low.pixel_size
            checks.append(said.symmetry(group.name, asymmetric_gain(low.images, *poses_of(low), group, radius, job.seed)))
        for check in checks:
            if check.verdict == "warning":
                job.warn(check.message)
        meta = {
            "factors": FACTORS.tolist() if len(found.gains) > 1 else [1.0], "gains": found.gains.tolist(),
            "images": found.images.tolist(), "negatives": found.negatives.tolist(),
        }  # fmt: skip
        return Judged(checked(checks, job.root, meta))

    @property
    def _diameter(self) -> float:
        return float(self.mask_diameter or self.volume.meta.get("mask_diameter") or self.particles.meta.get("mask_diameter") or 0.0)

    @property
    def _symmetry(self) -> str:
        return self.symmetry or str(self.volume.meta.get("symmetry") or self.particles.meta.get("symmetry") or "C1")

    def _resolution(self) -> float:
        """Return to what the half maps agree within the mask diameter, Å."""
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
        from cryoloom.numerics.masks.soft import spherical_mask

        row = map_rows(self.volume).row(0, named=True)
        first, second = (stored_map(self.volume, row, f"half_map{number}_path") for number in (1, 2))
        box, size = len(first.data), first.pixel_size
        sphere = spherical_mask(box, min(self._diameter / size, box) / 2, 4.0)
        return resolution_at(fourier_shell_correlation(first.data * sphere, second.data * sphere), 0.143, box, size)

    def _halves(self, loaded: Alignable) -> tuple[Any, Any]:
        row = map_rows(self.volume).row(0, named=True)
        first, second = (on_grid(self.volume, str(row[f"half_map{number}_path"]), loaded, lambda _: None) for number in (1, 2))
        return first, second

    def summary(self, out: Judged) -> Mapping[str, Any]:
        verdicts = out.checks.items["verdict"]
        return {level: int((verdicts == level).sum()) for level in ("good", "advice", "warning")}

    def methods(self, out: Judged) -> str:
        wrong = int((out.checks.items["verdict"] == "warning").sum())
        count = len(out.checks.meta["images"])
        return f"{count} images were compared with the half maps that they are not in; {wrong or 'none'} of {len(out.checks)} checks raised a warning."

    def report(self, out: Judged) -> list[Panel]:
        meta = out.checks.meta
        found = panels(out.checks)
        if len(meta["factors"]) > 1:
            found.append(
                LinePlot(
                    title="Defocus of all images", x_label="defocus, in times what the table gives", y_label="log-likelihood per image",
                    series=[Series("gain", meta["factors"], meta["gains"])], marks={"as given": 1.0},
                    caption="A maximum elsewhere than at 1 tells of a wrong pixel size or voltage.",
                )
            )  # fmt: skip
        difference = [one - two for one, two in zip(meta["images"], meta["negatives"], strict=True)]
        found.append(
            Histogram(
                title="Images against their negatives", values=difference, label="log-likelihood, image less its negative",
                caption="Of images that show the map it is positive; those of noise lie evenly about 0.",
            )
        )  # fmt: skip
        return found
