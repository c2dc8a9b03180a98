"""Stages on several nodes: the nodes here are threads, and what goes between them goes through files as on a cluster."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
import pytest
from pebble import ProcessExpired

from cryoloom.engine import blocks
from cryoloom.engine.blocks import NodeBlocks
from cryoloom.engine.parcels import Parcels, hand_over, receive, take
from cryoloom.numerics.parallel import Stage, Threads
from cryoloom.numerics.parallel import blocks as cut
from cryoloom.spec import Failure, WrongUse


@dataclass(frozen=True)
class Sum:
    """Sums over parts of an array, scaled."""

    values: np.ndarray
    table: pl.DataFrame

    def part(self, number):
        return self.values * np.float32(number + 1) + np.float32(self.table["offset"][number])

    @staticmethod
    def block(prepared, some):
        return np.cumsum(prepared[some])


def stage(parts=5, size=900):
    values = np.random.default_rng(1).random(size * 40, np.float32)
    work = Sum(values, pl.DataFrame({"offset": np.arange(parts)}))
    return Stage(work.part, Sum.block, [cut(len(values), 1000)[: 3 + 7 * number] for number in range(parts)])


class FakeNodes:
    """Two nodes of two threads; some tasks are lost with their node."""

    def __init__(self, folder, lost=()):
        self.folder, self.client = folder, None
        self.given, self._lost, self._pool = [], list(lost), ThreadPoolExecutor(4)

    def workers(self):
        return {"a": 2, "b": 2}

    def submit(self, function, parcel, task, at_once, *, worker):
        self.given.append((worker, task.part, task.place))
        gone = len(self.given) in self._lost
        return self._pool.submit(self._vanish) if gone else self._pool.submit(partial(function, parcel, task, at_once))

    def _vanish(self):
        raise ProcessExpired("its node was lost", code=0)


def same(found, wanted):
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("lost", [(), (1, 2, 9)])
def test_results_are_those_of_threads_in_the_same_order_whatever_is_lost(tmp_path, lost):
    work, nodes = stage(), FakeNodes(tmp_path, lost)
    place = NodeBlocks(nodes)
    wanted = list(Threads(1).results(work))
    same(list(place.results(work)), wanted)
    count = len(nodes.given)
    assert count == sum(-(-len(part) // blocks.GROUP) for part in work.parts) + len(lost)
    same(list(place.results(work, at_once=1)), wanted)
    assert len(list(tmp_path.glob("*.npy"))) == 1 and len(list(tmp_path.glob("*.pickle"))) == 0, "written once, and nothing left"


def test_a_node_stays_at_its_part_as_long_as_there_is_something_left(tmp_path):
    work, nodes = stage(), FakeNodes(tmp_path)
    list(NodeBlocks(nodes).results(work))
    changes = [
        sum(a != b for a, b in zip(mine, mine[1:], strict=False)) for mine in ([p for w, p, _ in nodes.given if w == n] for n in "ab")
    ]
    assert sum(changes) < 2 * len(work.parts)


def test_blocks_over_which_node_after_node_is_lost_end_the_run(tmp_path):
    with pytest.raises(Failure, match="nodes were lost over the same"):
        list(NodeBlocks(FakeNodes(tmp_path, range(1, 100))).results(stage()))


def test_what_a_block_raises_is_raised(tmp_path):
    work = Stage(partial(divmod, 1), Sum.block, [[slice(0, 1)]])
    with pytest.raises(ZeroDivisionError):
        list(NodeBlocks(FakeNodes(tmp_path)).results(work))


def test_several_nodes_take_a_cluster(project):
    with pytest.raises(WrongUse, match="2 nodes are of a cluster"):
        project.run("toy.source", nodes=2)
    assert [run.state for run in project.runs()] == ["draft"]


def test_arrays_are_sent_once_mapped_and_go_with_their_owner(tmp_path):
    parcels, array = Parcels(tmp_path), np.arange(50_000.0)
    table = pl.DataFrame({"a": [1, 2]})
    first, second = parcels.send({"x": array, "t": table, "small": np.ones(3)}), parcels.send([array])
    assert len(list(tmp_path.glob("*.npy"))) == 1
    got = receive(first)
    got["x"][0] = 7.0
    assert receive(second)[0][0] == 0.0 and array[0] == 0.0 and got["t"].equals(table)
    parcels.recall(first), parcels.recall(second)
    del array, table
    assert not list(tmp_path.iterdir())
    strided = np.arange(100_000.0)[::2]
    assert np.array_equal(take(hand_over(tmp_path, strided)), strided) and not list(tmp_path.iterdir())
