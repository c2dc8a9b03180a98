"""Free flags of `cryoloom run`."""

import pytest

from cryoloom.cli.flags import parse_flags
from cryoloom.spec import WrongUse


def test_parameters_and_inputs_are_told_apart():
    assert parse_flags(["--low-res", "30", "--input-micrographs", "r002.micrographs"]) == (
        {"low_res": "30"},
        {"micrographs": "r002.micrographs"},
    )


def test_yes_no_negative_numbers_and_equals():
    parameters, _ = parse_flags(["--force-mask", "--no-dose-weighting", "--b-factor", "-90.5", "--name=a=b", "--offset", "-.5"])
    assert parameters == {"force_mask": "yes", "dose_weighting": "no", "b_factor": "-90.5", "name": "a=b", "offset": "-.5"}


def test_a_repeated_flag_is_a_list():
    assert parse_flags(["--input-coordinates", "a.c", "--input-coordinates", "b.c", "--input-coordinates", "c.c"])[1] == {
        "coordinates": ["a.c", "b.c", "c.c"]
    }


@pytest.mark.parametrize("words", [["stray"], ["--low-res", "30", "stray"], ["-x", "3"], ["--"]])
def test_a_word_without_a_flag_is_refused(words):
    with pytest.raises(WrongUse, match="belongs to no flag"):
        parse_flags(words)
