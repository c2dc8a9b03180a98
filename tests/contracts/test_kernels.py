"""Compiled kernels give the same bits whether they were compiled just now or come from the cache (decision 0025)."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

REFINE = """
import hashlib
import numpy as np
from cryoloom.numerics.align.levenberg import refine_candidates

rng = np.random.default_rng(0)
def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)

v, u = (part.ravel() for part in np.mgrid[-20:21, 0:21])
kept = u**2 + v**2 < 400
u, v = u[kept].astype(np.float32), v[kept].astype(np.float32)
grid, weight = draw(100, 100, 52, 2), np.abs(draw(400, len(u)))
data = draw(400, len(u)) + 1j * draw(400, len(u))
prior, mates = np.zeros((400, 14)), np.eye(3)[None]
rotations, shifts = np.linalg.qr(rng.standard_normal((400, 3, 3, 3)))[0], rng.standard_normal((400, 3, 2))
costs, curvatures = np.zeros((400, 3)), np.zeros((400, 3, 5, 5))
refine_candidates(
    grid, u, v, len(u), 48, data.astype(np.complex64), weight, prior, mates, 12, rotations, shifts, costs, curvatures, np.full(400, 3)
)
print(hashlib.sha256(b"".join(each.tobytes() for each in (rotations, shifts, costs, curvatures))).hexdigest())
"""


def kernels(source: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return each kernel of a module's text: the options of its decorator and the plain names it calls."""
    found = {}
    for node in ast.parse(source).body:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in {"njit", "numba.njit"}:
                calls = (each.func for each in ast.walk(node) if isinstance(each, ast.Call))
                options = {ast.unparse(keyword) for keyword in decorator.keywords}
                found[node.name] = (options, {call.id for call in calls if isinstance(call, ast.Name)})
    return found


def linked(sources: list[str]) -> set[str]:
    """Return the kernels that others call and that are not written into them."""
    all_kernels = {name: each for source in sources for name, each in kernels(source).items()}
    called = set().union(*(calls for _, calls in all_kernels.values()))
    return {name for name, (options, _) in all_kernels.items() if name in called and "forceinline=True" not in options}


def test_a_kernel_that_others_call_is_written_into_them() -> None:
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    assert sum(len(kernels(source)) for source in sources) > 30
    assert linked(sources) == set()


def test_a_linked_kernel_is_noticed() -> None:
    part, whole = (
        "@njit(cache=True)\ndef part(x):\n    return x\n",
        "@numba.njit\ndef no(): ...\n@njit()\ndef whole(x):\n    return part(x)\n",
    )
    assert linked([part, whole]) == {"part"}
    assert linked([part.replace("cache=True", "cache=True, forceinline=True"), whole]) == set()


def test_the_first_run_and_later_runs_have_the_same_bits(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (subprocess.check_output([sys.executable, "-c", REFINE], env=environment, text=True) for _ in range(2))
    assert list(tmp_path.rglob("*.nbc"))
    assert fresh == cached
