"""Evaluation slice by slice (scenario x condition), real and synthetic apart; what falls short becomes DEMANDS.

Intervals treat objects as independent. Frames of one drive are not, so a slice of few groups is flagged as small.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.models import EVALUATION, PLOT, Evaluation, SliceScore, TrainedModel, model_key, read_evaluation, read_weights
from flywheel.store import Store
from flywheel.tables import rows_table, write_table
from flywheel.train.data import CLASSES, FlywheelDataset, box_cells
from flywheel.train.metrics import average_precision, precision, wilson
from flywheel.train.model import TrainConfig, load_weights
from flywheel.train.plot import evaluation_png
from flywheel.train.run import deterministic, predictions
from flywheel.types import canonical_json, short_id

REFERENCE = "reference"
TARGET_RECALL, TARGET_AVERAGE_PRECISION = 0.7, 0.5
SMALL_OBJECTS, SMALL_GROUPS = 20, 2
Array = NDArray[np.float32]
Slice = tuple[str, str, bool]


def evaluate_model(store: Store, model: TrainedModel, *, target_recall: float = TARGET_RECALL) -> Evaluation:
    """The model's evaluation on the test split of its own dataset version, made now unless it is already there.

    A dataset without a labelled real test sample gives status `not_evaluable` and a reason, never a score.
    """
    if store.exists(model_key(model.model_id, EVALUATION)):
        return read_evaluation(store, model.model_id)
    data = FlywheelDataset(store, model.dataset, split="test", real_only=False)
    if data.manifest.digest != model.dataset_digest:
        raise BadData(f"{model.dataset} has digest {data.manifest.digest}, model {model.model_id} learned from {model.dataset_digest}")
    found = (
        _evaluate(store, model, data, target_recall) if any(not row["synthetic"] for row in data.rows) else _nothing(model, target_recall)
    )
    demands = _demands(found)
    if demands:
        write_table(store, "DEMANDS", rows_table("DEMANDS", demands), batch_id=model.model_id, part="demands")
    store.put(model_key(model.model_id, PLOT), evaluation_png(found))
    store.put_if_absent(model_key(model.model_id, EVALUATION), canonical_json(found.model_dump(mode="json")))
    return read_evaluation(store, model.model_id)


def evaluation_plot(store: Store, model: TrainedModel) -> bytes:
    """The PNG beside an evaluation; BadData if the model was not evaluated."""
    read_evaluation(store, model.model_id)
    return store.get(model_key(model.model_id, PLOT))


def _nothing(model: TrainedModel, target_recall: float) -> Evaluation:
    reason = "the test split holds no labelled real sample: add drives of another vehicle, day or place, then publish and train again"
    return _evaluation(model, "not_evaluable", reason, target_recall, 0, [], [])


def _evaluation(
    model: TrainedModel, status: Literal["evaluated", "not_evaluable"], reason: str, target: float, frames: int,
    overall: list[SliceScore], slices: list[SliceScore],
) -> Evaluation:  # fmt: skip
    made = Evaluation(
        model_id=model.model_id, dataset=model.dataset, dataset_digest=model.dataset_digest, status=status, reason=reason, split="test",
        threshold=model.threshold, target_recall=target, target_average_precision=TARGET_AVERAGE_PRECISION, frames=frames,
        overall=tuple(overall), slices=tuple(slices), demands=0,
    )  # fmt: skip
    return made.model_copy(update={"demands": len(_demands(made))})


def _evaluate(store: Store, model: TrainedModel, data: FlywheelDataset, target_recall: float) -> Evaluation:
    config = TrainConfig.model_validate(model.config)
    with deterministic(config):
        scores, targets = predictions(load_weights(read_weights(store, model), config), data)
    real = [i for i, row in enumerate(data.rows) if not row["synthetic"]]
    overall = list(_slice_scores(("all", "all", False), real, data, scores, targets, model.threshold))
    slices = [
        score
        for key, members in sorted(_members(data).items())
        for score in _slice_scores(key, members, data, scores, targets, model.threshold)
    ]
    return _evaluation(model, "evaluated", "", target_recall, len(real), overall, slices)


def _members(data: FlywheelDataset) -> dict[Slice, list[int]]:
    """Item indices by slice; a frame that stands under several scenarios counts in each."""
    found: defaultdict[Slice, list[int]] = defaultdict(list)
    for index, row in enumerate(data.rows):
        for scenario in row["scenarios"]:
            found[scenario, row["condition"], row["synthetic"]].append(index)
    return dict(found)


def _slice_scores(
    key: Slice, members: list[int], data: FlywheelDataset, scores: Array, targets: Array, threshold: float
) -> Iterator[SliceScore]:
    rows = [data.rows[i] for i in members]
    groups = len({row["root_group"] for row in rows})
    for channel, cls in enumerate(CLASSES):
        cells, truth = scores[members, channel], targets[members, channel]
        objects, found = _objects(rows, cells, CLASSES[cls], threshold)
        low, high = wilson(found, objects)
        yield SliceScore(
            scenario=key[0], condition=key[1], synthetic=key[2], cls=cls, frames=len(rows), groups=groups, objects=objects, found=found,
            recall=_rounded(found / objects) if objects else None, recall_low=_rounded(low) if objects else None,
            recall_high=_rounded(high) if objects else None, precision=_rounded(precision(cells, truth, threshold=threshold)),
            average_precision=_rounded(average_precision(cells, truth)), small=objects < SMALL_OBJECTS or groups < SMALL_GROUPS,
        )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _objects(rows: list[dict[str, Any]], cells: Array, members: tuple[str, ...], threshold: float) -> tuple[int, int]:
    """(objects of a class, those with at least one of their cells fired)."""
    total = found = 0
    for row, heat in zip(rows, cells, strict=True):
        for label in row["labels"]:
            if label["cls"] in members:
                total += 1
                found += bool((heat[box_cells(label, row)] >= threshold).any())
    return total, found


def _demands(evaluation: Evaluation) -> list[dict[str, object]]:
    """DEMANDS rows for real slices below a target; the weight is the shortfall's share of the target."""
    targets = {"recall": evaluation.target_recall, "average_precision": evaluation.target_average_precision}
    short = [
        (score, metric, value, target)
        for score in evaluation.slices
        for metric, target in targets.items()
        if not score.synthetic and score.scenario != REFERENCE and (value := getattr(score, metric)) is not None and value < target
    ]
    return [
        {
            "demand_id": short_id("demand", [evaluation.model_id, score.scenario, score.condition, score.cls, metric]),
            "model_id": evaluation.model_id, "scenario": score.scenario, "condition": score.condition, "metric": f"{metric}_{score.cls}",
            "value": value, "target": target, "samples": score.objects, "weight": round(1 - value / target, 4),
        }
        for score, metric, value, target in short
    ]  # fmt: skip
