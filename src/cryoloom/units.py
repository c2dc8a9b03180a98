"""A unit is a type: ``low_res: Angstrom`` says what the number means to the form, the command line and the docs."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Unit:
    """The symbol shown beside a number in forms, tables and help texts."""

    symbol: str


Angstrom = Annotated[float, Unit("Å")]
AngstromPerPixel = Annotated[float, Unit("Å/px")]
SquareAngstrom = Annotated[float, Unit("Å²")]
InverseSquareAngstrom = Annotated[float, Unit("1/Å²")]
Pixels = Annotated[int, Unit("px")]
Degrees = Annotated[float, Unit("°")]
Micrometres = Annotated[float, Unit("µm")]
ElectronsPerPixelAndSecond = Annotated[float, Unit("e/px/s")]
KiloVolts = Annotated[float, Unit("kV")]
Millimetres = Annotated[float, Unit("mm")]
ElectronsPerSquareAngstrom = Annotated[float, Unit("e/Å²")]
Sigmas = Annotated[float, Unit("σ")]
Seconds = Annotated[float, Unit("s")]
