"""The list of projects, and a project as a whole."""

import shutil
from collections import Counter
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cryoloom.app.session import Project
from cryoloom.engine.state import ACTIVE
from cryoloom.server.context import ProjectAt, WatchAt, WorkplaceAt
from cryoloom.server.models import Graph, MethodsText, Note, ProjectBrief
from cryoloom.spec import WrongUse

router = APIRouter(prefix="/api/projects", tags=["projects"])


class NewProject(BaseModel):
    """A project to be made."""

    name: str = Field(max_length=100)


class ProjectChange(BaseModel):
    """What to change of a project."""

    name: str | None = Field(None, max_length=200)
    note: str | None = Field(None, max_length=100_000)


def _brief(project: Project) -> dict[str, Any]:
    runs = project.runs()
    folder = project.root / "runs"
    return {
        "folder": project.root.name,
        "name": project.name,
        "runs": len(runs),
        "states": Counter(str(run.state) for run in runs),
        "changed": (folder if folder.exists() else project.root).stat().st_mtime,
    }


@router.get("", response_model=list[ProjectBrief])
def listed(workplace: WorkplaceAt) -> list[dict[str, Any]]:
    """Return the projects, the one changed last first."""
    return sorted((_brief(workplace.open(name)) for name in workplace.names()), key=lambda each: -each["changed"])


@router.post("", response_model=ProjectBrief, status_code=201)
def create(workplace: WorkplaceAt, wanted: NewProject) -> dict[str, Any]:
    """Make a project."""
    return _brief(workplace.create(wanted.name.strip()))


@router.put("/demo", response_model=ProjectBrief)
def demo(workplace: WorkplaceAt) -> dict[str, Any]:
    """Make the demo project and start to process its simulated movies; one that is there is returned as it is."""
    return _brief(workplace.demo())


@router.get("/{project}", response_model=ProjectBrief)
def one(project: ProjectAt) -> dict[str, Any]:
    """Return a project."""
    return _brief(project)


@router.patch("/{project}", response_model=ProjectBrief)
def change(project: ProjectAt, wanted: ProjectChange) -> dict[str, Any]:
    """Rename a project, or write something down in it."""
    if wanted.name:
        project.rename(wanted.name)
    if wanted.note:
        project.note(wanted.note)
    return _brief(project)


@router.get("/{project}/notes", response_model=list[Note])
def notes(project: ProjectAt) -> list[dict[str, Any]]:
    """Return what was written down in a project."""
    return project.notes()


@router.delete("/{project}", status_code=204)
def delete(workplace: WorkplaceAt, project: ProjectAt) -> None:
    """Delete a project for good; movies it links to stay."""
    if busy := [run.id for run in project.runs() if run.state in ACTIVE]:
        raise WrongUse("project-busy", f"{project.root} has runs at work: {', '.join(busy)}.", "Stop them first.")
    workplace.forget(project.root.name)
    shutil.rmtree(project.root)


@router.get("/{project}/graph", response_model=Graph)
def graph(watch: WatchAt) -> dict[str, Any]:
    """Return all boxes of the canvas."""
    return watch.snapshot()


@router.post("/{project}/copy", response_model=ProjectBrief, status_code=201)
def copy(workplace: WorkplaceAt, project: ProjectAt, wanted: NewProject) -> dict[str, Any]:
    """Copy a project, but for its trash, to a folder of another name beside it."""
    return _brief(workplace.copy(project, wanted.name.strip()))


@router.get("/{project}/methods", response_model=MethodsText)
def methods(project: ProjectAt) -> dict[str, str]:
    """Return the methods section of all that the run finished last rests on."""
    told = project.methods()
    return {"text": told.page, "bibtex": told.bibtex}


@router.get("/{project}/disk")
def disk(project: ProjectAt) -> dict[str, int]:
    """Return the bytes of every run, and of the trash."""
    return project.disk_use()
