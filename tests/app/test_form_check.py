"""A form as it is being filled: nothing is made, and each finding is put beside its field."""

import pytest

from cryoloom.app.form_check import check_form
from cryoloom.spec import WrongUse


@pytest.fixture(scope="module")
def made(empty):
    """A project with one finished run, r001."""
    empty.run("toy.source", count=3, threads=1)
    return empty


def checked(project, values, protocol="toy.add", **more):
    before = len(project.runs())
    found = check_form(project.folder, protocol, values, **more)
    assert len(project.runs()) == before
    return found


def fields(findings):
    return [(each.field, each.missing) for each in findings]


def test_an_empty_form_says_what_is_missing(project):
    found = checked(project, {})
    assert fields(found.errors) == [("things", True)]
    assert found.errors[0].message == "Things has to be given." and found.why == ""


def test_empty_values_count_as_not_given(project):
    assert fields(checked(project, {"things": "", "amount": None, "sizes": []}).errors) == [("things", True)]


def test_a_filled_form_says_why_it_would_be_computed(project):
    found = checked(project, {"things": "r001.things", "amount": "2.5", "sizes": "1, 2"})
    assert found.errors == [] and found.advice == [] and "first run" in found.why and found.same == ""


def test_each_wrong_value_is_told_at_its_field(project):
    found = checked(project, {"things": "r001.things", "amount": "much", "window": "17", "method": "rash"})
    told = {each.field: each.message for each in found.errors}
    assert told.keys() == {"amount", "window", "method"}
    assert told["window"].startswith("Window is '17' px, but must be a multiple of 2")
    assert not any(each.missing for each in found.errors)


def test_an_input_that_does_not_fit_is_told_at_its_field(project):
    for given in ("r001.pears", "r009.things"):
        (error,) = checked(project, {"things": given}).errors
        assert error.field == "things" and error.cure


def test_a_contradiction_brings_the_value_that_would_do(project):
    (error,) = checked(project, {"things": "r001.things", "amount": 13}).errors
    assert (error.field, error.message, error.fix) == ("amount", "Amount brings bad luck", 12)
    assert checked(project, {"things": "r001.things", "amount": error.fix}).errors == []


def test_advice_is_no_error(project):
    found = checked(project, {"things": "r001.things", "amount": 7})
    assert found.errors == [] and [(each.field, each.fix) for each in found.advice] == [("amount", None)] and found.why


def test_work_that_was_done_is_named(project):
    found = checked(project, {"count": 3}, "toy.source")
    assert (found.same, found.errors) == ("r001", []) and "r001" in found.why
    assert checked(project, {"count": 3}, "toy.source", seed=1).same == ""
    assert checked(project, {"count": 4}, "toy.source").same == ""


def test_what_is_being_made_can_be_filled_in(project):
    draft = project.prepare("toy.source", {"count": 5})
    found = checked(project, {"things": f"{draft.id}.things", "amount": 13})
    assert found.errors == [] and found.preview == {}


def test_an_unknown_name_is_refused(project):
    with pytest.raises(WrongUse, match="amuont"):
        checked(project, {"amuont": 3})
    with pytest.raises(WrongUse):
        checked(project, {}, "no.such")
