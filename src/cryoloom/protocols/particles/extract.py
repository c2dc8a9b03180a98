"""particles.extract: cut, clean and normalise boxes, and give each its CTF."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator, model_validator

from cryoloom.data import Classes2D, Coordinates, CTFs, Micrographs, Particles
from cryoloom.data.identity import coordinate_scales
from cryoloom.data.places import mirror, on_micrographs
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom, AngstromPerPixel, Pixels, Sigmas

if TYPE_CHECKING:
    from cryoloom.numerics.particles.boxes import BoxSampling

CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_score", "ctf_resolution")
NO_CTF = "micrograph has no believable CTF to flip its phases by"


def _known_as(names: Mapping[str, str]) -> BeforeValidator:
    return BeforeValidator(lambda value: names.get(str(value).lower(), value))


Normalisation = Annotated[
    Literal["ramp", "background", "image", "none"],
    _known_as({"ramp": "ramp", "newxmipp": "background", "oldxmipp": "image", "0": "image", "1": "background", "2": "ramp"}),
]
"""How images are normalised, also under the names and numbers of Xmipp's form."""
Resize = Annotated[
    Literal["factor", "dimension", "sampling-rate"],
    _known_as({"0": "sampling-rate", "1": "dimension", "2": "factor", "dimensions": "dimension", "sampling rate": "sampling-rate"}),
]

PATCH = 1.5
"""Boxes across the window of the local variance."""


@dataclass(frozen=True)
class Extracted(Outputs):
    particles: Particles


@dataclass(frozen=True)
class _Work:
    """The micrographs with what is cut from them, rows of particles that cannot be had, and how many others have no place here, and why."""

    micrographs: Dataset
    unflipped: pl.DataFrame
    left_out: dict[str, int]


