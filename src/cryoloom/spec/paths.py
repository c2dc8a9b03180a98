"""Parameters that name files outside the project: kept as seen from the root, so that a run means the same wherever it is resumed."""

import os
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo


def absolute(text: str) -> str:
    """Return a path or pattern as seen from the root; ``~`` is expanded, symbolic links are kept, an empty text stays empty."""
    return os.path.abspath(os.path.expanduser(text)) if text else ""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _from_folder(patterns: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
    return tuple(absolute(os.path.join(others.data.get("folder", ""), pattern)) for pattern in patterns)


AbsolutePath = Annotated[str, AfterValidator(absolute)]
"""A path; a relative one starts at the working directory."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several texts; one alone need not be in a list."""

Patterns = Annotated[Texts, AfterValidator(_from_folder)]
"""Patterns of files; relative ones start at the protocol's parameter ``folder``, declared before, if it has one."""
