"""Work cut into blocks: the same results in the same order for any number of threads."""

import threading
import time

import pytest

from cryoloom.numerics.parallel import overlapping


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_overlapping_parts_come_in_order_and_share_the_threads(threads):
    at_work: set[int] = set()
    most, lock = [0], threading.Lock()

    def part(number: int, share: int) -> tuple[int, int]:
        with lock:
            at_work.add(number)
            most[0] = max(most[0], len(at_work))
        time.sleep(0.02 if number % 2 else 0.001)
        with lock:
            at_work.remove(number)
        return number, share

    found = list(overlapping(part, 7, threads))
    assert [number for number, _ in found] == list(range(7))
    assert most[0] == min(2, threads)
    assert {share for _, share in found} == {max(1, (threads + 1) // 2)}
