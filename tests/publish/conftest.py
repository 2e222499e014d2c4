import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from flywheel.store import DiskStore


@pytest.fixture(scope="session")
def drawn() -> ModuleType:
    """tests/publish/drawn.py (test folders are no packages)."""
    spec = importlib.util.spec_from_file_location("drawn", Path(__file__).parents[1] / "publish/drawn.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "root")
