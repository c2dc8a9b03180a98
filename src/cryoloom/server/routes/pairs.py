"""A map beside another one of its project."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from cryoloom.server.answers import answer
from cryoloom.server.context import ProjectAt, output_of
from cryoloom.server.models import Companion
from cryoloom.server.render import pairs, volumes
from cryoloom.server.routes.volumes import Row, Which

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}", tags=["volumes"])


def pair_at(
    project: ProjectAt,
    output: str,
    other: Annotated[str, Query(alias="with", description="RUN.OUTPUT of the second map")],
    which: Which = "",
    id: Row = None,
    with_which: Which = "",
    with_id: Row = None,
) -> tuple[volumes.Map, volumes.Map]:
    """Return the two maps that the address names."""
    return volumes.find(output_of(project, output), which, id), volumes.find(output_of(project, other), with_which, with_id)


PairAt = Annotated[tuple[volumes.Map, volumes.Map], Depends(pair_at)]


@router.get("/companions", response_model=list[Companion])
def companions(project: ProjectAt, output: str, which: Which = "", id: Row = None) -> list[dict[str, Any]]:
    """Return the outputs of the project with maps on the grid of this one, itself included."""
    return pairs.companions(project, volumes.find(output_of(project, output), which, id))


@router.get("/agreement")
async def agreement(request: Request, pair: PairAt) -> Response:
    """Return the shell correlation of two maps, the correlation of their voxels, and what makes their grey scales alike."""
    return await answer(request, lambda: pairs.agreement(*pair))


@router.get("/difference")
async def difference(request: Request, pair: PairAt, i: int, axis: volumes.Axis = "z", format: Literal["png", "raw"] = "png") -> Response:
    """Return a slice of this map less the other one, whose grey scale is fitted to it; 0 is in the middle of X-Low and X-High."""
    return await answer(request, lambda: pairs.difference(*pair, axis, i, format))
