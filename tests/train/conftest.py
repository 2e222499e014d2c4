import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from flywheel.publish.dataset import publish
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


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, drawn: ModuleType) -> DiskStore:
    """A root with six drawn drives and their dataset."""
    store = DiskStore(tmp_path_factory.mktemp("published"))
    drawn.fleet(store, 6, events=2)
    publish(store)
    return store
