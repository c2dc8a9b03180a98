"""The real server, asked over real sockets by those it must refuse; and foreign text, which comes out as text."""

import itertools
import json
import re
import socket
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import polars as pl
import pytest
from planted import written

from benchmarks.server_load import NAME, make_project, serving
from cryoloom.app.session import create_project, open_project
from cryoloom.data import Coordinates
from cryoloom.engine.identity import Work
from cryoloom.files import write_json
from cryoloom.server.access import TOKENS
from cryoloom.server.app import make_app
from cryoloom.server.serve import HARMLESS

SECRET = "what nobody may read"
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
FILLED = {
    "project": NAME,
    "run": "r001",
    "output": "r001.micrographs",
    "protocol": "ctf.estimate",
    "name": "micrographs",
    "other": "r002",
    "id": "1",
}
"""What stands in the addresses; parameters of new routes get a 1."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a workplace with a project, and beside it, in reach of `..` and of a link, what must stay unseen."""
    folder = tmp_path_factory.mktemp("security")
    project = make_project(folder / "projects", 4, side=64)
    (project.root / "runs/r001/claim.1.json").write_text("{}")
    (project.root / "runs/r001/log.1.txt").write_text(f"{EVIL}\n")
    (folder / "secret.txt").write_text(SECRET)
    outside = create_project(folder / "outside", SECRET)
    (folder / "projects/linked").symlink_to(outside.root)
    return folder


@pytest.fixture(scope="module")
def served(place):
    with serving(place / "projects", place / "home") as served:
        yield served
        assert "Traceback" not in served.complaints.read_text()


@pytest.fixture(scope="module")
def tokens(served, place):
    return json.loads((place / "home/cryoloom" / TOKENS).read_text())


@pytest.fixture
def client(served):
    """Return somebody who has no token."""
    with httpx.Client(base_url=served.origin, headers={"origin": served.origin}, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def viewer(client, tokens):
    client.headers["authorization"] = f"Bearer {tokens['viewer']}"
    return client


@pytest.fixture
def operator(client, tokens):
    client.headers["authorization"] = f"Bearer {tokens['operator']}"
    return client


def raw(served, request):
    """Send bytes as they are; return the status of the answer, and the answer."""
    host, _, port = served.origin.rpartition("/")[2].partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=30) as line, suppress(ConnectionResetError):
        line.sendall(request)
        while not _whole(answer) and (more := line.recv(1 << 16)):
            answer += more
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


def _whole(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def routes(app_routes=None):
    """Return method and path of every route there is, those of included routers too."""
    app_routes = make_app(Path("/nowhere")).routes if app_routes is None else app_routes
    found = []
    for route in app_routes:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if inner and not getattr(route, "methods", None):
            found += routes(inner)
        else:
            found += [(method, route.path) for method in sorted(getattr(route, "methods", None) or ())]
    return found


ROUTES = routes()


def filled(path, other=None):
    """Return a path with something in place of its parameters; `other` is put in as it is."""
    values = FILLED | (other or {})
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: values.get(match[1], "1"), path)


# -- who listens, and who is heard ------------------------------------------------------------------------------


def test_it_listens_on_this_machine_alone(served):
    listening = [each.laddr.ip for each in served.process.net_connections("inet") if each.status == "LISTEN"]
    assert listening == ["127.0.0.1"]
    assert not [each for child in served.process.children(recursive=True) for each in child.net_connections("inet")]


def test_the_routes_are_all_there():
    """The tests below go through this list."""
    told = make_app(Path("/nowhere")).openapi()["paths"]
    assert {(method.upper(), path) for path, methods in told.items() for method in methods} <= {
        (method, path.replace(":path}", "}")) for method, path in ROUTES
    }
    assert len(ROUTES) > 30


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: value)
def test_nobody_gets_in_without_a_token(served, client, method, path):
    answer = client.request(method, filled(path), headers={"authorization": "Bearer " + "x" * 43}, json=None if method == "GET" else {})
    assert answer.status_code == (200 if path == "/healthz" else 401)
    assert client.request(method, filled(path), json=None if method == "GET" else {}).status_code == answer.status_code


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if each[0] not in ("GET", "HEAD")], ids=lambda value: value)
def test_viewers_change_nothing(served, viewer, place, method, path):
    before = inventory(place / "projects")
    answer = viewer.request(method, filled(path), json={})
    if method == "POST" and path in HARMLESS:
        assert answer.status_code not in (401, 403, 500)
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "CL-viewers-only-look")
    assert inventory(place / "projects") == before


@pytest.mark.parametrize(
    "path", [path for method, path in ROUTES if method == "GET" and not path.endswith("/events")], ids=lambda value: value
)
def test_viewers_may_look_and_looking_changes_nothing(served, viewer, place, path):
    before = inventory(place / "projects")
    assert viewer.get(filled(path)).status_code not in (401, 403, 500)
    assert inventory(place / "projects") == before


