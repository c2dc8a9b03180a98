"""Names people meant: compared without case, hyphens and underscores."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

FAR = 0.1
"""Names that are so much less alike than the nearest one are not what was meant."""


def folded(name: str) -> str:
    """Return `name` without what people vary: ``pixelSize``, ``pixel-size`` and ``pixel_size`` are one."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean a or b?", or the known names when none is near and they are few, or nothing."""
    names = list(dict.fromkeys(known))
    back = {folded(each): each for each in names}
    matches = get_close_matches(folded(name), list(back), n=3, cutoff=0.6)
    alike = [SequenceMatcher(None, match, folded(name)).ratio() for match in matches]
    near = [back[match] for match, ratio in zip(matches, alike, strict=True) if ratio > alike[0] - FAR]
    near = near or [each for each in names if folded(name) in folded(each)][:3]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(names)}." if 0 < len(names) <= 30 else ""
