"""What a request is about: the workplace, a project of it, a run or an output."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from cryoloom.app.demo import begin
from cryoloom.app.outputs import OutputRef
from cryoloom.app.runs import Run
from cryoloom.app.session import Project, create_project, open_project
from cryoloom.app.suggest import did_you_mean
from cryoloom.server.events import Watch
from cryoloom.server.roots import Roots
from cryoloom.server.streams import Streams
from cryoloom.spec import WrongUse


class Workplace:
    """A folder of projects, or one project; a project is named by its folder.

    Parameters
    ----------
    root
        The folder.
    roots
        Folders in which files to import may be looked for, beside the user's own and that of the projects.
    """

    def __init__(self, root: Path, roots: Iterable[Path] = ()) -> None:
        root = root.expanduser().resolve()
        self.alone = root.name if (root / "project.json").exists() else ""
        self.root = root.parent if self.alone else root
        own = [place for place in (Path.home(), self.root) if place != Path("/")]
        self.roots = Roots([*own, *(each.expanduser() for each in roots)])
        self._watches: dict[str, Watch] = {}
        self._lock, self._beginning = threading.Lock(), threading.Lock()
        self.streams = Streams()

    def names(self) -> list[str]:
        """Return the names of the projects, by name; a link is none, for it may lead anywhere."""
        if self.alone:
            return [self.alone]
        return [path.parent.name for path in sorted(self.root.glob("*/project.json")) if not path.parent.is_symlink()]

    def open(self, name: str) -> Project:
        """Return a project.

        Raises
        ------
        WrongUse
            ``unknown-project``.
        """
        if name not in self.names():  # also refuses every path that leaves the folder
            raise WrongUse("unknown-project", f"There is no project {name!r} in {self.root}.", did_you_mean(name, self.names()))
        return open_project(self.root / name)

    def create(self, name: str) -> Project:
        """Make a project.

        Raises
        ------
        WrongUse
            ``bad-name``; ``one-project``: this server shows one project only; `create_project` has more.
        """
        return create_project(self._free(name))

    def demo(self) -> Project:
        """Return the demo project, made and begun if it is not there; raises as `create` and `cryoloom.app.demo.begin`."""
        folder = self._free("demo")
        with self._beginning:  # who asks meanwhile waits for the same one
            return begin(folder)

    def copy(self, project: Project, name: str) -> Project:
        """Copy a project to a folder beside it; raises as `create`."""
        return project.copy(self._free(name))

    def _free(self, name: str) -> Path:
        if self.alone:
            raise WrongUse(
                "one-project", f"This server shows the project {self.alone} only.", f"Serve its folder: cryoloom serve {self.root}"
            )
        if not name or name != Path(name).name or name.startswith(".") or "\0" in name or len(name) > 100:
            raise WrongUse("bad-name", f"{name!r} is no name for a folder.", "Use letters, digits, blanks and dashes.")
        return self.root / name

    def watch(self, name: str) -> Watch:
        """Return what follows a project's runs, one for all who look at it."""
        project = self.open(name)
        with self._lock:
            if name not in self._watches:  # a watch is a thread: never made to be thrown away
                self._watches[name] = Watch(project.folder)
            return self._watches[name]

    def forget(self, name: str) -> None:
        """Stop following a project."""
        with self._lock:
            watch = self._watches.pop(name, None)
        if watch:
            watch.close()

    def close(self) -> None:
        """Stop following anything."""
        for name in list(self._watches):
            self.forget(name)


def workplace_of(request: Request) -> Workplace:
    """Return the workplace that the server shows."""
    return request.app.state.workplace


WorkplaceAt = Annotated[Workplace, Depends(workplace_of)]


def project_at(workplace: WorkplaceAt, project: str) -> Project:
    """Return the project that the address names."""
    return workplace.open(project)


ProjectAt = Annotated[Project, Depends(project_at)]


def run_at(project: ProjectAt, run: str) -> Run:
    """Return the run that the address names."""
    return project.find(run)


RunAt = Annotated[Run, Depends(run_at)]


def watch_at(workplace: WorkplaceAt, project: str) -> Watch:
    """Return what follows the project that the address names."""
    return workplace.watch(project)


WatchAt = Annotated[Watch, Depends(watch_at)]


def output_of(project: Project, name: str) -> OutputRef:
    """Return the output ``RUN.OUTPUT`` of a project."""
    return project.output(name)


def output_at(project: ProjectAt, output: str) -> OutputRef:
    """Return the output that the address names."""
    return output_of(project, output)


OutputAt = Annotated[OutputRef, Depends(output_at)]
