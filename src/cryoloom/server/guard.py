"""The wall before every route: whom the server answers, what they may send, and what every answer carries."""

import html
import json
import re
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

from cryoloom.server.access import Access, Caller, Limits, host_of, port_of
from cryoloom.spec.errors import CryoloomError, WrongUse

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOGIN = "/login"
OPEN = "/healthz"

# Styles: React Flow and uPlot set them inline.
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_READING = ("GET", "HEAD")
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_ONCE = ("host", "origin", "authorization", "content-type", "content-length", "transfer-encoding", "sec-fetch-site")
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")

_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>cryoloom</title>{head}</head>'
    '<body style="font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 4em auto"><h1>{title}</h1>{text}</body></html>'
)
_LOG_IN = _PAGE.format(
    head="",
    title="Please log in",
    text="<p>When it starts, <code>cryoloom serve</code> prints an address that ends in <code>/login?token=…</code>. Open that address in this "
    "browser, once; afterwards this page opens by itself.</p>",
)


class Refused(WrongUse):
    """A request that gets no further.

    Parameters
    ----------
    status
        HTTP status of the answer.
    code, message, cure
        As for every error.
    headers
        What the status asks for besides.
    """

    def __init__(self, status: int, code: str, message: str, cure: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message, cure)
        self.status, self.headers = status, dict(headers or {})


def error_record(error: CryoloomError) -> dict[str, Any]:
    """Return an error as answers carry it."""
    return {"error": {"code": f"CL-{error.code}", "message": error.message, "cure": error.cure}}


class Guard:
    """ASGI middleware around the whole server; the outermost one. Routes find the `Caller` at ``request.state.caller``.

    Parameters
    ----------
    app
        What is guarded.
    access
        Tokens, sessions, names and limits.
    harmless
        Paths of POST that change nothing, so viewers may use them; ``{name}`` stands for one part of a path.
    """

    def __init__(self, app: App, access: Access, harmless: Iterable[str] = ()) -> None:
        self._app, self._access = app, access
        self._harmless = [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))) for path in harmless]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # live updates are SSE: nothing here speaks WebSocket
            return await send({"type": "websocket.close", "code": 1008})
        exchange = _Exchange(receive, send)
        try:
            asked = _read(scope, self._access.limits)
            self._check_host(asked)
            _check_method(asked)
            _check_origin(asked)
            if asked.path == LOGIN and asked.method == "GET":
                return await self._log_in(asked, exchange)
            caller = None if asked.path == OPEN and asked.method in _READING else self._admitted(asked)
            exchange.limit = _allowed_body(asked, self._access.limits)
        except Refused as refusal:
            return await exchange.refuse(refusal)
        return await exchange.carry_out(self._app, {**scope, "state": {**scope.get("state", {}), "caller": caller}})

    def _check_host(self, asked: "_Asked") -> None:
        host = host_of(asked.authority)
        if host is None or not self._access.answers_to(host):
            cure = "Open it as localhost, or start the server with this name among its host names."
            raise Refused(400, "unknown-host", f"This server does not answer to the host {asked.authority!r}.", cure)

    def _admitted(self, asked: "_Asked") -> Caller:
        """Return who asks, and refuse who may not ask this."""
        caller = self._caller(asked)
        if caller is None:
            raise _unknown(asked)
        harmless = asked.method == "POST" and any(path.fullmatch(asked.path) for path in self._harmless)
        if asked.method in _CHANGING and caller.role == "viewer" and not harmless:
            cure = "Log in with the operator's token to change anything."
            raise Refused(403, "viewers-only-look", f"{asked.method} {asked.path} is not for viewers.", cure)
        return caller

    def _caller(self, asked: "_Asked") -> Caller | None:
        if (authorization := asked.headers.get("authorization")) is not None:  # decides alone: a wrong token is no visitor with a cookie
            scheme, _, token = authorization.partition(" ")
            role = self._access.role_of(token.strip()) if scheme.lower() == "bearer" else None
            return Caller(role) if role else None
        found = (self._access.caller(value) for value in asked.cookies)
        return next((caller for caller in found if caller is not None), None)

    async def _log_in(self, asked: "_Asked", exchange: "_Exchange") -> None:
        """Exchange a token for a cookie; without a token, go on to where a browser wanted, now that it shows its cookie."""
        query = _query(asked)
        if "token" not in query:
            if self._caller(asked) is None:
                raise _unknown(asked, lost=True)
            there = query.get("next", "/")
            return await exchange.answer(303, headers={"location": there if _OWN_PATH.fullmatch(there) else "/"})
        role = self._access.role_of(query["token"])
        if role is None:
            raise _unknown(asked, lost=True)
        flags = f"Path=/; Max-Age={self._access.limits.lifetime}; HttpOnly; SameSite=Strict{'; Secure' if asked.secure else ''}"
        cookie = f"{asked.cookie_name}={self._access.log_in(role)}; {flags}"
        return await exchange.answer(303, headers={"location": "/", "set-cookie": cookie})


