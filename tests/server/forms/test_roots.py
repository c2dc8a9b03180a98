"""Files of the server's computer: only within the roots, links followed, hidden ones never; viewers see none."""

import os
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from cryoloom.server.app import make_app
from cryoloom.server.roots import MOST, Roots
from cryoloom.server.serve import HARMLESS
from cryoloom.spec import WrongUse


@pytest.fixture
def data(tmp_path):
    """Return a root with movies, a link inside, links out, something hidden and something of no import."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.txt").write_text("x")
    root = tmp_path / "data"
    for name in ("movies", "movies/later", ".ssh"):
        (root / name).mkdir(parents=True)
    for name in (
        "movies/m_001.mrc",
        "movies/m_002.mrc",
        "movies/later/m_003.mrc",
        "movies/notes.pdf",
        "gain.mrc",
        ".ssh/key.txt",
        ".hidden.mrc",
    ):
        (root / name).write_text("x")
    (root / "inside").symlink_to(root / "movies")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "key.txt").symlink_to(tmp_path / "secret/key.txt")
    return root


@pytest.fixture
def roots(data):
    return Roots([data])


def test_a_folder_lists_what_imports_read(roots, data):
    found = roots.listing(str(data))
    assert (found.folders, [each.name for each in found.files], found.parent) == (["inside", "movies"], ["gain.mrc"], "")
    inner = roots.listing(str(data / "movies"))
    assert (inner.folders, [each.name for each in inner.files]) == (["later"], ["m_001.mrc", "m_002.mrc"])
    assert inner.parent == str(data) and inner.files[0].size == 1
    assert roots.listing("").folders == [str(data)]


@pytest.mark.parametrize(
    "path", ["/", "/etc", "{data}/..", "{data}/movies/../../secret", "{data}/outside", "{data}/.ssh", "movies", "{data}/a\0b"]
)
def test_what_lies_outside_is_refused(roots, data, path):
    path = path.format(data=data)
    with pytest.raises(WrongUse) as refused:
        roots.listing(path)
    assert refused.value.code == "path-outside"
    with pytest.raises(WrongUse, match="outside"):
        roots.matches(f"{path}/*")


def test_a_pipe_is_no_file(roots, data):
    os.mkfifo(data / "pipe.mrc")
    assert "pipe.mrc" not in [each.name for each in roots.listing(str(data)).files]
    with pytest.raises(WrongUse, match="pipe"):
        roots.inside(str(data / "pipe.mrc"))


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("movies/*.mrc", 2),
        ("movies/m_###.mrc", 2),
        ("**/*.mrc", 7),
        ("movies/%_001.mrc", 1),
        ("movies", 3),
        ("movies/*.tif", 0),
        ("outside/*", None),
    ],
)
def test_matches_are_counted_as_imports_count_them(roots, data, pattern, count):
    if count is None:
        with pytest.raises(WrongUse, match="outside"):
            roots.matches(str(data / pattern))
    else:
        assert roots.matches(str(data / pattern)).count == count


def test_links_out_of_the_root_do_not_match(roots, data):
    assert roots.matches(str(data / "*/*.txt")).count == 0
    assert roots.matches(str(data / "*.txt")).count == 0


def test_a_large_folder_is_listed_in_part(roots, data):
    for number in range(MOST + 10):
        (data / "movies/later" / f"x{number:05}.mrc").touch()
    found = roots.listing(str(data / "movies/later"))
    assert len(found.files) == MOST and found.left_out == 11
    counted = roots.matches(str(data / "movies/later/*.mrc"))
    assert (counted.count, counted.more, len(counted.first)) == (MOST + 11, False, 5)


def test_roots_are_home_the_projects_and_what_is_named(data, tmp_path, monkeypatch):
    (tmp_path / "projects").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with TestClient(make_app(tmp_path / "projects")) as client:
        assert client.get("/api/files").json()["folders"] == [str(tmp_path / "home"), str(tmp_path / "projects")]
        assert client.get("/api/files", params={"folder": str(data)}).json()["error"]["code"] == "CL-path-outside"
    with TestClient(make_app(tmp_path / "projects", [data])) as client:
        assert client.get("/api/files", params={"folder": str(data)}).status_code == 200
        assert client.get("/api/files/matches", params={"pattern": f"{data}/movies/*.mrc"}).json()["count"] == 2


def test_a_home_that_is_everything_is_no_root(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    with TestClient(make_app(tmp_path)) as client:
        assert client.get("/api/files").json()["folders"] == [str(tmp_path)]


def test_viewers_try_no_paths_in_forms():
    """The check of a form and its wizards open files that the form names."""
    assert not [path for path in HARMLESS if "/forms/" in path]


def test_viewers_see_no_files(tmp_path):
    app = make_app(tmp_path)

    def as_viewer(app: ASGIApp) -> ASGIApp:
        async def called(scope, receive, send):
            scope.setdefault("state", {})["caller"] = SimpleNamespace(role="viewer", session="")
            await app(scope, receive, send)

        return called

    client = TestClient(as_viewer(app))
    assert client.get("/api/files").status_code == 403
    assert client.get("/api/files/matches", params={"pattern": f"{tmp_path}/*"}).status_code == 403
