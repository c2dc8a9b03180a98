"""Atomic models beside the maps of their project."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cryoloom.server.answers import answer
from cryoloom.server.context import ProjectAt, output_of
from cryoloom.server.models import NamedOutput
from cryoloom.server.render import traces, volumes
from cryoloom.server.routes.volumes import Row, Which

router = APIRouter(prefix="/api/projects/{project}", tags=["volumes"])


@router.get("/atomic-models", response_model=list[NamedOutput])
def models(project: ProjectAt) -> list[dict[str, str]]:
    """Return the outputs of the project that are atomic models."""
    return traces.models_of(project)


@router.get("/outputs/{output}/trace", response_class=Response)
async def trace(
    request: Request,
    project: ProjectAt,
    output: str,
    model: Annotated[str, Query(description="RUN.OUTPUT of an atomic model")],
    which: Which = "",
    id: Row = None,
) -> Response:
    """Return the trace of a model in Å from the first voxel of a map, the links of its residues, and how each correlates with its map."""
    return await answer(request, lambda: traces.trace(output_of(project, model), volumes.find(output_of(project, output), which, id)))
