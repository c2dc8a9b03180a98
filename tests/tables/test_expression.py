"""Selection rules: what they mean, and that nothing else gets through."""

import polars as pl
import pytest

from cryoloom.spec import WrongUse
from cryoloom.tables.expression import columns_used, parse_rule

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "score": [0.1, 0.5, 0.9, None],
        "class_id": [1, 2, 2, 3],
        "name": ["a", "b", "c", "d"],
        "enabled": [True, False, True, True],
        "word": ["index", "best", "or", "forest"],
        "nan": [1.0, -1.0, float("nan"), None],
        "curve": [[1.0], [], [2.0], None],
    }
)


def ids(rule, **options):
    return ROWS.filter(parse_rule(rule, ROWS.schema, **options))["id"].to_list()


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
        ("score is null", [4]),
        ("SCORE IS NOT NULL AND enabled = TRUE".replace("SCORE", "score"), [1, 3]),
        ("not score is null", [1, 2, 3]),
        ("score between 0.1 and 0.5", [1, 2]),
        ("score between 0.2 and 1 and class_id = 2 and enabled", [3]),
        ("not score between 0.2 and 1", [1]),
        ("score not between 0.2 and 1 or class_id <> 1 and not enabled", [1, 2]),
        ("id between class_id + 1 and 2 * class_id", [3, 4]),
        ("(id between 2 and 3)", [2, 3]),
        ("id % 2 == 0", [2, 4]),
        ("(id - 2) ** 2 == 1", [1, 3]),
        ("id / 2 >= 1.5", [3, 4]),
        ("class_id in (-1, 3)", [4]),
        ("name in ('a', 'd')", [1, 4]),
        ('name >= "c"', [3, 4]),
        ("name = 'AND'", []),
        ("contains(word, 'or')", [3, 4]),
        ("starts_with(word, 'b') or ends_with(word, 'x')", [2, 1]),
        ("nan > 0", [1]),
        ("nan != 1", [2]),
        ("not nan > 0", [2]),
        ("nan / 0 > 1", [1]),
    ],
)
def test_rules_mean_what_they_say(rule, expected):
    assert ids(rule) == sorted(expected)


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
        "id is 3",
        "id is 3 and enabled",
        "id between 3",
        "id between 3 or enabled",
        "id in (score, 1)",
        "contains(name, word)",
        "name > 3",
        "name / 2 > 1",
        "curve > 1",
        "score",
        "score + 1",
        "'text'",
        "",
    ],
)
def test_code_is_refused(rule):
    with pytest.raises(WrongUse, match="--where"):
        parse_rule(rule, ROWS.schema)


def test_a_column_called_like_a_word_stays_a_column():
    rows = pl.DataFrame({"between": [1, 2], "null": [None, 1]})
    rule = parse_rule("between = 2 and null is not NULL", rows.schema)
    assert rows.filter(rule)["between"].to_list() == [2] and columns_used(rule) == ["between", "null"]


def test_a_misspelt_column_gets_a_suggestion():
    with pytest.raises(WrongUse, match="Did you mean score"):
        parse_rule("scor > 1", ROWS.schema)
