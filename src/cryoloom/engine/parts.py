"""The parts of a map: one file an item, there once the item is finished. Readable while the map runs."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from cryoloom import files
from cryoloom.tables import Hashed

SHARD = 1000
"""Items a folder, by their position in the set: network file systems slow down in large folders."""
_KEY = "cryoloom.key"
_HASHED = "cryoloom.files"


@dataclass(frozen=True)
class Failed:
    """Why an item has no rows. A crash (its worker died) is tried again when the run is resumed; an error is not."""

    reason: str
    crash: bool = False


class Parts:
    """The finished items of one map of one run.

    Parameters
    ----------
    folder
        ``parts/<map name>`` in the run's folder.
    ids
        Ids of the items in the order of the set; an item's position decides its sub-folder.
    """

    def __init__(self, folder: Path, ids: Sequence[int]) -> None:
        self.folder = folder
        self.ids = ids

    def path(self, position: int) -> Path:
        """Return where the rows of the item at `position` are published."""
        return self.folder / f"{position // SHARD:03d}" / f"{self.ids[position]}.parquet"

    def failure_path(self, position: int) -> Path:
        """Return where the failure of the item at `position` is published."""
        return self.path(position).with_suffix(".failed.json")

    def present(self) -> tuple[set[int], dict[int, Failed]]:
        """Return the ids of the finished items, and the failed ones with their reason."""
        done = set(self.published())
        failed: dict[int, Failed] = {}
        for path in self._files():
            item = path.name.removesuffix(".failed.json")
            if item != path.name and int(item) not in done and (record := files.read_json(path)):
                failed[int(item)] = Failed(record["reason"], record["crash"])
        return done, failed

    def published(self) -> dict[int, Path]:
        """Return the parts of the finished items by id."""
        return {int(path.stem): path for path in self._files() if path.suffix == ".parquet"}

    def _files(self) -> Iterator[Path]:
        for shard in sorted(self.folder.glob("[0-9]*")):
            for entry in os.scandir(shard):
                if entry.name[0] != ".":
                    yield Path(entry.path)

    def hashed(self, done: set[int]) -> dict[str, Hashed]:
        """Return the hashes of the files of the finished items, by their path relative to the project."""
        return {name: each for part in self._of(done) for name, each in hashed_of(part).items()}

    def rows(self, done: set[int]) -> pl.DataFrame:
        """Return the rows of the finished items, in the order of the set."""
        return concatenated(self._of(done))

    def _of(self, done: set[int]) -> Iterator[Path]:
        """Yield the parts of the finished items in the order of the set; a set that has grown since may have moved their positions."""
        published = self.published()
        return (published[item] for item in self.ids if item in done)


def concatenated(paths: Iterable[Path]) -> pl.DataFrame:
    """Return the rows of parts one after the other; columns that some lack are null there."""
    frames = [frame for frame in map(pl.read_parquet, paths) if frame.width]
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def write_part(path: Path, rows: pl.DataFrame, *, key: str = "", hashed: Mapping[str, Hashed] | None = None) -> None:
    """Publish the rows of an item, with the key of the content they were computed from and the hashes of the item's files."""
    told = {_KEY: key, _HASHED: json.dumps({name: asdict(each) for name, each in (hashed or {}).items()})}
    buffer = io.BytesIO()  # Polars takes three times as long to write few rows to a file
    rows.write_parquet(buffer, compression="zstd", metadata=told)
    with files.replacing(path, lasting=False) as handle:  # an item that is lost is computed again
        handle.write(buffer.getbuffer())


def key_of(path: Path) -> str:
    """Return the key that a part was published with, an empty text when it has none."""
    return pl.read_parquet_metadata(path).get(_KEY, "")


def hashed_of(path: Path) -> dict[str, Hashed]:
    """Return the hashes of an item's files as its part tells them, by their path relative to the project."""
    told = json.loads(pl.read_parquet_metadata(path).get(_HASHED, "{}"))
    return {name: Hashed(**each) for name, each in told.items()}


def hash_files(rows: pl.DataFrame, run: Path, root: Path) -> dict[str, Hashed]:
    """Read the files in `run`, a run's folder, that `rows` name; in the worker that made them, so that nobody reads them all in a row later.

    Of files whose quick hash stands beside them (``movie_quick`` beside ``movie_path``) no more than that is read.
    """
    own = run.relative_to(root).as_posix() + "/"
    found: dict[str, Hashed] = {}
    for column in (name for name in rows.columns if name.endswith("_path") and rows[name].dtype == pl.String):
        hashed = Hashed.quickly if f"{column.removesuffix('_path')}_quick" in rows.columns else Hashed.of
        names = rows[column].drop_nulls().unique().to_list()
        found |= {name: hashed(root / name) for name in names if name.startswith(own) and (root / name).is_file()}
    return found


def write_failure(path: Path, failed: Failed) -> None:
    """Publish why an item failed."""
    files.write_json(path, {"reason": failed.reason, "crash": failed.crash})
