"""Fixed blocks, fixed order: the same bits for any number of threads, here or elsewhere."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch

Result = TypeVar("Result")


def blocks(count: int, size: int) -> list[slice]:
    """Cut ``range(count)`` into slices of `size`; the cut depends on nothing but these two numbers."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def ordered(work: Callable[[slice], Result], parts: list[slice], threads: int) -> Iterator[Result]:
    """Yield ``work(part)`` for every part in order, computing up to `threads` of them at once.

    Only about `threads` results wait at any time, so memory is bounded by them. Numba kernels with ``nogil=True`` and torch
    release the interpreter lock. Reduce the results in the order they come and the sum does not depend on `threads`. How many threads
    torch itself takes is each thread's own affair, and its bits depend on it: here it takes one, a single thread of ours too.
    """
    threads = max(threads, 1)
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        pending = [pool.submit(work, part) for part in islice(parts, threads + 1)]
        rest = iter(parts[threads + 1 :])
        while pending:
            yield pending.pop(0).result()
            for part in islice(rest, 1):
                pending.append(pool.submit(work, part))


def overlapping(work: Callable[[int, int], Result], count: int, threads: int, at_once: int = 2) -> Iterator[Result]:
    """Yield ``work(number, its_threads)`` for the numbers below `count` in order, up to `at_once` of them sharing the `threads` (rounded up).

    For work that is itself cut into blocks but begins or ends with something that is not: one's beginning falls into another's blocks.
    """
    at_once = max(1, min(at_once, threads))
    return ordered(lambda part: work(part.start, -(-threads // at_once)), blocks(count, 1), at_once)


@dataclass(frozen=True)
class Stage:
    """Work cut into parts, and each part into blocks, which begin with something that all blocks of a part share.

    The functions may be pickled, and so must be of a module; arrays that they hold do not change as long as the stage lives.

    Attributes
    ----------
    prepare
        Returns what the blocks of the part of a number share.
    compute
        Returns the result of a block, given that.
    parts
        The blocks of each part.
    """

    prepare: Callable[[int], Any]
    compute: Callable[[Any, slice], Any]
    parts: list[list[slice]]


class Workplace(Protocol):
    """Where the blocks of a stage are computed."""

    def results(self, stage: Stage, at_once: int = 2) -> Iterator[list[Any]]:
        """Yield the results of the blocks of each part, in order; no more than `at_once` parts are prepared at a time in one memory."""
        ...


@dataclass(frozen=True)
class Threads:
    """A workplace: this process, in as many threads."""

    count: int = 1

    def results(self, stage: Stage, at_once: int = 2) -> Iterator[list[Any]]:
        """See `Workplace`."""

        def part(number: int, threads: int) -> list[Any]:
            return list(ordered(partial(stage.compute, stage.prepare(number)), stage.parts[number], threads))

        return overlapping(part, len(stage.parts), self.count, at_once)
