"""SerialEM's ``.mdoc``: ``Key = value`` lines, first for the whole file, then for each ``[ZValue = n]`` or ``[FrameSet = n]``."""

import re
from pathlib import Path, PureWindowsPath

from cryoloom.formats.exchange import Format
from cryoloom.formats.recorded import Recorded, invalid, number

_SECTION = re.compile(r"\[\s*(ZValue|FrameSet|MontSection)\s*=\s*(-?\d+)\s*\]")
_PAIR = re.compile(r"(\w+)\s*=\s*(.*)")


def read_sections(path: Path) -> list[dict[str, str]]:
    """Return the sections, each with the keys of the whole file under its own; those keys alone where there is no section.

    Raises
    ------
    Failure
        ``recorded-invalid`` when it has no keys.
    """
    whole: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if _SECTION.match(line.strip()):
            sections.append({})
        elif pair := _PAIR.fullmatch(line.strip()):
            (sections[-1] if sections else whole)[pair[1]] = pair[2].strip()
    if not whole and not any(sections):
        raise invalid(path, "no lines of the form Key = value")
    return [{**whole, **section} for section in sections] or [whole]


def read_mdoc(path: Path) -> Recorded:
    """Read the section of the movie that the file is named after, otherwise the first.

    The dose is that of the whole exposure, as far as SerialEM was calibrated. The frames may be finer or coarser than the image whose pixel size it is.
    """
    sections = read_sections(path)
    movie = path.name.removesuffix(path.suffix)
    named = [section for section in sections if _file(section) and (_file(section) == movie or _file(section).rpartition(".")[0] == movie)]
    section = (named or sections)[0]
    return Recorded(
        path,
        pixel_size=number(section.get("PixelSpacing", "")),
        voltage=number(section.get("Voltage", "")),
        total_dose=number(section.get("ExposureDose", "")),
        magnification=number(section.get("Magnification", "")),
        frames=int(number(section.get("NumSubFrames", ""))),
        gain=PureWindowsPath(section.get("GainReference", "")).name,
    )


def _file(section: dict[str, str]) -> str:
    return PureWindowsPath(section.get("SubFramePath", "")).name


FORMAT = Format("serialem", "SerialEM .mdoc", suffixes=(".mdoc",), readers={"acquisition": read_mdoc})
