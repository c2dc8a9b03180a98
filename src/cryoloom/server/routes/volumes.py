"""Maps, masks, and the files of outputs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from cryoloom.server.answers import answer
from cryoloom.server.context import ProjectAt, output_of
from cryoloom.server.render import bricks, files, volumes

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}", tags=["volumes"], default_response_class=Response)

Which = Annotated[str, Query(description="map, half1, half2, unfiltered, mask ... as volume.json lists them; the set's own by default")]
Row = Annotated[int | None, Query(description="id of the volume or class; the first by default")]


@router.get("/volume.json")
async def volume(request: Request, project: ProjectAt, output: str, which: Which = "", id: Row = None, mask: str = "") -> Response:
    """Return which maps there are, and of one its shape, pixel size, range, mean, deviation and the level of its surface.

    `mask`, an output ``RUN.OUTPUT``, limits the map before 1 % of its voxels are enclosed.
    """

    def find() -> volumes.Asset:
        inside = volumes.find(output_of(project, mask)) if mask else None
        return volumes.described(output_of(project, output), which, id, inside)

    return await answer(request, find)


@router.get("/slice")
async def section(
    request: Request,
    project: ProjectAt,
    output: str,
    axis: volumes.Axis = "z",
    i: int | None = None,
    which: Which = "",
    id: Row = None,
    format: Literal["png", "raw"] = "png",
) -> Response:
    """Return a slice, the middle one by default; 0 and 255 are X-Low and X-High, the range of the whole map."""
    return await answer(request, lambda: volumes.section(volumes.find(output_of(project, output), which, id), axis, i, format))


@router.get("/slices")
async def montage(
    request: Request,
    project: ProjectAt,
    output: str,
    axis: volumes.Axis = "z",
    count: int = 16,
    columns: int = 4,
    size: int = 192,
    which: Which = "",
    id: Row = None,
) -> Response:
    """Return evenly spaced slices on one sheet, for browsers that cannot draw volumes."""
    return await answer(request, lambda: volumes.montage(volumes.find(output_of(project, output), which, id), axis, count, columns, size))


@router.get("/brick")
async def brick(
    request: Request,
    project: ProjectAt,
    output: str,
    size: int = 128,
    dtype: Literal["u1", "f2"] = "u1",
    which: Which = "",
    id: Row = None,
) -> Response:
    """Return a map of at most `size` voxels a side, [z, y, x], little-endian; its shape, range, voxel size and origin are in headers."""
    return await answer(request, lambda: bricks.brick(volumes.find(output_of(project, output), which, id), size, dtype))


@router.get("/value")
async def value(request: Request, project: ProjectAt, output: str, x: int, y: int, z: int, which: Which = "", id: Row = None) -> Response:
    """Return the value of one voxel."""
    return await answer(request, lambda: volumes.value(volumes.find(output_of(project, output), which, id), x, y, z))


@router.get("/files", response_class=JSONResponse)
def listing(project: ProjectAt, output: str) -> list[dict[str, Any]]:
    """Return name and bytes of the files of an output; null for one that is gone."""
    return files.sizes(output_of(project, output))


@router.get("/file/{name:path}", response_class=FileResponse)
def download(project: ProjectAt, output: str, name: str) -> FileResponse:
    """Return a file of an output by the name that it is listed under, or the range of it that is asked for."""
    path = files.find(output_of(project, output), name)
    return FileResponse(path, filename=path.name, media_type="application/octet-stream", headers={"Cache-Control": "private, max-age=60"})
