import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from flywheel.errors import BadData, NotEvaluable
from flywheel.models import read_weights
from flywheel.publish.dataset import publish
from flywheel.store import DiskStore
from flywheel.tables import read_table
from flywheel.train.__main__ import main
from flywheel.train.evaluate import evaluate_model, evaluation_plot
from flywheel.train.model import TrainConfig, load_weights, predict
from flywheel.train.run import train_model

SHORT = TrainConfig(steps=50, batch=12)


def test_it_learns_where_things_stand(published: DiskStore) -> None:
    model = train_model(published, "rare-driving", config=SHORT)
    assert model.loss_last < model.loss_first / 3
    found = evaluate_model(published, model)
    assert found.status == "evaluated"
    real = {score.cls: score for score in found.overall}
    assert real["vehicle"].average_precision > 0.5
    assert real["vehicle"].objects == found.frames
    assert real["vehicle"].recall_low <= real["vehicle"].recall <= real["vehicle"].recall_high
    assert {(s.condition, s.synthetic) for s in found.slices} == {("day_clear", False), ("night_clear", True)}
    assert all(score.small for score in found.slices)
    assert evaluation_plot(published, model).startswith(b"\x89PNG")


def test_a_rerun_writes_nothing(published: DiskStore) -> None:
    model = train_model(published, "rare-driving", config=SHORT)
    evaluation = evaluate_model(published, model)
    before = {key: published.get(key) for key in published.list("models/")}
    assert train_model(published, "rare-driving@v1", config=SHORT) == model
    assert evaluate_model(published, model) == evaluation
    assert {key: published.get(key) for key in published.list("models/")} == before


def test_equal_seeds_give_equal_bytes_in_another_process(published: DiskStore, tmp_path: Path) -> None:
    config = TrainConfig(steps=3, batch=4)
    first = train_model(published, "rare-driving", config=config)
    for key in published.list(f"models/{first.model_id}/"):
        published.delete(key)
    code = (
        "import sys; from flywheel.store import open_store; from flywheel.train.run import TrainConfig, train_model\n"
        "print(train_model(open_store(sys.argv[1]), 'rare-driving', config=TrainConfig(steps=3, batch=4)).weights_sha256)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code, published.uri], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == first.weights_sha256
    other = train_model(published, "rare-driving", config=TrainConfig(steps=3, batch=4, seed=1))
    assert other.model_id != first.model_id
    assert other.weights_sha256 != first.weights_sha256


def test_what_falls_short_becomes_a_demand(published: DiskStore) -> None:
    model = train_model(published, "rare-driving", config=TrainConfig(steps=1, batch=2))
    found = evaluate_model(published, model.model_copy(update={"threshold": 1.0}))
    rows = read_table(published, "DEMANDS", batch_id=model.model_id).to_pylist()
    assert found.demands == len(rows)
    missed = {row["metric"]: row for row in rows if row["metric"].startswith("recall")}
    assert missed.keys() == {"recall_vehicle", "recall_vru"}
    assert {(row["value"], row["weight"], row["condition"]) for row in missed.values()} == {(0.0, 1.0, "day_clear")}
    assert {row["metric"] for row in rows} - missed.keys() == {
        f"average_precision_{s.cls}" for s in found.slices if not s.synthetic and s.average_precision < 0.5
    }


def test_one_group_trains_but_is_not_evaluable(tmp_path: Path, drawn: ModuleType) -> None:
    store = DiskStore(tmp_path)
    drawn.fleet(store, 1)
    publish(store)
    model = train_model(store, "rare-driving", config=TrainConfig(steps=2, batch=4))
    found = evaluate_model(store, model)
    assert (found.status, found.slices, found.demands) == ("not_evaluable", (), 0)
    assert "test split" in found.reason
    assert evaluation_plot(store, model).startswith(b"\x89PNG")


def test_without_labels_there_is_nothing_to_learn(tmp_path: Path, drawn: ModuleType) -> None:
    store = DiskStore(tmp_path)
    drawn.fleet(store, 1)
    for key in store.list("tables/TRACKS/"):
        store.delete(key)
    publish(store)
    with pytest.raises(NotEvaluable, match="no labelled training sample"):
        train_model(store, "rare-driving")
    assert store.list("models/") == []


def test_tampered_weights_are_refused(published: DiskStore) -> None:
    model = train_model(published, "rare-driving", config=TrainConfig(steps=2, batch=2))
    key = f"models/{model.model_id}/model.safetensors"
    sound = published.get(key)
    published.put(key, sound[:-1] + b"x")
    with pytest.raises(BadData, match="recorded is"):
        read_weights(published, model)
    with pytest.raises(BadData, match="do not fit"):
        load_weights(sound, TrainConfig(channels=(8, 8, 8)))
    with pytest.raises(BadData, match="frames have shape"):
        predict(load_weights(sound, TrainConfig()), np.zeros((1, 3, 90, 160), np.uint8))


def test_by_hand(published: DiskStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", published.uri, "--steps", "1", "--real-only"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["model"]["synthetic_samples"] == 0
    assert made["evaluation"]["status"] == "evaluated"
    assert main(["--root", published.uri, "--dataset", "nothing"]) == 1
    assert "no dataset 'nothing'" in capsys.readouterr().err
