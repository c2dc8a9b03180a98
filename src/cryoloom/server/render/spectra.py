"""Power spectra of micrographs, as pictures and as curves.

The origin of a picture is at ``n // 2``. A circle of d Å has a radius of ``n · p / d`` px, p being ``X-Pixel-Size``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.app.outputs import OutputRef
from cryoloom.data import column_named
from cryoloom.formats.mrc import read_mrc
from cryoloom.report.raster import grey_between, grey_limits
from cryoloom.server.render import micrographs
from cryoloom.server.render.asset import Asset, Rendered, encoded, file_stamp, json_asset
from cryoloom.server.render.blocks import block_mean
from cryoloom.server.render.cache import rendered
from cryoloom.server.render.sources import behind, file_of, row_of
from cryoloom.spec import WrongUse

CURVES = {
    "ctf_frequency": ("ctf_rotational", "ctf_equiphase", "ctf_fit", "ctf_quality"),
    "ctf_band": ("ctf_power", "ctf_background", "ctf_envelope"),
}
"""Columns that hold curves, by the column of their frequencies."""

THUMBNAIL = 96
ENOUGH = 4096
"""Px a side of the middle of a micrograph that a spectrum is computed from for the eye: more takes longer and shows no more."""


def picture(output: OutputRef, number: int, *, model: bool = True) -> Asset:
    """Return the spectrum of a micrograph as PNG.

    Of CTFs, and what they led to, it is the spectrum that was fitted, the model in the lower left quarter unless `model` is False. Of micrographs it
    is what their motion correction drew (left half aligned, right half as recorded), or else is computed now.
    """
    if output.kind == "micrographs":
        return _of_micrograph(output, number)
    ctfs = behind(output, "ctfs")
    path = file_of(ctfs, row_of(ctfs.dataset, number, ("psd_path",)).get("psd_path"), "picture of its spectrum")

    def make() -> Rendered:
        image = read_mrc(path)
        pixels = np.asarray(image.data, dtype=np.float32)
        shown = pixels if model else without_model(pixels)
        limits = (0.0, 127.0) if image.header.mode == 0 else grey_limits(shown, low=1.0, high=99.0)  # bytes are ready to be shown
        return encoded(grey_between(shown, *limits), "png", {"X-Pixel-Size": f"{image.pixel_size:.6g}"})

    return Asset((*file_stamp(path), "psd", model), make)


def thumbnail(output: OutputRef, number: int) -> Asset:
    """Return that picture as a JPEG of `THUMBNAIL` px a side or a little more, for lists."""
    whole = picture(output, number)

    def make() -> Rendered:
        import imagecodecs

        grey = np.asarray(imagecodecs.png_decode(bytes(rendered(whole).body)))
        grey = grey if grey.ndim == 2 else grey[..., 0]
        small = block_mean(grey, max(1, len(grey) // THUMBNAIL))
        return encoded(np.clip(np.rint(small), 0, 255).astype(np.uint8), "jpeg")

    return Asset((*whole.stamp, "thumbnail"), make, kept=True)


def without_model(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the picture of a fit with the measured spectrum in all quarters: a spectrum is the same at k and -k."""
    half = len(picture) // 2
    mirrored = np.roll(picture[::-1, ::-1], 1, axis=(0, 1))  # index i becomes -i about the origin
    whole = picture.copy()
    whole[half + 1 :, 1:half] = mirrored[half + 1 :, 1:half]
    # the line through the origin belongs to the model's quarter too, and so does the coarsest column, which has no mirror image
    whole[half, :half] = picture[half - 1, :half]
    whole[half:, 0] = whole[half:, 1]
    return whole


def _of_micrograph(output: OutputRef, number: int) -> Asset:
    from cryoloom.numerics.motion.picture import SHOWN, log_power

    row = row_of(output.dataset, number, ("psd_path",))
    if row.get("psd_path"):
        path = file_of(output, row["psd_path"], "picture of its spectrum")

        def drawn() -> Rendered:
            image = read_mrc(path)  # of the movie's pixels, up to `SHOWN` of their Nyquist frequency
            return _log_picture(image.data, image.pixel_size / SHOWN)

        return Asset((*file_stamp(path), "psd"), drawn)
    source = micrographs.find(output, number)

    def make() -> Rendered:
        starts = [max(side - ENOUGH, 0) // 2 for side in source.shape]
        middle = source.pixels()[tuple(slice(start, start + ENOUGH) for start in starts)]
        return _log_picture(log_power(np.asarray(middle, dtype=np.float32)), source.pixel_size / SHOWN)

    return Asset((*file_stamp(source.path), "psd", source.pixel_size), make, kept=True)


def _log_picture(image: NDArray[np.float32], pixel_size: float) -> Rendered:
    grey = grey_between(image, *grey_limits(image, low=1.0, high=99.0))
    return encoded(grey, "png", {"X-Pixel-Size": f"{pixel_size:.6g}"})


def curves(output: OutputRef, number: int) -> Asset:
    """Return the fit of a micrograph: ``values`` (every single number of its CTF, with unit and meaning) and ``curves``.

    Each curve has ``x`` (1/Å) and, by name, its ``y`` and meanings; those that the method does not write are left out.

    Raises
    ------
    WrongUse
        ``unknown-id``, ``no-source``; ``no-fit``: no transfer function could be fitted.
    """
    ctfs = behind(output, "ctfs")
    row = row_of(ctfs.dataset, number)
    if row["defocus_u"] is None:
        raise WrongUse("no-fit", f"{ctfs}: {number} has no fit. {row.get('fail_reason') or ''}".strip(), "Recompute it, or leave it out.")

    def make() -> Mapping[str, Any]:
        plain = {name: value for name, value in row.items() if not isinstance(value, list) and not name.endswith("_path")}
        return {
            "id": number,
            "output": str(ctfs),
            "values": {name: {"value": value, **_described(name)} for name, value in plain.items()},
            "curves": [
                {"x": row[axis], "unit": "1/Å", "series": [{"name": name, "y": row[name], **_described(name)} for name in there]}
                for axis, names in CURVES.items()
                if row.get(axis) and (there := [name for name in names if row.get(name)])
            ],
        }

    return json_asset((str(ctfs), ctfs.hash, number, "curves"), make)


def _described(name: str) -> dict[str, str]:
    column = column_named(name)
    return {"unit": column.unit, "meaning": column.meaning} if column else {"unit": "", "meaning": ""}
