"""The words a protocol is written in: parameters, inputs, outputs, hints, and the job that runs it."""

from typing import TYPE_CHECKING, Any

from cryoloom.spec.errors import CryoloomError, Failure, WrongUse

if TYPE_CHECKING:
    from cryoloom.spec.job import Item, Job, MapResult, State, Step
    from cryoloom.spec.param import Hint, Input, Param
    from cryoloom.spec.paths import AbsolutePath, Patterns, Texts
    from cryoloom.spec.protocol import SOURCE, Outputs, Panel, Protocol

__all__ = [
    "SOURCE",
    "AbsolutePath",
    "CryoloomError",
    "Failure",
    "Hint",
    "Input",
    "Item",
    "Job",
    "MapResult",
    "Outputs",
    "Panel",
    "Param",
    "Patterns",
    "Protocol",
    "State",
    "Step",
    "Texts",
    "WrongUse",
]

_HOMES = {
    **dict.fromkeys(("Item", "Job", "MapResult", "State", "Step"), "job"),
    **dict.fromkeys(("Hint", "Input", "Param"), "param"),
    **dict.fromkeys(("AbsolutePath", "Patterns", "Texts"), "paths"),
    **dict.fromkeys(("SOURCE", "Outputs", "Panel", "Protocol"), "protocol"),
}


def __getattr__(name: str) -> Any:
    """Load pydantic only for those who declare something: `cryoloom --help` needs nothing but the errors."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
