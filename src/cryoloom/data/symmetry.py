"""Names of point groups as parameters."""

from collections.abc import Iterator

from cryoloom.spec import Hint


def symmetry_hints(name: str, parameter: str = "symmetry") -> Iterator[Hint]:
    """Yield what is wrong with the value `name` of a parameter: nothing for a group of rotations."""
    from cryoloom.numerics.geometry.symmetry import NoSuchGroup, point_group

    try:
        point_group(name)
    except NoSuchGroup as problem:
        yield Hint(parameter, str(problem), fix=problem.fix)
