import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flywheel.store import DiskStore


@pytest.fixture(scope="module", autouse=True)
def floors() -> Iterator[None]:
    """Floors that do not move when the gates are calibrated again."""
    held = {"integrity": 0.99, "structure": 0.3, "labels": 0.5, "content": 0.5, "condition": 0.5, "change": 0.1, "motion": 0.6, "flow": 0.5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flywheel.curate.rules.floor_of", held.__getitem__)
        yield


@pytest.fixture(scope="session")
def handmade() -> ModuleType:
    """tests/curate/handmade.py (test folders are no packages)."""
    spec = importlib.util.spec_from_file_location("handmade", Path(__file__).with_name("handmade.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskStore]:
    yield DiskStore(tmp_path / "root")
