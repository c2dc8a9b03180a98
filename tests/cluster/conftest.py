import tempfile
from pathlib import Path

import pytest
import slurm
from toy_project import _toys, project, until  # noqa: F401


@pytest.fixture(scope="session")
def _cluster():
    if why := slurm.able():
        pytest.skip(f"Slurm: {why}")
    with tempfile.TemporaryDirectory(prefix="slurm") as place:
        running = slurm.Slurm(Path(place))
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture
def cluster(_cluster, monkeypatch, tmp_path):
    """Return a running Slurm of two nodes that this process and its children talk to."""
    site = tmp_path / "cluster.toml"
    site.write_text('time = "10:00"\nmemory = "500M"\npoll = 0.5\n')
    monkeypatch.setenv("CRYOLOOM_CLUSTER", str(site))
    for name, value in _cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield _cluster
    _cluster.command("scancel", "--user=root")
