"""What images say of the map that was made of them, in words: good, advice or warning, the number it rests on, and what to try next."""

from collections.abc import Iterator

from cryoloom.report.map_checks import Check

FOREIGN, MUCH_FOREIGN = 0.15, 0.35
"""Part of the images that show nothing of the map, to be said and to be a warning."""
EXPLAINED = 0.35
"""Part of the images' signal that a right map explains at least."""
PHASES = 40.0
"""Log-likelihood by which other phases must explain the images better."""
OFF, BETTER = 0.04, 0.02
"""How far all defoci together may be off, and what they must gain to be believed."""


def shown(shown: bool, gain: float) -> Check:
    """Judge whether images show the map."""
    if not shown:
        return Check(
            "images show the map", "warning", gain,
            "The images fit the map no better than their negatives do, as noise does: the map is what a reference made of noise, and its resolution "
            "means nothing. Look at the 2D classes; refine from another first map, low-passed to 40 Å or coarser.",
        )  # fmt: skip
    return Check(
        "images show the map", "good", gain, "Images fit the half map that they are not in better than their negatives do."
    )  # fmt: skip


def foreign(part: float) -> Check:
    """Judge how many images show nothing of the map."""
    if part > FOREIGN:
        return Check(
            "junk", "warning" if part > MUCH_FOREIGN else "advice", part,
            f"About {part:.0%} of the images show nothing of the map: junk, noise or another particle. Classify them in 2D and 3D, keep the good "
            "classes and refine again; raise the threshold of picking.",
        )  # fmt: skip
    return Check("junk", "good", part, f"About {part:.0%} of the images show nothing of the map.")


def explained(part: float, junk: float) -> Check:
    """Judge which part of the signal the map explains; images that show nothing of it are no fault of the map."""
    if part < EXPLAINED * (1.0 - min(junk, 0.5)):
        return Check(
            "signal explained", "warning", part,
            f"The map explains {part:.0%} of what the images show inside the mask. The first map may have been wrong, the poses stuck, or the mask "
            "holds neighbours: compare first maps by initial.consensus and refine from another one.",
        )  # fmt: skip
    return Check("signal explained", "good", part, f"The map explains {part:.0%} of what the images show inside the mask.")


def phases(gain: float, flipped: bool) -> Check | None:
    """Judge whether the images' phases are as their table says; None where it cannot be told."""
    if gain == -float("inf"):
        return None
    if gain > PHASES:
        now, then = ("flipped", "as recorded") if flipped else ("as recorded", "flipped already")
        return Check(
            "phases", "warning", gain,
            f"The table says that phases are {now}, but the images fit better if they are {then}, or their contrast is inverted beyond the first "
            "zero. Import or extract them again with the phases that they have (phase_flipped), and refine again.",
        )  # fmt: skip
    return Check("phases", "good", gain, f"The images' phases are {'flipped' if flipped else 'as recorded'}, as their table says.")


def transfers(gain: float) -> Check:
    """Judge whether transfer functions are those of their images; `gain` is what those of other images gain."""
    if gain > PHASES:
        return Check(
            "CTFs", "warning", gain,
            "The images fit better by the CTFs of other images than by their own: particles and micrographs were joined wrongly, or the CTFs are wrong. "
            "Extract or import the particles again with the CTFs of their own micrographs.",
        )  # fmt: skip
    return Check("CTFs", "good", gain, "The images fit no better by the CTFs of other images.")


def defocus(factor: float, gain: float, pixel_size: float) -> Check:
    """Judge whether all defoci together are right; `gain` is by which part images fit better at `factor` times theirs."""
    if abs(factor - 1.0) > OFF and gain > BETTER:
        right = pixel_size / factor**0.5
        return Check(
            "pixel size and defocus", "warning", factor,
            f"The images fit best at {factor:.2f} times the defoci that their table gives. A pixel size of {right:.3g} Å instead of {pixel_size:.3g} Å "
            f"would do that, or another voltage than was used for the CTFs. Check both, and import again.",
        )  # fmt: skip
    return Check("pixel size and defocus", "good", factor, f"The images fit best at {factor:.2f} times their defoci.")


def symmetry(name: str, gain: float) -> Check:
    """Judge whether images support the symmetry imposed."""
    if gain > 0:
        return Check(
            "symmetry", "warning", gain,
            f"The images do not support {name}: left free to choose among the poses that it makes equal, they make a map without it, which explains "
            f"{gain:.0%} more of images that had no part in it. Refine in C1, or in a smaller group, and compare.",
        )  # fmt: skip
    return Check("symmetry", "good", gain, f"Left free, images find nothing beyond {name}.")


def few(count: int) -> Iterator[Check]:
    """Say so where a set is small."""
    if count < 500:
        yield Check("particles", "advice", count, f"{count} particles are few: expect a coarse map and an uncertain FSC.")
