"""The error tree: every message names what, where, the value and the cure.

CryoloomError
├── WrongUse   the request cannot be carried out as asked (exit code 2)
└── Failure    the work was started and could not be done (exit code 1)
"""


class CryoloomError(Exception):
    """A problem a user can act on.

    Parameters
    ----------
    code
        Stable short name, shown as ``CL-<code>``, such as ``movie-truncated``.
    message
        What is wrong, where, and the value that was found.
    cure
        What to do about it.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, cure: str = "") -> None:
        super().__init__(code, message, cure)
        self.code = code
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        text = self.message if not self.cure else f"{self.message} {self.cure}"
        return f"{text} [CL-{self.code}]"


class WrongUse(CryoloomError):
    """The request names something that does not exist or cannot be used so."""

    exit_code = 2


class Failure(CryoloomError):
    """The work was begun and could not be finished."""