@dataclass(frozen=True)
class _Asked:
    """A request as far as it concerns the guard."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    secure: bool

    @property
    def authority(self) -> str:
        return self.headers.get("host", "")

    @property
    def cookie_name(self) -> str:
        # Cookies ignore ports. The port is the browser's, which a tunnel may have changed: two servers behind two tunnels are apart.
        return f"cryoloom-{port_of(self.authority) or 'web'}"

    @property
    def cookies(self) -> list[str]:
        """All values of our cookie; other servers of this host may have set their own of that name."""
        pairs = [pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";")]
        return [value for name, _, value in pairs if name == self.cookie_name]

    @property
    def by_browser(self) -> bool:
        """Whether somebody looks at the answer as a page."""
        return self.method == "GET" and "text/html" in self.headers.get("accept", "")


def _read(scope: Scope, limits: Limits) -> _Asked:
    """Return the request; refuse what no browser and no client sends."""
    raw, query = scope["headers"], scope["query_string"]
    if len(scope["path"]) + len(query) > limits.address:
        raise Refused(414, "address-too-long", f"The address has more than {limits.address} bytes.", "Send less in the address.")
    if len(raw) > limits.headers or sum(len(name) + len(value) for name, value in raw) > limits.head:
        most = f"{limits.headers} headers or {limits.head} bytes of them"
        raise Refused(431, "headers-too-large", f"The request has more than {most}.", "Delete the cookies of this host.")
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or (key in headers and key in _ONCE):
            raise Refused(400, "bad-header", f"The header {key!r} is malformed, or there twice.")
        text = value.decode("latin-1").strip()
        headers[key] = f"{headers[key]}; {text}" if key in headers else text  # of those read, only cookies come in several
    path = scope["path"]
    if not path.startswith("/") or not path.isprintable():
        raise Refused(400, "bad-address", f"{path!r} is no path of this server.")
    return _Asked(scope["method"], path, query.decode("latin-1"), headers, secure=scope.get("scheme") == "https")


def _check_method(asked: _Asked) -> None:
    if asked.method not in (*_READING, *_CHANGING):
        allowed = ", ".join((*_READING, *_CHANGING))
        raise Refused(405, "unknown-method", f"{asked.method} is not done here.", f"The methods are {allowed}.", {"allow": allowed})


def _check_origin(asked: _Asked) -> None:
    """Refuse changes that a page of somebody else asks for with the user's browser."""
    if asked.method not in _CHANGING:
        return
    cure = "Use the server's own pages, or send `Authorization: Bearer TOKEN`."
    origin = asked.headers.get("origin")
    if origin is None:
        if asked.headers.get("sec-fetch-site") != "same-origin" and "authorization" not in asked.headers:
            raise Refused(403, "no-origin", "The request does not say which page it comes from.", cure)
        return
    scheme, _, authority = origin.partition("://")
    # Behind a proxy that speaks TLS only the browser knows the scheme; the host and port that it sees must be the same.
    if scheme not in (("https",) if asked.secure else ("http", "https")) or authority.lower() != asked.authority.lower():
        raise Refused(403, "foreign-origin", f"Pages of {origin!r} may change nothing here.", cure)


