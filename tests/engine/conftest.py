import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from toy_project import _toys, project, until  # noqa: E402, F401
