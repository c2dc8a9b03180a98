"""The room that runs take, and how to have it back: cleaning and the trash."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from cryoloom.app.housekeeping import Cleaning
from cryoloom.app.runs import Run
from cryoloom.engine.project import disk_use
from cryoloom.server.context import ProjectAt, WatchAt
from cryoloom.server.models import Cleaned, Deleted, RoomOfRun

router = APIRouter(prefix="/api/projects/{project}", tags=["housekeeping"])

Keep = Literal["diagnostic", "final", "record"]


class Cleanup(BaseModel):
    """Files of which runs to remove (none: of all finished ones), and the least dear that are kept."""

    runs: list[str] = []
    keep: Keep = "final"
    also_needed: bool = False


@router.get("/room", response_model=list[RoomOfRun])
def room(project: ProjectAt) -> list[dict[str, Any]]:
    """Return the bytes of every run's files by what they are for."""
    return project.room()


@router.get("/cleaning", response_model=Cleaned)
def would_clean(project: ProjectAt, run: Annotated[list[str], Query()] = [], keep: Keep = "final") -> dict[str, Any]:  # noqa: B006
    """Return what a cleaning would remove; nothing is."""
    return _told(project.clean(*run, keep=keep, dry=True))


@router.post("/cleaning", response_model=Cleaned)
def clean(project: ProjectAt, wanted: Cleanup) -> dict[str, Any]:
    """Remove files of finished runs for good."""
    return _told(project.clean(*wanted.runs, keep=wanted.keep, also_needed=wanted.also_needed))


def _told(found: Cleaning) -> dict[str, Any]:
    return {"bytes": found.size, "files": {run: each.count for run, each in found.runs.items()}, "needed": found.needed}


@router.get("/trash", response_model=list[Deleted])
def trash(project: ProjectAt) -> list[dict[str, Any]]:
    """Return the deleted runs."""
    runs = map(Run, project.folder.trash())
    return [{"run": run.id, "protocol": run.protocol, "label": run.label, "bytes": disk_use(run.folder.path)} for run in runs]


@router.delete("/trash", response_model=int)
def empty(project: ProjectAt) -> int:
    """Remove the deleted runs for good; return the bytes that were freed."""
    return project.empty_trash()


@router.post("/trash/{run}/restore", response_model=list[str])
def restore(project: ProjectAt, run: str, watch: WatchAt) -> list[str]:
    """Bring a run back from the trash, with what is there and depends on it; return what is left there."""
    project.restore(run, with_dependents=True)
    watch.hurry()
    return project.trash()
