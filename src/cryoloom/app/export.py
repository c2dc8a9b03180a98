"""Outputs as files of other programs."""

from pathlib import Path

from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project
from cryoloom.files import make_folder
from cryoloom.formats.exchange import format_named, formats
from cryoloom.spec import Failure, WrongUse


def format_names() -> list[str]:
    """Return the formats that can be written, each with its kind of set where it has files for one alone."""
    kinds = {each.name: ", ".join(each.writers) for each in formats().values() if each.writers}
    return [name if "," in written or written == "*" else f"{name} ({written})" for name, written in kinds.items()]


def export(project: Project, name: str, directory: Path, format_name: str) -> list[Path]:
    """Write one output, or with ``all`` every output of the finished runs that the format has files for; return the files written.

    Of several outputs that would have the same file names, the one of the last run is written.

    Raises
    ------
    WrongUse
        ``unknown-format``, ``nothing-to-export`` or an output that does not exist.
    Failure
        ``export-kind`` when the format has no file for the one output that was asked for.
    """
    chosen = _chosen(project, name, format_name)
    make_folder(directory)
    chosen_format = format_named(format_name)
    related = {output.kind: output.dataset for output in _latest(_finished(project))}
    paths = []
    for output in chosen:
        write = chosen_format.writer(output.kind)
        if write is None:
            raise Failure("export-kind", f"{output.name}: {chosen_format.title} has no file for {output.kind}.", "Export it as parquet.")
        stem = f"{output.run.id}_{output.name}" if chosen_format.every else output.name
        paths += write(output.dataset, stem, directory, related=related)
    return paths


def cautions(project: Project, name: str, format_name: str) -> list[str]:
    """Return what the other program has to be told because its files have no word for it that it reads; arguments as of `export`."""
    if format_name != "relion":
        return []
    particles = [output for output in _chosen(project, name, format_name) if output.kind == "particles"]
    return [
        f"{output}: phases are flipped. RELION's programs do not read that from the file (rlnCtfDataArePhaseFlipped): add --ctf_phase_flipped."
        for output in particles
        if any(group.get("phase_flipped") for group in output.optics)
    ]


def _chosen(project: Project, name: str, format_name: str) -> list[OutputRef]:
    """Return the outputs that are written."""
    chosen_format, everything = format_named(format_name), _finished(project)
    if name != "all":
        chosen = [project.output(name)]
    else:
        written = everything if chosen_format.every else _latest(everything)
        chosen = [output for output in written if chosen_format.writer(output.kind)]
    if not chosen:
        raise WrongUse("nothing-to-export", f"{project.root} has no finished run with something for {format_name}.", "Run something first.")
    return chosen


def _finished(project: Project) -> list[OutputRef]:
    return [output for run in project.runs() if run.state == "finished" for output in run.outputs]


def _latest(outputs: list[OutputRef]) -> list[OutputRef]:
    """Return the last output of each kind; the ones that a folder of another program has room for."""
    latest: dict[str, OutputRef] = {}
    for output in outputs:
        latest[output.kind] = output
    return list(latest.values())