def inventory(folder):
    return {path: (status.st_size, status.st_mtime_ns) for path in folder.rglob("*") if (status := path.lstat())}


# -- requests that nobody sends ---------------------------------------------------------------------------------

MALFORMED = {
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    "another host": (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", {400}),
    "a host that begins like ours": (b"GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", {400}),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", {400}),
    "an absolute address of elsewhere": (b"GET http://evil.example/api/session HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 401, 404}),
    "a blank in a name": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX Y: 1\r\n\r\n", {400}),
    "a NUL in a value": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", {400}),
    "a folded header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", {200, 400}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {400}),
    "many headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 101 + b"\r\n", {431}),
    "large headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", {431}),
    "huge headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", {0, 400, 431}),  # or hangs up
    "a long address": (b"GET /healthz?" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {414}),
    "an unknown method": (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
    "a preflight": (b"OPTIONS /api/projects HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", {405}),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused_and_the_server_lives_on(served, client, name):
    request, statuses = MALFORMED[name]
    status, answer = raw(served, request)
    assert status in statuses and b"access-control" not in answer.lower()
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (413, {"Content-Type": "application/json", "Content-Length": str(9 << 20)}, b"{}"),
        (413, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}, (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 9 + b"0\r\n\r\n"),
        (400, {"Content-Type": "application/json", "Transfer-Encoding": "chunked", "Content-Length": "2"}, b"0\r\n\r\n"),
        (400, {"Content-Type": "application/json", "Content-Length": "-2"}, b"{}"),
        (415, {"Content-Type": "text/plain", "Content-Length": "2"}, b"{}"),
        (415, {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "2"}, b"{}"),
        (415, {"Content-Length": "2"}, b"{}"),
        (422, {"Content-Type": "application/json", "Content-Length": "2"}, b"{{"),
        (422, {"Content-Type": "application/json", "Content-Length": "2"}, b"\xff\xfe"),
        (400, {"Content-Type": "application/json", "Content-Length": "10000"}, b"[" * 10_000),
        (403, {"Content-Type": "application/json", "Content-Length": "2", "Origin": "http://evil.example"}, b"{}"),
        (403, {"Content-Type": "application/json", "Content-Length": "2", "Origin": "null"}, b"{}"),
        (403, {"Content-Type": "application/json", "Content-Length": "2", "Origin": "http://localhost:1"}, b"{}"),
    ],
)  # fmt: skip
def test_bodies_and_pages_that_must_not_be_are_refused(served, client, tokens, status, headers, body):
    head = {"Host": "localhost:2", "Authorization": f"Bearer {tokens['operator']}", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    found, answer = raw(served, f"POST /api/projects HTTP/1.1\r\n{lines}\r\n".encode() + body)
    assert found == status
    assert status == 400 or json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"].startswith("CL-")
    assert client.get("/healthz").status_code == 200


# -- paths ------------------------------------------------------------------------------------------------------

TRICKS = [
    "%2e%2e", "..%2f..%2fsecret.txt", "..%2foutside", "..%5coutside", "%2fetc%2fpasswd", "linked", "r001%00", "%ff%fe", "r" + "0" * 4000,
    "r001%2f..%2f..%2f..%2f..%2fsecret.txt", "..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick[:40])
def test_no_path_leads_out(served, operator, trick):
    """In the place of the project, of everything else, and of the page's own files, in every route that is read."""
    for path in [path for method, path in ROUTES if method == "GET" and "{" in path and not path.endswith("/events")]:
        for names in (["project"], [name for name in re.findall(r"\{(\w+)", path) if name != "project"]):
            address = filled(path, dict.fromkeys(names, trick))
            answer = operator.get(httpx.URL(served.origin).copy_with(raw_path=address.encode()))
            assert answer.status_code < 500 and answer.status_code not in (401, 403), address
            assert SECRET not in answer.text and "root:" not in answer.text, address
            assert answer.is_client_error or trick not in address or not path.startswith("/api"), address


@pytest.mark.parametrize(
    "path", ["/api/projects/../../secret.txt", "/assets/../../../app.py", "/../../secret.txt", "/icon.svg/../../app.py", "//etc/passwd"]
)
def test_dots_as_they_are_lead_nowhere(served, tokens, path):
    """Clients take them out of an address; who wants to do harm does not."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tokens['operator']}\r\n\r\n"
    status, answer = raw(served, request.encode())
    assert status in (200, 400, 404, 422) and SECRET.encode() not in answer and b"root:" not in answer and b"import " not in answer


def test_a_linked_project_is_none(served, operator, place):
    """Neither listed nor opened nor deleted: its folder is not in the workplace."""
    assert [each["folder"] for each in operator.get("/api/projects").json()] == [NAME]
    for method, rest in (("GET", ""), ("GET", "/graph"), ("GET", "/notes"), ("DELETE", ""), ("PATCH", "")):
        answer = operator.request(method, f"/api/projects/linked{rest}", json=None if method == "GET" else {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CL-unknown-project")
    assert (place / "outside/project.json").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "..", ".", "", ".hidden", "a/b", "a\0b", "x" * 300, "linked/evil", "\ud800"])
def test_no_project_is_made_outside(served, operator, place, name):
    before = inventory(place)
    answer = operator.post("/api/projects", content=json.dumps({"name": name}), headers={"content-type": "application/json"})
    assert answer.status_code in (409, 422)
    assert inventory(place) == before


# -- foreign text -----------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects what would act in a page."""

    def __init__(self):
        super().__init__()
        self.acting = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "iframe", "object", "embed", "base", "form"):
            self.acting.append(tag)
        self.acting += [f"{tag} {name}" for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")[:20]]


def acting(markup):
    tags = Tags()
    tags.feed(markup)
    return tags.acting


@pytest.fixture(scope="module")
def named(place, served):
    """Return the id of a run of picks on micrographs whose names are markup."""
    project = open_project(place / "projects" / NAME)
    rng = np.random.default_rng(1)
    path = written(project, "evil.mrc", rng.normal(size=(256, 256)).astype(np.float32))
    rows = pl.DataFrame({"id": range(1, 9), "x": rng.uniform(40, 200, 8), "y": rng.uniform(40, 200, 8), "score": rng.uniform(0, 1, 8)})
    rows = rows.with_columns(
        micrograph_id=pl.Series([1] * 7 + [2]),
        micrograph_name=pl.Series([EVIL] * 7 + [f"$x{EVIL}$"]),
        micrograph_path=pl.lit(path),
        optics_group=pl.lit(1),
        diameter=pl.lit(40.0),
    )
    optics = [{"optics_group": 1, "pixel_size": 1.5, "optics_group_name": EVIL}]
    picks = Coordinates(rows, project.root, optics=optics, meta={"diameter": 40.0, "picked_micrographs": 2})
    made = project.find("r001").outputs.micrographs
    inputs = {"micrographs": {"run": "r001", "output": "micrographs", "hash": made.hash}}
    run = project.folder.new_run(Work("pick.blob", 1, {"diameter": 40.0}), inputs)
    said = {
        "outputs": {"coordinates": picks.save(run.path, "coordinates")},
        "summary": {EVIL: EVIL},
        "warnings": [EVIL],
        "failed_items": {},
    }
    write_json(run.path / "outputs.json", {**said, "inputs": {}, "fingerprint": None})
    return run.id


def test_foreign_text_is_shown_as_text(served, operator, named):
    """Names in tables, labels, notes and what programs print: JSON as JSON, panels and reports without anything that acts."""
    at = f"/api/projects/{NAME}"
    label = re.sub("/", "", EVIL)
    assert operator.patch(at, json={"name": EVIL, "note": EVIL}).json()["name"] == EVIL
    told = operator.patch(f"{at}/runs/{named}", json={"label": label, "tag": [label], "note": EVIL})
    assert (told.json()["label"], told.json()["tags"], told.json()["notes"][0]["text"]) == (label, [label], EVIL)
    plain = ["", "/notes", "/graph", f"/runs/{named}", "/runs/r001/log", f"/outputs/{named}.coordinates/page", f"/runs/{named}/provenance"]
    for rest in plain:
        answer = operator.get(f"{at}{rest}")
        assert answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
    assert operator.get(f"{at}/runs/r001/log").json()["text"] == f"{EVIL}\n"
    panels = operator.get(f"{at}/runs/{named}/panels").json()
    assert any("&lt;img" in panel["html"] or "&lt;script" in panel["html"] or EVIL in panel["title"] for panel in panels)
    assert not list(itertools.chain(*(acting(panel["html"]) for panel in panels)))
    answer = operator.get(f"{at}/report", params={"run": named})
    assert answer.headers["content-disposition"].startswith("attachment") and answer.headers["content-security-policy"]
    assert "&lt;script" in answer.text and not acting(answer.text)


@pytest.mark.parametrize(
    "rest",
    [
        "/runs/{}",
        "/outputs/{}/page",
        "/runs/{}/panels",
        "/forms/{}/offers/x",
        "/outputs/{}/file/x",
        "/outputs/r001.micrographs/page?where={}",
    ],
)
def test_errors_that_quote_what_was_asked_are_json(served, operator, rest):
    answer = operator.get(f"/api/projects/{NAME}{rest.format(quote(EVIL, safe=''))}")
    assert answer.is_client_error and answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"].startswith("CL-")
