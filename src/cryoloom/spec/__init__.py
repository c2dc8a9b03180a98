"""The words a protocol is written in: parameters, inputs, outputs, hints, and the job that runs it."""

from cryoloom.spec.errors import CryoloomError, Failure, WrongUse
from cryoloom.spec.job import Item, Job, MapResult, State
from cryoloom.spec.param import Hint, Input, Param
from cryoloom.spec.protocol import Outputs, Panel, Protocol

__all__ = [
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
    "Protocol",
    "State",
    "WrongUse",
]
