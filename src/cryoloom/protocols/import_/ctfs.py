"""import.ctfs: transfer functions fitted elsewhere, for micrographs of this project."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import CTFs, Micrographs, acquisition
from cryoloom.formats import sources
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Param, Patterns, Protocol

_ACQUISITION = {"voltage": "kV", "cs": "mm", "amplitude_contrast": ""}
_VALUES = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_resolution", "ctf_score")


@dataclass(frozen=True)
class Imported(Outputs):
    ctfs: CTFs


class ImportCTFs(Protocol, id="import.ctfs", outputs=Imported, aliases=("ProtImportCTF",)):
    """Read transfer functions and join them to micrographs by name."""

    micrographs: Micrographs = Input("Micrographs", help="The micrographs that were fitted; tables are matched to them by file name.")
    folder: acquisition.Folder
    path: Patterns = Param(
        "Files", aliases=("filesPattern",), wizard="file-pattern",
        help="RELION or Gctf STAR, Xmipp .xmd, cryoSPARC .cs or .csg, or CTFFIND's .txt of each micrograph; wildcards allowed. Fits of other "
        "micrographs are left out.",
    )  # fmt: skip
    exclude: acquisition.Exclude

    def check(self) -> Iterator[Hint]:
        if not any(self.path):
            yield Hint("path", "names no file")

    def fingerprint(self) -> Any:
        return sources.fingerprint(self._files())

    def _files(self) -> list[Any]:
        from cryoloom.formats.exchange import suffixes

        # CTFFIND leaves a table of curves beside each result.
        return sources.matching_files(self.path, leave_out=(*self.exclude, "*_avrot.txt"), suffixes=suffixes("micrographs"))

    def run(self, job: Job) -> Imported:
        from cryoloom.formats.exchange import read_as

        files = self._files()
        parts = []
        for number, file in enumerate(files):
            table = read_as("micrographs", file)
            if "defocus_u" not in table.items.columns:
                raise Failure("no-ctf", f"{file}: its micrographs have no defocus.", "Give a table with transfer functions.")
            groups = pl.DataFrame(table.optics, infer_schema_length=None).select("optics_group", *_ACQUISITION)
            parts.append(table.items.join(groups, on="optics_group", how="left", maintain_order="left"))
            job.progress(number + 1, len(files), file.name)
        rows = self._placed(job, pl.concat(parts, how="diagonal_relaxed"))
        self._demand_one_acquisition(rows)
        values = [name for name in _VALUES if name in rows.columns]
        items = rows.select("id", "micrograph_name", "optics_group", *values, micrograph_id="id")
        items = items.with_columns(astigmatism=pl.col("defocus_u") - pl.col("defocus_v"), enabled=pl.lit(True), fail_reason=pl.lit(""))
        return Imported(CTFs(items.sort("id"), job.root, optics=self.micrographs.optics))

    def _placed(self, job: Job, rows: pl.DataFrame) -> pl.DataFrame:
        """Join fits to micrographs; defocus_u is the larger one in what is returned."""
        micrographs = self.micrographs.to_polars()
        files = rows["micrograph_file"]
        found = sources.micrograph_names(files, micrographs["micrograph_name"], "fit")
        known = micrographs.select("id", "micrograph_name", "optics_group", **{f"own_{name}": name for name in _ACQUISITION})
        rows = rows.drop("optics_group").with_columns(micrograph_name=pl.col("micrograph_file").replace_strict(found, default=None))
        rows = rows.join(known, on="micrograph_name", how="inner", maintain_order="left")
        if (twice := rows["id"].is_duplicated()).any():
            raise Failure("ctf-twice", f"{rows.filter(twice)['micrograph_name'][0]} has more than one fit.", "Leave out one: --exclude.")
        if lost := files.n_unique() - len(found):
            job.warn(f"{lost} of {files.n_unique()} fits are of micrographs that are not in the input; left out.")
        if rows.height < micrographs.height:
            job.warn(f"{micrographs.height - rows.height} of {micrographs.height} micrographs have no fit and are left out.")
        turned = pl.col("defocus_u") < pl.col("defocus_v")
        angle = pl.col("defocus_angle") + pl.when(turned).then(90.0).otherwise(0.0)
        return rows.with_columns(
            defocus_u=pl.max_horizontal("defocus_u", "defocus_v"),
            defocus_v=pl.min_horizontal("defocus_u", "defocus_v"),
            defocus_angle=90.0 - (90.0 - angle).mod(180.0),
        )

    def _demand_one_acquisition(self, rows: pl.DataFrame) -> None:
        """Refuse fits made with another voltage, aberration or amplitude contrast: a defocus is right only with its own."""
        for name, unit in _ACQUISITION.items():
            other = rows.filter((pl.col(name) - pl.col(f"own_{name}")).abs() > 0.01 * pl.col(f"own_{name}"))
            if other.height:
                row = other.row(0, named=True)
                raise Failure(
                    "acquisition",
                    f"{row['micrograph_file']} was fitted with {name} {row[name]:g}, its micrograph has {row[f'own_{name}']:g} {unit}".rstrip()
                    + ".",
                    "Import the micrographs with the right acquisition, or fit again.",
                )

    def summary(self, out: Imported) -> Mapping[str, Any]:
        items = out.ctfs.items
        return {
            "micrographs": items.height,
            "defocus (Å)": f"{items['defocus_v'].min():.0f} to {items['defocus_u'].max():.0f}",
        }
