"""`cryoloom serve`: the guarded server on one address, until it is interrupted."""

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import uvicorn

from cryoloom.app import catalogue
from cryoloom.server.access import NoSecrets, load_access
from cryoloom.server.app import make_app
from cryoloom.server.guard import Guard
from cryoloom.spec import WrongUse

HARMLESS = ("/api/projects/{project}/outputs/{output}/selection/check",)
"""What is posted but changes nothing, so that viewers may. Not the check of a form: it looks at files that the form names."""
LEAVE = 3
"""Seconds that open connections get to end when the server stops."""


def serve(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    names: Iterable[str] = (),
    roots: Iterable[Path] = (),
    announce: Callable[[str, str], None],
) -> None:
    """Serve the projects in a folder until interrupted.

    Parameters
    ----------
    root
        Folder of projects, or one project.
    host, port
        Where to listen; port 0 is any free one.
    names
        Other names under which browsers reach this server.
    roots
        Folders in which files to import may be looked for, beside the user's own and that of the projects.
    announce
        Called with the addresses that log an operator and a viewer in, once connections are taken.

    Raises
    ------
    WrongUse
        ``no-folder``; ``port-taken``.
    """
    if not root.is_dir():
        raise WrongUse("no-folder", f"{root} is no folder.", "Name a folder of projects, or a project.")
    roots = list(roots)
    if missing := next((each for each in roots if not each.expanduser().is_dir()), None):
        raise WrongUse("no-folder", f"{missing} is no folder.", "Name a folder with data after --root.")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise WrongUse("port-taken", f"Cannot listen on {host}, port {port}: {error.strerror}.", "Choose another --port.") from error
    port = listener.getsockname()[1]
    access = load_access(port, [*names, *([host] if host not in ("0.0.0.0", "::") else [])])
    app = Guard(make_app(root, roots), access, HARMLESS)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=LEAVE, server_header=False))
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(NoSecrets(access))
    shown = f"{'127.0.0.1' if host in ('0.0.0.0', '::') else f'[{host}]' if ':' in host else host}:{port}"
    listener.listen(128)
    announce(access.address("operator", shown), access.address("viewer", shown))
    threading.Thread(target=catalogue.entries, daemon=True).start()  # loaded by the time that somebody asks
    server.run(sockets=[listener])
