"""The witness's training: planted changes are what they say, lessons hold them, and the fit finds what differs."""

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from flywheel.fleet.scene import Actor, Block, Camera, Instant, Marking, Strip, World
from flywheel.generate import witness
from flywheel.geometry import ImageBox
from flywheel.types import Condition
from generators.train_witness import _kept
from generators.training.edits import EDITS, boxes_of, edited, is_visible
from generators.training.scenes import RenderJob, SceneDump
from generators.training.witness import VIEWS, Lesson, fit, lesson


def _car(name: str, x_m: float, y_m: float) -> Actor:
    size = {"length_m": 4.6, "width_m": 1.85, "height_m": 1.5}
    return Actor(actor_id=name, cls="car", x_m=x_m, y_m=y_m, heading_rad=0.0, speed_mps=8.0, seed=len(name), **size)


WORLD = World(
    lanes=tuple(Strip(line=((-50.0, y), (250.0, y)), width_m=3.5) for y in (-1.75, 1.75)),
    markings=(Marking(line=((-50.0, 0.0), (250.0, 0.0)), dashed=True),),
    blocks=tuple(
        Block(x_m=15.0 + 22 * k, y_m=s * 14.0, heading_rad=0.0, length_m=16.0, width_m=8.0, height_m=8.0, seed=k)
        for k in range(4)
        for s in (-1, 1)
    ),
)  # fmt: skip
INSTANTS = tuple(
    Instant(
        t_ns=10**9 * (k + 1), ego_x_m=8.0 * k, ego_y_m=-1.75, ego_heading_rad=0.0, ego_speed_mps=8.0,
        actors=(_car("lead", 8.0 * k + 12, -1.75), _car("oncoming", 8.0 * k + 16, 1.9)),
    )
    for k in range(3)
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "s0001-drive-0001.json.gz"
    made.write_bytes(gzip.compress(SceneDump(drive="d", world=WORLD, instants=INSTANTS).model_dump_json().encode()))
    return str(made)


@pytest.mark.parametrize("edit", EDITS)
def test_a_planted_change_is_what_it_says(edit: str) -> None:
    made = [edited(INSTANTS[0], Camera(), edit=edit, draw=random.Random(k)) for k in range(20)]  # type: ignore[arg-type]
    found = [there for there in made if there is not None]
    assert found and all(there != INSTANTS[0] for there in found)
    counts = {len(there.actors) for there in found}
    assert counts == {{"removed": 1, "added": 3, "moved": 2}[edit]}
    assert edited(INSTANTS[0].model_copy(update={"actors": ()}), Camera(), edit="removed", draw=random.Random(1)) is None


def test_boxes_are_those_in_plain_view() -> None:
    assert [box.track_id for box in boxes_of(INSTANTS[0], Camera())] == ["lead", "oncoming"]
    hidden = INSTANTS[0].model_copy(update={"actors": (*INSTANTS[0].actors, _car("behind", 24.0, -1.75))})
    assert "behind" not in [box.track_id for box in boxes_of(hidden, Camera())]


def test_a_change_must_be_seen_to_be_asked_for() -> None:
    picture = np.full((90, 160, 3), 100, np.uint8)
    spot, whisper = picture.copy(), picture.copy()
    spot[10:20, 10:20] = 140
    whisper[10:60, 10:60] = 110
    assert is_visible(picture, spot) and not is_visible(picture, whisper)


def test_a_lesson_holds_the_change_and_is_made_once(file: str, tmp_path: Path) -> None:
    job = RenderJob(file=file, instant=0)
    made = lesson(job)
    assert made is not None and made.maps.shape[1:] == (VIEWS, witness.ROWS, witness.COLUMNS, witness.FEATURES)
    assert made.share[0].max() == 0 and all(made.share[row].max() > 0.25 for row in range(1, len(made.share)))
    assert (made.kinds[0] >= 0).all() and ((made.kinds[1:] >= 0).sum(axis=1) == 3).all()
    kept = _kept(job, tmp_path)
    assert kept is not None
    before = kept.stat().st_mtime_ns
    again = _kept(job, tmp_path)
    assert again == kept and kept.stat().st_mtime_ns == before
    assert np.array_equal(np.load(kept)["share"], made.share)


def _synthetic(seed: int) -> Lesson:
    """Two kinds of look of one map; in the changed row a block of cells holds something else."""
    rng = np.random.default_rng(seed)
    base = rng.normal(0, 1, (witness.ROWS, witness.COLUMNS, witness.FEATURES))
    share = np.zeros((2, VIEWS, witness.ROWS, witness.COLUMNS), np.float32)
    top, left = rng.integers(0, 20), rng.integers(0, 36)
    share[1, :, top : top + 4, left : left + 4] = 1
    other = np.where(share[1, 0][..., None] > 0, rng.normal(0, 1, base.shape), base)
    looks = np.stack([np.stack([scene + 0.1 * view for view in range(VIEWS)]) for scene in (base, other)])
    return Lesson(
        kinds=np.tile(np.arange(VIEWS), (2, 1)), maps=looks.astype(np.float16), boxes=np.zeros((2, 3, 24, 40), np.float32), share=share
    )


def test_the_fit_finds_cells_that_differ() -> None:
    model = fit([_synthetic(k) for k in range(6)], steps=60, pairs=4, seed=0)
    held = _synthetic(99)
    same, other = (torch.from_numpy(held.maps[row, 1].astype(np.float32)).reshape(-1, witness.FEATURES) for row in (0, 1))
    was = torch.from_numpy(held.maps[0, 0].astype(np.float32)).reshape(-1, witness.FEATURES)
    boxes, told = torch.zeros(len(was), 3), torch.zeros(len(was), witness.TOLD)
    with torch.inference_mode():
        calm, found = model(was, same, boxes, told), model(was, other, boxes, told)
    changed = torch.from_numpy(held.share[1, 1].reshape(-1) > 0)
    assert found[changed].mean() > 2 + found[~changed].mean() and calm.max() < found[changed].mean()


def test_planes_and_words_say_where_objects_are_and_what_is_asked() -> None:
    car = ImageBox(track_id="1", cls="car", x0_px=80, y0_px=90, x1_px=160, y1_px=135, distance_m=10.0)
    walker = car.model_copy(update={"cls": "pedestrian", "x0_px": 200.0, "x1_px": 208.0})
    planes = witness.box_planes([car, walker], size=(180, 320, 3))
    assert planes.shape == (3, 24, 40) and planes[0, 14, 12] == 1 and planes[0, 14, 30] == 0 and planes[1, 14, 25] == 1
    assert planes[0].sum() == pytest.approx(10 * 6)
    told = witness.told(Condition(), Condition(lighting="night", weather="rain"))
    assert told.shape == (witness.TOLD,) and told.sum() == 4
