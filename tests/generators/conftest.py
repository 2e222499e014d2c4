"""Fixtures: tiny pipelines on disk, built once."""

import sys
from pathlib import Path

import pytest

# Test folders are no packages: the helper module is found by its own, unique name.
sys.path.insert(0, str(Path(__file__).parent))
import tiny_pipelines


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small nets gain nothing from more threads, and a busy machine loses."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def img2img(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.save_img2img(tmp_path_factory.mktemp("pipelines") / "tiny-img2img")


@pytest.fixture(scope="session")
def pix2pix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.save_pix2pix(tmp_path_factory.mktemp("pipelines") / "tiny-pix2pix")
