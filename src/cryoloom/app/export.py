"""Outputs as files of other programs."""

from pathlib import Path

from cryoloom.app.runs import OutputRef
from cryoloom.app.session import Project
from cryoloom.files import make_folder
from cryoloom.spec import WrongUse
from cryoloom.tables.storage import write_frame

FORMATS = ("relion", "parquet")


def export(project: Project, name: str, directory: Path, format_name: str) -> list[Path]:
    """Write one output, or with ``all`` every output of the finished runs, and return the files written.

    Of several outputs that would have the same file names, the one of the last run is written.

    Raises
    ------
    WrongUse
        ``unknown-format``, ``nothing-to-export`` or an output that does not exist.
    """
    if format_name not in FORMATS:
        raise WrongUse(
            "unknown-format", f"--format {format_name}: not a format that can be written.", f"Choose one of {', '.join(FORMATS)}."
        )
    finished = [run for run in project.runs() if run.state == "finished"]
    everything = [output for run in finished for output in run.outputs]
    if name != "all":
        chosen = [project.output(name)]
    else:
        chosen = list(everything if format_name == "parquet" else _latest(everything))
    if not chosen:
        raise WrongUse("nothing-to-export", f"{project.root} has no finished run.", "Run something first.")
    make_folder(directory)
    if format_name == "parquet":
        return [_parquet(output, directory) for output in chosen]
    from cryoloom.formats.relion import export_relion

    related = {output.kind: output.dataset for output in _latest(everything)}
    return [path for output in chosen for path in export_relion(output.dataset, output.name, directory, related=related)]


def _latest(outputs: list[OutputRef]) -> list[OutputRef]:
    """Return the last output of each kind; the ones that a RELION folder has room for."""
    latest: dict[str, OutputRef] = {}
    for output in outputs:
        latest[output.kind] = output
    return list(latest.values())


def _parquet(output: OutputRef, directory: Path) -> Path:
    path = directory / f"{output.run.id}_{output.name}.parquet"
    write_frame(output.to_polars(), path)
    return path
