"""What the server answers to forms and their wizards, as types."""

from pydantic import BaseModel


class Target(BaseModel):
    """Where runs can work; `reason` tells why not."""

    name: str
    title: str
    reason: str = ""


class Machine(BaseModel):
    """What a form can ask for: processor cores, places to run, and the choices that are absent here, by parameter, with the reason."""

    cores: int
    targets: list[Target]
    absent: dict[str, dict[str, str]]


class Entry(BaseModel):
    """A file in a listing; size in bytes, time of its last change in seconds since 1970."""

    name: str
    size: int
    changed: float


class Listing(BaseModel):
    """A folder in which files can be chosen: an empty one lists the roots. `left_out` entries are not shown."""

    folder: str
    parent: str
    folders: list[str]
    files: list[Entry]
    left_out: int


class Matches(BaseModel):
    """How many files a pattern matches, and the first of them; `more`: it was not counted to the end."""

    count: int
    more: bool
    first: list[str]


class Picture(BaseModel):
    """An image as a data address; `pixel_size` is the Å of one of its pixels."""

    address: str
    width: int
    height: int
    pixel_size: float


class BandWizard(BaseModel):
    """A power spectrum: a ring of d Å has a radius of ``width · picture.pixel_size / d`` px. Resolutions in Å."""

    picture: Picture
    micrograph: str
    of: int
    frequency: list[float]
    profile: list[float]
    low_res: float
    high_res: float
    nyquist: float
    doubt: str


class SizeWizard(BaseModel):
    """An image to measure a particle on.

    `places` are particles, in px of the picture; `diameter` (Å) is what is known of them, 0 where nothing is; `pixel_size` is that of the image itself;
    `advice` (Å) a radius where the image tells one; `boxes` the sizes whose transforms are fast.
    """

    picture: Picture
    name: str
    of: int
    pixel_size: float
    diameter: float = 0.0
    places: list[tuple[float, float]] = []
    advice: float = 0.0
    boxes: list[int] = []


class ThresholdWizard(BaseModel):
    """Central slices of a low-passed map, the border of its mask drawn on them."""

    picture: Picture
    threshold: float
    automatic: bool
    low: float
    high: float
    volume: float
    mass: float


class GainLie(BaseModel):
    """One of the eight orientations of a gain reference; `fits` is false when its shape is not that of the movies."""

    rotation: int
    flip: str
    picture: Picture
    fits: bool


class GainWizard(BaseModel):
    """The movies' own pattern and the reference in every orientation; `found` is the one that the movies tell, empty without movies."""

    average: Picture | None
    lies: list[GainLie]
    found: str
    rotation: int
    flip: str
    reciprocal: bool
    decided: bool
    ahead: float
