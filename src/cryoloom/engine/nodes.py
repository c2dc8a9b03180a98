"""The nodes of a run of several: one Dask worker each, in jobs of the same site; the run's own node is one of them.

Dask only hands tasks out and tells of workers that are gone. Results go to files on the disk that the nodes share, so that losing a node, or
this process, loses nothing that is finished. The traffic is encrypted, and nobody without the run's own certificate is heard: a
scheduler runs whatever it is sent.

Loaded by runs on several nodes only; it takes the packages of ``cryoloom[cluster]``.
"""

import asyncio
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
from dask_jobqueue import SLURMCluster
from dask_jobqueue.slurm import SLURMJob
from distributed import Client, Security, Worker
from distributed import Future as Remote
from distributed.deploy.spec import ProcessInterface
from distributed.scheduler import KilledWorker
from pebble import ProcessExpired

from cryoloom.engine import slurm
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.item import Ticket
from cryoloom.engine.node import compute_apart, end_pool
from cryoloom.engine.site import Site, read_site
from cryoloom.spec.errors import CryoloomError, Failure

LOG = logging.getLogger("cryoloom.nodes")

SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # who gives the work counts, and gives it again
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": "120s",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.deploy.lost-worker-timeout": "5s",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.large-graph-warning-threshold": "1GB",
}
DEATH_TIMEOUT = 60
"""Seconds that a node's job looks for this process before it ends; one that has found it ends as soon as it is gone."""
MENDING = 10.0
"""Seconds between two looks for nodes that were lost and are to be replaced."""
SUBMITTING = 120.0
"""Seconds that the submission of the other nodes' jobs may take."""
CLOSING = 3.0
"""Seconds that workers have to say goodbye; their jobs are cancelled before."""


