"""Fixtures: tiny stores made by hand (tests/generate/generate_drives.py)."""

import sys
from pathlib import Path

import pytest

from flywheel.store import Store, open_store

# Test folders are no packages: the helper module is found by its own, unique name.
sys.path.insert(0, str(Path(__file__).parent))
import generate_drives as drives


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The encoder on one thread: small images gain nothing from more, and a busy machine loses."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing keys and the like never land in the working directory."""
    monkeypatch.setenv("FLYWHEEL_STATE", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two drives with three mined events."""
    root = open_store(tmp_path / "root")
    drives.put_drive(root, "drive-a", drives.EVENTS[:2], seed=1, cameras=("front_left", "front"))
    drives.put_drive(root, "drive-b", drives.EVENTS[2:], seed=7)
    return root


@pytest.fixture
def quiet(tmp_path: Path) -> Store:
    """One drive in which nothing was mined."""
    root = open_store(tmp_path / "quiet")
    drives.put_drive(root, "drive-q", [], seed=3)
    return root
