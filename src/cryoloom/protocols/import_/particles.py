"""import.particles: boxed particles of RELION, cryoSPARC, Xmipp or a bare stack, with CTF, poses and halves where the table has them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from cryoloom.data import Particles, acquisition
from cryoloom.data.identity import new_id_space
from cryoloom.formats import sources
from cryoloom.spec import AbsolutePath, Failure, Hint, Item, Job, Outputs, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import AngstromPerPixel


@dataclass(frozen=True)
class Imported(Outputs):
    particles: Particles


class ImportParticles(Protocol, id="import.particles", outputs=Imported, aliases=("ProtImportParticles",)):
    """Link the stacks of a particle set into the project and read its table."""

    path: AbsolutePath = Param(
        "Table or stack", aliases=("filesPath", "starFile"), wizard="file",
        help="RELION STAR (3.1, 5, or 3.0 without optics groups), cryoSPARC .cs or .csg, Xmipp .xmd, or an MRC stack. "
        "The wrong table gives other poses.",
    )  # fmt: skip
    passthrough: AbsolutePath = Param(
        "Passthrough file", "", wizard="file", advanced=True,
        help="cryoSPARC's passthrough .cs of the same job, for the fields that the first file lacks. Without it they stay unknown.",
    )  # fmt: skip
    folder: AbsolutePath = Param(
        "Folder of the stacks", "", wizard="file", advanced=True,
        help="Where the table's relative paths start, if not in a folder above the table. A wrong one finds no images.",
    )  # fmt: skip
    copy_files: acquisition.CopyFiles
    pixel_size: AngstromPerPixel | None = Param(
        "Pixel size", None, gt=0, le=100, group="Acquisition", aliases=("samplingRate",),
        help="Å per pixel; empty takes the table's, which must agree. Every length that is measured later is wrong by its error.",
    )  # fmt: skip
    ignore_header_pixel_size: acquisition.IgnoreHeaderPixelSize
    contrast: Literal["auto", "bright", "dark"] = Param(
        "Protein is", "auto", group="Acquisition", advanced=True,
        help="auto: as a .cs says, otherwise bright. Dark particles are inverted on the way in; the wrong choice inverts the map.",
    )  # fmt: skip
    voltage: acquisition.Voltage
    cs: acquisition.SphericalAberration
    amplitude_contrast: acquisition.AmplitudeContrast

    def check(self) -> Iterator[Hint]:
        for name in ("path", "passthrough"):
            value = getattr(self, name)
            if value and (wrong := sources.not_a_file(value)):
                yield Hint(name, wrong)
        if self.folder and not Path(self.folder).is_dir():
            yield Hint("folder", f"{self.folder}: there is no such folder")
        suffix = sources.image_suffix(Path(self.path)).lower()
        if suffix in sources.IMAGE_SUFFIXES and self.pixel_size is None:
            yield Hint("pixel_size", "is needed: a stack alone does not say it reliably")
        if self.passthrough and suffix not in (".cs", ".csg"):
            yield Hint("passthrough", "goes with a .cs table only", fix="")

    def fingerprint(self) -> Any:
        return sources.fingerprint([Path(path) for path in (self.path, self.passthrough) if path])

    def run(self, job: Job) -> Imported:
        from cryoloom.formats.particle_table import origins_in_angstrom, with_identities

        table = self._table()
        if not table.items.height:
            raise Failure("no-particles", f"{self.path}: it holds no particles.", "Give a table with particles.")
        items = with_identities(table.items)
        carried = "id" in table.items.columns and items["id"].equals(table.items["id"])
        meta = {} if carried else {"id_space": new_id_space(items)}
        optics = [{**group, "contrast": self._contrast(group)} for group in table.optics]
        stacks = _stacks(items, optics)
        found = job.map(self.register, Dataset(stacks, job.root), name="stacks")
        optics = [self._completed(group, items, stacks, found.rows) for group in optics]
        self._compare_headers(job, items, optics, stacks, found.rows)
        items, reasons = _joined(origins_in_angstrom(items, optics), stacks, found.rows, found.failed)
        particles = Particles(items, job.root, optics=optics, meta=meta)
        if "flip" in items.columns and (mirrored := int(items["flip"].sum())):
            job.warn(
                f"{mirrored} of {items.height} particles are aligned as mirrored: later steps take their 2D poses as if they were not. Classify them again."
            )
        if reasons:
            example = next(iter(reasons.values()))
            job.warn(f"{len(reasons)} of {len(particles)} particles have no usable image and are disabled, such as: {example.rstrip('.')}.")
        return Imported(particles.disable(reasons) if reasons else particles)

    def _table(self) -> Any:
        from cryoloom.formats.cryosparc import read_particles_cs
        from cryoloom.formats.exchange import read_as
        from cryoloom.formats.mrc import read_mrc_header
        from cryoloom.formats.particle_table import ParticleTable

        path = Path(self.path)
        if self.passthrough:
            return read_particles_cs(path, Path(self.passthrough))
        if sources.image_suffix(path).lower() not in sources.IMAGE_SUFFIXES:
            return read_as("particles", path)
        count = read_mrc_header(path).shape[0]
        columns = {
            "image_file": [self.path] * count,
            "stack_index": range(count),
            "micrograph_file": [""] * count,
            "optics_group": [1] * count,
        }
        types = {"image_file": pl.String, "stack_index": pl.Int64, "micrograph_file": pl.String, "optics_group": pl.Int64}
        group = {"optics_group": 1, "optics_group_name": "opticsGroup1", "phase_flipped": False, "ctf_premultiplied": False}
        return ParticleTable(pl.DataFrame(columns, schema=types), [group])

    def _contrast(self, group: Mapping[str, Any]) -> str:
        return self.contrast if self.contrast != "auto" else group.get("contrast", "bright")

    def register(self, item: Item) -> Mapping[str, Any]:
        """Bring one stack in, inverted if its particles are dark, and look at every image."""
        import numpy as np

        from cryoloom.formats.mrc import MrcWriter, open_mrc

        source = sources.resolved(item["image_file"], Path(self.path), self.folder)
        if source is None:
            message = f"{item['image_file']}: not found from the table's folder or a folder above it."
            raise Failure("stack-missing", message, "Say where the paths start: --folder.")
        target = item.output(f"_{sources.item_names([source])[0]}.mrcs")
        with sources.named_only(source):
            image = open_mrc(source)
            images = image.data.reshape(image.header.shape)
            if images.shape[1] != images.shape[2] or images.dtype.kind == "c":
                size = f"{images.shape[2]} × {images.shape[1]}"
                raise Failure("not-particles", f"{source}: images of {size} px, not square boxes.", "Check the path.")
            broken = [number for number, each in enumerate(images) if not np.isfinite(each.sum(dtype=np.float64))]
            if item["dark"] or not isinstance(images, np.memmap):
                with MrcWriter(target, images.shape[1:], image.pixel_size, mode=12 if image.header.mode == 12 else 2) as writer:
                    for each in images:
                        writer.append(np.float32(-1 if item["dark"] else 1) * each.astype(np.float32))
            else:
                sources.bring_in(source, target, item.root, copy=self.copy_files)
        return {
            "stack_path": target,
            "images": len(images),
            "box_size": images.shape[1],
            "header_pixel_size": image.pixel_size,
            "broken": ",".join(map(str, broken)),
        }

    def _completed(self, group: dict[str, Any], items: pl.DataFrame, stacks: pl.DataFrame, found: pl.DataFrame) -> dict[str, Any]:
        """Fill in what the table did not tell of an optics group, and check what it did."""
        number = group["optics_group"]
        own = items.filter(pl.col("optics_group") == number).select("image_file").unique()
        read = found.join(stacks.join(own, on="image_file", how="semi").select("id"), on="id", how="semi")
        boxes = Counter(read["box_size"].to_list())
        told = group.get("box_size")
        if len(boxes) > 1 or (boxes and told is not None and told not in boxes):
            raise Failure(
                "particle-box",
                f"Optics group {number} of {self.path}: box of {told if told is not None else 'unknown'} px, stacks of {sorted(boxes)} px.",
                "Give each box size an optics group of its own.",
            )
        size = group.get("pixel_size") or self.pixel_size or next((each for each in read["header_pixel_size"] if each > 0), None)
        if size is None:
            raise Failure("pixel-size", f"Neither {self.path} nor its stacks say the pixel size.", "Give it: --pixel-size.")
        if self.pixel_size is not None and abs(size / self.pixel_size - 1) > 0.01 and not self.ignore_header_pixel_size:
            raise Failure(
                "pixel-size",
                f"{self.path} says {size:g} Å/px, --pixel-size says {self.pixel_size:g} Å/px.",
                "Correct the pixel size, or set ignore_header_pixel_size (--ignore-header-pixel-size) if the table is wrong.",
            )
        acquired = {name: getattr(self, name) for name in ("voltage", "cs", "amplitude_contrast") if group.get(name) is None}
        box = told if told is not None else next(iter(boxes), 0)
        return {**group, **acquired, "pixel_size": self.pixel_size or size, "box_size": box, "contrast": "bright"}

    def _compare_headers(
        self, job: Job, items: pl.DataFrame, optics: list[dict[str, Any]], stacks: pl.DataFrame, found: pl.DataFrame
    ) -> None:
        """Warn where stacks say another pixel size than the table: programs that rescale often forget the header."""
        sizes = {group["optics_group"]: group["pixel_size"] for group in optics}
        groups = items.group_by("image_file").agg(pl.col("optics_group").first())
        said = found.join(stacks.select("id", "image_file"), on="id").join(groups, on="image_file")
        told = pl.col("optics_group").replace_strict(sizes, return_dtype=pl.Float64)
        header = pl.col("header_pixel_size")
        other = said.filter((header > 0) & (header != 1.0) & ((header / told - 1).abs() > 0.01))
        if other.height:
            row = other.row(0, named=True)
            size = sizes[row["optics_group"]]
            job.warn(
                f"{other.height} stacks say another pixel size, such as {row['header_pixel_size']:g} Å/px; the table's {size:g} is used."
            )

    def summary(self, out: Imported) -> Mapping[str, Any]:
        items = out.particles.enabled()
        summary: dict[str, Any] = {
            "particles": items.height,
            "micrographs": items["micrograph_id"].n_unique(),
            "box (px)": ", ".join(str(size) for size in sorted({group["box_size"] for group in out.particles.optics})),
            "pixel size (Å)": ", ".join(f"{size:g}" for size in sorted({group["pixel_size"] for group in out.particles.optics})),
            "CTF": "yes" if "defocus_u" in items.columns else "no",
            "poses": "3D" if {"rot", "tilt", "psi"} <= set(items.columns) else "2D" if "psi" in items.columns else "no",
        }
        if len(out.particles) > items.height:
            summary["disabled"] = len(out.particles) - items.height
        return summary

    def methods(self, out: Imported) -> str:
        sizes = ", ".join(f"{group['pixel_size']:.4g}" for group in out.particles.optics)
        return (
            f"{out.particles.enabled().height} particle images of {out.particles.optics[0]['box_size']} px at {sizes} Å/px were imported."
        )


def _stacks(items: pl.DataFrame, optics: list[dict[str, Any]]) -> pl.DataFrame:
    """Return one row a stack, in order of first use: ``id``, ``image_file``, whether its particles are ``dark``."""
    dark = [group["optics_group"] for group in optics if group["contrast"] == "dark"]
    stacks = items.group_by("image_file", maintain_order=True).agg(dark=pl.col("optics_group").first().is_in(dark))
    return stacks.with_row_index("id", 1).with_columns(pl.col("id").cast(pl.Int64))


def _joined(items: pl.DataFrame, stacks: pl.DataFrame, found: pl.DataFrame, failed: dict[int, str]) -> tuple[pl.DataFrame, dict[int, str]]:
    """Give every particle its stack in the project; return the rows and why some have no image."""
    unreadable = pl.DataFrame({"id": list(failed), "why": list(failed.values())}, schema={"id": pl.Int64, "why": pl.String})
    known = stacks.join(found, on="id", how="left").join(unreadable, on="id", how="left").drop("id", "dark")
    items = items.join(known, on="image_file", how="left", maintain_order="left")
    index = pl.col("stack_index")
    short = pl.format("image {} is asked for, {} holds {}", index + 1, "image_file", "images")
    holed = pl.format("image {} of {} holds NaN or infinite values", index + 1, "image_file")
    broken = pl.col("broken").str.split(",").list.contains(index.cast(pl.String))
    why = pl.coalesce("why", pl.when((index >= pl.col("images")) | (index < 0)).then(short), pl.when(broken).then(holed))
    reasons = dict(items.select("id", why=why).drop_nulls().rows())
    items = items.with_columns(pl.col("stack_path").fill_null(""), enabled=pl.lit(True), fail_reason=pl.lit(""))
    items = items.select("id", pl.exclude("id"))
    return items.drop("image_file", "micrograph_file", "images", "box_size", "header_pixel_size", "broken", "why"), reasons
