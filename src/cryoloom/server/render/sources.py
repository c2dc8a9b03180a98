"""Where the pictures of an output come from: its rows, its files, and the micrographs that it was made on."""

import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from cryoloom.app.outputs import OutputRef
from cryoloom.app.runs import Run
from cryoloom.engine.folder import RUN_ID
from cryoloom.spec import Failure, WrongUse
from cryoloom.tables import Dataset

_OF_A_RUN = re.compile(rf"runs/({RUN_ID.pattern})/")


def row_of(dataset: Dataset, number: int, columns: Collection[str] | None = None) -> dict[str, Any]:
    """Return one row of a set by its id, with the columns of its optics group; of `columns`, all by default, those that it has.

    Raises
    ------
    WrongUse
        ``unknown-id``.
    """
    rows = dataset.scan(columns, within=(number, number)).filter(pl.col("id") == number).collect()
    if rows.is_empty():
        raise WrongUse("unknown-id", f"{number} is no id of these {dataset.kind}.", "Take ids from the column `id` of its table.")
    return rows.row(0, named=True)


def file_of(output: OutputRef, relative: str | None, what: str) -> Path:
    """Return the file that a row of an output, or of one it rests on, names; `what` it is said to be where there is none.

    Raises
    ------
    WrongUse
        ``no-image``: the row names none.
    Failure
        ``file-cleaned``: it was removed to save room; ``file-missing``; ``file-outside``: it is said to lie outside of the project.
    """
    if not relative:
        raise WrongUse("no-image", f"{output} has no {what} here.", "The row may be disabled, or its method writes none.")
    path = output.file(relative)
    if os.path.isabs(relative) or ".." in PurePosixPath(relative).parts:  # no table of ours says so: the project came from somebody else
        raise Failure("file-outside", f"{output} names {relative}, which is not in its project.", "Import the file instead.")
    if path.is_file():
        return path
    made_by = _OF_A_RUN.match(relative)
    if made_by and relative in Run(output.run.project.run(made_by[1])).cleaned:
        raise Failure("file-cleaned", f"{relative} was cleaned away to save room.", f"Restart {made_by[1]} to compute it again.")
    raise Failure("file-missing", f"{path}: there is no such file.", "It was moved or deleted, or its disk is not there; bring it back.")


def behind(output: OutputRef, kind: str) -> OutputRef:
    """Return the output itself if it is of this kind, else the nearest one of this kind that it was made from.

    Raises
    ------
    WrongUse
        ``no-source``: it rests on none.
    """
    found = _nearest(output, kind)
    if found is None:
        raise WrongUse("no-source", f"{output} was made from no {kind}.", f"Look at an output that {kind} led to.")
    return found


def _nearest(output: OutputRef, kind: str) -> OutputRef | None:
    project, level, seen = output.run.project, [output], {str(output)}
    while level:
        for each in level:
            if each.kind == kind:
                return each
        above = [reference for each in level for reference in each.run.folder.references()]
        level = []
        for reference in above:
            each = OutputRef(Run(project.run(reference["run"])), reference["output"])
            if str(each) not in seen:
                seen.add(str(each))
                level.append(each)
    return None
