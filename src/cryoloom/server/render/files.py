"""The files of an output, by the names that it lists them under: what is not listed cannot be asked for."""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from cryoloom.app.outputs import OutputRef
from cryoloom.server.render.sources import file_of
from cryoloom.spec import WrongUse


def listed(output: OutputRef) -> dict[str, str]:
    """Return the files of an output, relative to the project, by name: its tables, images, maps and gain, whichever run wrote them.

    A name is the file's own, or its whole relative path where several files have that name.
    """
    manifest, dataset = output.manifest, output.dataset
    table = manifest["table"]
    entries = (*table["base"], *table["sidecars"], *([table["ids"]] if table["ids"] else []), *manifest["files"])
    columns = [name for name, kind in dataset.schema.items() if name.endswith("_path") and kind == pl.String]
    rows = dataset.scan(columns).collect()
    named = [value for name in columns for value in rows[name].unique(maintain_order=True).to_list() if value]
    said = [value for name, value in dataset.meta.items() if name.endswith("_path") and isinstance(value, str)]
    paths = list(dict.fromkeys([*(entry["path"] for entry in entries), *named, *said]))
    bearers = Counter(PurePosixPath(path).name for path in paths)
    return {name if bearers[name := PurePosixPath(path).name] == 1 else path: path for path in paths}


def find(output: OutputRef, name: str) -> Path:
    """Return where a listed file lies.

    Raises
    ------
    WrongUse
        ``unknown-file``.
    Failure
        ``file-cleaned``, ``file-missing``.
    """
    known = listed(output)
    if name not in known:
        raise WrongUse("unknown-file", f"{output} lists no file {name!r}.", "Take a name from the list of its files.")
    return file_of(output, known[name], "file")


def sizes(output: OutputRef) -> list[dict[str, Any]]:
    """Return ``name`` and ``bytes`` of every file, None where it is gone."""
    places = {name: output.file(path) for name, path in listed(output).items()}
    return [{"name": name, "bytes": path.stat().st_size if path.is_file() else None} for name, path in places.items()]
