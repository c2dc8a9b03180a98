import random

import pytest

from cryoloom.formats import star_text
from cryoloom.formats.star_text import normalised, rows_as_tokens, split_line

WORDS = ["1", "-2.5", "a", "000001@x.mrcs", "it's", 'b"c', "x#y", '"two words"', '"a\tb"', '""', "é", "nan"]


@pytest.mark.parametrize("seed", range(40))
def test_the_fast_way_gives_what_the_careful_way_gives(seed, monkeypatch):
    """Random tables with random blanks, empty lines and quotes, cut at random places."""
    rng = random.Random(seed)
    monkeypatch.setattr(star_text, "_CHUNK", rng.choice([40, 200, 1 << 20]))
    columns = rng.randint(1, 5)
    words = rng.sample(WORDS, rng.randint(2, len(WORDS)))
    lines = []
    for _ in range(rng.randint(1, 30)):
        blanks = [rng.choice([" ", "  ", "\t", " \t "]) for _ in range(columns)]
        values = [rng.choice(words) for _ in range(columns)]
        line = "".join(value + blank for value, blank in zip(values, blanks, strict=True))
        lines.append(rng.choice(["", " ", "\t "]) + (line.rstrip() if rng.random() < 0.5 else line))
        lines += [""] * rng.choice([0, 0, 0, 1, 2])
    text = ("\n".join(lines) + "\n").encode()
    careful = rows_as_tokens(text)
    fast = normalised(text, columns)
    if fast is None:
        assert any(mark in text for mark in (b'"', b"'")), "plain text never needs the careful way"
        return
    assert fast.count(b"\n") == len(careful)
    assert rows_as_tokens(fast) == careful
    assert b"\t" not in fast.replace(b'"a\tb"', b"")
    assert b"  " not in fast
    assert all(len(row) == columns for row in careful)


@pytest.mark.parametrize("text", [b"1 2\n3\n", b"1 2 3\n", b"1\n", b"# x\n1 2\n", b"1 'a b'\n", b'1 a"b c"\n', b'1 "a\n'])
def test_what_is_not_plain_goes_the_careful_way(text):
    assert normalised(text, 2) is None


def test_comments_after_the_rows_belong_to_what_follows():
    assert normalised(b"1 2\n3 4\n\n# version 30001\n \n", 2) == b"1 2\n3 4\n"


def test_quotes_open_and_close_at_blanks_only():
    assert split_line("""a 'b c' "d 'e' f" g'h i"j "k"l" # m""") == ["a", "b c", "d 'e' f", "g'h", 'i"j', 'k"l']
    assert split_line("  ") == []
    assert split_line("a#b #c") == ["a#b"]
