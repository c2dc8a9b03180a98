"""Selection rules: what they mean, and that nothing else gets through."""

import polars as pl
import pytest

from cryoloom.spec import WrongUse
from cryoloom.tables.expression import parse_rule

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "score": [0.1, 0.5, 0.9, None],
        "class_id": [1, 2, 2, 3],
        "name": ["a", "b", "c", "d"],
        "enabled": [True, False, True, True],
    }
)


def ids(rule, **options):
    return ROWS.filter(parse_rule(rule, ROWS.columns, **options))["id"].to_list()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("score > 0.4", [2, 3]),
        ("score >= 0.5 and class_id == 2", [2, 3]),
        ("not enabled or score < 0.2", [1, 2]),
        ("0.2 < score < 0.7", [2]),
        ("class_id in (1, 3)", [1, 4]),
        ("class_id not in [1, 3]", [2, 3]),
        ("score is None", [4]),
        ("score is not None and enabled", [1, 3]),
        ("name == 'c'", [3]),
        ("abs(score - 0.5) <= 0.1", [2]),
        ("-score < -0.4", [2, 3]),
        ("score * 2 + 1 > 1.5", [2, 3]),
        ("enabled", [1, 3, 4]),
    ],
)
def test_rules_mean_what_they_say(rule, expected):
    assert ids(rule) == expected


def test_names_of_other_programs():
    assert ids("rlnAutopickFigureOfMerit > 0.4", canonical={"rlnAutopickFigureOfMerit": "score"}.__getitem__) == [2, 3]


@pytest.mark.parametrize(
    "rule",
    [
        "__import__('os').system('true')",
        "score.sum() > 1",
        "[x for x in id]",
        "lambda: 1",
        "score > ",
        "id if enabled else 2",
        "f'{id}'",
        "id in score",
    ],
)
def test_code_is_refused(rule):
    with pytest.raises(WrongUse, match="--where"):
        parse_rule(rule, ROWS.columns)


def test_a_misspelt_column_gets_a_suggestion():
    with pytest.raises(WrongUse, match="Did you mean score"):
        parse_rule("scor > 1", ROWS.columns)