class Extract(
    Protocol,
    id="particles.extract",
    version=2,
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
    ctfs: CTFs | None = Input(
        "CTFs", optional=True, help="One a micrograph; micrographs without a believable one are left out. Empty: particles keep theirs."
    )
    classes: Classes2D | None = Input(
        "Classes", optional=True,
        help="Class averages of these particles: each particle is centred on the centre of mass of its average. Neighbours in an average pull it.",
    )  # fmt: skip
    box_size: int | None = Param(
        "Box size", None, ge=16, wizard="box-size", aliases=("boxSize",),
        help="In output pixels, after binning, unless box_unit says otherwise; made even. Empty takes 1.5 times the diameter that was picked with. "
        "Too small cuts what the CTF has spread.",
    )  # fmt: skip
    box_unit: Literal["output-px", "input-px", "angstrom"] = Param(
        "Box size in", "output-px",
        help="Pixels after binning, pixels of the micrographs, or Å. The wrong one gives boxes smaller or larger by the binning.",
    )  # fmt: skip
    resize: Resize = Param(
        "Resize by", "factor", aliases=("resizeOption",),
        help="A factor, to boxes of so many pixels (box_size then in pixels of the micrographs or Å), or to a pixel size. A value given alone decides.",
    )  # fmt: skip
    bin: float = Param(
        "Binning", 1.0, ge=1, le=32, when="resize=factor", aliases=("downFactor", "bin_factor"),
        help="Factor by which micrographs are made smaller first; any number. Detail finer than twice the new pixel size is lost.",
    )  # fmt: skip
    scaled_size: Pixels | None = Param(
        "Output size", None, ge=16, when="resize=dimension", aliases=("resizeDim", "rescaledSize"),
        help="Pixels that the box becomes; made even. Detail finer than two of them is lost.",
    )  # fmt: skip
    pixel_size: AngstromPerPixel | None = Param(
        "Output pixel size", None, gt=0, when="resize=sampling-rate", aliases=("resizeSamplingRate",),
        help="Exact to a millionth, of micrographs of whatever pixel size. Detail finer than twice of it is lost.",
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
        "Flip phases", False, aliases=("doFlip",),
        help="Correct the phases of the micrograph. Later steps then use |CTF|; needs CTFs, and particles without one are disabled.",
    )  # fmt: skip
    normalisation: Normalisation = Param(
        "Normalise", "ramp", advanced=True, aliases=("normType",),
        help="Background to mean 0 and deviation 1, with or without its slope taken off first (ramp, background; Xmipp: Ramp, NewXmipp), or all of "
        "the image (image; OldXmipp). Without it, likelihoods are wrong.",
    )  # fmt: skip
    background_radius: Pixels | None = Param(
        "Background radius", None, gt=0, advanced=True, wizard="background-circle", aliases=("backRadius",),
        help="Pixels further out are background; empty takes half the box. Too small counts the particle as background.",
    )  # fmt: skip
    fill_borders: bool = Param(
        "Keep particles at borders", False, advanced=True, aliases=("doBorders",),
        help="Fill what lies outside the micrograph with its nearest pixel instead of dropping the particle. Streaks can mislead alignment.",
    )  # fmt: skip
    forced_size: Pixels | None = Param(
        "Forced output size", None, ge=16, advanced=True, aliases=("boxSizeForced",),
        help="Output box whatever box and scale give, at the same pixel size; made even. One unlike other sets' lets them not be joined.",
    )  # fmt: skip
    weighted: bool = Param(
        "Use dose-weighted micrographs", True, advanced=True,
        help="Where there are both. Unweighted ones keep the noise of damaged late frames at high resolution.",
    )  # fmt: skip
    recentre: bool = Param(
        "Recentre aligned particles", True, advanced=True, aliases=("recenter", "do_recenter"),
        help="Cut particles where alignment found them. Off, the boxes stay where they were, and shifts are kept.",
    )  # fmt: skip
    centre: tuple[Angstrom, Angstrom, Angstrom] | None = Param(
        "Centre on", None, advanced=True, when="recentre",
        help="x, y, z in Å from the centre of the map, of particles with 3D poses: this point becomes the centre, a subunit for instance. Refine again.",
    )  # fmt: skip
    scores: bool = Param(
        "Score by variance", False, advanced=True, aliases=("doEvalVar",),
        help="Columns score_by_variance (local, scaled to 0 to 1) and score_by_gini (how uneven the micrograph is). Junk shows at both ends.",
    )  # fmt: skip
    patch_size: Pixels | None = Param(
        "Patch size", None, ge=4, advanced=True, when="scores", aliases=("patchSize",),
        help="Window of the local variance, pixels of the micrograph; empty takes 1.5 boxes. Too small measures noise.",
    )  # fmt: skip
    float16: bool = Param(
        "Write float16", False, advanced=True, aliases=("saveFloat16",),
        help="Half the disk space, with a rounding of a thousandth of each value. Old programs cannot read it; an export rewrites it for them.",
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _given_alone(cls, given: Any) -> Any:
        """Resize by what is given, where it is not said: `pixel_size` = 2.0 means to a pixel size."""
        if not isinstance(given, dict) or "resize" in given:
            return given
        ways = {"pixel_size": "sampling-rate", "scaled_size": "dimension"}
        return next(({**given, "resize": way} for name, way in ways.items() if given.get(name) is not None), given)

    def check(self) -> Iterator[Hint]:
        if problem := self._unsized():
            yield problem
            return
        if self.phase_flip and self.ctfs is None:
            yield Hint("phase_flip", "needs CTFs to flip by", fix=False)
        if self.invert and any(group.get("contrast") == "bright" for group in self.micrographs.optics):
            yield Hint("invert", "makes particles dark: these micrographs are inverted already", fix=False, error=False)
        if self.centre is not None and not {"rot", "tilt", "psi"} <= self.coordinates.schema.keys():
            yield Hint("centre", "needs particles with 3D poses (rot, tilt, psi)")
        if self.classes is not None and not {"class_id", "psi"} <= self.coordinates.schema.keys():
            yield Hint("classes", "centre particles of a 2D classification (class_id, psi); these are none")
        if not self.recentre and (self.centre is not None or self.classes is not None):
            yield Hint("recentre", "is off, so that nothing can be centred on a point or an average", fix=True)
        yield from self._unfit_boxes()

    def _unsized(self) -> Hint | None:
        """Return what is missing to know the box."""
        if self.box_size is None and self.forced_size is None and not self._diameter:
            return Hint("box_size", "has to be given: these coordinates do not tell the diameter they were picked with")
        needed = {"dimension": "scaled_size", "sampling-rate": "pixel_size"}.get(self.resize)
        if needed and getattr(self, needed) is None:
            return Hint(needed, f"has to be given to resize by {self.resize}")
        if self.resize == "dimension" and self.box_size is not None and self.box_unit == "output-px":
            return Hint("box_unit", "must not be output-px where scaled_size tells the output pixels", fix="input-px")
        return None

    def _unfit_boxes(self) -> Iterator[Hint]:
        samplings = list(self._samplings().values())
        odd = self.box_size if self.box_unit == "output-px" else None
        if odd is not None and odd % 2:
            yield Hint("box_size", f"of {odd} px is made even", fix=samplings[0].size, error=False)
        if finest := next((each for each in samplings if each.ratio < 1), None):
            name = {"dimension": "scaled_size", "sampling-rate": "pixel_size"}.get(self.resize, "bin")
            yield Hint(name, f"would enlarge micrographs of {finest.pixel_size:g} Å to {finest.output_pixel_size:.4g} Å a pixel")
        if len(sizes := sorted({each.size for each in samplings})) > 1:
            yield Hint(
                "box_size", f"gives boxes of {' and '.join(map(str, sizes))} px: the optics groups have unlike pixel sizes. "
                "Resize by sampling-rate",
            )  # fmt: skip
        if self.background_radius is not None and self.background_radius > sizes[0] / 2:
            yield Hint("background_radius", f"{self.background_radius} px lies outside the box of {sizes[0]} px", fix=sizes[0] // 2 - 1)

    # -- sizes --------------------------------------------------------------------------------------------------

    @property
    def _diameter(self) -> float:
        return float(self.coordinates.meta.get("diameter") or 0.0)

    def sampling(self, pixel_size: float) -> "BoxSampling":
        """Return the box for micrographs of a pixel size, Å."""
        from cryoloom.numerics.fourier.ratios import close_ratio, exact_ratio
        from cryoloom.numerics.particles.boxes import ROOM, TOLERANCE, BoxSampling, even_box, fast_box

        extent = {"output-px": None, "input-px": (self.box_size or 0) * pixel_size, "angstrom": self.box_size}[self.box_unit]
        if self.box_size is None:
            extent = ROOM * self._diameter
        if self.resize == "dimension":
            size = even_box(self.scaled_size or 0)
            taken = (extent or 0.0) / pixel_size
            ratio = close_ratio((fast_box(taken) if self.box_size is None else taken) / size, tolerance=TOLERANCE)
        else:
            wanted = (self.pixel_size or 0.0) / pixel_size
            ratio = exact_ratio(self.bin) if self.resize == "factor" else close_ratio(wanted, tolerance=TOLERANCE)
            pixels = self.box_size if extent is None else extent / (pixel_size * float(ratio))
            size = fast_box(pixels or 0) if self.box_size is None else even_box(pixels or 0)
        return BoxSampling(even_box(self.forced_size) if self.forced_size else size, ratio, pixel_size)

    def _samplings(self) -> dict[int, "BoxSampling"]:
        """Return the box of each optics group of the micrographs."""
        return {group["optics_group"]: self.sampling(float(group["pixel_size"])) for group in self.micrographs.optics}

    def preview(self) -> Mapping[str, int | float | str]:
        """Return the box in all units: px cut out, px of the micrographs, Å, and px of what was picked on."""
        if self._unsized():
            return {}
        told: dict[str, int | float | str] = {}
        for number, sampling in self._samplings().items():
            picked = coordinate_scales(self.coordinates).get(number)
            name = "box" if len(self.micrographs.optics) == 1 else f"box, optics group {number}"
            told[name] = str(sampling)
            if picked and abs(picked / sampling.pixel_size - 1) > 1e-6:
                told[name] = f"{sampling} = {sampling.extent / picked:.4g} px of {picked:.4g} Å (picked on)"
        return told

    def automatic(self) -> Mapping[str, Any]:
        """Return the box, in the unit that it is asked for in, the circle of the background, and the window of the local variance."""
        if self._unsized():
            return {}
        sampling = next(iter(self._samplings().values()))
        sides = {"output-px": sampling.size, "input-px": sampling.input_pixels, "angstrom": sampling.extent}
        return {
            "box_size": round(sides[self.box_unit]),
            "background_radius": sampling.size // 2,
            "patch_size": round(PATCH * sampling.input_pixels),
        }

    # -- the work -----------------------------------------------------------------------------------------------

    def run(self, job: Job) -> Extracted:
        from cryoloom.formats.particle_stacks import BORDER, OUTSIDE

        optics = self._optics()
        if self.background_radius is None and self.normalisation in ("ramp", "background"):
            self._warn_of_small_background(job, optics[0]["box_size"])
        work = self._work(job, optics)
        result = job.map(self.alone().cut, work.micrographs, name="micrographs")
        cut, lost = result.rows, dict(work.left_out)
        if "left_out" in cut.columns:
            lost |= {why: cut.filter(left_out=why).height for why in (BORDER, OUTSIDE)}
            cut = cut.filter(left_out="").drop("left_out")
        if cut.is_empty():
            why = "; ".join(f"{reason}: {count}" for reason, count in lost.items() if count)
            raise Failure(
                "no-particles",
                f"particles.extract: none of {len(self.coordinates)} coordinates has its box of {optics[0]['box_size']} px inside a micrograph"
                f"{f' ({why})' if why else ''}.",
                "Use a smaller box, or check that coordinates and micrographs belong together.",
            )
        failed = work.micrographs.items.filter(pl.col("id").is_in(list(result.failed)))
        lost["micrograph failed"] = int(failed["particle_ids"].list.len().sum())
        particles = self._with_source(cut.with_columns(enabled=pl.lit(True), fail_reason=pl.lit("")))
        if work.unflipped.height:
            particles = pl.concat([particles, self._with_source(work.unflipped)], how="diagonal_relaxed")
        groups = [{name: value for name, value in group.items() if not name.startswith("bin_")} for group in optics]
        return Extracted(Particles(particles, job.root, optics=groups, meta=self._meta(cut.height, lost, len(result.failed))))

    def _with_source(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with what their coordinates or particles carried, and the origins in the frame of their poses."""
        source = self.coordinates.items
        kept = source.drop([name for name in (*rows.columns, "micrograph_path") if name != "id" and name in source.columns])
        rows = rows.join(kept, on="id", how="left", maintain_order="left").with_columns(origin_x=pl.col("origin_x") * mirror(kept.columns))
        if self.recentre or "origin_x" not in source.columns:
            return rows
        earlier = rows.select("id").join(source.select("id", "origin_x", "origin_y"), on="id", how="left", maintain_order="left")
        return rows.with_columns(pl.col(name) + earlier[name].fill_null(0.0) for name in ("origin_x", "origin_y"))

    def _work(self, job: Job, optics: list[dict[str, Any]]) -> _Work:
        """Return the micrographs with their CTF and the coordinates on them, in px of these micrographs, as lists.

        Particles whose micrograph has no CTF are left out; where it is needed to flip phases they come apart, as disabled rows.
        """
        placed = self._placed(job)
        if placed.is_empty():
            raise Failure(
                "no-common-micrographs", "No coordinate lies on one of these micrographs.", "Give the micrographs they were picked on."
            )
        micrographs = self.micrographs.items.filter("enabled")
        usable = placed.join(micrographs, left_on="micrograph_id", right_on="id", how="semi", maintain_order="left")
        lists = usable.group_by("micrograph_id", maintain_order=True).agg(pl.col("id").alias("particle_ids"), "x", "y")
        work = micrographs.join(lists, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")
        lost = {
            "micrograph not in the set": self.coordinates.enabled().height - placed.height,
            "micrograph disabled": placed.height - usable.height,
        }
        unflipped = usable.clear()
        if self.ctfs is not None:
            ctfs = self.ctfs.enabled()
            without = usable.join(ctfs, on="micrograph_id", how="anti", maintain_order="left")
            if count := without["micrograph_id"].n_unique():
                fate = "disabled" if self.phase_flip else "left out"
                job.warn(f"{count} micrographs have no believable CTF; their particles are {fate}.")
            if self.phase_flip:
                unflipped = without
            else:
                lost["micrograph without CTF"] = without.height
            ctf = ctfs.select("micrograph_id", *(name for name in CTF_COLUMNS if name in ctfs.columns))
            work = work.join(ctf, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")
        return _Work(Dataset(work, job.root, optics=optics), _without_image(unflipped), lost)

    def _placed(self, job: Job) -> pl.DataFrame:
        """Return the enabled coordinates that lie on the micrographs, in px of these."""
        scales = coordinate_scales(self.coordinates)
        if unknown := sorted(number for number, scale in scales.items() if scale is None):
            job.warn(
                f"Optics groups {unknown} of the {self.coordinates.kind} do not tell what x and y are px of: taken for px of these micrographs."
            )
        return on_micrographs(self._centred(self.coordinates.enabled()), scales, self.micrographs, centred=self.recentre)

    def _centred(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with origins that centre what was asked for, instead of what the alignment centred."""
        if self.classes is None and self.centre is None:
            return rows
        from cryoloom.formats.recentred import centred_on

        return centred_on(rows, classes=self.classes, point=self.centre)

    def cut(self, item: Item) -> list[dict[str, Any]]:
        """Cut all particles of one micrograph into one stack."""
        import torch

        from cryoloom.formats.particle_stacks import Recipe, cut_particles

        torch.set_num_threads(1)
        box = item["box_size"] * item["bin_over"] / item["bin_under"]
        recipe = Recipe(
            dust_threshold=self.dust_threshold if self.remove_dust else None,
            patch_size=(self.patch_size or round(PATCH * box)) if self.scores else None,
            **{name: getattr(self, name) for name in ("phase_flip", "invert", "normalisation", "background_radius")},
            **{name: getattr(self, name) for name in ("fill_borders", "float16", "weighted")},
        )
        return cut_particles(item, recipe, CTF_COLUMNS)

    def _optics(self) -> list[dict[str, Any]]:
        """Return the groups of the particles; with ``bin_over`` and ``bin_under``, the ratio that micrographs are binned by."""
        samplings = self._samplings()
        groups = []
        # Micrographs do not tell the tilt of the beam; particles of the same acquisition may.
        tilts = {
            group.get("optics_group_name"): {name: group[name] for name in ("beam_tilt_x", "beam_tilt_y") if group.get(name) is not None}
            for group in self.coordinates.optics
        }
        for group in self.micrographs.optics:
            sampling = samplings[group["optics_group"]]
            told = {name: value for name, value in group.items() if name not in ("dose_per_frame", "pre_exposure")}
            contrast = "bright" if self.invert != (group.get("contrast") == "bright") else "dark"
            sizes = {"micrograph_pixel_size": group["pixel_size"], "pixel_size": sampling.output_pixel_size, "box_size": sampling.size}
            ratio = {"bin_over": sampling.ratio.numerator, "bin_under": sampling.ratio.denominator}
            groups.append({**told, **sizes, "contrast": contrast, "phase_flipped": self.phase_flip, "ctf_premultiplied": False, **ratio})
            groups[-1] |= tilts.get(group.get("optics_group_name"), {})
        return groups

    def _warn_of_small_background(self, job: Job, box: int) -> None:
        from cryoloom.numerics.particles.normalise import LEAST_BACKGROUND, background_radius

        if (radius := background_radius(box, None)) < box / 2:
            job.warn(
                f"The corners of a box of {box} px are fewer than {LEAST_BACKGROUND} px: what lies beyond {radius:.1f} px counts as background."
            )

    def _meta(self, count: int, lost: dict[str, int], failed: int) -> dict[str, Any]:
        asked = self.coordinates.enabled().height
        kept = {name: self.coordinates.meta[name] for name in ("diameter", "id_space") if self.coordinates.meta.get(name) is not None}
        why = {reason: number for reason, number in lost.items() if number}
        return {"coordinates": asked, "left_out": asked - count, "left_out_by": why, "failed_micrographs": failed, **kept}

    # -- in words -----------------------------------------------------------------------------------------------

    def summary(self, out: Extracted) -> dict[str, Any]:
        from cryoloom.formats.particle_stacks import BORDER

        optics, meta = out.particles.optics[0], out.particles.meta
        disabled = len(out.particles) - out.particles.enabled().height
        summary = {
            "particles": out.particles.enabled().height,
            "at borders or without CTF": meta["left_out"],
            "box across the border": meta["left_out_by"].get(BORDER, 0),
            "box (px)": optics["box_size"],
            "pixel size (Å)": round(optics["pixel_size"], 4),
            "box (Å)": round(optics["box_size"] * optics["pixel_size"], 1),
            **{label: words for label, words in self.preview().items() if label == "box"},
        }
        return summary | ({"disabled, without CTF to flip by": disabled} if disabled else {})

    def methods(self, out: Extracted) -> str:
        optics = out.particles.optics[0]
        factor = optics["pixel_size"] / optics["micrograph_pixel_size"]
        done = [
            *(["contrast inverted"] if self.invert else []),
            *(["phases flipped"] if self.phase_flip else []),
            *(["normalised"] if self.normalisation != "none" else []),
        ]
        told = f", {' and '.join(done)}" if done else ""
        return (
            f"{out.particles.enabled().height} particles were extracted in boxes of {optics['box_size']} px of {optics['pixel_size']:.4g} Å"
            f"{f' after binning by {factor:.4g}' if abs(factor - 1) > 1e-9 else ''}{told}."
        )

    def report(self, out: Extracted) -> list[Panel]:
        from cryoloom.formats.stack import read_particles
        from cryoloom.report.extraction import panels

        return panels(out.particles, lambda places: read_particles(out.particles, places))


def _without_image(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of particles that cannot be had: disabled, without an image."""
    return rows.select(
        "id", "micrograph_id", "micrograph_name", "optics_group", stack_path=pl.lit(""),
        stack_index=pl.lit(-1, pl.Int64), x="x", y="y", origin_x=pl.lit(0.0), origin_y=pl.lit(0.0), enabled=pl.lit(False), fail_reason=pl.lit(NO_CTF),
    )  # fmt: skip
