"""The witness's training: planted changes are what they say, lessons hold them, and the fit finds what differs."""

import gzip
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from flywheel.fleet.scene import Actor, Block, Camera, Instant, Marking, Strip, World
from flywheel.generate import witness
from flywheel.generate.gates import Sample
from flywheel.generate.witness_net import Net
from flywheel.geometry import ImageBox
from flywheel.types import Condition
from generators.train_witness import lessons_of, write
from generators.training.edits import EDITS, boxes_of, edited, is_visible
from generators.training.scenes import RenderJob, SceneDump
from generators.training.witness import VIEWS, WINDOW, Lesson, Lessons, fit, garbled, lesson


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


def test_a_lesson_holds_the_view_and_its_changes(file: str) -> None:
    jobs = [RenderJob(file=file, instant=0), RenderJob(file=file, instant=1, jitter=3)]
    one, two = lessons_of(jobs, workers=0)
    for made in (one, two):
        rows = len(made.pixels)
        assert 2 <= rows <= 7 and made.pixels.shape[1:] == (VIEWS, witness.HIGH_PX, witness.WIDTH_PX, 3)
        assert made.share[0].max() == 0 and (made.share[1:].max(axis=(1, 2, 3)) > 64).sum() >= rows // 2
        assert len(set(made.kinds.tolist())) == VIEWS
    again = lesson(jobs[0])
    assert again is not None and all(np.array_equal(a, b) for a, b in zip(one, again, strict=True)), "same job, same bytes"
    assert lesson(RenderJob(file=_empty(file), instant=0)) is None, "nothing to see, nothing to learn"


def _empty(file: str) -> str:
    """A drive whose camera looks at a fog bank of nothing: no road users, and none can be added in view."""
    made = Path(file).with_name("s0002-drive-0001.json.gz")
    away = tuple(instant.model_copy(update={"actors": (), "ego_x_m": 1e6}) for instant in INSTANTS[:1])
    crowd = tuple(_car(f"c{k}", 1e6 + 7 + k % 24, -6.0 + 0.5 * (k // 24)) for k in range(24 * 25))
    held = SceneDump(drive="e", world=WORLD, instants=tuple(i.model_copy(update={"actors": crowd}) for i in away))
    made.write_bytes(gzip.compress(held.model_dump_json().encode()))
    return str(made)


def _synthetic(seed: int) -> Lesson:
    """Four looks of one random street of blocks; in the changed row a large block is another."""
    rng = np.random.default_rng(seed)

    def blocks() -> np.ndarray:
        return rng.integers(40, 200, (12, 20, 3)).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)

    base, other, share = blocks(), blocks(), np.zeros((2, VIEWS, witness.ROWS, witness.COLUMNS), np.uint8)
    top, left = 2 * int(rng.integers(0, 8)), 2 * int(rng.integers(0, 14))
    share[1, :, top : top + 8, left : left + 8] = 255
    scenes = [base, np.where(share[1, 0].repeat(8, axis=0).repeat(8, axis=1)[..., None] > 0, other, base)]
    pixels = np.stack([np.stack([np.clip(scene * gain, 0, 255).astype(np.uint8) for gain in (1, 0.9, 1.1, 0.8)]) for scene in scenes])
    return Lesson(kinds=np.arange(VIEWS), pixels=pixels, boxes=np.zeros((2, 3, 48, 80), np.uint8), share=share)


def _bank(count: int) -> Lessons:
    bank = Lessons(count, device="cpu")
    bank.fill(_synthetic(k) for k in range(count))
    bank.check()
    assert bank.filled == count
    return bank


def test_the_fit_finds_cells_that_differ_and_its_weights_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = fit(_bank(8), net=Net(), pairs=4, end=time.monotonic() + 600, steps=40)
    held = _bank(1)
    torch.manual_seed(1)
    with torch.inference_mode():
        inputs, share = held.pairs(24)
        found = net(*inputs)
    assert float(found[share > 0.9].mean()) > 1 + float(found[share == 0].mean())
    write(net, tmp_path / "w.safetensors")
    monkeypatch.setattr(witness, "WEIGHTS", tmp_path / "w.safetensors")
    witness._trained.cache_clear()
    picture = np.ascontiguousarray(_synthetic(0).pixels[0, 0])
    pair = Sample(picture, picture, Condition(), Condition(lighting="night"), [])
    assert witness.differs([pair, pair]).shape == (2, witness.ROWS, witness.COLUMNS)
    witness._trained.cache_clear()


def test_drawn_pairs_are_the_same_instant_or_differ_where_their_share_says() -> None:
    torch.manual_seed(0)
    bank = _bank(3)
    (parent, output, boxes, looks), share = bank.pairs(64)
    rows, columns = WINDOW
    assert parent.shape == output.shape == (64, 3, 8 * rows, 8 * columns) and boxes.shape == (64, 3, 2 * rows, 2 * columns)
    assert looks.sum() == 64 * 4 and share.shape == (64, rows, columns)
    changed = (share > 0).flatten(1).any(dim=1)
    assert 0.2 < changed.float().mean() < 0.8
    ratio = (output + 1).flatten(1).mean(1) / (parent + 1).flatten(1).mean(1)
    assert ((ratio[~changed] - 1).abs() < 0.5).all()


def test_what_is_garbled_is_told_where() -> None:
    torch.manual_seed(3)
    images = torch.rand(12, 3, 192, 320) * 2 - 1
    spoiled, share = garbled(images, torch.arange(12) < 6)
    assert torch.equal(spoiled[6:], images[6:]) and share[6:].max() == 0
    assert (share[:6].flatten(1).mean(1) > 0.5).all() and share.shape == (12, witness.ROWS, witness.COLUMNS)


def test_planes_and_words_say_where_objects_are_and_what_is_asked() -> None:
    car = ImageBox(track_id="1", cls="car", x0_px=80, y0_px=90, x1_px=160, y1_px=135, distance_m=10.0)
    walker = car.model_copy(update={"cls": "pedestrian", "x0_px": 200.0, "x1_px": 208.0})
    planes = witness.box_planes([car, walker], size=(180, 320, 3))
    assert planes.shape == (3, 48, 80) and planes[0, 28, 24] == 1 and planes[0, 28, 60] == 0 and planes[1, 28, 50] == 1
    assert planes[0].sum() == pytest.approx(4 * 10 * 6)
    look = witness.look_of(Condition(lighting="night", weather="rain"))
    assert look.shape == (witness.LOOKS,) and look.sum() == 2
