"""What the docs say is true: code blocks run, command lines parse, links resolve, the changelog has the version."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import cryoloom
from cryoloom.app import catalogue, forms
from cryoloom.cli.flags import parse_flags
from cryoloom.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
PYTHON = {page: re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL) for page in PAGES}


@pytest.mark.parametrize("page", [page for page, blocks in PYTHON.items() if blocks], ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """In the order of the page, each with the names of those before it."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "documentation"}
    for block in PYTHON[page]:
        exec(compile(block, str(page), "exec"), names)  # noqa: S102


def command_lines(text):
    """Return the `cryoloom` lines of the shell blocks of a page, as words; continued lines joined, comments left out."""
    found = []
    for block in re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.lstrip("$ ").startswith("cryoloom ") else []
            found += [words[1:]] if words else []
    return found


def command_of(words):
    """Return the command that the first words name, its name and the other words."""
    command, name = typer.main.get_command(app), "cryoloom"
    while words and words[0] in getattr(command, "commands", {}):
        command, name, words = command.commands[words[0]], f"{name} {words[0]}", words[1:]
    return command, name, words


def examples():
    """Return the example of every command's help, as words."""
    found, waiting = [], [typer.main.get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        found += [shlex.split(line)[1:] for line in re.findall(r"Example: (cryoloom .*)", command.help or "")]
    return found


LINES = [(page.name, words) for page in PAGES for words in command_lines(page.read_text(encoding="utf-8"))]
LINES += [("help", words) for words in examples()]
CHEAP = [words for _, words in LINES if words[0] in ("protocols", "doctor") or words[:2] == ["project", "new"]]


def test_the_docs_have_command_lines():
    assert len(LINES) > 50 and len(CHEAP) > 5


@pytest.mark.parametrize(
    ("page", "words"), LINES, ids=[f"{page}-{' '.join(words[:3])}-{number}" for number, (page, words) in enumerate(LINES)]
)
def test_command_lines_parse(page, words):
    """Known commands and flags; for `run` also the protocol, its parameters and their values."""
    command, name, rest = command_of(words)
    context = command.make_context(name, list(rest))
    if name == "cryoloom run":
        protocol = catalogue.protocol(context.params["protocol"])
        parameters, inputs = parse_flags(list(context.args))
        given, wanted = forms.sort_values(protocol, {**parameters, **inputs})
        assert set(wanted) <= set(protocol.inputs())
        forms.check_parameters(protocol, given)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_named_in_a_sentence_exist(page):
    for span in re.findall(r"`cryoloom ([a-z][^`\n]*)`", page.read_text(encoding="utf-8")):
        command, name, _ = command_of(span.split())
        assert name != "cryoloom" and not (hasattr(command, "commands") and name != "cryoloom protocols"), f"{page.name}: cryoloom {span}"


@pytest.mark.parametrize("words", CHEAP, ids=" ".join)
def test_cheap_command_lines_run(words, tmp_path):
    done = subprocess.run([sys.executable, "-m", "cryoloom.cli.main", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_a_wrong_command_line_would_be_found():
    lines = command_lines("```\ncryoloom run p ctf.estimate --windw 3   # no\n$ cryoloom stats p \\\n  x\n```\n")
    assert lines == [["run", "p", "ctf.estimate", "--windw", "3"], ["stats", "p", "x"]]
    with pytest.raises(Exception, match="no parameter or input 'windw'"):
        test_command_lines_parse("page", [*lines[0], "--input-micrographs", "m"])
    assert command_of(lines[1])[1] == "cryoloom"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_conventions_name_tests_that_exist():
    text = (ROOT / "docs/conventions.md").read_text(encoding="utf-8")
    for path in re.findall(r"`(tests/[^`]+)`", text):
        assert (ROOT / path).exists(), f"docs/conventions.md names {path}"


def test_the_changelog_starts_with_the_version():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == cryoloom.__version__


def test_the_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90
