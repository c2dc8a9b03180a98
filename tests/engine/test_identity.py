"""What makes two runs the same work, and the words for what does not."""

from dataclasses import replace

from cryoloom.engine.identity import Work, differences, explain, nearest

WORK = Work("ctf.estimate", 1, {"window": 512, "high_res": 4.0}, {"micrographs": ["aa"]}, 0, None)


def test_identity_depends_on_everything_and_on_no_order() -> None:
    same = Work("ctf.estimate", 1, {"high_res": 4.0, "window": 512}, {"micrographs": ["aa"]}, 0, None)
    assert same.identity == WORK.identity == Work.from_json(WORK.to_json()).identity
    others = [
        replace(WORK, protocol="ctf.refine"),
        replace(WORK, version=2),
        replace(WORK, parameters={"window": 512, "high_res": 4.1}),
        replace(WORK, inputs={"micrographs": ["ab"]}),
        replace(WORK, inputs={"micrographs": ["aa", "aa"]}),
        replace(WORK, seed=1),
        replace(WORK, fingerprint={"gain": "x"}),
    ]
    assert len({each.identity for each in others} | {WORK.identity}) == len(others) + 1


def test_the_nearest_run_is_compared_the_latest_among_equals() -> None:
    others = [
        ("r002", replace(WORK, parameters={"window": 256, "high_res": 9.0})),
        ("r003", replace(WORK, parameters={"window": 256, "high_res": 4.0})),
        ("r004", replace(WORK, seed=5)),
        ("r005", replace(WORK, protocol="ctf.refine")),
    ]
    assert nearest(WORK, others) == ("r004", ["seed is 0, was 5"])
    assert explain(WORK, others[:2]) == "other than r003: window is 512, was 256"
    assert explain(WORK, others[3:]) == "first run of ctf.estimate in this project"
    assert explain(WORK, [("r009", WORK)]) == "same as r009"


def test_every_kind_of_difference_has_its_words() -> None:
    other = Work("ctf.estimate", 2, {"window": None, "new": 1}, {"micrographs": ["ab"]}, 3, "f")
    assert differences(other, WORK) == [
        "the method's version is 2, was 1",
        "high_res is not set, was 4.0",
        "new is 1, was not set",
        "window is not set, was 512",
        "input micrographs has other content",
        "seed is 3, was 0",
        "the files read from outside the project have changed",
    ]
