"""A real browser on a real server: chromium, `cryoloom serve` in a process of its own, and small projects to look at.

No test here loosens the Content-Security-Policy, under which Playwright's `wait_for_function` cannot work: wait with `expect` and locators.
Pictures are in ``build/browser``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import cryoloom
from cryoloom.app.simulation import simulate
from cryoloom.engine.supervise import ONE_THREAD

CHROMIUM = Path(os.environ.get("CRYOLOOM_CHROMIUM", "/usr/bin/chromium"))
# WebGL by software must be asked for, and pages, which it would draw too at ten times the cost, kept from it; the rest keeps the browser from
# talking to anybody else.
FLAGS = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--no-first-run"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PICTURES = Path(__file__).parents[2] / "build/browser"
TELL_VIOLATIONS = """addEventListener('securitypolicyviolation',
    event => console.error(`Content-Security-Policy: ${event.violatedDirective} forbids ${event.blockedURI}`))"""


@dataclass(frozen=True)
class Served:
    """A running server: what it printed, and the parts of that."""

    address: str  # with the token
    origin: str
    token: str
    folder: Path  # the projects


@dataclass
class Complaints:
    """What a page must not do: errors on its console, uncaught errors, breaches of its policy, requests of others than our server."""

    told: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Let errors pass that a test provokes, those in which a regular expression is found."""
        self.expected.append(pattern)

    def arrive(self, page: Any, pattern: str) -> bool:
        """Wait for an error in which a regular expression is found; return whether one came within 10 s."""
        for _ in range(200):
            if any(re.search(pattern, each) for each in self.told):
                return True
            page.wait_for_timeout(50)
        return False

    def unexpected(self) -> list[str]:
        return [each for each in self.told if not any(re.search(pattern, each) for pattern in self.expected)]


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    if not (Path(cryoloom.__file__).parent / "server/static/index.html").exists():
        pytest.skip("the page is not built: make web")


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one project, ``tiny``, of three finished runs: three movies, their motion, their CTFs. `server` shows copies."""
    folder = tmp_path_factory.mktemp("workplace")
    data = folder / "data"
    simulate(data, "tiny", 1, overrides={"movies": 3, "frames": 4})
    told = json.loads((data / "acquisition.json").read_text())
    acquisition = {name: told[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame")}
    project = cryoloom.create_project(folder / "projects/tiny", "Tiny")
    movies = project.run(
        "import.movies", pattern=str(data / "movies/*.mrc"), gain=str(data / "gain.mrc"), name="movies", threads=1, **acquisition
    )
    motion = project.run("motion.correlation", movies=movies.outputs.movies, name="motion", threads=1)
    project.run("ctf.estimate", micrographs=motion.outputs.micrographs, name="ctf", threads=1)
    return folder / "projects"


@pytest.fixture(scope="module")
def server(projects: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a copy of the projects, one for each file of tests; the server must not have shown a traceback in the end."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(projects, folder / "projects", symlinks=True)
    with serving(folder / "projects", folder) as served:
        yield served


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Served]]:
    """Return `serving`, for tests that want a server of their own."""
    return serving


@contextmanager
def serving(
    folder: Path,
    logs: Path,
    program: Sequence[str] = (sys.executable, "-m", "cryoloom.cli.main"),
    environment: Mapping[str, str] = os.environ,
    port: int = 0,
) -> Iterator[Served]:
    """Run ``cryoloom serve`` on a folder of projects while the context lasts; what it prints goes to files in `logs`."""
    words = [*program, "serve", str(folder), "--port", str(port), "--no-browser"]
    out, err = logs / "serve.out", logs / "serve.err"
    with out.open("w") as to_out, err.open("w") as to_err:
        free = {name: value for name, value in environment.items() if name not in ONE_THREAD}  # a server of users has all threads
        process = subprocess.Popen(words, stdout=to_out, stderr=to_err, env={**free, "PYTHONUNBUFFERED": "1", "CRYOLOOM_DEBUG": "1"})
    try:
        yield _ready(process, folder, out, err)
        process.terminate()
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in err.read_text(), err.read_text()


def _ready(process: subprocess.Popen[bytes], folder: Path, out: Path, err: Path) -> Served:
    """Return the server once it answers."""
    latest = time.monotonic() + 120
    while time.monotonic() < latest and process.poll() is None:
        printed = re.search(r"(http://127\.0\.0\.1:\d+)/login\?token=(\S+)", out.read_text())
        if printed and _healthy(printed[1]):
            return Served(printed[0], printed[1], printed[2], folder)
        time.sleep(0.1)
    raise RuntimeError(f"cryoloom serve did not get ready (exit code {process.poll()}):\n{out.read_text()}{err.read_text()}")


def _healthy(origin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{origin}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return chromium. Of a module, not longer: Playwright's event loop would be in the way of other tests that run one."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}; install Debian's chromium, or set CRYOLOOM_CHROMIUM")
    api = pytest.importorskip("playwright.sync_api", reason="the package playwright, which drives the browser, is absent")
    with api.sync_playwright() as playwright:
        api.expect.set_options(timeout=60_000)  # ms; a busy machine
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def complaints() -> Complaints:
    """Return what the pages of this test complain of; a test that provokes errors says which: ``complaints.expect("422")``."""
    return Complaints()


@pytest.fixture
def visitor(browser: Any, server: Served, complaints: Complaints, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return an empty page of somebody who has not logged in; the test fails if it, or one it opens, has given cause for complaint."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=server.origin)
    context.set_default_timeout(60_000)  # ms: pictures of WebGL by software take long
    context.add_init_script(TELL_VIOLATIONS)
    context.on("console", lambda said: complaints.told.append(f"console: {said.text} ({said.location})") if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.told.append(f"uncaught: {error.error}"))
    context.on("request", lambda asked: complaints.told.append(f"foreign request: {asked.url}") if _foreign(asked.url, server) else None)
    for old in PICTURES.glob(f"{_name(request)}-*.png"):
        old.unlink()
    page = context.new_page()
    yield page
    if not page.is_closed():
        page.evaluate("() => new Promise(done => setTimeout(done, 50))")  # what was said last arrives
    found = complaints.unexpected()
    if found or request.node.stash.get(FAILED, False):
        for number, shown in enumerate(context.pages):
            shown.screenshot(path=_picture(request, f"failed-{number}"))
    context.close()
    assert not found, "\n".join(["The page did what no page may do:", *found])


@pytest.fixture
def page(visitor: Any, server: Served) -> Any:
    """Return the page of somebody who has opened the address that the server printed."""
    visitor.goto(server.address)
    return visitor


@pytest.fixture
def shoot(visitor: Any, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Return a function that takes a picture of the page as it is, under the test's name and the one it is given."""

    def take(name: str) -> Path:
        visitor.screenshot(path=_picture(request, name))
        return _picture(request, name)

    return take


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:  # noqa: ARG001
    """Remember that a test failed, for a picture of where."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def _foreign(url: str, server: Served) -> bool:
    return not url.startswith((f"{server.origin}/", "data:", f"blob:{server.origin}/"))


def _name(request: pytest.FixtureRequest) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)


def _picture(request: pytest.FixtureRequest, name: str) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES / f"{_name(request)}-{name}.png"
