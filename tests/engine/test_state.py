"""Stories of runs: what is on disk and alive at a moment, and the word for it."""

import itertools

import pytest

from cryoloom.engine.state import ACTIVE, ENDED, Facts, Life, State, derive

ALIVE, DEAD = Life.ALIVE, Life.DEAD


@pytest.mark.parametrize(
    ("story", "facts", "state"),
    [
        ("made, not started", Facts(), State.DRAFT),
        ("made on inputs to come", Facts(waiting_for=("r001",)), State.DRAFT),
        ("made, but something has to be decided", Facts(needs=("diameter has to be given",), waiting_for=("r001",)), State.NEEDS_YOU),
        ("claimed, run process not there yet", Facts(1, ALIVE), State.QUEUED),
        ("claimed, inputs to come", Facts(1, ALIVE, waiting_for=("r001", "r002")), State.BLOCKED),
        ("at work", Facts(1, ALIVE, ALIVE), State.RUNNING),
        ("supervisor killed", Facts(1, DEAD, ALIVE), State.RUNNING),
        ("supervisor killed, then an outcome", Facts(1, DEAD, DEAD, {"state": "failed"}), State.FAILED),
        ("run process killed, supervisor about to say so", Facts(1, ALIVE, DEAD), State.RUNNING),
        ("and said so", Facts(1, DEAD, DEAD, {"state": "failed", "message": "killed by signal 9"}), State.FAILED),
        ("both killed", Facts(1, DEAD, DEAD), State.LOST),
        ("supervisor killed before it started anything", Facts(1, DEAD), State.LOST),
        ("supervisor killed while waiting", Facts(1, DEAD, waiting_for=("r001",)), State.LOST),
        ("stopped, and said so", Facts(1, DEAD, DEAD, {"state": "stopped"}, stop_asked=True), State.STOPPED),
        ("asked to stop, both killed", Facts(1, DEAD, DEAD, stop_asked=True), State.STOPPED),
        ("asked to stop, still at it", Facts(1, ALIVE, ALIVE, stop_asked=True), State.RUNNING),
        ("outputs there, process about to end", Facts(1, ALIVE, ALIVE, published=True), State.FINISHED),
        ("outputs there, everything killed before the exit record", Facts(1, DEAD, DEAD, published=True), State.FINISHED),
        ("stopped while it wrote its exit record", Facts(1, DEAD, DEAD, {"state": "stopped"}, published=True), State.FINISHED),
        ("waits for the user", Facts(1, DEAD, DEAD, {"state": "needs-you", "message": "draw"}), State.NEEDS_YOU),
        ("second attempt after a lost one", Facts(2, ALIVE, ALIVE), State.RUNNING),
    ],
)
def test_story(story: str, facts: Facts, state: State) -> None:
    assert derive(facts).state is state, story


def test_reasons_name_what_is_waited_for_and_what_happened() -> None:
    assert derive(Facts(1, ALIVE, waiting_for=("r001", "r002"))).reason == "waiting for r001, r002"
    assert derive(Facts(1, DEAD, DEAD, {"state": "failed", "message": "killed by signal 9"})).reason == "killed by signal 9"
    assert "no exit record" in derive(Facts(1, DEAD, DEAD)).reason


def test_every_combination_of_facts_has_a_state_and_only_living_ones_are_active() -> None:
    lives, exits = (None, ALIVE, DEAD), (None, {"state": "failed"}, {"state": "stopped"}, {"state": "finished"})
    for attempt, supervisor, process, exit_record, published, asked, waiting in itertools.product(
        (0, 1, 3), lives, lives, exits, (False, True), (False, True), ((), ("r001",))
    ):
        facts = Facts(attempt, supervisor, process, exit_record, published, asked, waiting)
        state = derive(facts).state
        if state in ACTIVE:
            assert ALIVE in (supervisor, process), facts
        if published:
            assert state is State.FINISHED, facts


def test_words_are_the_promised_ones() -> None:
    assert {str(state) for state in State} == {
        "draft",
        "blocked",
        "queued",
        "running",
        "needs-you",
        "finished",
        "failed",
        "stopped",
        "lost",
    }
    assert not ACTIVE & ENDED and ACTIVE | ENDED | {State.DRAFT} == set(State)
