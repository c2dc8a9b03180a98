"""Tokens, sessions, names of the server, and paths that stay in their folder."""

import json
import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from cryoloom.server import access
from cryoloom.server.access import TOKENS, Access, Limits, NoSecrets, confined, host_of, load_access
from cryoloom.spec.errors import WrongUse

VIEWER, OPERATOR = "v" * 30, "o" * 30


def fresh(**more):
    return Access({"viewer": VIEWER, "operator": OPERATOR}, **more)


def test_tokens_are_made_once_are_long_and_belong_to_their_owner_alone(tmp_path):
    before = os.umask(0)  # the mode must not depend on it
    try:
        load_access(8000, folder=tmp_path / "settings")
    finally:
        os.umask(before)
    path = tmp_path / "settings" / TOKENS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and [*path.parent.iterdir()] == [path]
    tokens = json.loads(path.read_text())
    again = load_access(8001, folder=tmp_path / "settings")
    assert {again.role_of(token): role for role, token in tokens.items()} == {"viewer": "viewer", "operator": "operator"}
    assert all(len(token) * 6 >= 128 for token in tokens.values()) and len(set(tokens.values())) == 2


def test_other_servers_have_other_tokens(tmp_path):
    load_access(8000, folder=tmp_path / "a"), load_access(8000, folder=tmp_path / "b")
    assert (tmp_path / "a" / TOKENS).read_text() != (tmp_path / "b" / TOKENS).read_text()


def test_the_folder_is_that_of_the_users_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    load_access(8000)
    assert (tmp_path / "cryoloom" / TOKENS).is_file()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_tokens_that_others_may_read_are_refused(tmp_path, mode):
    load_access(8000, folder=tmp_path)
    (tmp_path / TOKENS).chmod(mode)
    with pytest.raises(WrongUse, match=rf"mode {mode:o}.*CL-token-file-exposed"):
        load_access(8000, folder=tmp_path)


def test_tokens_of_somebody_else_are_refused(tmp_path, monkeypatch):
    load_access(8000, folder=tmp_path)
    other = os.geteuid() + 1
    monkeypatch.setattr(access.os, "geteuid", lambda: other)
    with pytest.raises(WrongUse, match="CL-token-file-exposed"):
        load_access(8000, folder=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"viewer": "short", "operator": "ooooooooooooooooooooooo"}',
        json.dumps({"viewer": OPERATOR, "operator": OPERATOR}),
        json.dumps({"viewer": VIEWER, "operator": None}),
        json.dumps({"viewer": VIEWER, "operator": "o" * 30 + "\n"}),
    ],
)
def test_a_token_file_that_holds_no_tokens_is_refused(tmp_path, content):
    path = tmp_path / TOKENS
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(WrongUse, match="CL-bad-token-file"):
        load_access(8000, folder=tmp_path)


def test_only_whole_tokens_count():
    one = fresh()
    assert one.role_of(VIEWER) == "viewer" and one.role_of(OPERATOR) == "operator"
    for wrong in ("", OPERATOR[:-1], OPERATOR + "o", OPERATOR.upper(), "é" * 30, "\ud800"):
        assert one.role_of(wrong) is None


def test_the_login_address_holds_the_token():
    assert fresh().address("viewer", "[::1]:8000") == f"http://[::1]:8000/login?token={VIEWER}"


def test_sessions_outlive_a_restart_and_their_ids_are_not_kept(tmp_path):
    one = load_access(8000, folder=tmp_path)
    identity = one.log_in("viewer")
    [file] = tmp_path.glob("*sessions*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text()
    assert identity not in kept
    caller = one.caller(identity)
    assert caller is not None and caller.role == "viewer" and caller.session in kept
    assert load_access(8000, folder=tmp_path).caller(identity) == caller
    assert load_access(8001, folder=tmp_path).caller(identity) is None
    assert one.caller(caller.session) is None, "the file must not be worth stealing"


def test_new_tokens_end_sessions(tmp_path):
    identity = load_access(8000, folder=tmp_path).log_in("operator")
    (tmp_path / TOKENS).unlink()
    assert load_access(8000, folder=tmp_path).caller(identity) is None


@pytest.mark.parametrize("content", ["", "[]", "nonsense", '{"x": "y"}'])
def test_sessions_that_cannot_be_read_are_none(tmp_path, content):
    one = load_access(8000, folder=tmp_path)
    one.log_in("viewer")
    [file] = tmp_path.glob("*sessions*")
    file.write_text(content)
    again = load_access(8000, folder=tmp_path)
    assert again.caller(again.log_in("operator")) is not None


def test_sessions_end_by_age_and_by_number(monkeypatch):
    now = 1_000_000.0
    monkeypatch.setattr(access.time, "time", lambda: now)
    one = fresh(limits=Limits(sessions=2, lifetime=100))
    identities = []
    for _ in range(3):
        identities.append(one.log_in("viewer"))
        now += 10
    assert [one.caller(identity) is not None for identity in identities] == [False, True, True]
    now = 1_000_000 + 10 + 100
    assert [one.caller(identity) is not None for identity in identities] == [False, False, True]


def test_a_full_disk_does_not_keep_anybody_out(tmp_path):
    one = fresh(sessions=tmp_path / "file" / "sessions.json")
    (tmp_path / "file").touch()
    assert one.caller(one.log_in("operator")) is not None


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("[::1]:8000", "[::1]"),
        ("[0:0::0:1]", "[::1]"),
        ("[FD00::7]:80", "[fd00::7]"),
        ("titan-1.lab.example.org:443", "titan-1.lab.example.org"),
    ],
)
def test_hosts_have_one_spelling(authority, host):
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "authority",
    ["", ":8000", "::1", "::1:8000", "[::1", "[::1]8000", "[::1]:", "[gg::1]", "[::1%lo]", "localhost:", "localhost:x", "localhost:99999"]
    + ["localhost:8000:1", "local host", "a@localhost", "localhost/", "localhost\n", "localhost.", "-x", "löcalhost", "http://localhost"],
)
def test_what_is_no_host_is_none(authority):
    assert host_of(authority) is None


