"""Free flags of ``cryoloom run``: ``--low-res 30 --input-micrographs r002.micrographs --dose-weighting no``."""

import re
from typing import Any

from cryoloom.spec.errors import WrongUse

_NUMBER = re.compile(r"^-\.?\d")


def parse_flags(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split free flags into parameters and inputs, both by snake_case name.

    A flag without a value is yes, ``--no-flag`` is no, a repeated flag is a list. Values stay text; the protocol's types decide.

    Raises
    ------
    WrongUse
        For a word that belongs to no flag.
    """
    parameters: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("--") or len(word) < 3:
            raise WrongUse(
                "stray-argument", f"«{word}» belongs to no flag.", "Write parameters as --name value, inputs as --input-name RUN.OUTPUT."
            )
        name, has_value, value = word[2:].partition("=")
        if not has_value:
            if position < len(words) and (not words[position].startswith("-") or _NUMBER.match(words[position])):
                value = words[position]
                position += 1
            else:
                name, value = (name[3:], "no") if name.startswith("no-") else (name, "yes")
        target, key = (inputs, name[6:]) if name.startswith("input-") else (parameters, name)
        key = key.replace("-", "_")
        if key in target:
            known = target[key]
            target[key] = [*known, value] if isinstance(known, list) else [known, value]
        else:
            target[key] = value
    return parameters, inputs
