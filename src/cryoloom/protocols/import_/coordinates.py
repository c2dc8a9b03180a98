"""import.coordinates: positions picked elsewhere, on micrographs of this project."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, Micrographs, acquisition
from cryoloom.data.identity import new_id_space
from cryoloom.data.picks import picked_on
from cryoloom.formats import sources
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Param, Patterns, Protocol
from cryoloom.units import Angstrom, AngstromPerPixel


@dataclass(frozen=True)
class Imported(Outputs):
    coordinates: Coordinates


class ImportCoordinates(Protocol, id="import.coordinates", version=2, outputs=Imported, aliases=("ProtImportCoordinates",)):
    """Read particle positions and join them to micrographs by name."""

    micrographs: Micrographs = Input("Micrographs", help="The micrographs that the positions lie on; files are matched to them by name.")
    folder: acquisition.Folder
    path: Patterns = Param(
        "Files", aliases=("filesPattern",), wizard="file-pattern",
        help="RELION STAR (one a micrograph, a list of them, or one for all), EMAN .box or .json, crYOLO .cbox, Xmipp .pos or .xmd, "
        "cryoSPARC .cs or .csg; wildcards allowed. "
        "Positions of other micrographs are left out.",
    )  # fmt: skip
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0,
        help="Recorded with the positions; later steps propose their box from it. Too small cuts the particle.",
    )  # fmt: skip
    pixel_size: AngstromPerPixel | None = Param(
        "Picked at pixel size", None, gt=0, advanced=True,
        help="Å per pixel of the micrographs these were picked on, if other than of the input. A wrong one scatters the positions.",
    )  # fmt: skip
    flip_y: bool = Param(
        "Count y from the other end", False, advanced=True, aliases=("invertY",),
        help="For programs whose first row is the last of the file. A flipped y looks plausible: look at the positions.",
    )  # fmt: skip
    min_score: float | None = Param(
        "Lowest score", None, advanced=True, help="Positions with a lower score are left out; empty keeps all. Too high loses particles."
    )

    def check(self) -> Iterator[Hint]:
        if not any(self.path):
            yield Hint("path", "names no file")

    def fingerprint(self) -> Any:
        from cryoloom.formats.exchange import suffixes

        return sources.fingerprint(sources.matching_files(self.path, suffixes=suffixes("coordinates")))

    def run(self, job: Job) -> Imported:
        from cryoloom.formats.coordinates import read_coordinates
        from cryoloom.formats.exchange import suffixes

        files = sources.matching_files(self.path, suffixes=suffixes("coordinates"))
        parts = []
        for number, file in enumerate(files):
            parts.append(read_coordinates(file))
            job.progress(number + 1, len(files), file.name)
        rows = pl.concat(parts, how="diagonal_relaxed")
        if not rows.height:
            raise Failure("no-coordinates", f"{files[0]}: no positions in {len(files)} file(s).", "Give files with positions.")
        raw, rows = rows, self._placed(job, rows)
        if "score" not in rows.columns:
            rows = rows.with_columns(score=pl.lit(None, pl.Float64))
        if self.min_score is not None:
            rows = rows.filter(pl.col("score").is_null() | (pl.col("score") >= self.min_score))
        if not rows.height:
            raise Failure("no-coordinates", f"{files[0]}: no position is left.", "Lower the score, or check scale and direction.")
        first = ["id", "micrograph_id", "micrograph_name", "micrograph_path", "x", "y", "score", "optics_group"]
        rows = rows.with_columns(pl.col("score").cast(pl.Float64)).sort("micrograph_id", maintain_order=True)
        items = rows.select(*first, *[name for name in ("psi", "class_id") if name in rows.columns])
        carried = raw.schema.get("id") == pl.Int64 and rows["id"].is_in(raw["id"].implode()).all()
        meta = {"diameter": self.diameter} | ({} if carried else {"id_space": new_id_space(items)})
        return Imported(Coordinates(items, job.root, optics=self.micrographs.optics, meta=meta))

    def _placed(self, job: Job, rows: pl.DataFrame) -> pl.DataFrame:
        """Join positions to micrographs, bring them to their scale and direction, and leave out what lies outside."""
        micrographs = picked_on(self.micrographs.to_polars())
        found = sources.micrograph_names(rows["micrograph_file"], micrographs["micrograph_name"], "position")
        if lost := sorted(set(rows["micrograph_file"].unique()) - set(found)):
            job.warn(
                f"{len(lost)} of {len(lost) + len(found)} micrographs with positions are not in the input, such as {lost[0]}; left out."
            )
        known = micrographs.select(
            "micrograph_name", "micrograph_path", "width", "height", "optics_group", "pixel_size", micrograph_id="id"
        )
        rows = rows.with_columns(micrograph_name=pl.col("micrograph_file").replace_strict(found, default=None))
        rows = rows.join(known, on="micrograph_name", maintain_order="left")
        if self.pixel_size is not None:
            rows = rows.with_columns(pl.col("x", "y") * self.pixel_size / pl.col("pixel_size"))
        if self.flip_y:
            rows = rows.with_columns(y=pl.col("height") - 1 - pl.col("y"))
        number = pl.int_range(pl.len()).over("micrograph_id")
        rows = _with_ids(rows.with_columns(_number=number))
        inside = rows.filter(pl.col("x").is_between(-0.5, pl.col("width") - 0.5) & pl.col("y").is_between(-0.5, pl.col("height") - 0.5))
        if inside.height < rows.height:
            share = 1 - inside.height / rows.height
            job.warn(
                f"{rows.height - inside.height} of {rows.height} positions lie outside their micrographs and are left out."
                + (" So many: check the pixel size they were picked at." if share > 0.1 else "")
            )
        return inside

    def summary(self, out: Imported) -> Mapping[str, Any]:
        items = out.coordinates.items
        return {
            "positions": items.height,
            "micrographs": items["micrograph_id"].n_unique(),
            "per micrograph": round(items.height / max(1, items["micrograph_id"].n_unique()), 1),
        }

    def methods(self, out: Imported) -> str:
        items = out.coordinates.items
        return f"{items.height} particle positions in {items['micrograph_id'].n_unique()} micrographs were imported."


def _with_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep ids that came along if they are of these micrographs and unique; otherwise number within the micrograph."""
    if "id" in rows.columns and rows["id"].dtype == pl.Int64 and not rows["id"].has_nulls():
        own = (rows["id"] // (1 << 20) == rows["micrograph_id"]).all()
        if own and rows["id"].is_unique().all():
            return rows.drop("_number")
    return rows.with_columns(id=pl.col("micrograph_id") * (1 << 20) + pl.col("_number")).drop("_number")
