"""volumes.flip_hand: maps as their mirror images, and the poses that go with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Classes3D, Mask, Particles, Volume
from cryoloom.formats.map_sets import changed_maps, rows_of, stored_map
from cryoloom.report.maps import map_panel
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Protocol

POSE = ("rot", "tilt", "psi")


@dataclass(frozen=True)
class Flipped(Outputs):
    volume: Volume | None = None
    mask: Mask | None = None
    particles: Particles | None = None


class FlipHand(
    Protocol,
    id="volumes.flip_hand",
    outputs=Flipped,
):
    """Replace maps by their other hand, mirrored along z about the centre, with half maps and, if given, the particles' poses.

    Projections alone cannot tell a map from its mirror image: an alpha helix, tilted data or a known structure does.
    """

    volume: Volume | Classes3D | Mask = Input(
        "Maps", help="One map, several, or a mask; all of a set are mirrored.", aliases=("inputVolumes", "inputVolume")
    )
    particles: Particles | None = Input(
        "Particles", optional=True,
        help="With the poses that made the map; they are turned to what makes the mirrored one, so that a refinement can go on from them. Poses of another "
        "map become wrong.",
        aliases=("inputParticles",),
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.particles is not None and not set(POSE) <= set(self.particles.schema):
            yield Hint("particles", "have no poses: take those of a refinement, or none")

    def run(self, job: Job) -> Flipped:
        from cryoloom.numerics.reconstruct.hand import mirrored_map

        found = changed_maps(job, self.volume, lambda old: mirrored_map(old.data))
        particles = None if self.particles is None else self._turned(self.particles)
        return Flipped(mask=found, particles=particles) if isinstance(found, Mask) else Flipped(volume=found, particles=particles)

    def _turned(self, particles: Particles) -> Particles:
        from cryoloom.numerics.geometry.euler import euler_to_matrix, flip_hand, matrix_to_euler

        rows = particles.scan(list(POSE)).collect()
        rot, tilt, psi = matrix_to_euler(flip_hand(euler_to_matrix(*(rows[name].to_numpy() for name in POSE))))
        return particles.with_columns(pl.DataFrame({"id": rows["id"], "rot": rot, "tilt": tilt, "psi": psi}))

    def summary(self, out: Flipped) -> Mapping[str, Any]:
        told: dict[str, Any] = {"maps mirrored": len(rows_of(self.volume))}
        return told | ({} if out.particles is None else {"poses turned": len(out.particles)})

    def methods(self, out: Flipped) -> str:
        poses = "" if out.particles is None else ", and the poses of the particles accordingly"
        return f"The hand of the {'mask' if out.volume is None else 'map'} was inverted{poses}."

    def report(self, out: Flipped) -> list[Panel]:
        made = out.mask if out.volume is None else out.volume
        if made is None:
            return []
        before, after = ([stored_map(maps, row) for row in rows_of(maps)] for maps in (self.volume, made))
        labels = [f"map {each.row['id']}" for each in before]
        return [
            map_panel("Before", [each.data for each in before], labels),
            map_panel("After", [each.data for each in after], labels, "Mirrored along z: the slice across z is that of before."),
        ]
