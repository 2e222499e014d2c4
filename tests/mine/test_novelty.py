"""What is unlike the rest ranks first, what is all but the same is joined, and what has nothing to compare with says so."""

from pathlib import Path

import numpy as np
import pytest

from flywheel.mine.embeddings import embed_batch, spread
from flywheel.mine.novelty import drives_by_novelty, rank, scores
from flywheel.store import DiskStore, put_media
from flywheel.tables import SCHEMAS, conform, read_table, rows_table, write_table

ZERO = np.zeros(6, np.int64)


def near(*angles_deg: float) -> np.ndarray:
    """Unit vectors at angles in a plane."""
    turned = np.radians(angles_deg)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


def test_the_odd_one_out_is_the_most_novel_and_its_own_group_does_not_count() -> None:
    vectors = near(0, 30, 60, 90, 180, 180)
    group = np.array([0, 1, 2, 3, 4, 4])
    local, fleet, same = scores(vectors, camera=ZERO, place=ZERO, group=group)
    assert set(np.argsort(-fleet)[:2]) == {4, 5} and fleet[4] > 1.0
    assert same[4] == same[5] and len(set(same[:5].tolist())) == 5
    assert np.allclose(local, fleet)


def test_places_and_cameras_are_judged_by_themselves() -> None:
    vectors = near(0, 1, 90, 91, 45, 45)
    place, group = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 3, 4, 4])
    local, fleet, _ = scores(vectors, camera=ZERO, place=place, group=group)
    assert local[0] < 1e-3 < fleet[0] and np.isnan(local[4])
    _, other, same = scores(vectors, camera=np.arange(6), place=ZERO, group=group)
    assert np.isnan(other).all() and len(set(same.tolist())) == 6


def picture(seed: int) -> bytes:
    import cv2

    blobs = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return bytes(cv2.imencode(".png", cv2.resize(blobs, (128, 96), interpolation=cv2.INTER_CUBIC))[1])


def store_with(tmp_path: Path, pictures: dict[str, list[bytes]]) -> DiskStore:
    """Drives of pictures, each a root group of its own in one place."""
    store = DiskStore(tmp_path)
    for drive, shots in pictures.items():
        rows = [{
            "drive_id": drive, "t_ns": i * 3_000_000_000, "camera": "front", "kind": "rgb", "media_sha256": put_media(store, data, "png"),
            "ext": "png", "width_px": 128, "height_px": 96,
        } for i, data in enumerate(shots)]  # fmt: skip
        write_table(store, "FRAMES", rows_table("FRAMES", rows), batch_id="b", part=drive)
        known = {"drive_id": drive, "place": "town", "root_group": drive, "frames": len(shots)}
        blank = {f.name: [] if "list" in str(f.type) else "" if str(f.type) == "string" else 0 for f in SCHEMAS["DRIVES"]}
        whole = blank | known
        write_table(store, "DRIVES", rows_table("DRIVES", [whole | {"has_map": False}]), batch_id="b", part=drive)
    return store


def test_pictures_are_embedded_once_and_ranked(tmp_path: Path) -> None:
    noise = [picture(seed) for seed in range(5)]
    store = store_with(tmp_path, {"a": noise[:3], "b": noise[1:3], "c": [*noise[:2], noise[4]], "d": [b"no picture"]})
    first = embed_batch(store, "b")
    assert (first.embedded, first.frames, first.lost) == (4, 8, 1)
    assert embed_batch(store, "b").embedded == 0
    table = rank(store)
    again = rank(store)
    assert table.equals(again) and len(read_table(store, "NOVELTY")) == 8
    ranked = drives_by_novelty(store)
    assert ranked[0].drive_id == "c" and ranked[0].t_ns == 6_000_000_000
    sizes = {row["media_sha256"]: row["cluster_size"] for row in table.to_pylist()}
    assert sorted(sizes.values()) == [1, 2, 2, 3]


def test_frames_are_spread_over_the_drive() -> None:
    rows = [{"camera": "front", "t_ns": i * 100_000_000} for i in range(301)]
    chosen = list(spread(rows))
    assert len(chosen) == 13 and chosen[0]["t_ns"] == 0 and chosen[-1]["t_ns"] == 30_000_000_000


def test_without_pictures_there_is_nothing_to_rank(tmp_path: Path) -> None:
    assert len(rank(DiskStore(tmp_path))) == 0
    assert conform("NOVELTY", read_table(DiskStore(tmp_path), "NOVELTY")).num_rows == 0


@pytest.mark.parametrize("count", [1, 3])
def test_few_pictures_are_no_trouble(count: int) -> None:
    local, fleet, same = scores(near(*range(count)), camera=ZERO[:count], place=ZERO[:count], group=np.arange(count))
    assert np.isnan(fleet).all() == (count == 1) and len(same) == len(local) == count
