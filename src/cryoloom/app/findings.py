"""What a run of the whole chain looks like to an experienced eye, in words, with what to try next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cryoloom.report.panels import Notice


@dataclass(frozen=True)
class Facts:
    """Numbers of a project; None where the step has not been run."""

    failed: tuple[str, ...] = ()
    movies: int = 0
    movies_failed: int = 0
    median_motion: float | None = None
    pixel_size: float | None = None
    median_ctf_resolution: float | None = None
    ctf_rejected: int = 0
    picked: int | None = None
    micrographs: int = 0
    classified: int | None = None
    kept: int | None = None
    best_class_resolution: float | None = None
    looks_like: str = ""
    symmetry_fit: float | None = None
    symmetry_correlation: float | None = None
    refined: int | None = None
    mean_max_probability: float | None = None
    view_coverage: float | None = None
    resolution: float | None = None
    unmasked_resolution: float | None = None
    fsc_recovers: bool = False
    b_factor: float | None = None
    other_hand: bool = False
    model_correlation: float | None = None


def findings(facts: Facts, of_map: Sequence[Notice] = ()) -> list[Notice]:
    """Return what looks wrong, the gravest first; one reassuring line when nothing does. `of_map` is what checks of the map found."""
    found = [*(Notice(level=level, text=text) for level, text in _look(facts)), *of_map]
    return sorted(found, key=lambda notice: notice.level != "warning") or [
        Notice(level="good", text="Nothing looks wrong in the numbers of any step. Look at the class averages and the map all the same.")
    ]


def _look(facts: Facts) -> Iterator[tuple[Literal["advice", "warning"], str]]:
    for reason in facts.failed:
        yield "warning", reason
    yield from _movies(facts)
    yield from _particles(facts)
    yield from _map(facts)


def _movies(facts: Facts) -> Iterator[tuple[Literal["advice", "warning"], str]]:
    if facts.movies_failed:
        grave: Literal["advice", "warning"] = "warning" if facts.movies_failed > 0.1 * facts.movies else "advice"
        yield (
            grave,
            f"{facts.movies_failed} of {facts.movies} movies could not be used; their reasons stand in the tables of the first steps.",
        )
    if facts.median_motion is not None and facts.median_motion > 40:
        yield (
            "warning",
            (
                f"Movies moved by {facts.median_motion:.0f} Å in the median. So much blurs single frames: discard the worst movies by `motion_total`, "
                "and let the stage settle longer next time."
            ),
        )
    if facts.median_ctf_resolution is not None and facts.median_ctf_resolution > 12:
        yield (
            "warning",
            (
                f"Thon rings end at {facts.median_ctf_resolution:.1f} Å in the median. Check pixel size, voltage and Cs first, then ice thickness."
            ),
        )
    if facts.micrographs and facts.ctf_rejected > 0.2 * facts.micrographs:
        yield "warning", f"{facts.ctf_rejected} of {facts.micrographs} micrographs have no believable CTF. Look at their spectra."


def _particles(facts: Facts) -> Iterator[tuple[Literal["advice", "warning"], str]]:
    if facts.picked is not None and facts.micrographs and facts.picked < 5 * facts.micrographs:
        yield (
            "warning",
            (
                f"Only {facts.picked / facts.micrographs:.1f} particles were picked in a micrograph. Look at the picks: is the diameter right?"
            ),
        )
    if facts.classified and facts.kept is not None and facts.kept < 0.5 * facts.classified:
        yield (
            "warning",
            (
                f"Only {facts.kept} of {facts.classified} particles fell into good 2D classes. Either picking took much that is no particle "
                "(raise its threshold), or good classes were thrown away (choose by eye with `sets.select`)."
            ),
        )
    if facts.best_class_resolution is not None and facts.pixel_size and facts.best_class_resolution > 20:
        yield (
            "warning",
            (
                f"The best class average reaches {facts.best_class_resolution:.0f} Å. Blurred classes come from wrong CTF, wrong diameter or too few particles."
            ),
        )
    if facts.looks_like:
        yield (
            "advice",
            (
                f"Found without symmetry, the first map looks like {facts.looks_like}. If the particle is known to be so, `--symmetry` makes its mates "
                "one view: a finer map from the same particles. Likeness at 20 Å is no proof."
            ),
        )
    if facts.symmetry_fit is not None and facts.symmetry_fit < 0.9:
        yield (
            "warning",
            (
                f"The images do not support the symmetry imposed: the first map agrees with its symmetrised copy to {facts.symmetry_correlation:.2f}, "
                f"and that copy explains the images {1 - facts.symmetry_fit:.0%} less well. Process again in C1 or a smaller group and compare."
            ),
        )
    if facts.refined is not None and facts.refined < 500:
        yield "advice", f"{facts.refined} particles are few; expect a coarse map and an uncertain FSC."


def _map(facts: Facts) -> Iterator[tuple[Literal["advice", "warning"], str]]:
    if facts.resolution is not None and facts.pixel_size is not None and facts.resolution > max(15.0, 2.5 * facts.pixel_size):
        yield (
            "warning",
            (
                f"At {facts.resolution:.0f} Å the refinement did not lock in. Compare reprojections of the first volume with the class averages; "
                "try `initial.sgd` with another seed."
            ),
        )
    if facts.fsc_recovers:
        yield "warning", "The FSC falls below 0.143 and rises again: duplicated particles, too tight a mask, or a single defocus do that."
    if facts.unmasked_resolution is not None and facts.resolution is not None and facts.unmasked_resolution > 2 * facts.resolution:
        yield (
            "advice",
            (
                f"Masking improves the resolution from {facts.unmasked_resolution:.1f} to {facts.resolution:.1f} Å, more than usual: "
                "look at the phase-randomised curve, and make the mask wider if it is above 0.1."
            ),
        )
    if facts.mean_max_probability is not None and facts.mean_max_probability < 0.5:
        yield (
            "warning",
            (
                f"Poses are uncertain (mean largest probability {facts.mean_max_probability:.2f}): noise and the reference may have made this map. "
                "Refine from another first volume and compare; thicker signal (dose, cleaner classes) would help."
            ),
        )
    if facts.view_coverage is not None and facts.view_coverage < 0.8:
        yield (
            "warning",
            (f"Only {facts.view_coverage:.0%} of directions were seen. Missing views stretch the map; tilt the stage or change the grid."),
        )
    if facts.b_factor is not None and facts.b_factor < -400:
        yield "advice", f"A B-factor of {facts.b_factor:.0f} Å² is large: motion, ice or mixed structures blur the map."
    if facts.other_hand:
        yield (
            "warning",
            "The atomic model fits the mirror image of the map better: the map has the wrong hand, or the model. `volumes.flip_hand` mirrors map and poses.",
        )
    if facts.model_correlation is not None and facts.model_correlation < 0.3:
        yield (
            "warning",
            (
                f"The atomic model agrees with the map to a correlation of {facts.model_correlation:.2f} only: it is another particle's, lies elsewhere, "
                "or the map is wrong."
            ),
        )
