"""import.volume: a map made elsewhere, with its half maps if there are any."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Volume
from cryoloom.formats import sources
from cryoloom.spec import AbsolutePath, Failure, Hint, Job, Outputs, Param, Protocol
from cryoloom.units import AngstromPerPixel


@dataclass(frozen=True)
class Imported(Outputs):
    volume: Volume


class ImportVolume(Protocol, id="import.volume", outputs=Imported, aliases=("ProtImportVolumes",)):
    """Read a map (MRC, CCP4 or EMDB ``.map``, plain or compressed) and keep it as a cubic float32 MRC volume."""

    path: AbsolutePath = Param(
        "Map", aliases=("filesPath",), wizard="file",
        help="MRC, CCP4 or EMDB map, or an Xmipp .xmd or cryoSPARC .cs or .csg that names one, with its half maps; a cube without NaN. "
        "A mask or a filtered map in its place misleads a refinement.",
    )  # fmt: skip
    half_map1: AbsolutePath = Param(
        "First half map", "", wizard="file", aliases=("half1map",),
        help="Unfiltered map of one half of the data, of the same box. Filtered ones give a wrong resolution.",
    )  # fmt: skip
    half_map2: AbsolutePath = Param(
        "Second half map", "", wizard="file", aliases=("half2map",),
        help="Unfiltered map of the other half. The same file twice gives a resolution that means nothing.",
    )  # fmt: skip
    pixel_size: AngstromPerPixel | None = Param(
        "Pixel size", None, gt=0, le=100, aliases=("samplingRate",),
        help="Å per voxel; empty takes the header's. A wrong one scales the map, and references no longer fit their particles.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        for name in ("path", "half_map1", "half_map2"):
            value = getattr(self, name)
            if value and (wrong := sources.not_a_file(value)):
                yield Hint(name, wrong)
        if bool(self.half_map1) != bool(self.half_map2):
            yield Hint("half_map2" if self.half_map1 else "half_map1", "is missing: half maps come in pairs")
        elif self.half_map1 and self.half_map1 == self.half_map2:
            yield Hint("half_map2", "is the same file as the first half map")

    def fingerprint(self) -> Any:
        return sources.fingerprint([Path(path) for path in dict.fromkeys((self.path, *self._maps()[0].values())) if path])

    def run(self, job: Job) -> Imported:
        from cryoloom.formats.mrc import write_mrc

        maps, told = self._maps()
        names = {"volume_path": "volume.mrc", "half_map1_path": "half1_unfil.mrc", "half_map2_path": "half2_unfil.mrc"}
        row: dict[str, Any] = {"id": 1}
        box, pixel_size = 0, 0.0
        for column, source in maps.items():
            if not source:
                continue
            data, size, origin = _read_map(source)
            if column == "volume_path":
                box, pixel_size = data.shape[0], self._pixel_size(job, told or size)
            elif data.shape[0] != box:
                raise Failure(
                    "half-map-box",
                    f"{source}: box of {data.shape[0]} voxels, the map {self.path} has {box}.",
                    "Give the half maps of this very map.",
                )
            write_mrc(job.output(names[column]), data, pixel_size, volume=True, origin=origin)
            row[column] = job.output(names[column]).relative_to(job.root).as_posix()
        items = pl.DataFrame([{**row, "box_size": box}]).with_columns(pl.col("id", "box_size").cast(pl.Int64))
        return Imported(Volume(items, job.root, meta={"pixel_size": pixel_size}))

    def _maps(self) -> tuple[dict[str, str], float | None]:
        """Return the files by column, and the pixel size if a table tells it; half maps of the form go before those of a table."""
        from cryoloom.formats.exchange import read_as, suffixes

        given = {"volume_path": self.path, "half_map1_path": self.half_map1, "half_map2_path": self.half_map2}
        if Path(self.path).suffix.lower() not in suffixes("volumes"):
            return given, None
        named = read_as("volumes", Path(self.path))
        files = {column: path.as_posix() for column, path in named.files.items()}
        return {**files, **{column: path for column, path in given.items() if path and column != "volume_path"}}, named.pixel_size

    def _pixel_size(self, job: Job, header: float) -> float:
        if self.pixel_size is None:
            if header <= 0:
                raise Failure("pixel-size", f"{self.path}: its header does not say the pixel size.", "Give it: --pixel-size.")
            return header
        if header > 0 and abs(header / self.pixel_size - 1) > 1e-3:
            job.warn(f"The header of {Path(self.path).name} says {header:g} Å per voxel; {self.pixel_size:g} Å is used, as given.")
        return self.pixel_size

    def summary(self, out: Imported) -> Mapping[str, Any]:
        row = out.volume.items.row(0, named=True)
        pixel_size = out.volume.meta["pixel_size"]
        return {
            "box (px)": row["box_size"],
            "pixel size (Å)": pixel_size,
            "box (Å)": round(row["box_size"] * pixel_size, 1),
            "half maps": "yes" if row.get("half_map1_path") else "no",
        }

    def methods(self, out: Imported) -> str:
        row = out.volume.items.row(0, named=True)
        return f"A map of {row['box_size']} voxels of {out.volume.meta['pixel_size']:.4g} Å was imported."


def _read_map(path: str) -> tuple[Any, float, tuple[float, float, float]]:
    """Return the map as float32 ``[z, y, x]``, its pixel size (0: unknown) and origin, in Å."""
    import numpy as np

    from cryoloom.formats.mrc import read_mrc

    image = read_mrc(path)
    data, sizes = image.data, image.header.voxel_size
    shape = " × ".join(str(size) for size in data.shape[::-1])
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise Failure(
            "map-not-cubic", f"{path}: {shape} voxels; a map must be a cube.", "Pad it to a cube, with the particle in the middle."
        )
    if data.dtype.kind == "c":
        raise Failure("map-complex", f"{path}: holds a Fourier transform, not a map.", "Give the map in real space.")
    if max(sizes) - min(sizes) > 1e-3 * max(sizes):
        raise Failure(
            "map-anisotropic",
            f"{path}: voxels of {' × '.join(f'{size:g}' for size in sizes)} Å; they must be cubes.",
            "Resample the map to cubic voxels.",
        )
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad:
        raise Failure("map-nan", f"{path}: {bad} of {data.size} voxels are NaN or infinite.", "Run the program that made it again.")
    if data.min() == data.max():
        raise Failure("map-empty", f"{path}: every voxel is {float(data.min()):g}.", "Check that this is the right file.")
    return np.ascontiguousarray(data, dtype=np.float32), sizes[0], image.header.origin
