"""What every route is given: the project that its address names, and outputs by name."""

from typing import Annotated

from fastapi import Depends, Request

from cryoloom.app.outputs import OutputRef
from cryoloom.app.session import Project
from cryoloom.spec import WrongUse


def project_at(project: str, request: Request) -> Project:
    """Return the open project that an address names."""
    known: dict[str, Project] = request.app.state.projects
    if project not in known:
        raise WrongUse("unknown-project", f"There is no project {project!r}.", "Open it first.")
    return known[project]


ProjectAt = Annotated[Project, Depends(project_at)]


def output_of(project: Project, name: str) -> OutputRef:
    """Return the output ``RUN.OUTPUT``."""
    return project.output(name)
