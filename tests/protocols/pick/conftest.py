import pytest
from crowded_micrographs import draw


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Return micrographs, true centres and true CTFs."""
    return draw(tmp_path_factory.mktemp("project"))
