"""Whom the server answers: a small application behind the guard, asked as browsers, scripts and foreign pages ask."""

import asyncio
import json
import re
from html import unescape

import httpx
import pytest
from fastapi import Body, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from cryoloom.server.access import Access, Limits
from cryoloom.server.guard import POLICY, Guard

VIEWER, OPERATOR = "v" * 30, "o" * 30
HOME = "http://localhost:8000"
COOKIE = "cryoloom-8000"
BROWSER = {"accept": "text/html,application/xhtml+xml"}
LIMITS = Limits(body=1000, head=2000, address=500, headers=20)
SAME = {"origin": HOME}

app = FastAPI()


@app.get("/healthz")
def healthz():
    return {"ready": True}


@app.get("/")
def start(request: Request):
    return {"role": request.state.caller.role, "session": request.state.caller.session}


@app.get("/lax")
def lax():
    loose = {"Access-Control-Allow-Origin": "*", "X-Frame-Options": "ALLOWALL", "Content-Security-Policy": "sandbox"}
    return PlainTextResponse("lax", headers=loose)


@app.get("/broken")
def broken():
    raise RuntimeError("broken on purpose")


@app.post("/api/runs")
@app.put("/api/runs")
@app.delete("/api/runs")
@app.post("/api/runs/{run}/check")
def change(body: dict = Body(default={})):
    return body


@app.post("/raw")
async def raw(request: Request):
    return JSONResponse(len(await request.body()))


@pytest.fixture
def access():
    return Access({"viewer": VIEWER, "operator": OPERATOR}, ["titan.example.org"], limits=LIMITS)


@pytest.fixture
def guard(access):
    return Guard(app, access, harmless=["/api/runs/{run}/check"])


def ask(guard, method, address, **more):
    """Return the answer to one request; redirects are not followed."""

    async def carried_out():
        transport = httpx.ASGITransport(guard, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HOME) as client:
            return await client.request(method, address, **more)

    return asyncio.run(carried_out())


def bearer(token=OPERATOR):
    return {"authorization": f"Bearer {token}"}


def cookie(access, role="operator", name=COOKIE):
    return {"cookie": f"{name}={access.log_in(role)}"}


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == f"CL-{code}" and error["message"].endswith(".") and set(error) == {"code", "message", "cure"}
    assert answer.headers["cache-control"] == "no-store"
    return True


def test_the_health_is_open_and_nothing_else(guard):
    assert ask(guard, "GET", "/healthz").json() == {"ready": True}
    for path in ("/", "/api/runs", "/healthz/", "/healthz/x", "/openapi.json", "/docs", "/no/such"):
        assert refused(ask(guard, "GET", path), 401, "not-logged-in")
    assert refused(ask(guard, "POST", "/healthz", headers=SAME), 401, "not-logged-in")
    assert ask(guard, "GET", "/").headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        bearer("wrong"),
        bearer(OPERATOR[:-1]),
        bearer(""),
        {"authorization": f"Basic {OPERATOR}"},
        {"authorization": OPERATOR},
        {"cookie": f"{COOKIE}={OPERATOR}"},
        {"cookie": COOKIE},
    ],
)
def test_a_wrong_token_is_none(guard, headers):
    assert refused(ask(guard, "GET", "/", headers=headers), 401, "not-logged-in")


def test_a_wrong_bearer_is_not_mended_by_a_cookie(guard, access):
    assert refused(ask(guard, "GET", "/", headers={**cookie(access), **bearer("wrong")}), 401, "not-logged-in")


def test_scripts_send_their_token(guard):
    assert ask(guard, "GET", "/", headers=bearer()).json() == {"role": "operator", "session": ""}
    assert ask(guard, "GET", "/", headers={"authorization": f"bearer {VIEWER}"}).json()["role"] == "viewer"


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(guard):
    answer = ask(guard, "GET", f"/login?token={VIEWER}", headers=BROWSER)
    assert answer.status_code == 303 and answer.headers["location"] == "/" and answer.headers["cache-control"] == "no-store"
    name, value, flags = re.fullmatch(r"([^=]+)=([\w-]{40,}); (.*)", answer.headers["set-cookie"]).groups()
    assert name == COOKIE and VIEWER not in value
    assert {"Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={LIMITS.lifetime}"} == set(flags.split("; "))
    seen = ask(guard, "GET", "/", headers={"cookie": f"other=1; {name}={value}"}).json()
    assert seen["role"] == "viewer" and seen["session"] and value not in seen["session"]


