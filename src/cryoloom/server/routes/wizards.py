"""What the wizards of a form show, from what the form holds so far. Posted, for values are long; so only operators see them."""

import threading
from typing import Any

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from cryoloom.app import catalogue, forms, references
from cryoloom.app.session import Project
from cryoloom.app.wizard_views import View, filtered_average, gain_view, mask_view, mean_particle, micrograph_view
from cryoloom.app.wizards import background_circle, psd_band
from cryoloom.data import Coordinates, Micrographs, Particles
from cryoloom.numerics.particles.boxes import FAST_BOXES, BoxSampling
from cryoloom.report.raster import png_address, to_grey
from cryoloom.server.context import ProjectAt, output_of
from cryoloom.server.form_models import BandWizard, GainLie, GainWizard, Picture, SizeWizard, ThresholdWizard
from cryoloom.spec import WrongUse

router = APIRouter(prefix="/api/projects/{project}/forms/{protocol}/wizards", tags=["wizards"])

_ONE_AT_A_TIME = threading.Lock()
"""Masks take much memory, and a slider asks for many."""
KILODALTON = 0.81e-3
"""Of a cubic ångström of protein."""


class Asked(BaseModel):
    """What the form holds, and which image of the set to show, counted from 0."""

    values: dict[str, Any]
    place: int = Field(0, ge=0)


@router.post("/psd-band", response_model=BandWizard)
def band(project: ProjectAt, asked: Asked) -> BandWizard:
    """Return the spectrum of a micrograph, for the limits of a fit, or without `bin_factor` for a factor of downsampling."""
    micrographs: Micrographs = _set(project, asked, "micrographs")
    rows = micrographs.enabled()
    if rows.is_empty():
        raise WrongUse("no-micrographs", "The set has no enabled micrograph.", "Choose another set.")
    row = rows.row(asked.place % rows.height, named=True)
    found = psd_band(micrographs, row["id"], bin_factor=float(asked.values.get("bin_factor") or 1.0))
    return BandWizard(
        picture=_picture(to_grey(np.asarray(found.picture), low=0, high=100), found.picture_pixel),
        micrograph=row["micrograph_name"],
        of=rows.height,
        frequency=found.frequency,
        profile=found.profile,
        low_res=found.low_res,
        high_res=found.high_res,
        nyquist=found.nyquist,
        doubt=found.doubt,
    )


@router.post("/micrograph", response_model=SizeWizard)
def micrograph(project: ProjectAt, asked: Asked) -> SizeWizard:
    """Return a micrograph with what was picked on it, to measure a particle or a box on."""
    micrographs: Micrographs = _set(project, asked, "micrographs")
    coordinates: Coordinates | None = _set(project, asked, "coordinates") if asked.values.get("coordinates") else None
    view = micrograph_view(micrographs, asked.place, coordinates)
    return _sized(view, boxes=list(FAST_BOXES))


@router.post("/mean-particle", response_model=SizeWizard)
def mean(project: ProjectAt, asked: Asked) -> SizeWizard:
    """Return the mean of some particles, to lay a round mask on."""
    particles: Particles = _set(project, asked, "particles")
    return _sized(mean_particle(particles))


@router.post("/filtered-average", response_model=SizeWizard)
def filtered(project: ProjectAt, asked: Asked) -> SizeWizard:
    """Return an average as it is and low-passed, side by side, to choose the finest resolution by."""
    return _sized(filtered_average(_set(project, asked, "averages"), asked.place, float(asked.values.get("max_resolution") or 12.0)))


@router.post("/background-circle", response_model=SizeWizard)
def background(project: ProjectAt, protocol: str, asked: Asked) -> SizeWizard:
    """Return the mean of the boxes that would be cut, and the circle beyond which the background begins."""
    built: Any = _built(project, protocol, asked)
    size = float(built.micrographs.optics[0]["pixel_size"])
    box: BoxSampling = built.sampling(size)
    found = background_circle(built.coordinates, built.micrographs, box=box)
    pixel = box.output_pixel_size
    return SizeWizard(
        picture=_picture(to_grey(found.average), pixel), name="mean of boxes", of=1, pixel_size=pixel, advice=found.radius * pixel
    )


@router.post("/map-threshold", response_model=ThresholdWizard)
def threshold(project: ProjectAt, protocol: str, asked: Asked) -> ThresholdWizard:
    """Return the mask that a threshold, by default the one found by itself, makes of the map, on its central slices."""
    with _ONE_AT_A_TIME:
        found = mask_view(_built(project, protocol, asked))
    return ThresholdWizard(
        picture=_picture(found.view.pixels, found.view.pixel_size),
        threshold=found.threshold,
        automatic=asked.values.get("threshold") in (None, ""),
        low=found.low,
        high=found.high,
        volume=found.volume,
        mass=KILODALTON * found.volume,
    )


@router.post("/gain-orientation", response_model=GainWizard)
def gain(project: ProjectAt, asked: Asked) -> GainWizard:  # noqa: ARG001 (the project must be one)
    """Return the gain reference in its eight orientations, and which of them the movies tell."""
    view = gain_view(asked.values)
    found = view.found
    return GainWizard(
        average=None if view.average is None else _picture(view.average, 1.0),
        lies=[GainLie(rotation=turn, flip=flip, picture=_picture(pixels, 1.0), fits=fits) for turn, flip, pixels, fits in view.lies],
        found="" if found is None else str(found),
        rotation=found.rotation if found else 0,
        flip=found.flip if found else "none",
        reciprocal=bool(found and found.reciprocal),
        decided=bool(found and found.decided),
        ahead=round(found.ahead, 1) if found else 0.0,
    )


def _set(project: Project, asked: Asked, name: str) -> Any:
    """Return the set that an input of the form names, the first of several."""
    given = asked.values.get(name)
    chosen = given[0] if isinstance(given, list) and given else given
    if not chosen:
        raise WrongUse("missing-input", f"The {name} are not chosen yet.", "Choose them first: the wizard shows them.")
    return output_of(project, str(chosen)).dataset


def _built(project: Project, protocol_id: str, asked: Asked) -> Any:
    """Return the protocol as the form fills it."""
    protocol = catalogue.protocol(protocol_id)
    given, wanted = forms.sort_values(protocol, {name: value for name, value in asked.values.items() if value not in (None, "", [])})
    taken = references.resolve_inputs(project.folder, protocol, wanted)
    return forms.build(protocol, given, references.open_inputs(project.folder, taken))


def _picture(pixels: NDArray[np.uint8], pixel_size: float) -> Picture:
    return Picture(address=png_address(pixels), width=pixels.shape[1], height=pixels.shape[0], pixel_size=pixel_size)


def _sized(view: View, *, boxes: list[int] | None = None) -> SizeWizard:
    return SizeWizard(
        picture=_picture(view.pixels, view.pixel_size),
        name=view.name,
        of=view.of,
        pixel_size=view.image_pixel,
        diameter=view.diameter,
        places=view.places,
        boxes=boxes or [],
    )
