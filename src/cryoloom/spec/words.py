"""Numbers in sentences."""


def counted(count: int, noun: str) -> str:
    """Return a number and what it is of, in the singular or the plural: ``1 run``, ``1,200 runs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
