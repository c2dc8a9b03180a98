"""EPU's ``.xml`` beside each exposure (Thermo Fisher): metres, volts and electrons per square metre."""

from pathlib import Path
from xml.etree import ElementTree

from cryoloom.formats.exchange import Format
from cryoloom.formats.recorded import Recorded, invalid, number

_LARGEST = 1 << 24


def read_epu(path: Path) -> Recorded:
    """Read pixel size, voltage, dose and magnification; the pixel size is of the image that `width` tells, movies may be finer.

    Raises
    ------
    Failure
        ``recorded-invalid``: not XML, with a document type of its own, or not of an exposure.
    """
    content = path.read_bytes()[:_LARGEST]
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise invalid(path, "has a document type of its own, which EPU never writes")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as error:
        raise invalid(path, f"not XML ({error})") from error
    if _name(root) != "MicroscopeImage":
        raise invalid(path, f"<{_name(root)}>, not EPU's <MicroscopeImage>")
    said = {_text(entry, "Key"): _text(entry, "Value") for entry in root.iter() if _name(entry) == "KeyValueOfstringanyType"}
    return Recorded(
        path,
        pixel_size=round(1e10 * _at(root, "SpatialScale/pixelSize/x/numericValue"), 6),
        width=int(_at(root, "microscopeData/acquisition/camera/ReadoutArea/width")),
        voltage=_at(root, "microscopeData/gun/AccelerationVoltage") / 1e3,
        total_dose=round(1e-20 * number(said.get("Dose", "")), 4),
        magnification=_at(root, "microscopeData/optics/TemMagnification/NominalMagnification"),
        frames=int(number(next((each.text or "" for each in root.iter() if _name(each) == "NumberOffractions"), ""))),
    )


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in element if _name(child) == name), "")


def _at(root: ElementTree.Element, path: str) -> float:
    """Return the number at a path of names, 0 where there is none."""
    element: ElementTree.Element | None = root
    for name in path.split("/"):
        element = next((child for child in element if _name(child) == name), None) if element is not None else None
    return number(element.text or "") if element is not None else 0.0


FORMAT = Format("epu", "EPU exposures", suffixes=(".xml",), readers={"acquisition": read_epu})
