"""Every import contract of pyproject.toml is broken on purpose, in a copy, and must be reported by name with the culprit."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

INTRUDERS = {
    "Floors: nobody imports upwards, rooms of one floor do not know each other": {
        "tables/upward_intruder.py": "import cryoloom.engine",
        "app/upward_intruder.py": "import cryoloom.server",
        "server/upward_intruder.py": "import cryoloom.cli",
        "formats/sideways_intruder.py": "import cryoloom.report",
        "importers/sideways_intruder.py": "import cryoloom.protocols",
    },
    "Science never reaches into the engine": {
        "data/science_intruder.py": "import cryoloom.engine",
        "importers/engine_intruder.py": "import cryoloom.engine",
    },
    "The engine knows nothing of electron microscopy": {"engine/science_intruder.py": "import torch"},
    "Numerics are tensors in, tensors out": {"numerics/table_intruder.py": "import polars"},
    "A protocol is one file": {"protocols/postprocess/sideways_intruder.py": "import cryoloom.protocols.postprocess.mask"},
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what import-linter says of a copy with all intruders, contract by contract, and of a room without a floor."""
    folder = tmp_path_factory.mktemp("walls")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for files in INTRUDERS.values():
        for name, text in files.items():
            (folder / "src" / "cryoloom" / name).write_text(f'"""Breaks a wall."""\n\n{text}\n')
    said = lint(folder)
    headings = re.split(r"^(.+)\n-{3,}\n", said.partition("Broken contracts")[2], flags=re.MULTILINE)
    sections = dict(zip(headings[1::2], headings[2::2], strict=True))
    (folder / "src" / "cryoloom" / "utils.py").write_text('"""A room that nobody gave a floor."""\n')
    return {**sections, "utils": lint(folder)}


def lint(folder: Path) -> str:
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_every_contract_is_tried() -> None:
    assert {contract["name"] for contract in CONTRACTS} == set(INTRUDERS)


@pytest.mark.parametrize(("contract", "name"), [(contract, name) for contract, files in INTRUDERS.items() for name in files])
def test_a_broken_wall_is_reported_by_name_with_the_culprit(report: dict[str, str], contract: str, name: str) -> None:
    culprit = "cryoloom." + name.removesuffix(".py").replace("/", ".")
    assert culprit in report[contract]


def test_a_room_without_a_floor_is_refused(report: dict[str, str]) -> None:
    assert re.search(r"\butils\b", report["utils"])
