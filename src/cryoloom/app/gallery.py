"""Images of a set in the order of any of its columns, as a page."""

from pathlib import Path
from typing import Any

import numpy as np

from cryoloom.app.outputs import OutputRef
from cryoloom.data import canonical_name
from cryoloom.files import replacing
from cryoloom.report.html import Section, render
from cryoloom.report.panels import ImageGrid
from cryoloom.spec import WrongUse

EACH = 96
"""Side of an image on the page."""


def gallery(
    output: OutputRef, *, where: str = "", sort: str = "", descending: bool = False, offset: int = 0, limit: int = 100
) -> ImageGrid:
    """Return images of an output with their ids, and their values where they are sorted; of maps and movies the middle slice.

    Parameters
    ----------
    where, sort, descending
        As in `OutputRef.images`.
    offset, limit
        Which of them.

    Raises
    ------
    WrongUse
        ``bad-page``, and what `OutputRef.images` raises.
    """
    if offset < 0 or limit < 1:
        raise WrongUse("bad-page", f"Images from {offset}, {limit} of them: there are none such.", "Count from 0, and show one at least.")
    every = output.images(where=where, sort=sort, descending=descending)
    images = every[offset : offset + limit]
    shown = [np.asarray(each if each.ndim == 2 else each[len(each) // 2], dtype=np.float32) for each in images]
    captions = [str(number) for number in images.ids]
    if sort:
        column = sort if sort in output.dataset.schema else canonical_name(sort)
        rows = images.ids.to_frame().join(
            output.dataset.scan([column]).select("id", column).collect(), on="id", how="left", maintain_order="left"
        )
        captions = [f"{number}: {_short(value)}" for number, value in rows.select("id", column).iter_rows()]
    order = f", by {sort}{', largest first' if descending else ''}" if sort else ""
    first = f", from number {offset + 1}" if offset else ""
    told = f"{len(images)} of {len(every)}{f' with {where}' if where else ''}{order}{first}."
    return ImageGrid(title=str(output), images=shown, captions=captions, size=EACH, caption=told)


def write_gallery(output: OutputRef, path: Path, **wanted: Any) -> Path:
    """Write the page of a gallery, one self-contained HTML file, and return its path."""
    panel = gallery(output, **wanted)
    page = render(output.name, panel.caption, "", [], [Section(output.name, str(output), panels=[panel])])
    with replacing(path) as handle:
        handle.write(page.encode())
    return path


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "unknown" if value is None else str(value)
