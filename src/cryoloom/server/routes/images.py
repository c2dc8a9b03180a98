"""Micrographs, spectra, motion and galleries."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from cryoloom.server.answers import answer
from cryoloom.server.context import OutputAt, ProjectAt, output_of
from cryoloom.server.models import MicrographList, MicrographPicks
from cryoloom.server.render import listing, micrographs, spectra, sprites, trajectories

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}", tags=["images"], default_response_class=Response)


@router.get("/micrographs", response_model=MicrographList)
def micrograph_list(output: OutputAt) -> dict[str, Any]:
    """Return the micrographs that an output is of, with what is known of each: motion, defocus, picks."""
    return listing.micrographs(output)


@router.get("/micrographs/{id}/picks", response_model=MicrographPicks)
def picks(output: OutputAt, id: int) -> dict[str, Any]:
    """Return the picks on a micrograph, in its px."""
    return listing.picks(output, id)


@router.get("/micrographs/{id}/view")
async def view(
    request: Request,
    project: ProjectAt,
    output: str,
    id: int,
    bin: int = 4,
    lp: Annotated[float, Query(ge=0, le=10000, allow_inf_nan=False)] = 0.0,
    format: Literal["raw", "jpeg"] = "raw",
    weighted: bool = False,
) -> Response:
    """Return a micrograph binned by 1, 2, 4 or 8 and low-passed at `lp` Å: a byte a pixel, row 0 first and at the top, or a JPEG.

    Headers: X-Width, X-Height, X-Pixel-Size (Å), X-Low and X-High (the values that 0 and 255 stand for).
    """

    def find() -> micrographs.Asset:
        return micrographs.view(micrographs.find(output_of(project, output), id, weighted=weighted), bin, lp, format)

    return await answer(request, find)


@router.get("/micrographs/{id}/tile")
async def tile(request: Request, project: ProjectAt, output: str, id: int, level: int, x: int, y: int, weighted: bool = False) -> Response:
    """Return the tile in column `x` and row `y`, from 0, of a micrograph binned by `level` (1, 2, 4, 8): a JPEG of 512 px, or less at the ends."""

    def find() -> micrographs.Asset:
        return micrographs.tile(micrographs.find(output_of(project, output), id, weighted=weighted), level, x, y)

    return await answer(request, find)


@router.get("/micrographs/{id}/thumbnail")
async def thumbnail(request: Request, project: ProjectAt, output: str, id: int, weighted: bool = False) -> Response:
    """Return a micrograph in miniature, a JPEG of 256 px at the longer side."""
    return await answer(request, lambda: micrographs.thumbnail(micrographs.find(output_of(project, output), id, weighted=weighted)))


@router.get("/micrographs/{id}/psd")
async def psd(request: Request, project: ProjectAt, output: str, id: int, model: bool = True) -> Response:
    """Return the power spectrum of a micrograph as PNG, of CTFs with the fitted model in the lower left quarter unless `model` is false.

    A ring of d Å has a radius of X-Width · X-Pixel-Size / d px about pixel X-Width // 2.
    """
    return await answer(request, lambda: spectra.picture(output_of(project, output), id, model=model))


@router.get("/micrographs/{id}/psd-thumbnail")
async def psd_thumbnail(request: Request, project: ProjectAt, output: str, id: int) -> Response:
    """Return that power spectrum in miniature, a JPEG of about 100 px."""
    return await answer(request, lambda: spectra.thumbnail(output_of(project, output), id))


@router.get("/micrographs/{id}/psd.json")
async def psd_curves(request: Request, project: ProjectAt, output: str, id: int) -> Response:
    """Return the fit of a transfer function: its numbers, and the curves measured and fitted over 1/Å."""
    return await answer(request, lambda: spectra.curves(output_of(project, output), id))


@router.get("/micrographs/{id}/trajectory")
async def trajectory(request: Request, project: ProjectAt, output: str, id: int) -> Response:
    """Return how a micrograph moved, as a whole and locally, in px of the movie; `pixel_size` tells their Å."""
    return await answer(request, lambda: trajectories.trajectory(output_of(project, output), id))


def _wish(
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1024)] = 128,
    columns: Annotated[int, Query(ge=1, le=256)] = 16,
    size: Annotated[int, Query(ge=8, le=512)] = 96,
    sort: str = "",
    descending: bool = False,
    where: str = "",
) -> sprites.Wish:
    return sprites.Wish(offset, limit, columns, size, sort, descending, where)


Wished = Annotated[sprites.Wish, Depends(_wish)]


@router.get("/sprite")
async def sprite(
    request: Request, project: ProjectAt, output: str, wish: Wished, format: Literal["", "png", "jpeg", "webp"] = ""
) -> Response:
    """Return a page of a gallery as one picture, cells of X-Cell px, X-Columns a row; images are shown at `size` px a side at most."""
    return await answer(request, lambda: sprites.picture(sprites.sheet(output_of(project, output), wish), format))


@router.get("/sprite.json")
async def sprite_captions(request: Request, project: ProjectAt, output: str, wish: Wished) -> Response:
    """Return what goes with that picture: for every image its id, cell and numbers."""
    return await answer(request, lambda: sprites.captions(sprites.sheet(output_of(project, output), wish)))
