"""CTFFIND 4's text: one line a micrograph, below comments that name the image and the acquisition. Its phase shifts are radians."""

import math
import re
from pathlib import Path

import polars as pl

from cryoloom.formats.coordinates import lines_of_numbers
from cryoloom.formats.exchange import Format
from cryoloom.formats.micrograph_table import MicrographTable
from cryoloom.spec import Failure

_IMAGE = re.compile(r"# Input file:\s*(.+?)\s*;")
_ACQUIRED = re.compile(
    r"# Pixel size:\s*([\d.]+) Angstroms ; acceleration voltage:\s*([\d.]+) keV ; spherical aberration:\s*([\d.]+) mm ; "
    r"amplitude contrast:\s*([\d.]+)"
)


def read_ctffind(path: Path) -> MicrographTable:
    """Read the transfer function of one micrograph; the pixel size is that of the image that was fitted.

    Raises
    ------
    Failure
        ``ctffind-invalid`` for another text, or one of several micrographs: they are sections of one stack, which have no names.
    """
    header = "\n".join(line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("#"))
    image, acquired = _IMAGE.search(header), _ACQUIRED.search(header)
    if image is None or acquired is None or "Columns: #1" not in header:
        raise Failure("ctffind-invalid", f"{path}: not CTFFIND's table of results.", "Give the .txt beside its diagnostic image.")
    rows = lines_of_numbers(path, 7)
    if len(rows) != 1:
        raise Failure("ctffind-invalid", f"{path}: {len(rows)} rows; one micrograph has one.", "Give a text of each micrograph.")
    size, voltage, cs, contrast = (float(value) for value in acquired.groups())
    _, first, second, angle, phase, score, resolution = rows[0]
    fit = {"defocus_u": first, "defocus_v": second, "defocus_angle": angle, "phase_shift": math.degrees(phase)}
    items = pl.DataFrame({"micrograph_file": [image[1]], "optics_group": [1], **{name: [value] for name, value in fit.items()}})
    items = items.with_columns(ctf_score=pl.lit(score), ctf_resolution=pl.lit(resolution))
    group = {"optics_group": 1, "optics_group_name": "opticsGroup1", "voltage": voltage, "cs": cs, "amplitude_contrast": contrast}
    return MicrographTable(items, [{**group, "pixel_size": size}])


FORMAT = Format("ctffind", "CTFFIND 4 results", suffixes=(".txt",), readers={"micrographs": read_ctffind})