def test_names_of_the_server_are_its_own_and_those_given():
    one = fresh(hosts=["Titan.example.org", "fd00::7", "[fd00::8]"])
    for name in ("localhost", "127.0.0.1", "[::1]", "titan.example.org", "[fd00::7]", "[fd00::8]"):
        assert one.answers_to(name)
    for name in (
        "evil.example",
        "example.org",
        "x.titan.example.org",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "[::ffff:7f00:1]",
    ):
        assert not one.answers_to(name)
    for bad in ("*", "http://titan", ""):
        with pytest.raises(WrongUse, match="CL-bad-host-name"):
            fresh(hosts=[bad])


def test_logs_hold_no_token():
    record = logging.LogRecord(
        "uvicorn.access",
        logging.INFO,
        "",
        0,
        '%s - "%s %s HTTP/%s" %d',
        ("127.0.0.1:1", "GET", f"/login?%74oken={OPERATOR[:-1]}%6f", "1.1", 303),
        None,
    )
    other = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, f"lost {VIEWER} in /api/runs?page=2", None, None)
    hide = NoSecrets(fresh())
    assert hide.filter(record) and hide.filter(other)
    assert record.getMessage() == '127.0.0.1:1 - "GET /login?... HTTP/1.1" 303' and len(record.args or ()) == 5
    assert other.getMessage() == "lost ... in /api/runs?page=2"


@pytest.fixture
def root(tmp_path):
    """Return a folder with a file, a folder, and links to places inside and outside it."""
    folder = tmp_path / "root"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "movie.tiff").touch()
    (tmp_path / "secret").touch()
    (tmp_path / "root-2").mkdir()  # a name that begins alike
    (folder / "inside").symlink_to("data")
    (folder / "out").symlink_to(tmp_path)
    (folder / "beside").symlink_to(tmp_path / "root-2")
    (folder / "nowhere").symlink_to(tmp_path / "not-made-yet")
    (folder / "circle").symlink_to("circle")
    (folder / "tty").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize(
    ("relative", "there"),
    [
        ("data/movie.tiff", "data/movie.tiff"),
        ("inside/movie.tiff", "data/movie.tiff"),
        ("", "."),
        (".", "."),
        ("new/run", "new/run"),
        ("a..b", "a..b"),
    ],
)
def test_paths_inside_are_found(root, relative, there):
    assert confined(root, relative) == (root / there).resolve()


def test_the_folder_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert confined(tmp_path / "link", "data") == root.resolve() / "data"


@pytest.mark.parametrize(
    "relative",
    [
        "..",
        "../secret",
        "data/../../secret",
        "data/../data",
        "/etc/passwd",
        "//etc/passwd",
        "out",
        "out/secret",
        "out/root-2",
        "beside",
        "nowhere",
    ]
    + ["nowhere/x", "tty", "circle", "data/movie.tiff\0.mrc", "\0", "x" * 5000, "\ud800"],
)
def test_paths_that_lead_out_are_refused(root, relative):
    with pytest.raises(WrongUse, match="CL-path-outside"):
        confined(root, relative)


def test_pipes_and_sockets_are_refused(root, monkeypatch):
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(root)  # a socket's name must be short
        server.bind("socket")
        for name in ("pipe", "socket"):
            with pytest.raises(WrongUse, match="CL-not-a-file"):
                confined(root, name)


def test_devices_are_refused():
    with pytest.raises(WrongUse, match="CL-not-a-file"):
        confined(Path("/dev"), "null")
