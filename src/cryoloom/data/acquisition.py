"""How images were recorded: the parameters that every import asks for, declared once, and the optics group they make."""

from typing import Any

from cryoloom.spec import Param

PIXEL_SIZE: Any = Param(
    "Pixel size", gt=0, le=100, group="Acquisition", aliases=("samplingRate",),
    help="Å per pixel of these images. Every length that is measured later is wrong by the same factor as this.",
)  # fmt: skip
VOLTAGE: Any = Param(
    "Voltage", 300.0, gt=0, le=1200, group="Acquisition",
    help="Acceleration voltage of the microscope. A wrong one bends every transfer function.",
)  # fmt: skip
CS: Any = Param(
    "Spherical aberration", 2.7, ge=0, le=20, group="Acquisition", aliases=("sphericalAberration",),
    help="Of the objective lens. A wrong one spoils resolutions beyond about 4 Å.",
)  # fmt: skip
AMPLITUDE_CONTRAST: Any = Param(
    "Amplitude contrast", 0.1, ge=0, lt=1, group="Acquisition", aliases=("amplitudeContrast",),
    help="Fraction, 0.07 to 0.1 for proteins in ice, 0.2 or more in negative stain. A wrong one shifts the fitted defocus.",
)  # fmt: skip
MAGNIFICATION: Any = Param(
    "Magnification", None, gt=0, group="Acquisition", advanced=True,
    help="As the microscope shows it; recorded, not used. The pixel size decides.",
)  # fmt: skip
DOSE_PER_FRAME: Any = Param(
    "Dose per frame", None, gt=0, group="Acquisition", aliases=("dosePerFrame",),
    help="Electrons per Å² in one frame; empty: unknown, and nothing can be dose-weighted. A wrong one weights by the wrong damage.",
)  # fmt: skip
PRE_EXPOSURE: Any = Param(
    "Dose before the first frame", 0.0, ge=0, group="Acquisition", advanced=True, aliases=("doseInitial",),
    help="Electrons per Å² that hit the specimen before the recording. Left out, early frames weigh too much.",
)  # fmt: skip


def optics_group(protocol: Any, **more: Any) -> dict[str, Any]:
    """Return the one optics group of an import from the protocol's own fields, `more` laid over them."""
    group = {"optics_group": 1, "optics_group_name": "opticsGroup1"}
    names = ("pixel_size", "voltage", "cs", "amplitude_contrast", "magnification", "dose_per_frame", "pre_exposure")
    return {**group, **{name: getattr(protocol, name) for name in names if hasattr(protocol, name)}, **more}
