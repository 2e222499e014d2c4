"""Test folders are no packages: the helper module `mined_drives` is found by its own, unique name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
