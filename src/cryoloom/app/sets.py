"""Looking at sets without making a run: what a form would keep."""

from collections.abc import Mapping
from typing import Any

from cryoloom.app import catalogue, forms, references
from cryoloom.engine.project import ProjectFolder
from cryoloom.spec import WrongUse


def preview(project: ProjectFolder, protocol_id: str, values: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return what a run with these values would give, label to value, as far as its protocol can tell; nothing is made.

    Raises
    ------
    WrongUse
        As for a run; also ``input-not-there``, while an input is still being made.
    """
    protocol = catalogue.protocol(protocol_id)
    given, wanted = forms.sort_values(protocol, values)
    taken = references.resolve_inputs(project, protocol, wanted)
    for name, reference in taken.items():
        for each in reference if isinstance(reference, list) else [reference]:
            if not each["hash"]:
                raise WrongUse("input-not-there", f"{protocol.id}: input {name} is still being made by {each['run']}.", "Wait for it.")
    built = forms.build(protocol, given, references.open_inputs(project, taken))
    forms.refuse_hints(built)
    return dict(built.preview())
