"""One small picture of an output, for its box on the canvas."""

from fastapi import APIRouter, Request, Response

from cryoloom.app.outputs import OutputRef
from cryoloom.server.answers import answer
from cryoloom.server.context import ProjectAt, output_of
from cryoloom.server.render import micrographs, sprites, volumes
from cryoloom.server.render.asset import Asset
from cryoloom.spec import WrongUse

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}", tags=["images"], default_response_class=Response)

CLASSES = sprites.Wish(limit=4, columns=2, size=64)


@router.get("/thumbnail")
async def thumbnail(request: Request, project: ProjectAt, output: str) -> Response:
    """Return the first class averages, the middle of a map, or the first micrograph."""
    return await answer(request, lambda: _picture(output_of(project, output)))


def _picture(output: OutputRef) -> Asset:
    if output.kind in ("volume", "mask", "classes3d"):
        return volumes.section(volumes.find(output), "z", None, "png")
    if output.kind == "classes2d":
        return sprites.picture(sprites.sheet(output, CLASSES))
    if output.kind == "micrographs" and output.count:
        return micrographs.thumbnail(micrographs.find(output, output.dataset.scan().select("id").head(1).collect().item()))
    raise WrongUse("no-images", f"{output} is a set of {output.kind}, of which there is no small picture.", "")
