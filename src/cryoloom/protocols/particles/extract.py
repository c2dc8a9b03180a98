"""particles.extract: cut, clean and normalise boxes, and give each its CTF."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Coordinates, CTFs, Micrographs, Particles
from cryoloom.report.panels import Histogram, ImageGrid
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Pixels, Sigmas

SHIFTS = ("origin_x", "origin_y", "offset_x", "offset_y")
"""Å, 0 where a set does not say: of a particle in its box, and of the first pixel of its micrograph, which cropping moves."""

CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_score", "ctf_resolution")


@dataclass(frozen=True)
class Extracted(Outputs):
    particles: Particles


class Extract(
    Protocol,
    id="particles.extract",
    outputs=Extracted,
    cite=("10.1016/j.jsb.2013.07.015",),
    aliases=("XmippProtExtractParticles", "ProtRelionExtractParticles"),
    streams="micrographs",
):
    """Bin the micrograph, remove dust, cut a box around every coordinate, invert, and normalise its background.

    A particle keeps the id of its coordinate. Boxes are cut at whole pixels; what remains is kept as the particle's origin.
    """

    coordinates: Coordinates | Particles = Input(
        "Coordinates", help="Where the particles are; a set of particles is extracted again at its centres, keeping ids, classes and poses."
    )
    micrographs: Micrographs = Input("Micrographs", help="What to cut from: the dose-weighted sums where there are any.")
    ctfs: CTFs | None = Input("CTFs", optional=True, help="One a micrograph; micrographs without a believable one are left out.")
    box_size: Pixels = Param(
        "Box size", ge=16, multiple_of=2, wizard="box-size", aliases=("boxSize",),
        help="In output pixels, after binning; about 1.5 times the particle. Too small cuts what the CTF has spread.",
    )  # fmt: skip
    bin: float = Param(
        "Binning", 1.0, ge=1, le=32, aliases=("downFactor", "bin_factor"),
        help="Factor by which micrographs are made smaller first; any number. Detail finer than twice the new pixel size is lost.",
    )  # fmt: skip
    invert: bool = Param("Invert contrast", True, aliases=("doInvert",), help="Make particles bright. Later steps need it.")
    remove_dust: bool = Param(
        "Remove dust", True, aliases=("doRemoveDust",), help="Replace outlying pixels. Off, hot pixels dominate classes."
    )
    dust_threshold: Sigmas = Param(
        "Dust threshold", 5.0, gt=1, advanced=True, when="remove_dust", aliases=("thresholdDust",),
        help="Pixels beyond this many standard deviations are dust. Too low bites into the particles.",
    )  # fmt: skip
    phase_flip: bool = Param(
        "Flip phases", False, aliases=("doFlip",), help="Correct the phases of the micrograph. Later steps then use |CTF|; needs CTFs."
    )
    normalisation: Literal["ramp", "background", "none"] = Param(
        "Normalise", "ramp", advanced=True, aliases=("normType",),
        help="Background to mean 0 and deviation 1, with or without its slope taken off first. Without it, likelihoods are wrong.",
    )  # fmt: skip
    background_radius: Pixels | None = Param(
        "Background radius", None, gt=0, advanced=True, aliases=("backRadius",),
        help="Pixels further out are background; empty takes half the box. Too small counts the particle as background.",
    )  # fmt: skip
    fill_borders: bool = Param(
        "Keep particles at borders", False, advanced=True, aliases=("doBorders",),
        help="Fill what lies outside the micrograph with its nearest pixel instead of dropping the particle. Streaks can mislead alignment.",
    )  # fmt: skip
    weighted: bool = Param(
        "Use dose-weighted micrographs", True, advanced=True,
        help="Where there are both. Unweighted ones keep the noise of damaged late frames at high resolution.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.phase_flip and self.ctfs is None:
            yield Hint("phase_flip", "needs CTFs to flip by", fix=False)
        if self.invert and any(group.get("contrast") == "bright" for group in self.micrographs.optics):
            yield Hint("invert", "makes particles dark: these micrographs are inverted already", fix=False, error=False)
        if self.background_radius is not None and self.background_radius > self.box_size / 2:
            yield Hint(
                "background_radius", f"{self.background_radius} px lies outside the box of {self.box_size} px", fix=self.box_size // 2 - 1
            )

    def run(self, job: Job) -> Extracted:
        from cryoloom.numerics.particles.extract import exact_ratio

        ratio = exact_ratio(self.bin)
        work = self._work(job)
        result = job.map(self.alone().cut, work, name="micrographs")
        cut = result.rows
        if cut.is_empty() or "stack_path" not in cut.columns:
            raise Failure(
                "no-particles",
                f"particles.extract: none of {len(self.coordinates)} coordinates has its box of {self.box_size} px inside a micrograph.",
                "Use a smaller box, or check that coordinates and micrographs belong together.",
            )
        source = self.coordinates.items
        kept = source.drop([name for name in (*cut.columns, "micrograph_path") if name != "id" and name in source.columns])
        particles = cut.join(kept, on="id", how="left", maintain_order="left")
        if "enabled" in particles.columns:
            particles = particles.filter(pl.col("enabled"))
        particles = particles.with_columns(enabled=pl.lit(True), fail_reason=pl.lit(""))
        return Extracted(
            Particles(particles, job.root, optics=self._optics(float(ratio)), meta=self._meta(particles.height, result.failed))
        )

    def _work(self, job: Job) -> Dataset:
        """Return the micrographs with their CTF and the coordinates on them, in px of these micrographs, as lists."""
        rows = self.coordinates.enabled()
        here = self._scales()
        of_set = "micrograph_pixel_size" if "micrograph_pixel_size" in rows.columns else "pixel_size"
        rows = rows.with_columns(pl.lit(0.0).alias(name) for name in SHIFTS if name not in rows.columns)
        rows = rows.with_columns(pl.col(SHIFTS).fill_null(0.0)).join(here, on="micrograph_id", how="inner", maintain_order="left")
        centres = [
            (pl.col(axis) * pl.col(of_set) + pl.col(f"offset_{axis}") - pl.col(f"origin_{axis}") - pl.col(f"start_{axis}"))
            / pl.col("scale")
            for axis in "xy"
        ]
        if rows.is_empty():
            raise Failure(
                "no-common-micrographs", "No coordinate lies on one of these micrographs.", "Give the micrographs they were picked on."
            )
        lists = (
            rows.select("micrograph_id", "id", *centres).group_by("micrograph_id", maintain_order=True).agg(particle_ids="id", x="x", y="y")
        )
        work = self.micrographs.items.join(lists, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")
        if self.ctfs is not None:
            good = self.ctfs.enabled()
            columns = [name for name in CTF_COLUMNS if name in good.columns]
            without = work.join(good, left_on="id", right_on="micrograph_id", how="anti").height
            if without:
                job.warn(f"{without} micrographs have no believable CTF; their particles are left out.")
            ctf = good.select("micrograph_id", *columns)
            work = work.join(ctf, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")
        return Dataset(work, job.root, optics=self.micrographs.optics)

    def _scales(self) -> pl.DataFrame:
        """Return pixel size and offset of the first pixel, Å, of every micrograph to cut from."""
        groups = [
            {"optics_group": group["optics_group"], "scale": float(group["pixel_size"])}
            | {f"start_{axis}": float(group.get(f"offset_{axis}") or 0.0) for axis in "xy"}
            for group in self.micrographs.optics
        ]
        rows = self.micrographs.items.select("optics_group", micrograph_id="id")
        return rows.join(pl.DataFrame(groups, infer_schema_length=None), on="optics_group", how="left").drop("optics_group")

    def cut(self, item: Item) -> list[dict[str, Any]]:
        """Cut all particles of one micrograph into one stack."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.formats.stack import write_stack
        from cryoloom.numerics.particles.extract import bin_image, cut_boxes, exact_ratio, flip_phases, inside
        from cryoloom.numerics.particles.normalise import background_radius, normalise, remove_dust

        torch.set_num_threads(1)
        weighted = self.weighted and item.row.get("weighted_path")
        image = np.ascontiguousarray(read_mrc(item.file("weighted_path" if weighted else "micrograph_path")).data, dtype=np.float32)
        if not np.isfinite(image).all():
            raise Failure("micrograph-nan", f"{item['micrograph_name']}: {np.count_nonzero(~np.isfinite(image))} pixels are not numbers.")
        ratio = exact_ratio(self.bin)
        factor, pixel_size = float(ratio), item["pixel_size"] * float(ratio)
        small = bin_image(image, ratio)
        if self.remove_dust:
            small, _ = remove_dust(small, self.dust_threshold, np.random.default_rng(item.seed))
        if self.phase_flip:
            defocus = tuple(float(item[name]) for name in ("defocus_u", "defocus_v", "defocus_angle", "phase_shift"))
            optics = {"voltage": item["voltage"], "cs": item["cs"], "ac": item["amplitude_contrast"]}
            small = flip_phases(small, pixel_size, defocus, **optics)  # pyright: ignore[reportArgumentType] (four numbers)
        exact = np.stack([item["x"], item["y"]], axis=1) / factor
        centres = np.rint(exact).astype(np.int64)
        fits = inside(centres, self.box_size, small.shape)
        keep = np.flatnonzero(np.all((centres >= 0) & (centres < small.shape[::-1]), axis=1) if self.fill_borders else fits)
        if keep.size == 0:
            return []
        boxes = cut_boxes(small, centres[keep], self.box_size)
        boxes = -boxes if self.invert else boxes
        if self.normalisation != "none":
            boxes = normalise(boxes, background_radius(self.box_size, self.background_radius), ramp=self.normalisation == "ramp")
        path = item.output("_particles.mrcs")
        write_stack(path, boxes, pixel_size)
        origins = (centres - exact) * pixel_size
        ctf = {name: item[name] for name in CTF_COLUMNS if name in item.row}
        common = {
            "micrograph_id": item.id,
            "micrograph_name": item["micrograph_name"],
            "optics_group": item["optics_group"],
            "stack_path": path,
        }
        return [
            {
                "id": item["particle_ids"][number],
                **common,
                "stack_index": index,
                "x": float(centres[number, 0] * factor),
                "y": float(centres[number, 1] * factor),
                "origin_x": float(origins[number, 0]),
                "origin_y": float(origins[number, 1]),
                **ctf,
            }
            for index, number in enumerate(keep.tolist())
        ]

    def _optics(self, factor: float) -> list[dict[str, Any]]:
        return [
            {
                **{name: value for name, value in group.items() if name not in ("dose_per_frame", "pre_exposure")},
                "micrograph_pixel_size": group["pixel_size"],
                "pixel_size": group["pixel_size"] * factor,
                "box_size": self.box_size,
                "contrast": "bright" if self.invert != (group.get("contrast") == "bright") else "dark",
                "phase_flipped": self.phase_flip,
                "ctf_premultiplied": False,
            }
            for group in self.micrographs.optics
        ]

    def _meta(self, count: int, failed: dict[int, str]) -> dict[str, Any]:
        asked = self.coordinates.enabled().height
        kept = {name: self.coordinates.meta[name] for name in ("diameter", "id_space") if self.coordinates.meta.get(name) is not None}
        return {"coordinates": asked, "left_out": asked - count, "failed_micrographs": len(failed), **kept}

    def summary(self, out: Extracted) -> dict[str, Any]:
        optics = out.particles.optics[0]
        return {
            "particles": len(out.particles),
            "at borders or without CTF": out.particles.meta["left_out"],
            "box (px)": self.box_size,
            "pixel size (Å)": round(optics["pixel_size"], 4),
            "box (Å)": round(self.box_size * optics["pixel_size"], 1),
        }

    def methods(self, out: Extracted) -> str:
        binned = f" after binning by {self.bin:.4g}" if self.bin != 1 else ""
        return (
            f"{len(out.particles)} particles were extracted in boxes of {self.box_size} px of {out.particles.optics[0]['pixel_size']:.4g} Å{binned}"
            f"{', contrast inverted' if self.invert else ''} and normalised."
        )

    def report(self, out: Extracted) -> list[Panel]:
        import numpy as np

        from cryoloom.formats.stack import read_particles

        particles = out.particles
        shown = read_particles(particles, np.linspace(0, len(particles) - 1, min(len(particles), 24)).astype(np.int64))
        some = read_particles(particles, np.linspace(0, len(particles) - 1, min(len(particles), 1000)).astype(np.int64))
        counts = particles.items.group_by("micrograph_id").len()["len"].to_list()
        return [
            ImageGrid(title="Particles", images=list(shown), size=80, caption=f"{len(shown)} of {len(particles)}, evenly chosen."),
            ImageGrid(
                title="Mean and deviation", images=[some.mean(axis=0), some.std(axis=0)], captions=["mean", "standard deviation"], size=140,
                caption="The mean of centred particles is a round blob in the middle; a ring in the deviation is a neighbour.",
            ),
            Histogram(title="Particles in a micrograph", values=[float(count) for count in counts], label="particles", bins=20),
        ]  # fmt: skip
