import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "numerics" / "ctf"))  # for thon_micrographs, the independent generator
sys.path.insert(0, str(Path(__file__).parent))  # for ctf_project