class _NodeJob(SLURMJob):
    """A job in the words of the site, submitted as a run is."""

    def __init__(self, *arguments: Any, header: list[str], folder: Path, refusals: list[CryoloomError], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.job_header = "\n".join(header)
        self._folder, self._refusals = folder, refusals

    async def start(self) -> None:
        """Submit it; a refusal is noted."""
        try:
            self.job_id = await asyncio.to_thread(slurm.submit, self.job_script(), self._folder)
        except CryoloomError as refusal:
            LOG.warning("a node was refused: %s", refusal)
            self._refusals.append(refusal)
        await ProcessInterface.start(self)


class _NodeCluster(SLURMCluster):
    job_cls = _NodeJob


class Nodes:
    """The nodes of one attempt of a run, asked for when first needed.

    Parameters
    ----------
    run, attempt
        Its folder, and which attempt.
    count, threads
        Nodes, this one included, and what each may use.
    """

    def __init__(self, run: RunFolder, attempt: int, count: int, threads: int) -> None:
        launch = run.of_attempt("launch", attempt) or {}
        self.count, self.threads = count, threads
        self.folder = run.path / "nodes"
        self._run, self._name, self._log = run, launch["job_name"], run.log(attempt)
        self._cluster: _NodeCluster | None = None
        self._client: Client | None = None
        self._own: Any = None
        self._refusals: list[CryoloomError] = []
        self._mended = 0.0

    @property
    def client(self) -> Client:
        """Return who gives them work.

        Raises
        ------
        Failure
            ``nodes-refused``: the jobs of the other nodes cannot be submitted from here.
        """
        if self._client is None:
            self._open()
        assert self._client is not None
        return self._client

    def workers(self) -> dict[str, int]:
        """Return the addresses of the nodes at hand now, with their threads; lost ones are asked for again meanwhile."""
        client = self.client
        assert self._cluster is not None
        if time.monotonic() - self._mended > MENDING:
            self._mended = time.monotonic()
            self._cluster.scale(self.count - 1)  # submits again what has come and gone
        return {address: one["nthreads"] for address, one in client.scheduler_info(n_workers=-1)["workers"].items()}

    def submit(self, function: Callable[..., Any], *arguments: Any, worker: str | None = None) -> "Future[Any]":
        """Call a function on a node, that of the address `worker` if it is still there; the future raises `ProcessExpired` if its node is lost."""
        where = {"workers": [worker], "allow_other_workers": True} if worker else {}
        remote = self.client.submit(function, *arguments, pure=False, **where)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        def done(ended: Remote) -> None:
            try:
                future.set_result(ended.result())
            except KilledWorker as lost:
                future.set_exception(ProcessExpired(f"its node was lost: {lost.last_worker.name}", code=0))
            except BaseException as error:  # noqa: BLE001 (whatever it was, the one who waits must hear of it)
                future.set_exception(error)

        remote.add_done_callback(done)
        return future

    def close(self) -> None:
        """Let the other nodes go; their jobs are gone from the queue afterwards, or being ended."""
        if self._cluster is not None:
            with suppress(Exception):
                slurm.cancel(slurm.of_nodes(self._name))
            end_pool()
            with suppress(Exception):
                assert self._client is not None
                self._client.close(timeout=CLOSING)
            if self._own is not None:
                with suppress(Exception):
                    self._cluster.sync(self._own.close, timeout=CLOSING, executor_wait=False)
            with suppress(Exception):
                self._cluster.close(timeout=CLOSING)
            for credential in ("ca_file", "cert", "key"):  # dask_jobqueue leaves closing its files to the collector
                with suppress(Exception):
                    getattr(self._cluster, f"_job_{credential}").close()
            self._cluster = self._client = self._own = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        dask.config.set(SETTINGS)
        site = read_site(self._run.root).of(self._run.record["protocol"])
        logging.getLogger("distributed").setLevel(logging.WARNING)
        LOG.info("nodes asked for beside this one: %d", self.count - 1)
        self._cluster = self._made(site)
        self._client = Client(self._cluster, set_as_default=False)
        self._own = self._cluster.sync(self._worker_here, site)
        self._cluster.scale(self.count - 1)
        deadline = time.monotonic() + SUBMITTING
        while len(self._cluster.workers) < self.count - 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        self._mended = time.monotonic()
        if self._refusals:
            raise Failure(
                "nodes-refused",
                f"The jobs of {self.count - 1} more nodes cannot be submitted from the node of the run: {self._refusals[0].message}",
                "Where compute nodes may not submit jobs, use --nodes 1.",
            )

    def _made(self, site: Site) -> _NodeCluster:
        log = self._log.with_name(f"{self._log.stem}.node-%j.txt")
        return _NodeCluster(
            header=slurm.header(site, name=slurm.of_nodes(self._name), log=log, threads=self.threads),
            folder=self._run.path,
            refusals=self._refusals,
            cores=self.threads, processes=1, memory="1GB", nanny=False,
            python=f"exec {shlex.quote(sys.executable)} -P", worker_command="cryoloom.engine.node", worker_extra_args=[],
            shebang="#!/bin/bash", job_script_prologue=list(site.prologue), job_name="", log_directory=None,
            interface=site.interface or None, death_timeout=DEATH_TIMEOUT,
            security=Security.temporary(), shared_temp_directory=str(self.folder),
            scheduler_options={"port": 0, "dashboard": False, "dashboard_address": ":0"},
            name="node",
        )  # fmt: skip

    async def _worker_here(self, site: Site) -> Worker:
        assert self._cluster is not None
        return await Worker(
            self._cluster.scheduler_address, nthreads=self.threads, name="own", memory_limit=0, dashboard=False,
            interface=site.interface or None, security=self._cluster.security,
        )  # fmt: skip


class NodeWorkers:
    """Worker processes on all nodes; see `workers.Workers`.

    Parameters
    ----------
    nodes
        Whose.
    most
        Tickets at once.
    """

    def __init__(self, nodes: Nodes, most: int) -> None:
        self._nodes, self._most = nodes, most

    @property
    def room(self) -> int:
        """See `Workers`; a node that is lost takes no item in reserve with it."""
        return max(1, min(self._most, sum(self._nodes.workers().values())))

    @property
    def able(self) -> bool:
        """See `Workers`."""
        return self._nodes.client.status == "running"

    def schedule(self, ticket: Ticket) -> "Future[str]":
        """See `Workers`."""
        return self._nodes.submit(compute_apart, ticket, self._nodes.threads)

    def busy(self, futures: Iterable["Future[str]"]) -> bool:
        """See `Workers`."""
        return bool(self._nodes.workers())

    def end(self) -> None:
        """See `Workers`; a pool of processes knows one map only."""
        with suppress(Exception):  # a node may go meanwhile
            self._nodes.client.run(end_pool)
