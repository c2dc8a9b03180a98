"""The server: routes of ``/api``, errors as JSON, and the front end's files."""

import sys
import traceback
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from threading import Thread
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import cryoloom
from cryoloom.files import storage_failure
from cryoloom.server import routes
from cryoloom.server.context import Workplace
from cryoloom.server.guard import Refused, error_record
from cryoloom.server.models import Refusal
from cryoloom.server.pickings import Pickings
from cryoloom.spec import CryoloomError, Failure, WrongUse

NOT_FOUND = (
    "unknown-project", "unknown-run", "unknown-output", "unknown-protocol", "no-project", "not-there", "unknown-id", "unknown-tile", "unknown-volume",
    "unknown-slice", "unknown-voxel", "unknown-file",
)  # fmt: skip


def make_app(root: Path, roots: Iterable[Path] = ()) -> FastAPI:
    """Return the server of the projects in a folder; who may talk to it is `cryoloom.server.guard`'s matter.

    `roots` are more folders in which files to import may be looked for.
    """
    workplace = Workplace(root, roots)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        Thread(target=import_module, args=("torch",), daemon=True).start()  # a second that the first map would have to wait
        yield
        workplace.close()

    refusals: dict[int | str, dict[str, Any]] = {"4XX": {"model": Refusal}}
    app = FastAPI(
        title="cryoloom",
        version=cryoloom.__version__,
        lifespan=lifespan,
        responses=refusals,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.workplace, app.state.pickings = workplace, Pickings()
    for module in iter_modules(routes.__path__, routes.__name__ + "."):
        app.include_router(import_module(module.name).router)
    app.add_exception_handler(Exception, _unexpected)
    for kind in (CryoloomError, OSError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _told)
    _front_end(app)
    return app


def _front_end(app: FastAPI) -> None:
    """Serve the built front end; every address that is no file and not below ``/api`` is one of its pages."""
    static = Path(str(files("cryoloom.server"))) / "static"
    if (static / "assets").is_dir():
        app.mount("/assets", StaticFiles(directory=static / "assets"), name="assets")

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> FileResponse:
        if path.startswith("api/"):
            raise WrongUse("not-there", f"There is no address /{path}.", "")
        if not (static / "index.html").exists():
            raise WrongUse("no-front-end", "The browser's part of cryoloom was not built.", "Install it again without CRYOLOOM_SKIP_WEB.")
        name = path if path in {"icon.svg", "licences.txt"} and (static / path).exists() else "index.html"
        return FileResponse(static / name, headers={"Cache-Control": "no-cache"})


async def _told(_request: Request, error: Exception) -> JSONResponse:
    """Answer with what went wrong and what to do about it."""
    if isinstance(error, OSError):
        error = storage_failure(error, Path(error.filename or ".")) or error
    if isinstance(error, CryoloomError):
        named = 404 if error.code in NOT_FOUND else 422 if isinstance(error, WrongUse) else 409
        status = error.status if isinstance(error, Refused) else named
        return JSONResponse(error_record(error), status)
    if isinstance(error, RequestValidationError):
        found = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
        return JSONResponse(error_record(WrongUse("bad-request", "; ".join(found))), 422)
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse(error_record(Failure(f"http-{status}", str(getattr(error, "detail", error)))), status)


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    traceback.print_exception(error, file=sys.stderr)
    told = Failure("unexpected", f"Unexpected {type(error).__name__}: {error}.", "The server's own output has the details.")
    return JSONResponse(error_record(told), 500)
