"""Names people meant: compared without case, hyphens and underscores."""

from collections.abc import Iterable
from difflib import get_close_matches


def folded(name: str) -> str:
    """Return `name` without what people vary: ``pixelSize``, ``pixel-size`` and ``pixel_size`` are one."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean a or b?", or the known names when none is near and they are few, or nothing."""
    names = list(dict.fromkeys(known))
    back = {folded(each): each for each in names}
    near = [back[match] for match in get_close_matches(folded(name), list(back), n=3, cutoff=0.6)]
    near = near or [each for each in names if folded(name) in folded(each)][:3]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(names)}." if 0 < len(names) <= 30 else ""
