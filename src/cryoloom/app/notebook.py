"""What projects, outputs and images look like in a notebook: a section of the report each, and one line of text."""

import math
from typing import TYPE_CHECKING, Any

from cryoloom.app.outputs import ONE_MAP
from cryoloom.data import column_named
from cryoloom.report.html import Section, fragment
from cryoloom.report.panels import ImageGrid, MapSlices, Notice, TableView
from cryoloom.spec import CryoloomError, Panel
from cryoloom.spec.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cryoloom.app.images import Images
    from cryoloom.app.outputs import OutputRef
    from cryoloom.app.runs import Run

RUNS = 100
"""Runs in the table of a project."""
SHOWN, READ = 8, 256 << 20
"""Images drawn of a set: so many, or as many as take so many bytes, and one at least."""


def project_html(name: str, place: "Path", everything: "Sequence[Run]") -> str:
    """Draw a project's last runs with their states, and their outputs with the number of rows."""
    runs = everything[-RUNS:]
    columns = {
        "run": [run.id for run in runs],
        "name": [run.label for run in runs],
        "protocol": [run.protocol for run in runs],
        "state": [str(run.state) for run in runs],
        "outputs": [_counts(run) for run in runs],
    }
    caption = f"The last {len(runs)} of them." if len(runs) < len(everything) else ""
    table = TableView(title="", columns=columns, limit=RUNS, caption=caption)
    return _card(name, f"{place} · {counted(len(everything), 'run')}", [table] if runs else [])


def outputs_html(run: "Run") -> str:
    """Draw the names of a run's outputs and what each is."""
    outputs = list(run.outputs)
    columns = {"output": [output.name for output in outputs], "what it is": [output_words(output) for output in outputs]}
    return _card(f"Outputs of {run.id}", f"{run.protocol}, {run.state}", [TableView(title="", columns=columns)])


def output_words(output: "OutputRef") -> str:
    """Return the kind, the number of rows, and the size of boxes or maps in px and Å/px, as far as there is anything yet."""
    if output.run.folder.published() is None:
        return "not there yet"
    words = [output.kind]
    if output.kind in ONE_MAP and output.count == 1:
        words.append(" × ".join(3 * [str(output.items["box_size"][0])]) + " px")
    else:
        words.append(counted(output.count, "row"))
        boxes = {group["box_size"] for group in output.optics if "box_size" in group}
        words += [f"{box} × {box} px" for box in sorted(boxes)]
    size = output.pixel_size
    return ", ".join([*words, f"{size:.4g} Å/px"] if size else words)


def output_html(output: "OutputRef") -> str:
    """Draw the slices of a map, and the columns with their units, meanings and first values."""
    panels: list[Panel] = []
    if output.run.folder.published() is not None:
        frame = output.to_polars()
        if output.kind in ONE_MAP and output.count == 1:
            panels.append(_slices(output))
        known = {name: column_named(name) for name in frame.columns}
        columns = {
            "column": frame.columns,
            "unit": [found.unit if found else "" for found in known.values()],
            "meaning": [found.meaning if found else "" for found in known.values()],
            "first row": [_short(frame[name].head(1).to_list()) for name in frame.columns],
        }
        panels.append(TableView(title="", columns=columns, limit=frame.width))
    return _card(str(output), output_words(output), panels)


def images_html(images: "Images") -> str:
    """Draw the first of them; of maps and movies the middle slice."""
    shown = images[: min(SHOWN, max(1, READ // (4 * max(1, math.prod(images.shape[1:])))))]
    ids = [f"id {number}" for number in shown.ids]
    return _card(repr(images)[1:-1], f"first {len(shown)}", [ImageGrid(title="", images=[_flat(each) for each in shown], captions=ids)])


def _counts(run: "Run") -> str:
    return ", ".join(f"{name} ({head['count']:,})" for name, head in (run.folder.heads() or {}).items())


def _slices(output: "OutputRef") -> Panel:
    try:
        return MapSlices(title="", volume=output.to_numpy())
    except CryoloomError as error:  # cleaned away to save room, or on a disk that is not there
        return Notice(level="advice", text=str(error))


def _flat(image: "NDArray[Any]") -> "NDArray[Any]":
    return image if image.ndim == 2 else image[len(image) // 2]


def _short(values: list[Any]) -> Any:
    value = next(iter(values), None)
    return value if not isinstance(value, list) else f"{len(value)} values"


def _card(title: str, subtitle: str, panels: list[Panel]) -> str:
    return fragment(Section("", title, subtitle=subtitle, panels=panels))