def test_behind_tls_the_cookie_is_secure(guard):
    address = f"https://titan.example.org/login?token={VIEWER}"
    assert re.fullmatch("cryoloom-web=.*; Secure", ask(guard, "GET", address).headers["set-cookie"])


def test_two_tunnels_to_one_port_have_two_cookies(guard, access):
    answer = ask(guard, "GET", f"http://localhost:9001/login?token={VIEWER}")
    assert answer.headers["set-cookie"].startswith("cryoloom-9001=")
    stranger = {"cookie": f"{COOKIE}=of-another-path; {cookie(access)['cookie']}"}
    assert ask(guard, "GET", "/", headers=stranger).status_code == 200
    assert ask(guard, "GET", "http://localhost:9001/", headers=cookie(access)).status_code == 401


@pytest.mark.parametrize("query", ["token=wrong", "token=", f"token={VIEWER}&token={OPERATOR}", f"TOKEN={VIEWER}", "&".join("abcdefghi=")])
def test_a_wrong_login_is_none(guard, query):
    answer = ask(guard, "GET", f"/login?{query}")
    assert refused(answer, 401, "not-logged-in") and "set-cookie" not in answer.headers
    for method in ("HEAD", "POST"):
        assert "set-cookie" not in ask(guard, method, f"/login?token={OPERATOR}", headers=SAME).headers


def test_a_browser_without_a_token_is_told_how_to_log_in(guard):
    answer = ask(guard, "GET", "/p/1", headers={**BROWSER, "sec-fetch-site": "none"})
    assert answer.status_code == 401 and answer.headers["content-type"].startswith("text/html")
    assert (
        "cryoloom serve" in answer.text and "/login?token=" in answer.text and "refresh" not in answer.text and "<script" not in answer.text
    )


@pytest.mark.parametrize("site", [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}])
def test_a_link_from_another_site_goes_on_by_a_step_of_our_own(guard, access, site):
    """The cookie is held back on the first step only; the page must run under the policy and end for those who have none."""
    stray = ask(guard, "GET", '/p/1?a="b"&c=%3C', headers={**BROWSER, **site})
    assert stray.status_code == 401 and "<script" not in stray.text
    there = unescape(re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', stray.text)[1])
    assert there.startswith("/login?next=")
    lost = ask(guard, "GET", there, headers={**BROWSER, **site})
    assert lost.status_code == 401 and "cryoloom serve" in lost.text and "refresh" not in lost.text
    home = ask(guard, "GET", there, headers={**BROWSER, **cookie(access)})
    assert home.status_code == 303 and home.headers["location"] == "/p/1?a=%22b%22&c=%3C"


@pytest.mark.parametrize(
    "there", ["https://evil.example/", "//evil.example/", "/\\evil.example", "/%09/evil.example", "/%0d%0aSet-Cookie:x=1", "evil"]
)
def test_the_login_leads_nowhere_else(guard, access, there):
    answer = ask(guard, "GET", f"/login?next={there}", headers=cookie(access))
    assert answer.status_code == 303 and answer.headers["location"] == "/"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "[0:0:0:0:0:0:0:1]", "titan.example.org:443"])
def test_names_of_the_server(guard, host):
    assert ask(guard, "GET", "/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8000", "titan.example.org.evil.example", "0.0.0.0:8000", "127.0.0.2"]
    + [
        "[::2]:8000",
        "[::ffff:127.0.0.1]",
        "::1:8000",
        "[::1",
        "localhost:x",
        "localhost:8000@evil.example",
        "localhost, evil.example",
        "localhost.",
        "",
    ],
)
def test_other_names_are_refused_whatever_is_asked(guard, host):
    for path in ("/healthz", "/", f"/login?token={OPERATOR}"):
        assert refused(ask(guard, "GET", path, headers={"host": host, **bearer()}), 400, "unknown-host")


