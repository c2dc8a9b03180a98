"""Runs over both nodes of a real Slurm of two, which are killed while they work."""

import os
import signal

import pytest

from cryoloom.engine import launch
from cryoloom.spec import Failure

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.xdist_group("slurm")]

pytest.importorskip("dask_jobqueue", reason="needs cryoloom[cluster]")

THREADS = 3
"""Of the four of a node, so that no node has two of a run's jobs."""


def hashes(run):
    return [output.hash for output in run.outputs]


def lead_node(cluster, run):
    job = run.folder.of_attempt("launch", 1)["job"]
    return cluster.command("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()


def in_queue(cluster):
    return cluster.command("squeue", "--noheader", "--format=%j").split()


@pytest.fixture
def begun(project, cluster, until):
    """Return a function that starts a run over two nodes and waits until it is at work on both; a file ``hurry`` in its folder ends all pauses."""

    def start(protocol, **values):
        run = project.run(protocol, {"pause": 2.0}, **values, seed=5, target="slurm", threads=THREADS, nodes=2, wait=False)
        until(lambda: {path.name for path in (run.folder.path / "places").glob("*")} == {"n1", "n2"}, "work on both nodes", 90)
        return run

    return start


def test_a_map_over_two_nodes_gives_the_hashes_of_a_local_run(project, cluster, begun, until, tmp_path):
    from cryoloom.app.session import create_project

    other = create_project(tmp_path / "other")
    local = other.run("toy.add", things=other.run("toy.source", count=400).outputs.things, seed=5)
    far = begun("toy.add", things=project.run("toy.source", count=400).outputs.things)
    (far.folder.path / "hurry").touch()
    assert hashes(far.wait()) == hashes(local)
    assert not (far.folder.path / "nodes").exists()
    until(lambda: not in_queue(cluster), "an empty queue")


def test_a_node_is_killed_and_its_items_are_computed_elsewhere_and_another_takes_its_place(project, cluster, begun, until):
    run = begun("toy.add", things=project.run("toy.source", count=400).outputs.things)
    other = next(node for node in ("n1", "n2") if node != lead_node(cluster, run))
    cluster.kill_node(other)
    cluster.start_node(other)
    until(lambda: len(list(run.folder.path.glob("log.1.node-*"))) == 2, "another job in the place of the lost one", 60)
    (run.folder.path / "hurry").touch()
    assert run.wait().folder.attempt() == 1 and not run.describe()["failed_items"]
    assert run.outputs.things.items["value"].to_list() == [10.0 * n + 1 for n in range(1, 401)]


def test_blocks_over_two_nodes_one_of_which_is_killed_are_those_of_threads(project, cluster, begun):
    whole = project.run("toy.blocks", seed=5, threads=2)
    run = begun("toy.blocks")
    other = next(node for node in ("n1", "n2") if node != lead_node(cluster, run))
    cluster.kill_node(other)
    cluster.start_node(other)
    (run.folder.path / "hurry").touch()
    assert run.wait().folder.attempt() == 1
    assert run.outputs.things.items.equals(whole.outputs.things.items)


def test_scancel_of_the_lead_leaves_no_job(project, cluster, begun, until):
    run = begun("toy.blocks")
    assert len(in_queue(cluster)) == 2
    cluster.command("scancel", run.folder.of_attempt("launch", 1)["job"])
    until(lambda: not in_queue(cluster), "an empty queue", 60)
    assert run.state == "stopped" and launch.nodes_of(run.folder) == 2


def test_stop_leaves_no_job(cluster, begun):
    run = begun("toy.blocks")
    assert run.stop() and run.state == "stopped" and not in_queue(cluster)


def test_a_lead_that_is_killed_outright_leaves_no_job(project, cluster, begun, until):
    run = begun("toy.add", things=project.run("toy.source", count=400).outputs.things)
    for pid in (run.folder.of_attempt("claim", 1)["supervisor"]["pid"], run.folder.of_attempt("proc", 1)["pid"]):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not in_queue(cluster), "an empty queue", 60)


def test_where_compute_nodes_may_not_submit_the_cure_is_named(project, tmp_path):
    (tmp_path / "cluster.toml").write_text('memory = "500M"\npoll = 0.5\nprologue = ["export PATH=/nowhere"]\n')
    source = project.run("toy.source", count=10)
    with pytest.raises(Failure, match="cannot be submitted from the node of the run.*no sbatch") as caught:
        project.run("toy.add", things=source.outputs.things, target="slurm", threads=THREADS, nodes=2)
    assert "--nodes 1" in str(caught.value)


@pytest.mark.slow
def test_a_refinement_over_two_nodes_has_the_bits_of_a_local_one(project, tmp_path):
    from cryoloom.app.session import create_project
    from cryoloom.app.simulation import simulate

    simulate(tmp_path / "data", "s0", 3, overrides={"particles": "100", "box": "32", "pixel_size": "7"}, threads=1)

    def refined(where, name, **how):
        particles = where.run("import.particles", path=str(tmp_path / "data/particles.star")).outputs.particles
        reference = where.run("import.volume", path=str(tmp_path / "data/truth/volume.mrc")).outputs.volume
        asked = {"particles": particles, "reference": reference, "mask_diameter": 170.0, "initial_lowpass": 50.0, "iterations": 3}
        return where.run("refine.auto", asked, name=name, **how)

    refined(create_project(tmp_path / "first"), "first", threads=1)  # compiles every kernel: before it is kept, its last bit may differ
    local = refined(create_project(tmp_path / "other"), "local", threads=1)
    far = refined(project, "far", threads=THREADS, target="slurm", nodes=2)
    assert hashes(far) == hashes(local)
