import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real files that the repository does not carry."""
    folder = Path(os.environ.get("CRYOLOOM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the folder of real test files, {folder}, is absent; set CRYOLOOM_TEST_DATA")
    return folder