def test_changes_by_the_servers_own_pages(guard, access):
    mine = cookie(access)
    assert ask(guard, "POST", "/api/runs", headers={**mine, **SAME}, json={"a": 1}).json() == {"a": 1}
    assert ask(guard, "PUT", "/api/runs", headers={**mine, "sec-fetch-site": "same-origin"}, json={"a": 1}).status_code == 200
    assert ask(guard, "DELETE", "/api/runs", headers={**mine, **SAME}).status_code == 200
    assert ask(guard, "POST", "/api/runs", headers=bearer(), json={}).status_code == 200
    tunnel = {"host": "127.0.0.1:9001", "origin": "http://127.0.0.1:9001", **cookie(access, name="cryoloom-9001")}
    assert ask(guard, "POST", "/api/runs", headers=tunnel, json={}).status_code == 200
    behind = {"host": "Titan.example.org", "origin": "https://titan.example.org", **cookie(access, name="cryoloom-web")}
    assert ask(guard, "POST", "/api/runs", headers=behind, json={}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "localhost:8000", "http://localhost:8001", "http://localhost", "http://127.0.0.1:8000", "file://"]
    + ["http://localhost:8000.evil.example", "http://localhost:8000/", "ftp://localhost:8000"],
)
def test_foreign_pages_change_nothing(guard, access, origin):
    for who in (cookie(access), bearer()):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = ask(guard, method, "/api/runs", headers={**who, "origin": origin, "sec-fetch-site": "same-origin"}, json={})
            assert refused(answer, 403, "foreign-origin")


def test_a_plain_page_changes_nothing_behind_tls(guard, access):
    headers = {**cookie(access, name="cryoloom-web"), "origin": "http://titan.example.org"}
    assert refused(ask(guard, "POST", "https://titan.example.org/api/runs", headers=headers, json={}), 403, "foreign-origin")


@pytest.mark.parametrize("site", [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}])
def test_changes_of_unknown_origin_are_refused(guard, access, site):
    assert refused(ask(guard, "POST", "/api/runs", headers={**cookie(access), **site}, json={}), 403, "no-origin")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "", None]
)
def test_bodies_are_json(guard, access, kind):
    headers = {**cookie(access), **SAME, **({} if kind is None else {"content-type": kind})}
    assert refused(ask(guard, "POST", "/raw", headers=headers, content=b"{}"), 415, "not-json")


def test_json_may_say_its_charset_and_no_body_needs_no_type(guard):
    assert ask(guard, "POST", "/raw", headers={**bearer(), "content-type": "Application/JSON; charset=utf-8"}, content=b"{}").json() == 2
    assert ask(guard, "POST", "/raw", headers=bearer()).json() == 0


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"])
def test_other_methods_are_not_done(guard, method):
    async def asked():
        return await replies(guard, scope_of(method, "/", [(b"host", b"localhost"), (b"authorization", f"Bearer {OPERATOR}".encode())]))

    start, body = asyncio.run(asked())
    assert start["status"] == 405 and dict(start["headers"])[b"allow"] and json.loads(body["body"])["error"]["code"] == "CL-unknown-method"


def test_a_preflight_of_a_foreign_page_gets_no_leave(guard):
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = ask(guard, "OPTIONS", "/api/runs", headers=headers)
    assert answer.status_code == 405 and not any(name.startswith("access-control") for name in answer.headers)


JSON = {**bearer(), "content-type": "application/json"}


@pytest.mark.parametrize("path", ["/raw", "/api/runs"])
def test_a_large_body_is_refused_by_its_length(guard, path):
    assert ask(guard, "POST", "/raw", headers=JSON, content=b" " * 1000).json() == 1000
    assert refused(ask(guard, "POST", path, headers=JSON, content=b" " * 1001), 413, "body-too-large")


@pytest.mark.parametrize("path", ["/raw", "/api/runs"])
def test_a_large_body_is_refused_while_it_comes(guard, path):
    """FastAPI makes a 400 of whatever goes wrong while it reads; the refusal must be the answer all the same."""
    taken = []

    async def parts(count):
        for number in range(count):
            taken.append(number)
            yield b" " * 500

    assert ask(guard, "POST", "/raw", headers=JSON, content=parts(2)).json() == 1000
    assert refused(ask(guard, "POST", path, headers=JSON, content=parts(50)), 413, "body-too-large")
    assert len(taken) < 10


def test_a_body_that_was_not_announced_is_refused(guard):
    async def asked():
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {OPERATOR}".encode())]
        return await replies(guard, scope_of("POST", "/raw", headers), b"x")

    assert asyncio.run(asked())[0]["status"] == 413


