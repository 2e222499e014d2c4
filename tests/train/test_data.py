import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.publish.dataset import publish, pull
from flywheel.store import DiskStore
from flywheel.tables import read_table, rows_table, write_table
from flywheel.train.data import FlywheelDataset, decode, grid


def test_items_are_frames_and_grids(published: DiskStore) -> None:
    data = FlywheelDataset(published, "rare-driving@v1")
    assert len(data) > 20
    item = data[3]
    assert (item["image"].shape, item["image"].dtype, item["target"].shape) == ((3, 180, 320), np.uint8, (2, 12, 20))
    assert any(row["synthetic"] for row in data.rows)
    assert not any(row["synthetic"] for row in FlywheelDataset(published, "rare-driving", split="test").rows)
    assert len({row["media_sha256"] for row in data.rows}) == len(data)


def test_a_box_fills_the_cells_it_covers() -> None:
    label = {"cls": "truck", "x0_px": 32.0, "x1_px": 64.0, "y0_px": 30.0, "y1_px": 60.0}
    row = {
        "width_px": 320,
        "height_px": 180,
        "labels": [label, {**label, "cls": "pedestrian", "x1_px": 34.0, "y1_px": 31.0}, {**label, "cls": "other"}],
    }
    target = grid(row)
    assert np.argwhere(target[0]).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert np.argwhere(target[1]).tolist() == [[2, 2]]


def test_root_and_pulled_folder_give_the_same(published: DiskStore, tmp_path: Path) -> None:
    pull(published, "rare-driving@v1", tmp_path / "out")
    stored, pulled = FlywheelDataset(published, "rare-driving@v1", split="test"), FlywheelDataset(tmp_path / "out", split="test")
    assert [row["sample_id"] for row in stored.rows] == [row["sample_id"] for row in pulled.rows]
    assert all(
        (stored[i]["image"] == pulled[i]["image"]).all() and (stored[i]["target"] == pulled[i]["target"]).all() for i in range(len(stored))
    )


def test_a_spawned_loader_opens_lance_in_its_workers(published: DiskStore) -> None:
    from torch.utils.data import DataLoader

    data = FlywheelDataset(published, "rare-driving@v1")
    data[0]
    assert "_dataset" not in pickle.loads(pickle.dumps(data)).__dict__  # noqa: S301
    loader = DataLoader(data, batch_size=8, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    assert sum(len(batch["index"]) for batch in batches) == len(data)
    assert np.array_equal(batches[0]["image"][0].numpy(), data[0]["image"])


def test_a_frame_under_two_scenarios_is_one_item(tmp_path: Path, drawn: ModuleType) -> None:
    store = DiskStore(tmp_path)
    drive = drawn.add_drive(store, 1)
    event = read_table(store, "EVENTS").to_pylist()[0]
    twice = rows_table("EVENTS", [event, {**event, "event_id": "event-2", "scenario": "hard_braking"}])
    write_table(store, "EVENTS", twice, batch_id=drawn.BATCH, part=drive)
    made = publish(store)
    data = FlywheelDataset(store, made.ref, real_only=True)
    assert (made.real, len(data)) == (12, 8)
    assert sum(sorted(row["scenarios"]) == ["hard_braking", "pedestrian_crossing"] for row in data.rows) == 4


def test_clear_errors(published: DiskStore) -> None:
    with pytest.raises(BadData, match="no pulled dataset"):
        FlywheelDataset(published.uri)
    with pytest.raises(BadData, match="cannot be decoded"):
        decode(b"no image")
