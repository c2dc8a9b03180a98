"""Who may ask what: tokens and sessions, the names the server answers to, limits, and files inside a folder."""

import hashlib
import hmac
import ipaddress
import json
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from cryoloom.engine.site import user_folder
from cryoloom.files import PRIVATE, claim, make_folder, read_json, write_json
from cryoloom.spec.errors import Failure, WrongUse

Role = Literal["viewer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)

TOKENS = "server-tokens.json"
LOCAL = ("localhost", "127.0.0.1", "[::1]")

_AUTHORITY = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?))(?::(?P<port>[0-9]{1,5}))?"
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,}")  # 22 characters of 6 bits: 128 bits and more


@dataclass(frozen=True)
class Limits:
    """What one request may be, and how many sessions are kept.

    Attributes
    ----------
    body, head, address
        Bytes of the body, of all headers, and of the path with its query.
    headers
        Number of headers.
    sessions
        Number of sessions; the oldest end first.
    lifetime
        Seconds that a session lasts.
    """

    body: int = 8 << 20
    head: int = 16 << 10
    address: int = 8 << 10
    headers: int = 100
    sessions: int = 1000
    lifetime: int = 30 * 86_400


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes
    ----------
    role
        What they may do: a viewer changes nothing.
    session
        Tells browsers apart, and is no secret; empty for a script that gave a token.
    """

    role: Role
    session: str = ""


class Access:
    """Tokens, sessions, names and limits of one server.

    Parameters
    ----------
    tokens
        The secret of each role.
    hosts
        Names, besides those of this machine to itself, under which browsers may reach the server; ports do not count.
    limits
        What one request may be.
    sessions
        File that remembers sessions over a restart; None remembers them in memory only.

    Raises
    ------
    WrongUse
        ``bad-host-name``.
    """

    def __init__(
        self, tokens: Mapping[Role, str], hosts: Iterable[str] = (), *, limits: Limits | None = None, sessions: Path | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._tokens = dict(tokens)
        self._hosts = {_own_name(host) for host in (*LOCAL, *hosts)}
        self._file = sessions
        self._sessions = _remembered(sessions)

    def answers_to(self, name: str) -> bool:
        """Return whether a host, as `host_of` names it, is this server."""
        return name in self._hosts

    def role_of(self, token: str) -> Role | None:
        """Return the role of a token, in a time that tells nothing of the tokens."""
        given, found = token.encode(errors="replace"), None
        for role, secret in self._tokens.items():
            if hmac.compare_digest(given, secret.encode()):
                found = role
        return found

    def log_in(self, role: Role) -> str:
        """Begin a session and return its id, which is not kept."""
        identity, now = secrets.token_urlsafe(32), int(time.time())
        standing = {known: since for known, since in self._sessions.items() if self._lasts(since, now)}
        newest = sorted(standing.items(), key=lambda one: one[1])[-(self.limits.sessions - 1) :] if self.limits.sessions > 1 else []
        self._sessions = {**dict(newest), self._digest(role, identity): now}
        if self._file is not None:
            with suppress(Failure):  # a full disk costs a login after the next restart, not this one
                write_json(self._file, self._sessions, mode=PRIVATE)
        return identity

    def caller(self, identity: str) -> Caller | None:
        """Return whose session has this id."""
        for role in self._tokens:
            digest = self._digest(role, identity)
            since = self._sessions.get(digest)
            if since is not None and self._lasts(since, int(time.time())):
                return Caller(role, digest)
        return None

    def address(self, role: Role, authority: str, scheme: str = "http") -> str:
        """Return the address that logs in, for the terminal of who started the server; `authority` is host and port."""
        return f"{scheme}://{authority}/login?token={self._tokens[role]}"

    def without_secrets(self, text: str) -> str:
        """Return a line for a log: no token, no query of a login."""
        text = re.sub(r"(/login)\?[^\s\"]*", r"\1?...", text)
        for secret in self._tokens.values():
            text = text.replace(secret, "...")
        return text

    def _digest(self, role: Role, identity: str) -> str:
        # keyed with the token: a new token ends the sessions of the old one, and who may write the file cannot make a session
        return hmac.new(self._tokens[role].encode(), identity.encode(), hashlib.sha256).hexdigest()

    def _lasts(self, since: int, now: int) -> bool:
        return now - since < self.limits.lifetime


class NoSecrets(logging.Filter):
    """Takes tokens out of what is logged; to be added to the loggers of the server."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; its arguments keep their number, for formatters that unpack them."""
        record.msg = self._clean(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(self._clean(one) for one in record.args)
        return True

    def _clean(self, value: Any) -> Any:
        return self._access.without_secrets(value) if isinstance(value, str) else value


def host_of(authority: str) -> str | None:
    """Return the host of ``host`` or ``host:port`` in its one spelling, an IPv6 address in brackets; None when it is neither."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or int(match["port"] or 0) > 65_535:
        return None
    if match["ipv6"] is None:
        return match["name"].lower()
    try:
        return f"[{ipaddress.IPv6Address(match['ipv6'])}]"
    except ipaddress.AddressValueError:
        return None


def port_of(authority: str) -> str:
    """Return the port of a well-formed ``host:port``, empty where there is none."""
    match = _AUTHORITY.fullmatch(authority)
    return (match and match["port"]) or ""


def _own_name(given: str) -> str:
    name = host_of(f"[{given}]" if given.count(":") > 1 and not given.startswith("[") else given)
    if name is None:
        raise WrongUse(
            "bad-host-name", f"{given!r} is no name of a host.", "Give it as browsers do, such as titan.example.org or [fd00::7]."
        )
    return name


def load_access(port: int, hosts: Iterable[str] = (), *, folder: Path | None = None, limits: Limits | None = None) -> Access:
    """Return the access of the server on a port; tokens are made at the first start and stay the same.

    Parameters
    ----------
    port
        The server's own; servers on other ports have other sessions.
    hosts, limits
        As `Access` takes them.
    folder
        Where tokens and sessions lie; None is the folder of the user's settings.

    Raises
    ------
    WrongUse
        ``token-file-exposed``, ``bad-token-file``, ``bad-host-name``.
    Failure
        ``not-writable`` or ``disk-full``.
    """
    folder = make_folder(folder or user_folder())
    path = folder / TOKENS
    if not path.exists():
        claim(path, {role: secrets.token_urlsafe(32) for role in ROLES}, mode=PRIVATE)
    return Access(_read_tokens(path), hosts, limits=limits, sessions=folder / f"server-sessions-{port}.json")


def _read_tokens(path: Path) -> dict[Role, str]:
    anew = "Delete it: the next start makes new tokens, and old ones end."
    with path.open("rb") as handle:
        status = os.fstat(handle.fileno())
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            found = f"belongs to user {status.st_uid} and has mode {stat.S_IMODE(status.st_mode):o}"
            raise WrongUse("token-file-exposed", f"{path} must be yours alone, with mode 600; it {found}.", anew)
        content = handle.read()
    try:
        record = json.loads(content)
    except ValueError:
        record = None
    tokens: dict[Role, str] = {role: str(record.get(role)) for role in ROLES} if isinstance(record, dict) else {}
    if len(set(tokens.values())) < len(ROLES) or not all(_TOKEN.fullmatch(token) for token in tokens.values()):
        wanted = f"two different tokens, {' and '.join(ROLES)}, of 22 letters, digits, - and _ or more"
        raise WrongUse("bad-token-file", f"{path} does not hold {wanted}.", anew)
    return tokens


def _remembered(path: Path | None) -> dict[str, int]:
    try:
        record = read_json(path) if path is not None else None
    except (OSError, ValueError):
        return {}  # unreadable: everybody logs in again
    return {str(known): since for known, since in record.items() if isinstance(since, int)} if isinstance(record, dict) else {}


def confined(root: Path, relative: str) -> Path:
    """Return a path inside a folder, links followed; what is there is a file or a folder, or nothing yet.

    Parameters
    ----------
    root
        The folder that must not be left.
    relative
        As somebody at a browser gave it, seen from `root`.

    Raises
    ------
    WrongUse
        ``path-outside`` when it leads, or a link takes it, out of `root`; ``not-a-file`` for devices, pipes and sockets.
    """
    asked = PurePosixPath(relative)
    cure = "Name a file below that folder."
    outside = WrongUse("path-outside", f"{relative!r} is no path inside {root}.", cure)
    if "\0" in relative or asked.is_absolute() or ".." in asked.parts:
        raise outside
    try:
        path = root.joinpath(asked).resolve()
        if not path.is_relative_to(root.resolve()):
            raise outside
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    except (OSError, ValueError, RuntimeError) as error:  # too long, no text of this file system, links in a circle
        raise outside from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise WrongUse("not-a-file", f"{relative!r} in {root} is a device, a pipe or a socket.", cure)
    return path