def scope_of(method, path, headers, query=b""):
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": headers,
        "scheme": "http",
        "http_version": "1.1",
    }


async def replies(guard, scope, body=b"", after=None):
    """Return what is sent to a client that no browser is; it goes away once it has the bytes `after`, None: at once."""
    waiting, sent, enough = [{"type": "http.request", "body": body, "more_body": False}], [], asyncio.Event()

    async def receive():
        if not waiting and after is not None:
            await enough.wait()
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if message.get("body") == after:
            enough.set()

    await asyncio.wait_for(guard(scope, receive, send), 20)
    return sent


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (400, []),
        (400, [(b"host", b"localhost"), (b"host", b"localhost")]),
        (400, [(b"Host", b"localhost"), (b"host", b"evil.example")]),
        (400, [(b"host", b"local\xe9host")]),
        (400, [(b"host", b"localhost\x00")]),
        (400, [(b"host", b"localhost"), (b"x y", b"1")]),
        (400, [(b"host", b"localhost"), (b"", b"1")]),
        (400, [(b"host", b"localhost"), (b"n\xe4me", b"1")]),
        (400, [(b"host", b"localhost"), (b"cookie", b"a\r\nb")]),
        (400, [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"origin", b"http://evil.example")]),
        (400, [(b"host", b"localhost"), (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]),
        (401, [(b"host", b"localhost"), (b"authorization", b"Bearer \xff\xfe")]),
        (401, [(b"host", b"localhost"), (b"cookie", b";;=;cryoloom-web; cryoloom-web=\xff")]),
        (431, [(b"host", b"localhost"), (b"cookie", b"a" * 2001)]),
        (431, [(b"host", b"localhost"), *[(b"x", b"1")] * 20]),
    ],
)
def test_malformed_headers_are_refused(guard, status, headers):
    start, body = asyncio.run(replies(guard, scope_of("GET", "/", headers)))
    assert start["status"] == status and json.loads(body["body"])["error"]["code"].startswith("CL-")


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"+1", b"", b"1, 1", b"9" * 30])
def test_malformed_lengths_are_refused(guard, length):
    named = [(b"host", b"localhost"), (b"authorization", f"Bearer {OPERATOR}".encode()), (b"content-type", b"application/json")]
    assert asyncio.run(replies(guard, scope_of("POST", "/raw", [*named, (b"content-length", length)])))[0]["status"] == 400
    both = [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]
    assert asyncio.run(replies(guard, scope_of("POST", "/raw", [*named, *both])))[0]["status"] == 400


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [("http://evil.example/", b"", 400), ("/a\x00b", b"", 400), ("/a\nb", b"", 400), ("/" * 400, b"a" * 200, 414)],
)
def test_malformed_addresses_are_refused(guard, path, query, status):
    assert asyncio.run(replies(guard, scope_of("GET", path, [(b"host", b"localhost")], query)))[0]["status"] == status


def test_viewers_change_nothing(guard, access):
    for who in (cookie(access, "viewer"), bearer(VIEWER)):
        assert ask(guard, "GET", "/", headers=who).json()["role"] == "viewer"
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert refused(ask(guard, method, "/api/runs", headers={**who, **SAME}, json={}), 403, "viewers-only-look")
        assert ask(guard, "POST", "/api/runs/r1/check", headers={**who, **SAME}, json={"a": 1}).json() == {"a": 1}
        for method, path in [
            ("PUT", "/api/runs/r1/check"),
            ("POST", "/api/runs/a/b/check"),
            ("POST", "/api/runs//check"),
            ("POST", "/api/runs/r1/check/x"),
        ]:
            assert refused(ask(guard, method, path, headers={**who, **SAME}, json={}), 403, "viewers-only-look")
        foreign = {**who, "origin": "http://evil.example"}
        assert refused(ask(guard, "POST", "/api/runs/r1/check", headers=foreign, json={}), 403, "foreign-origin")


