"""import.micrographs: register aligned micrographs made elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Micrographs, acquisition
from cryoloom.formats import sources
from cryoloom.formats.rejection import Rejection
from cryoloom.spec import Failure, Hint, Item, Job, Outputs, Param, Patterns, Protocol
from cryoloom.tables import Dataset, Hashed


@dataclass(frozen=True)
class Imported(Outputs):
    micrographs: Micrographs


class ImportMicrographs(Protocol, id="import.micrographs", outputs=Imported, aliases=("ProtImportMicrographs",)):
    """Link micrographs into the project, read their headers, and record how they were taken."""

    folder: acquisition.Folder
    pattern: Patterns = Param(
        "Files", aliases=("filesPattern",), wizard="file-pattern",
        help="Aligned sums, protein dark: MRC or TIFF, with the shell's wildcards (`**` any folders, `#` a digit), or a table that names them: "
        "RELION STAR, Xmipp .xmd, cryoSPARC .cs or .csg. Denoised or contrast-inverted images spoil every later step.",
    )  # fmt: skip
    exclude: acquisition.Exclude
    exclude_list: acquisition.ExcludeList
    exclude_regexps: acquisition.ExcludeRegexps
    exclude_from: acquisition.ExcludeFrom
    exclude_to: acquisition.ExcludeTo
    copy_files: acquisition.CopyFiles
    pixel_size: acquisition.PixelSize
    voltage: acquisition.Voltage
    cs: acquisition.SphericalAberration
    amplitude_contrast: acquisition.AmplitudeContrast
    dose_per_frame: acquisition.DosePerFrame
    pre_exposure: acquisition.PreExposure
    magnification: acquisition.Magnification
    ignore_header_pixel_size: acquisition.IgnoreHeaderPixelSize

    def check(self) -> Iterator[Hint]:
        if not any(self.pattern):
            yield Hint("pattern", "names no file")
        if self.exclude_list and (wrong := sources.not_a_file(self.exclude_list)):
            yield Hint("exclude_list", wrong)

    def fingerprint(self) -> Any:
        return sources.fingerprint([*self._files()[0], *([Path(self.exclude_list)] if self.exclude_list else [])])

    def _files(self) -> tuple[list[Path], list[tuple[Path, Any]]]:
        """Return the images, and the tables that named them with what those say of the acquisition."""
        from cryoloom.formats.exchange import read_as, suffixes

        found = sources.matching_files(self.pattern, leave_out=self.exclude)
        tables = [(path, read_as("micrographs", path)) for path in found if path.suffix.lower() in suffixes("micrographs")]
        if not tables:
            return Rejection.of(self).wanted(found), []
        files = []
        for path, table in tables:
            for file in table.items["micrograph_file"]:
                place = sources.resolved(file, path)
                if place is None:
                    message = f"{path}: {file} was not found from there or a folder above."
                    raise Failure("micrograph-missing", message, "Keep the table where its paths start, or give a pattern.")
                files.append(place)
        return Rejection.of(self).wanted(list(dict.fromkeys(files))), tables

    def run(self, job: Job) -> Imported:
        files, tables = self._files()
        for name, unit in {"pixel_size": "Å/px", "voltage": "kV", "cs": "mm"}.items():
            said = [(path.name, float(group.get(name) or 0)) for path, table in tables for group in table.optics]
            frame = pl.DataFrame(said, schema={"recorded_by": pl.String, "value": pl.Float64}, orient="row")
            acquisition.settled(frame, getattr(self, name), name.replace("_", " "), unit, unless="")
        listed = sources.listing(files, "micrograph_name")
        result = job.map(self.register, Dataset(listed, job.root), name="micrographs")
        if not self.ignore_header_pixel_size:
            names = pl.col("micrograph_path").str.split("/").list.last()
            acquisition.demand_pixel_size(result.rows.select("header_pixel_size", name=names), self.pixel_size)
        items = listed.drop("source").join(result.rows, on="id", how="left", maintain_order="left")
        items = items.with_columns(
            pl.col("width", "height").fill_null(0), pl.col("micrograph_path").fill_null(""),
            weighted_path=pl.lit(None, pl.String), optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""),
        )  # fmt: skip
        micrographs = Micrographs(items, job.root, optics=[acquisition.optics_group(self)])
        return Imported(micrographs.disable(result.failed) if result.failed else micrographs)

    def register(self, item: Item) -> Mapping[str, Any]:
        """Bring one micrograph in; what is not a plain MRC image is rewritten as one."""
        from cryoloom.formats.movie import open_movie
        from cryoloom.formats.mrc import write_mrc

        source = Path(item["source"])
        target = item.folder / f"{item['micrograph_name']}.mrc"
        with sources.named_only(source):
            image = open_movie(source)
            if image.frames != 1:
                message = f"{source}: {image.frames} images, a micrograph is one."
                raise Failure("not-a-micrograph", message, "Import movies with import.movies.")
            if image.plain_mrc:
                sources.bring_in(source, target, item.root, copy=self.copy_files)
            else:
                write_mrc(target, image.read(0, 1)[0], self.pixel_size)
        return {
            "micrograph_path": target,
            "width": image.width,
            "height": image.height,
            "header_pixel_size": image.pixel_size,
            "blake3": Hashed.of(source).blake3,
        }

    def summary(self, out: Imported) -> Mapping[str, Any]:
        items = out.micrographs.items
        good = items.filter("enabled")
        sizes = sorted(set(good.select("width", "height").rows()))
        summary = {
            "micrographs": good.height,
            "size (px)": ", ".join(f"{width} × {height}" for width, height in sizes),
            "pixel size (Å)": self.pixel_size,
        }
        if items.height > good.height:
            summary["unreadable"] = items.height - good.height
        return summary

    def methods(self, out: Imported) -> str:
        optics, count = out.micrographs.optics[0], out.micrographs.items.filter("enabled").height
        return (
            f"{count} micrographs of {optics['pixel_size']:.4g} Å/px, recorded at {optics['voltage']:g} kV (spherical aberration {optics['cs']:g} mm), "
            "were imported."
        )
