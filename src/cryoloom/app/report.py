"""The report of a project: resolution and findings first, then every finished run with its panels."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cryoloom
from cryoloom.app import catalogue
from cryoloom.app.facts import gather
from cryoloom.app.findings import findings
from cryoloom.app.map_checks import first_map_notices, map_notices
from cryoloom.app.runs import Run, all_runs, looked_back
from cryoloom.engine.cleaning import cleaned_files
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.provenance import ancestry
from cryoloom.files import replacing
from cryoloom.report.html import Section, fragment, render
from cryoloom.report.panels import Funnel, MapSurface, Notice
from cryoloom.spec import CryoloomError, Panel
from cryoloom.spec.words import counted

REPORT_FILE = "report.html"


def write_report(project: ProjectFolder, path: Path | None = None, run: Run | None = None) -> Path:
    """Write one self-contained HTML page for `project`, or for one `run` of it, and return its path.

    `path` defaults to ``report.html`` in the project.
    """
    path = path or project.path / REPORT_FILE
    runs = [run] if run else [known for known in all_runs(project) if known.state == "finished"]
    latest = {known.protocol: known for known in runs}
    overview: list[Panel] = []
    if run is None:
        overview = [
            *findings(gather(all_runs(project)), [*first_map_notices(runs), *map_notices(runs)]),
            *_funnel(latest),
            *_first_picture(latest),
        ]
    page = render(
        project.record["name"], headline(latest), _about(runs), overview, [_section(known, _panels_or_why_not(known)) for known in runs]
    )
    with replacing(path) as handle:
        handle.write(page.encode())
    return path


def headline(latest: Mapping[str, Run]) -> str:
    """Return the resolution in words, or how far the project has come."""
    if "postprocess.sharpen" in latest:
        meta = latest["postprocess.sharpen"].outputs.fsc.meta
        return f"Resolution {meta['resolution']:.2f} Å (half-map FSC 0.143, masked and corrected for the mask; unmasked {meta['resolution_unmasked']:.2f} Å)"
    if "refine.auto" in latest:
        return f"Resolution {latest['refine.auto'].outputs.fsc.meta['resolution']:.2f} Å (half-map FSC 0.143, before post-processing)"
    return f"No refined map yet; last step {list(latest)[-1]}" if latest else "Nothing has been run yet"


def _funnel(latest: Mapping[str, Run]) -> list[Panel]:
    counted = (
        ("import.movies", "movies", "movies imported", "movies"),
        ("motion.correlation", "micrographs", "aligned", "movies"),
        ("ctf.estimate", "ctfs", "with a believable CTF", "movies"),
        ("pick.blob", "coordinates", "picked", "particles"),
        ("classify2d.em", "particles", "classified", "particles"),
        ("sets.select", "particles", "selected", "particles"),
        ("refine.auto", "particles", "in the map", "particles"),
    )
    steps = [
        (label, getattr(latest[protocol].outputs, output).enabled().height, unit)
        for protocol, output, label, unit in counted
        if protocol in latest and output in latest[protocol].outputs
    ]
    return [Funnel(title="From movies to map", steps=steps)] if steps else []


def _first_picture(latest: Mapping[str, Run]) -> list[Panel]:
    if "postprocess.sharpen" not in latest:
        return []
    pictures = [panel for panel in panels_of(latest["postprocess.sharpen"]) if isinstance(panel, MapSurface)]
    return [picture.model_copy(update={"title": "The map"}) for picture in pictures]


def panels_of(run: Run) -> list[Panel]:
    """Return what "Analyze results" of a finished run shows."""
    built, made = looked_back(run)
    try:
        return built.report(made)
    except (FileNotFoundError, CryoloomError):
        cleaned = [folder.id for folder in ancestry(run.project, run.id) if cleaned_files(folder)]
        if not cleaned:
            raise
        return [Notice(level="advice", text=f"The pictures are gone: files of {', '.join(cleaned)} were cleaned away to save room.")]


def _panels_or_why_not(run: Run) -> list[Panel]:
    """Return the panels of one run among many: what cannot be shown of it takes nothing from the others."""
    try:
        return panels_of(run)
    except (FileNotFoundError, CryoloomError) as problem:
        return [Notice(level="warning", text=f"The pictures of {run.id} cannot be made: {problem}")]


class RunReport:
    """What "Analyze results" of a run shows; in a notebook it draws itself, with the panels of the HTML report."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def panels(self) -> list[Panel]:
        """Return its panels, data and drawing; of a run that has not finished, how it stands."""
        if self.run.state == "finished":
            return panels_of(self.run)
        return [Notice(level="advice", text=f"{self.run.id} is {self.run.state}. {self.run.reason}".strip())]

    def __repr__(self) -> str:
        run = self.run
        lines = [f"Report of {run.id} ({run.protocol}), {run.state}", *(["  " + run.reason] if run.reason else [])]
        lines += [f"  {label}: {value}" for label, value in run.summary.items()]
        titles = [title for panel in self.panels if (title := getattr(panel, "title", ""))]
        return "\n".join([*lines, *(f"  ! {text}" for text in run.warnings), *(f"  [{title}]" for title in titles)])

    def _repr_html_(self) -> str:
        return fragment(replace(_section(self.run, self.panels), anchor=""))

    def save(self, path: str | Path) -> Path:
        """Write it as a self-contained HTML page and return its path."""
        return write_report(self.run.project, Path(path), self.run)


def _section(run: Run, panels: list[Panel]) -> Section:
    inputs = {f"input {name}": _named(given) for name, given in run.inputs.items()}
    return Section(
        anchor=run.id,
        title=run.label or run.protocol,
        subtitle=" · ".join((run.id, run.protocol, *_spent(run))),
        about=" ".join((catalogue.protocol(run.protocol).__doc__ or "").split()),
        summary=run.summary,
        warnings=run.warnings,
        panels=panels,
        details={**run.parameters, **inputs, "seed": run.seed, **_written(run)},
    )


def _written(run: Run) -> dict[str, str]:
    """Return what people wrote beside a run."""
    notes = "\n".join(each["text"] for each in run.notes)
    return {name: text for name, text in (("tags", ", ".join(run.tags)), ("notes", notes)) if text}


def _spent(run: Run) -> tuple[str, ...]:
    spent = run.spent
    return (f"{spent['seconds']:.0f} s", f"{spent['peak_memory_mb'] / 1e3:.1f} GB") if spent else ()


def _named(given: dict[str, Any] | list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['run']}.{each['output']}" for each in (given if isinstance(given, list) else [given]))


def _about(runs: list[Run]) -> str:
    told = "Every figure is drawn from the project's own tables; parameters stand under each step."
    return f"{counted(len(runs), 'run')}, cryoloom {cryoloom.__version__}. {told}"