ANSWERS = {
    "open": (200, ("GET", "/healthz"), {}),
    "answer": (200, ("GET", "/"), {"headers": bearer()}),
    "head": (405, ("HEAD", "/"), {"headers": bearer()}),
    "absent": (404, ("GET", "/no/such"), {"headers": bearer()}),
    "invalid": (422, ("POST", "/api/runs"), {"headers": bearer(), "json": 7}),
    "broken": (500, ("GET", "/broken"), {"headers": bearer()}),
    "lax": (200, ("GET", "/lax"), {"headers": bearer()}),
    "login": (303, ("GET", f"/login?token={VIEWER}"), {}),
    "page": (401, ("GET", "/"), {"headers": BROWSER}),
    "unknown": (401, ("GET", "/"), {}),
    "host": (400, ("GET", "/"), {"headers": {"host": "evil.example"}}),
    "origin": (403, ("POST", "/api/runs"), {"headers": {**bearer(), "origin": "null"}}),
    "type": (415, ("POST", "/raw"), {"headers": bearer(), "content": b"x"}),
    "body": (413, ("POST", "/raw"), {"headers": JSON, "content": b" " * 1001}),
    "method": (405, ("OPTIONS", "/"), {}),
}


@pytest.mark.parametrize(("status", "request_line", "more"), ANSWERS.values(), ids=ANSWERS)
def test_every_answer_is_dressed(guard, status, request_line, more):
    answer = ask(guard, *request_line, **more)
    assert answer.status_code == status
    policies = answer.headers.get_list("content-security-policy")
    assert policies[-1] == POLICY and len(policies) == (2 if request_line[1] == "/lax" else 1)
    wanted = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    assert {name: answer.headers.get_list(name) for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_policy_is_the_designed_one():
    parts = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert parts == {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "connect-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("late", [False, True])
def test_an_application_that_fails_is_answered_for_once(access, late):
    async def fails(scope, receive, send):
        if late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("broken on purpose")

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.disconnect"}

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {VIEWER}".encode())]
    with pytest.raises(RuntimeError, match="on purpose"):
        asyncio.run(Guard(fails, access)(scope_of("GET", "/", headers), receive, send))
    assert [message.get("status") for message in sent if message["type"] == "http.response.start"] == [200 if late else 500]
    if not late:
        assert b"CL-unexpected" in sent[1]["body"] and b"on purpose" not in sent[1]["body"]


TO_EVENTS = scope_of("GET", "/events", [(b"host", b"localhost"), (b"authorization", f"Bearer {VIEWER}".encode())])


def streaming(lines):
    """Return an application of one stream."""
    stream = FastAPI()
    stream.get("/events")(lambda: StreamingResponse(lines(), media_type="text/event-stream"))
    return stream


def test_events_pass_as_they_come(access):
    """The second event is made only after the first has been seen outside."""
    seen = asyncio.Event()

    async def lines():
        yield b"data: 1\n\n"
        await seen.wait()
        yield b"data: 2\n\n"

    async def watched(scope, receive, send):
        async def noted(message):
            await send(message)
            if message.get("body") == b"data: 1\n\n":
                seen.set()

        await Guard(streaming(lines), access)(scope, receive, noted)

    sent = asyncio.run(replies(watched, TO_EVENTS, after=b""))
    assert [message["body"] for message in sent if message.get("body")] == [b"data: 1\n\n", b"data: 2\n\n"]


def test_a_client_that_goes_ends_its_stream(access):
    ended = asyncio.Event()

    async def lines():
        try:
            while True:
                yield b": still here\n\n"
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    asyncio.run(replies(Guard(streaming(lines), access), TO_EVENTS, after=b": still here\n\n"))
    assert ended.is_set()


def test_what_a_leaving_server_cancels_ends_without_a_traceback(access):
    begun = asyncio.Event()

    async def waits(scope, receive, send):
        begun.set()
        await asyncio.Event().wait()

    async def leave():
        asked = asyncio.ensure_future(Guard(waits, access)(TO_EVENTS, None, None))
        await begun.wait()
        asked.cancel()
        await asked
        assert not asked.cancelled()

    asyncio.run(leave())


def test_web_sockets_are_closed_and_the_start_of_the_server_passes(access):
    reached, sent = [], []

    async def inner(scope, receive, send):
        reached.append(scope["type"])

    async def send(message):
        sent.append(message)

    async def nothing():
        return {}

    outer = Guard(inner, access)
    asyncio.run(outer({"type": "websocket", "headers": [(b"host", b"localhost")], "path": "/", "query_string": b""}, nothing, send))
    asyncio.run(outer({"type": "lifespan"}, nothing, send))
    assert reached == ["lifespan"] and sent == [{"type": "websocket.close", "code": 1008}]
