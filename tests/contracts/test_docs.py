"""What the docs say is true: code blocks run, links resolve, the changelog has the version."""

import re
from pathlib import Path

import pytest

import cryoloom

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PYTHON = [(page, block) for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)]


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=[f"{page.stem}-{number}" for number, (page, _) in enumerate(PYTHON)])
def test_python_blocks_run(page, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(page), "exec"), {"__name__": "documentation"})  # noqa: S102


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
