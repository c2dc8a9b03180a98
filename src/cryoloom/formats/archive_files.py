"""The files of a folder for an archive, with their checksums."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import polars as pl


def listed_files(folder: Path, files: Mapping[str, str], root: Path) -> pl.DataFrame:
    """Write ``checksums.sha256`` and return the rows of a `Deposition`; `files` says what each file of the folder is."""
    sums = {name: _sha256(folder / name) for name in files}
    (folder / "checksums.sha256").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()), encoding="utf-8")
    listed = {**files, "checksums.sha256": "checksums of the files"}
    sums["checksums.sha256"] = _sha256(folder / "checksums.sha256")
    paths = [folder / name for name in listed]
    return pl.DataFrame(
        {
            "id": range(1, len(paths) + 1),
            "role": list(listed.values()),
            "file_path": [path.relative_to(root).as_posix() for path in paths],
            "size": [path.stat().st_size for path in paths],
            "sha256": [sums[name] for name in listed],
        }
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
