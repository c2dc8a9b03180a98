"""The inside of a node that works for a run of several: a Dask worker, and what it is given to do.

Run as ``python -m cryoloom.engine.node SCHEDULER OPTIONS...`` by the job of a node. The run's own node has such a worker in the run process.
"""

import logging
import os
import sys
from contextlib import suppress
from threading import Lock

from pebble import ProcessPool

from cryoloom.engine.item import Ticket, compute
from cryoloom.engine.supervise import ONE_THREAD
from cryoloom.engine.workers import process_pool

_lock = Lock()
_pools: list[ProcessPool] = []


def compute_apart(ticket: Ticket, workers: int) -> str:
    """Compute an item in one of this node's worker processes, as many as `workers`; see `item.compute`.

    Raises
    ------
    pebble.ProcessExpired
        The process died.
    """
    with _lock:
        if _pools and not _pools[0].active:
            _end_pool()
        if not _pools:
            _pools.append(process_pool(workers))
        future = _pools[0].schedule(compute, args=(ticket,))
    return future.result()


def end_pool() -> None:
    """End this node's worker processes."""
    with _lock:
        _end_pool()


def _end_pool() -> None:
    while _pools:
        pool = _pools.pop()
        pool.stop()
        pool.join()


def main(arguments: list[str]) -> None:
    """Work for the scheduler that the arguments name, until it is gone; they are those of ``dask worker``."""
    os.environ.update(ONE_THREAD)
    from distributed.cli.dask_worker import main as work

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with suppress(SystemExit):
        # Slurm ends what takes too much memory, and sees that nothing outlives its job.
        work([*arguments, "--no-nanny", "--memory-limit", "0", "--no-dashboard"])
    sys.stdout.flush()
    os._exit(0)  # a block at work must not keep the node


if __name__ == "__main__":
    main(sys.argv[1:])
