"""Training on a user's own pairs: resumed as if never broken off, usable at once, and clear about bad pairs."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_pipelines
from generator_items import frame, item

from flywheel.errors import BadData
from flywheel.generate.training import NOTE, TrainOrder, resolved
from flywheel.types import Condition
from generators import registry, train
from generators.training import lessons
from generators.training.rounds import STATE, learn


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundled weights of a tiny net."""
    import torch
    from diffusers import UNet2DModel

    from generators.condition_model import unet_config
    from generators.training.card import save_checkpoint

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base") / "condition-v0"
    save_checkpoint(UNet2DModel(**unet_config(channels=(8, 32))), folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten streets by day and, half as bright, by night."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = []
    for number in range(10):
        day = frame(90, 160, seed=number)
        cv2.imwrite(str(folder / f"{number}-day.png"), day[..., ::-1])
        cv2.imwrite(str(folder / f"{number}-night.png"), (day // 2)[..., ::-1])
        lines.append(line(f"{number}-day.png", f"{number}-night.png"))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n\n")
    return folder


def line(source: str, target: str, *, after: str = "night_clear") -> str:
    return json.dumps({"source": source, "source_condition": "day_clear", "target": target, "target_condition": after})


def order(out: Path, pairs: Path, base: Path | str, **more: Any) -> TrainOrder:
    settings = {"steps": 3, "batch": 2, "keep_every": 2, "device": "cpu", "learning_rate": 1e-3, "width_px": 64, "height_px": 32}
    return TrainOrder(**{**settings, "out": out, "pairs": pairs, "base": str(base), **more})


def broken_off(monkeypatch: pytest.MonkeyPatch, learner: type, *, after: int) -> None:
    """Lets the learner's steps fail once so many are done."""
    step = learner.step

    def failing(self: Any, number: int, *, progress: float) -> float:
        if number >= after:
            raise KeyboardInterrupt
        return float(step(self, number, progress=progress))

    monkeypatch.setattr(learner, "step", failing)


def test_a_resumed_run_ends_with_the_bytes_of_an_unbroken_one(base: Path, pairs: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import torch
    from safetensors.torch import load_file

    from generators.training.pair_bank import BundledLearner

    whole = train.bundled(order(tmp_path / "a", pairs, base))
    with monkeypatch.context() as patch:
        broken_off(patch, BundledLearner, after=2)
        with pytest.raises(KeyboardInterrupt):
            train.bundled(order(tmp_path / "b", pairs, base))
    resumed = train.bundled(order(tmp_path / "b", pairs, base))
    assert (whole.resumed_at, resumed.resumed_at) == (0, 2)
    states = [load_file(str(tmp_path / name / STATE)) for name in "ab"]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    weights = [next((tmp_path / name).rglob("diffusion_pytorch_model.safetensors")).read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert (whole.loss_first, whole.loss_last) == (resumed.loss_first, resumed.loss_last)


def test_what_was_trained_draws_by_its_folder_and_has_its_card(base: Path, pairs: Path, tmp_path: Path) -> None:
    report = train.bundled(order(tmp_path / "mine", pairs, base))
    name, options = resolved(str(tmp_path / "mine"), {"batch": 4})
    generator = registry.load(name, **options, device="cpu")
    assert generator.info.weights_sha256 == report.weights_sha256
    assert generator.info.model_revision == "mine"
    assert generator.generate([item()])[0].shape == frame().shape
    assert (report.pairs, report.held_out) == (9, 1)
    assert report.ssim_source is not None and report.ssim_before is not None and report.ssim_after is not None
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "9 pairs of your own (1 more were held out), starting from `condition-v0`" in card
    assert f"after training: {report.ssim_after:.3f}" in card
    assert {file.suffix for file in (tmp_path / "mine").rglob("*") if file.is_file()} <= {".safetensors", ".json", ".md"}


def test_the_command_trains_and_says_what_is_wrong(base: Path, pairs: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from flywheel.cli import app

    words = ["generate", "train", "--out", str(tmp_path / "run"), "--base", str(base), "--steps", "1", "--batch", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--pairs", str(pairs), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["method"], told["steps"], told["pairs"]) == ("bundled", 1, 9)
    assert (tmp_path / "run" / NOTE).is_file()
    for more, said in ([["--method", "magic"], "magic"], [["--steps", "0"], "--steps"], [[], "--pairs"]):
        wrong = CliRunner().invoke(app, [*words, *more])
        assert wrong.exit_code == 1
        assert said in wrong.stderr


def test_other_settings_or_pairs_do_not_continue_a_run(base: Path, pairs: Path, tmp_path: Path) -> None:
    train.bundled(order(tmp_path / "run", pairs, base, steps=1))
    with pytest.raises(BadData, match="other settings or other pairs"):
        train.bundled(order(tmp_path / "run", pairs, base, steps=1, seed=1))
    (tmp_path / "run" / STATE).write_bytes(b"torn")
    with pytest.raises(BadData, match="torn"):
        train.bundled(order(tmp_path / "run", pairs, base, steps=1))


@pytest.mark.parametrize("kind", ["img2img", "pix2pix"])
def test_an_adapter_is_learnt_resumed_and_drawn_with(
    kind: str, pairs: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from generators.training.lora import LoraLearner

    pipeline = request.getfixturevalue(kind)
    whole = train.lora(order(tmp_path / "a", pairs, pipeline, rank=2, learning_rate=0.05))
    with monkeypatch.context() as patch:
        broken_off(patch, LoraLearner, after=2)
        with pytest.raises(KeyboardInterrupt):
            train.lora(order(tmp_path / "b", pairs, pipeline, rank=2, learning_rate=0.05))
    resumed = train.lora(order(tmp_path / "b", pairs, pipeline, rank=2, learning_rate=0.05))
    assert resumed.resumed_at == 2
    assert whole.weights_sha256 == resumed.weights_sha256
    adapters = [tmp_path / name / name / "pytorch_lora_weights.safetensors" for name in "ab"]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()
    name, options = resolved(str(tmp_path / "a"), {"num_inference_steps": 2, "device": "cpu"})
    assert name == ("pix2pix" if kind == "pix2pix" else "diffusers")
    adapted = registry.load(name, **options)
    plain = registry.load(name, **{key: value for key, value in options.items() if key != "lora"})
    assert adapted.info.weights_sha256 != plain.info.weights_sha256
    assert adapted.generate([item()])[0].tobytes() != plain.generate([item()])[0].tobytes()


def test_an_adapter_needs_a_pipeline_it_fits(pairs: Path, tmp_path: Path, base: Path) -> None:
    with pytest.raises(BadData, match="--base"):
        train.lora(order(tmp_path / "x", pairs, ""))
    with pytest.raises(BadData, match="cannot be loaded as a pipeline for training an adapter"):
        train.lora(order(tmp_path / "x", pairs, base))
    with pytest.raises(BadData, match="holds no adapter"):
        registry.load("diffusers", pipeline=tiny_pipelines.save_img2img(tmp_path / "p"), lora=tmp_path, device="cpu")


def test_a_wrong_pair_is_named(tmp_path: Path, base: Path) -> None:
    with pytest.raises(BadData, match=r"pairs\.jsonl is missing"):
        lessons.lessons_of(order(tmp_path, tmp_path, base), width_px=32, height_px=16)
    cv2.imwrite(str(tmp_path / "a.png"), frame(40, 80))
    cv2.imwrite(str(tmp_path / "b.png"), frame(40, 60))
    for text, told in [
        (line("a.png", "a.png") + "\n{", "line 2"), (line("a.png", "a.png", after="storm"), "line 1"),
        (line("a.png", "none.png"), r"none\.png is no image"), (line("a.png", "b.png"), "other proportions"), ("", "no pairs to learn"),
    ]:  # fmt: skip
        (tmp_path / "pairs.jsonl").write_text(text)
        with pytest.raises(BadData, match=told):
            lessons.lessons_of(order(tmp_path, tmp_path, base), width_px=32, height_px=16)


def test_accepted_variations_are_pairs(tmp_path: Path) -> None:
    from flywheel.store import open_store, put_media
    from flywheel.tables import SCHEMAS, rows_table, write_table

    store = open_store(str(tmp_path))
    parent, children = frame(40, 80), [frame(40, 80, seed=k) for k in (1, 2)]
    sha = {k: put_media(store, cv2.imencode(".png", image[..., ::-1])[1].tobytes(), "png") for k, image in enumerate([parent, *children])}
    filled = {"string": "", "int64": 0, "int32": 0, "double": 0.0, "float": 0.0}
    blank = {field.name: filled[str(field.type)] for field in SCHEMAS["VARIATIONS"] if not field.nullable}
    rows = [
        {**blank, "variation_id": f"var-{k}", "parent_sha256": sha[0], "parent_ext": "png", "output_sha256": sha[k], "output_ext": "png",
         "status": "done", "source_condition": "day_clear", "target_condition": "dusk_fog"} for k in (1, 2)
    ]  # fmt: skip
    said = {"gate": "person", "reason": "", "actor_kind": "person", "actor": "t", "rule_version": "", "decided_t_ns": 1}
    verdicts = [{"decision_id": f"d{k}", "subject_id": f"var-{k}", "verdict": v, **said} for k, v in ((1, "accept"), (2, "reject"))]
    write_table(store, "VARIATIONS", rows_table("VARIATIONS", rows), batch_id="b", part="p")
    write_table(store, "DECISIONS", rows_table("DECISIONS", verdicts), batch_id="b", part="p")
    found = list(lessons.store_lessons(str(tmp_path), size=(80, 40)))
    assert len(found) == 1
    assert np.array_equal(found[0].source, parent) and np.array_equal(found[0].target, children[0])
    assert (found[0].before, found[0].after) == (Condition(), Condition(lighting="dusk", weather="fog"))


def test_a_step_has_its_own_seed_wherever_the_run_began(tmp_path: Path) -> None:
    import torch

    class Drawn:
        def __init__(self) -> None:
            self.sum = torch.zeros(1)

        def step(self, number: int, *, progress: float) -> float:
            self.sum = self.sum + torch.rand(1)
            return progress

        def tensors(self) -> dict[str, Any]:
            return {"sum": self.sum}

        def load(self, tensors: dict[str, Any]) -> None:
            self.sum = tensors["sum"]

    learn(Drawn(), steps=3, out=tmp_path / "a", seed=4, identity="x", keep_every=1)
    learn(Drawn(), steps=2, out=tmp_path / "b", seed=4, identity="x", keep_every=1)
    learnt = learn(Drawn(), steps=3, out=tmp_path / "b", seed=4, identity="x", keep_every=1)
    assert (tmp_path / "a" / STATE).read_bytes() != b"" and learnt.resumed_at == 2
    assert learnt.last == pytest.approx(2 / 3)
    torch_state = [Drawn(), Drawn()]
    for one, name in zip(torch_state, "ab", strict=True):
        learn(one, steps=3, out=tmp_path / name, seed=4, identity="x", keep_every=1)
    assert torch.equal(torch_state[0].sum, torch_state[1].sum)


def test_a_torn_note_is_bad_data(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_text("[]")
    with pytest.raises(BadData, match="does not say which generator"):
        resolved(str(tmp_path), {})
    assert resolved("bundled", {"batch": 3}) == ("bundled", {"batch": 3})


def test_the_feature_network_serves_training_whoever_loaded_it_first() -> None:
    import torch

    from flywheel import encoder
    from generators.training.losses import Features

    encoder.network.cache_clear()
    encoder.embed([frame(40, 80)])
    drawn = torch.rand(1, 3, 64, 64, requires_grad=True)
    Features(device="cpu").loss(drawn, torch.rand(1, 3, 64, 64)).backward()
    assert drawn.grad is not None and drawn.grad.abs().sum() > 0
