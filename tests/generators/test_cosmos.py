"""Cosmos Transfer and Predict on tiny random weights: a clip in, a clip out, the guardrail's posture recorded, a block a reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_cosmos
from generator_items import frame, item

from flywheel.errors import BadData, MissingExtra
from flywheel.generate.protocol import ClipPlace, Control, ControlKind, Controlled, GenerateInput, Refused
from generators.cosmos import CosmosPredictGenerator, CosmosTransferGenerator, clips_of, whole
from generators.guardrail import UNSAFE_TEXT, UNSAFE_VIDEO, Guard

# diffusers' UniPC scheduler hands a tensor to NumPy the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
OPTIONS: dict[str, Any] = {"height_px": 32, "num_inference_steps": 2, "dtype": "float32", "device": "cpu", "guardrail": "off"}


def clip(count: int, *, seed: int = 1, kind: ControlKind = "edges", shade: int = 0) -> list[GenerateInput]:
    """Frames of one clip, with controls made up."""
    frames = [frame(32, 48, seed=k) for k in range(count)]
    return [
        replace(item(seed=seed, rgb=rgb), clip=ClipPlace(k, k / 10), controls=(Control(kind, np.roll(rgb, shade, axis=1), "made up"),))
        for k, rgb in enumerate(frames)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cosmos.save_transfer(tmp_path_factory.mktemp("cosmos") / "transfer")


@pytest.fixture(scope="module")
def transfer(folder: Path) -> CosmosTransferGenerator:
    return CosmosTransferGenerator(folder, **OPTIONS)


def far(one: Any, two: Any) -> int:
    return int(np.abs(np.stack(one).astype(int) - np.stack(two)).max())


def test_a_batch_is_cut_into_clips() -> None:
    batch = [*clip(3), *clip(2), item(), item(rgb=frame(32, 48)), *clip(2)[1:]]
    assert [len(part) for part in clips_of(batch)] == [3, 2, 1, 1, 1]
    assert list(clips_of([])) == []
    assert [whole(count) for count in (1, 2, 5, 8, 92, 93, 200)] == [1, 5, 5, 9, 93, 93, 93]


def test_transfer_redraws_whole_clips_at_their_own_size(transfer: CosmosTransferGenerator) -> None:
    one, other = clip(6), clip(4, seed=2)
    drawn = transfer.generate([*one, *other, *clip(1)])
    assert [out.shape for out in drawn] == [(32, 48, 3)] * 11
    assert far(transfer.generate(one), drawn[:6]) == 0, "a clip never depends on its batch"
    assert far(transfer.generate(clip(6, seed=3)), drawn[:6]) > 10
    assert far(transfer.generate(clip(6, shade=9)), drawn[:6]) > 0, "the control is looked at"


def test_the_record_names_control_and_guardrail(transfer: CosmosTransferGenerator, folder: Path) -> None:
    assert isinstance(transfer, Controlled) and transfer.wants == ("edges",)
    parameters = transfer.info.parameters
    assert str(parameters["guardrail"]).startswith("off") and parameters["control"] == "edges" and parameters["height_px"] == 32
    assert len(transfer.info.weights_sha256) == 64
    with pytest.raises(BadData, match="one of edges, depth, segmentation"):
        CosmosTransferGenerator(folder, control="edges,depth", **OPTIONS)
    with pytest.raises(BadData, match="no depth control"):
        CosmosTransferGenerator(folder, control="depth", **OPTIONS).generate(clip(2))


def test_a_controlnet_of_its_own_is_part_of_the_weights(transfer: CosmosTransferGenerator, folder: Path) -> None:
    named = CosmosTransferGenerator(folder, control="depth", controlnet=str(folder / "controlnet"), **OPTIONS)
    assert named.info.weights_sha256 != transfer.info.weights_sha256
    assert far(named.generate(clip(2, kind="depth")), transfer.generate(clip(2))) == 0, "the same weights draw the same"


def test_compiled_blocks_draw_the_same(transfer: CosmosTransferGenerator, folder: Path) -> None:
    made = CosmosTransferGenerator(folder, **OPTIONS)
    for block in (*made._pipeline.transformer.transformer_blocks, *made._pipeline.controlnet.control_blocks):
        block.compile(dynamic=False, backend="eager")
    assert far(made.generate(clip(2)), transfer.generate(clip(2))) <= 1


class Checker:
    """A checker that blocks a word, and every clip whose first pixel is not what it likes."""

    def __init__(self, *, word: str = "", video: bool = True) -> None:
        self.word, self.video = word, video

    def to(self, *place: Any) -> None:
        pass

    def check_text_safety(self, text: str) -> bool:
        return not self.word or self.word not in text

    def check_video_safety(self, frames: Any) -> Any:
        return frames if self.video else None


@pytest.mark.parametrize(
    ("checker", "reason"), [(Checker(word="rainy"), UNSAFE_TEXT), (Checker(video=False), UNSAFE_VIDEO), (Checker(), "")]
)
def test_a_block_is_a_reason_and_never_a_crash(folder: Path, checker: Checker, reason: str) -> None:
    made = CosmosTransferGenerator(folder, **OPTIONS)
    made._guard._checker = checker
    drawn = made.generate(clip(2))
    assert all(isinstance(out, Refused) and out.reason == reason for out in drawn) if reason else drawn[0].shape == (32, 48, 3)


def test_the_guardrail_is_on_unless_it_is_switched_off(folder: Path) -> None:
    with pytest.raises(MissingExtra, match="cosmos"):
        CosmosTransferGenerator(folder, **{**OPTIONS, "guardrail": "on"})
    with pytest.raises(BadData, match="take on or off"):
        Guard("maybe")  # type: ignore[arg-type]


def test_predict_goes_on_from_the_first_frames(tmp_path: Path) -> None:
    saved = tiny_cosmos.save_predict(tmp_path / "predict")
    made = CosmosPredictGenerator(saved, **OPTIONS)
    drawn = made.generate(clip(6))
    changed = [*clip(1), *clip(6, shade=5)[1:]]
    assert [out.shape for out in drawn] == [(32, 48, 3)] * 6
    assert far(made.generate([replace(c, rgb=o.rgb) for c, o in zip(clip(6), changed, strict=True)]), drawn) == 0
    with pytest.raises(BadData, match="draws 5 to 93"):
        CosmosPredictGenerator(saved, conditions=2, **OPTIONS).generate(clip(3))
