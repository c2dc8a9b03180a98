"""A short strain on the real server: nobody is told an error, and everybody who watches hears of everything. `benchmarks.server_load` times it."""

import asyncio

from benchmarks.server_load import make_project, serving, strain


def test_watchers_hear_every_change_while_others_act(tmp_path):
    project = make_project(tmp_path / "projects", 20, side=64)
    with serving(tmp_path / "projects", tmp_path / "home") as served:
        seen = asyncio.run(strain(served, project, 4.0, watchers=8, actors=3))
        assert not served.complaints.read_text()
    assert not seen.errors and not seen.lost
    assert len(seen.written) >= 3 and sum(map(len, seen.latency.values())) > 10
