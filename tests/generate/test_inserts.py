"""Inserted objects: free places, masks from the calibration, and the label that goes into the dataset."""

import json

import numpy as np
import pytest
from generate_drives import BATCH, T0, Darkening
from pydantic import ValidationError

from flywheel.errors import BadData, NotEvaluable
from flywheel.generate.insert_gate import cut_out, untouched, without
from flywheel.generate.inserts import KINDS, mask_of, plan_object
from flywheel.generate.plan import plan_batch
from flywheel.generate.protocol import GenerateInput, GeneratorInfo, Output
from flywheel.generate.recipes import RECIPES, Recipe, obstacle_inserts_v1, vulnerable_inserts_v1
from flywheel.generate.run import run_plan
from flywheel.geometry import ImageBox, image_boxes
from flywheel.publish.dataset import publish
from flywheel.publish.recipe import recipe_named
from flywheel.store import Store
from flywheel.tables import read_table, rows_table, write_table

FRAME = {
    "drive_id": "d", "t_ns": T0, "camera": "front", "width_px": 1280, "height_px": 720, "fx_px": 1000.0, "fy_px": 1000.0, "cx_px": 640.0,
    "cy_px": 360.0, "cam_x_m": 1.6, "cam_y_m": 0.0, "cam_z_m": 1.5, "cam_qw": 0.5, "cam_qx": -0.5, "cam_qy": 0.5, "cam_qz": -0.5,
}  # fmt: skip
CAR = {
    "track_id": "1", "cls": "car", "x_m": 18.0, "y_m": 0.0, "z_m": 0.8, "heading_rad": 0.0, "length_m": 4.5, "width_m": 1.8,
    "height_m": 1.5, "visible": True,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_object_stands_free_on_the_ground_and_whole_in_the_picture(kind: str) -> None:
    for salt in range(5):
        found = plan_object(kind, FRAME, [CAR], salt=salt)
        box = found.label(FRAME)
        assert box is not None and found.z_m == pytest.approx(found.height_m / 2, abs=1e-3)
        assert box.x0_px > 0 and box.x1_px < 1280 and box.y1_px < 720
        car = image_boxes([CAR], FRAME)[0]
        assert box.x1_px < car.x0_px + 5 or box.x0_px > car.x1_px - 5 or box.y0_px > car.y1_px - 5 or box.y1_px < car.y0_px + 5
        assert np.hypot(found.x_m - 18, found.y_m) > 2.4


def test_the_place_follows_from_frame_and_salt() -> None:
    assert plan_object("debris", FRAME, []) == plan_object("debris", FRAME, [])
    assert plan_object("debris", FRAME, []) != plan_object("debris", FRAME, [], salt=1)
    assert plan_object("debris", FRAME, []).track_id != plan_object("debris", {**FRAME, "t_ns": 1}, []).track_id


def test_no_free_place_and_no_calibration_are_reasons() -> None:
    wall = {**CAR, "x_m": 6.0, "length_m": 2.0, "width_m": 60.0, "height_m": 20.0}
    with pytest.raises(NotEvaluable, match="no free place for a pedestrian"):
        plan_object("pedestrian", FRAME, [wall])
    with pytest.raises(NotEvaluable, match="not calibrated"):
        plan_object("pedestrian", {**FRAME, "fx_px": None}, [])


def test_the_mask_covers_the_label_at_any_drawing_size() -> None:
    found = plan_object("cyclist", FRAME, [])
    box = found.label(FRAME)
    assert box is not None
    for scale in (1.0, 0.25):
        mask = mask_of(found, FRAME, size=(round(720 * scale), round(1280 * scale)))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        inner = [box.x0_px * scale, box.y0_px * scale, box.x1_px * scale, box.y1_px * scale]
        assert columns[0] <= inner[0] + 1 and columns[-1] >= inner[2] - 2 and rows[0] <= inner[1] + 1 and rows[-1] >= inner[3] - 2
        assert mask.sum() < 1.5 * (inner[2] - inner[0]) * (inner[3] - inner[1])


class Painter(Darkening):
    """Draws a bright patch where the mask asks for an object."""

    def __init__(self) -> None:
        super().__init__()
        self.info = GeneratorInfo(
            name="painter", model_revision="1", weights_sha256="0" * 64, licence="Apache-2.0", parameters={"prompts": "object"}
        )

    def _one(self, item: GenerateInput) -> Output:
        assert item.mask is not None and item.mask.shape == item.rgb.shape[:2]
        drawn = item.rgb.copy()
        drawn[item.mask] = (240, 140, 20)
        return drawn


def test_objects_are_planned_drawn_and_recorded(store: Store) -> None:
    generator = Painter()
    plan = plan_batch(store, BATCH, generator=generator.info, budget=4, recipe=vulnerable_inserts_v1())
    assert len(plan.requests) == 4 and {r.insert.cls for r in plan.requests if r.insert} == {"pedestrian", "cyclist"}
    assert all(r.target_condition == r.source_condition and "dashcam photograph" in r.prompt for r in plan.requests)
    assert plan_batch(store, BATCH, generator=generator.info, budget=4, recipe=vulnerable_inserts_v1()) == plan
    assert run_plan(store, plan, generator).done == 4
    for row in read_table(store, "VARIATIONS").to_pylist():
        planned = json.loads(row["inserted"])
        assert planned["cls"] in ("pedestrian", "cyclist") and 5 < planned["x_m"] < 35


def test_the_label_goes_into_the_dataset(store: Store) -> None:
    generator = Painter()
    plan = plan_batch(store, BATCH, generator=generator.info, budget=3, recipe=obstacle_inserts_v1())
    run_plan(store, plan, generator)
    rows = read_table(store, "VARIATIONS").to_pylist()
    accept(store, [row["variation_id"] for row in rows])
    found = publish(store, recipe_named("rare-driving"))
    import lance

    table = lance.dataset(f"{store.uri}/datasets/rare-driving.lance").to_table().to_pylist()
    real = {row["sample_id"]: row for row in table if not row["synthetic"]}
    made = [row for row in table if row["synthetic"]]
    assert found.rows == len(table) and len(made) == 3
    for row in made:
        more = [label for label in row["labels"] if label["track_id"].startswith("planned-")]
        assert len(more) == 1 and len(row["labels"]) == len(real[row["parent_sample_id"]]["labels"]) + 1
        assert 0 <= more[0]["x0_px"] < more[0]["x1_px"] <= row["width_px"]


def accept(store: Store, names: list[str]) -> None:
    rows = [
        {"decision_id": f"d-{name}", "subject_id": name, "verdict": "accept", "gate": "eye", "reason": "looked at it",
         "actor_kind": "person", "actor": "test", "rule_version": "1", "decided_t_ns": 1}
        for name in names
    ]  # fmt: skip
    write_table(store, "DECISIONS", rows_table("DECISIONS", rows), batch_id=BATCH, part="by-hand")


def test_off_the_object_the_frame_must_be_its_parents() -> None:
    parent = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    box = ImageBox(track_id="planned-1", cls="car", x0_px=40, y0_px=30, x1_px=70, y1_px=55, distance_m=12.0)
    good = parent.copy()
    good[30:55, 40:70] = 200
    assert untouched(parent, good, box) == 1.0 and np.array_equal(without(parent, good, box), parent)
    assert np.abs(cut_out(good, box).astype(int) - cut_out(parent, box)).mean() > 30
    smeared = good.copy()
    smeared[:, 120:] = 0
    assert untouched(parent, smeared, box) < 0.8 and untouched(parent, good[:80], box) == 0.0
    assert cut_out(parent, box.model_copy(update={"x0_px": -5.0, "y1_px": 95.0})).shape[0] > 50, "cut at the picture's rim"


@pytest.mark.parametrize("wrong", [{"inserts": ("dragon",)}, {"inserts": ("cone",), "clip_frames": 4}])
def test_what_cannot_be_inserted_is_no_recipe(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"no kinds|single frames"):
        Recipe(name="wrong", **wrong)  # type: ignore[arg-type]


def test_recipes_and_engines_must_fit(store: Store) -> None:
    with pytest.raises(BadData, match="does not draw objects into frames, recipe obstacle_inserts_v1 asks for them"):
        plan_batch(store, BATCH, generator=Darkening().info, budget=2, recipe=obstacle_inserts_v1())
    with pytest.raises(BadData, match="painter draws objects into frames, recipe thin_cells_v1 does not ask"):
        plan_batch(store, BATCH, generator=Painter().info, budget=2, recipe=RECIPES["thin_cells_v1"]())
