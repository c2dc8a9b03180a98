"""The corrections of a camera as movies need them, ``(raw − dark) · gain`` and bad pixels, checked and written in the movies' orientation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from cryoloom.formats.defects import read_defects
from cryoloom.formats.gain import Flip, Rotation, read_dark, read_gain
from cryoloom.formats.gain_orientation import APART, MOVIES, Averages, Orientation, average_frames, find_orientation, residual_gain
from cryoloom.formats.mrc import write_mrc
from cryoloom.spec import Failure

FOR_ORIENTATION = 200
"""Frames that tell how a reference lies."""

FOR_CHECK = 50
"""Frames that tell whether one that is said to lie right does."""

SUSPICIOUS = 0.02
"""Relative deviation of the pattern that a gain reference leaves, from which on it is told."""


@dataclass(frozen=True)
class Detector:
    """What is known of a camera: files, empty where there is none, and how the references lie on the movies.

    Attributes
    ----------
    gain, dark, defects
        Paths.
    rotation, flip
        Of gain and dark, as `gain.oriented` takes them.
    reciprocal
        Whether counts are divided by the gain reference.
    search
        Whether the movies are to tell how the gain lies.
    """

    gain: str = ""
    dark: str = ""
    defects: str = ""
    rotation: Rotation = 0
    flip: Flip = "none"
    reciprocal: bool = False
    search: bool = False

    @property
    def movies(self) -> int:
        """Return how many of a set's movies are looked at."""
        return MOVIES if self.gain else 1

    def write(
        self, output: Callable[[str], Path], movies: Sequence[Any], pixel_size: float, warn: Callable[[str], None], *, judge: bool = True
    ) -> dict[str, Any]:
        """Write what there is as ``gain.mrc``, ``dark.mrc`` and ``defects.mrc``; return what a set of movies says of it (see `Movies`).

        Parameters
        ----------
        output
            Gives the path of a new file.
        movies
            Opened movies of one shape, the first ones of the set.
        pixel_size
            Å, for the headers.
        warn
            Told what may be wrong.
        judge
            Whether to compare the gain reference with frames of the movies.

        Raises
        ------
        Failure
            What the readers raise, and ``gain-undecided``.
        """
        shape, found = movies[0].shape, {}
        averages = average_frames(movies, FOR_ORIENTATION if self.search else FOR_CHECK) if self.gain and (judge or self.search) else None
        detector = self._settled(averages, warn)
        dark = read_dark(self.dark, shape, detector.rotation, detector.flip) if self.dark else None
        if self.gain:
            gain = read_gain(self.gain, shape, detector.rotation, detector.flip, reciprocal=detector.reciprocal)
            for note in gain.notes:
                warn(f"{Path(self.gain).name}: {note}.")
            if averages is not None and (left := residual_gain(averages if dark is None else averages.less(dark), gain)) > SUSPICIOUS:
                warn(f"{Path(self.gain).name} leaves a fixed pattern of {100 * left:.1f} % in the movies: is it of their session?")
            write_mrc(output("gain.mrc"), gain.factors, pixel_size)
            found["gain_orientation"] = str(Orientation(detector.rotation, detector.flip, detector.reciprocal))
        if dark is not None:
            write_mrc(output("dark.mrc"), dark, pixel_size)
        if self.defects:
            bad = read_defects(self.defects, shape)
            if bad.mean() > 0.1:
                warn(f"{Path(self.defects).name}: {100 * bad.mean():.0f} % of all pixels are bad; is the map inverted?")
            write_mrc(output("defects.mrc"), bad.astype(np.int8), pixel_size, mode=0)
        for name in ("gain", "dark", "defects"):
            if getattr(self, name):
                path = output(f"{name}.mrc")
                # The files are named in meta, not in a column: their hashes stand there too, so that another gain makes other movies.
                found |= {f"{name}_path": path, f"{name}_blake3": blake3(path.read_bytes()).hexdigest()}
        return found

    def orientation(self, movies: Sequence[Any]) -> Orientation | None:
        """Return how the gain reference lies on movies, None when no frame can be read."""
        averages = average_frames(movies, FOR_ORIENTATION)
        return None if averages is None else find_orientation(averages, self.gain)

    def _settled(self, averages: Averages | None, warn: Callable[[str], None]) -> "Detector":
        """Return the detector with the orientation that is to be used, having warned if another fits."""
        if averages is None:
            if self.search:
                raise _undecided(self.gain, "no frame of the movies can be read")
            return self
        name = Path(self.gain).name
        try:
            best = find_orientation(averages, self.gain)
        except Failure:
            if self.search:
                raise
            return self  # whatever is wrong with it is told when it is read
        if self.search:
            if not best.decided:
                told = f"{best} is {best.ahead:.1f} σ better than the next best orientation in {best.frames} frames, {APART:g} are needed"
                raise _undecided(self.gain, told)
            warn(f"{name} is used {best}, which fits the movies {best.ahead:.0f} σ better than any other orientation.")
            return replace(self, rotation=best.rotation, flip=best.flip, reciprocal=best.reciprocal)
        if best.decided and not best.same_as(self.rotation, self.flip, self.reciprocal):
            here = Orientation(self.rotation, self.flip, self.reciprocal)
            warn(f"{name} fits the movies {best.ahead:.0f} σ better {best} than {here}, as it is used: see --gain-orientation auto.")
        return self


def _undecided(gain: str, why: str) -> Failure:
    cure = "Give rotation and flip (--gain-rotation, --gain-flip), or import more movies at once; corrected movies need no gain."
    return Failure("gain-undecided", f"{gain}: how it lies on the movies cannot be told: {why}.", cure)
