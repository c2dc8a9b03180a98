"""A map and its half maps as a table of another program names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryoloom.formats.sources import resolved
from cryoloom.spec import Failure


@dataclass(frozen=True)
class VolumeFiles:
    """Files by our columns (``volume_path``, ``half_map1_path``, ``half_map2_path``), and the pixel size in Å, None if it is not told."""

    files: Mapping[str, Path]
    pixel_size: float | None

    @classmethod
    def found(cls, table: Path, names: Mapping[str, str], pixel_size: float | None) -> "VolumeFiles":
        """Look for the files that `table` names.

        Raises
        ------
        Failure
            ``map-missing``.
        """
        files = {column: resolved(name, table) for column, name in names.items()}
        for column, place in files.items():
            if place is None:
                raise Failure("map-missing", f"{table}: {names[column]} was not found from there or a folder above.", "Copy it along.")
        return cls({column: place for column, place in files.items() if place is not None}, pixel_size)
