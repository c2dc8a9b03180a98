"""What state a run is in: derived from what is on disk and alive, never stored. Pure: facts in, a word out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The words for a run's state."""

    DRAFT = "draft"
    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_YOU = "needs-you"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


ENDED = frozenset({State.NEEDS_YOU, State.FINISHED, State.FAILED, State.STOPPED, State.LOST})
"""States in which nothing is at work."""

ACTIVE = frozenset({State.BLOCKED, State.QUEUED, State.RUNNING})
"""States in which a supervisor or a run process is at work."""


class Life(StrEnum):
    """What is known of a process: it is there, it is gone, or (on another computer) it has been silent for too long or not."""

    ALIVE = "alive"
    DEAD = "dead"


@dataclass(frozen=True)
class Facts:
    """What the files and processes of a run's last attempt say.

    Attributes
    ----------
    attempt
        Number of the last attempt; 0 before the first.
    supervisor, process
        Of the last attempt; None when it has not come so far. They must be observed *before* `exit` and `published` are read:
        a process writes its record before it ends, so a dead one without a record has none.
    exit
        The exit record of the last attempt.
    published
        ``outputs.json`` is there.
    stop_asked
        Somebody asked the last attempt to stop.
    waiting_for
        Runs whose outputs this one needs and does not have yet, each with what is amiss with it.
    job, job_words
        Whether the cluster still has the last attempt, None when it was not handed to one; and what it says of it.
    """

    attempt: int = 0
    supervisor: Life | None = None
    process: Life | None = None
    exit: Mapping[str, Any] | None = None
    published: bool = False
    stop_asked: bool = False
    waiting_for: Sequence[str] = ()
    job: Life | None = None
    job_words: str = ""


@dataclass(frozen=True)
class Standing:
    """A run's state, and the reason in words where there is one to give."""

    state: State
    reason: str = ""


def derive(facts: Facts) -> Standing:
    """Return the state that the facts imply, the most certain fact first."""
    if facts.published:
        return Standing(State.FINISHED)
    if facts.attempt == 0:
        return Standing(State.DRAFT, _waiting(facts))
    if facts.exit is not None:
        return Standing(State(facts.exit["state"]), str(facts.exit.get("message", "")))
    if facts.process is Life.ALIVE:
        return Standing(State.RUNNING)
    if facts.supervisor is Life.ALIVE:
        if facts.process is Life.DEAD:
            return Standing(State.RUNNING, "ending")
        return Standing(State.BLOCKED, _waiting(facts)) if facts.waiting_for else Standing(State.QUEUED)
    if facts.job is Life.ALIVE:
        silent = Standing(State.RUNNING, "its processes are silent; the cluster still has its job")
        waits = Standing(State.BLOCKED, _waiting(facts)) if facts.waiting_for else Standing(State.QUEUED, facts.job_words)
        return silent if facts.supervisor else waits
    if facts.stop_asked:
        return Standing(State.STOPPED, "stopped before it could say so")
    if facts.job is Life.DEAD and facts.supervisor is None:
        return Standing(State.STOPPED, "its job left the queue before it started (cancelled, or refused by the cluster)")
    return Standing(State.LOST, "its processes are gone and left no exit record (killed, or the computer was switched off)")


def _waiting(facts: Facts) -> str:
    return f"waiting for {', '.join(facts.waiting_for)}" if facts.waiting_for else ""