def _allowed_body(asked: _Asked, limits: Limits) -> int:
    """Return how many bytes may come; only JSON may, which foreign pages cannot send unasked."""
    length, chunked = asked.headers.get("content-length"), "transfer-encoding" in asked.headers
    if length is not None and (chunked or not re.fullmatch(r"[0-9]{1,18}", length)):
        raise Refused(400, "bad-header", f"The header 'content-length: {length}' is malformed, or contradicts 'transfer-encoding'.")
    if int(length or 0) > limits.body:
        raise _too_large(limits.body)
    kind, has_body = asked.headers.get("content-type"), chunked or int(length or 0) > 0
    if asked.method in _CHANGING and (has_body or kind is not None):
        media = (kind or "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise Refused(415, "not-json", f"The body is {kind or 'of no stated type'}.", "Send JSON, as `Content-Type: application/json`.")
    return limits.body if has_body else 0


def _query(asked: _Asked) -> dict[str, str]:
    """Return the fields of a login, each once."""
    try:
        fields = parse_qs(asked.query, max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _too_large(most: int) -> Refused:
    return Refused(413, "body-too-large", f"The body has more than {most} bytes.", "Send less at once.")


def _unknown(asked: _Asked, *, lost: bool = False) -> Refused:
    """Return the refusal of somebody who is not logged in; `lost` when trying again is of no use."""
    cure = "Log in with the address that `cryoloom serve` printed, or send `Authorization: Bearer TOKEN`."
    refusal = Refused(401, "not-logged-in", "No valid token or session came with the request.", cure, {"www-authenticate": "Bearer"})
    if asked.by_browser:
        # After a link in a mail or a chat, SameSite=Strict holds back the cookie for that one step. A page of ours that goes on
        # at once makes the next step our own; it ends at the login, so whoever has no cookie sees how to get one.
        strayed = not lost and asked.headers.get("sec-fetch-site") not in ("same-origin", "none")
        return _Page(refusal, _moving_on(asked) if strayed else _LOG_IN)
    return refusal


def _moving_on(asked: _Asked) -> str:
    wanted = quote(asked.path, safe="/") + (f"?{asked.query}" if asked.query else "")
    there = html.escape(f"{LOGIN}?next={quote(wanted, safe='/')}")
    return _PAGE.format(
        head=f'<meta http-equiv="refresh" content="0; url={there}">', title="One moment", text=f'<p><a href="{there}">Go on</a></p>'
    )


class _Page(Refused):
    """A refusal that is looked at."""

    def __init__(self, refusal: Refused, page: str) -> None:
        super().__init__(refusal.status, refusal.code, refusal.message, refusal.cure, refusal.headers)
        self.page = page


class _Exchange:
    """One request and its answer: counts what comes in, puts the headers on what goes out, and holds nothing back."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.limit = 0
        self._receive, self._send = receive, send
        self._came = 0
        self._started = False

    async def carry_out(self, app: App, scope: Scope) -> None:
        """Have the request answered; after too large a body the refusal is the answer, whatever the application made of it."""
        try:
            await app(scope, self._read, self._write)
        except CancelledError:  # the server leaves, and whoever asked hears no more
            return
        except Exception:
            if not self._over:
                if not self._started:
                    await self.refuse(Refused(500, "unexpected", "The server met an error of its own.", "Its log has the traceback."))
                raise
        if self._over and not self._started:
            await self.refuse(_too_large(self.limit))

    async def refuse(self, refusal: Refused) -> None:
        """Answer with what is wrong."""
        if isinstance(refusal, _Page):
            await self.answer(refusal.status, refusal.page.encode(), "text/html; charset=utf-8", refusal.headers)
        else:
            await self.answer(refusal.status, json.dumps(error_record(refusal)).encode(), "application/json", refusal.headers)

    async def answer(self, status: int, body: bytes = b"", kind: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer of the guard's own."""
        own = {**({"content-type": kind} if kind else {}), "content-length": str(len(body)), "cache-control": "no-store", **(headers or {})}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()]
        await self._dressed({"type": "http.response.start", "status": status, "headers": encoded})
        await self._send({"type": "http.response.body", "body": body})

    @property
    def _over(self) -> bool:
        return self._came > self.limit

    async def _read(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._came += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._over else message

    async def _write(self, message: Message) -> None:
        if self._over and not self._started:
            return
        if message["type"] == "http.response.start":
            await self._dressed(message)
        else:
            await self._send(message)

    async def _dressed(self, message: Message) -> None:
        """Begin an answer. Ours are the headers of security; a policy of the application's own stands beside and can only narrow it."""
        self._started = True
        ours = [name for name, _ in _ALWAYS]
        names = [(name.lower(), value) for name, value in message.get("headers", [])]
        kept = [(name, value) for name, value in names if name not in ours and not name.startswith(b"access-control-")]
        await self._send({**message, "headers": [*kept, *_ALWAYS, (b"content-security-policy", POLICY.encode())]})
