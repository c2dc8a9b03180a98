"""What "Analyze results" shows: panels, tables, reports."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from cryoloom.app.pages import page
from cryoloom.app.report import write_report
from cryoloom.server.context import OutputAt, ProjectAt, RunAt
from cryoloom.server.models import Page, Panel

router = APIRouter(prefix="/api/projects/{project}", tags=["results"])

ROWS = 5000
"""Most rows in one answer."""


@router.get("/runs/{run}/panels", response_model=list[Panel])
def panels(run: RunAt) -> list[dict[str, Any]]:
    """Return the panels of a run's report, drawn as in the HTML report."""
    return [
        {
            "kind": type(panel).__name__,
            "title": getattr(panel, "title", ""),
            "caption": getattr(panel, "caption", ""),
            "html": panel.html(),
        }
        for panel in run.report.panels
    ]


@router.get("/outputs/{output}/page", response_model=Page)
def rows(
    output: OutputAt,
    columns: Annotated[list[str], Query()] = [],  # noqa: B006 (FastAPI copies it)
    where: str = "",
    sort: str = "",
    descending: bool = False,
    offset: int = 0,
    limit: Annotated[int, Query(ge=0, le=ROWS)] = 200,
    mark: str | None = None,
) -> dict[str, Any]:
    """Return some rows of an output, sorted and filtered, and whether each follows another rule, `mark`."""
    return page(output, columns=columns, where=where, sort=sort, descending=descending, offset=offset, limit=limit, mark=mark)


@router.get("/report", response_class=FileResponse)
def report(project: ProjectAt, run: str = "") -> FileResponse:
    """Return the self-contained HTML report of a project or of a run."""
    folder = tempfile.TemporaryDirectory(prefix="cryoloom-report-")
    path = write_report(project.folder, Path(folder.name) / "report.html", project.find(run) if run else None)
    return FileResponse(path, filename=f"{project.root.name}{'-' + run if run else ''}.html", background=BackgroundTask(folder.cleanup))
