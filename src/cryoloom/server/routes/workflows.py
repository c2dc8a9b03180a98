"""A project's workflow as a file, and a file as drafts."""

import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from cryoloom.server.context import ProjectAt, WatchAt
from cryoloom.server.models import Brought

router = APIRouter(prefix="/api/projects/{project}/workflow", tags=["workflows"])


class Workflow(BaseModel):
    """The text of a workflow of ours or of Scipion, and values for what it asks for."""

    text: str = Field(max_length=4_000_000)
    given: dict[str, str] = {}


@router.get("")
def export(project: ProjectAt, run: str = "") -> Response:
    """Return the workflow of a project, or of a run and all that it rests on."""
    name = f"{project.root.name}{'-' + run if run else ''}.workflow.json".encode("ascii", "replace").decode().replace('"', "_")
    text = project.export_workflow(run=run)
    return Response(text, media_type="application/json", headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.post("", response_model=Brought, status_code=201)
def bring(project: ProjectAt, watch: WatchAt, wanted: Workflow) -> dict[str, Any]:
    """Make a draft of every node of a workflow."""
    with tempfile.TemporaryDirectory(prefix="cryoloom-workflow-") as folder:
        path = Path(folder) / "workflow.json"
        path.write_text(wanted.text, encoding="utf-8")
        done = project.import_workflow(path, wanted.given)
    watch.hurry()
    runs = done.planted.runs if done.planted else {}
    return {"runs": {node: run.id for node, run in runs.items()}, "messages": [str(each) for each in done.messages]}
