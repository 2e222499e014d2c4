"""What can be said of many outputs only, and of clips: each gate passes what is right and stops what it is there for."""

import cv2
import numpy as np
import pytest

from flywheel.gate_limits import CLIP_FLOORS
from flywheel.generate.batch_gates import judge_memory, judge_stratum, kid, memory_ratio, vendi
from flywheel.generate.duplicates import fingerprint, novelty
from flywheel.generate.motion import motion_kept, warp_error

RNG = np.random.default_rng(3)
CENTRES = RNG.normal(0, 1, (6, 32))


def _frames(count: int, *, drives: int = 6, spread: float = 0.6, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Unit vectors around one centre a drive, and the drives' names."""
    rng = np.random.default_rng(seed)
    of = [k % drives for k in range(count)]
    vectors = CENTRES[of] * 0.5 + rng.normal(0, spread, (count, 32)) + shift
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), [f"drive-{k}" for k in of]


def _verdicts(outputs: np.ndarray) -> dict[str, bool]:
    real, groups = _frames(60)
    return {found.gate: found.passed for found in judge_stratum("night_rain", outputs, real, groups)}


def test_outputs_like_real_frames_pass_and_others_do_not() -> None:
    assert _verdicts(_frames(40, seed=1)[0]) == {"kid": True, "diversity": True, "nearest": True}
    far = _verdicts(_frames(40, shift=1.5, seed=1)[0])
    assert not far["kid"]
    same = np.repeat(_frames(1, seed=1)[0], 40, axis=0) + RNG.normal(0, 1e-3, (40, 32)).astype(np.float32)
    assert not _verdicts(same / np.linalg.norm(same, axis=1, keepdims=True))["diversity"], "one picture, forty times"


def test_too_little_to_compare_with_is_no_pass() -> None:
    real, groups = _frames(8)
    for found in judge_stratum("night_rain", _frames(40)[0], real, groups):
        assert not found.passed and found.score is None and "not evaluable" in found.reason
    one_drive = judge_stratum("night_rain", _frames(40)[0], _frames(60)[0], ["drive-1"] * 60)
    assert not any(found.passed for found in one_drive), "frames of one drive cannot vouch for each other"


def test_measures_are_what_they_say() -> None:
    one, two = _frames(200, seed=4)[0], _frames(200, seed=5)[0]
    assert abs(kid(one, two)) < 0.02 < kid(one, _frames(200, shift=1.5, seed=5)[0])
    assert vendi(np.eye(5, dtype=np.float32)) == pytest.approx(5.0) and vendi(np.ones((5, 1), np.float32)) == pytest.approx(1.0)


def test_a_generator_that_repeats_its_training_frames_is_seen() -> None:
    learned, held_out = _frames(60, seed=6)[0], _frames(60, seed=7)[0]
    fresh = _frames(40, seed=8)[0]
    assert memory_ratio(fresh, learned, held_out) == pytest.approx(1.0, abs=0.15) and judge_memory(fresh, learned, held_out).passed
    copied = learned[:40] + RNG.normal(0, 0.01, (40, 32)).astype(np.float32)
    assert not judge_memory(copied, learned, held_out).passed
    assert judge_memory(fresh, learned[:3], held_out).score is None


def _road(shift: int, *, car: int | None = None) -> np.ndarray:
    """A textured picture moved sideways, and a square that moves by itself."""
    texture = cv2.resize(np.random.default_rng(1).integers(0, 255, (24, 60, 3), np.uint8), (480, 192), interpolation=cv2.INTER_CUBIC)
    picture = np.ascontiguousarray(texture[:, 40 + shift : 360 + shift])
    if car is not None:
        cv2.rectangle(picture, (car, 90), (car + 60, 140), (250, 250, 250), -1)
        cv2.rectangle(picture, (car + 12, 100), (car + 30, 120), (10, 10, 10), -1)
    return picture


def _night(picture: np.ndarray, *, seed: int = 0) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 2, picture.shape)
    return np.clip((picture / 255.0) ** 1.3 * 120 + grain, 0, 255).astype(np.uint8)


def test_a_clip_that_moves_as_its_parent_keeps_its_motion_and_an_invented_car_does_not() -> None:
    parent = [_road(0, car=100 + 8 * k) for k in range(4)]
    kept = motion_kept(parent, [_night(frame, seed=k) for k, frame in enumerate(parent)])
    assert kept.motion > 0.9 and kept.flow is not None and kept.flow > 0.8
    invented = motion_kept([_road(0)] * 4, [_night(_road(0, car=100 + 12 * k), seed=k) for k in range(4)])
    assert invented.motion < CLIP_FLOORS["motion"]
    backwards = motion_kept([_road(4 * k) for k in range(4)], [_road(12 - 4 * k) for k in range(4)])
    assert backwards.flow is not None and backwards.flow < CLIP_FLOORS["flow"]


def test_a_still_clip_invents_nothing_and_clips_that_differ_are_refused() -> None:
    assert motion_kept([_road(0)] * 3, [_road(0)] * 3).motion == 1.0
    frozen = motion_kept([_road(8 * k) for k in range(3)], [_road(0)] * 3)
    assert frozen.flow is not None and frozen.flow < 0.2, "a clip that stands still while its parent drives"
    for parent, output in (([_road(0)] * 3, [_road(0)] * 2), ([_road(0)], [_road(0)]), ([_road(0)] * 2, [_road(0)[:90]] * 2)):
        with pytest.raises(ValueError, match="cannot be compared"):
            motion_kept(parent, output)


def test_warp_error_is_small_along_the_true_flow_and_larger_for_flicker() -> None:
    frames = [_road(4 * k) for k in range(3)]
    flow = np.dstack([np.full(frames[0].shape[:2], 4.0), np.zeros(frames[0].shape[:2])]).astype(np.float32)
    flicker = [np.clip(frame * (1.0, 1.3, 0.8)[k], 0, 255).astype(np.uint8) for k, frame in enumerate(frames)]
    assert warp_error(frames, [flow] * 2) < 3 < warp_error(flicker, [flow] * 2)


def test_what_was_delivered_before_is_known_again() -> None:
    first = _road(0, car=100)
    seen = [fingerprint(first), fingerprint(_road(20))]
    jpeg = cv2.imdecode(cv2.imencode(".jpg", first, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    for again in (first, jpeg, np.clip(first * 1.06, 0, 255).astype(np.uint8), _night(first)):
        assert novelty(fingerprint(again), seen) < 0.1
    assert novelty(fingerprint(_road(60, car=20)), seen) > 0.3
    assert novelty(seen[0], []) == 1.0 and fingerprint(np.zeros_like(first)).any() is np.False_
